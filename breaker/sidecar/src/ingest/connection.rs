//! Connections of senders: HTTP/1.1 and HTTP/2 on every one, none that stays for nothing.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::intake::Handler;
use super::settings::Limits;
use crate::random;
use crate::sockets::Stream;
use crate::tls::{Accepted, Server, UnderWay};

/// What the connections of one listener share.
#[derive(Clone)]
pub(super) struct Port {
    pub(super) intake: Arc<Handler>,
    pub(super) is_loopback: bool,
    /// What senders must speak if it is TLS, and the handshakes of all listeners.
    pub(super) secured: Option<(Server, UnderWay)>,
}

/// Serves a connection until it is closed, was idle for too long, or `stopping` turns true.
pub(super) async fn serve(port: Port, stream: Stream, mut stopping: watch::Receiver<bool>) {
    let Some((tls, handshakes)) = &port.secured else {
        return requests(port, stream, None, stopping).await;
    };
    let accepted = tokio::select! {
        accepted = handshakes.secure(tls, stream, tls.settings().handshake_timeout) => accepted,
        _ = stopping.wait_for(|stopping| *stopping) => None,
    };
    if let Some(Accepted { stream, peer, .. }) = accepted {
        requests(port, stream, peer.and_then(|peer| peer.expires()), stopping).await;
    }
}

/// Answers the requests of a connection, until it is too old, or the sender's certificate expires
/// if it has one.
async fn requests(
    port: Port,
    stream: Stream,
    expires: Option<Instant>,
    mut stopping: watch::Receiver<bool>,
) {
    let Port {
        intake,
        is_loopback,
        ..
    } = port;
    let activity = Arc::new(Activity::new());
    let limits = &intake.limits;
    let builder = builder(limits);
    let service = service_fn(|request| {
        let answer = intake.clone().answer(request, is_loopback);
        let busy = activity.begin();
        async move {
            let _busy = busy;
            Ok::<_, Infallible>(answer.await)
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let aged = limits
        .age
        .map(|age| Instant::now() + random::jittered(age, JITTER));
    let (expired, aged) = (reached(expires), reached(aged));
    let mut grace = limits.grace;
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = activity.idle(limits.idle) => None,
        () = expired => None,
        () = aged => {
            // Nothing is wrong with what is under way.
            grace = limits.body;
            None
        }
        // An error: the receiver is gone, and with it this task, soon.
        _ = stopping.wait_for(|stopping| *stopping) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            let Ok(ended) = timeout(grace, connection).await else {
                return;
            };
            ended
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection with telemetry ended");
    }
}

/// Waits for a time, if there is one.
async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD as u32)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// Whether a connection has requests, and since when it has not.
struct Activity(Mutex<Requests>);

struct Requests {
    count: usize,
    changed: Instant,
}

/// A request under way.
struct Busy(Arc<Activity>);

impl Activity {
    fn new() -> Self {
        Self(Mutex::new(Requests {
            count: 0,
            changed: Instant::now(),
        }))
    }

    fn begin(self: &Arc<Self>) -> Busy {
        self.change(|count| count + 1);
        Busy(self.clone())
    }

    fn change(&self, by: impl FnOnce(usize) -> usize) {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.count = by(requests.count);
        requests.changed = Instant::now();
    }

    /// Waits until there was no request for `limit`.
    async fn idle(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let until = {
                let requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                match requests.count {
                    0 => requests.changed + limit,
                    _ => now + limit,
                }
            };
            if until <= now {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|count| count - 1);
    }
}

/// Connections that began together do not end together.
const JITTER: f64 = 0.1;
/// Bytes of a head; credentials can be long.
const MAX_HEAD: usize = 32 * 1024;
const MAX_STREAMS: u32 = 128;
/// What a sender may send ahead of our reading is held by no request: it must be little.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// A peer that is gone without a word is noticed.
const PING: Duration = Duration::from_secs(20);
