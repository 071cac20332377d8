//! How much is held at once. What does not fit is refused before it is read, and without having
//! counted anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::refusal::Refusal;
use super::settings::Limits;
use crate::random;

/// What all requests hold. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Overload(Arc<OverloadState>);

#[derive(Debug)]
struct OverloadState {
    requests: AtomicUsize,
    bytes: AtomicUsize,
    max_requests: usize,
    max_bytes: usize,
}

/// A request's place, given back when dropped, with the bytes that it holds.
#[derive(Debug)]
pub(super) struct BatchSlot {
    shared: Arc<OverloadState>,
    bytes: usize,
}

// === impl Overload ===

impl Overload {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(Arc::new(OverloadState {
            requests: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            max_requests: limits.requests,
            max_bytes: limits.memory,
        }))
    }

    /// A place for a request that means to send `announced` bytes, as far as it says. They are not
    /// reserved: a sender that announces and then dawdles would keep others out.
    pub(super) fn admit(&self, announced: usize) -> Result<BatchSlot, Refusal> {
        let place = BatchSlot {
            shared: self.0.clone(),
            bytes: 0,
        };
        let before = self.0.requests.fetch_add(1, Ordering::Relaxed);
        let held = self.0.bytes.load(Ordering::Relaxed);
        let fits = held
            .checked_add(announced)
            .is_some_and(|bytes| bytes <= self.0.max_bytes);
        if before >= self.0.max_requests || held >= self.0.max_bytes || !fits {
            return Err(overloaded());
        }
        Ok(place)
    }
}

// === impl Place ===

impl BatchSlot {
    /// Holds `more` bytes more.
    pub(super) fn grow(&mut self, more: usize) -> Result<(), Refusal> {
        let before = self.shared.bytes.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        if before.saturating_add(more) > self.shared.max_bytes {
            return Err(overloaded());
        }
        Ok(())
    }
}

impl Drop for BatchSlot {
    fn drop(&mut self) {
        self.shared.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.shared.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

fn overloaded() -> Refusal {
    // Senders that were refused together shall not come back together.
    Refusal::Overloaded {
        retry: RETRY.mul_f64(0.5 + random::unit()),
    }
}

/// When a refused sender may try again, on average.
const RETRY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn overload() -> Overload {
        Overload::new(&Limits {
            requests: 2,
            memory: 100,
            ..Limits::default()
        })
    }

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let overload = overload();
        let first = overload.admit(0).unwrap();
        let _second = overload.admit(0).unwrap();
        assert!(overload.admit(0).is_err());
        drop(first);
        assert!(overload.admit(0).is_ok());
    }

    #[test]
    fn bytes_are_held_until_their_place_is_dropped() {
        let overload = overload();
        let mut first = overload.admit(100).unwrap();
        first.grow(60).unwrap();
        assert!(overload.admit(41).is_err());
        let mut second = overload.admit(40).unwrap();
        assert!(second.grow(41).is_err());
        drop(second);
        first.grow(40).unwrap();
        assert!(overload.admit(0).is_err());
        drop(first);
        overload.admit(100).unwrap().grow(100).unwrap();
    }
}
