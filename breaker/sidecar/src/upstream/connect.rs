//! A TCP connection to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::Endpoint;
use super::resolve::Resolver;
use crate::accept::is_exhausted;
use crate::message::error::{ErrorKind, ProxyError};

/// Connects to `endpoint` within `limit`, in which its name is resolved too.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    limit: Duration,
    resolver: &Resolver,
) -> Result<TcpStream, ProxyError> {
    let deadline = Instant::now() + limit;
    let (host, port) = match endpoint {
        Endpoint::Address(address) => return open(*address, deadline).await,
        Endpoint::Name(host, port) => (host, *port),
    };
    let addresses = timeout_at(deadline, resolver.resolve(host))
        .await
        .map_err(|_late| ErrorKind::ResolveTimeout)?
        .map_err(|error| ProxyError::caused_by(ErrorKind::Resolve, error))?;
    let mut failure = ErrorKind::Resolve.into();
    for address in addresses {
        match open(SocketAddr::new(address, port), deadline).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn open(address: SocketAddr, deadline: Instant) -> Result<TcpStream, ProxyError> {
    let stream = timeout_at(deadline, TcpStream::connect(address))
        .await
        .map_err(|_late| ErrorKind::ConnectTimeout)?
        .map_err(|error| ProxyError::caused_by(kind_of(&error), error))?;
    // A request is written at once; waiting for more would only delay its tail.
    stream
        .set_nodelay(true)
        .map_err(|error| ProxyError::caused_by(ErrorKind::Unreachable, error))?;
    Ok(stream)
}

/// Lets the kernel find out that a peer is gone without a word, `time` after the last one and some
/// more.
pub(crate) fn keep_alive(socket: &SockRef<'_>, time: Duration) {
    let probes = TcpKeepalive::new()
        .with_time(time)
        .with_interval((time / 4).max(Duration::from_secs(1)))
        .with_retries(4);
    // A socket that refuses is closed already, or does without.
    let _ = socket.set_tcp_keepalive(&probes);
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorKind::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorKind::ConnectTimeout,
        // Out of descriptors or ports: our trouble, not the upstream's.
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => ErrorKind::Internal,
        _ if is_exhausted(error) => ErrorKind::Internal,
        _ => ErrorKind::Unreachable,
    }
}
