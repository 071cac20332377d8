//! What an upstream of HTTP/2 says it takes: `SETTINGS_MAX_HEADER_LIST_SIZE`, which h2 reads and
//! tells nobody.
//!
//! An upstream that gets more may reset the stream or the connection, and any caller can send more:
//! it would open a breaker.

use std::cell::Cell;
use std::rc::Rc;

use tokio::io::AsyncRead;
use tokio_util::io::InspectReader;

use crate::message::frame::{self, HEADER, SETTINGS, fill};

/// The largest header section that the peer takes, by RFC 9113, 6.5.2; `None` until it has said
/// one.
pub(super) type HeaderLimit = Rc<Cell<Option<u32>>>;

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

/// `connection`, and what its peer's settings say as they pass.
pub(super) fn overheard<T: AsyncRead>(
    connection: T,
) -> (InspectReader<T, impl FnMut(&[u8])>, HeaderLimit) {
    let limit = HeaderLimit::default();
    let (told, mut frames) = (limit.clone(), Frames::default());
    let overhear = move |bytes: &[u8]| {
        if let Some(limit) = frames.pass(bytes) {
            told.set(Some(limit));
        }
    };
    (InspectReader::new(connection, overhear), limit)
}

impl Frames {
    /// Takes note of bytes received; returns the last limit that they tell.
    fn pass(&mut self, mut bytes: &[u8]) -> Option<u32> {
        let mut told = None;
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = fill(&mut self.header, &mut self.filled, bytes);
                if self.filled == HEADER {
                    self.left = frame::payload(self.header);
                    (self.filled, self.known) = (0, 0);
                }
                continue;
            }
            let taken = self.left.min(bytes.len());
            let (mut payload, rest) = bytes.split_at(taken);
            (self.left, bytes) = (self.left - taken, rest);
            while self.header[3] == SETTINGS && !payload.is_empty() {
                payload = fill(&mut self.setting, &mut self.known, payload);
                if self.known == SETTING {
                    self.known = 0;
                    let [id @ .., a, b, c, d] = self.setting;
                    if id == MAX_HEADER_LIST_SIZE {
                        told = Some(u32::from_be_bytes([a, b, c, d]));
                    }
                }
            }
        }
        told
    }
}

/// RFC 9113, 6.5.1 and 6.5.2.
const SETTING: usize = 6;
const MAX_HEADER_LIST_SIZE: [u8; 2] = [0, 6];

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, 0, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn the_limit_is_read_however_the_frames_are_cut() {
        let other = [0, 4, 0, 0, 0, 9];
        let limit = [0, 6, 0, 0, 4, 0];
        let bytes = [
            frame(SETTINGS, &[other, limit, other].concat()),
            frame(SETTINGS, &[]),
            frame(0, &limit),
            frame(6, &[0, 6, 0, 0, 0, 0, 0, 1]),
        ]
        .concat();
        for size in 1..=bytes.len() {
            let mut frames = Frames::default();
            let told = bytes.chunks(size).filter_map(|piece| frames.pass(piece));
            assert_eq!(told.collect::<Vec<_>>(), [1024], "{size}");
        }
    }

    #[test]
    fn the_last_one_counts_and_garbage_ends_nowhere() {
        let two = [0, 6, 0, 0, 0, 1, 0, 6, 0, 0, 0, 2];
        assert_eq!(Frames::default().pass(&frame(SETTINGS, &two)), Some(2));
        let mut frames = Frames::default();
        assert_eq!(frames.pass(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None);
    }
}
