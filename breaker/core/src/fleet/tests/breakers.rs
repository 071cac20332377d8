//! Whole fleets: breakers that report, are led, and go on by themselves.

use super::*;
use crate::breaker::Breaker;
use crate::event::{Event, Reason};
use crate::outcome::Outcome;
use crate::source::SourceId;
use crate::state::Mode;

/// Breakers of one route, which all send to one service.
pub(super) struct Mesh {
    pub(super) aggregator: Option<Aggregator>,
    pub(super) breakers: Vec<Breaker>,
    reporters: Vec<Reporter>,
    replicas: Vec<Replica>,
    luck: Rng,
    rate: f64,
    pub(super) slice: u64,
    seq: u64,
    /// Requests that were sent in the last slice.
    pub(super) sent: u32,
    /// Who hears of no opening.
    pub(super) deaf: Option<usize>,
    pub(super) last: Option<Verdict>,
}

impl Mesh {
    pub(super) fn new(instances: usize, rate: f64, policy: &Policy) -> Self {
        let mesh = (0..instances).map(|index| {
            let breaker = Breaker::new(policy.clone(), index as u64, Timestamp::ZERO);
            (breaker, Reporter::default(), Replica::new(id(index)))
        });
        let mut made = Self {
            aggregator: Some(aggregator(policy.clone())),
            breakers: Vec::new(),
            reporters: Vec::new(),
            replicas: Vec::new(),
            luck: Rng::new(11),
            rate,
            slice: 0,
            seq: 0,
            sent: 0,
            deaf: None,
            last: None,
        };
        for (breaker, reporter, replica) in mesh {
            made.breakers.push(breaker);
            made.reporters.push(reporter);
            made.replicas.push(replica);
        }
        made
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.slice * 500)
    }

    /// Half a second, in which requests of each instance fail with a probability.
    pub(super) fn pass(&mut self, fails: impl Fn(usize) -> f64) {
        self.slice += 1;
        self.seq += 1;
        self.sent = 0;
        let now = self.now();
        for (index, breaker) in self.breakers.iter_mut().enumerate() {
            breaker.handle_timeout(now);
            if self.luck.unit() < self.rate / 2.0
                && let Ok(permit) = breaker.try_acquire(now)
            {
                self.sent += 1;
                let latency = Duration::from_millis(5);
                let outcome = match self.luck.unit() < fails(index) {
                    true => Outcome::failure(latency),
                    false => Outcome::success(latency),
                };
                breaker.record(permit, outcome, now);
            }
            let counts = breaker.fleet_counts(SourceId::PROXY, now);
            let all = self.seq == 1 || self.seq.is_multiple_of(4);
            let route = self.reporters[index].report(0, &counts, all, now);
            if route.is_none() {
                continue;
            }
            let report = Report {
                names: all.then(|| Arc::from([name("pay")])),
                routes: route.into_iter().collect(),
                ..report(id(index), self.seq, errors(0, 0))
            };
            if let Some(aggregator) = &mut self.aggregator {
                aggregator.report(now, &report).unwrap();
            }
        }
        let verdict = self.aggregator.as_mut().and_then(|of| of.slice(now));
        if let Some(verdict) = verdict {
            let opens = |route: &Arc<RouteVerdict>| matches!(route.stage, Stage::Open { .. });
            let opens = verdict.routes.iter().any(opens);
            for index in 0..self.breakers.len() {
                if !(opens && self.deaf == Some(index)) {
                    let _ = self.tell(index, &verdict);
                }
            }
            self.last = Some(verdict);
        }
    }

    fn tell(&mut self, index: usize, verdict: &Verdict) -> Result<FleetEffect, Ignored> {
        let now = self.now();
        let in_force = self.replicas[index].verdict(now, now, verdict)?;
        let instruction = in_force.of(&name("pay"), &self.reporters[index]);
        self.breakers[index].follow_fleet(&instruction, now)
    }

    pub(super) fn count(&self, state: State) -> usize {
        let breakers = self.breakers.iter();
        breakers.filter(|breaker| breaker.state() == state).count()
    }

    pub(super) fn led(&self) -> usize {
        let breakers = self.breakers.iter();
        breakers.filter(|breaker| breaker.is_led()).count()
    }

    /// Slices until it is so.
    pub(super) fn until(
        &mut self,
        most: u64,
        fails: impl Fn(usize) -> f64,
        is_so: impl Fn(&Self) -> bool,
    ) -> u64 {
        for slice in 1..=most {
            self.pass(&fails);
            if is_so(self) {
                return slice;
            }
        }
        panic!("not within {most} slices: {:?}", self.last);
    }
}

