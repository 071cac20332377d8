//! Commands of an operator: who decides, by which policy, and a new beginning.

use std::sync::Arc;
use std::time::Duration;

use super::needs::Needs;
use super::{Breaker, Phase};
use crate::event::{Event, Reason};
use crate::policy::Policy;
use crate::state::Mode;
use crate::time::Timestamp;

impl Breaker {
    /// Sets who decides. Leaving a forced-open breaker begins with probes, not with all traffic at once; leaving a forced-closed one begins
    /// closed. Between `auto` and `shadow` the state stays.
    pub fn force(&mut self, mode: Mode, now: Timestamp) {
        let now = self.advance(now);
        self.mode_until = None;
        self.set_mode(mode, now);
    }

    /// Sets who decides for `period`; then the mode is [`Mode::Auto`]. What is said of a mode later counts instead.
    pub fn force_for(&mut self, mode: Mode, period: Duration, now: Timestamp) {
        self.force(mode, now);
        self.mode_until = (mode != Mode::Auto).then(|| self.now + period);
    }

    /// Ends a mode whose time has passed.
    pub(super) fn end_mode(&mut self, now: Timestamp) {
        if self.mode_until.is_some_and(|until| until <= now) {
            self.mode_until = None;
            self.set_mode(Mode::Auto, now);
        }
    }

    fn set_mode(&mut self, mode: Mode, now: Timestamp) {
        let from = std::mem::replace(&mut self.mode, mode);
        if from == mode {
            return;
        }
        self.events.push_back(Event::ModeChanged {
            at: now,
            from,
            to: mode,
        });
        let reason = Reason::Forced(mode);
        self.tripped_by = None;
        match (from, mode) {
            (_, Mode::ForcedOpen) => {
                let open_for = self.policy.open().period;
                self.enter(
                    Phase::Open {
                        until: None,
                        open_for,
                    },
                    reason,
                    now,
                );
            }
            (_, Mode::ForcedClosed) => {
                self.stop_shedding(now);
                self.close(None, reason, now);
            }
            (Mode::ForcedOpen, _) => self.probe(reason, now),
            _ => {}
        }
    }

    /// Takes over another policy. State, remaining open time and permits stay; windows stay when the new policy counts the same things.
    pub fn set_policy(&mut self, policy: impl Into<Arc<Policy>>, now: Timestamp) {
        let now = self.advance(now);
        let policy = policy.into();
        let needs = Needs::of(&policy);
        if (&needs.latency_bounds, needs.learns_bound)
            != (&self.needs.latency_bounds, self.needs.learns_bound)
        {
            // The permits that are out keep their place in the window, but no longer age: the slots were cut for other bounds.
            self.in_flight = needs.in_flight();
            self.next_ageing = None;
        }
        for source in &mut self.sources {
            source.set_policy(&policy);
        }
        self.share_budget();
        self.needs = needs;
        self.policy = policy;
        self.note_shedding_feeds();
        // It begins anew as soon as an entry of the new policy holds.
        self.stop_shedding(now);
    }

    /// Begins anew: closed, with empty windows, the first open time next, and nothing learned. Permits that are out no longer count. Totals
    /// stay, and so does the mode: a forced-open breaker stays open.
    pub fn reset(&mut self, now: Timestamp) {
        let now = self.advance(now);
        self.events.push_back(Event::Reset {
            at: now,
            from: self.state(),
        });
        for source in &mut self.sources {
            source.reset(now);
        }
        self.failed_recoveries = 0;
        (self.tripped_by, self.tripped_latency) = (None, None);
        if self.mode != Mode::ForcedOpen {
            self.close(None, Reason::Reset, now);
        }
        self.stop_shedding(now);
        self.forget_baseline();
    }
}
