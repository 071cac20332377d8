//! How an admitted request ends, and what that counts as.

use std::time::Duration;

use super::{Breaker, Phase};
use crate::detector::Crossed;
use crate::outcome::{Attribution, Classification, Outcome};
use crate::permit::{Counted, Kind, Permit, Progress};
use crate::source::SourceId;
use crate::time::Timestamp;
use crate::window::Failed;

/// What an end counts as.
#[derive(Clone, Copy, Debug)]
struct Ending {
    classification: Classification,
    /// How many requests: with an abandoned one, one that was held before may count too.
    count: u32,
    /// Whether its caller went away before an answer.
    abandoned: bool,
    /// Whether the latency that the outcome tells is one of the upstream, and still to be counted.
    says_latency: bool,
}

impl Breaker {
    /// Records the outcome of `permit`'s request.
    ///
    /// A request whose answer has [begun](Self::begun) already is a success; only a failure changes
    /// that.
    ///
    /// A caller that went away before an answer is no evidence while others are answered. (That is
    /// [`Attribution::Caller`], without a call of [`Self::responded`] or [`Self::begun`].) It is
    /// different if no request was answered since the admission, for one and a half times as long
    /// as 95 % of the answers take. That is at least 100 ms, and the policy's first latency
    /// threshold until the quantile is known. If the next such request shows the same, both count
    /// as failures: the upstream stalls. The snapshot's totals still count them as ignored.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is given back once")]
    pub fn record(&mut self, permit: Permit, outcome: Outcome, now: Timestamp) {
        let now = self.advance(now);
        self.permits_out = self.permits_out.saturating_sub(1);
        self.callers_turn -= u64::from(permit.awaits_caller()).min(self.callers_turn);
        self.totals.count(&outcome);
        let crossed = match permit.progress {
            Progress::Responded => permit.crossed,
            _ => self.stop_ageing(&permit),
        };
        self.note_answer(&permit, &outcome);
        if !self.counts(&permit) {
            let proxy = &mut self.sources[SourceId::PROXY.0];
            if permit.begun.is_some() {
                proxy.count_total(outcome.classification);
            } else if permit.kind == Kind::Bypass
                && outcome.classification != Classification::Ignored
            {
                proxy.count_bypass(&outcome);
            }
            return;
        }
        let ending = self.ending(&permit, &outcome, now);
        self.count_ending(&permit, &outcome, ending, crossed, now);

        if let Some(asked) = outcome.retry_after.filter(|asked| !asked.is_zero())
            && self.policy.honours_retry_after()
            && outcome.classification != Classification::Ignored
        {
            self.leave_alone(asked, now);
            return;
        }
        let stands = permit.begun.is_some() && ending.classification == Classification::Success;
        match &self.phase {
            Phase::Closed { recovering: None } if !stands || ending.says_latency => {}
            Phase::Probing(_) => self.settle_probe(&permit, &outcome, ending, now),
            // Nothing is known that was not known before.
            _ if stands && !ending.says_latency && !self.owes(&permit) => return,
            _ => self.count_in_phase(&permit, &outcome, ending, crossed),
        }
        self.judge(now);
    }

    /// Counts a request that ended before a permit was asked for, because of someone other than the
    /// upstream. It is ignored in the totals, and has no other effect.
    pub fn ignore(&mut self, by: Attribution) {
        self.totals.ignore(by);
    }

    /// Takes note of an upstream that answers, in whatever epoch.
    #[inline]
    fn note_answer(&mut self, permit: &Permit, outcome: &Outcome) {
        let answered = match outcome.attribution {
            Attribution::Upstream | Attribution::InnerBreaker => true,
            Attribution::Caller | Attribution::Proxy | Attribution::Name => {
                outcome.classification != Classification::Ignored
            }
        };
        if !answered {
            return;
        }
        self.answers.answered(self.now);
        let timed = permit.progress == Progress::Waiting && !permit.answered;
        if timed && outcome.classification == Classification::Success {
            self.answers.took(outcome.latency);
            self.answered(outcome.latency);
        }
        if permit.epoch == self.epoch
            && let Phase::Probing(probing) = &mut self.phase
        {
            probing.answered();
        }
    }

    #[inline]
    fn ending(&mut self, permit: &Permit, outcome: &Outcome, now: Timestamp) -> Ending {
        let ignored = outcome.classification == Classification::Ignored;
        let waits = permit.progress == Progress::Waiting;
        let unanswered = waits && !permit.answered;
        let slow_from = self.sources[SourceId::PROXY.0].slow_from();
        let slow = slow_from.is_some_and(|bound| outcome.latency >= bound);
        let mut ending = Ending {
            classification: outcome.classification,
            count: 1,
            abandoned: false,
            // A caller that gave up after the first latency bound has seen that the upstream is
            // slow, whoever else was answered. Not so one that was answered and did not read on,
            // nor one that was still sending.
            says_latency: waits && (!ignored || slow && unanswered),
        };
        if !ignored {
            return ending;
        }
        if permit.begun.is_some() {
            ending.classification = Classification::Success;
            return ending;
        }
        ending.abandoned = unanswered && outcome.attribution == Attribution::Caller;
        let overdue = || {
            let unknown = slow_from.unwrap_or(PATIENCE_WITHOUT_BOUND);
            self.answers
                .are_overdue(permit.admitted, permit.answers_before, unknown, now)
        };
        // Probes have their own rule.
        if ending.abandoned && !permit.is_probe() && overdue() {
            ending.classification = Classification::Failure;
            ending.count = self.answers.abandoned(permit.admitted, now);
        }
        ending
    }

