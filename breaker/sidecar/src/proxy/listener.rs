//! Listening sockets, one for each worker, and taking connections from them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::connection::serve;
use super::worker::Worker;
use crate::accept::Acceptor;
use crate::message::spawn::{Kind, LocalExecutor};
use crate::sockets::{ListenAddress, Listener, Listening};
use crate::upstream::connect::keep_alive;

/// Binds `count` listeners to one address, between which the kernel spreads connections.
///
/// # Errors
///
/// Fails if the address is taken, by whomever.
pub(crate) fn bind(
    address: &ListenAddress,
    count: usize,
    tcp_keepalive: Option<Duration>,
) -> io::Result<Vec<Listening>> {
    let Some(address) = address.tcp() else {
        // All workers take from one queue.
        let mut listeners = vec![address.listen()?];
        while listeners.len() < count {
            listeners.push(listeners[0].try_clone()?);
        }
        return Ok(listeners);
    };
    let listeners = bind_tcp(address, count, tcp_keepalive)?;
    Ok(listeners.into_iter().map(Listening::Tcp).collect())
}

fn bind_tcp(
    address: SocketAddr,
    count: usize,
    tcp_keepalive: Option<Duration>,
) -> io::Result<Vec<TcpListener>> {
    let listen = |address, shared| listen(address, shared, tcp_keepalive);
    // Without sharing first: a second proxy on the same port must not silently take half of the
    // connections.
    let alone = listen(address, false)?;
    let address = alone.local_addr()?;
    if count <= 1 {
        return Ok(vec![alone]);
    }
    drop(alone);
    let first = match listen(address, true) {
        Ok(first) => first,
        // No such option here: all workers take from one queue.
        Err(_) => listen(address, false)?,
    };
    let mut listeners = vec![first];
    while listeners.len() < count {
        let next = listen(address, true).or_else(|_| listeners[0].try_clone())?;
        listeners.push(next);
    }
    Ok(listeners)
}

fn listen(
    address: SocketAddr,
    shared: bool,
    tcp_keepalive: Option<Duration>,
) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    if shared {
        socket.set_reuse_port(true)?;
    }
    if let Some(time) = tcp_keepalive {
        // Connections that are taken from it have it too.
        keep_alive(&SockRef::from(&socket), time);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Takes connections for good; trouble with one, or with descriptors, does not end it.
pub(crate) async fn accept(worker: &Rc<Worker>, listener: &Listener) {
    let mut connections = Acceptor::new(listener, "proxy");
    loop {
        worker.has_room().await;
        let (stream, peer) = connections.next().await;
        // Counted before its task runs: else a burst would be over the limit.
        let open = worker.opened();
        let served = serve(worker.clone(), open, stream, peer);
        LocalExecutor::spawn(Kind::Client, served);
    }
}

/// Connections that the kernel holds until they are taken.
const BACKLOG: i32 = 4096;
