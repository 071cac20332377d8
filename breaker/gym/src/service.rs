//! The service's queue, where it has a capacity: first in, first out, one after the other, whether
//! or not anybody still waits.

use crate::scenario::{ConditionTimeline, Scenario};
use crate::time::{MILLI, Nanos, SECOND, nanos, seconds};

/// The queue. Since nothing leaves it early, a request's wait is known when it arrives.
#[derive(Debug)]
pub(crate) struct Service<'a> {
    weather: ConditionTimeline<'a>,
    duration: Nanos,
    /// When all that has arrived will be done.
    free_at: Nanos,
    /// For how long it was idle since `since`.
    idle: Nanos,
    since: Nanos,
}

impl<'a> Service<'a> {
    /// An empty queue; `None` where the service of `scenario` has no limit.
    pub(crate) fn new(scenario: &'a Scenario) -> Option<Self> {
        let mut weather = ConditionTimeline::new(scenario);
        weather.at(0).capacity?;
        Some(Self {
            weather,
            duration: scenario.duration,
            free_at: 0,
            idle: 0,
            since: 0,
        })
    }

    /// A request arrives at `now`. Says how long it is until its turn is over.
    pub(crate) fn enqueue(&mut self, now: Nanos) -> Nanos {
        if self.free_at < now {
            self.idle += now - self.free_at.max(self.since);
            self.free_at = now;
        }
        let mut start = self.free_at;
        // Turns begin in order, so that the weather is asked for ascending times though they may
        // lie far ahead.
        let service = loop {
            match self.weather.at(start).capacity {
                Some(capacity) if capacity > 0.0 => break nanos(1.0 / capacity),
                // Nothing is served now; look again a little later, but not for ever.
                _ if start < self.duration => start += 100 * MILLI,
                _ => break SECOND,
            }
        };
        self.free_at = start + service;
        self.free_at - now
    }

    /// For which share of the time since it was last asked it was busy.
    pub(crate) fn take_utilisation(&mut self, now: Nanos) -> f64 {
        if self.free_at < now {
            self.idle += now - self.free_at.max(self.since);
        }
        let utilisation = 1.0 - seconds(self.idle) / seconds(now - self.since).max(1e-9);
        self.idle = 0;
        self.since = now;
        utilisation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::find;

    #[test]
    fn requests_wait_for_those_before_them() {
        let scenario = find("S17").unwrap().build(1);
        let mut service = Service::new(&scenario).unwrap();
        let turn = nanos(1.0 / 120.0);
        assert_eq!(service.enqueue(SECOND), turn);
        assert_eq!(service.enqueue(SECOND), 2 * turn);
        assert_eq!(service.enqueue(2 * SECOND), turn);
    }

    #[test]
    fn a_service_that_stands_still_serves_after_that() {
        let scenario = find("S13").unwrap().build(1);
        let incident = scenario.incident.unwrap();
        let mut service = Service::new(&scenario).unwrap();
        let wait = service.enqueue(incident.from + SECOND);
        assert!((59.0..59.3).contains(&seconds(wait)), "{wait}");
    }

    #[test]
    fn utilisation_is_the_busy_share_of_the_time_since_it_was_asked_for() {
        let scenario = find("S17").unwrap().build(1);
        let mut service = Service::new(&scenario).unwrap();
        for _ in 0..60 {
            service.enqueue(0);
        }
        let near = |value: f64, wanted: f64| (value - wanted).abs() < 1e-6;
        assert!(near(service.take_utilisation(SECOND), 0.5));
        assert!(near(service.take_utilisation(2 * SECOND), 0.0));
        for _ in 0..240 {
            service.enqueue(2 * SECOND);
        }
        assert!(near(service.take_utilisation(3 * SECOND), 1.0));
    }
}
