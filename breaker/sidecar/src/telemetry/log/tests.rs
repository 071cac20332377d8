use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_tower::breaker_core::{Breaker, Outcome, Policy, Timestamp};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

fn lines(policy: Policy) -> Vec<String> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    tracing::subscriber::with_default(subscriber, || {
        let mut breaker = Breaker::new(policy, 1, Timestamp::ZERO);
        for request in 0..100 {
            let now = Timestamp::from_millis(request);
            let Ok(permit) = breaker.try_acquire(now) else {
                break;
            };
            breaker.record(permit, Outcome::failure(Duration::from_millis(1)), now);
        }
        while let Some(event) = breaker.poll_event() {
            super::event("pay", &event);
        }
    });
    Arc::into_inner(lines.0).map_or_else(Vec::new, |lines| lines.into_inner().unwrap())
}

#[test]
fn a_transition_is_one_line_with_its_numbers() {
    let lines = lines(Policy::sensitive());
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [
        "WARN",
        "route=\"pay\"",
        "from=\"closed\"",
        "to=\"open\"",
        "reason=\"error_rate\"",
        "observed=1.0",
        "threshold=0.08",
        "samples=20",
        "source=\"proxy\"",
        "message=error rate 100% ≥ 8%, 20 requests in 10s (source proxy)",
    ] {
        assert!(lines[0].contains(part), "{part} in {lines:?}");
    }
}
