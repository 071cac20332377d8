"""A stand-in for an agent of SPIRE, which no package index has: the Workload API over a Unix socket.

    agent.py DIR DOMAIN PATH...

For each PATH there is a socket DIR/N.sock, which says that its caller is spiffe://DOMAIN/PATH. At
SIGHUP, all of them say new certificates. For Envoy, which reads files, each is in DIR/N.pem too,
with the root in DIR/root.pem.
"""

import os
import queue
import signal
import sys
from concurrent import futures
from datetime import datetime, timedelta, timezone

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from spiffe._proto import workload_pb2, workload_pb2_grpc

DIR, DOMAIN, *PATHS = sys.argv[1:]
NOW = datetime.now(timezone.utc)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(**used):
    kinds = "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
    kinds += " key_cert_sign crl_sign encipher_only decipher_only"
    return x509.KeyUsage(**{kind: used.get(kind, False) for kind in kinds.split()})


def certificate(key, subject, issuer, uri):
    made = x509.CertificateBuilder(subject_name=name(subject), issuer_name=name(issuer))
    made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
    made = made.not_valid_before(NOW - timedelta(minutes=1)).not_valid_after(NOW + timedelta(hours=1))
    return made.add_extension(
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
    )


ROOT_KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = certificate(ROOT_KEY, "authority", "authority", f"spiffe://{DOMAIN}")
ROOT = ROOT.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
ROOT = ROOT.add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
ROOT = ROOT.sign(ROOT_KEY, hashes.SHA256())


def sign(uri):
    """A certificate of a workload, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    made = certificate(key, "workload", "authority", uri)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(usage(digital_signature=True), critical=True)
    made = made.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return made.sign(ROOT_KEY, hashes.SHA256()), key


class Agent(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    def __init__(self, number, path):
        self.file = os.path.join(DIR, f"{number}.pem")
        self.uri = f"spiffe://{DOMAIN}/{path}"
        self.listening = []
        self.rotate()
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(self, self.server)
        self.server.add_insecure_port(f"unix:{DIR}/{number}.sock")
        self.server.start()

    def rotate(self):
        leaf, key = sign(self.uri)
        form = Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        svid = workload_pb2.X509SVID(
            spiffe_id=self.uri,
            x509_svid=leaf.public_bytes(Encoding.DER),
            x509_svid_key=key.private_bytes(*form),
            bundle=ROOT.public_bytes(Encoding.DER),
        )
        self.said = workload_pb2.X509SVIDResponse(svids=[svid])
        pem = key.private_bytes(Encoding.PEM, *form[1:]) + leaf.public_bytes(Encoding.PEM)
        with open(self.file + ".new", "wb") as file:
            file.write(pem)
        # Envoy watches the directory for a move.
        os.rename(self.file + ".new", self.file)
        for listener in self.listening:
            listener.put(self.said)

    def FetchX509SVID(self, request, context):
        if ("workload.spiffe.io", "true") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing")
        said = queue.Queue()
        said.put(self.said)
        self.listening.append(said)
        while True:
            yield said.get()


with open(os.path.join(DIR, "root.pem"), "wb") as file:
    file.write(ROOT.public_bytes(Encoding.PEM))
# In this thread alone, so before there are others.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
AGENTS = [Agent(number, path) for number, path in enumerate(PATHS)]
print("ready", flush=True)
while signal.sigwait({signal.SIGHUP}):
    for agent in AGENTS:
        agent.rotate()
