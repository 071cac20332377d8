//! No breaker at all: what the service does to its callers when nobody steps in.

use super::{Arrival, Completion, Decision, State, Status, System};

/// Admits everything.
pub(super) struct None;

impl System for None {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        arrival.admit()
    }

    fn complete(&mut self, _completion: &Completion) {}

    fn status(&self) -> Status {
        Status::of(State::Closed)
    }
}
