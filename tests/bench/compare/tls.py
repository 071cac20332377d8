"""TLS 1.3: the same proxies with a certificate, and Breaker without TLS and without its sandbox."""

import statistics
import subprocess
from dataclasses import replace

import measure
import proxies
from proxies import PROXY_CORE, Running

BREAKER, NGINX, HAPROXY, ENVOY = (
    next(proxy for proxy in proxies.PROXIES if proxy.name == name) for name in ("breaker", "nginx", "haproxy", "envoy")
)
PAIR = "cert: @DIR@/cert.pem, key: @DIR@/key.pem"
NO_SANDBOX = "sandbox: { mode: off }"
SANDBOX = "sandbox: { mode: required }"

PROXIES = [
    replace(BREAKER, tls=f"tls: {{ {PAIR} }}\n{SANDBOX}"),
    replace(BREAKER, name="cleartext", title="Breaker in cleartext", tls=SANDBOX),
    replace(BREAKER, name="bare", title="the same, `sandbox: off`", tls=NO_SANDBOX),
    replace(NGINX, tls="ssl; ssl_protocols TLSv1.3; ssl_certificate @DIR@/cert.pem; ssl_certificate_key @DIR@/key.pem"),
    replace(HAPROXY, title="HAProxy", tls="ssl crt @DIR@/pair.pem ssl-min-ver TLSv1.3 alpn http/1.1"),
    replace(
        ENVOY,
        tls="transport_socket: { name: envoy.transport_sockets.tls, typed_config: { "
        '"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, '
        "common_tls_context: { tls_params: { tls_minimum_protocol_version: TLSv1_3 }, tls_certificates: "
        "[{ certificate_chain: { filename: @DIR@/cert.pem }, private_key: { filename: @DIR@/key.pem } }] } } }",
    ),
]
IN_CLEARTEXT = ("cleartext", "bare")


def make_certificate(directory):
    """ECDSA P-256, signed by itself: whoever connects here believes any."""
    key, chain = f"{directory}/key.pem", f"{directory}/cert.pem"
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(["openssl", "req", "-x509", *made, "-keyout", key, "-out", chain], check=True, capture_output=True)
    with open(f"{directory}/pair.pem", "w") as pair:
        pair.writelines(open(file).read() for file in (chain, key))


def one_round(proxy, directory, upstream_port, options):
    """Measures a proxy from fresh starts: its memory, then requests and handshakes."""
    if proxy.name in IN_CLEARTEXT:
        with Running(proxy, directory, PROXY_CORE, upstream_port) as running:
            measure.h2load(running.port, "--h1", "-n2000", "-c8")
            # By the same program as TLS.
            load = lambda: measure.h2load(running.port, "--h1", f"-D{options.seconds}", f"-c{measure.CONNECTIONS}")
            return measure.under_load(running, load)
    with Running(proxy, directory, PROXY_CORE, upstream_port) as running:
        values = measure.idle_tls_connections(running)
    with Running(proxy, directory, PROXY_CORE, upstream_port) as running:
        measure.h2load(running.port, "--h1", "-n2000", "-c8", scheme="https")
        values.update(measure.full_load_tls(running, options.seconds))
        values["full_us"] = measure.handshakes(running, options.seconds, "full")
        values["resumed_us"] = measure.handshakes(running, options.seconds, "resumed")
    return values


def ratios(rounds):
    """The ratios that docs/performance.md has aims for."""

    def median(name, key):
        return statistics.median(values[name][key] for values in rounds)

    yield ""
    for what, ours, theirs, aim in (
        ("CPU per request in TLS, Breaker to nginx", ("breaker", "cpu_us"), ("nginx", "cpu_us"), "at most 1.10"),
        ("CPU per request, TLS to cleartext", ("breaker", "cpu_us"), ("cleartext", "cpu_us"), "at most 1.20"),
        ("CPU per request, sandbox to none", ("cleartext", "cpu_us"), ("bare", "cpu_us"), "at most 1.02"),
        ("full handshakes per core, Breaker to nginx", ("nginx", "full_us"), ("breaker", "full_us"), "at least 0.9"),
        ("resumed handshakes per core, Breaker to nginx", ("nginx", "resumed_us"), ("breaker", "resumed_us"), "none"),
    ):
        yield f"{what}: {median(*ours) / median(*theirs):.2f} (aim: {aim})"
