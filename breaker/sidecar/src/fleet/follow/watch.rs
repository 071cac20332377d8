//! The connection to a brain: what it tells of its breakers, as it happens.

use std::io;

use breaker_proto::v1;
use breaker_proto::v1::control_client::ControlClient;
use breaker_tower::breaker_core::fleet::FRESH;
use http::uri::{Scheme, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};
use tower::service_fn;

use crate::causes::in_full;
use crate::config::{Follow, Token};
use crate::sockets::Stream;
use crate::tls::{Alpn, Client};

/// What a brain tells.
#[derive(Debug)]
pub(super) struct Watch(Streaming<v1::WatchBreakersResponse>);

/// Why a brain is not heard.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    /// The token can't be read.
    #[error("token_file {0}")]
    Token(String),
    /// There is no connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// It refuses.
    #[error("it refuses: {0}")]
    Refused(String),
    /// It has ended the stream.
    #[error("it has ended the stream")]
    Ended,
    /// It takes too long.
    #[error("it has said nothing for 3s")]
    Silent,
    /// What it has said meanwhile is old.
    #[error("this process stood still for more than 3s")]
    StoodStill,
}

impl Watch {
    /// Connects to the brain, and watches its breakers.
    pub(super) async fn begin(follow: &Follow) -> Result<Self, WatchError> {
        timeout(FRESH, Self::begin_slowly(follow))
            .await
            .map_err(|_late| WatchError::Silent)?
    }

    async fn begin_slowly(follow: &Follow) -> Result<Self, WatchError> {
        let mut request = Request::new(v1::WatchBreakersRequest {});
        if let Some(file) = follow.token_file() {
            // Read each time, so that another token needs no restart.
            let token = Token::read(file).map_err(|rule| WatchError::Token(rule.to_string()))?;
            request
                .metadata_mut()
                .insert("authorization", bearer(&token));
        }
        let channel = connect(follow).await?;
        let mut client = ControlClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let watching = client.watch_breakers(request).await;
        let watching = watching.map_err(|status| refused(&status))?;
        Ok(Self(watching.into_inner()))
    }

    /// The next message; a brain speaks each second.
    pub(super) async fn next(&mut self) -> Result<v1::WatchBreakersResponse, WatchError> {
        let message = timeout(FRESH, self.0.message()).await;
        let message = message.map_err(|_late| WatchError::Silent)?;
        let message = message.map_err(|status| refused(&status))?;
        message.ok_or(WatchError::Ended)
    }
}

fn refused(status: &tonic::Status) -> WatchError {
    match status.message() {
        "" => WatchError::Refused(status.code().to_string()),
        // It is of a stranger, and is logged.
        message => WatchError::Refused(message.chars().take(TEXT).collect()),
    }
}

fn bearer(token: &Token) -> AsciiMetadataValue {
    let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", token.reveal()))
        .expect("visible ASCII characters");
    value.set_sensitive(true);
    value
}

async fn connect(follow: &Follow) -> Result<Channel, WatchError> {
    let failed = |error: &(dyn std::error::Error + 'static)| WatchError::Connect(in_full(error));
    let brain = follow.brain();
    // TLS is ours: to the transport it is a connection like any other, whose URL says https.
    let mut plain = brain.clone().into_parts();
    plain.scheme = Some(Scheme::HTTP);
    let plain = Uri::from_parts(plain).map_err(|error| failed(&error))?;
    let endpoint = Endpoint::from(plain).origin(brain.clone());
    let (host, tls) = (follow.host().to_owned(), follow.tls().cloned());
    let port = crate::config::port_of(brain);
    let dial = service_fn(move |_url: Uri| {
        let (host, tls) = (host.clone(), tls.clone());
        async move { dial(&host, port, tls.as_ref()).await.map(TokioIo::new) }
    });
    let channel = endpoint.connect_with_connector(dial).await;
    channel.map_err(|error| failed(&error))
}

async fn dial(host: &str, port: u16, tls: Option<&Client>) -> io::Result<Stream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let stream = Stream::Tcp(stream);
    let Some(tls) = tls else {
        return Ok(stream);
    };
    let name = match &tls.settings().name {
        Some(name) => name.clone(),
        None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
    };
    let secured = tls.connect(stream, &name, &[Alpn::Http2]).await;
    Ok(secured.map_err(io::Error::other)?.stream)
}

/// The brain may have 10,000 routes.
const MAX_MESSAGE: usize = 64 << 20;
/// Characters of what is logged of a refusal.
const TEXT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_refusal_the_begin_is_logged() {
        let said = |message: &str| refused(&tonic::Status::permission_denied(message)).to_string();
        assert_eq!(said("not you"), "it refuses: not you");
        let long = format!("it refuses: {}", "é".repeat(200));
        assert_eq!(said(&"é".repeat(5000)), long);
    }
}
