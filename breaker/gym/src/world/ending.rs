//! What happens to an attempt that is in flight: its head comes, its caller leaves, it ends.

use super::Simulation;
use super::sending::{Attempt, Step};
use crate::system::{Completion, DependencySpan, Ending};
use crate::time::Nanos;
use crate::traffic::{CallerResult, PATIENCE};

impl Simulation<'_> {
    pub(super) fn happen(&mut self, now: Nanos, index: u32) {
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
}
