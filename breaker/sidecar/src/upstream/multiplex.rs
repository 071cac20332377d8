//! One HTTP/2 connection to an endpoint, and the places for streams on it.

use std::cell::Cell;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use h2::Reason;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::AlertDescription;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::HeadLimits;
use super::peer::{Peer, overheard};
use crate::causes;
use crate::message::body::RequestBody;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::spawn::{Kind, LocalExecutor};
use crate::sockets::{Alert, Stream};
use crate::tls::failure::refuses;

/// An HTTP/2 connection.
pub(crate) struct Multiplex {
    sender: SendRequest<RequestBody>,
    peer: Rc<Peer>,
    /// Places that are taken, and those of them that only linger.
    taken: Cell<u32>,
    lingering: Cell<u32>,
    /// Ends the connection.
    end: Rc<Notify>,
    /// Since when none is.
    idle_since: Cell<Instant>,
    /// Whether it has answered a request.
    has_answered: Cell<bool>,
    /// The first request since anything was last read: when it was sent, and the reads then.
    asked: Cell<(Instant, u64)>,
    /// Whether nothing more is expected of it.
    is_given_up: Cell<bool>,
    /// Of a connection in TLS.
    alert: Option<Alert>,
    /// Where it goes; `None` for a Unix socket.
    address: Option<IpAddr>,
    /// When it is too old for further requests.
    usable_until: Option<Instant>,
}

/// A place for one stream, taken until the stream is over in both directions.
pub(crate) struct StreamSlot {
    connection: Rc<Multiplex>,
    /// What had been read when the request was sent.
    reads: Cell<u64>,
    /// Whether nothing of the stream matters any more.
    lingers: Cell<bool>,
}

/// Why HTTP/2 has lost a request, or its answer, where the error itself says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The upstream did not take the stream.
    Refused,
    /// The upstream takes no more streams, and this one is above the last that it has taken.
    Above,
    /// Our h2 gave up a connection of which more small frames waited than it keeps.
    TooManyFrames,
}

// === impl Multiplex ===

impl Multiplex {
    /// Starts HTTP/2 on a connection. `changed` is told when it takes more requests or none.
    pub(crate) async fn open(
        stream: Stream,
        head: HeadLimits,
        ping: Option<Duration>,
        changed: Rc<Notify>,
    ) -> Result<Self, ProxyError> {
        let peer = Rc::new(Peer::new(changed.clone()));
        let alert = stream.alert();
        let handshake = Builder::new(LocalExecutor(Kind::Upstream))
            .timer(TokioTimer::new())
            // None by default: gRPC servers end a connection that is pinged oftener than each five
            // minutes.
            .keep_alive_interval(ping)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_header_list_size(list_size(head))
            // Places are counted here, so that no request waits in h2 for another's end.
            .initial_max_send_streams(STREAMS_MAX as usize)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(STREAMS_MAX * STREAM_WINDOW)
            .handshake(TokioIo::new(overheard(stream, peer.clone())));
        let (sender, connection) = handshake
            .await
            .map_err(|error| ProxyError::caused_by(ErrorKind::Protocol, error))?;
        let end = Rc::new(Notify::new());
        let ended = end.clone();
        LocalExecutor::spawn(Kind::Upstream, async move {
            tokio::select! {
                // An error of the connection is told to each request that it hits.
                _ = connection => {}
                () = ended.notified() => {}
            }
            changed.notify_waiters();
        });
        Ok(Self {
            sender,
            peer,
            taken: Cell::new(0),
            lingering: Cell::new(0),
            end,
            idle_since: Cell::new(Instant::now()),
            has_answered: Cell::new(false),
            asked: Cell::new((Instant::now(), u64::MAX)),
            is_given_up: Cell::new(false),
            alert,
            address: None,
            usable_until: None,
        })
    }

    /// It goes to this address, and takes further requests until then.
    pub(super) fn usable_at(self, address: Option<IpAddr>, until: Option<Instant>) -> Self {
        Self {
            address,
            usable_until: until,
            ..self
        }
    }

    /// Where it goes, and until when it takes further requests.
    pub(super) fn usable(&self) -> (Option<IpAddr>, Option<Instant>) {
        (self.address, self.usable_until)
    }

    /// Lets it take no further requests.
    pub(super) fn give_up(&self) {
        self.is_given_up.set(true);
    }

    /// Whether it takes no further requests.
    pub(super) fn is_over(&self) -> bool {
        self.sender.is_closed() || self.peer.is_leaving() || self.is_given_up.get()
    }

    /// Whether its peer has not yet said how many streams it takes.
    pub(super) fn is_untold(&self) -> bool {
        self.peer.streams().is_none()
    }

    /// Whether its peer says that it takes no streams.
    pub(super) fn takes_none(&self) -> bool {
        self.peer.streams() == Some(0)
    }

    /// A place on it, if there is one. Until the peer has said how many it takes, there is one:
    /// more might be too many, and none would cost each first request a round trip.
    pub(super) fn place(self: &Rc<Self>) -> Option<StreamSlot> {
        let places = self.peer.streams().unwrap_or(1).min(STREAMS_MAX);
        let taken = self.taken.get();
        (taken < places && !self.is_over()).then(|| {
            self.taken.set(taken + 1);
            StreamSlot {
                connection: self.clone(),
                reads: Cell::default(),
                lingers: Cell::default(),
            }
        })
    }

