//! Sockets of both kinds, TCP and Unix: where something listens, who comes, and the stream between.

mod dial;
mod file;
mod stream;
mod transport;

use std::fmt;
use std::io;
use std::net::{self, IpAddr, SocketAddr};
use std::os::unix::net as unix;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;

use self::file::SocketFile;

pub use self::dial::Dial;
pub use self::stream::Stream;
pub(crate) use self::transport::Alert;
pub use self::transport::Transport;

/// Where something listens: an address, or the path of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(SocketPath),
}

/// The path of a Unix socket that is made, and who may use it: `unix:/run/breaker.sock`, or with a
/// mode `unix:/run/breaker.sock?mode=0600`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPath {
    path: Arc<Path>,
    mode: u32,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address.
    Tcp(SocketAddr),
    /// A program of this machine, by a Unix socket.
    Unix,
}

/// A socket that listens, before there is a runtime to take connections from it.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener, Arc<SocketFile>),
}

/// A socket that connections are taken from.
#[derive(Debug)]
pub enum Listener {
    /// Of an address.
    Tcp(TcpListener),
    /// Of a Unix socket, whose file is removed with it.
    Unix(UnixListener, Arc<SocketFile>),
}

/// The path of a text that begins with `unix:`. It is as long as the system takes it.
///
/// # Errors
/// The rule that the text breaks.
pub(crate) fn path_of(text: &str) -> Result<&Path, &'static str> {
    let rule = "must be unix: and an absolute path of at most 107 bytes";
    let path = text.strip_prefix(SCHEME).ok_or(rule)?;
    let is_plain = !path.contains(['?', '#', '\0']) && !path.ends_with('/');
    match path.starts_with('/') && is_plain && path.len() <= MAX_PATH {
        true => Ok(Path::new(path)),
        false => Err(rule),
    }
}

// === impl ListenAddress ===

impl ListenAddress {
    /// The address, if it is one.
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The path, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(socket) => Some(&socket.path),
        }
    }

    /// Whether only programs of this machine reach it.
    pub fn is_local(&self) -> bool {
        self.tcp().is_none_or(|address| address.ip().is_loopback())
    }

    /// Whether something that listens on both would take the one for the other.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => one == other && one.port() != 0,
            (Self::Unix(one), Self::Unix(other)) => one.path == other.path,
            _ => false,
        }
    }

    /// Listens there.
    pub(crate) fn listen(&self) -> io::Result<Listening> {
        match self {
            Self::Tcp(address) => {
                let listener = net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(Listening::Tcp(listener))
            }
            Self::Unix(socket) => socket.listen(),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(socket) => write!(f, "{SCHEME}{}", socket.path.display()),
        }
    }
}

// === impl SocketPath ===

impl SocketPath {
    pub(crate) fn listen(&self) -> io::Result<Listening> {
        let (listener, file) = file::bind(&self.path, self.mode)?;
        Ok(Listening::Unix(listener, Arc::new(file)))
    }
}

impl FromStr for SocketPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, mode) = match text.split_once("?mode=") {
            None => (text, MODE),
            Some((path, digits)) => {
                let is_octal = digits.len() <= 4 && digits.bytes().all(|b| b.is_ascii_digit());
                let mode = u32::from_str_radix(digits, 8).ok().filter(|_| is_octal);
                let mode = mode.filter(|mode| *mode <= 0o777);
                (
                    path,
                    mode.ok_or("must have an octal mode, such as ?mode=0660")?,
                )
            }
        };
        Ok(Self {
            path: path_of(path)?.into(),
            mode,
        })
    }
}

// === impl Peer ===

impl Peer {
    /// The address, without the port.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip().to_canonical()),
            Self::Unix => None,
        }
    }

    /// Whether it is a program of this machine.
    pub fn is_local(self) -> bool {
        self.ip().is_none_or(|ip| ip.is_loopback())
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

// === impl Listening ===

impl Listening {
    pub(crate) fn address(&self) -> io::Result<ListenAddress> {
        Ok(match self {
            Self::Tcp(listener) => ListenAddress::Tcp(listener.local_addr()?),
            Self::Unix(_, file) => file.address(),
        })
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener, file) => Self::Unix(listener.try_clone()?, file.clone()),
        })
    }

    /// Takes connections by the runtime that this is called on.
    pub(crate) fn into_async(self) -> io::Result<Listener> {
        Ok(match self {
            Self::Tcp(listener) => Listener::Tcp(TcpListener::from_std(listener)?),
            Self::Unix(listener, file) => Listener::Unix(UnixListener::from_std(listener)?, file),
        })
    }
}

// === impl Listener ===

impl Listener {
    /// Whether only programs of this machine reach it by an address, as browsers can, too.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .is_ok_and(|address| address.ip().is_loopback()),
            Self::Unix(..) => false,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Tcp(stream), peer.into()))
            }
            Self::Unix(listener, file) => loop {
                // While nobody comes, somebody may have removed the file.
                match timeout(BETWEEN_LOOKS, listener.accept()).await {
                    Ok(accepted) => return Ok((Stream::Unix(accepted?.0), Peer::Unix)),
                    Err(_nobody) => file.look(),
                }
            },
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

/// How long nobody may come until the file of a socket is looked for.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
/// How a Unix socket is written, before its path.
pub(crate) const SCHEME: &str = "unix:";
/// Its owner and his group.
const MODE: u32 = 0o660;
/// `sun_path` has 108 bytes, and ends with a zero.
const MAX_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_a_scheme_an_absolute_path_and_a_mode() {
        for (text, path, mode) in [
            ("unix:/run/b.sock", "/run/b.sock", 0o660),
            ("unix:/run/b.sock?mode=0600", "/run/b.sock", 0o600),
            ("unix:/b?mode=777", "/b", 0o777),
        ] {
            let socket: SocketPath = text.parse().unwrap();
            assert_eq!(
                (&*socket.path, socket.mode),
                (Path::new(path), mode),
                "{text}"
            );
        }
        let long = format!("unix:/{}", "a".repeat(107));
        for wrong in ["unix:", "unix:b.sock", "unix:/", "unix:/b?x", "/b", &long] {
            let rule = wrong.parse::<SocketPath>().unwrap_err();
            assert!(rule.contains("absolute path"), "{wrong}: {rule}");
        }
        assert!(long[..long.len() - 1].parse::<SocketPath>().is_ok());
        for wrong in ["0o660", "888", "1777", "", "+7"] {
            let rule = format!("unix:/b?mode={wrong}")
                .parse::<SocketPath>()
                .unwrap_err();
            assert!(rule.contains("octal mode"), "{wrong}: {rule}");
        }
    }
}
