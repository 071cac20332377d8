//! Attempts on their way to the service: a caller's first, its retries, and what the proxy sends
//! again.

use std::cmp::Reverse;

use super::Simulation;
use crate::luck::RequestRng;
use crate::system::{Arrival, Completion, Decision, Ending};
use crate::time::{MILLI, Nanos};
use crate::traffic::{CallerResult, FAST_FAILURE, Fate, Request};

/// An attempt that is in flight, or waits to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) request: Request,
    /// How many the caller made before, and how many the proxy made of this one.
    pub(super) number: u8,
    pub(super) resent: u8,
    pub(super) sent: Nanos,
    pub(super) endpoint: u8,
    pub(super) tag: u32,
    /// When the head of a stream came.
    pub(super) head: Option<Nanos>,
    pub(super) next: Step,
}

/// What happens to an attempt next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// It is made.
    Send,
    /// The head of a streamed answer comes.
    Head,
    /// Its caller leaves.
    Leave,
    /// It ends.
    End(Ending),
}

impl Simulation<'_> {
    /// An attempt asks to be sent.
    pub(super) fn attempt(&mut self, request: &Request, number: u8, now: Nanos) {
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
    pub(super) fn resend(&mut self, attempt: &Attempt, failed: &Completion) -> bool {
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

    /// Whether the caller tries again: if so, soon, with other luck.
    pub(super) fn retry(&mut self, request: &Request, number: u8, now: Nanos) -> bool {
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

    pub(super) fn schedule(&mut self, at: Nanos, attempt: Attempt) {
        let index = if let Some(index) = self.free.pop() {
            self.attempts[index as usize] = attempt;
            index
        } else {
            self.attempts.push(attempt);
            (self.attempts.len() - 1) as u32
        };
        self.due.push(Reverse((at, index)));
    }
}

/// A retry comes after this time to twice of it.
const RETRY_AFTER: Nanos = 50 * MILLI;
