//! A TCP connection to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Endpoint;
use crate::proxy::error::{ErrorKind, ProxyError};

/// Connects to `endpoint` within `limit`.
pub(crate) async fn connect(endpoint: &Endpoint, limit: Duration) -> Result<TcpStream, ProxyError> {
    match timeout(limit, open(endpoint)).await {
        Ok(connected) => connected,
        Err(_) => Err(ErrorKind::ConnectTimeout.into()),
    }
}

async fn open(endpoint: &Endpoint) -> Result<TcpStream, ProxyError> {
    match endpoint {
        Endpoint::Address(address) => open_address(*address).await,
        Endpoint::Name(host, port) => {
            let resolved = tokio::net::lookup_host((host.as_str(), *port)).await;
            let addresses =
                resolved.map_err(|error| ProxyError::caused_by(ErrorKind::Resolve, error))?;
            let mut failure = ErrorKind::Resolve.into();
            for address in addresses {
                match open_address(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        }
    }
}

async fn open_address(address: SocketAddr) -> Result<TcpStream, ProxyError> {
    let connected = TcpStream::connect(address).await;
    let stream = connected.map_err(|error| ProxyError::caused_by(kind_of(&error), error))?;
    // A request is written at once; waiting for more would only delay its tail.
    stream
        .set_nodelay(true)
        .map_err(|error| ProxyError::caused_by(ErrorKind::Unreachable, error))?;
    Ok(stream)
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorKind::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorKind::ConnectTimeout,
        // Out of descriptors or ports: our trouble, not the upstream's.
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => ErrorKind::Internal,
        _ if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) => ErrorKind::Internal,
        _ => ErrorKind::Unreachable,
    }
}

/// Too many open files in the process.
pub(crate) const EMFILE: i32 = 24;
/// Too many open files in the system.
pub(crate) const ENFILE: i32 = 23;
