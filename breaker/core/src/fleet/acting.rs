//! What a policy does on a share of hits that the fleet is sure of.

use std::time::Duration;

use crate::detector::midway_to_total;
use crate::policy::{Action, Condition, Policy, Signal, TripEntry};
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
    /// Of how many requests, where one breaker has seen them.
    pub(crate) min_requests: u64,
    /// The change must last so long.
    pub(crate) blip: Duration,
}

/// The entries of `policy` that the fleet's evidence on `signal` can satisfy, with this action:
/// those whose only condition is a share of that signal.
pub(crate) fn asked(
    policy: &Policy,
    signal: Signal,
    action: Action,
) -> impl Iterator<Item = Asked> + '_ {
    let entries = policy.trip().iter().enumerate();
    entries
        .filter(move |(_, entry)| entry.action == action)
        .filter_map(move |(index, entry)| asks(policy, index, entry, signal))
}

/// The smallest share on which `policy` opens for `signal`, where the share `usual` is usual: what
/// is usual must not open.
pub(super) fn opens_from(policy: &Policy, signal: Signal, usual: f64) -> Option<Asked> {
    let mut least = asked(policy, signal, Action::Open)
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

/// The signals on which `policy` opens or alerts.
pub(super) fn watched(policy: &Policy) -> Vec<Signal> {
    let acts = |signal: &Signal| {
        let mut actions = [Action::Open, Action::Alert].into_iter();
        actions.any(|action| asked(policy, *signal, action).next().is_some())
    };
    Signal::ALL.into_iter().filter(acts).collect()
}

fn asks(policy: &Policy, index: usize, entry: &TripEntry, signal: Signal) -> Option<Asked> {
    let [condition] = entry.conditions[..] else {
        return None;
    };
    let (watched, at_least, blip) = match condition {
        Condition::Anomaly {
            signal,
            at_least,
            blip,
        } => (signal, at_least, blip),
        Condition::ErrorRate(share) => (Signal::Errors, share, Duration::ZERO),
        _ => return None,
    };
    (watched == signal).then_some(Asked {
        entry: index,
        condition,
        at_least,
        min_requests: match condition.is_guarded() {
            true => policy.min_requests(),
            false => 0,
        },
        blip,
    })
}
