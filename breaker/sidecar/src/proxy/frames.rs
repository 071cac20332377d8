//! A budget for what an HTTP/2 client makes us answer without asking for anything.
//!
//! PING and SETTINGS are answered one for one, before anything of a request is looked at. Honest
//! clients send few: a handful of settings, a ping now and then, and those that estimate bandwidth
//! a ping for each piece of data. So control frames take from a budget that requests, and what we
//! send, fill up again; a client that has used it up is disconnected.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::message::client::Client;
use crate::message::frame::{HEADER, SETTINGS, fill, payload};

/// A connection that ends when its peer sends too many control frames. It tells its driver whether
/// the peer owes the rest of something.
pub(crate) struct Budgeted<T> {
    inner: T,
    frames: Frames,
    written: usize,
    client: Rc<Client>,
}

/// Reads frame headers as they pass.
struct Frames {
    /// Bytes to pass over before the next frame header: the preface, or a payload.
    skip: usize,
    header: [u8; HEADER],
    filled: usize,
    budget: u32,
    /// Whether a header section goes on with the next frame.
    is_open: bool,
    /// Frames that are whole, a header section in several being one.
    whole: u32,
}

impl<T> Budgeted<T> {
    pub(crate) fn new(inner: T, client: Rc<Client>) -> Self {
        let frames = Frames::new();
        client.owes_frame(frames.owed());
        Self {
            inner,
            frames,
            written: 0,
            client,
        }
    }

    fn has_written(&mut self, written: usize) {
        self.written += written;
        self.frames
            .earn(u32::try_from(self.written / BYTES_PER_CONTROL).unwrap_or(u32::MAX));
        self.written %= BYTES_PER_CONTROL;
    }
}

impl Frames {
    const fn new() -> Self {
        Self {
            skip: PREFACE,
            // Settings come first; until they are there the peer owes them.
            header: [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0],
            filled: 0,
            budget: BUDGET,
            is_open: true,
            whole: 0,
        }
    }

    fn earn(&mut self, earned: u32) {
        self.budget = self.budget.saturating_add(earned).min(BUDGET);
    }

    /// Which thing in a row the peer has begun and not ended: a frame, but of data, or a header
    /// section. The payload of data belongs to a body, which has limits of its own.
    fn owed(&self) -> Option<u32> {
        let is_midway = self.filled > 0 || self.skip > 0 && self.header[3] != DATA;
        (self.is_open || is_midway).then_some(self.whole)
    }

    /// Takes note of bytes received; whether the budget lasts.
    fn pass(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            if skipped > 0 && self.skip == 0 && !self.is_open {
                self.whole = self.whole.wrapping_add(1);
            }
            bytes = &bytes[skipped..];
            bytes = fill(&mut self.header, &mut self.filled, bytes);
            if self.filled < HEADER {
                return true;
            }
            let [.., kind, flags, _, _, _, _] = self.header;
            self.filled = 0;
            self.skip = payload(self.header);
            self.is_open = matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS == 0;
            if self.skip == 0 && !self.is_open {
                self.whole = self.whole.wrapping_add(1);
            }
            match kind {
                DATA | HEADERS => self.earn(1),
                SETTINGS | PING if flags & ACK == 0 => match self.budget.checked_sub(1) {
                    Some(left) => self.budget = left,
                    None => return false,
                },
                _ => {}
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Budgeted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let goes_on = self.frames.pass(&buf.filled()[before..]);
        self.client.owes_frame(self.frames.owed());
        if goes_on {
            return Poll::Ready(Ok(()));
        }
        tracing::debug!("closing an HTTP/2 connection that sent too many control frames");
        Poll::Ready(Err(io::Error::other("too many control frames")))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Budgeted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.has_written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        self.has_written(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Control frames that a connection may send before it must do something useful.
const BUDGET: u32 = 2048;
/// Bytes sent to the client that allow it one more: fifteen answers to a ping do not pay for
/// another.
const BYTES_PER_CONTROL: usize = 256;

/// RFC 9113, sections 3.4 and 6.
const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, size: usize) -> Vec<u8> {
        let mut frame = vec![0, (size >> 8) as u8, size as u8, kind, flags, 0, 0, 0, 0];
        frame.resize(HEADER + size, 0xff);
        frame
    }

    fn started() -> Frames {
        let mut frames = Frames::new();
        assert!(frames.pass(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        frames
    }

    #[test]
    fn a_flood_of_pings_uses_the_budget_up() {
        let mut frames = started();
        let ping = frame(PING, 0, 8);
        assert!((0..BUDGET).all(|_| frames.pass(&ping)));
        assert!(!frames.pass(&ping));
    }

    #[test]
    fn frames_are_seen_however_they_are_cut() {
        let mut frames = started();
        let bytes = [
            frame(SETTINGS, 0, 18),
            frame(DATA, 0, 300),
            frame(PING, ACK, 8),
            frame(PING, 0, 8),
        ]
        .concat();
        for byte in bytes {
            assert!(frames.pass(&[byte]));
        }
        assert_eq!(frames.budget, BUDGET - 1);
    }

    #[test]
    fn what_is_begun_is_owed_until_it_is_whole() {
        let mut frames = Frames::new();
        assert_eq!(frames.owed(), Some(0));
        frames.pass(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!(frames.owed(), Some(0), "the settings");
        frames.pass(&frame(SETTINGS, 0, 6));
        assert_eq!(frames.owed(), None);
        for (bytes, owed) in [
            (frame(HEADERS, END_HEADERS, 5), false),
            (frame(HEADERS, 0, 5), true),
            (frame(CONTINUATION, 0, 5), true),
            (frame(CONTINUATION, END_HEADERS, 0), false),
            (frame(DATA, 0, 9)[..12].to_vec(), false),
            (vec![0; 6], false),
            (frame(PING, 0, 8)[..4].to_vec(), true),
            (frame(PING, 0, 8)[4..].to_vec(), false),
            (frame(7, 0, 9)[..17].to_vec(), true),
        ] {
            assert!(frames.pass(&bytes));
            assert_eq!(frames.owed().is_some(), owed, "{bytes:?}");
        }
    }

    #[test]
    fn a_header_section_in_pieces_is_one_thing() {
        let mut frames = started();
        frames.pass(&frame(SETTINGS, 0, 0));
        frames.pass(&frame(HEADERS, 0, 5));
        let owed = frames.owed();
        assert!(owed.is_some());
        for _ in 0..5 {
            frames.pass(&frame(CONTINUATION, 0, 1));
            assert_eq!(frames.owed(), owed);
        }
        frames.pass(&frame(CONTINUATION, END_HEADERS, 1));
        frames.pass(&frame(HEADERS, 0, 5));
        assert_ne!(frames.owed(), owed, "this is the next");
    }

    #[test]
    fn a_ping_for_each_piece_of_data_is_fine() {
        let mut frames = started();
        for _ in 0..10 * BUDGET {
            assert!(frames.pass(&frame(DATA, 0, 100)));
            assert!(frames.pass(&frame(PING, 0, 8)));
        }
    }
}
