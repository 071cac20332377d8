//! `upstreams.NAME.balance` and `eject`: which endpoint gets a request.

use breaker_tower::breaker_core::policy::yaml::{Period, Share};
use breaker_tower::breaker_core::{Balance, EndpointSettings, InvalidField};

use crate::config::problem::Problems;
use crate::config::raw::{EjectChoice, RawBalance, RawEject, RawUpstream};

pub(super) fn build(raw: &RawUpstream) -> Result<EndpointSettings, Problems> {
    let mut settings = EndpointSettings::default();
    settings.balance = match raw.balance {
        None | Some(RawBalance::P2c) => Balance::P2c,
        Some(RawBalance::RoundRobin) => Balance::RoundRobin,
    };
    match &raw.eject {
        None => {}
        Some(EjectChoice::Never) => settings.eject = false,
        Some(EjectChoice::By(raw)) => apply(raw, &mut settings),
    }
    let health = raw.health.as_ref();
    // Their ranges are those of the checks, which are told there.
    if let Some(unhealthy) = health.and_then(|health| health.unhealthy) {
        settings.unhealthy = unhealthy.clamp(1, 1000);
    }
    if let Some(healthy) = health.and_then(|health| health.healthy) {
        settings.healthy = healthy.clamp(1, 1000);
    }
    settings
        .validate()
        .map_err(|problem| Problems::from(as_written(problem)).within("eject"))?;
    Ok(settings)
}

fn apply(raw: &RawEject, settings: &mut EndpointSettings) {
    let RawEject {
        max_ejected,
        deadline,
        open,
        half_open,
        ramp,
    } = *raw;
    let (open, half_open) = (open.unwrap_or_default(), half_open.unwrap_or_default());
    let ramp = ramp.unwrap_or_default();
    set(&mut settings.max_ejected, max_ejected.map(|Share(it)| it));
    set(&mut settings.deadline, deadline.map(|Period(it)| it));
    set(&mut settings.open.period, open.r#for.map(|Period(it)| it));
    set(&mut settings.open.factor, open.factor);
    set(&mut settings.open.max, open.max.map(|Period(it)| it));
    set(&mut settings.open.jitter, open.jitter.map(|Share(it)| it));
    set(&mut settings.probes, half_open.probes);
    set(
        &mut settings.probe_timeout,
        half_open.probe_timeout.map(|Period(it)| it),
    );
    set(&mut settings.ramp.start, ramp.start.map(|Share(it)| it));
    set(&mut settings.ramp.period, ramp.r#for.map(|Period(it)| it));
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// The fields of the file are grouped as those of a policy.
fn as_written(mut problem: InvalidField) -> InvalidField {
    if let "probes" | "probe_timeout" = &*problem.field {
        problem.field = format!("half_open.{}", problem.field);
    }
    problem
}
