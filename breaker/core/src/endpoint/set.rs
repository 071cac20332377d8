//! Another set of endpoints, other settings.

use std::time::Duration;

use super::event::Readmission;
use super::hanging::Hanging;
use super::load::Load;
use super::member::Member;
use super::settings::EndpointSettings;
use super::{EndpointId, Endpoints, pace};
use crate::detector::Relative;
use crate::field::InvalidField;
use crate::time::Timestamp;

/// How many endpoints an upstream may have.
pub const MAX_ENDPOINTS: usize = 1024;

/// An endpoint that left the set: if it comes back soon, it is what it was.
#[derive(Clone, Debug)]
pub(super) struct Gone {
    id: EndpointId,
    load: Load,
    member: Member,
    until: Timestamp,
}

impl Gone {
    pub(super) fn is(&self, id: EndpointId, birth: u32) -> bool {
        self.id == id && self.member.birth == birth
    }

    /// An attempt has ended that began while it was in the set.
    pub(super) fn end(&mut self, aging: Option<Timestamp>) {
        self.load.end();
        if let Some(since) = aging {
            self.member.hanging.end(since);
        }
    }

    pub(super) const fn until(&self) -> Timestamp {
        self.until
    }
}

impl Endpoints {
    /// Replaces the set: ids with their weights, of which 0 counts as 1. An id that was in the set
    /// keeps its state, and one that left it within the last minute gets its own back. A new one
    /// gets a small share at first if three of the others were there before. Of an id that is there
    /// twice the first counts; after [`MAX_ENDPOINTS`] different ones the rest is ignored.
    pub fn replace(&mut self, set: impl IntoIterator<Item = (EndpointId, u32)>, now: Timestamp) {
        let now = self.pass(now);
        let mut set: Vec<_> = set.into_iter().collect();
        // Stable: of equal ids the first comes first.
        let mut order: Vec<_> = (0..set.len()).collect();
        order.sort_by_key(|index| set[*index].0);
        order.dedup_by_key(|index| set[*index].0);
        order.sort_unstable();
        order.truncate(MAX_ENDPOINTS);
        set = order.into_iter().map(|index| set[index]).collect();
        set.sort_unstable_by_key(|(id, _)| *id);

        let before = std::mem::replace(&mut self.ids, Vec::with_capacity(set.len()));
        let loads = std::mem::replace(&mut self.loads, Vec::with_capacity(set.len()));
        let members = std::mem::replace(&mut self.members, Vec::with_capacity(set.len()));
        let mut before = before
            .into_iter()
            .zip(loads.into_iter().zip(members))
            .peekable();
        let mut new = Vec::new();
        for (id, weight) in set {
            while let Some((gone, state)) = before.next_if(|(other, _)| *other < id) {
                self.leave(gone, state, now);
            }
            let kept = before.next_if(|(other, _)| *other == id);
            let (load, mut member) = match kept.map(|(_, state)| state) {
                Some(state) => state,
                None => self.take_back(id).unwrap_or_else(|| {
                    new.push(self.ids.len());
                    self.births = self.births.wrapping_add(1).max(1);
                    let member = Member::new(weight, self.births, &self.settings);
                    (Load::new(self.latency, now), member)
                }),
            };
            member.weight = weight.max(1);
            self.ids.push(id);
            self.loads.push(load);
            self.members.push(member);
        }
        for (gone, state) in before {
            self.leave(gone, state, now);
        }
        if self.ids.len() - new.len() >= OTHERS {
            for place in &new {
                self.loads[*place].grow(now, self.settings.ramp.period);
            }
        }
        let too_many = self.gone.len().saturating_sub(MAX_ENDPOINTS);
        self.gone.drain(..too_many);
        self.gone.shrink_to_fit();
        self.settle_detectors();
        self.settle(Readmission::Change, now);
        self.sweep(now);
    }

    /// Puts other settings in force, and recomputes what depends on them: lines of evidence,
    /// ends of times out, who may be out.
    ///
    /// # Errors
    /// The first field that is out of its range; then nothing has changed.
    pub fn set_settings(
        &mut self,
        settings: EndpointSettings,
        now: Timestamp,
    ) -> Result<(), InvalidField> {
        settings.validate()?;
        let now = self.pass(now);
        let before = std::mem::replace(&mut self.settings, settings);
        self.pace = pace(&self.settings);
        let settings = &self.settings;
        let other_deadline = before.deadline != settings.deadline;
        let other_times = before.open != settings.open;
        let gone = self.gone.iter_mut().map(|gone| &mut gone.member);
        for member in self.members.iter_mut().chain(gone) {
            if other_deadline {
                // Attempts in flight are not late any more before they end.
                member.hanging = Hanging::new(settings.deadline);
            }
            if !settings.eject {
                member.ejection = None;
            }
            let setbacks = member.setbacks.saturating_sub(1);
            if other_times && let Some(ejection) = &mut member.ejection {
                ejection.settle_until(settings, setbacks);
            }
            if !member.unhealthy {
                member.bad_checks = member.bad_checks.min(settings.unhealthy - 1);
            }
        }
        if before.default_latency != settings.default_latency
            && self.latency == before.default_latency.as_secs_f64()
        {
            self.latency = settings.default_latency.as_secs_f64();
        }
        if before.budget != settings.budget {
            self.settle_detectors();
        }
        self.settle(Readmission::Change, now);
        self.sweep(now);
        Ok(())
    }

    fn leave(&mut self, id: EndpointId, (load, mut member): (Load, Member), now: Timestamp) {
        // They would begin anew in any case.
        if let Some(mut detectors) = member.detectors.take() {
            detectors.leave(&mut self.peers);
        }
        let until = now + KEPT;
        self.gone.push(Gone {
            id,
            load,
            member,
            until,
        });
    }

    fn take_back(&mut self, id: EndpointId) -> Option<(Load, Member)> {
        let index = self.gone.iter().position(|gone| gone.id == id)?;
        let gone = self.gone.remove(index);
        Some((gone.load, gone.member))
    }

    pub(super) fn forget_gone(&mut self, now: Timestamp) {
        let before = self.gone.len();
        self.gone.retain(|gone| gone.until > now);
        if self.gone.len() < before {
            self.gone.shrink_to_fit();
        }
    }

    /// There are detectors where two endpoints can be compared, and all share the budget.
    fn settle_detectors(&mut self) {
        let run_length = self.settings.budget.run_length();
        let endpoints = self.members.len();
        for member in &mut self.members {
            if endpoints < 2 {
                if let Some(mut detectors) = member.detectors.take() {
                    detectors.leave(&mut self.peers);
                }
                continue;
            }
            match &mut member.detectors {
                Some(detectors) => detectors.set_budget(run_length, endpoints),
                None => member.detectors = Some(Box::new(Relative::new(run_length, endpoints))),
            }
        }
    }
}

/// How long an endpoint that left is remembered.
const KEPT: Duration = Duration::from_secs(60);
/// Beside so many others a new endpoint gets a small share at first.
const OTHERS: usize = 3;
