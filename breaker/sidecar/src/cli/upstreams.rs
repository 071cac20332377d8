//! `breaker upstreams`, `eject` and `admit`: the endpoints of a running sidecar.

use std::process::ExitCode;

use anstyle::Style;
use breaker_sidecar::control::{Admit as Admitted, Eject as Ejected};
use breaker_sidecar::report::{Endpoint, EndpointState, Upstream, Upstreams as All};
use breaker_tower::breaker_core::policy::yaml::Period;
use clap::Args;
use http::Method;

use super::client::{Connect, upstream_path};
use super::control::json;
use super::output::{BAD, FAINT, GOOD, STRONG, UNSURE};
use super::status::{percent, print, span};
use super::table::{Cell, Table, left, right};

/// Arguments of `breaker upstreams`.
#[derive(Debug, Args)]
pub(crate) struct Upstreams {
    /// One upstream
    upstream: Option<String>,
    #[command(flatten)]
    connect: Connect,
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Arguments of `breaker eject`.
#[derive(Debug, Args)]
pub(crate) struct Eject {
    #[command(flatten)]
    of: Of,
    /// For how long, 100ms to 168h
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = Period::parse)]
    period: Period,
}

/// Arguments of `breaker admit`.
#[derive(Debug, Args)]
pub(crate) struct Admit {
    #[command(flatten)]
    of: Of,
}

/// Which endpoint a command is for.
#[derive(Debug, Args)]
struct Of {
    /// The upstream
    upstream: String,
    /// The endpoint, as `breaker upstreams` has it, such as 10.0.0.7:9001
    endpoint: String,
    /// Why: for the log and the collector
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    connect: Connect,
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Upstreams {
    pub(super) fn run(self) -> ExitCode {
        let (name, as_json) = (self.upstream, self.json);
        self.connect.run(async |client| match &name {
            Some(name) => {
                let upstream: Upstream = client.get(&upstream_path(name, "")).await?;
                Ok(print(&upstream, as_json, in_words))
            }
            None => {
                let all: All = client.get("/api/v1/upstreams").await?;
                Ok(print(&all, as_json, |all| {
                    let each: Vec<_> = all.upstreams.iter().map(in_words).collect();
                    each.join("\n")
                }))
            }
        })
    }
}

impl Eject {
    pub(super) fn run(self) -> ExitCode {
        let Self { of, period } = self;
        let document = Ejected {
            endpoint: of.endpoint.clone(),
            period: Some(period.0.as_secs_f64()),
            reason: of.reason.clone(),
        };
        of.change("/eject", &document)
    }
}

impl Admit {
    pub(super) fn run(self) -> ExitCode {
        let document = Admitted {
            endpoint: self.of.endpoint.clone(),
            reason: self.of.reason.clone(),
        };
        self.of.change("/admit", &document)
    }
}

impl Of {
    fn change(self, what: &str, document: &impl serde::Serialize) -> ExitCode {
        let (path, as_json) = (upstream_path(&self.upstream, what), self.json);
        let content = json(document);
        self.connect.run(async |client| {
            let upstream = client.send(Method::POST, &path, Some(content)).await?;
            Ok(print(&upstream, as_json, in_words))
        })
    }
}

/// The endpoints of an upstream, in a table.
pub(super) fn in_words(upstream: &Upstream) -> String {
    let mut text = format!("{STRONG}{}{STRONG:#}", upstream.name);
    let used = upstream.endpoints.len() as u64;
    text += &match upstream.found {
        0 => format!("  {BAD}no endpoint is known{BAD:#}"),
        1 => "  1 endpoint".to_owned(),
        found if found > used => format!("  {used} of {found} endpoints are used"),
        found => format!("  {found} endpoints"),
    };
    if upstream.panic {
        text +=
            &format!("  {BAD}panic: more are bad than may be out, so bad ones are used too{BAD:#}");
    }
    text += "\n";
    if upstream.endpoints.is_empty() {
        return text;
    }
    let mut table = Table::new([
        left("ENDPOINT"),
        left("STATE"),
        right("SHARE, 10 S"),
        right("LOAD"),
        right("IN FLIGHT"),
        right("LATENCY"),
        right("ERRORS"),
        right("SUCCEEDED"),
        right("FAILED"),
        left("WHY"),
    ]);
    let none = || "-".to_owned();
    for endpoint in &upstream.endpoints {
        table.push([
            Cell::styled(&*endpoint.endpoint, STRONG),
            Cell::styled(endpoint.state.name(), style(endpoint.state)),
            upstream.share(endpoint).map_or_else(none, percent).into(),
            span(endpoint.load).into(),
            endpoint.in_flight.to_string().into(),
            span(endpoint.latency).into(),
            match endpoint.attempts {
                0 => none().into(),
                _ => percent(endpoint.error_rate).into(),
            },
            endpoint.successes.to_string().into(),
            endpoint.failures.to_string().into(),
            Cell::styled(why(endpoint), FAINT),
        ]);
    }
    text + &table.text()
}

/// Why an endpoint gets no requests and for how long, or only some.
pub(super) fn why(endpoint: &Endpoint) -> String {
    let Some(reason) = &endpoint.reason else {
        return match endpoint.grown {
            ..1.0 => format!("gets {} of its share so far", percent(endpoint.grown)),
            _ => String::new(),
        };
    };
    match endpoint.out_remaining {
        Some(left) if left > 0.0 => format!("{} to go: {}", span(left), reason.detail),
        _ => reason.detail.clone(),
    }
}

const fn style(state: EndpointState) -> Style {
    match state {
        EndpointState::In => GOOD,
        EndpointState::Out => BAD,
        EndpointState::Probing => UNSURE,
    }
}
