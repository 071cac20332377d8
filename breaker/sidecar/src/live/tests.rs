//! Bounds of the hub, with breakers whose time is an argument.

use std::sync::Mutex;

use breaker_tower::breaker_core::policy::{Builder, Condition, TripEntry};
use breaker_tower::breaker_core::{
    self, Breaker, Event as Told, Outcome, Policy, Ratio, Timestamp,
};

use super::*;
use crate::registry::Origin;
use crate::registry::Watched;
use crate::report::State;
use crate::upstream::{Discovered, Happened, Occurrence};

/// A breaker in a hub, whose time the test tells.
struct Bench {
    breaker: Arc<Mutex<Breaker>>,
    watched: Arc<Mutex<Vec<Watched>>>,
    live: Live,
    second: u64,
}

impl Bench {
    fn new(name: &'static str) -> Self {
        let breaker = Breaker::new(Policy::sensitive(), 1, Timestamp::ZERO);
        let breaker = Arc::new(Mutex::new(breaker));
        let policy = Arc::new(Policy::sensitive());
        let watched = breaker.clone();
        let watched = Watched::new(name, policy, Origin::Configuration, move || {
            // The breaker's own time is the latest that it has seen.
            watched.lock().unwrap().snapshot(Timestamp::ZERO)
        });
        let watched = Arc::new(Mutex::new(vec![watched]));
        let list = watched.clone();
        Self {
            breaker,
            watched,
            live: Live::new(Breakers::new(move || list.lock().unwrap().clone())),
            second: 0,
        }
    }

    /// A second with so many requests, and a reading at its end.
    async fn second(&mut self, requests: u64, outcome: Outcome) {
        self.second += 1;
        let now = Timestamp::from_millis(self.second * 1000);
        {
            let mut breaker = self.breaker.lock().unwrap();
            breaker.handle_timeout(now);
            for _ in 0..requests {
                if let Ok(permit) = breaker.try_acquire(now) {
                    breaker.record(permit, outcome, now);
                }
            }
            while let Some(told) = breaker.poll_event() {
                self.live.tell(Event::told("pay", &told).unwrap());
            }
        }
        self.live.read(self.second as f64).await;
    }

    fn history(&self) -> History {
        self.live.history("pay", None).unwrap()
    }
}

/// Sheds when half of the requests take 200 ms.
fn shedding() -> Policy {
    let slow = Condition::SlowRate {
        share: Ratio::of(1, 2),
        threshold: Duration::from_millis(200),
    };
    let sheds = Builder::from(Policy::sensitive()).trip([TripEntry::shed([slow])]);
    sheds.build().unwrap()
}

fn good() -> Outcome {
    Outcome::success(Duration::from_millis(3))
}

fn bad() -> Outcome {
    Outcome::failure(Duration::from_millis(100))
}

#[tokio::test]
async fn a_point_is_what_happened_in_its_second() {
    let mut bench = Bench::new("pay");
    bench.second(5, good()).await;
    bench.second(7, good()).await;
    bench.second(0, good()).await;
    let points = bench.history().points;
    let requests: Vec<_> = points.iter().map(|point| point.requests).collect();
    // What was before the first reading was not in a second that it knows of.
    assert_eq!(requests, [0, 7, 0]);
    assert_eq!(*points[1].latency, [(0.003_072, 7)]);
    assert_eq!(*points[2].latency, []);
    assert_eq!(points[2].error_rate, Some(0.0), "of the window");
    assert_eq!(points[2].t, 3.0);
}

#[tokio::test]
async fn a_trip_is_in_the_second_in_which_it_was_with_the_failures_that_caused_it() {
    let mut bench = Bench::new("pay");
    bench.second(0, good()).await;
    bench.second(30, bad()).await;
    let History { points, events } = bench.history();
    let last = points.last().unwrap();
    assert_eq!((last.requests, last.failures, last.rejected), (20, 20, 10));
    assert_eq!(last.state, State::Open);
    let [trip] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(trip.kind, Kind::Transition);
    assert_eq!(trip.to, Some(State::Open));
    assert_eq!(trip.source.as_deref(), Some("proxy"));
    let reason = trip.reason.as_ref().unwrap();
    assert_eq!(reason.label, "error_rate");
    assert_eq!(
        reason.detail,
        "error rate 100% ≥ 8%, 20 requests in 10s (source proxy)"
    );
}

