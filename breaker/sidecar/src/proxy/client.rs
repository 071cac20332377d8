//! What is known of one client connection, shared by its driver, its socket and its requests.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use http::HeaderValue;

use super::upgrade::Upgraded;

/// One client connection.
pub(crate) struct Client {
    /// The peer's address, for `X-Forwarded-For`.
    address: HeaderValue,
    /// Requests whose response is not yet handed over.
    in_flight: Cell<u32>,
    /// Requests ever begun, which tells a busy connection from an idle one.
    requests: Cell<u32>,
    /// Whether bytes came since the last request began: the beginning of the next.
    has_partial_head: Cell<bool>,
    /// Whether the peer takes less than we have for it.
    write_blocked: Cell<bool>,
    /// Whether the peer may be sending still when we are done.
    lingers: Cell<bool>,
    /// The upstream's side of a protocol switch, until the client's side is ready for it.
    upgraded: RefCell<Option<Upgraded>>,
}

/// Counts a request for as long as it is in flight.
pub(crate) struct InFlight(Rc<Client>);

impl Client {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        let address = HeaderValue::from_str(&peer.ip().to_canonical().to_string());
        Self {
            address: address.unwrap_or(HeaderValue::from_static("unknown")),
            in_flight: Cell::new(0),
            requests: Cell::new(0),
            has_partial_head: Cell::new(false),
            write_blocked: Cell::new(false),
            lingers: Cell::new(false),
            upgraded: RefCell::new(None),
        }
    }

    pub(crate) fn address(&self) -> &HeaderValue {
        &self.address
    }

    /// Counts a request from its head to the end of its response.
    pub(crate) fn begin(self: &Rc<Self>, has_content: bool) -> InFlight {
        self.lingers.set(has_content);
        self.in_flight.set(self.in_flight.get() + 1);
        self.requests.set(self.requests.get().wrapping_add(1));
        self.has_partial_head.set(false);
        InFlight(self.clone())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.get() == 0
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
    }

    /// Makes the connection's end wait for the peer, so that a reset does not overtake our last response.
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

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
        // What was read meanwhile was this request's body.
        self.0.has_partial_head.set(false);
    }
}
