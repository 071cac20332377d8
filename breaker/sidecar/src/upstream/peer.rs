//! What an upstream of HTTP/2 says of its connection, overheard as it passes: h2 reads it too, and
//! tells nobody.
//!
//! * `SETTINGS_MAX_HEADER_LIST_SIZE`: an upstream that gets more may reset the stream or the
//!   connection, and any caller can send more: it would open a breaker.
//! * `SETTINGS_MAX_CONCURRENT_STREAMS`: above it, h2 lets requests wait for each other.
//! * GOAWAY: no further request is taken.
//! * Anything at all: whether it is alive.

use std::cell::Cell;
use std::rc::Rc;

use tokio::io::AsyncRead;
use tokio::sync::Notify;
use tokio_util::io::InspectReader;

use crate::message::frame::{self, ACK, GOAWAY, HEADER, SETTINGS, fill};

/// What the peer of a connection has said so far.
#[derive(Debug)]
pub(super) struct Peer {
    /// The largest header section that it takes, by RFC 9113, 6.5.2; `None` until it has said one.
    header_limit: Cell<Option<u32>>,
    /// The streams that it takes at once; `None` until its first settings have come.
    streams: Cell<Option<u32>>,
    is_leaving: Cell<bool>,
    /// How often anything was read from it.
    reads: Cell<u64>,
    /// Told when its first settings have come, or it leaves.
    changed: Rc<Notify>,
}

/// Reads the frames of a server, whose first is SETTINGS.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER],
    filled: usize,
    /// Bytes of the frame's payload that are still to come.
    left: usize,
    /// A setting, as far as it has come.
    setting: [u8; SETTING],
    known: usize,
}

/// `connection`, whose peer is listened to as it passes.
pub(super) fn overheard<T: AsyncRead>(
    connection: T,
    peer: Rc<Peer>,
) -> InspectReader<T, impl FnMut(&[u8])> {
    let mut frames = Frames::default();
    InspectReader::new(connection, move |bytes: &[u8]| {
        peer.reads.set(peer.reads.get().wrapping_add(1));
        frames.pass(bytes, &peer);
    })
}

// === impl Peer ===

impl Peer {
    /// One that has said nothing; `changed` is told when it has.
    pub(super) fn new(changed: Rc<Notify>) -> Self {
        Self {
            header_limit: Cell::default(),
            streams: Cell::default(),
            is_leaving: Cell::default(),
            reads: Cell::default(),
            changed,
        }
    }

    pub(super) fn header_limit(&self) -> Option<u32> {
        self.header_limit.get()
    }

    /// The streams that it takes at once; `None` until its first settings have come.
    pub(super) fn streams(&self) -> Option<u32> {
        self.streams.get()
    }

    /// Whether it takes no further requests.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.get()
    }

    /// Changes whenever anything is read from it.
    pub(super) fn reads(&self) -> u64 {
        self.reads.get()
    }

    fn leaves(&self) {
        self.is_leaving.set(true);
        self.changed.notify_waiters();
    }

    fn sets(&self, [high, low, a, b, c, d]: [u8; SETTING]) {
        let value = u32::from_be_bytes([a, b, c, d]);
        match u16::from_be_bytes([high, low]) {
            MAX_CONCURRENT_STREAMS => self.streams.set(Some(value)),
            MAX_HEADER_LIST_SIZE => self.header_limit.set(Some(value)),
            _ => {}
        }
    }

    /// A SETTINGS frame is over. One that says nothing of streams leaves them without a limit.
    fn has_set(&self) {
        self.streams.set(self.streams.get().or(Some(u32::MAX)));
        self.changed.notify_waiters();
    }
}

// === impl Frames ===

impl Frames {
    /// Takes note of bytes received from `peer`.
    fn pass(&mut self, mut bytes: &[u8], peer: &Peer) {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = fill(&mut self.header, &mut self.filled, bytes);
                if self.filled == HEADER {
                    self.left = frame::payload(self.header);
                    (self.filled, self.known) = (0, 0);
                    if self.header[3] == GOAWAY {
                        peer.leaves();
                    }
                    self.ends(peer);
                }
                continue;
            }
            let taken = self.left.min(bytes.len());
            let (mut payload, rest) = bytes.split_at(taken);
            (self.left, bytes) = (self.left - taken, rest);
            while self.is_settings() && !payload.is_empty() {
                payload = fill(&mut self.setting, &mut self.known, payload);
                if self.known == SETTING {
                    self.known = 0;
                    peer.sets(self.setting);
                }
            }
            self.ends(peer);
        }
    }

    fn ends(&self, peer: &Peer) {
        if self.left == 0 && self.is_settings() {
            peer.has_set();
        }
    }

    fn is_settings(&self) -> bool {
        self.header[3] == SETTINGS && self.header[4] & ACK == 0
    }
}

/// RFC 9113, 6.5.1 and 6.5.2.
const SETTING: usize = 6;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const MAX_HEADER_LIST_SIZE: u16 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    }

    /// What is known of a peer that has sent `bytes`, in pieces of such a size.
    fn heard(bytes: &[u8], size: usize) -> (Option<u32>, Option<u32>, bool) {
        let peer = Peer::new(Rc::default());
        let mut frames = Frames::default();
        for piece in bytes.chunks(size) {
            frames.pass(piece, &peer);
        }
        (peer.header_limit(), peer.streams(), peer.is_leaving())
    }

    #[test]
    fn settings_are_read_however_the_frames_are_cut() {
        let other = [0, 4, 0, 0, 0, 9];
        let (fields, streams) = ([0, 6, 0, 0, 4, 0], [0, 3, 0, 0, 0, 7]);
        let bytes = [
            frame(SETTINGS, 0, &[other, fields, streams, other].concat()),
            frame(SETTINGS, ACK, &[]),
            frame(0, 0, &fields),
            frame(6, 0, &[0, 6, 0, 0, 0, 0, 0, 1]),
        ]
        .concat();
        for size in 1..=bytes.len() {
            let expected = (Some(1024), Some(7), false);
            assert_eq!(heard(&bytes, size), expected, "{size}");
        }
    }

    #[test]
    fn streams_are_unknown_until_the_first_settings_are_whole() {
        let limit = [0, 3, 0, 0, 0, 2];
        let whole = frame(SETTINGS, 0, &limit);
        for (bytes, streams) in [
            (&[][..], None),
            (&frame(SETTINGS, ACK, &[]), None),
            (&frame(SETTINGS, 0, &[]), Some(u32::MAX)),
            (&whole, Some(2)),
            (&whole[..14], None),
            (&[&whole[..], &frame(SETTINGS, 0, &[])].concat(), Some(2)),
            (&[&frame(SETTINGS, 0, &[])[..], &whole].concat(), Some(2)),
        ] {
            assert_eq!(heard(bytes, 1).1, streams, "{bytes:?}");
        }
    }

    #[test]
    fn the_last_one_counts_and_garbage_ends_nowhere() {
        let two = [0, 6, 0, 0, 0, 1, 0, 6, 0, 0, 0, 2];
        assert_eq!(heard(&frame(SETTINGS, 0, &two), 99).0, Some(2));
        let other = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        assert_eq!(heard(other, 99), (None, None, false));
    }

    #[test]
    fn a_goaway_is_heard() {
        let bytes = [frame(SETTINGS, 0, &[]), frame(GOAWAY, 0, &[0; 8])].concat();
        for size in [1, 99] {
            assert!(heard(&bytes, size).2);
            assert!(!heard(&bytes[..9], size).2);
        }
    }
}
