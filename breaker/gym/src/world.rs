//! One system in one scenario: the loop of events in virtual time.
//!
//! The loop is closed. A rejected request costs the service nothing and relieves its queue; a
//! failed or rejected one may come back as a retry. What differs between two systems' worlds is
//! only what the systems decided.

mod ending;
mod sending;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use self::sending::Attempt;
use crate::scenario::{ConditionTimeline, Scenario};
use crate::score::{Score, Tally};
use crate::service::Service;
use crate::system::{DependencySpan, Status, System};
use crate::time::{NEVER, Nanos, SECOND};
use crate::timeline::{Timeline, TimelineData};
use crate::traffic::{CallerResult, Request};

/// A system in a scenario.
pub(crate) struct Simulation<'a> {
    scenario: &'a Scenario,
    system: Box<dyn System>,
    status: Status,
    timeout: Nanos,
    /// What happens to attempts, by time, then by attempt: completions of those in flight, and
    /// retries.
    due: BinaryHeap<Reverse<(Nanos, u32)>>,
    attempts: Vec<Attempt>,
    free: Vec<u32>,
    service: Option<Service<'a>>,
    weather: ConditionTimeline<'a>,
    spans: Vec<DependencySpan>,
    /// When the batch of spans is exported, and when the load is told.
    next_second: Nanos,
    next_batch: Nanos,
    replaced: Nanos,
    tally: Tally,
    timeline: Option<Timeline>,
}

impl<'a> Simulation<'a> {
    /// `system` in `scenario`; a timeline costs time and memory.
    pub(crate) fn new(scenario: &'a Scenario, system: Box<dyn System>, timeline: bool) -> Self {
        Self {
            status: system.status(),
            timeout: scenario.timeout.unwrap_or_else(|| system.timeout()),
            system,
            due: BinaryHeap::new(),
            attempts: Vec::new(),
            free: Vec::new(),
            service: Service::new(scenario),
            weather: ConditionTimeline::new(scenario),
            spans: Vec::new(),
            next_second: SECOND,
            next_batch: BATCH,
            replaced: scenario.replaced.unwrap_or(NEVER),
            tally: Tally::new(scenario),
            timeline: timeline.then(|| Timeline::new(scenario)),
            scenario,
        }
    }

    /// A request arrives, not before any that arrived earlier.
    pub(crate) fn arrive(&mut self, request: &Request) {
        self.advance(request.at);
        self.attempt(request, 0, request.at);
    }

    /// Nothing arrives any more: what is in flight ends. Says the score.
    pub(crate) fn finish(mut self) -> (Score, Option<TimelineData>) {
        self.advance(self.scenario.duration + 60 * SECOND);
        let score = self.tally.finish(self.scenario.duration);
        (score, self.timeline.map(Timeline::finish))
    }

    /// Lets everything happen that is due by `now`.
    fn advance(&mut self, now: Nanos) {
        loop {
            let due = self.due.peek().map_or(NEVER, |Reverse((at, _))| *at);
            let tick = self.system.next_tick();
            let regular = self.next_regular();
            let next = due.min(tick).min(regular);
            if next > now {
                return;
            }
            if next == due {
                if let Some(Reverse((at, index))) = self.due.pop() {
                    self.happen(at, index);
                }
            } else if next == tick {
                self.system.tick(next);
                self.note(next);
            } else {
                self.tell(next);
            }
        }
    }

    /// When the load or a batch of spans is told next, where such things are told.
    fn next_regular(&self) -> Nanos {
        let load = if self.service.is_some() {
            self.next_second
        } else {
            NEVER
        };
        let batch = if self.scenario.spans {
            self.next_batch
        } else {
            NEVER
        };
        load.min(batch).min(self.replaced)
    }

    fn tell(&mut self, now: Nanos) {
        if self.replaced == now {
            self.replaced = NEVER;
            self.system.replaced(now);
        }
        if self.next_second == now {
            self.next_second += SECOND;
            if let Some(service) = &mut self.service {
                self.system.load(service.take_utilisation(now), now);
            }
        }
        if self.next_batch == now {
            self.next_batch += BATCH;
            self.system.observe(&self.spans, now);
            self.spans.clear();
        }
        self.note(now);
    }

    fn settle(&mut self, request: &Request, fortune: CallerResult, latency: Option<Nanos>) {
        self.tally.count(request.at, fortune);
        if let Some(timeline) = &mut self.timeline {
            timeline.count(request.at, fortune, latency);
        }
    }

    /// Notes what the system shows of itself, if that has changed.
    fn note(&mut self, now: Nanos) {
        let status = self.system.status();
        if status == self.status {
            return;
        }
        self.tally.note(self.status, status, now);
        if status.state != self.status.state
            && let Some(timeline) = &mut self.timeline
        {
            timeline.enter(status.state, now);
        }
        if status.alerts != self.status.alerts
            && let Some(timeline) = &mut self.timeline
        {
            timeline.alert(now);
        }
        self.status = status;
    }
}

/// How often spans are exported, as the OpenTelemetry SDKs do by default.
const BATCH: Nanos = 5 * SECOND;
#[cfg(test)]
mod tests;
