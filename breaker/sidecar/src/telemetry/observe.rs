//! What a collection reads from the breakers: one snapshot of each, for all instruments.

use std::sync::{Arc, Mutex, PoisonError};

use breaker_tower::breaker_core::{Attribution, Mode, Snapshot, State};
use opentelemetry::metrics::{AsyncInstrument, Meter};
use opentelemetry::{KeyValue, StringValue};
use tokio::time::Instant;

use super::names::{self, Metric};
use crate::baselines::Saves;
use crate::findings::Counted;
use crate::message::limited::Limit;
use crate::message::spawn::Kind;
use crate::registry::{Breakers, Watched};

/// The snapshots of the collection under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latest(Arc<Mutex<Vec<Named>>>);

#[derive(Debug)]
struct Named {
    name: StringValue,
    snapshot: Snapshot,
    /// The kinds of failure of each source of the snapshot.
    failures: Vec<Vec<Counted>>,
    /// Rejected requests that the fallback answered, if there is one.
    fallbacks: Option<u64>,
}

impl Latest {
    /// Asks every breaker what it knows.
    pub(crate) fn refresh(&self, breakers: &Breakers) {
        let now = Instant::now();
        let named = |watched: &Watched| {
            let snapshot = watched.snapshot();
            let sources = snapshot.sources.iter();
            let failures = sources.map(|source| watched.findings().failures(&source.name, now));
            Named {
                name: watched.name().clone().into(),
                failures: failures.collect(),
                fallbacks: watched.fallback().map(|_| watched.findings().fallbacks()),
                snapshot,
            }
        };
        let snapshots = breakers.list().iter().map(named).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = snapshots;
    }

    /// A callback for an instrument that observes every breaker by `observe`.
    fn each<T>(
        &self,
        observe: impl Fn(&Named, &dyn AsyncInstrument<T>) + Send + Sync + 'static,
    ) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static {
        let latest = self.clone();
        move |instrument| {
            for named in &*latest.0.lock().unwrap_or_else(PoisonError::into_inner) {
                observe(named, instrument);
            }
        }
    }
}

impl Named {
    fn attributes<const N: usize>(&self, more: [KeyValue; N]) -> Vec<KeyValue> {
        let name = KeyValue::new(names::BREAKER_NAME, self.name.clone());
        [name].into_iter().chain(more).collect()
    }
}

/// Registers the instruments that are observed.
pub(crate) fn register(meter: &Meter, latest: &Latest) {
    counter(meter, names::REQUESTS, latest, requests);
    counter(meter, names::FAILURES, latest, failures);
    counter(meter, names::TRANSITIONS, latest, transitions);
    counter(meter, names::ALERTS, latest, alerts);
    whole_gauge(meter, names::ALERTING, latest, alerting);
    whole_gauge(meter, names::STATE, latest, state);
    whole_gauge(meter, names::MODE, latest, mode);
    whole_gauge(meter, names::CONCURRENCY, latest, concurrency);
    whole_gauge(meter, names::CONCURRENCY_LIMIT, latest, concurrency_limit);
    gauge(meter, names::ERROR_RATE, latest, error_rate);
    gauge(meter, names::LATENCY, latest, latency);
    gauge(meter, names::ANOMALY_SCORE, latest, anomaly_score);
}

/// Registers the instrument that observes what became of the log.
pub(crate) fn register_log(meter: &Meter, dropped: fn() -> u64) {
    let metric = names::LOG_DROPPED;
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |counter| counter.observe(dropped(), &[]))
        .build();
}

/// Registers the instrument that says whether all routes are forced closed.
pub(crate) fn register_panic(meter: &Meter, breakers: &Breakers) {
    let (metric, breakers) = (names::PANIC, breakers.clone());
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| gauge.observe(breakers.panic().is_some().into(), &[]))
        .build();
}

/// Registers the instrument that says which program this is.
pub(crate) fn register_build(meter: &Meter) {
    let metric = names::BUILD_INFO;
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(|gauge| {
            let attributes = [
                KeyValue::new(names::BUILD_VERSION, env!("CARGO_PKG_VERSION")),
                KeyValue::new(names::BUILD_OS, std::env::consts::OS),
                KeyValue::new(names::BUILD_ARCHITECTURE, std::env::consts::ARCH),
            ];
            gauge.observe(1, &attributes);
        })
        .build();
}

