//! TLS as a client: to upstreams.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use tokio_rustls::TlsConnector;

use super::error::{Fault, TlsError};
use super::files::{Pair, Roots};
use super::provider::{MinVersion, provider};
use super::rotating::{Rotate, Rotating, Source};
use super::spiffe::Pattern;
use super::verify::BySpiffe;
use super::{Alpn, Transport, failure};
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
    pub present: Option<Pair>,
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
        let shown = self.present.iter().flat_map(Pair::files);
        shown.chain(self.roots.file()).cloned().collect()
    }

    fn until(made: &Made) -> Option<i64> {
        made.until
    }

    fn make(&self) -> Result<Made, Fault> {
        let in_roots = Fault::at("roots");
        let refused = |error: String| Fault::new("roots", TlsError::Refused(error));
        let roots = Arc::new(self.roots.load().map_err(in_roots)?);
        let chains = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider());
        let chains = chains.build().map_err(|error| refused(error.to_string()))?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.min.versions())
            .map_err(|error| refused(error.to_string()))?;
        let config = if self.allow.is_empty() {
            config.with_webpki_verifier(chains)
        } else {
            let verifier = Arc::new(BySpiffe {
                chains,
                roots,
                allow: self.allow.clone(),
            });
            config
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        };
        let Some(pair) = &self.present else {
            return Ok(Made {
                config: Arc::new(config.with_no_client_auth()),
                until: None,
            });
        };
        let shown = pair.load()?;
        let resolver = Arc::new(SingleCertAndKey::from(shown.certified));
        let mut config = config.with_client_cert_resolver(resolver);
        // A server does not look at our certificate again when it resumes.
        config.resumption = Resumption::disabled();
        Ok(Made {
            config: Arc::new(config),
            until: Some(shown.validity.until),
        })
    }
}
