//! A connection to an endpoint.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Endpoint;
use super::directory::NameSubscription;
use crate::accept::is_exhausted;
use crate::message::error::{ErrorKind, ProxyError};
use crate::sockets::Stream;
use crate::tls::failure::{Failure, Kind};
use crate::tls::{self, Alpn, Secured};

/// Where a connection goes, and how.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// The addresses of its name, if it has one.
    pub(crate) name: Option<&'a NameSubscription>,
    /// Which of them is tried first.
    pub(crate) turn: usize,
    pub(crate) tcp_keepalive: Option<Duration>,
    /// TLS, if the endpoint speaks it.
    pub(crate) tls: Option<&'a tls::Client>,
    /// What the endpoint is called, unless the settings of TLS say.
    pub(crate) server_name: Option<&'a ServerName<'static>>,
}

/// A connection, and what the other side chose to speak, if it was asked.
pub(crate) type Connected = Secured;

/// Connects within `limit`, in which the name is resolved too, if it was not before, and the
/// handshake of TLS is done. There, one of the protocols `offered` is spoken.
pub(crate) async fn connect(
    way: &Way<'_>,
    offered: &[Alpn],
    limit: Duration,
) -> Result<Connected, ProxyError> {
    let deadline = Instant::now() + limit;
    if way.tls.is_some_and(tls::Client::lacks_identity) {
        return Err(ErrorKind::NoIdentity.into());
    }
    let stream = dial(way.endpoint, way.name, way.turn, deadline).await?;
    if let (Some(time), Stream::Tcp(stream)) = (way.tcp_keepalive, &stream) {
        keep_alive(&SockRef::from(stream), time);
    }
    let Some(tls) = way.tls else {
        return Ok(Connected {
            stream,
            chosen: None,
        });
    };
    let configured = tls.settings().name.as_ref();
    // The configuration has made sure of one.
    let name = configured.or(way.server_name).ok_or(ErrorKind::Internal)?;
    // Boxed: who speaks no TLS does not pay for its room.
    let shaken = Box::pin(tls.connect(stream, name, offered));
    timeout_at(deadline, shaken)
        .await
        .map_err(|_late| ErrorKind::ConnectTimeout)?
        .map_err(of_tls)
}

fn of_tls(failure: Failure) -> ProxyError {
    let kind = match failure.kind {
        Kind::Certificate => ErrorKind::TlsCertificate,
        Kind::Alert(alert) => return ProxyError::refused_by(alert, failure),
        Kind::Protocol => ErrorKind::TlsProtocol,
        Kind::Closed => ErrorKind::Terminated,
    };
    ProxyError::caused_by(kind, failure)
}

async fn dial(
    endpoint: &Endpoint,
    name: Option<&NameSubscription>,
    turn: usize,
    deadline: Instant,
) -> Result<Stream, ProxyError> {
    let port = match endpoint {
        Endpoint::Address(address) => return open(*address, deadline).await,
        Endpoint::Unix(path) => return open_unix(path, deadline).await,
        Endpoint::Name(_, port) => *port,
        // Its instances have addresses of their own.
        Endpoint::Service(_) => return Err(ErrorKind::Internal.into()),
    };
    let name = name.ok_or(ErrorKind::Internal)?;
    let targets = timeout_at(deadline, name.targets())
        .await
        .map_err(|_late| ErrorKind::ResolveTimeout)??;
    let addresses = by_turns(targets.iter().map(|target| target.address), turn);
    race(addresses.map(|it| SocketAddr::new(it, port)), deadline).await
}

/// The first of the addresses that can be connected to. Another one is tried whenever one has
/// failed, or none has answered for a moment: one that is silent does not use up the time of the
/// others (RFC 8305, section 5).
async fn race(
    mut addresses: impl Iterator<Item = SocketAddr>,
    deadline: Instant,
) -> Result<Stream, ProxyError> {
    let mut failure = ErrorKind::Resolve.into();
    let mut running = FuturesUnordered::new();
    let mut next = addresses.next();
    while let Some(address) = next.take() {
        running.push(open(address, deadline));
        next = addresses.next();
        while !running.is_empty() {
            let first = async {
                match next {
                    Some(_) => timeout(BETWEEN_TRIES, running.next()).await.ok().flatten(),
                    None => running.next().await,
                }
            };
            match first.await {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = error,
                None => break,
            }
            if next.is_some() {
                break;
            }
        }
    }
    Err(failure)
}

