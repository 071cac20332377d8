//! What breakers know, as metrics, and what they do, as log records. Each needs a feature.
//!
//! * `metrics`: [`record`] hands all numbers to the recorder of the crate `metrics`.
//! * `opentelemetry`: [`register`] makes observable instruments. Both use the names of the metrics
//!   that the sidecar exports: `breaker.state`, `breaker.requests` and so on.
//! * `tracing`: breakers log what they do, with the target `breaker`: transitions, alerts, changes
//!   of the mode. Nothing needs to be called.
//!
//! None of them costs a request anything, unless it fails: totals are read when somebody asks for
//! them. `breaker.open.duration` is a histogram. With `metrics` it goes to the recorder that is
//! current when the breaker stops being open; with `opentelemetry` it is told when instruments are
//! observed. The `error.type` of `breaker.failures` is a status, the name of a gRPC status,
//! `timeout` or, for other errors, `_OTHER`; after 16 kinds, others are `other`.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "opentelemetry")]
mod opentelemetry;

use std::sync::Arc;

use breaker_core::{Attribution, Mode, Snapshot, State};

#[cfg(feature = "metrics")]
pub use self::metrics::record;
#[cfg(feature = "opentelemetry")]
pub use self::opentelemetry::register;
use crate::handle::BreakerHandle;
use crate::set::BreakerSet;
use crate::shared::tally::Tally;

/// Those breakers that metrics are about.
pub trait Breakers {
    /// All of them, as of now.
    fn breakers(&self) -> Vec<BreakerHandle>;
}

/// A metric: its name, unit and description.
#[derive(Debug)]
struct Metric {
    name: &'static str,
    #[cfg_attr(
        not(feature = "opentelemetry"),
        expect(dead_code, reason = "the crate metrics has units of its own")
    )]
    unit: &'static str,
    description: &'static str,
    read: Read,
}

