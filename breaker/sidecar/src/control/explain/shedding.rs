//! What a closed breaker keeps away, why, and until when.

use breaker_tower::breaker_core::SheddingSnapshot;

use super::words::span;

pub(super) fn explain(shedding: &SheddingSnapshot) -> String {
    let limit = shedding.limit;
    let (target, lasted) = (span(shedding.target), span(shedding.lasted));
    let share = shedding.admitted_share;
    let reason = &shedding.reason;
    format!(
        "For {lasted} no more than {limit} may be in flight, so that a request takes {target} on average: {reason}. \
         Of the last hundred requests or so {share} were sent."
    )
}

pub(super) fn ends(shedding: &SheddingSnapshot) -> Option<String> {
    let remaining = span(shedding.remaining?);
    Some(format!(
        "It ends in {remaining}, unless until then the limit turns a request away or a condition that sheds holds."
    ))
}
