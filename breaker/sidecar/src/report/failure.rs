//! The kinds of failure of a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::findings::{Counted, Findings};

/// A kind of failure, and how often it happened in the last five minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureKind {
    /// As `error.type` in telemetry: a status, an error type of RFC 9209, the name of a gRPC
    /// status, or what an application called it; `other` for what is beyond 16 kinds.
    pub kind: String,
    /// The endpoint that the requests were sent to, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How many requests failed so, in the last five minutes.
    pub count: u64,
    /// The trace of the latest of them that had one, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl FailureKind {
    /// Those of `source` in the five minutes before `now`.
    pub fn lately(findings: &Findings, source: &str, now: Instant) -> Vec<Self> {
        let kinds = findings.failures(source, now).into_iter();
        let recent = kinds.filter(|kind| kind.recent > 0);
        recent.map(Self::from).collect()
    }

    /// Where the requests were sent, and how they failed.
    pub fn in_words(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{} from {endpoint}", self.kind),
            None => self.kind.clone(),
        }
    }
}

impl From<Counted> for FailureKind {
    fn from(counted: Counted) -> Self {
        Self {
            kind: counted.kind,
            endpoint: counted.endpoint,
            count: counted.recent,
            trace: counted.trace.map(|trace| trace.to_string()),
        }
    }
}
