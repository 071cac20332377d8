//! A breaker as a part of a fleet. Each breaker has a clock of its own, which stays in here.

use std::time::Duration;

use breaker_core::fleet::{FleetEffect, Ignored, InForce, Reporter, RouteReport, RouteVerdict};
use breaker_core::policy::Signal;
use breaker_core::{SourceId, Timestamp};

use super::BreakerHandle;

impl BreakerHandle {
    /// What `reporter` has to report of the proxy's own requests, as the route with this index;
    /// see [`Reporter::report`]. Call it each half second while the breaker is in a fleet, and in
    /// between where requests must not wait for that: see [`Reporter::only_requests`].
    pub fn report_to_fleet(
        &self,
        reporter: &mut Reporter,
        route: u16,
        all: bool,
    ) -> Option<RouteReport> {
        self.with(|breaker, now| {
            let counts = breaker.fleet_counts(SourceId::PROXY, now);
            reporter.report(route, &counts, all, now)
        })
    }

    /// Follows a verdict that has just been received, and that has `said` this of the breaker's
    /// route, or leaves it out; `own` is what this breaker reports.
    ///
    /// # Errors
    /// Says why it is ignored.
    pub fn follow_fleet(
        &self,
        verdict: InForce<'_>,
        said: Option<&RouteVerdict>,
        own: &Reporter,
    ) -> Result<FleetEffect, Ignored> {
        self.with(|breaker, now| {
            let instruction = verdict.received_at(now).saying(said, own);
            breaker.follow_fleet(&instruction, now)
        })
    }

    /// Requests that ended in the `last` time, and how many of them hit, of what `own` remembers:
    /// 64 half seconds with requests.
    pub fn own_evidence(&self, own: &Reporter, signal: Signal, last: Duration) -> (u64, u64) {
        self.with(|_breaker, now| {
            let last = u64::try_from(last.as_nanos()).unwrap_or(u64::MAX);
            let from = Timestamp::from_nanos(now.as_nanos().saturating_sub(last));
            own.since(signal, from)
        })
    }

    /// Whether the fleet leads the recovery.
    pub fn is_led(&self) -> bool {
        self.with(|breaker, _now| breaker.is_led())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use breaker_core::Policy;
    use breaker_core::fleet::{
        InstanceId, Judge, Numbers, ProbeReport, Replica, RouteName, Stage, Verdict,
    };
    use breaker_core::policy::Signal;
    use breaker_core::{Ratio, State, Timestamp};

    use super::*;

    #[tokio::test]
    async fn a_verdict_is_followed_whatever_the_clock_of_the_fleet_says() {
        let breaker = BreakerHandle::with_seed("pay", Policy::adaptive(), 7);
        let name = RouteName {
            route: "pay".into(),
            source: "proxy".into(),
        };
        let mut reporter = Reporter::default();
        // At first the share that is normal is news; then nothing has happened.
        assert!(breaker.report_to_fleet(&mut reporter, 0, false).is_some());
        assert!(breaker.report_to_fleet(&mut reporter, 0, false).is_none());
        assert!(breaker.report_to_fleet(&mut reporter, 0, true).is_some());
        let verdict = Verdict {
            judge: Judge::Fleet,
            term: 1,
            seq: 1,
            settled: true,
            routes: vec![Arc::new(RouteVerdict {
                name,
                stage: Stage::Open {
                    remaining: Duration::from_secs(5),
                },
                signal: Signal::Errors,
                since: Duration::from_secs(2),
                numbers: Numbers {
                    observations: 50,
                    hits: 50,
                    low: Ratio::new(0.92).unwrap(),
                    high: Ratio::ONE,
                    ..Numbers::default()
                },
                trial: ProbeReport::default(),
                reporting: 8,
                heard: 8,
            })],
        };
        // The fleet's clock is days ahead of the breaker's.
        let days = Timestamp::from_millis(1_000_000_000);
        let mut replica = Replica::new(InstanceId([1; 8]));
        let in_force = replica.verdict(days, days, &verdict).unwrap();
        let effect = breaker.follow_fleet(in_force, Some(&verdict.routes[0]), &reporter);
        assert_eq!(effect, Ok(FleetEffect::Opened));
        assert_eq!((breaker.state(), breaker.is_led()), (State::Open, true));
    }
}
