//! How the fleet recovers from an open route: one back-off, a few named probers, one ramp.
//!
//! The same tests decide as in a single breaker (`trial`, `adaptive_ramp`), on pooled outcomes. So
//! a fleet sends as many probes after each back-off as one instance would.

use std::time::Duration;

use super::report::{InstanceId, ProbeReport};
use super::verdict::Stage;
use crate::adaptive_ramp::{AdaptiveRamp, RampStep};
use crate::policy::{Policy, Recovery};
use crate::ratio::Ratio;
use crate::tally::Tally;
use crate::time::Timestamp;
use crate::trial::{LEAST_RATE, QUIET, Trial, TrialResult, opens_at};

/// How far the recovery is.
#[derive(Clone, Debug)]
pub(super) enum Recovering {
    Open {
        until: Timestamp,
    },
    Probing(Trialling),
    Ramp {
        ramp: Box<AdaptiveRamp>,
        /// When a request was last counted.
        heard: Timestamp,
    },
}

/// A trial by probes.
#[derive(Clone, Debug)]
pub(super) struct Trialling {
    tally: Tally,
    probers: Vec<InstanceId>,
    /// All that were probers of this trial: only what they say counts.
    named: Vec<InstanceId>,
    rotated: Timestamp,
    heard: Timestamp,
}

/// What a step is judged by.
pub(super) struct Ground<'a> {
    pub(super) policy: &'a Policy,
    /// The share of bad requests that is usual.
    pub(super) usual: f64,
    /// Arrivals a second.
    pub(super) rate: f64,
    /// Who may probe, by id.
    pub(super) candidates: Vec<InstanceId>,
    /// Requests of the slice.
    pub(super) good: u32,
    pub(super) bad: u32,
}

/// What follows from a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    GoesOn,
    Failed,
    Closes,
}

impl Recovering {
    pub(super) const fn open(until: Timestamp) -> Self {
        Self::Open { until }
    }

    /// Probes of the instance `id` have ended.
    pub(super) fn probed(&mut self, id: InstanceId, probes: ProbeReport, now: Timestamp) {
        let Self::Probing(trial) = self else {
            return;
        };
        if probes == ProbeReport::default() || !trial.named.contains(&id) {
            return;
        }
        // One prober must not decide alone for what it claims to have sent.
        trial.tally.count(true, probes.succeeded.min(MOST_PROBES));
        trial.tally.count(false, probes.failed.min(MOST_PROBES));
        trial.heard = now;
    }

    /// A slice has ended.
    pub(super) fn step(
        &mut self,
        ground: &Ground<'_>,
        last: &mut Option<InstanceId>,
        now: Timestamp,
    ) -> Step {
        match self {
            Self::Open { until } if *until <= now && !ground.candidates.is_empty() => {
                let mut trial = Trialling::new(now);
                trial.rotate(ground, last, now);
                *self = Self::Probing(trial);
                Step::GoesOn
            }
            Self::Open { .. } => Step::GoesOn,
            Self::Probing(trial) => {
                let tally = trial.tally;
                match trial.finding(ground, now) {
                    TrialResult::Bad => return Step::Failed,
                    TrialResult::Undecided => {
                        trial.rotate(ground, last, now);
                        return Step::GoesOn;
                    }
                    TrialResult::Good => {}
                }
                let line = opens_at(ground.policy, ground.usual);
                // Of few requests there is nothing to ramp; all breakers must still hear of it.
                let start = match ground.rate < LEAST_RATE {
                    true => Ratio::ONE,
                    false => ground.policy.ramp().start,
                };
                let ramp = AdaptiveRamp::new(start, tally, ground.usual, line, now);
                *self = Self::Ramp {
                    ramp: Box::new(ramp),
                    heard: now,
                };
                Step::GoesOn
            }
            Self::Ramp { ramp, heard } => {
                if ground.good > 0 || ground.bad > 0 {
                    *heard = now;
                }
                ramp.count(true, ground.good);
                ramp.count(false, ground.bad);
                match ramp.judge(now) {
                    RampStep::Done => Step::Closes,
                    RampStep::Failed(_) => Step::Failed,
                    RampStep::GoesOn
                        if ramp.is_clean() && now.saturating_since(*heard) >= QUIET =>
                    {
                        Step::Closes
                    }
                    RampStep::GoesOn => Step::GoesOn,
                }
            }
        }
    }

    /// What the trial has come to, once there is one.
    pub(super) fn trial(&self) -> Option<ProbeReport> {
        let tally = match self {
            Self::Open { .. } => return None,
            Self::Probing(trial) => trial.tally,
            Self::Ramp { ramp, .. } => ramp.total(),
        };
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Some(ProbeReport {
            succeeded: count(tally.succeeded),
            failed: count(tally.failed),
        })
    }

    pub(super) fn stage(&self, now: Timestamp) -> Stage {
        match self {
            Self::Open { until } => Stage::Open {
                remaining: until.saturating_since(now),
            },
            Self::Probing(trial) => Stage::Probing {
                probers: trial.probers.clone(),
            },
            Self::Ramp { ramp, .. } => Stage::Ramp {
                share: ramp.share(),
            },
        }
    }
}

impl Trialling {
    const fn new(now: Timestamp) -> Self {
        Self {
            tally: Tally {
                succeeded: 0,
                failed: 0,
            },
            probers: Vec::new(),
            named: Vec::new(),
            rotated: now,
            heard: now,
        }
    }

    fn finding(&self, ground: &Ground<'_>, now: Timestamp) -> TrialResult {
        let half_open = ground.policy.half_open();
        match ground.policy.recovery() {
            Recovery::Counted => {
                let (probes, needed) = (half_open.probes, half_open.needed());
                if self.tally.succeeded >= u64::from(needed) {
                    TrialResult::Good
                } else if self.tally.failed > u64::from(probes - needed) {
                    TrialResult::Bad
                } else {
                    TrialResult::Undecided
                }
            }
            Recovery::Sequential => {
                let line = opens_at(ground.policy, ground.usual);
                let quiet = now.saturating_since(self.heard) >= QUIET;
                Trial::new(ground.usual, line).finding(self.tally, quiet)
            }
        }
    }

    /// Names the probers, or others if these have shown nothing for a while.
    fn rotate(&mut self, ground: &Ground<'_>, last: &mut Option<InstanceId>, now: Timestamp) {
        let since = now.saturating_since(self.heard.max(self.rotated));
        if !self.probers.is_empty() && since < ROTATION {
            return;
        }
        let wanted = ground.policy.half_open().concurrent as usize;
        let candidates = &ground.candidates;
        let after = |id: &&InstanceId| last.is_none_or(|last| **id > last);
        let next = candidates.iter().filter(after);
        let around = candidates.iter().filter(|id| !after(id));
        self.probers = next.chain(around).take(wanted).copied().collect();
        if let Some(prober) = self.probers.last() {
            *last = Some(*prober);
        }
        self.rotated = now;
        for prober in &self.probers {
            if !self.named.contains(prober) {
                self.named.push(*prober);
            }
        }
    }
}

/// Probers that have shown nothing for so long give their turn to others.
const ROTATION: Duration = Duration::from_secs(2);
/// Of more probes that one report claims nothing is counted.
const MOST_PROBES: u32 = 3;