/// The addresses by turns of both versions of IP, that of the first one first. The one at `turn`
/// is the first of its version, so that connections are spread over all of them.
fn by_turns(addresses: impl Iterator<Item = IpAddr>, turn: usize) -> impl Iterator<Item = IpAddr> {
    let addresses: Vec<_> = addresses.collect();
    let is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut firsts, mut others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == is_v6);
    for addresses in [&mut firsts, &mut others] {
        let first = turn.checked_rem(addresses.len()).unwrap_or_default();
        addresses.rotate_left(first);
    }
    let (mut firsts, mut others) = (firsts.into_iter(), others.into_iter());
    let mut first = true;
    std::iter::from_fn(move || {
        let (one, other) = match first {
            true => (&mut firsts, &mut others),
            false => (&mut others, &mut firsts),
        };
        first = !first;
        one.next().or_else(|| other.next())
    })
}

async fn open(address: SocketAddr, deadline: Instant) -> Result<Stream, ProxyError> {
    let stream = timeout_at(deadline, TcpStream::connect(address))
        .await
        .map_err(|_late| ErrorKind::ConnectTimeout)?
        .map_err(|error| ProxyError::caused_by(kind_of(&error), error))?;
    // A request is written at once; waiting for more would only delay its tail.
    stream
        .set_nodelay(true)
        .map_err(|error| ProxyError::caused_by(ErrorKind::Unreachable, error))?;
    Ok(Stream::Tcp(stream))
}

async fn open_unix(path: &Path, deadline: Instant) -> Result<Stream, ProxyError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match UnixStream::connect(path).await {
            Ok(stream) => return Ok(Stream::Unix(stream)),
            Err(error) => error,
        };
        // The upstream has as many that wait for it as it takes. TCP would ask again, too.
        if error.kind() != io::ErrorKind::WouldBlock {
            return Err(ProxyError::caused_by(kind_of(&error), error));
        }
        if Instant::now() + pause >= deadline {
            return Err(ProxyError::caused_by(ErrorKind::ConnectTimeout, error));
        }
        sleep(pause).await;
        pause = (2 * pause).min(LAST_PAUSE);
    }
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
        // A Unix socket that is not there yet, or no more.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => ErrorKind::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorKind::ConnectTimeout,
        // Out of descriptors or ports: our trouble, not the upstream's.
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => ErrorKind::Internal,
        _ if is_exhausted(error) => ErrorKind::Internal,
        _ => ErrorKind::Unreachable,
    }
}

/// Between attempts at a Unix socket.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// How long an address may be silent before another one is tried too.
const BETWEEN_TRIES: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// An address that answers nothing: its queue is full.
    async fn silent() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind((Ipv4Addr::new(127, 0, 0, 2), 0).into())
            .unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        let moment = Duration::from_millis(300);
        while let Ok(stream) = timeout(moment, TcpStream::connect(address)).await {
            held.push(stream.unwrap());
        }
        (address, held, listener)
    }

    #[tokio::test]
    async fn an_address_that_is_silent_leaves_time_for_the_others() {
        let (silent, _held, _full) = silent().await;
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = good.local_addr().map(|address| (good, address)).unwrap();
        let refused = SocketAddr::from(([127, 0, 0, 3], 1));
        let deadline = || Instant::now() + Duration::from_secs(20);
        let began = Instant::now();
        for addresses in [
            vec![silent, good.1],
            vec![refused, silent, good.1],
            vec![silent, refused, refused, good.1],
        ] {
            let stream = race(addresses.into_iter(), deadline()).await.unwrap();
            let Stream::Tcp(stream) = stream else {
                panic!("an address is reached by TCP")
            };
            assert_eq!(stream.peer_addr().unwrap(), good.1);
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{began:?}");
        let late = Instant::now() + Duration::from_millis(400);
        let error = race([silent, refused].into_iter(), late).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        let error = race([refused].into_iter(), deadline()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectRefused);
    }

    fn turned(addresses: &[IpAddr], turn: usize) -> Vec<IpAddr> {
        by_turns(addresses.iter().copied(), turn).collect()
    }

    #[test]
    fn both_versions_of_ip_take_turns() {
        let [a, b, c]: [IpAddr; 3] =
            ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|a| a.parse().unwrap());
        let six: IpAddr = "::1".parse().unwrap();
        let turns = |addresses: &[IpAddr]| turned(addresses, 0);
        let second = turned(&[a, b, c, six], 1);
        assert_eq!(second, [b, six, c, a], "they are spread");
        assert_eq!(turned(&[a, b, c], 5), [c, a, b]);
        assert_eq!(turns(&[a, b, c, six]), [a, six, b, c]);
        assert_eq!(turns(&[six, a, b]), [six, a, b]);
        assert!(turns(&[]).is_empty());
    }
}
