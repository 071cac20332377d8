//! The ramp of a sequential recovery: the admitted share grows while requests go well and shrinks
//! while they don't, additive-increase's multiplicative cousin. A service that comes back slowly
//! finds the share that it can bear, instead of being opened upon again.
//!
//! What goes well is relative to a base: the share of bad requests that there was at the smallest
//! share, or that is usual. More load would make it no better and less load neither, so it is no
//! reason to stay at a tenth for ever; only what is worse than that is. The base is known from few
//! requests: of a fifth, a tenth or none may have been bad among the first sixteen. So a slice is
//! compared with it as two samples are.

use std::time::Duration;

use crate::ratio::Ratio;
use crate::tally::Tally;
use crate::time::Timestamp;

/// The second part of the half-open state of a sequential recovery.
#[derive(Clone, Debug)]
pub(crate) struct AdaptiveRamp {
    share: f64,
    /// What the share owes: a request is admitted whenever it reaches one.
    credit: f64,
    last_admitted: Option<Timestamp>,
    slice_began: Timestamp,
    slice: Tally,
    /// Which slice it is.
    number: u32,
    /// In a row, at all of the traffic: those that were clean, and those that were not dirty.
    clean_slices: u32,
    borne_slices: u32,
    total: Tally,
    /// The share of bad requests that is not for the load: what is usual, or was seen while the
    /// share was smallest.
    base: f64,
    usual: f64,
    /// The share at which the breaker opens: no base is worse.
    line: f64,
    start: f64,
    /// The probes, and the slices at the smallest share.
    low: Tally,
}

/// What a slice of the ramp has come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RampStep {
    GoesOn,
    Done,
    /// The share has become too small for the service to bear anything.
    Failed(Tally),
}

impl AdaptiveRamp {
    /// After `probes`, of a service of which the share `usual` fails in health, and a breaker that
    /// opens at `line`.
    pub(crate) fn new(start: Ratio, probes: Tally, usual: f64, line: f64, now: Timestamp) -> Self {
        Self {
            base: usual.min(BELOW * line),
            usual,
            line,
            start: start.get(),
            low: probes,
            share: start.get(),
            credit: 1.0,
            last_admitted: None,
            slice_began: now,
            slice: Tally::default(),
            number: 0,
            clean_slices: 0,
            borne_slices: 0,
            total: probes,
        }
    }

    /// Whether a request may be sent: by the share, or because none was for a slice.
    pub(crate) fn admit(&mut self, now: Timestamp) -> bool {
        self.credit = (self.credit + self.share).min(2.0);
        let starved = self
            .last_admitted
            .is_none_or(|last| now.saturating_since(last) >= SLICE);
        if self.credit < 1.0 && !starved {
            return false;
        }
        self.credit = (self.credit - 1.0).max(0.0);
        self.last_admitted = Some(now);
        true
    }

    pub(crate) fn share(&self) -> Ratio {
        Ratio::new(self.share).unwrap_or(Ratio::ONE)
    }

    pub(crate) const fn count(&mut self, good: bool, requests: u32) {
        self.slice.count(good, requests);
        self.total.count(good, requests);
    }

    /// Which slice the requests count in that are counted now.
    pub(crate) const fn slice(&self) -> u32 {
        self.number
    }

    /// A request that was counted as good in that slice has failed.
    pub(crate) const fn take_back(&mut self, slice: u32) {
        if slice == self.number {
            self.slice.take_back();
        } else {
            self.slice.count(false, 1);
        }
        self.total.take_back();
    }

    /// Ends the slice, if it is long enough and shows enough.
    pub(crate) fn judge(&mut self, now: Timestamp) -> RampStep {
        if now.saturating_since(self.slice_began) < SLICE || self.slice.samples() < ENOUGH {
            return RampStep::GoesOn;
        }
        let slice = std::mem::take(&mut self.slice);
        self.slice_began = now;
        self.number = self.number.wrapping_add(1);
        if self.share <= self.start {
            self.low.add(slice);
            if self.low.samples() >= KNOWN {
                let bad = self.low.failed as f64 / self.low.samples() as f64;
                self.base = bad.max(self.usual).min(BELOW * self.line);
            }
        }
        let bad = slice.failed as f64 / slice.samples() as f64;
        let spread = deviation(self.low, slice);
        let was_full = self.share >= 1.0;
        let of_all = |slices: u32| if was_full { slices + 1 } else { 0 };
        self.borne_slices = of_all(self.borne_slices);
        if bad <= CLEAN.max(self.base + spread) {
            self.share = (self.share * 1.5).min(1.0);
            self.clean_slices = of_all(self.clean_slices);
        } else {
            self.clean_slices = 0;
        }
        if bad >= DIRTY.max(self.base + SURE * spread) {
            self.share /= 2.0;
            self.borne_slices = 0;
        }
        if self.share < LEAST_SHARE {
            RampStep::Failed(slice)
        } else if self.clean_slices >= CLEAN_SLICES || self.borne_slices >= BORNE_SLICES {
            RampStep::Done
        } else {
            RampStep::GoesOn
        }
    }

    /// Whether nothing bad was seen since the last slice ended.
    pub(crate) const fn is_clean(&self) -> bool {
        self.slice.failed == 0
    }

    /// The share of bad requests that is usual.
    pub(crate) const fn usual(&self) -> f64 {
        self.usual
    }

    /// All requests of the trial, the probes too.
    pub(crate) const fn total(&self) -> Tally {
        self.total
    }

    /// The share of good requests below which a slice halves the admitted share.
    pub(crate) fn needed() -> Ratio {
        Ratio::new(1.0 - DIRTY).unwrap_or(Ratio::ONE)
    }
}

