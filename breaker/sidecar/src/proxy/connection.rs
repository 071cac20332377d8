//! The life of a client connection: parked, served, parked again, closed.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::worker::{Open, Worker};
use super::{handshake, http1, http2, park};
use crate::message::client::Client;
use crate::message::limited::Limit;
use crate::message::upgrade;
use crate::sockets::{Peer, Stream};
use crate::tls::Alpn;

/// Serves a connection until it is closed, which is counted by `open` meanwhile.
pub(crate) async fn serve(worker: Rc<Worker>, open: Open, mut stream: Stream, peer: Peer) {
    let _open = open;
    let limits = &worker.limits;
    let next = park::next_bytes;
    let until = Instant::now() + limits.first_byte;
    let (mut chosen, mut secured) = (None, None);
    if let Some(tls) = &worker.tls {
        // Boxed, so that a connection does not pay for the room of its handshake later.
        let shaken = Box::pin(handshake::shake(&worker, tls, stream, until)).await;
        let accepted = match shaken {
            Ok(accepted) => accepted,
            Err(Some(stream)) => return linger(stream).await,
            Err(None) => return,
        };
        (stream, chosen) = (accepted.stream, accepted.chosen);
        secured = Some(accepted.peer);
    }
    let Some(mut ahead) = next(&worker, &mut stream, until, Limit::HeaderTimeout).await else {
        return;
    };
    let until = Instant::now() + limits.header;
    let is_told = chosen.is_some();
    while !is_told && ahead.len() < PREFACE.len() && PREFACE.starts_with(&ahead) {
        let Some(more) = next(&worker, &mut stream, until, Limit::HeaderTimeout).await else {
            return;
        };
        ahead = [ahead, more].concat().into();
    }
    let mut client = Client::new(peer, &limits.trusted_proxies);
    if let Some(certificate) = secured {
        client = client.secured(certificate);
    }
    let client = Rc::new(client);
    let is_http2 = match chosen {
        Some(chosen) => chosen == Alpn::Http2,
        None => ahead.starts_with(PREFACE),
    };
    if is_http2 {
        return Box::pin(http2::serve(worker.clone(), client, stream, ahead)).await;
    }
    loop {
        // Boxed, so that a parked connection does not pay for the room that a served one needs.
        match Box::pin(http1::serve(&worker, &client, stream, ahead)).await {
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
        let until = Instant::now() + limits.keep_alive;
        match next(&worker, &mut stream, until, Limit::IdleTimeout).await {
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
