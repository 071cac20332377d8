//! Verifiers of peers' certificates: chains by webpki, and by SPIFFE ID who they are.
//!
//! Who they are is looked at within the handshake: a refusal is an alert, and no request is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::anchors::{Anchors, of_domain};
use super::identity::{check, is_authority};
use super::provider::provider;
use super::spiffe::{Pattern, TrustDomain};

/// Takes a server with one of these SPIFFE IDs, whatever it is called in DNS; or, if there are
/// none, one that is called so.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) anchors: Anchors,
    pub(super) allow: Vec<Pattern>,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        let roots = self.anchors.of(leaf)?;
        let algorithms = algorithms().all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)
            .map_err(unknown)?;
        check(leaf, &self.allow)?;
        if self.allow.is_empty() {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// Takes a client whose certificate is signed, with one of these SPIFFE IDs if there are some.
#[derive(Debug)]
pub(super) struct Identified {
    chains: Chains,
    require: bool,
    allow: Vec<Pattern>,
}

/// Verifiers of what clients show.
#[derive(Debug)]
enum Chains {
    /// By roots for all.
    All(Arc<dyn ClientCertVerifier>),
    /// By the roots of their trust domain.
    ByDomain(BTreeMap<TrustDomain, Arc<dyn ClientCertVerifier>>),
}

impl Identified {
    pub(super) fn new(
        anchors: Anchors,
        require: bool,
        allow: Vec<Pattern>,
    ) -> Result<Self, VerifierBuilderError> {
        let verifier =
            |roots| WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
        let chains = match anchors {
            Anchors::All(roots) => Chains::All(verifier(roots)?),
            Anchors::ByDomain(bundles) => {
                // One without roots trusts nobody, which is what its absence does.
                let bundles = bundles.into_iter().filter(|(_, roots)| !roots.is_empty());
                let verifiers = bundles.map(|(domain, roots)| Ok((domain, verifier(roots)?)));
                Chains::ByDomain(verifiers.collect::<Result<_, VerifierBuilderError>>()?)
            }
        };
        Ok(Self {
            chains,
            require,
            allow,
        })
    }

    fn verifier(&self, leaf: &CertificateDer<'_>) -> Result<&dyn ClientCertVerifier, Error> {
        match &self.chains {
            Chains::All(verifier) => Ok(&**verifier),
            Chains::ByDomain(verifiers) => Ok(&**of_domain(verifiers, leaf)?),
        }
    }
}

impl ClientCertVerifier for Identified {
    fn client_auth_mandatory(&self) -> bool {
        self.require
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.chains {
            Chains::All(verifier) => verifier.root_hint_subjects(),
            // Roots of SPIFFE have names that tell nothing, or none.
            Chains::ByDomain(_) => &[],
        }
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verifier = self.verifier(leaf)?;
        let verified = verifier.verify_client_cert(leaf, intermediates, now);
        let verified = verified.map_err(|error| match is_authority(leaf) {
            true => CertificateError::ApplicationVerificationFailure.into(),
            false => unknown(error),
        })?;
        check(leaf, &self.allow)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// Roots of several trust domains often have one name, by which webpki finds a root that then has
/// not signed the chain: its issuer is unknown all the same.
fn unknown(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            CertificateError::UnknownIssuer.into()
        }
        error => error,
    }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}
