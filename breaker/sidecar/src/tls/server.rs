//! TLS as a server: for clients of the proxy, of the admin port and of the receiver.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::alpn::Alpn;
use super::error::{Fault, TlsError};
use super::failure::Failure;
use super::files::{Credentials, Roots};
use super::handshake::Handshake;
use super::identity::Named;
use super::peer::{Forwarding, Peer};
use super::provider::{MinVersion, provider};
use super::rotating::{Rotate, Rotating, Source};
use super::spiffe::Pattern;
use super::verify::Identified;
use super::workload::Workload;
use crate::clock::unix_now;
use crate::sockets::{Stream, Transport};

/// What is shown to clients, and what they must show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the configuration")]
pub struct ServerSettings {
    /// Chosen by the name that the client wants; the first one for others. At least one.
    pub certificates: Vec<Credentials>,
    /// The lowest version.
    pub min: MinVersion,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Whether clients are asked for certificates, and for which.
    pub clients: Option<Clients>,
}

/// Which certificates clients must have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the configuration")]
pub struct Clients {
    /// Those that have signed them.
    pub roots: Roots,
    /// Whether a client without one is refused.
    pub require: bool,
    /// Their SPIFFE IDs; empty for any.
    pub allow: Vec<Pattern>,
    /// What upstreams are told of them.
    pub forward: Forwarding,
}

/// TLS of one listener.
#[derive(Clone, Debug)]
pub struct Server(Rotating<ServerSettings>);

/// What is made of the settings.
pub(crate) struct Made {
    config: Arc<ServerConfig>,
    shown: Arc<ByName>,
    /// What we are called, for `By` of `X-Forwarded-Client-Cert`.
    own: Named,
    /// Whether clients must be known by roots that the Workload API has not said, or taken back.
    trusts_nobody: bool,
}

/// A connection of a client after its handshake.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    /// The protocol that was chosen, if the client offered some.
    pub(crate) chosen: Option<Alpn>,
    /// Who the client is, if it has shown a certificate.
    pub(crate) peer: Option<Peer>,
}

/// What a client begins with where TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A handshake.
    Tls,
    /// Text, such as plain HTTP: its sender can be told.
    Text,
    /// Anything else.
    Other,
}

/// Certificates by the name that a client wants.
#[derive(Debug)]
struct ByName(Vec<Shown>);

/// A certificate of ours.
#[derive(Debug)]
struct Shown {
    names: Vec<String>,
    certified: Arc<CertifiedKey>,
    /// Until when it is valid, in seconds since 1970.
    until: i64,
    /// Whether it is shown when it is over: one of a file is, for clients to say so. One of the
    /// Workload API would have been renewed, if we still were who it says.
    outlasts: bool,
}

// === impl Server ===

impl Server {
    /// Reads the certificates.
    ///
    /// # Errors
    /// When some can't be used.
    pub fn new(settings: ServerSettings) -> Result<Self, Fault> {
        Rotating::new(settings).map(Self)
    }

    /// What it was made of.
    pub fn settings(&self) -> &ServerSettings {
        self.0.source()
    }

    pub(crate) fn rotating(&self) -> Box<dyn Rotate> {
        Box::new(self.0.clone())
    }

    /// Shakes hands, within the time for that, and counts what came of it. One that has failed is
    /// returned with its connection, by which the client may still be told why.
    pub(crate) async fn accept(&self, stream: Stream) -> Result<Accepted, Option<Stream>> {
        let made = self.0.current();
        let accepting = TlsAcceptor::from(made.config.clone()).accept(stream);
        let accepting = accepting.into_fallible();
        let limit = self.settings().handshake_timeout;
        let secured = match timeout(limit, accepting).await {
            Err(_late) => {
                Handshake::Timeout.counts();
                return Err(None);
            }
            Ok(Err((error, stream))) => {
                let failure = Failure::from(error);
                tracing::debug!(%failure, "a client's handshake failed");
                match made.shown.valid().next() {
                    Some(_) => Handshake::of(&failure).counts(),
                    None => Handshake::NoIdentity.counts(),
                }
                return Err(Some(stream));
            }
            Ok(Ok(secured)) => secured,
        };
        Handshake::Success.counts();
        let state = secured.get_ref().1;
        let leaf = state.peer_certificates().and_then(<[_]>::first);
        let forward = self.settings().clients.as_ref().map(|it| it.forward);
        let peer = leaf.and_then(|leaf| Peer::of(leaf, forward.unwrap_or_default(), &made.own));
        Ok(Accepted {
            chosen: state.alpn_protocol().and_then(Alpn::of),
            peer,
            stream: Stream::Tls(Box::new(Transport::from(secured))),
        })
    }
}

