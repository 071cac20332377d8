//! The policy of a breaker, as a resource.

use breaker_tower::breaker_core::policy::{Policy as Rules, yaml};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::config::Policies;
use crate::registry::RegisteredBreaker;
use crate::report::{Action, Origin};

/// The policy of a breaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// All of it, as in a file.
    pub yaml: String,
    /// The span of time whose outcomes decide, in seconds.
    pub window: f64,
    /// Fewer requests than this in the window decide nothing by ratio or quantile.
    pub min_requests: u64,
    /// What its trip entries want.
    pub conditions: Vec<Condition>,
}

/// A condition of a trip entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// The index of the entry: all conditions of one entry must hold.
    pub entry: usize,
    /// What is done then.
    pub action: Action,
    /// The condition in words.
    pub text: String,
    /// The field in a file: `error_rate`, `p99`, `anomaly` and so on.
    pub metric: String,
    /// Its bound: a share of 1, seconds, or a count; none of an anomaly.
    pub threshold: Option<f64>,
}

/// A policy that is to be in force.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Choice {
    /// This one, as in a file.
    Yaml(String),
    /// The built-in one of this name, or one of the configuration.
    Name(String),
}

impl From<&RegisteredBreaker> for Policy {
    fn from(entry: &RegisteredBreaker) -> Self {
        let policy = entry.policy();
        let entries = policy.trip().iter().enumerate();
        let conditions = entries.flat_map(|(index, entry)| {
            let conditions = entry.conditions.iter();
            conditions.map(move |condition| Condition {
                entry: index,
                action: entry.action.into(),
                text: condition.to_string(),
                metric: condition.name().to_owned(),
                threshold: condition.threshold(),
            })
        });
        Self {
            name: policy.name().to_owned(),
            origin: entry.origin().into(),
            yaml: yaml::write(policy),
            window: policy.window().as_secs_f64(),
            min_requests: policy.min_requests(),
            conditions: conditions.collect(),
        }
    }
}

/// That there is no policy `name`, for who may also send one.
fn unknown(name: &str, known: &[&str]) -> String {
    match yaml::nearest(name, known) {
        Some(near) => format!("must name a policy; did you mean {near}?"),
        None => {
            let known = known.join(", ");
            format!(
                "there is no policy {name}: must be a built-in, one of the configuration ({known}), or a file"
            )
        }
    }
}

impl Choice {
    /// The policy that is chosen, where `known` can be named.
    pub(super) fn resolve(&self, known: &Policies) -> Result<Rules, Problem> {
        match self {
            Self::Yaml(text) => {
                yaml::parse_over(text, None, |base| known.get(base)).map_err(Problem::from)
            }
            Self::Name(name) => known
                .get(name)
                .ok_or_else(|| Problem::of_field("name", unknown(name, &known.names()))),
        }
    }
}
