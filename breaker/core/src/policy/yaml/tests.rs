use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::{Condition, FalseAlarmBudget, GrpcCode, LatencyMeasure, Recovery};
use crate::{Breaker, Classification, Event, Outcome, Permit, State, Timestamp};

mod bad;
mod expand;

fn shipped() -> Vec<Policy> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let policies = files.filter(|file| file.extension().is_some_and(|ext| ext == "yaml"));
    policies
        .map(|file| {
            let policy = parse(&fs::read_to_string(&file).unwrap(), file.to_str()).unwrap();
            assert_eq!(Some(policy.name()), file.file_stem().unwrap().to_str());
            policy
        })
        .collect()
}

#[test]
fn the_shipped_files_are_the_built_in_profiles() {
    let shipped = shipped();
    for policy in &shipped {
        assert_eq!(Some(policy), Policy::builtin(policy.name()).as_ref());
    }
    assert_eq!(shipped.len(), Policy::BUILTIN.len());
}

/// Sends 20 requests a second for three windows, of which `failing` of 10 fail, each taking
/// `latency`.
fn replay(policy: Policy, failing: u64, latency: Duration) -> (Breaker, Vec<Event>) {
    let seconds = policy.window().as_secs() * 3;
    let mut breaker = Breaker::new(policy, 1, Timestamp::ZERO);
    let mut in_flight: VecDeque<(Timestamp, Permit, Outcome)> = VecDeque::new();
    for request in 0..seconds * 20 {
        let start = Timestamp::from_millis(request * 50);
        while in_flight.front().is_some_and(|(end, ..)| *end <= start) {
            let (end, mut permit, outcome) = in_flight.pop_front().unwrap();
            breaker.responded(&mut permit, latency, end);
            breaker.record(permit, outcome, end);
        }
        breaker.handle_timeout(start);
        let Ok(permit) = breaker.try_acquire(start) else {
            break;
        };
        let outcome = if request % 10 < failing {
            Outcome::failure(latency)
        } else {
            Outcome::success(latency)
        };
        in_flight.push_back((start + latency, permit, outcome));
    }
    let events = std::iter::from_fn(|| breaker.poll_event()).collect();
    (breaker, events)
}

#[test]
fn the_shipped_policies_are_silent_while_all_is_well() {
    for policy in shipped() {
        let (breaker, events) = replay(policy, 0, Duration::from_millis(20));
        assert_eq!((breaker.state(), events), (State::Closed, vec![]));
    }
}

#[test]
fn the_shipped_policies_open_at_thirty_per_cent_of_errors() {
    for policy in shipped() {
        // `combined` wants the latency too.
        let latency = match policy.name() {
            "combined" => Duration::from_millis(1200),
            _ => Duration::from_millis(20),
        };
        let name = policy.name().to_owned();
        let (breaker, events) = replay(policy, 3, latency);
        if name == "adaptive" {
            // It opens on near-total failure only, and tells of the rest.
            assert_eq!(breaker.state(), State::Closed);
            assert!(matches!(events[..], [Event::Alert(_)]), "{events:?}");
            continue;
        }
        assert_eq!(breaker.state(), State::Open, "{name}");
        let [Event::Transition(transition)] = &events[..] else {
            panic!("{name}: {events:?}");
        };
        assert!(
            transition.reason.to_string().starts_with("error rate"),
            "{name}"
        );
    }
}

#[test]
fn adaptive_opens_when_nearly_all_fails_and_says_what_it_saw() {
    let (breaker, events) = replay(Policy::adaptive(), 9, Duration::from_millis(20));
    assert_eq!(breaker.state(), State::Open);
    let transition = events.iter().find_map(|event| match event {
        Event::Transition(transition) => Some(transition),
        _ => None,
    });
    let reason = transition.unwrap().reason.to_string();
    assert!(reason.contains("of the requests fail ("), "{reason}");
    assert!(reason.contains("2% is normal"), "{reason}");
}

