//! `limits`: bounds on what a client may send and hold.

use breaker_tower::breaker_core::InvalidField;

use super::problem::{Problems, time_or_off, time_within, within};
use super::raw::RawLimits;
use super::scalar::{OrOff, Size};
use crate::message::BodyLimits;
use crate::proxy::{Limits, PathRules};
use crate::upstream::HeadLimits;

pub(super) fn build(raw: &RawLimits) -> Result<(Limits, BodyLimits), Problems> {
    let mut problems = Problems::default();
    let head = HeadLimits::default();
    let default = Limits::default();
    let header = problems.keep(time_within(
        "header_timeout",
        raw.header_timeout,
        10..=600_000,
        default.header,
    ));
    let limits = Limits {
        connections: problems.keep(within(
            "max_connections",
            raw.max_connections,
            1..=1_000_000,
            default.connections,
        )),
        header_bytes: problems.keep(header_bytes(
            "max_header_bytes",
            raw.max_header_bytes,
            default.header_bytes,
        )),
        response: HeadLimits {
            fields: problems.keep(within(
                "max_response_fields",
                raw.max_response_fields,
                16..=4096,
                head.fields,
            )),
            bytes: problems.keep(header_bytes(
                "max_response_header_bytes",
                raw.max_response_header_bytes,
                head.bytes,
            )),
        },
        first_byte: raw.header_timeout.map_or(default.first_byte, |_| header),
        header,
        keep_alive: problems.keep(time_within(
            "idle_timeout",
            raw.idle_timeout,
            10..=3_600_000,
            default.keep_alive,
        )),
        write: problems.keep(time_within(
            "write_timeout",
            raw.write_timeout,
            10..=3_600_000,
            default.write,
        )),
        half_closed: problems.keep(time_within(
            "half_closed_timeout",
            raw.half_closed_timeout,
            0..=3_600_000,
            default.half_closed,
        )),
        tunnel_idle: problems.keep(time_or_off(
            "tunnel_idle_timeout",
            raw.tunnel_idle_timeout,
            10..=86_400_000,
            default.tunnel_idle,
        )),
        tcp_keepalive: problems.keep(time_or_off(
            "tcp_keepalive",
            raw.tcp_keepalive,
            1_000..=7_200_000,
            default.tcp_keepalive,
        )),
        age: problems.keep(time_or_off(
            "max_connection_age",
            raw.max_connection_age,
            1_000..=86_400_000,
            default.age,
        )),
        streams: problems.keep(within(
            "max_streams",
            raw.max_streams,
            1..=10_000,
            default.streams,
        )),
        path: PathRules {
            encoded_slash: raw.encoded_slash.unwrap_or(default.path.encoded_slash),
            merge_slashes: raw.merge_slashes.unwrap_or(default.path.merge_slashes),
        },
        ..default
    };
    let default = BodyLimits::default();
    let body = BodyLimits {
        request_bytes: match raw.max_body_bytes {
            Some(OrOff(size)) => size.map(|Size(bytes)| bytes),
            None => default.request_bytes,
        },
        idle: problems.keep(time_or_off(
            "body_idle_timeout",
            raw.body_idle_timeout,
            10..=3_600_000,
            default.idle,
        )),
        response_idle: problems.keep(time_or_off(
            "body_idle_timeout",
            raw.body_idle_timeout,
            10..=3_600_000,
            default.response_idle,
        )),
        request_total: problems.keep(time_or_off(
            "body_timeout",
            raw.body_timeout,
            10..=86_400_000,
            default.request_total,
        )),
    };
    problems.finish()?;
    Ok((limits, body))
}

fn header_bytes(field: &str, size: Option<Size>, default: usize) -> Result<usize, InvalidField> {
    let Some(Size(bytes)) = size else {
        return Ok(default);
    };
    // The least is what the HTTP parser works with.
    match usize::try_from(bytes) {
        Ok(bytes) if (8 << 10..=1 << 20).contains(&bytes) => Ok(bytes),
        _ => Err(InvalidField::new(field, "must be 8KiB to 1MiB")),
    }
}
