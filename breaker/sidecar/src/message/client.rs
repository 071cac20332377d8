//! What is known of one client connection, shared by its driver, its socket and its requests.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use http::HeaderValue;
use tokio::time::Instant;

use super::limited::Limit;
use super::trust::Trusted;
use super::upgrade::Upgraded;
use crate::sockets::Peer;
use crate::tls;

/// When a connection takes no more requests, and which limit says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) at: Instant,
    pub(crate) by: Limit,
}

/// One client connection.
pub(crate) struct Client {
    /// The peer's address, for `X-Forwarded-For`; `unknown` of a Unix socket (RFC 7239, 6.2).
    address: HeaderValue,
    /// Whether it comes by TLS, and by which certificate.
    secured: Option<Option<tls::Peer>>,
    /// When it takes no more requests, if that is said.
    ends: Option<Ends>,
    /// Whether the peer is a proxy that is believed where requests came from.
    is_trusted: bool,
    /// Requests whose response is not yet handed over.
    in_flight: Cell<u32>,
    /// Requests ever begun, which tells a busy connection from an idle one.
    requests: Cell<u32>,
    /// Uploads that somebody reads still.
    uploads: Cell<u32>,
    /// Whether the last upload was left before its end: what comes next on the connection is no
    /// request.
    is_left_unread: Cell<bool>,
    /// Whether bytes came since the last request began: the beginning of the next.
    has_partial_head: Cell<bool>,
    /// Whether the peer takes less than we have for it.
    write_blocked: Cell<bool>,
    /// Whether the peer may be sending still when we are done.
    lingers: Cell<bool>,
    /// Writes that went through.
    writes: Cell<u32>,
    /// Over HTTP/2: which frame or header section the peer has begun and not ended, by its number.
    owed_frame: Cell<Option<u32>>,
    /// Interim responses that the client is to get before the next final one.
    interim: RefCell<Vec<u8>>,
    has_interim: Cell<bool>,
    /// The upstream's side of a protocol switch, until the client's side is ready for it.
    upgraded: RefCell<Option<Upgraded>>,
}

/// Counts a request for as long as it is in flight.
pub(crate) struct InFlight(Rc<Client>);

impl Client {
    pub(crate) fn new(peer: Peer, trusted: &Trusted) -> Self {
        let address = peer.ip().map(|ip| HeaderValue::from_str(&ip.to_string()));
        let address = address.and_then(Result::ok);
        Self {
            address: address.unwrap_or(HeaderValue::from_static("unknown")),
            secured: None,
            ends: None,
            is_trusted: trusted.has(peer),
            in_flight: Cell::new(0),
            requests: Cell::new(0),
            uploads: Cell::new(0),
            is_left_unread: Cell::new(false),
            has_partial_head: Cell::new(false),
            write_blocked: Cell::new(false),
            lingers: Cell::new(false),
            writes: Cell::new(0),
            owed_frame: Cell::new(None),
            interim: RefCell::default(),
            has_interim: Cell::new(false),
            upgraded: RefCell::new(None),
        }
    }

    /// It comes by TLS, with this certificate if with any.
    pub(crate) fn secured(self, certificate: Option<tls::Peer>) -> Self {
        Self {
            secured: Some(certificate),
            ..self
        }
    }

    /// It takes no more requests from then on.
    pub(crate) fn until(self, ends: Option<Ends>) -> Self {
        Self { ends, ..self }
    }

    pub(crate) const fn ends(&self) -> Option<Ends> {
        self.ends
    }

    /// The limit by which it takes no more requests, if it has reached one.
    pub(crate) fn is_over(&self) -> Option<Limit> {
        let ends = self.ends?;
        (Instant::now() >= ends.at).then_some(ends.by)
    }

    pub(crate) fn address(&self) -> &HeaderValue {
        &self.address
    }

    pub(crate) const fn is_secure(&self) -> bool {
        self.secured.is_some()
    }

