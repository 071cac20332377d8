//! Connections of the admin port: few, and none that dawdles. HTTP/1.1, and HTTP/2 by prior
//! knowledge for gRPC.
//!
//! Probes ask here whether the sidecar lives, so there is always a place for one more, and a
//! descriptor.

mod places;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time;
use tokio_io_timeout::TimeoutWriter;

use self::places::{ConnectionSlot, Places};
use crate::accept::Acceptor;
use crate::descriptors::Spares;
use crate::sockets::{Listener, Peer};
use crate::tls::{Server, UnderWay};

/// Serves `router` on `listener` until `shutdown`.
pub(super) async fn serve(
    listener: Listener,
    tls: Option<Server>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let (places, handshakes) = (Places::default(), UnderWay::default());
    let spares = Arc::new(Spares::hold());
    let (stop, stopped) = watch::channel(false);
    let mut connections = Acceptor::new(&listener, "admin");
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = connections.try_next() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // Others have taken all descriptors but those that are kept for this.
            Err(_) if spares.give() => continue,
            Err(error) => {
                connections.wait(&error).await;
                spares.refill();
                continue;
            }
        };
        let (router, stopped, spares) = (router.clone(), stopped.clone(), spares.clone());
        let (place, tls) = (places.take(peer), tls.clone());
        let handshakes = handshakes.clone();
        tokio::spawn(async move {
            let secured = match tls {
                None => Some((stream, None)),
                Some(tls) => tokio::select! {
                    accepted = handshakes.secure(&tls, stream, FIRST) => {
                        accepted.map(|it| (it.stream, it.peer.and_then(|peer| peer.expires())))
                    }
                    () = place.evicted() => None,
                },
            };
            if let Some((stream, expires)) = secured {
                let served = connection(stream, peer, place, router, stopped);
                match expires {
                    None => served.await,
                    // Nobody looks at a certificate again after the handshake. A probe or a change
                    // that is under way is asked for again; a watcher would stay for ever.
                    Some(expires) => drop(time::timeout_at(expires, served).await),
                }
            }
            spares.refill();
        });
    }
    drop((listener, stopped));
    // Nobody listens when there is no connection.
    let _ = stop.send(true);
    // What is still under way after this ends with the runtime.
    time::timeout(SHUTDOWN_GRACE, stop.closed()).await.ok();
}

/// Serves one connection until its peer leaves, sends no request within [`FIRST`] or nothing new
/// for [`IDLE`], another needs its place, or all is to stop.
async fn connection<S>(
    stream: S,
    peer: Peer,
    place: ConnectionSlot,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        let busy = place.begin();
        request.extensions_mut().insert(peer);
        let answer = router.call(request);
        async move {
            let answer: Response<_> = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| busy.until_sent(body)))
        }
    });
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(MAX_HEADER);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(IDLE)
        .max_header_list_size(MAX_HEADER as u32)
        .max_concurrent_streams(MAX_STREAMS);
    // A peer that stops reading would keep what is written to it, and a watcher's place, for ever.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(UNREAD));
    let stream = TokioIo::new(Box::pin(stream));
    let mut connection = pin!(http.serve_connection(stream, service));
    let mut served = 0;
    let mut is_ending = false;
    loop {
        let quiet = async {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => true,
                () = time::sleep(if served == 0 { FIRST } else { IDLE }) => false,
            }
        };
        let is_stopped = tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection of the admin port ended");
                }
                return;
            }
            () = place.evicted() => {
                tracing::debug!(%peer, "a connection of the admin port made room for another");
                return;
            }
            is_stopped = quiet, if !is_ending => is_stopped,
        };
        let so_far = place.asked();
        if so_far == 0 {
            // It may be in the middle of a preface or a handshake, which would not end by itself.
            return;
        }
        if is_stopped || so_far == served {
            is_ending = true;
            connection.as_mut().graceful_shutdown();
        }
        served = so_far;
    }
}

const MAX_STREAMS: u32 = 64;
const MAX_HEADER: usize = 16 * 1024;
/// How long a new connection may take for the head of its first request.
const FIRST: Duration = Duration::from_secs(5);
/// How long a connection may take for a head, and is kept without a new request, up to twice.
const IDLE: Duration = Duration::from_secs(30);
/// How long a peer may leave unread what is sent to it.
const UNREAD: Duration = Duration::from_secs(30);
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
