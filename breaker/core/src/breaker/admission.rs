//! Whether a request may be sent: as regular traffic, as a probe, or not at all.

use std::sync::Arc;
use std::time::Duration;

use super::{Breaker, Phase};
use crate::detector::Crossed;
use crate::permit::{Kind, Permit, Progress, Reading, Rejected, RejectionContext, Shed};
use crate::policy::Recovery;
use crate::source::SourceId;
use crate::state::Mode;
use crate::time::{Timestamp, nanos};

/// How a request may be admitted.
enum Admission {
    As(Kind),
    Refused,
    Shed(Shed),
}

impl Breaker {
    /// Asks for a permit to send a request.
    ///
    /// # Errors
    /// [`Rejected`] if the breaker is open, has no free slot half-open, or sheds. The rejection is
    /// counted, but not as an outcome.
    pub fn try_acquire(&mut self, now: Timestamp) -> Result<Permit, Rejected> {
        let now = self.advance(now);
        self.arrive(now);
        if self.needs.concurrency {
            // The request that asks would be in flight too.
            self.permits_out += 1;
            self.try_conditions(SourceId::PROXY, now);
            self.permits_out -= 1;
        }
        match self.admission(now) {
            Admission::As(kind) => Ok(self.admit(kind, now)),
            Admission::Refused | Admission::Shed(_) if self.mode == Mode::Shadow => {
                self.totals.would_reject += 1;
                Ok(self.admit(Kind::Bypass, now))
            }
            Admission::Refused => Err(self.refuse(now)),
            Admission::Shed(shed) => Err(self.refuse_over_limit(shed, now)),
        }
    }

    /// Asks for a verdict without a permit, for a request that another proxy sends and whose
    /// outcome nobody reports here.
    ///
    /// While half-open, at most `half_open.concurrent` such requests are admitted within
    /// `half_open.probe_timeout`. They take no slot of the probes, because requests that are never
    /// reported must not block those that are. Shedding does not apply to them, because they are
    /// not in flight here.
    ///
    /// # Errors
    /// [`Rejected`] if the breaker is open or has no free slot half-open. The rejection is counted,
    /// but not as an outcome.
    pub fn check(&mut self, now: Timestamp) -> Result<(), Rejected> {
        let now = self.advance(now);
        self.arrive(now);
        let may_probe = self.may_probe();
        let admitted = match &mut self.phase {
            Phase::Closed { .. } => true,
            Phase::Open { .. } => false,
            Phase::Probing(probing) => may_probe && probing.check(&self.policy.half_open(), now),
            Phase::AdaptiveRamp(ramp) => ramp.admit(now),
            Phase::Ramp(ramp) => ramp.admit(&self.policy.ramp(), now),
        };
        match admitted {
            true => Ok(()),
            false if self.mode == Mode::Shadow => {
                self.totals.would_reject += 1;
                Ok(())
            }
            false => Err(self.refuse(now)),
        }
    }

    /// Rejects a request, and counts it.
    pub fn refuse(&mut self, now: Timestamp) -> Rejected {
        let now = self.advance(now);
        self.totals.rejected += 1;
        let (until, spread) = match &self.phase {
            Phase::Open { until, open_for } => (*until, *open_for),
            _ => (None, RETRY_DURING_TRIAL),
        };
        // In whole nanoseconds: arithmetic on durations would be a good part of what a rejection
        // costs.
        let spread = nanos(spread);
        let wait = until.map_or(spread, |until| {
            until.as_nanos().saturating_sub(now.as_nanos())
        });
        let jitter = self.policy.open().jitter.get() * self.rng.unit();
        let jitter = (spread as f64 * jitter) as u64;
        Rejected {
            state: self.state(),
            retry_after: Duration::from_nanos(wait.saturating_add(jitter)),
            shed: None,
            ground: self.ground(),
        }
    }

    /// Refuses a request for the limit of requests in flight. It may try again soon: places become
    /// free all the time.
    fn refuse_over_limit(&mut self, shed: Shed, now: Timestamp) -> Rejected {
        let jitter = RETRY_WHILE_SHEDDING.mul_f64(self.rng.unit());
        Rejected {
            retry_after: RETRY_WHILE_SHEDDING + jitter,
            shed: Some(shed),
            ..self.refuse(now)
        }
    }

