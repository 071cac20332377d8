//! `limits`: bounds on what a client may send and hold.

use std::ops::RangeInclusive;
use std::time::Duration;

use breaker_tower::core::policy::yaml::Period;

use super::problem::{Problem, time_within, within};
use super::raw::RawLimits;
use super::scalar::{OrOff, Size};
use crate::proxy::{BodyLimits, Limits};

pub(super) fn build(raw: &RawLimits) -> Result<(Limits, BodyLimits), Problem> {
    let default = Limits::default();
    let header = time_within(
        "header_timeout",
        raw.header_timeout,
        10..=600_000,
        default.header,
    )?;
    let limits = Limits {
        connections: within(
            "max_connections",
            raw.max_connections,
            1..=1_000_000,
            default.connections,
        )?,
        header_bytes: header_bytes(raw.max_header_bytes, default.header_bytes)?,
        first_byte: raw.header_timeout.map_or(default.first_byte, |_| header),
        header,
        keep_alive: time_within(
            "idle_timeout",
            raw.idle_timeout,
            10..=3_600_000,
            default.keep_alive,
        )?,
        write: time_within(
            "write_timeout",
            raw.write_timeout,
            10..=3_600_000,
            default.write,
        )?,
        streams: within("max_streams", raw.max_streams, 1..=10_000, default.streams)?,
        encoded_slash: raw.encoded_slash.unwrap_or(default.encoded_slash),
        ..default
    };
    let default = BodyLimits::default();
    let body = BodyLimits {
        request_bytes: match raw.max_body_bytes {
            Some(OrOff(size)) => size.map(|Size(bytes)| bytes),
            None => default.request_bytes,
        },
        idle: time_or_off(
            "body_idle_timeout",
            raw.body_idle_timeout,
            10..=3_600_000,
            default.idle,
        )?,
        response_idle: time_or_off(
            "body_idle_timeout",
            raw.body_idle_timeout,
            10..=3_600_000,
            default.response_idle,
        )?,
        request_total: time_or_off(
            "body_timeout",
            raw.body_timeout,
            10..=86_400_000,
            default.request_total,
        )?,
    };
    Ok((limits, body))
}

fn header_bytes(size: Option<Size>, default: usize) -> Result<usize, Problem> {
    let Some(Size(bytes)) = size else {
        return Ok(default);
    };
    // The least is what the HTTP parser works with.
    match usize::try_from(bytes) {
        Ok(bytes) if (8 << 10..=1 << 20).contains(&bytes) => Ok(bytes),
        _ => Err(Problem::new("max_header_bytes", "must be 8KiB to 1MiB")),
    }
}

fn time_or_off(
    field: &str,
    value: Option<OrOff<Period>>,
    range: RangeInclusive<u64>,
    default: Option<Duration>,
) -> Result<Option<Duration>, Problem> {
    match value {
        None => Ok(default),
        Some(OrOff(None)) => Ok(None),
        Some(OrOff(time)) => time_within(field, time, range, Duration::ZERO).map(Some),
    }
}