#[tokio::test]
async fn a_history_has_the_last_300_seconds() {
    let mut bench = Bench::new("pay");
    for _ in 0..310 {
        bench.second(1, good()).await;
    }
    let points = bench.history().points;
    assert_eq!(points.len(), 300);
    assert_eq!((points[0].t, points[299].t), (11.0, 310.0));
}

#[tokio::test]
async fn a_breaker_that_is_gone_leaves_no_history() {
    let mut bench = Bench::new("pay");
    bench.second(1, good()).await;
    bench.watched.lock().unwrap().clear();
    bench.live.read(2.0).await;
    assert!(bench.live.history("pay", None).is_none());
    assert!(bench.live.kept().recent.is_empty());
}

#[tokio::test]
async fn a_breaker_of_the_same_name_begins_anew() {
    let mut bench = Bench::new("pay");
    bench.second(5, good()).await;
    bench.second(5, good()).await;
    *bench.breaker.lock().unwrap() = Breaker::new(Policy::sensitive(), 1, Timestamp::ZERO);
    bench.second(3, good()).await;
    bench.second(4, good()).await;
    let points = bench.history().points;
    let requests: Vec<_> = points.iter().map(|point| point.requests).collect();
    assert_eq!(requests, [0, 5, 0, 4]);
}

#[test]
fn the_last_100_events_of_a_breaker_and_1000_in_all_are_kept() {
    let mut log = Log::default();
    let event = |breaker: &str, t| {
        Arc::new(Event {
            t,
            ..Event::now(Kind::Reset, breaker.to_owned())
        })
    };
    for t in 0..150 {
        log.push(event("a", f64::from(t)));
        log.push(event("b", f64::from(t)));
    }
    let kept = log.of("a", None);
    assert_eq!((kept.len(), kept[0].t, kept[99].t), (100, 50.0, 149.0));
    for number in 0..1_000 {
        log.push(event(&format!("c{}", number % 20), 200.0));
    }
    assert!(log.of("a", None).is_empty() && log.of("b", None).is_empty());
    assert_eq!(log.of("c7", None).len(), 50);
}

#[test]
fn what_happens_to_endpoints_concerns_the_breakers_that_send_there() {
    let mut log = Log::default();
    let happened = |upstream: &str| {
        Arc::new(Event::happened(&Happened {
            upstream: upstream.into(),
            endpoint: None,
            what: Occurrence::Discovered(Discovered {
                found: 3,
                used: 3,
                added: 3,
                removed: 0,
                why: None,
            }),
        }))
    };
    for _ in 0..150 {
        log.push(happened("ledger"));
        log.push(happened("pay"));
    }
    let reload = Event::configuration("applied", &"a");
    log.push(Arc::new(reload));
    // Those of one upstream push out no others.
    let kept = log.of("a", Some("ledger"));
    assert_eq!((kept.len(), kept[99].kind), (100, Kind::Configuration));
    assert!(kept[..99].iter().all(|one| one.kind == Kind::Discovered));
    let upstreams = |event: &Event| event.upstream.clone();
    assert!(
        kept[..99]
            .iter()
            .all(|one| upstreams(one).as_deref() == Some("ledger"))
    );
    assert_eq!(log.of("b", Some("other")).len(), 1);
    assert_eq!(log.of("c", None).len(), 1);
}

#[tokio::test]
async fn a_watcher_gets_the_latest_reading_at_once_and_events_as_they_come() {
    let mut bench = Bench::new("pay");
    bench.second(1, good()).await;
    let mut watcher = bench.live.watch().unwrap();
    let Some(Update::All(first)) = watcher.next().await else {
        panic!("no reading");
    };
    assert_eq!((first.t, &*first.breakers[0].name), (1.0, "pay"));
    bench.second(30, bad()).await;
    let Some(Update::Event(trip)) = watcher.next().await else {
        panic!("no event");
    };
    assert_eq!(trip.to, Some(State::Open));
    let Some(Update::Changes(second)) = watcher.next().await else {
        panic!("no reading");
    };
    assert_eq!(second.breakers[0].state, State::Open);
    assert_eq!(second.points[0].failures, 19, "one was before the first");
}

#[tokio::test]
async fn a_slow_watcher_skips_readings_and_finds_only_the_latest() {
    let mut bench = Bench::new("pay");
    let mut watcher = bench.live.watch().unwrap();
    for _ in 0..100 {
        bench.second(1, good()).await;
    }
    let Some(Update::All(reading) | Update::Changes(reading)) = watcher.next().await else {
        panic!("no reading");
    };
    assert_eq!(reading.t, 100.0);
}