/// Of two that are equal, the certificates are the same files.
impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        self.settings() == other.settings()
    }
}

// === impl Opening ===

impl Opening {
    /// What a first byte begins. What is no TLS is counted.
    pub(crate) fn of(first: u8) -> Self {
        if first == HANDSHAKE {
            return Self::Tls;
        }
        Handshake::NotTls.counts();
        match first >= b' ' {
            true => Self::Text,
            false => Self::Other,
        }
    }
}

// === impl ServerSettings ===

impl Source for ServerSettings {
    type Made = Made;

    fn files(&self) -> Vec<PathBuf> {
        let shown = self.certificates.iter().flat_map(Credentials::files);
        let roots = self.clients.iter().filter_map(|it| it.roots.file());
        shown.chain(roots).cloned().collect()
    }

    fn workloads(&self) -> Vec<Workload> {
        let shown = self.certificates.iter().filter_map(Credentials::workload);
        let roots = self.clients.iter().filter_map(|it| it.roots.workload());
        shown.chain(roots).cloned().collect()
    }

    fn until(made: &Made) -> Option<i64> {
        made.shown.0.iter().map(|shown| shown.until).min()
    }

    fn lacks_identity(&self, made: &Made) -> bool {
        made.trusts_nobody || made.shown.valid().next().is_none()
    }

    fn make(&self) -> Result<Made, Fault> {
        let refused = |error: String| Fault::new("cert", TlsError::Refused(error));
        let (mut shown, mut own) = (Vec::new(), None);
        for certificate in &self.certificates {
            let Some(loaded) = certificate.load()? else {
                continue;
            };
            let leaf = loaded.certified.cert.first();
            let named = leaf.map(Named::of).transpose().unwrap_or_default();
            let named = named.unwrap_or_default();
            own.get_or_insert_with(|| named.clone());
            shown.push(Shown {
                names: named.dns,
                certified: loaded.certified,
                until: loaded.validity.until,
                outlasts: certificate.workload().is_none(),
            });
        }
        let shown = Arc::new(ByName(shown));
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(self.min.versions())
            .map_err(|error| refused(error.to_string()))?;
        let mut trusts_nobody = false;
        let config = match &self.clients {
            None => config.with_no_client_auth(),
            Some(clients) => {
                let in_roots = Fault::at("clients.roots");
                let anchors = clients.roots.anchors().map_err(in_roots)?;
                trusts_nobody = clients.require && anchors.are_missing();
                let verifier = Identified::new(anchors, clients.require, clients.allow.clone());
                let refused = |error: String| Fault::new("clients.roots", TlsError::Refused(error));
                let verifier = verifier.map_err(|error| refused(error.to_string()))?;
                config.with_client_cert_verifier(Arc::new(verifier))
            }
        };
        let mut config = config.with_cert_resolver(shown.clone());
        config.alpn_protocols = [Alpn::Http2, Alpn::Http1]
            .map(|alpn| alpn.name().to_vec())
            .into();
        if self.clients.is_some() {
            // A client that resumes is not looked at again.
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        } else {
            let ticketer = Ticketer::new().map_err(|error| refused(error.to_string()))?;
            config.ticketer = ticketer;
        }
        Ok(Made {
            config: Arc::new(config),
            shown,
            own: own.unwrap_or_default(),
            trusts_nobody,
        })
    }
}

// === impl ByName ===

impl ByName {
    /// Those that may be shown now.
    fn valid(&self) -> impl Iterator<Item = &Shown> + Clone {
        let now = unix_now();
        let all = self.0.iter();
        all.filter(move |shown| shown.outlasts || now <= shown.until as f64)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let wanted = hello.server_name().and_then(|name| {
            let named = |names: &[String]| names.iter().any(|pattern| is_named(pattern, name));
            let mut fitting = self.valid().filter(|shown| named(&shown.names));
            // One name may have keys of several kinds.
            let signing = fitting
                .clone()
                .find(|shown| shown.certified.key.choose_scheme(schemes).is_some());
            signing.or_else(|| fitting.next())
        });
        let first = || self.valid().next();
        wanted.or_else(first).map(|shown| shown.certified.clone())
    }
}

/// Whether a name of a certificate, of which the first label may be `*`, is this one.
fn is_named(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(domain) => name
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(domain)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

/// What a handshake begins with (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label() {
        for (pattern, name, fits) in [
            ("pay.shop", "PAY.shop", true),
            ("pay.shop", "shop", false),
            ("*.shop", "pay.shop", true),
            ("*.shop", "a.pay.shop", false),
            ("*.shop", "shop", false),
        ] {
            assert_eq!(is_named(pattern, name), fits, "{pattern} {name}");
        }
    }
}
