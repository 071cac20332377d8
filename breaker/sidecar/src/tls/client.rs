//! TLS as a client: to upstreams.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use tokio_rustls::TlsConnector;

use super::anchors::Anchors;
use super::error::{Fault, TlsError};
use super::files::{Credentials, Roots};
use super::provider::{MinVersion, provider};
use super::rotating::{Rotate, Rotating, Source};
use super::spiffe::Pattern;
use super::verify::Servers;
use super::workload::Workload;
use super::{Alpn, Transport, failure};
use crate::clock::unix_now;
use crate::sockets::Stream;

/// Whom to trust, and what to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the configuration")]
pub struct ClientSettings {
    /// Which certificates are trusted.
    pub roots: Roots,
    /// The lowest version.
    pub min: MinVersion,
    /// The SPIFFE IDs of servers; empty if they are known by their names.
    pub allow: Vec<Pattern>,
    /// What is shown to servers that ask.
    pub present: Option<Credentials>,
    /// What servers are called; else as their endpoint is.
    pub name: Option<ServerName<'static>>,
}

/// TLS to the endpoints of an upstream.
#[derive(Clone, Debug)]
pub struct Client(Rotating<ClientSettings>);

/// What is made of the settings.
#[derive(Debug)]
pub(crate) struct Made {
    config: Arc<ClientConfig>,
    /// Until when what is shown is valid, in seconds since 1970.
    until: Option<i64>,
    /// Whether it needs what the Workload API says, and there is nothing yet.
    lacks_identity: bool,
}

/// A connection to a server, and the protocol that it chose, if it chose one.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) stream: Stream,
    pub(crate) chosen: Option<Alpn>,
}

// === impl Client ===

impl Client {
    /// Reads the certificates.
    ///
    /// # Errors
    /// When some can't be used.
    pub fn new(settings: ClientSettings) -> Result<Self, Fault> {
        Rotating::new(settings).map(Self)
    }

    /// What it was made of.
    pub fn settings(&self) -> &ClientSettings {
        self.0.source()
    }

    pub(crate) fn rotating(&self) -> Box<dyn Rotate> {
        Box::new(self.0.clone())
    }

    /// Stays the same for as long as the certificates do.
    pub(crate) fn generation(&self) -> Arc<Made> {
        self.0.current()
    }

    /// Whether the Workload API has given us no identity yet, or one that is over. Without it a
    /// server would refuse us, or we it, for no fault of the server's.
    pub(crate) fn lacks_identity(&self) -> bool {
        self.0.lacks_identity()
    }

    /// Shakes hands with the server called `name`.
    pub(crate) async fn connect(
        &self,
        stream: Stream,
        name: &ServerName<'static>,
        offered: &[Alpn],
    ) -> Result<Secured, failure::Failure> {
        let offered = offered.iter().map(|alpn| alpn.name().to_vec()).collect();
        let connector = TlsConnector::from(self.0.current().config.clone());
        let secured = connector
            .with_alpn(offered)
            .connect(name.clone(), stream)
            .await;
        let secured = secured.map_err(failure::Failure::from)?;
        let chosen = secured.get_ref().1.alpn_protocol();
        Ok(Secured {
            chosen: chosen.and_then(Alpn::of),
            stream: Stream::Tls(Box::new(Transport::from(secured))),
        })
    }
}

/// Of two that are equal, the certificates are the same files.
impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.settings() == other.settings()
    }
}

// === impl ClientSettings ===

impl Source for ClientSettings {
    type Made = Made;

    fn files(&self) -> Vec<PathBuf> {
        let shown = self.present.iter().flat_map(Credentials::files);
        shown.chain(self.roots.file()).cloned().collect()
    }

    fn workloads(&self) -> Vec<Workload> {
        let shown = self.present.iter().filter_map(Credentials::workload);
        shown.chain(self.roots.workload()).cloned().collect()
    }

    fn until(made: &Made) -> Option<i64> {
        made.until
    }

    fn lacks_identity(&self, made: &Made) -> bool {
        let shown = self.present.as_ref();
        let is_heard = shown.is_some_and(|shown| shown.workload().is_some());
        let is_over = made.until.is_some_and(|until| unix_now() > until as f64);
        made.lacks_identity || is_heard && is_over
    }

    fn make(&self) -> Result<Made, Fault> {
        let refused = |error: String| Fault::new("roots", TlsError::Refused(error));
        let anchors = self.roots.anchors().map_err(Fault::at("roots"))?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.min.versions())
            .map_err(|error| refused(error.to_string()))?;
        let config = match anchors {
            Anchors::All(roots) if self.allow.is_empty() => config.with_root_certificates(roots),
            anchors => {
                let verifier = Servers {
                    anchors,
                    allow: self.allow.clone(),
                };
                let config = config.dangerous();
                config.with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let shown = self.present.as_ref().map(Credentials::load);
        let shown = shown.transpose()?.flatten();
        let mut workloads = self.workloads().into_iter();
        let lacks_identity = workloads.any(|it| it.svid().is_none());
        let Some(shown) = shown else {
            return Ok(Made {
                config: Arc::new(config.with_no_client_auth()),
                until: None,
                lacks_identity,
            });
        };
        let resolver = Arc::new(SingleCertAndKey::from(shown.certified));
        let mut config = config.with_client_cert_resolver(resolver);
        // A server does not look at our certificate again when it resumes.
        config.resumption = Resumption::disabled();
        Ok(Made {
            config: Arc::new(config),
            until: Some(shown.validity.until),
            lacks_identity,
        })
    }
}
