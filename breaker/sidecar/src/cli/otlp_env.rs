//! `breaker run --otlp-env`: the variables that make an application tell the sidecar, soon and
//! exactly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use breaker_sidecar::config::Config;
use serde_json::{Map, Value};

/// A variable for an application, and why it is set.
pub(super) struct Variable {
    name: &'static str,
    value: String,
    why: &'static str,
}

/// The variables for applications beside a sidecar.
///
/// # Errors
/// When they can't be told.
pub(super) fn variables(config: &Config) -> Result<Vec<Variable>, &'static str> {
    let receive = config.receive().ok_or(
        "telemetry.receive is not configured: there is nothing that an application could send to",
    )?;
    // Every SDK has http/protobuf, and not every one gRPC.
    let (address, protocol) = match (receive.http(), receive.grpc()) {
        (Some(address), _) => (address, "http/protobuf"),
        (None, Some(address)) => (address, "grpc"),
        (None, None) => {
            return Err("telemetry.receive has no address: it reads topics of Kafka alone");
        }
    };
    if address.port() == 0 {
        return Err("telemetry.receive has port 0: its port is not known before it runs");
    }
    let scheme = match receive.tls() {
        Some(_) => "https",
        None => "http",
    };
    let variable = |name, value: &str, why| Variable {
        name,
        value: value.to_owned(),
        why,
    };
    Ok(vec![
        variable(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &format!("{scheme}://{}", reachable(address)),
            "where the sidecar receives telemetry",
        ),
        variable(
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            protocol,
            "how it is sent there",
        ),
        variable(
            "OTEL_BSP_SCHEDULE_DELAY",
            "500",
            "spans are sent after 0.5 s instead of 5 s, so that a breaker opens that much earlier",
        ),
        variable(
            "OTEL_METRIC_EXPORT_INTERVAL",
            "2000",
            "metrics are sent every 2 s instead of every 60 s",
        ),
        variable(
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "delta",
            "each point tells of its interval only, so that the first one after a start counts",
        ),
        variable(
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
            "latencies are told within a few per cent, whatever the thresholds",
        ),
        variable(
            "OTEL_SEMCONV_STABILITY_OPT_IN",
            "http,database",
            "names of attributes and metrics are the stable ones, durations are in seconds",
        ),
    ])
}

/// As lines of a shell, with the reasons as comments.
pub(super) fn in_lines(variables: &[Variable]) -> String {
    let lines = variables
        .iter()
        .map(|Variable { name, value, why }| format!("# {why}\n{name}={value}\n"));
    lines.collect()
}

/// As one object.
pub(super) fn in_json(variables: &[Variable]) -> Value {
    let fields = variables
        .iter()
        .map(|variable| (variable.name.to_owned(), variable.value.clone().into()));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// Where an application on this machine connects to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