/// A mesh that has opened.
pub(super) fn opened(instances: usize) -> Mesh {
    let mut mesh = Mesh::new(instances, 0.2, &Policy::adaptive());
    for _ in 0..240 {
        mesh.pass(|_| 0.0);
    }
    assert_eq!(mesh.count(State::Closed), instances);
    mesh.until(20, |_| 1.0, |mesh| mesh.count(State::Closed) == 0);
    mesh
}

#[test]
fn a_fleet_opens_in_seconds_for_a_reason_with_numbers() {
    let mut mesh = Mesh::new(200, 0.2, &Policy::adaptive());
    for _ in 0..240 {
        mesh.pass(|_| 0.0);
    }
    let slices = mesh.until(20, |_| 1.0, |mesh| mesh.count(State::Closed) <= 10);
    assert!(slices <= 5, "{slices}");
    let events = std::iter::from_fn(|| mesh.breakers[3].poll_event());
    let reasons = events.filter_map(|event| match event {
        Event::Transition(transition) => Some(transition.reason),
        _ => None,
    });
    let reason = reasons.last().unwrap();
    let text = reason.to_string();
    assert!(text.contains("of the requests fail"), "{text}");
    assert!(text.ends_with("(source fleet)"), "{text}");
    assert!(matches!(&*reason, Reason::Tripped { source, .. } if **source == *"fleet"));
}

#[test]
fn one_bad_replica_of_ten_opens_nobody_else() {
    let mut mesh = Mesh::new(10, 1.0, &Policy::adaptive());
    for _ in 0..1200 {
        mesh.pass(|index| if index == 4 { 1.0 } else { 0.0 });
        let others = mesh.breakers.iter().enumerate();
        let mut others = others.filter(|(index, _)| *index != 4);
        assert!(others.all(|(_, breaker)| breaker.state() == State::Closed));
    }
}

#[test]
fn a_fleet_sends_few_probes_ramps_together_and_closes() {
    let mut mesh = opened(50);
    // The service stays down for a minute: only probers send.
    let mut sent = 0;
    let mut named = Vec::new();
    for _ in 0..120 {
        mesh.pass(|_| 1.0);
        sent += mesh.sent;
        if let Some(Stage::Probing { probers }) = stage(&mesh) {
            assert!((1..=3).contains(&probers.len()), "{probers:?}");
            named.extend_from_slice(probers);
        }
        assert!(
            mesh.count(State::HalfOpen) <= 15,
            "{}",
            mesh.count(State::HalfOpen)
        );
    }
    // Alone, each would send two probes after each back-off, and there are 50.
    assert!(sent <= 40, "{sent}");
    named.sort_unstable();
    named.dedup();
    assert!(named.len() > 3, "each trial has others: {named:?}");
    mesh.until(
        240,
        |_| 0.0,
        |mesh| matches!(stage(mesh), Some(Stage::Ramp { .. })),
    );
    mesh.until(120, |_| 0.0, |mesh| mesh.count(State::Closed) == 50);
    assert_eq!(mesh.led(), 0);
}

fn stage(mesh: &Mesh) -> Option<&Stage> {
    let route = mesh.last.as_ref()?.routes.first()?;
    Some(&route.stage)
}

