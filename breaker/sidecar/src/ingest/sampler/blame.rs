//! How the requests of a batch failed: few kinds, told once a batch and not once a span.

use breaker_otlp::convention::Facts;
use breaker_otlp::{Attributes, Value};
use breaker_tower::breaker_core::TraceId;

use crate::findings::{Failed, OTHER};

/// The kinds of failure of one batch.
#[derive(Debug, Default)]
pub(super) struct Blames(Vec<Blame>);

#[derive(Debug, PartialEq, Eq)]
struct Blame {
    kind: String,
    endpoint: Option<String>,
}

impl Blames {
    /// The number of the kind of a span or point that failed; `None` if there are too many already.
    pub(super) fn note(&mut self, facts: &Facts<'_>, attributes: Attributes<'_>) -> Option<u16> {
        let blame = Blame {
            kind: facts.failed().to_string(),
            endpoint: endpoint(attributes),
        };
        let known = self.0.iter().position(|known| *known == blame);
        let at = known.or_else(|| {
            (self.0.len() < MAX_KINDS).then(|| {
                self.0.push(blame);
                self.0.len() - 1
            })
        });
        at.and_then(|at| u16::try_from(at).ok())
    }

    /// The failure of `count` requests, of the kind with this number.
    pub(super) fn failed(
        &self,
        number: Option<u16>,
        count: u64,
        trace: Option<TraceId>,
    ) -> Failed<'_> {
        let blame = number.and_then(|number| self.0.get(usize::from(number)));
        Failed {
            kind: blame.map_or(OTHER, |blame| &blame.kind),
            endpoint: blame.and_then(|blame| blame.endpoint.as_deref()),
            trace,
            count,
        }
    }
}

/// Where a client sent its request, as it says.
fn endpoint(attributes: Attributes<'_>) -> Option<String> {
    let Some(Value::Str(address)) = attributes.get("server.address") else {
        return None;
    };
    Some(match attributes.get("server.port") {
        Some(Value::Int(port)) => format!("{address}:{port}"),
        _ => address.to_owned(),
    })
}

/// More than are shown, and few enough to be compared one by one.
const MAX_KINDS: usize = 64;
