//! The life of a client connection: parked, served, parked again, closed.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::worker::{Open, Worker};
use super::{age, handshake, http1, http2, park};
use crate::message::client::{Client, Ends};
use crate::message::limited::Limit;
use crate::message::upgrade;
use crate::sockets::{Peer, Stream};
use crate::tls::Alpn;

/// A connection whose client has said something.
struct Begun {
    client: Rc<Client>,
    stream: Stream,
    ahead: Bytes,
    is_http2: bool,
}

/// Serves a connection until it is closed, which is counted by `open` meanwhile.
pub(crate) async fn serve(worker: Rc<Worker>, open: Open, stream: Stream, peer: Peer) {
    let _open = open;
    // Boxed, so that a connection does not pay for the room of its beginning later.
    let Some(begun) = Box::pin(begin(&worker, stream, peer)).await else {
        return;
    };
    match age::latest(&worker.limits, begun.client.certificate()) {
        None => requests(&worker, begun).await,
        Some(latest) => {
            // Boxed, so that others do not pay for the room of the alarm.
            let served = Box::pin(timeout_at(latest, requests(&worker, begun)));
            if served.await.is_err() {
                Limit::CertificateExpiry.acts();
            }
        }
    }
}

/// Shakes hands if that is to be, and waits for the first bytes; `None` if nothing comes of it.
async fn begin(worker: &Worker, mut stream: Stream, peer: Peer) -> Option<Begun> {
    let limits = &worker.limits;
    let next = park::next_bytes;
    let until = Instant::now() + limits.first_byte;
    let (mut chosen, mut secured) = (None, None);
    if let Some(tls) = &worker.tls {
        // Boxed, so that clients without TLS do not pay for the room of a handshake.
        let shaken = Box::pin(handshake::shake(worker, tls, stream, until)).await;
        let accepted = match shaken {
            Ok(accepted) => accepted,
            Err(Some(stream)) => {
                linger(stream).await;
                return None;
            }
            Err(None) => return None,
        };
        (stream, chosen) = (accepted.stream, accepted.chosen);
        secured = Some(accepted.peer);
    }
    let mut ahead = next(worker, &mut stream, until, Limit::HeaderTimeout).await?;
    let until = Instant::now() + limits.header;
    let is_told = chosen.is_some();
    while !is_told && ahead.len() < PREFACE.len() && PREFACE.starts_with(&ahead) {
        let more = next(worker, &mut stream, until, Limit::HeaderTimeout).await?;
        ahead = [ahead, more].concat().into();
    }
    let mut client = Client::new(peer, &limits.trusted_proxies);
    if let Some(certificate) = secured {
        client = client.secured(certificate);
    }
    let ends = age::ends(limits, client.certificate());
    let is_http2 = match chosen {
        Some(chosen) => chosen == Alpn::Http2,
        None => ahead.starts_with(PREFACE),
    };
    Some(Begun {
        client: Rc::new(client.until(ends)),
        stream,
        ahead,
        is_http2,
    })
}

/// Serves requests, parked between those of HTTP/1.
async fn requests(worker: &Rc<Worker>, begun: Begun) {
    let Begun {
        client,
        mut stream,
        mut ahead,
        is_http2,
    } = begun;
    if is_http2 {
        return Box::pin(http2::serve(worker.clone(), client, stream, ahead)).await;
    }
    let limits = &worker.limits;
    loop {
        // Boxed, so that a parked connection does not pay for the room that a served one needs.
        match Box::pin(http1::serve(worker, &client, stream, ahead)).await {
            http1::Next::Park(idle) => stream = idle,
            http1::Next::Linger(stream) => return linger(stream).await,
            http1::Next::Tunnel(ours, theirs) => {
                // Its end, good or bad, is between the two, unless it is ours.
                let ended = Box::pin(upgrade::tunnel(ours, theirs, limits.tunnel_idle)).await;
                if ended.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                    Limit::TunnelIdleTimeout.acts();
                }
                return;
            }
            http1::Next::Closed => return,
        }
        let idle = Ends {
            at: Instant::now() + limits.keep_alive,
            by: Limit::IdleTimeout,
        };
        let first = client.ends().filter(|ends| ends.at < idle.at);
        let Ends { at, by } = first.unwrap_or(idle);
        match park::next_bytes(worker, &mut stream, at, by).await {
            Some(bytes) => ahead = bytes,
            None => return stream.leave(),
        }
    }
}

/// Ends a connection whose peer may still be sending: closing at once would reset it, and the reset
/// could overtake the response that tells why (RFC 9112, 9.6).
async fn linger(mut stream: Stream) {
    let drain = async {
        let mut scratch = [0; 1024];
        let mut left = LINGER_BYTES;
        stream.shutdown().await?;
        while left > 0 {
            match stream.read(&mut scratch).await? {
                0 => break,
                size => left = left.saturating_sub(size),
            }
        }
        Ok::<_, io::Error>(())
    };
    // Whether it ends well or not, the connection is over.
    let _ = timeout(LINGER, drain).await;
}

/// What an HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a peer is waited for at the end.
const LINGER: Duration = Duration::from_secs(2);
/// How much it may still send.
const LINGER_BYTES: usize = 4 << 20;