#[test]
fn without_an_aggregator_each_goes_on_by_itself() {
    let mut mesh = opened(20);
    mesh.aggregator = None;
    mesh.until(8, |_| 1.0, |mesh| mesh.led() == 0);
    let now = mesh.now();
    let left = mesh
        .breakers
        .iter_mut()
        .filter_map(|breaker| breaker.snapshot(now).open_remaining);
    let left: Vec<_> = left.map(|left| left.as_secs_f64()).collect();
    let shortest = left.iter().copied().fold(f64::INFINITY, f64::min);
    let longest = left.iter().copied().fold(0.0, f64::max);
    assert!(
        longest - shortest > 0.4,
        "they do not probe at once: {left:?}"
    );
    // They recover, though nobody leads them.
    mesh.until(600, |_| 0.0, |mesh| mesh.count(State::Closed) == 20);
}

#[test]
fn the_next_aggregator_goes_on_with_an_open_route() {
    let mut mesh = opened(20);
    let routes = [FleetRoute::new(name("pay"), Policy::adaptive())];
    let settings = AggregatorSettings::default();
    mesh.aggregator = Aggregator::new(2, &settings, routes, 1, mesh.now()).ok();
    // Names come with the next heartbeat.
    mesh.until(
        6,
        |_| 1.0,
        |mesh| {
            stage(mesh).is_some_and(|stage| matches!(stage, Stage::Open { .. }))
                && mesh.last.as_ref().is_some_and(|verdict| verdict.term == 2)
        },
    );
    assert_eq!(mesh.led(), 20);
    mesh.until(600, |_| 0.0, |mesh| mesh.count(State::Closed) == 20);
}

#[test]
fn a_replica_that_does_well_stays_closed() {
    let mut mesh = Mesh::new(40, 1.0, &Policy::adaptive());
    for _ in 0..240 {
        mesh.pass(|_| 0.0);
    }
    // All fail but number 0, which has more requests than the others.
    let mut ignored = Vec::new();
    for _ in 0..20 {
        let now = mesh.now();
        for _ in 0..10 {
            let permit = mesh.breakers[0].try_acquire(now).unwrap();
            let outcome = Outcome::success(Duration::from_millis(5));
            mesh.breakers[0].record(permit, outcome, now);
        }
        mesh.pass(|index| if index == 0 { 0.0 } else { 1.0 });
        if let Some(verdict) = mesh.last.clone() {
            let again = Verdict {
                seq: verdict.seq + 1_000_000 * mesh.slice,
                ..verdict
            };
            ignored.extend(mesh.tell(0, &again).err());
        }
    }
    assert!(ignored.contains(&Ignored::OwnEvidence), "{ignored:?}");
    assert_eq!(mesh.count(State::Closed), 1);
    assert_eq!(mesh.breakers[0].state(), State::Closed);
}

#[test]
fn a_fleet_of_few_requests_closes_together_too() {
    let mut mesh = Mesh::new(10, 0.15, &Policy::adaptive());
    for _ in 0..240 {
        mesh.pass(|_| 0.0);
    }
    mesh.until(60, |_| 1.0, |mesh| mesh.count(State::Closed) == 0);
    mesh.until(400, |_| 0.0, |mesh| mesh.count(State::Closed) == 10);
    for breaker in &mut mesh.breakers {
        let mut events = std::iter::from_fn(|| breaker.poll_event());
        let alone = |event: Event| match event {
            Event::Transition(transition) => *transition.reason == Reason::FleetSilent,
            _ => false,
        };
        assert!(!events.any(alone));
    }
}

#[test]
fn modes_of_operators_win() {
    let mut mesh = Mesh::new(20, 1.0, &Policy::adaptive());
    for _ in 0..240 {
        mesh.pass(|_| 0.0);
    }
    let now = mesh.now();
    mesh.breakers[0].force(Mode::ForcedClosed, now);
    mesh.breakers[1].force(Mode::Shadow, now);
    mesh.until(20, |_| 1.0, |mesh| mesh.count(State::Closed) == 1);
    assert_eq!(mesh.breakers[0].state(), State::Closed);
    let now = mesh.now();
    assert!(mesh.breakers[1].try_acquire(now).is_ok(), "it only reports");
    assert!(mesh.breakers[2].try_acquire(now).is_err());
    let verdict = Verdict {
        seq: u64::MAX,
        ..mesh.last.clone().unwrap()
    };
    assert_eq!(mesh.tell(0, &verdict), Err(Ignored::Forced));
}

