//! The lock of a breaker.

use std::sync::{MutexGuard, PoisonError, TryLockError};

use super::{Locked, SharedBreaker};

impl SharedBreaker {
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, Locked> {
        self.try_lock().unwrap_or_else(|| self.lock_contended())
    }

    #[inline]
    fn try_lock(&self) -> Option<MutexGuard<'_, Locked>> {
        match self.state.try_lock() {
            Ok(locked) => Some(locked),
            // The core does not panic; if it did, its numbers would still be good enough to go on
            // with.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits for the lock awake, as it is held for less time than it takes to go to sleep and to be
    /// woken. Between two tries it waits ever longer: each takes the breaker's memory from the core
    /// that uses it, and a core that goes on for some requests before another one does is faster
    /// than two that take turns.
    #[cold]
    fn lock_contended(&self) -> MutexGuard<'_, Locked> {
        let mut pauses = FIRST_PAUSES;
        for _ in 0..TRIES {
            for _ in 0..pauses {
                std::hint::spin_loop();
            }
            if let Some(locked) = self.try_lock() {
                return locked;
            }
            pauses = (2 * pauses).min(MOST_PAUSES);
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pauses before the second and between later tries to take the lock, and how many tries there are:
/// some 100 µs in all, after which the thread that holds it does not run.
const FIRST_PAUSES: u32 = 64;
const MOST_PAUSES: u32 = 256;
const TRIES: u32 = 30;
