//! What happened to the endpoints of upstreams, in a word and in a sentence: the log, the collector
//! and who watches read the same.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::EndpointEvent;

use super::Endpoint;

/// Something that happened to the endpoints of an upstream.
#[derive(Debug, Clone)]
pub struct Happened {
    /// The name of the upstream.
    pub upstream: Arc<str>,
    /// The endpoint that it is about, if it is about one.
    pub endpoint: Option<Endpoint>,
    /// What happened.
    pub what: Occurrence,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Occurrence {
    /// To endpoints that stay.
    Endpoints(EndpointEvent),
    /// The name of the upstream has other endpoints than before.
    Discovered(Discovered),
}

/// Which endpoints a name has, compared with before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// How many there are.
    pub found: usize,
    /// How many of them are used.
    pub used: usize,
    /// Those used that were not there before.
    pub added: usize,
    /// Those that were used before and are not any more.
    pub removed: usize,
    /// Why there are none.
    pub why: Option<Arc<str>>,
}

impl Happened {
    /// One word: why an endpoint is out or in again, or what else happened.
    pub fn label(&self) -> &'static str {
        match &self.what {
            Occurrence::Endpoints(event) => match event {
                EndpointEvent::Ejected { reason, .. } => reason.label(),
                EndpointEvent::Readmitted { by, .. } => by.label(),
                EndpointEvent::Panic { .. } => "panic",
                _ => "panic_ended",
            },
            Occurrence::Discovered(Discovered { why: Some(_), .. }) => "lost",
            Occurrence::Discovered(_) => "found",
        }
    }

    /// For how long an endpoint was ejected, if that is known.
    pub fn out_for(&self) -> Option<Duration> {
        match &self.what {
            Occurrence::Endpoints(EndpointEvent::Ejected { at, until, .. }) => {
                until.map(|until| until.saturating_since(*at))
            }
            _ => None,
        }
    }

    /// Whether somebody should look at it: callers may notice it.
    pub fn is_bad(&self) -> bool {
        match &self.what {
            Occurrence::Endpoints(event) => matches!(
                event,
                EndpointEvent::Ejected { .. } | EndpointEvent::Panic { .. }
            ),
            Occurrence::Discovered(discovered) => discovered.why.is_some(),
        }
    }
}

/// A sentence with the numbers.
impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = match &self.what {
            Occurrence::Endpoints(event) => event,
            Occurrence::Discovered(discovered) => return discovered.fmt(f),
        };
        if let Some(endpoint) = &self.endpoint {
            write!(f, "{endpoint} ")?;
        }
        match event {
            EndpointEvent::Ejected { reason, .. } => {
                f.write_str("is out")?;
                if let Some(time) = self.out_for() {
                    write!(f, " for {time:.1?}")?;
                }
                write!(f, ": {reason}")
            }
            EndpointEvent::Readmitted { after, by, .. } => {
                write!(f, "is in again after {after:.1?}: {by}")
            }
            event => event.fmt(f),
        }
    }
}

impl fmt::Display for Discovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            found,
            used,
            added,
            removed,
            why,
        } = self;
        match (why, found) {
            (Some(why), _) => write!(f, "no endpoint is known: {why}")?,
            (None, 1) => f.write_str("1 endpoint is found")?,
            (None, found) => write!(f, "{found} endpoints are found")?,
        }
        if used < found {
            write!(f, ", of which {used} are used")?;
        }
        write!(f, " ({added} new, {removed} gone)")
    }
}

#[cfg(test)]
mod tests {
    use breaker_tower::breaker_core::{EjectReason, EndpointId, Readmission, Timestamp};

    use super::*;

    fn of(what: Occurrence) -> Happened {
        Happened {
            upstream: "pay".into(),
            endpoint: matches!(what, Occurrence::Endpoints(_))
                .then(|| Endpoint::new("10.0.0.7", 9001)),
            what,
        }
    }

    #[test]
    fn a_sentence_names_the_endpoint_the_reason_and_the_time() {
        let (at, id) = (Timestamp::from_millis(1000), EndpointId(7));
        let ejected = |until| EndpointEvent::Ejected {
            at,
            id,
            reason: EjectReason::Checks(3),
            until,
        };
        let readmitted = EndpointEvent::Readmitted {
            at,
            id,
            after: Duration::from_millis(5210),
            by: Readmission::Probes(2),
        };
        let discovered = |found, used, why| {
            Occurrence::Discovered(Discovered {
                found,
                used,
                added: 2,
                removed: 1,
                why,
            })
        };
        for (what, label, is_bad, sentence) in [
            (
                Occurrence::Endpoints(ejected(None)),
                "checks",
                true,
                "10.0.0.7:9001 is out: 3 health checks failed",
            ),
            (
                Occurrence::Endpoints(ejected(Some(Timestamp::from_millis(6000)))),
                "checks",
                true,
                "10.0.0.7:9001 is out for 5.0s: 3 health checks failed",
            ),
            (
                Occurrence::Endpoints(readmitted),
                "probes",
                false,
                "10.0.0.7:9001 is in again after 5.2s: 2 probes succeeded",
            ),
            (
                discovered(5, 5, None),
                "found",
                false,
                "5 endpoints are found (2 new, 1 gone)",
            ),
            (
                discovered(40, 16, None),
                "found",
                false,
                "40 endpoints are found, of which 16 are used (2 new, 1 gone)",
            ),
            (
                discovered(0, 0, Some("no such name".into())),
                "lost",
                true,
                "no endpoint is known: no such name (2 new, 1 gone)",
            ),
        ] {
            let happened = of(what);
            assert_eq!(happened.to_string(), sentence);
            assert_eq!((happened.label(), happened.is_bad()), (label, is_bad));
        }
    }
}