#[test]
fn errors_without_latency_do_not_open_combined() {
    let (breaker, events) = replay(Policy::combined(), 3, Duration::from_millis(20));
    assert_eq!((breaker.state(), events), (State::Closed, vec![]));
}

#[test]
fn a_slow_tail_alerts_and_does_not_open() {
    let policy = parse(
        "name: x\nbase: sensitive\ntrip: [{ p99: 1s, action: alert }]",
        None,
    );
    let (breaker, events) = replay(policy.unwrap(), 0, Duration::from_secs(2));
    assert_eq!(breaker.state(), State::Closed);
    assert!(matches!(events[..], [Event::Alert(_), ..]), "{events:?}");
}

#[test]
fn every_field_is_read() {
    let policy = parse(
        "name: all.fields-1
window: 1m30s
min_requests: 7
latency: complete
honour_retry_after: true
false_alarm_budget: 3d
deadline: 700ms
recovery: sequential
trip:
  - { error_rate: 0.125, p50: 250ms, p90: 1s, p95: 2s, p99: 1m, p999: 1h, action: open }
  - { anomaly: deadline, at_least: 40%, blip: 3s }
  - anomaly: errors
  - { concurrency: 100, consecutive_failures: 5, slow_rate: 12.5%, slow_threshold: 1s500ms }
open: { for: 5s, factor: 1.5, max: 1h, jitter: 0 }
half_open: { probes: 4, concurrent: 2, success: 75%, probe_timeout: 3s }
ramp: { start: 25%, for: 0s }
failure: { http: [500-599, 429], grpc: [UNAVAILABLE], codes_as_ignored: [404, 501-502, CANCELLED] }
reject: { status: 429, body: busy }
",
        None,
    )
    .unwrap();
    assert_eq!(policy.name(), "all.fields-1");
    assert_eq!(policy.window(), Duration::from_secs(90));
    assert_eq!(policy.min_requests(), 7);
    assert_eq!(policy.latency(), LatencyMeasure::Complete);
    assert!(policy.honours_retry_after());
    assert_eq!(policy.false_alarm_budget(), FalseAlarmBudget::ThreeDays);
    assert_eq!(policy.deadline(), Duration::from_millis(700));
    assert_eq!(policy.recovery(), Recovery::Sequential);
    assert_eq!(
        policy
            .trip()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [
            "error rate ≥ 12.5% and p50 ≥ 250ms and p90 ≥ 1s and p95 ≥ 2s and p99 ≥ 60s and p999 ≥ 3600s",
            "more requests miss the deadline than usual, 40% of them at least, for 3s at least",
            "more requests fail than usual",
            "12.5% of the requests slower than 1.5s and 100 requests in flight and 5 failures in a row",
        ]
    );
    assert_eq!(policy.open().period, Duration::from_secs(5));
    assert_eq!(policy.open().factor, 1.5);
    assert_eq!(policy.open().max, Duration::from_secs(3600));
    assert_eq!(policy.open().jitter.get(), 0.0);
    assert_eq!(
        (policy.half_open().probes, policy.half_open().concurrent),
        (4, 2)
    );
    assert_eq!(policy.half_open().success.get(), 0.75);
    assert_eq!(policy.half_open().probe_timeout, Duration::from_secs(3));
    assert_eq!(policy.ramp().start.get(), 0.25);
    assert_eq!(policy.ramp().period, Duration::ZERO);
    let http = [429, 500, 404, 502, 503, 400].map(|status| policy.failure().of_http(status));
    use Classification::{Failure, Ignored, Success};
    assert_eq!(http, [Failure, Failure, Ignored, Ignored, Failure, Success]);
    let grpc = ["UNAVAILABLE", "INTERNAL", "CANCELLED"]
        .map(|name| policy.failure().of_grpc(name.parse::<GrpcCode>().unwrap()));
    assert_eq!(grpc, [Failure, Success, Ignored]);
    assert_eq!(policy.reject().status, 429);
    assert_eq!(policy.reject().body.as_deref(), Some("busy"));
}

