//! A client that has shown a certificate, and how upstreams are told of it.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use super::identity::Named;
use super::spiffe::SpiffeId;
use crate::clock::unix_now;

/// How upstreams are told of a client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// Not at all.
    #[default]
    None,
    /// By `X-Forwarded-Client-Cert`, as Envoy writes it.
    Xfcc,
    /// By `Client-Cert` (RFC 9440).
    ClientCert,
}

/// A client that has shown a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its SPIFFE ID, if it has one.
    pub(crate) id: Option<SpiffeId>,
    /// Until when its certificate is valid, in seconds since 1970.
    until: i64,
    /// What upstreams are told.
    pub(crate) told: Option<(HeaderName, HeaderValue)>,
}

impl Peer {
    /// The owner of a leaf that was verified; `own` is what we are called.
    pub(super) fn of(leaf: &CertificateDer<'_>, forward: Forwarding, own: &Named) -> Option<Self> {
        // The verifier has read it.
        let named = Named::of(leaf).ok()?;
        let told = match forward {
            Forwarding::None => None,
            Forwarding::Xfcc => value(&xfcc(leaf, &named, own)).map(|value| (XFCC, value)),
            Forwarding::ClientCert => {
                let value = value(&format!(":{}:", STANDARD.encode(leaf)));
                value.map(|value| (CLIENT_CERT, value))
            }
        };
        Some(Self {
            id: named.spiffe,
            until: named.until,
            told,
        })
    }

    /// When its certificate expires, as the clock goes now; `None` if nobody lives to see it.
    pub(crate) fn expires(&self) -> Option<Instant> {
        let left = self.until as f64 - unix_now();
        Instant::now().checked_add(Duration::try_from_secs_f64(left.max(0.0)).ok()?)
    }
}

fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

/// One element of `X-Forwarded-Client-Cert`.
fn xfcc(leaf: &CertificateDer<'_>, named: &Named, own: &Named) -> String {
    let mut element = String::new();
    if let Some(own) = own.uris.first() {
        let _ = write!(element, "By={};", plain(own));
    }
    element.push_str("Hash=");
    for byte in sha256(leaf) {
        let _ = write!(element, "{byte:02x}");
    }
    let _ = write!(element, ";Subject={}", quoted(&named.subject));
    for uri in &named.uris {
        let _ = write!(element, ";URI={}", plain(uri));
    }
    for dns in &named.dns {
        let _ = write!(element, ";DNS={}", plain(dns));
    }
    element
}

/// A value, in quotes if it has what divides values.
fn plain(value: &str) -> String {
    match value.contains([',', ';', '=', '"']) {
        true => quoted(value),
        false => value.to_owned(),
    }
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    match TLS13_AES_128_GCM_SHA256 {
        SupportedCipherSuite::Tls13(suite) => {
            suite.common.hash_provider.hash(bytes).as_ref().to_vec()
        }
        // It is one of TLS 1.3 by its name.
        _ => Vec::new(),
    }
}

const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_written_as_envoy_writes_it() {
        let named = Named {
            subject: "CN=a \"b\", O=c".to_owned(),
            uris: vec!["spiffe://example.org/a".to_owned()],
            dns: vec!["a.shop".to_owned(), "b;c".to_owned()],
            ..Named::default()
        };
        let own = Named {
            uris: vec!["spiffe://example.org/us".to_owned()],
            ..Named::default()
        };
        let leaf = CertificateDer::from(b"abc".to_vec());
        assert_eq!(
            xfcc(&leaf, &named, &own),
            "By=spiffe://example.org/us;\
             Hash=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad;\
             Subject=\"CN=a \\\"b\\\", O=c\";URI=spiffe://example.org/a;DNS=a.shop;DNS=\"b;c\""
        );
    }
}
