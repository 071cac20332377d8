//! One system in one scenario: the loop of events in virtual time.
//!
//! The loop is closed. A rejected request costs the service nothing and relieves its queue; a
//! failed or rejected one may come back as a retry. What differs between two systems' worlds is
//! only what the systems decided.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::luck::RequestRng;
use crate::scenario::{ConditionTimeline, Scenario};
use crate::score::{Score, Tally};
use crate::service::Service;
use crate::system::{Arrival, Completion, Decision, DependencySpan, Ending, Status, System};
use crate::time::{MILLI, NEVER, Nanos, SECOND};
use crate::timeline::{Timeline, TimelineData};
use crate::traffic::{CallerResult, FAST_FAILURE, Fate, PATIENCE, Request};

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

/// An attempt that is in flight, or waits to be made.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    request: Request,
    /// How many the caller made before, and how many the proxy made of this one.
    number: u8,
    resent: u8,
    sent: Nanos,
    endpoint: u8,
    tag: u32,
    /// When the head of a stream came.
    head: Option<Nanos>,
    next: Step,
}

/// What happens to an attempt next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// It is made.
    Send,
    /// The head of a streamed answer comes.
    Head,
    /// Its caller leaves.
    Leave,
    /// It ends.
    End(Ending),
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

    /// An attempt asks to be sent.
    fn attempt(&mut self, request: &Request, number: u8, now: Nanos) {
        let decision = self.system.arrive(&Arrival {
            now,
            pick: request.pick,
            endpoints: self.scenario.endpoints,
            retry: number > 0,
        });
        self.note(now);
        match decision {
            Decision::Admit { endpoint, tag } => {
                self.send(request, (number, 0), endpoint, tag, now);
            }
            Decision::Reject => {
                if !self.retry(request, number, now) {
                    let favourite = (request.pick % u32::from(self.scenario.endpoints)) as u8;
                    let good = request.fate.good(favourite);
                    self.settle(request, CallerResult::Rejected { good }, None);
                }
            }
        }
    }

    /// The `number`th attempt of the caller, and of that the `resent`th of the proxy, is sent.
    fn send(
        &mut self,
        request: &Request,
        (number, resent): (u8, u8),
        endpoint: u8,
        tag: u32,
        now: Nanos,
    ) {
        let (latency, next) = self.serve(&request.fate, endpoint, now);
        let attempt = Attempt {
            request: *request,
            number,
            resent,
            sent: now,
            endpoint,
            tag,
            head: None,
            next,
        };
        self.schedule(now + latency, attempt);
    }

    /// The proxy sends a failed attempt again at once, with other luck, if it likes to.
    fn resend(&mut self, attempt: &Attempt, failed: &Completion) -> bool {
        let request = &attempt.request;
        let resent = attempt.resent + 1;
        let number = attempt.number + 16 * resent;
        let mut luck = RequestRng::of(self.scenario.seed, request.id, number);
        let pick = luck.bits() as u32;
        let Some(Decision::Admit { endpoint, tag }) = self.system.again(failed, pick) else {
            return false;
        };
        let fate = match failed.ending {
            // It never came to the service, where its luck awaits it.
            Ending::Refused => request.fate,
            _ => Fate::draw(&mut luck, self.weather.at(failed.now)),
        };
        let request = Request { fate, ..*request };
        self.send(
            &request,
            (attempt.number, resent),
            endpoint,
            tag,
            failed.now,
        );
        true
    }

    /// What becomes of an attempt that the service gets: what is next, and after how long.
    fn serve(&mut self, fate: &Fate, endpoint: u8, now: Nanos) -> (Nanos, Step) {
        if fate.odd.is_dead(endpoint) {
            return (FAST_FAILURE, Step::End(Ending::Refused));
        }
        let wait = self
            .service
            .as_mut()
            .map_or(0, |service| service.enqueue(now));
        let latency = fate
            .odd
            .latency(endpoint, fate.latency)
            .saturating_add(wait);
        if fate.patience < latency.min(self.timeout) {
            (fate.patience, Step::Leave)
        } else if latency > self.timeout {
            (self.timeout, Step::End(Ending::Timeout))
        } else if fate.fails {
            (latency, Step::End(Ending::Failure))
        } else if fate.client_error {
            (latency, Step::End(Ending::ClientError))
        } else if fate.body.is_some() {
            (latency, Step::Head)
        } else {
            (latency, Step::End(Ending::Success))
        }
    }

    fn schedule(&mut self, at: Nanos, attempt: Attempt) {
        let index = if let Some(index) = self.free.pop() {
            self.attempts[index as usize] = attempt;
            index
        } else {
            self.attempts.push(attempt);
            (self.attempts.len() - 1) as u32
        };
        self.due.push(Reverse((at, index)));
    }

    fn happen(&mut self, now: Nanos, index: u32) {
        self.free.push(index);
        let attempt = self.attempts[index as usize];
        let Attempt {
            request,
            number,
            sent,
            endpoint,
            tag,
            head,
            next,
            ..
        } = attempt;
        let completion = |ending| Completion {
            now,
            sent,
            endpoint,
            tag,
            head,
            ending,
        };
        let completion = match next {
            Step::Send => {
                self.attempt(&request, number, now);
                return;
            }
            Step::Head => {
                self.begin(&completion(Ending::Success), index);
                return;
            }
            Step::Leave => {
                self.system.abandon(&completion(Ending::Abandoned));
                self.note(now);
                let good = request.fate.would_be_good(endpoint);
                let fortune = if good {
                    CallerResult::Left
                } else {
                    CallerResult::Bad
                };
                self.settle(&request, fortune, Some(now - sent));
                return;
            }
            Step::End(ending) => completion(ending),
        };
        if completion.failed() && !completion.is_stream() && self.resend(&attempt, &completion) {
            self.note(now);
            return;
        }
        self.system.complete(&completion);
        self.note(now);
        if self.scenario.spans {
            self.spans.push(DependencySpan {
                at: now,
                latency: completion.latency(),
                failed: request.fate.span_fails,
            });
        }
        let failed = completion.failed();
        // Of what began to come nobody asks a second time.
        if failed && !completion.is_stream() && self.retry(&request, number, now) {
            return;
        }
        // From the request's arrival, where the proxy sent it more than once.
        let first = if attempt.resent > 0 && number == 0 {
            request.at
        } else {
            sent
        };
        let latency = completion.latency_to_head() + (sent - first);
        let good = !failed && latency <= PATIENCE;
        let fortune = if good {
            CallerResult::Good
        } else {
            CallerResult::Bad
        };
        self.settle(&request, fortune, Some(latency));
    }

    /// A stream begins: its end is known.
    fn begin(&mut self, head: &Completion, index: u32) {
        let mut attempt = self.attempts[index as usize];
        self.system.head(&Completion {
            head: Some(head.now),
            ..*head
        });
        self.note(head.now);
        if let Some(body) = attempt.request.fate.body {
            attempt.head = Some(head.now);
            attempt.next = Step::End(if body.breaks {
                Ending::Broken
            } else {
                Ending::Success
            });
            self.schedule(head.now + body.length, attempt);
        }
    }

    /// Whether the caller tries again: if so, soon, with other luck.
    fn retry(&mut self, request: &Request, number: u8, now: Nanos) -> bool {
        if number >= self.scenario.retries || !self.system.may_retry(now) {
            return false;
        }
        let mut luck = RequestRng::of(self.scenario.seed, request.id, number + 1);
        let at = now + RETRY_AFTER + (luck.unit() * RETRY_AFTER as f64) as Nanos;
        let pick = luck.bits() as u32;
        let fate = Fate::draw(&mut luck, self.weather.at(now));
        let attempt = Attempt {
            request: Request {
                pick,
                fate,
                ..*request
            },
            number: number + 1,
            resent: 0,
            sent: at,
            endpoint: 0,
            tag: 0,
            head: None,
            next: Step::Send,
        };
        self.schedule(at, attempt);
        true
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
/// A retry comes after this time to twice of it.
const RETRY_AFTER: Nanos = 50 * MILLI;

#[cfg(test)]
mod tests;