    /// The client's certificate, if it has shown one.
    pub(crate) fn certificate(&self) -> Option<&tls::Peer> {
        self.secured.as_ref()?.as_ref()
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// Counts a request from its head to the end of its response.
    pub(crate) fn begin(self: &Rc<Self>, has_content: bool) -> InFlight {
        self.lingers.set(has_content);
        self.in_flight.set(self.in_flight.get() + 1);
        self.requests.set(self.requests.get().wrapping_add(1));
        self.has_partial_head.set(false);
        self.is_left_unread.set(false);
        InFlight(self.clone())
    }

    /// Whether nothing is under way: no request that is to be answered, and no upload whose answer
    /// is complete already.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.get() == 0 && self.uploads.get() == 0
    }

    /// Counts an upload until its end.
    pub(crate) fn begin_upload(&self) {
        self.uploads.set(self.uploads.get() + 1);
    }

    /// An upload has ended, or is left where it is.
    pub(crate) fn end_upload(&self, is_whole: bool) {
        self.uploads.set(self.uploads.get() - 1);
        self.is_left_unread.set(!is_whole);
        if self.is_idle() {
            self.has_partial_head.set(false);
        }
    }

    /// Whether the caller has sent less than it announced, or we have read less.
    pub(crate) fn owes_content(&self) -> bool {
        self.uploads.get() > 0 || self.is_left_unread.get()
    }

    /// Whether an upload was left before its end since this was last asked.
    pub(crate) fn take_left_unread(&self) -> bool {
        self.is_left_unread.take()
    }

    pub(crate) fn requests(&self) -> u32 {
        self.requests.get()
    }

    pub(crate) fn has_partial_head(&self) -> bool {
        self.has_partial_head.get()
    }

    pub(crate) fn write_blocked(&self) -> bool {
        self.write_blocked.get()
    }

    /// Notes that bytes were read.
    pub(crate) fn has_read(&self) {
        self.has_partial_head.set(true);
    }

    /// Notes whether a write went through.
    pub(crate) fn has_written(&self, blocked: bool) {
        self.write_blocked.set(blocked);
        if !blocked {
            self.writes.set(self.writes.get().wrapping_add(1));
        }
    }

    /// Notes what the peer has begun and not ended.
    pub(crate) fn owes_frame(&self, number: Option<u32>) {
        self.owed_frame.set(number);
    }

    pub(crate) fn owed_frame(&self) -> Option<u32> {
        self.owed_frame.get()
    }

    pub(crate) fn writes(&self) -> u32 {
        self.writes.get()
    }

    /// Lets the client have an interim response, unless it has too many to read already.
    pub(crate) fn offer_interim(&self, response: &[u8]) {
        let mut interim = self.interim.borrow_mut();
        if interim.len() + response.len() <= INTERIM_BYTES {
            interim.extend_from_slice(response);
            self.has_interim.set(true);
        }
    }

    pub(crate) fn has_interim(&self) -> bool {
        self.has_interim.get()
    }

    pub(crate) fn interim_is_written(&self) {
        self.has_interim.set(false);
    }

    /// The interim responses; whoever takes them leaves what can't be written yet.
    pub(crate) fn interim(&self) -> RefMut<'_, Vec<u8>> {
        self.interim.borrow_mut()
    }

    /// Makes the connection's end wait for the peer, so that a reset does not overtake our last
    /// response.
    pub(crate) fn linger(&self) {
        self.lingers.set(true);
    }

    pub(crate) fn lingers(&self) -> bool {
        self.lingers.get()
    }

    pub(crate) fn offer_upgrade(&self, upgraded: Upgraded) {
        *self.upgraded.borrow_mut() = Some(upgraded);
    }

    pub(crate) fn take_upgrade(&self) -> Option<Upgraded> {
        self.upgraded.borrow_mut().take()
    }
}

impl InFlight {
    pub(crate) fn client(&self) -> &Client {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
        // What was read meanwhile was this request's body.
        self.0.has_partial_head.set(false);
    }
}

/// Bytes of interim responses that wait for a client to read them.
const INTERIM_BYTES: usize = 64 * 1024;
