//! Certificates that are put in force when their files change. It is no reload: what can't be used
//! leaves the one before, and the configuration stays as it is.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::{ReloadState, Reloader};
use crate::telemetry::{Certificates, Expiry};
use crate::tls::{Rotate, Rotated, Use};

/// What follows files of certificates, and what it is for.
pub(super) type Rotating = Arc<[(Use, Box<dyn Rotate>)]>;

/// How often certificates were put in force, and how often refused.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RotationCounts {
    applied: u64,
    refused: u64,
}

impl Reloader {
    /// How certificates fare.
    pub(in crate::app) fn certificates(&self) -> Certificates {
        let rotating = self.0.rotating();
        let expiries = rotating.iter().filter_map(|(of, it)| {
            let (used, upstream) = words(of);
            Some(Expiry {
                used,
                upstream: upstream.map(str::to_owned),
                until: it.until()?,
            })
        });
        let counts = *self.0.counts();
        Certificates {
            applied: counts.applied,
            refused: counts.refused,
            expiries: expiries.collect(),
        }
    }
}

impl ReloadState {
    /// Looks at all files of certificates. Tells whether some can't be used and are to be looked at
    /// once more: of a pair, one file may be there before the other.
    pub(super) fn rotate(&self) -> bool {
        let mut is_doubtful = false;
        for (of, it) in &*self.rotating() {
            let (used, upstream) = words(of);
            match it.rotate() {
                Rotated::Same | Rotated::StillRefused => {}
                Rotated::Applied => {
                    self.counts().applied += 1;
                    tracing::info!(used, upstream, "certificates reloaded");
                }
                Rotated::Doubtful(fault) => {
                    is_doubtful = true;
                    tracing::debug!(used, upstream, %fault, "certificates not reloaded yet");
                }
                Rotated::Refused(fault) => {
                    self.counts().refused += 1;
                    tracing::warn!(
                        used,
                        upstream,
                        "certificates not reloaded, those before stay: {fault}"
                    );
                }
            }
        }
        is_doubtful
    }

    /// Counts something of the Workload API that can't be used.
    pub(super) fn refused(&self) {
        self.counts().refused += 1;
    }

    pub(super) fn rotates(&self, rotating: Vec<(Use, Box<dyn Rotate>)>) {
        *self.rotating.lock().unwrap_or_else(PoisonError::into_inner) = rotating.into();
    }

    pub(super) fn rotating(&self) -> Rotating {
        let rotating = self.rotating.lock();
        rotating.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn counts(&self) -> MutexGuard<'_, RotationCounts> {
        self.rotated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What certificates are for, as a word, and the upstream's name.
fn words(of: &Use) -> (&'static str, Option<&str>) {
    match of {
        Use::Listener => ("listener", None),
        Use::Admin => ("admin", None),
        Use::Receiver => ("receiver", None),
        Use::Brain => ("brain", None),
        Use::Upstream(name) => ("upstream", Some(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_called_brain_has_a_series_of_its_own() {
        let upstream = Use::Upstream("brain".to_owned());
        assert_ne!(words(&Use::Brain), words(&upstream));
    }
}