#[test]
fn single_fields_go_over_the_base() {
    let text = "base: conservative\nopen: { max: 1h }\nfailure: { codes_as_ignored: [503] }\n";
    let document = Document::new(text, None).unwrap();
    let raw: RawPolicy = document.read().unwrap();
    let policy = raw.resolve(Some("pay"), Policy::builtin).unwrap();
    let base = Policy::conservative();
    assert_eq!(policy.name(), "pay");
    assert_eq!(policy.open().max, Duration::from_secs(3600));
    assert_eq!(policy.open().period, base.open().period);
    assert_eq!(policy.trip(), base.trip());
    assert_eq!(policy.failure().of_http(503), Classification::Ignored);
    assert_eq!(policy.failure().of_http(500), Classification::Failure);
}

#[test]
fn anchors_spare_repetition() {
    let policy = parse(
        "name: x\ntrip:\n  - error_rate: 8%\nopen: { for: &t 20s }\nramp: { for: *t }\n",
        None,
    );
    assert_eq!(policy.unwrap().ramp().period, Duration::from_secs(20));
}

#[test]
fn a_share_of_a_percent_is_what_it_says() {
    for percent in 1..=100 {
        let text = format!("name: x\ntrip: [{{ error_rate: {percent}% }}]");
        let policy = parse(&text, None).unwrap();
        let Condition::ErrorRate(share) = policy.trip()[0].conditions[0] else {
            panic!("another condition");
        };
        assert_eq!(share, crate::Ratio::of(percent, 100));
    }
}

#[test]
fn each_field_of_a_trip_entry_is_a_condition_or_belongs_to_one() {
    let schema = schema().to_value();
    let fields = schema["$defs"]["Trip"]["properties"].as_object().unwrap();
    let parts = ["slow_threshold", "at_least", "blip", "action"];
    let fields = fields.keys().map(String::as_str);
    let fields: BTreeSet<_> = fields.filter(|field| !parts.contains(field)).collect();
    let conditions: BTreeSet<_> = Condition::EXAMPLES.iter().map(Condition::name).collect();
    assert_eq!(
        fields, conditions,
        "the fields of a file, and `Condition::EXAMPLES`"
    );
}

#[test]
fn the_schema_knows_every_field_and_no_other() {
    let schema = schema().to_value();
    assert_eq!(schema["additionalProperties"], false);
    let fields: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(fields.len(), 16, "{fields:?}");
    let trip = &schema["$defs"]["Trip"]["properties"];
    assert!(trip["slow_threshold"].is_object());
    assert!(trip["anomaly"].is_object() && trip["at_least"].is_object());
    assert_eq!(trip["blip"]["default"], "0s");
    let actions = schema["$defs"]["Action"].to_string();
    for action in ["open", "alert", "shed"] {
        assert!(actions.contains(&format!("\"{action}\"")), "{actions}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&String::from_utf8_lossy(&bytes), None);
    }

    #[test]
    fn no_change_of_a_policy_makes_it_panic(at in 0usize..600, cut in 0usize..5, new in "[-:{}\\[\\]&*,%# \n\ta-z0-9!<>~'\"|]{0,4}") {
        let text = include_str!("../../../../../policies/sensitive.yaml");
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.min(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, new.chars());
        if let Err(error) = parse(&chars.iter().collect::<String>(), None) {
            prop_assert!(error.line >= 1 && error.column >= 1 && !error.rule.is_empty());
        }
    }

    #[test]
    fn every_period_is_read_as_written(hours in 0u64..100, minutes in 0u64..100, seconds in 1u64..100, millis in 0u64..2000) {
        let text = format!("{hours}h{minutes}m{seconds}s{millis}ms");
        let expected = Duration::from_millis(((hours * 60 + minutes) * 60 + seconds) * 1000 + millis);
        prop_assert_eq!(Period::parse(&text), Ok(Period(expected)));
    }
}