    fn ground(&mut self) -> Arc<RejectionContext> {
        let reason = match &self.phase {
            Phase::Closed { .. } => self.shedding_reason().unwrap_or(&self.reason),
            _ => &self.reason,
        };
        if let Some(ground) = &self.ground
            && Arc::ptr_eq(&ground.reason, reason)
            && Arc::ptr_eq(&ground.policy, &self.policy)
        {
            return ground.clone();
        }
        let ground = Arc::new(RejectionContext {
            reason: reason.clone(),
            tripped: self
                .tripped
                .clone()
                .filter(|tripped| !Arc::ptr_eq(tripped, reason)),
            policy: self.policy.clone(),
        });
        self.ground.insert(ground).clone()
    }

    /// Whether the state would make [`Self::try_acquire`] reject a request now. Counts nothing. It
    /// ignores shedding, because slots become free all the time.
    pub fn would_reject(&mut self, now: Timestamp) -> bool {
        self.advance(now);
        match &self.phase {
            _ if self.mode == Mode::Shadow => false,
            Phase::Closed { .. } | Phase::Ramp(_) | Phase::AdaptiveRamp(_) => false,
            Phase::Open { .. } => true,
            Phase::Probing(probing) => {
                let (rules, recovery) = (self.policy.half_open(), self.policy.recovery());
                !self.may_probe() || !probing.has_room(&rules, recovery)
            }
        }
    }

    /// Counts an arrival, where the open time follows the traffic.
    fn arrive(&mut self, now: Timestamp) {
        if self.policy.recovery() == Recovery::Sequential || self.needs.sheds {
            self.arrivals.arrive(now);
        }
    }

    fn admission(&mut self, now: Timestamp) -> Admission {
        if let Some(shed) = self.over_limit(now) {
            return Admission::Shed(shed);
        }
        match self.phase {
            Phase::Closed { .. } => return Admission::As(Kind::Regular),
            Phase::Open { .. } => return Admission::Refused,
            Phase::Probing(_) | Phase::Ramp(_) | Phase::AdaptiveRamp(_) => {}
        }
        let rules = self.trial_rules();
        let may_probe = self.may_probe();
        match &mut self.phase {
            Phase::Closed { .. } | Phase::Open { .. } => Admission::Refused,
            Phase::Probing(_) if !may_probe => Admission::Refused,
            Phase::Probing(probing) => {
                let recovery = self.policy.recovery();
                match probing.admit(&rules, recovery, now) {
                    Some(id) => Admission::As(Kind::Probe(id)),
                    None => Admission::Refused,
                }
            }
            Phase::AdaptiveRamp(ramp) => match ramp.admit(now) {
                true => Admission::As(Kind::Regular),
                false => Admission::Refused,
            },
            Phase::Ramp(ramp) => match ramp.admit(&self.policy.ramp(), now) {
                true => Admission::As(Kind::Regular),
                false => Admission::Refused,
            },
        }
    }

    fn admit(&mut self, kind: Kind, now: Timestamp) -> Permit {
        self.permits_out += 1;
        let permit = Permit {
            epoch: self.epoch,
            admitted: now,
            kind,
            progress: Progress::Waiting,
            reading: Reading::Reads,
            crossed: Crossed::default(),
            answered: false,
            late: false,
            answers_before: self.answers.seen(),
            begun: None,
        };
        if kind != Kind::Bypass {
            self.start_ageing(&permit, now);
            self.limit_sent(now);
            let proxy = &mut self.sources[SourceId::PROXY.0];
            proxy.window.record_concurrency(self.permits_out, now);
        }
        permit
    }
}

/// How soon a caller may try again that was turned away for the limit: so long, and up to twice
/// that.
const RETRY_WHILE_SHEDDING: Duration = Duration::from_millis(500);
/// How soon a caller that was turned away during a trial may try again.
const RETRY_DURING_TRIAL: Duration = Duration::from_secs(1);