#[tokio::test]
async fn a_watcher_that_lost_events_gets_a_reading() {
    let mut bench = Bench::new("pay");
    bench.second(1, good()).await;
    let mut watcher = bench.live.watch().unwrap();
    for _ in 0..EVENTS_UNREAD + 1 {
        bench.live.tell(Event::now(Kind::Reset, "pay".to_owned()));
    }
    assert!(matches!(
        watcher.next().await,
        Some(Update::All(_) | Update::Changes(_))
    ));
    assert!(matches!(watcher.next().await, Some(Update::Event(_))));
}

#[tokio::test]
async fn sixty_four_may_watch_and_a_place_is_given_back() {
    let bench = Bench::new("pay");
    let mut watchers: Vec<_> = (0..64).map(|_| bench.live.watch().unwrap()).collect();
    let refused = bench.live.watch().unwrap_err();
    assert_eq!(refused.to_string(), "64 watch already");
    watchers.pop();
    bench.live.watch().unwrap();
}

#[tokio::test]
async fn the_json_of_a_reading_is_made_once_for_all() {
    let mut bench = Bench::new("pay");
    bench.second(1, good()).await;
    let readings = [(); 2].map(|()| bench.live.0.readings.borrow().clone());
    let [one, other] = readings.map(|reading| reading.json());
    assert_eq!(one.as_ptr(), other.as_ptr());
    let read: Reading = serde_json::from_slice(&one).unwrap();
    assert_eq!(read.breakers[0].name, "pay");
}

#[test]
fn a_kind_has_one_name_in_json_and_elsewhere() {
    for kind in Kind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
}

#[test]
fn the_beginning_and_the_end_of_shedding_are_events() {
    let reason = breaker_core::Reason::Tripped {
        source: "ledger".into(),
        evidence: Vec::new(),
    };
    let began = Told::SheddingStarted {
        at: Timestamp::ZERO,
        reason: Arc::new(reason),
        limit: 12,
    };
    let ended = Told::SheddingEnded {
        at: Timestamp::ZERO,
        lasted: Duration::from_secs(30),
        admitted: 500,
        rejected: 40,
    };
    let told = [began, ended].map(|told| Event::told("pay", &told).unwrap());
    let [began, ended] = told;
    assert_eq!((began.kind, ended.kind), (Kind::Shedding, Kind::Shedding));
    assert_eq!(began.source.as_deref(), Some("ledger"));
    assert_eq!((began.from, began.to), (None, None), "the state stays");
    let [began, ended] = [began.reason, ended.reason].map(Option::unwrap);
    assert_eq!(began.label, "shedding_started");
    let detail = "at most 12 requests in flight are admitted: ";
    assert!(began.detail.starts_with(detail), "{}", began.detail);
    assert_eq!(ended.label, "shedding_ended");
    let detail = "there is no limit any more: 500 were admitted, 40 rejected";
    assert_eq!(ended.detail, detail);
}

#[tokio::test]
async fn a_reset_is_an_event_that_says_from_which_state() {
    let mut bench = Bench::new("pay");
    bench.second(30, bad()).await;
    let now = Timestamp::from_millis(1500);
    bench.breaker.lock().unwrap().reset(now);
    bench.second(1, good()).await;
    let History { points, events } = bench.history();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Kind::Transition, Kind::Reset, Kind::Transition]);
    assert_eq!(events[1].from, Some(State::Open));
    assert_eq!(points.last().unwrap().state, State::Closed);
}

#[tokio::test]
async fn a_limit_is_in_report_and_point() {
    let mut bench = Bench::new("pay");
    bench.second(0, good()).await;
    assert_eq!(bench.history().points[0].limit, None);
    let (sent, now) = (Timestamp::from_millis(1000), Timestamp::from_millis(1500));
    {
        let mut breaker = bench.breaker.lock().unwrap();
        breaker.set_policy(shedding(), sent);
        let permits: Vec<_> = (0..40)
            .map(|_| breaker.try_acquire(sent).unwrap())
            .collect();
        for permit in permits {
            breaker.record(permit, Outcome::success(now.saturating_since(sent)), now);
        }
    }
    bench.second(0, good()).await;
    let point = bench.history().points[1].clone();
    let reading = bench.live.0.readings.borrow().clone();
    let report = reading.breakers[0].clone();
    assert_eq!((report.state, point.state), (State::Closed, State::Closed));
    let limit = report.shedding.expect("it sheds");
    assert_eq!(point.limit.map(u64::from), Some(limit.limit));
    assert_eq!((limit.target, limit.admitted_share), (0.1, 1.0));
    assert_eq!(limit.lasted, 0.5);
    assert_eq!(limit.reason.label, "slow_rate");
    let json = serde_json::to_value(bench.history()).unwrap();
    assert_eq!(json["points"][1]["limit"], limit.limit);
    assert_eq!(json["points"][0]["limit"], serde_json::Value::Null);
}