/// One standard deviation of the difference between the shares of bad requests in two samples of
/// the same service. The share is estimated from both, with half a request of each kind more: none
/// among a few is not never.
fn deviation(one: Tally, other: Tally) -> f64 {
    let [few, more] = [one, other].map(|tally| tally.samples().max(1) as f64);
    let failed = one.failed.saturating_add(other.failed) as f64;
    let share = (failed + 0.5) / (few + more + 1.0);
    (share * (1.0 - share) * (1.0 / few + 1.0 / more)).sqrt()
}

const SLICE: Duration = Duration::from_millis(500);
/// A slice with fewer requests goes on.
const ENOUGH: u64 = 3;
const CLEAN: f64 = 0.1;
const DIRTY: f64 = 0.3;
/// No base is more than this part of the line: what is near it goes on as well as not.
const BELOW: f64 = 0.75;
/// Of fewer requests at the smallest share nothing is said.
const KNOWN: u64 = 10;
/// In standard deviations of the difference between a slice and the base: a slice is dirty if it is
/// worse by so many.
const SURE: f64 = 1.5;
const LEAST_SHARE: f64 = 0.04;
const CLEAN_SLICES: u32 = 2;
/// Five seconds of all the traffic: there is no more to admit. What has not halved the share till
/// then would not open a closed breaker.
const BORNE_SLICES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// A slice of ten requests, of which so many are good.
    fn slice(ramp: &mut AdaptiveRamp, at: u64, good: u32) -> RampStep {
        ramp.count(true, good);
        ramp.count(false, 10 - good);
        ramp.judge(Timestamp::from_millis(at))
    }

    fn ramp() -> AdaptiveRamp {
        AdaptiveRamp::new(
            Ratio::of(1, 10),
            Tally::default(),
            0.0,
            0.4,
            Timestamp::ZERO,
        )
    }

    #[test]
    fn the_share_grows_by_half_a_slice_and_two_clean_slices_of_all_end_it() {
        let mut ramp = ramp();
        let ended = (1..=20).find(|index| slice(&mut ramp, index * 500, 10) == RampStep::Done);
        assert_eq!(ended, Some(8), "0.1 × 1.5^6 is more than 1");
    }

    #[test]
    fn bad_slices_halve_the_share_until_the_ramp_has_failed() {
        let mut ramp = ramp();
        assert_eq!(slice(&mut ramp, 500, 10), RampStep::GoesOn);
        assert_eq!(slice(&mut ramp, 1000, 8), RampStep::GoesOn);
        assert_eq!(ramp.share().to_string(), "15%", "neither clean nor dirty");
        assert_eq!(slice(&mut ramp, 1500, 7), RampStep::GoesOn);
        assert_eq!(ramp.share().to_string(), "7.5%");
        assert!(matches!(slice(&mut ramp, 2000, 0), RampStep::Failed(_)));
    }

    #[test]
    fn errors_that_are_not_for_the_load_do_not_hold_the_ramp_up() {
        let mut ramp = ramp();
        let ended = (1..=20).find(|index| slice(&mut ramp, index * 500, 8) == RampStep::Done);
        assert!(ended.is_some_and(|ended| ended <= 9), "{ended:?}");
    }

    #[test]
    fn errors_that_come_with_the_load_do() {
        let mut ramp = ramp();
        for index in 1..=4 {
            slice(&mut ramp, index * 500, 10);
        }
        assert!(ramp.share().get() > 0.3);
        slice(&mut ramp, 2500, 6);
        assert!(ramp.share().get() < 0.3);
    }

    #[test]
    fn a_lucky_base_does_not_hold_the_ramp_up() {
        // A fifth is bad, and of the first sixteen requests only two were.
        let mut ramp = ramp();
        ramp.low.count(true, 6);
        assert_eq!(slice(&mut ramp, 500, 8), RampStep::GoesOn);
        assert_eq!(ramp.share().to_string(), "15%");
        for index in 2..=4 {
            ramp.count(true, 32);
            ramp.count(false, 8);
            let step = ramp.judge(Timestamp::from_millis(index * 500));
            assert_eq!(step, RampStep::GoesOn);
        }
        assert_eq!(ramp.share().to_string(), "50.63%", "all were clean");
    }

    #[test]
    fn five_seconds_of_all_the_traffic_that_nothing_halves_end_it() {
        let mut ramp = ramp();
        for index in 1..=6 {
            slice(&mut ramp, index * 500, 10);
        }
        assert_eq!(ramp.share(), Ratio::ONE);
        // Neither clean nor dirty, and one that is.
        let mut run = |slices: std::ops::RangeInclusive<u64>, good| {
            let mut steps = slices.map(|index| (index, slice(&mut ramp, index * 500, good)));
            steps.find(|(_, step)| *step != RampStep::GoesOn)
        };
        assert_eq!(run(7..=15, 8), None);
        assert_eq!(run(16..=16, 5), None);
        assert_eq!(run(17..=18, 10), None, "the share grows again");
        assert_eq!(run(19..=40, 8), Some((28, RampStep::Done)));
    }

    #[test]
    fn one_request_is_admitted_each_half_second_however_small_the_share() {
        let mut ramp = ramp();
        let admitted = (0..20).filter(|index| ramp.admit(Timestamp::from_millis(index * 500)));
        assert_eq!(admitted.count(), 20);
        let admitted = (0..100).filter(|index| ramp.admit(Timestamp::from_millis(10_000 + index)));
        let admitted = admitted.count();
        assert!(
            (10..=11).contains(&admitted),
            "{admitted} of 100 at a tenth"
        );
    }
}
