//! How an HTTP client comes by connections in TLS.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tower_service::Service;

use super::alpn::Alpn;
use super::client::Client;
use crate::sockets::{Dial, Stream};

/// Makes connections for an HTTP client, in TLS if that is to be.
#[derive(Clone, Debug)]
pub struct SecureDial {
    dial: Dial,
    tls: Option<Client>,
}

impl SecureDial {
    /// By `dial`, and in TLS if there is `tls`.
    pub const fn new(dial: Dial, tls: Option<Client>) -> Self {
        Self { dial, tls }
    }
}

impl Service<Uri> for SecureDial {
    type Response = TokioIo<Stream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.dial.poll_ready(cx)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let Some(tls) = self.tls.clone() else {
            return self.dial.call(url);
        };
        let host = url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned());
        let dialling = self.dial.call(url);
        Box::pin(async move {
            let (name, stream) = (name?, dialling.await?.into_inner());
            let secured = tls.connect(stream, &name, &[Alpn::Http1]).await?;
            Ok(TokioIo::new(secured.stream))
        })
    }
}