#[tokio::test]
async fn what_happens_to_no_breaker_is_in_the_history_of_each() {
    let bench = Bench::new("pay");
    bench.live.tell(Event::configuration("refused", &"bad"));
    bench
        .live
        .tell(Event::now(Kind::Reset, "search".to_owned()));
    let events = bench.history().events;
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].kind, &events[0].breaker),
        (Kind::Configuration, &None)
    );
}

#[test]
fn what_a_ramp_tells_is_an_event_too() {
    let told = Told::RampStarted {
        at: Timestamp::ZERO,
        succeeded: 5,
    };
    let event = Event::told("pay", &told).unwrap();
    assert_eq!(event.kind, Kind::Ramp);
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(json["kind"], "ramp");
    assert!(json.get("from").is_none(), "{json}");
}

#[tokio::test]
async fn who_has_the_reading_before_is_told_only_what_is_new() {
    let mut bench = Bench::new("pay");
    let mut watcher = bench.live.watch().unwrap();
    let mut heard = Reading::default();
    let mut wholes = 0;
    let mut quiet = 0;
    // Traffic, none until the window is empty, and traffic again.
    for second in 0..60 {
        let requests = if (20..50).contains(&second) { 0 } else { 3 };
        bench.second(requests, good()).await;
        let reading = match watcher.next().await {
            Some(Update::All(reading)) => {
                wholes += 1;
                heard = serde_json::from_slice(&reading.json()).unwrap();
                reading
            }
            Some(Update::Changes(reading)) => {
                let changes: Changes = serde_json::from_slice(&reading.changes()).unwrap();
                assert_eq!(changes.breakers.len(), reading.changed().count());
                quiet += usize::from(changes.breakers.is_empty());
                heard.advance(changes);
                reading
            }
            other => panic!("no reading: {other:?}"),
        };
        let (is, should) = (&heard.breakers[0], &reading.breakers[0]);
        assert!(is.is_like(should), "{is:?}\n{should:?}");
        assert!(
            (is.lasted - should.lasted).abs() < 1e-6,
            "{is:?}\n{should:?}"
        );
        assert_eq!(heard.points, reading.points);
    }
    assert_eq!(wholes, 1);
    assert!(quiet > 10, "{quiet}");
    let points = bench.history().points;
    assert_eq!(points.len(), 60);
    let times: Vec<_> = points.iter().map(|point| point.t).collect();
    let expected = (1..=60).map(f64::from);
    assert_eq!(times, expected.collect::<Vec<_>>());

    // Who misses a reading gets a whole one.
    bench.second(1, good()).await;
    bench.second(1, good()).await;
    assert!(matches!(watcher.next().await, Some(Update::All(_))));
}

#[tokio::test]
async fn a_breaker_of_several_sources_has_a_history_of_each() {
    let mut bench = Bench::new("pay");
    let feed = {
        let mut breaker = bench.breaker.lock().unwrap();
        breaker.set_feeds([breaker_core::Feed::new("spans")], Timestamp::ZERO)[0]
    };
    for second in 1..=3 {
        let now = Timestamp::from_millis(second * 1000);
        let sample =
            breaker_core::Sample::new(breaker_core::Classification::Success, None, now).times(7);
        bench.second(2, good()).await;
        let mut breaker = bench.breaker.lock().unwrap();
        breaker.observe(feed, &sample, now);
    }
    bench.second(0, good()).await;
    let live = bench.live.clone();
    let requests = |source: Option<&str>| -> Vec<u32> {
        let history = live.history("pay", source).unwrap();
        history.points.iter().map(|point| point.requests).collect()
    };
    assert_eq!(requests(Some("proxy"))[1..], [2, 2, 0]);
    assert_eq!(requests(Some("spans"))[1..], [7, 7, 7]);
    assert_eq!(requests(None), requests(Some("proxy")));
    // Without the feed its history ends.
    let none: [breaker_core::Feed; 0] = [];
    let now = Timestamp::from_millis(5000);
    bench.breaker.lock().unwrap().set_feeds(none, now);
    bench.second(1, good()).await;
    assert_eq!(requests(Some("spans")), requests(None));
}