    /// Counts an end in the window and the signals.
    #[inline]
    fn count_ending(
        &mut self,
        permit: &Permit,
        outcome: &Outcome,
        ending: Ending,
        crossed: Crossed,
        now: Timestamp,
    ) {
        let proxy = &mut self.sources[SourceId::PROXY.0];
        let slow_from = proxy.slow_from();
        if ending.says_latency {
            proxy.record_latency(outcome.latency, 1, now, now);
        }
        let mut fallen = None;
        match &permit.begun {
            Some(begun) if ending.classification == Classification::Failure => {
                fallen = Some(proxy.fall(begun, now));
            }
            Some(begun) => proxy.stand(begun, now),
            None if ending.count > 0 => {
                proxy.record_classification(ending.classification, ending.count, now, now);
            }
            None => {}
        }
        if ending.abandoned && ending.classification == Classification::Failure && ending.count > 0
        {
            proxy
                .window
                .record_failed(Failed::Abandoned, ending.count, now);
        }
        if outcome.timed_out && ending.classification == Classification::Failure {
            proxy.window.record_failed(Failed::TimedOut, 1, now);
        }
        let suspected = ending.classification == Classification::Failure
            || slow_from.is_some_and(|bound| outcome.latency >= bound);
        if let Some(trace) = outcome.trace
            && suspected
        {
            proxy.suspect(trace, now);
        }
        if ending.says_latency && outcome.classification != Classification::Ignored {
            self.detect_latency(SourceId::PROXY, outcome.latency, crossed, 1, now);
        }
        match fallen {
            Some((counted, recounted)) => self.detect_late_failure(counted, recounted, now),
            None if permit.begun.is_none()
                && ending.classification == Classification::Failure
                && permit.progress == Progress::Waiting
                && crossed != Crossed::default() =>
            {
                self.detect_late_errors(ending.count, now);
            }
            None if permit.begun.is_none() => {
                self.detect_errors(SourceId::PROXY, ending.classification, ending.count, now);
            }
            None => {}
        }
        if permit.progress == Progress::Waiting {
            self.limit_ended(permit, Some((outcome.classification, outcome.latency)), now);
        }
    }

    /// Whether the phase has not counted yet that the answer of `permit` has begun.
    #[inline]
    fn owes(&self, permit: &Permit) -> bool {
        matches!(self.phase, Phase::AdaptiveRamp(_))
            && permit
                .begun
                .is_some_and(|begun| begun.counted == Counted::NotYet)
    }

    fn settle_probe(&mut self, permit: &Permit, outcome: &Outcome, ending: Ending, now: Timestamp) {
        let bound = self.trial_bound(SourceId::PROXY);
        let (Kind::Probe(id), Phase::Probing(probing)) = (permit.kind, &mut self.phase) else {
            return;
        };
        // Who was still sending has not waited for anything, and frees its slot.
        let gave_up = outcome.classification == Classification::Ignored
            && outcome.attribution == Attribution::Caller
            && !permit.answered
            && permit.progress != Progress::Uploading;
        if gave_up {
            let waited = now.saturating_since(permit.admitted);
            let patience = self.answers.patience(PATIENCE_OF_PROBES);
            let overdue = ending.abandoned && waited >= patience;
            probing.abandon(id, overdue, permit.admitted, patience);
            return;
        }
        let too_slow = permit.progress == Progress::Waiting
            && bound.is_some_and(|bound| outcome.latency >= bound);
        probing.settle(
            id,
            match ending.classification {
                Classification::Success => Some(!too_slow),
                Classification::Failure => Some(false),
                Classification::Ignored => None,
            },
        );
    }

    /// Counts an end in what the phase is judged by.
    #[inline]
    fn count_in_phase(
        &mut self,
        permit: &Permit,
        outcome: &Outcome,
        ending: Ending,
        crossed: Crossed,
    ) {
        let good = match ending.classification {
            Classification::Success => true,
            Classification::Failure => false,
            Classification::Ignored => return,
        };
        let counted = permit.begun.and_then(|begun| begun.counted.slice());
        if good && counted.is_some() {
            return;
        }
        let late = match permit.progress {
            Progress::Uploading => false,
            Progress::Responded => permit.late,
            Progress::Waiting => self
                .deadline_of_trial()
                .is_some_and(|at| outcome.latency >= at),
        };
        match (&mut self.phase, counted) {
            (
                Phase::Closed {
                    recovering: Some(tally),
                },
                None,
            ) => tally.count(good, ending.count),
            (
                Phase::Closed {
                    recovering: Some(tally),
                },
                Some(_),
            ) => tally.take_back(),
            (Phase::Ramp(ramp), None) => ramp.count(good, ending.count),
            (Phase::Ramp(ramp), Some(_)) => ramp.take_back(),
            // One that has crossed the deadline has counted as bad already.
            (Phase::AdaptiveRamp(_), _) if crossed.deadline => {}
            (Phase::AdaptiveRamp(ramp), None) => ramp.count(good && !late, ending.count),
            (Phase::AdaptiveRamp(ramp), Some(slice)) => ramp.take_back(slice),
            _ => {}
        }
    }
}

/// For how long an abandoned request must have waited where no answer was ever seen and the policy
/// has no latency bound.
const PATIENCE_WITHOUT_BOUND: Duration = Duration::from_secs(1);
/// The same of a probe: it has been opened already, by what the upstream did.
const PATIENCE_OF_PROBES: Duration = Duration::from_millis(100);
