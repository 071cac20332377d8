//! A request alone: to the one endpoint there is, and answered before the next comes.

use crate::system::{Arrival, Completion, Decision, Ending, System};
use crate::time::Nanos;

/// Lets time pass until `at`, when a request that was sent `latency` before arrives and ends.
pub(crate) fn play(system: &mut dyn System, at: Nanos, latency: Nanos, failed: bool) {
    while system.next_tick() <= at {
        let tick = system.next_tick();
        system.tick(tick);
    }
    let arrival = Arrival {
        now: at,
        pick: 0,
        endpoints: 1,
        retry: false,
    };
    if let Decision::Admit { endpoint, tag } = system.arrive(&arrival) {
        system.complete(&Completion {
            now: at,
            sent: at.saturating_sub(latency),
            endpoint,
            tag,
            head: None,
            ending: if failed {
                Ending::Failure
            } else {
                Ending::Success
            },
        });
    }
}