    /// Since when no stream is open; `None` if one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.taken.get() == 0).then(|| self.idle_since.get())
    }

    /// Ends the connection if nothing matters any more that is on it.
    fn end_if_all_linger(&self) {
        let lingering = self.lingering.get();
        if lingering > 0 && lingering == self.taken.get() {
            self.end.notify_one();
        }
    }

    /// Notes that a request is sent.
    fn asks(&self) -> u64 {
        let reads = self.peer.reads();
        if self.asked.get().1 != reads {
            self.asked.set((Instant::now(), reads));
        }
        reads
    }
}

// === impl StreamSlot ===

impl StreamSlot {
    /// Whether the endpoint takes the header section of `request`, as far as it has said.
    pub(crate) fn takes(&self, request: &Request<RequestBody>) -> bool {
        let Some(limit) = self.connection.peer.header_limit() else {
            return true;
        };
        let fields = request.headers().iter();
        let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
        let uri = request.uri();
        let path = uri
            .path_and_query()
            .map_or(1, |target| target.as_str().len());
        let host = uri.authority().map_or(0, |host| host.as_str().len());
        // `:method`, `:scheme`, `:authority` and `:path`, the scheme being `https` at the most.
        let names = 7 + 7 + 10 + 5 + 4 * FIELD_OVERHEAD + 5;
        let size = names + request.method().as_str().len() + path + host + fields.sum::<usize>();
        size <= limit as usize
    }

    /// Sends a request and waits for its response's head. The request's body keeps the place too.
    pub(crate) fn send(
        self: &Rc<Self>,
        mut request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        request.body_mut().hold(self.clone());
        self.reads.set(self.connection.asks());
        self.connection.sender.clone().try_send_request(request)
    }

    /// The upstream has answered.
    pub(crate) fn answered(&self) {
        self.connection.has_answered.set(true);
    }

    /// Whether the connection has ever answered: if not, its end is no matter of its age.
    pub(crate) fn has_answered(&self) -> bool {
        self.connection.has_answered.get()
    }

    /// The alert of TLS by which the upstream has refused the connection, if it has: it read
    /// nothing of the request.
    pub(crate) fn refusal(&self) -> Option<AlertDescription> {
        let alert = self.connection.alert.as_ref().and_then(Alert::heard);
        let is_new = self.connection.peer.reads() == 0;
        alert.filter(|alert| is_new && refuses(*alert))
    }

    /// The request is given up without an answer. If nothing at all was read meanwhile, the
    /// connection may be dead, and further requests go over another one.
    pub(crate) fn is_late(&self) {
        if self.connection.peer.reads() == self.reads.get() {
            self.connection.is_given_up.set(true);
        }
    }

    /// The upstream has answered completely, and neither takes the rest of the upload nor resets
    /// the stream, as it may (RFC 9113, 8.1): hyper would wait for ever. The connection takes no
    /// further requests, and ends with the last stream that matters.
    pub(crate) fn lingers(&self) {
        if !self.lingers.replace(true) {
            let lingering = &self.connection.lingering;
            lingering.set(lingering.get() + 1);
            self.connection.give_up();
            self.connection.end_if_all_linger();
        }
    }

    /// The caller has left before there was an answer, perhaps sooner than the upstream answers:
    /// the same, if the connection was silent for some time by then.
    pub(crate) fn is_left(&self) {
        let (at, reads) = self.connection.asked.get();
        if reads == self.connection.peer.reads() && at.elapsed() >= SILENCE {
            self.is_late();
        }
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let taken = &self.connection.taken;
        taken.set(taken.get() - 1);
        if self.lingers.get() {
            let lingering = &self.connection.lingering;
            lingering.set(lingering.get() - 1);
        }
        self.connection.end_if_all_linger();
        self.connection.idle_since.set(Instant::now());
    }
}

// === impl Loss ===

impl Loss {
    pub(crate) fn of(error: &hyper::Error) -> Option<Self> {
        let error = causes::chain(error).find_map(|cause| cause.downcast_ref::<h2::Error>())?;
        match error.reason() {
            Some(Reason::REFUSED_STREAM) if error.is_reset() && error.is_remote() => {
                Some(Self::Refused)
            }
            // Only those above are told of it: others go on, or fail as the connection does.
            _ if error.is_go_away() && error.is_remote() => Some(Self::Above),
            Some(Reason::ENHANCE_YOUR_CALM) if error.is_go_away() && error.is_library() => {
                Some(Self::TooManyFrames)
            }
            _ => None,
        }
    }
}

/// What HTTP/2 is to take of a head, by its own way of counting; what is over our limits is told
/// apart by us.
fn list_size(head: HeadLimits) -> u32 {
    let overhead = head.fields.saturating_mul(32);
    let size = head.bytes.saturating_add(overhead).saturating_mul(2);
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// What each field counts for beside its name and value (RFC 9113, 6.5.2).
const FIELD_OVERHEAD: usize = 32;
/// How long the answer to a ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams of one connection, if its peer takes as many.
pub(super) const STREAMS_MAX: u32 = 1000;
/// Bytes of one stream that may wait for a caller that does not read. The connection's window has
/// room for all of its streams, so that none can take another's.
const STREAM_WINDOW: u32 = 256 * 1024;
/// How long a connection may be silent before a caller that leaves makes it suspect.
const SILENCE: Duration = Duration::from_millis(500);
