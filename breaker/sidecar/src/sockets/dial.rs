//! How an HTTP client comes by its connections: to addresses, or to one Unix socket.

use std::error::Error;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tower_service::Service;

use super::{Stream, path_of};

/// Makes connections for an HTTP client.
#[derive(Clone, Debug)]
pub enum Dial {
    /// To the address of each URL.
    Tcp(HttpConnector),
    /// To this socket, whatever the URL.
    Unix(PathBuf),
}

impl Dial {
    /// To the socket of a text such as `unix:/run/breaker.sock`.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn unix(text: &str) -> Result<Self, &'static str> {
        path_of(text).map(|path: &Path| Self::Unix(path.to_owned()))
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Stream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::Tcp(connector) => connector.poll_ready(cx).map_err(Into::into),
            Self::Unix(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        match self {
            Self::Tcp(connector) => {
                let connecting = connector.call(url);
                Box::pin(async move {
                    let stream = connecting.await?.into_inner();
                    Ok(TokioIo::new(Stream::Tcp(stream)))
                })
            }
            Self::Unix(path) => {
                let path = path.clone();
                Box::pin(async move {
                    let stream = UnixStream::connect(path).await?;
                    Ok(TokioIo::new(Stream::Unix(stream)))
                })
            }
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
