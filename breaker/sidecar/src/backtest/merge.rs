//! Merges the parts of a backtest.

use std::hash::{Hash, Hasher};

use breaker_tower::breaker_core::policy::yaml;
use siphasher::sip::SipHasher13;

use super::document::{BacktestDocument, ReportSums, VERSION};
use super::findings::MOST_EVENTS;
use super::{MOST_TIMELINES, Options};

/// Why parts can't be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MergeError(String);

impl BacktestDocument {
    /// The whole backtest whose parts are `documents`, with their names. It needs each part once.
    ///
    /// # Errors When one is not such a document, when they are of different backtests, or when a
    /// part is missing.
    pub fn merge(documents: &[(String, String)]) -> Result<Self, MergeError> {
        let mut parts = Vec::with_capacity(documents.len());
        for (name, document) in documents {
            parts.push((name, read(name, document)?));
        }
        parts.sort_by_key(|(_, part)| part.shard);
        let mut parts = parts.into_iter().enumerate();
        let Some((_, (first, mut whole))) = parts.next() else {
            return Err(MergeError("there is nothing to merge".to_owned()));
        };
        let all = whole.shard.map_or(1, |shard| shard.of());
        let mut last = whole.shard.map_or(1, |shard| shard.part());
        check_next(first, 1, last, all)?;
        for (_, (name, part)) in parts {
            let shard = part.shard.map_or(1, |shard| shard.part());
            if part.shard.map(|shard| shard.of()) != whole.shard.map(|shard| shard.of())
                || part.options != whole.options
                || part.met != whole.met
            {
                return Err(MergeError(format!(
                    "{name}: must be of the same backtest as {first}: the same options, traces \
                     and number of parts"
                )));
            }
            check_next(name, last + 1, shard, all)?;
            last = shard;
            whole.add(part);
        }
        if last < all {
            return Err(missing(last + 1, all));
        }
        whole.shard = None;
        whole.sort();
        for policy in &mut whole.policies {
            let beyond = policy.events.len().saturating_sub(MOST_EVENTS);
            policy.events.truncate(MOST_EVENTS);
            policy.left_out += beyond as u64;
        }
        whole.timelines.truncate(MOST_TIMELINES);
        Ok(whole)
    }

    fn add(&mut self, part: Self) {
        for (policy, other) in self.policies.iter_mut().zip(part.policies) {
            policy.sums.add(&other.sums);
            policy.events.extend(other.events);
            policy.left_out += other.left_out;
        }
        self.lost.add(&part.lost);
        self.formats.extend(part.formats);
        self.routes += part.routes;
        self.span = match (self.span, part.span) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
        self.timelines.extend(part.timelines);
    }
}

impl ReportSums {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.admitted += other.admitted;
        self.rejected += other.rejected;
        self.rejected_good += other.rejected_good;
        self.admitted_bad += other.admitted_bad;
        self.trips += other.trips;
        self.first_trip = self.first_trip.into_iter().chain(other.first_trip).min();
        self.alerts += other.alerts;
        self.shed += other.shed;
    }
}

impl Options {
    /// A hash of the options that must be the same in all parts.
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        for (label, policy) in &self.policies {
            (label, yaml::write(policy)).hash(&mut hasher);
        }
        (&self.routes, self.format, self.timeout, self.tolerance).hash(&mut hasher);
        hasher.finish()
    }
}

fn read(name: &str, document: &str) -> Result<BacktestDocument, MergeError> {
    let part: BacktestDocument = serde_json::from_str(document)
        .map_err(|error| MergeError(format!("{name}: must be a document of --shard: {error}")))?;
    if part.version != VERSION || part.shard.is_none() {
        let rule = "must be a document of --shard of this version";
        return Err(MergeError(format!("{name}: {rule}")));
    }
    Ok(part)
}

/// Checks that `part` is the `next` one.
fn check_next(name: &str, next: u32, part: u32, all: u32) -> Result<(), MergeError> {
    match part {
        part if part < next => Err(MergeError(format!(
            "{name}: part {part}/{all} is there twice"
        ))),
        part if part > next => Err(missing(next, all)),
        _ => Ok(()),
    }
}

fn missing(part: u32, all: u32) -> MergeError {
    MergeError(format!("part {part}/{all} is missing"))
}

#[cfg(test)]
mod tests;
