//! The ramp of a half-open breaker: a growing share of the traffic, chosen by error diffusion.

use crate::policy::{HalfOpen, Ramp as RampRules};
use crate::ratio::Ratio;
use crate::tally::Tally;
use crate::time::Timestamp;

/// The second part of the half-open state.
#[derive(Clone, Debug)]
pub(super) struct Ramp {
    started: Timestamp,
    /// What the share owes: a request is admitted whenever it reaches one.
    credit: f64,
    tally: Tally,
    /// The share, where a fleet says it; and then the fleet ends the ramp too.
    led: Option<Ratio>,
}

impl Ramp {
    pub(super) const fn new(started: Timestamp) -> Self {
        Self {
            started,
            // The first request is admitted, however small the share.
            credit: 1.0,
            tally: Tally {
                succeeded: 0,
                failed: 0,
            },
            led: None,
        }
    }

    /// A ramp whose share a fleet says.
    pub(super) const fn led(share: Ratio, started: Timestamp) -> Self {
        Self {
            led: Some(share),
            ..Self::new(started)
        }
    }

    /// The fleet says another share.
    pub(super) const fn lead(&mut self, share: Ratio) {
        self.led = Some(share);
    }

    pub(super) fn admit(&mut self, rules: &RampRules, now: Timestamp) -> bool {
        self.credit = (self.credit + self.share(rules, now).get()).min(2.0);
        let admitted = self.credit >= 1.0;
        if admitted {
            self.credit -= 1.0;
        }
        admitted
    }

    pub(super) fn share(&self, rules: &RampRules, now: Timestamp) -> Ratio {
        match self.led {
            Some(share) => share,
            None => rules.share(now.saturating_since(self.started)),
        }
    }

    /// When it ends by itself.
    pub(super) fn ends_at(&self, rules: &RampRules) -> Option<Timestamp> {
        self.led.is_none().then_some(self.started + rules.period)
    }

    pub(super) const fn count(&mut self, good: bool, requests: u32) {
        self.tally.count(good, requests);
    }

    /// A request that was counted as good has failed.
    pub(super) const fn take_back(&mut self) {
        self.tally.take_back();
    }

    /// The share of good outcomes of `at_least` or more, and their number, where that is less than
    /// the probes had to reach. `min_requests` does not guard it: the ramp is as much of a trial as
    /// the probes were.
    pub(super) fn shortfall(&self, rules: &HalfOpen, at_least: u64) -> Option<(Ratio, u64)> {
        let (samples, succeeded) = (self.tally.samples(), self.tally.success());
        (samples >= at_least && succeeded < rules.success).then_some((succeeded, samples))
    }

    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }
}