#[test]
fn what_an_operator_opens_while_the_fleet_leads_stays_open() {
    let mut mesh = opened(20);
    assert!(mesh.breakers[5].is_led());
    let now = mesh.now();
    mesh.breakers[5].force(Mode::ForcedOpen, now);
    mesh.aggregator = None;
    for _ in 0..240 {
        mesh.pass(|_| 0.0);
        assert_eq!(mesh.breakers[5].state(), State::Open);
    }
}

#[test]
fn an_alert_of_the_fleet_ends_when_nothing_is_heard_of_it() {
    let mut mesh = Mesh::new(50, 1.0, &Policy::adaptive());
    for _ in 0..240 {
        mesh.pass(|_| 0.0);
    }
    let has_alert = |mesh: &Mesh| !mesh.last.as_ref().unwrap().routes.is_empty();
    mesh.until(200, |_| 0.15, has_alert);
    mesh.aggregator = None;
    while mesh.breakers[3].poll_event().is_some() {}
    for _ in 0..620 {
        mesh.pass(|_| 0.0);
    }
    let mut events = std::iter::from_fn(|| mesh.breakers[3].poll_event());
    let has_ended =
        |event| matches!(event, Event::AlertEnded { source, .. } if *source == *"fleet");
    assert!(events.any(has_ended));
}

#[test]
fn a_weak_fault_is_an_alert_and_ends() {
    let mut mesh = Mesh::new(50, 1.0, &Policy::adaptive());
    for _ in 0..240 {
        mesh.pass(|_| 0.0);
    }
    mesh.until(
        200,
        |_| 0.15,
        |mesh| mesh.last.as_ref().unwrap().routes.len() == 1,
    );
    assert_eq!(stage(&mesh), Some(&Stage::Alarm));
    mesh.pass(|_| 0.15);
    assert_eq!(mesh.count(State::Closed), 50);
    let mut events = std::iter::from_fn(|| mesh.breakers[3].poll_event());
    let is_fleets = |event| match event {
        Event::Alert(alert) => *alert.source == *"fleet",
        _ => false,
    };
    assert!(events.any(is_fleets));
    mesh.until(
        200,
        |_| 0.0,
        |mesh| mesh.last.as_ref().unwrap().routes.is_empty(),
    );
    let mut events = std::iter::from_fn(|| mesh.breakers[3].poll_event());
    let has_ended =
        |event| matches!(event, Event::AlertEnded { source, .. } if *source == *"fleet");
    assert!(events.any(has_ended));
}

#[test]
fn a_breaker_that_trips_in_a_led_ramp_is_on_its_own() {
    let mut mesh = opened(50);
    mesh.until(
        400,
        |_| 0.0,
        |mesh| matches!(stage(mesh), Some(Stage::Ramp { .. })),
    );
    let now = mesh.now();
    let ramping = mesh
        .breakers
        .iter()
        .position(|of| of.state() == State::HalfOpen);
    let own = ramping.unwrap();
    for _ in 0..200 {
        if let Ok(permit) = mesh.breakers[own].try_acquire(now) {
            let outcome = Outcome::failure(Duration::from_millis(5));
            mesh.breakers[own].record(permit, outcome, now);
        }
    }
    assert_eq!(mesh.breakers[own].state(), State::Open);
    mesh.pass(|index| if index == own { 1.0 } else { 0.0 });
    mesh.pass(|index| if index == own { 1.0 } else { 0.0 });
    assert!(!mesh.breakers[own].is_led());
    assert_ne!(mesh.breakers[own].state(), State::Closed);
}