/// How the numbers of a metric are read.
#[derive(Debug)]
enum Read {
    Counter(fn(&Snapshot, &mut Whole<'_>)),
    Gauge(fn(&Snapshot, &mut Real<'_>)),
    /// A counter of what the snapshot does not have.
    Tally(fn(&Tally, &mut Whole<'_>)),
}

type Whole<'a> = dyn FnMut(&[Label], u64) + 'a;
type Real<'a> = dyn FnMut(&[Label], f64) + 'a;

/// An attribute beside the breaker's name.
type Label = (&'static str, Arc<str>);

const METRICS: [Metric; 13] = [
    Metric {
        name: "breaker.state",
        unit: "{state}",
        description: "1 for the current state and 0 for the others",
        read: Read::Gauge(|snapshot, tell| {
            for state in State::ALL {
                let label = ("breaker.state", state.name().into());
                tell(&[label], f64::from(snapshot.state == state));
            }
        }),
    },
    Metric {
        name: "breaker.mode",
        unit: "{mode}",
        description: "1 for the current mode and 0 for the others",
        read: Read::Gauge(|snapshot, tell| {
            for mode in Mode::ALL {
                let label = ("breaker.mode", mode.name().into());
                tell(&[label], f64::from(snapshot.mode == mode));
            }
        }),
    },
    Metric {
        name: "breaker.transitions",
        unit: "{transition}",
        description: "Changes of state",
        read: Read::Counter(|snapshot, tell| {
            for change in &snapshot.transitions {
                let labels = [
                    ("breaker.transition.from", change.from.name().into()),
                    ("breaker.transition.to", change.to.name().into()),
                    ("breaker.transition.reason", change.reason.into()),
                ];
                tell(&labels, change.count);
            }
        }),
    },
    Metric {
        name: "breaker.requests",
        unit: "{request}",
        description: "Requests by outcome",
        read: Read::Counter(requests),
    },
    Metric {
        name: "breaker.failures",
        unit: "{request}",
        description: "Requests that failed, by how they failed",
        read: Read::Tally(|tally, tell| {
            for (kind, count) in &tally.failures {
                let labels = [
                    ("breaker.source", "proxy".into()),
                    ("error.type", kind.label()),
                ];
                tell(&labels, *count);
            }
        }),
    },
    Metric {
        name: "breaker.feed.samples",
        unit: "{request}",
        description: "Requests that feeds reported, by what became of them",
        read: Read::Tally(|tally, tell| {
            for feed in &tally.feeds {
                let fates = [
                    ("counted", feed.counted),
                    ("late", feed.late),
                    ("future", feed.future),
                ];
                for (fate, count) in fates {
                    let labels = [
                        ("breaker.source", feed.name.clone()),
                        ("breaker.feed.fate", fate.into()),
                    ];
                    tell(&labels, count);
                }
            }
        }),
    },
    Metric {
        name: "breaker.error_rate",
        unit: "1",
        description: "The share of failures in the window",
        read: Read::Gauge(|snapshot, tell| {
            let sources = snapshot.sources.iter();
            for source in sources.filter(|source| source.requests() > 0) {
                let label = ("breaker.source", source.name.clone());
                tell(&[label], source.error_rate.get());
            }
        }),
    },
    Metric {
        name: "breaker.latency",
        unit: "s",
        description: "Quantiles of the latency in the window",
        read: Read::Gauge(latency),
    },
    Metric {
        name: "breaker.concurrency",
        unit: "{request}",
        description: "Requests in flight",
        read: Read::Gauge(|snapshot, tell| {
            let source = snapshot.sources[0].name.clone();
            tell(&[("breaker.source", source)], snapshot.in_flight as f64);
        }),
    },
    Metric {
        name: "breaker.concurrency.limit",
        unit: "{request}",
        description: "The maximum of requests in flight, while the breaker sheds",
        read: Read::Gauge(|snapshot, tell| {
            if let Some(shedding) = &snapshot.shedding {
                tell(&[], shedding.limit as f64);
            }
        }),
    },
    Metric {
        name: "breaker.alerts",
        unit: "{alert}",
        description: "Alerts",
        read: Read::Counter(|snapshot, tell| {
            for alert in &snapshot.alerts {
                tell(&about(&alert.source, alert.signal), alert.count);
            }
        }),
    },
    Metric {
        name: "breaker.alerting",
        unit: "1",
        description: "1 while an alert lasts, else 0",
        read: Read::Gauge(alerting),
    },
    Metric {
        name: "breaker.anomaly.score",
        unit: "1",
        description: "Evidence of an anomaly as a share of the alarm threshold",
        read: Read::Gauge(|snapshot, tell| {
            for source in &snapshot.sources {
                for anomaly in &source.anomalies {
                    let labels = about(&source.name, anomaly.signal.name());
                    tell(&labels, anomaly.score());
                }
            }
        }),
    },
];

const OPEN_TIME: &str = "How long the breaker was open, when it no longer is";
const NAME: &str = "breaker.name";

fn requests(snapshot: &Snapshot, tell: &mut Whole<'_>) {
    let outcome = |outcome: &str| ("breaker.outcome", outcome.into());
    let by = |by: Attribution| ("breaker.attribution", by.label().into());
    let totals = &snapshot.totals;
    let upstream = || by(Attribution::Upstream);
    tell(&[outcome("success"), upstream()], totals.success);
    tell(&[outcome("failure"), upstream()], totals.failure);
    for (attribution, count) in totals.ignored_by() {
        tell(&[outcome("ignored"), by(attribution)], count);
    }
    tell(&[outcome("rejected")], totals.rejected);
    tell(&[outcome("would_reject")], totals.would_reject);
}

/// What the policy may alert on begins with 0.
fn alerting(snapshot: &Snapshot, tell: &mut Real<'_>) {
    for alert in &snapshot.alerts {
        let mut sources = snapshot.sources.iter();
        let source = sources.find(|source| source.name == alert.source);
        let stands = source.is_some_and(|source| {
            let mut standing = source.standing_alerts.iter();
            standing.any(|standing| standing.signal == alert.signal)
        });
        tell(&about(&alert.source, alert.signal), f64::from(stands));
    }
}

fn about(source: &Arc<str>, signal: &'static str) -> [Label; 2] {
    [
        ("breaker.source", source.clone()),
        ("breaker.signal", signal.into()),
    ]
}

fn latency(snapshot: &Snapshot, tell: &mut Real<'_>) {
    for source in &snapshot.sources {
        let Some(latency) = &source.latency else {
            continue;
        };
        for (quantile, value) in [
            ("p50", latency.p50),
            ("p90", latency.p90),
            ("p95", latency.p95),
            ("p99", latency.p99),
            ("p999", latency.p999),
        ] {
            let labels = [
                ("breaker.source", source.name.clone()),
                ("breaker.quantile", quantile.into()),
            ];
            tell(&labels, value.as_secs_f64());
        }
    }
}

impl Breakers for BreakerHandle {
    fn breakers(&self) -> Vec<Self> {
        vec![self.clone()]
    }
}

impl<K> Breakers for BreakerSet<K> {
    fn breakers(&self) -> Vec<BreakerHandle> {
        Self::breakers(self)
    }
}

impl<T: Breakers> Breakers for [T] {
    fn breakers(&self) -> Vec<BreakerHandle> {
        self.iter().flat_map(T::breakers).collect()
    }
}

impl<T: Breakers> Breakers for Vec<T> {
    fn breakers(&self) -> Vec<BreakerHandle> {
        self[..].breakers()
    }
}

impl<A: Breakers, B: Breakers> Breakers for (A, B) {
    fn breakers(&self) -> Vec<BreakerHandle> {
        let (first, second) = self;
        [first.breakers(), second.breakers()].concat()
    }
}