/// Registers the instrument that observes what the proxy has running.
pub(crate) fn register_tasks(meter: &Meter) {
    let metric = names::TASKS;
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(|gauge| {
            for kind in Kind::ALL {
                let attributes = [KeyValue::new(names::TASK_KIND, kind.name())];
                gauge.observe(kind.count() as u64, &attributes);
            }
        })
        .build();
}

/// Registers the instrument that observes which limits of the proxy acted.
pub(crate) fn register_limits(meter: &Meter) {
    let metric = names::LIMITED;
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(|counter| {
            for limit in Limit::ALL {
                let attributes = [KeyValue::new(names::LIMITED_BY, limit.name())];
                counter.observe(limit.count(), &attributes);
            }
        })
        .build();
}

/// Registers the instrument that observes how the state file fares.
pub(crate) fn register_saves(meter: &Meter, saves: &Saves) {
    let (metric, saves) = (names::BASELINE_SAVES, saves.clone());
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |counter| {
            for (outcome, count) in [("success", saves.succeeded()), ("failure", saves.failed())] {
                counter.observe(count, &[KeyValue::new(names::BASELINE_OUTCOME, outcome)]);
            }
        })
        .build();
}

fn requests(named: &Named, counter: &dyn AsyncInstrument<u64>) {
    let totals = &named.snapshot.totals;
    // Only what the upstream caused is a success or a failure of it.
    let judged = [("success", totals.success), ("failure", totals.failure)];
    let judged = judged.map(|(outcome, count)| (outcome, Attribution::Upstream, count));
    let ignored = totals.ignored_by();
    let ignored = ignored.map(|(by, count)| ("ignored", by, count));
    for (outcome, by, count) in judged.into_iter().chain(ignored) {
        let attributes = [
            KeyValue::new(names::BREAKER_OUTCOME, outcome),
            KeyValue::new(names::BREAKER_ATTRIBUTION, by.label()),
        ];
        counter.observe(count, &named.attributes(attributes));
    }
    let rejected = [
        ("rejected", totals.rejected),
        ("would_reject", totals.would_reject),
    ];
    let fallbacks = named.fallbacks.map(|count| ("fallback", count));
    for (outcome, count) in rejected.into_iter().chain(fallbacks) {
        let outcome = KeyValue::new(names::BREAKER_OUTCOME, outcome);
        counter.observe(count, &named.attributes([outcome]));
    }
}

/// A kind that was not seen for five minutes may give its place to another: its series ends then.
fn failures(named: &Named, counter: &dyn AsyncInstrument<u64>) {
    for (source, kinds) in named.snapshot.sources.iter().zip(&named.failures) {
        for kind in kinds {
            let mut attributes = named.attributes([
                KeyValue::new(names::BREAKER_SOURCE, source.name.clone()),
                KeyValue::new(names::ERROR_TYPE, kind.kind.clone()),
            ]);
            if let Some(endpoint) = &kind.endpoint {
                let (address, port) = split(endpoint);
                attributes.push(KeyValue::new(names::SERVER_ADDRESS, address.to_owned()));
                let port = port.map(|port| KeyValue::new(names::SERVER_PORT, i64::from(port)));
                attributes.extend(port);
            }
            counter.observe(kind.total, &attributes);
        }
    }
}

/// The host and the port of an endpoint; a path of a socket has no port.
fn split(endpoint: &str) -> (&str, Option<u16>) {
    let parts = endpoint.rsplit_once(':');
    let parts = parts.filter(|(host, _)| *host != "unix");
    match parts.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => (host.trim_matches(['[', ']']), Some(port)),
        None => (endpoint, None),
    }
}

fn transitions(named: &Named, counter: &dyn AsyncInstrument<u64>) {
    for kind in &named.snapshot.transitions {
        let attributes = named.attributes([
            KeyValue::new(names::TRANSITION_FROM, kind.from.name()),
            KeyValue::new(names::TRANSITION_TO, kind.to.name()),
            KeyValue::new(names::TRANSITION_REASON, kind.reason),
        ]);
        counter.observe(kind.count, &attributes);
    }
}

