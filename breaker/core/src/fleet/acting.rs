//! What a policy does on a share of hits that the fleet is sure of.

use std::time::Duration;

use crate::detector::midway_to_total;
use crate::policy::{Action, Condition, Policy, Stream, TripEntry};
use crate::ratio::Ratio;

/// What a trip entry asks of the fleet's evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Asked {
    /// Which entry of the policy.
    pub(crate) entry: usize,
    /// The condition, for reasons.
    pub(crate) condition: Condition,
    /// The share of hits must be this at least, surely.
    pub(crate) at_least: Ratio,
    /// The change must last so long.
    pub(crate) blip: Duration,
}

/// The entries of `policy` that the fleet's evidence on `stream` can satisfy, with this action:
/// those whose only condition is a share of that stream.
pub(crate) fn asked(
    policy: &Policy,
    stream: Stream,
    action: Action,
) -> impl Iterator<Item = Asked> + '_ {
    let entries = policy.trip().iter().enumerate();
    entries
        .filter(move |(_, entry)| entry.action == action)
        .filter_map(move |(index, entry)| asks(index, entry, stream))
}

/// The smallest share on which `policy` opens for `stream`, where the share `usual` is usual: what
/// is usual must not open.
pub(super) fn opens_from(policy: &Policy, stream: Stream, usual: f64) -> Option<Asked> {
    let mut least = asked(policy, stream, Action::Open)
        .min_by(|a, b| a.at_least.get().total_cmp(&b.at_least.get()))?;
    least.at_least = raised(least.at_least, usual);
    Some(least)
}

/// A share to open on, raised to midway between what is usual and near-total failure.
pub(crate) fn raised(at_least: Ratio, usual: f64) -> Ratio {
    let relative = Ratio::new(midway_to_total(usual)).unwrap_or(Ratio::ONE);
    if at_least > Ratio::ZERO && relative > at_least {
        relative
    } else {
        at_least
    }
}

/// The streams on which `policy` opens or alerts.
pub(super) fn watched(policy: &Policy) -> Vec<Stream> {
    let acts = |stream: &Stream| {
        let mut actions = [Action::Open, Action::Alert].into_iter();
        actions.any(|action| asked(policy, *stream, action).next().is_some())
    };
    Stream::ALL.into_iter().filter(acts).collect()
}

fn asks(index: usize, entry: &TripEntry, stream: Stream) -> Option<Asked> {
    let [condition] = entry.conditions[..] else {
        return None;
    };
    let (watched, at_least, blip) = match condition {
        Condition::Anomaly {
            stream,
            at_least,
            blip,
        } => (stream, at_least, blip),
        Condition::ErrorRate(share) => (Stream::Errors, share, Duration::ZERO),
        _ => return None,
    };
    (watched == stream).then_some(Asked {
        entry: index,
        condition,
        at_least,
        blip,
    })
}