fn alerts(named: &Named, counter: &dyn AsyncInstrument<u64>) {
    for kind in &named.snapshot.alerts {
        let attributes = named.attributes([
            KeyValue::new(names::BREAKER_SOURCE, kind.source.clone()),
            KeyValue::new(names::BREAKER_SIGNAL, kind.signal),
        ]);
        counter.observe(kind.count, &attributes);
    }
}

fn state(named: &Named, gauge: &dyn AsyncInstrument<u64>) {
    for state in State::ALL {
        let holds = u64::from(named.snapshot.state == state);
        let state = KeyValue::new(names::BREAKER_STATE, state.name());
        gauge.observe(holds, &named.attributes([state]));
    }
}

fn mode(named: &Named, gauge: &dyn AsyncInstrument<u64>) {
    for mode in Mode::ALL {
        let holds = u64::from(named.snapshot.mode == mode);
        let mode = KeyValue::new(names::BREAKER_MODE, mode.name());
        gauge.observe(holds, &named.attributes([mode]));
    }
}

fn concurrency(named: &Named, gauge: &dyn AsyncInstrument<u64>) {
    let source = KeyValue::new(names::BREAKER_SOURCE, names::SOURCE_PROXY);
    gauge.observe(named.snapshot.in_flight, &named.attributes([source]));
}

fn concurrency_limit(named: &Named, gauge: &dyn AsyncInstrument<u64>) {
    if let Some(shedding) = &named.snapshot.shedding {
        gauge.observe(shedding.limit, &named.attributes([]));
    }
}

fn error_rate(named: &Named, gauge: &dyn AsyncInstrument<f64>) {
    // Silence is no data, not health: an empty window has no error rate.
    for source in &named.snapshot.sources {
        if source.requests() > 0 {
            let name = KeyValue::new(names::BREAKER_SOURCE, source.name.clone());
            gauge.observe(source.error_rate.get(), &named.attributes([name]));
        }
    }
}

fn latency(named: &Named, gauge: &dyn AsyncInstrument<f64>) {
    for source in &named.snapshot.sources {
        let Some(latencies) = &source.latency else {
            continue;
        };
        for (quantile, latency) in [
            ("p50", latencies.p50),
            ("p90", latencies.p90),
            ("p95", latencies.p95),
            ("p99", latencies.p99),
            ("p999", latencies.p999),
        ] {
            let attributes = named.attributes([
                KeyValue::new(names::BREAKER_SOURCE, source.name.clone()),
                KeyValue::new(names::BREAKER_QUANTILE, quantile),
            ]);
            gauge.observe(latency.as_secs_f64(), &attributes);
        }
    }
}

/// What the policy may alert on begins with 0.
fn alerting(named: &Named, gauge: &dyn AsyncInstrument<u64>) {
    for alert in &named.snapshot.alerts {
        let mut sources = named.snapshot.sources.iter();
        let source = sources.find(|source| source.name == alert.source);
        let stands = source.is_some_and(|source| {
            let mut standing = source.standing_alerts.iter();
            standing.any(|standing| standing.signal == alert.signal)
        });
        let attributes = named.attributes([
            KeyValue::new(names::BREAKER_SOURCE, alert.source.clone()),
            KeyValue::new(names::BREAKER_SIGNAL, alert.signal),
        ]);
        gauge.observe(stands.into(), &attributes);
    }
}

fn anomaly_score(named: &Named, gauge: &dyn AsyncInstrument<f64>) {
    for source in &named.snapshot.sources {
        for anomaly in &source.anomalies {
            let attributes = named.attributes([
                KeyValue::new(names::BREAKER_SOURCE, source.name.clone()),
                KeyValue::new(names::BREAKER_SIGNAL, anomaly.signal.name()),
            ]);
            gauge.observe(anomaly.score(), &attributes);
        }
    }
}

fn counter(
    meter: &Meter,
    metric: Metric,
    latest: &Latest,
    observe: fn(&Named, &dyn AsyncInstrument<u64>),
) {
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(latest.each(observe))
        .build();
}

fn whole_gauge(
    meter: &Meter,
    metric: Metric,
    latest: &Latest,
    observe: fn(&Named, &dyn AsyncInstrument<u64>),
) {
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(latest.each(observe))
        .build();
}

fn gauge(
    meter: &Meter,
    metric: Metric,
    latest: &Latest,
    observe: fn(&Named, &dyn AsyncInstrument<f64>),
) {
    meter
        .f64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(latest.each(observe))
        .build();
}
