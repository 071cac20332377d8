//! `breaker status`: what the breakers of a running sidecar know.

mod detail;

use std::process::ExitCode;
use std::time::Duration;

use anstyle::Style;
use breaker_sidecar::config::in_words;
use breaker_sidecar::control::{Identity, Refused, Status as Sidecar};
use breaker_sidecar::registry::Panic;
use breaker_sidecar::report::{
    Breaker, Breakers, FleetPage, FollowingStatus, Mode, Origin, PROXY, Quantiles, State, Upstream,
    Window,
};
use breaker_sidecar::sandbox::Sandbox;
use breaker_tower::breaker_core::Ratio;
use clap::Args;

use self::detail::in_detail;
use super::client::{Client, Connect, breaker_path, upstream_path};
use super::fleet;
use super::output::{self, BAD, FAINT, GOOD, STRONG, UNSURE};
use super::table::{Cell, Table, left, right};
use super::upstreams;

pub(super) use self::detail::{of, unmatched};

/// Arguments of `breaker status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// One route, with all that its breaker knows
    route: Option<String>,
    /// The fleet that the sidecar is in, and what its aggregator sees of all members
    #[arg(long, conflicts_with = "route")]
    fleet: bool,
    #[command(flatten)]
    connect: Connect,
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self) -> ExitCode {
        let (route, json) = (self.route, self.json);
        self.connect.run(async |client| {
            if self.fleet {
                let page: FleetPage = client.get("/api/v1/fleet").await?;
                let around = Around::of(client).await;
                let words = |page: &FleetPage| around.with(&fleet::in_words(page));
                return Ok(print(&page, json, words));
            }
            let around = Around::of(client).await;
            match &route {
                Some(route) => {
                    let breaker: Breaker = client.get(&breaker_path(route, "")).await?;
                    let upstream = upstream_of(client, &breaker).await;
                    Ok(print(&breaker, json, |breaker| {
                        let endpoints = upstream.as_ref().map(upstreams::in_words);
                        let endpoints = endpoints.map(|it| format!("\n{it}"));
                        around.with(&(in_detail(breaker) + &endpoints.unwrap_or_default()))
                    }))
                }
                None => {
                    let all: Breakers = client.get("/api/v1/breakers").await?;
                    Ok(print(&all, json, |all| around.with(&table(&all.breakers))))
                }
            }
        })
    }
}

/// The upstream of a breaker's route, if there is something to tell of its endpoints.
async fn upstream_of(client: &Client, breaker: &Breaker) -> Option<Upstream> {
    let path = upstream_path(breaker.upstream.as_ref()?, "");
    // An older sidecar, or one that has just been reloaded, may have no such thing.
    let upstream: Upstream = client.get(&path).await.ok()?;
    upstream.is_worth_telling().then_some(upstream)
}

/// What concerns all breakers: what nobody must miss stands before the others, and which sidecar it
/// is after them.
#[derive(Debug, Default)]
pub(super) struct Around {
    head: String,
    foot: String,
}

impl Around {
    /// Asks the sidecar.
    pub(super) async fn of(client: &Client) -> Self {
        // What can't be told here the breakers themselves can tell.
        let status: Option<Sidecar> = client.get("/api/v1/status").await.ok();
        status.as_ref().map(Self::new).unwrap_or_default()
    }

    fn new(status: &Sidecar) -> Self {
        let mut head = String::new();
        if let Some(Refused { detail, at }) = &status.configuration.error {
            let ago = span((status.started + status.uptime - at).max(0.0).floor());
            head = format!(
                "{BAD}RELOAD REFUSED{BAD:#} {ago} ago, and the configuration before stays: {detail}\n"
            );
        }
        head += &status.panic.as_ref().map_or(String::new(), in_panic);
        Self {
            head,
            foot: format!("\n{FAINT}{}{FAINT:#}\n", identity(status)),
        }
    }

    /// Puts `text` between them.
    pub(super) fn with(&self, text: &str) -> String {
        let Self { head, foot } = self;
        format!("{head}{text}{foot}")
    }
}

/// A program's name, version, machine and instance.
fn identity(status: &Sidecar) -> String {
    let Sidecar {
        version,
        host,
        instance,
        ..
    } = status;
    let on = match &**host {
        "" => String::new(),
        host => format!(" on {host}"),
    };
    let instance = match &**instance {
        "" => String::new(),
        instance => format!(", instance {instance}"),
    };
    let up = span(status.uptime.floor());
    let sandbox = status.sandbox.as_ref();
    let sandbox = sandbox.map_or(String::new(), |it| format!("\nsandbox: {}", in_sandbox(it)));
    let follows = status.following.as_ref().map(in_following);
    let follows = follows.unwrap_or_default();
    let identities = status.identities.iter();
    let now = status.started + status.uptime;
    let identities: String = identities
        .map(|it| format!("\n{}", in_identity(it, now)))
        .collect();
    format!("breaker {version}{on}{instance}, up {up}{identities}{sandbox}{follows}")
}

/// Which Breaker it follows, and whether that is heard.
fn in_following(following: &FollowingStatus) -> String {
    let mut text = format!("\nfollows {}", following.brain);
    text += match following.fresh {
        true => "",
        false => ": not heard, each breaker is alone",
    };
    if following.fresh && !following.missing_routes.is_empty() {
        text += &format!(", which has no {}", following.missing_routes.join(", "));
    }
    text
}

/// What a SPIFFE Workload API says that a sidecar is.
fn in_identity(identity: &Identity, now: f64) -> String {
    let trusts = identity.trust_domains.join(", ");
    let mut text = match (&identity.id, identity.until) {
        (Some(id), Some(until)) if until < now => format!("identity: {id}, which has expired"),
        (Some(id), Some(until)) => {
            let left = span((until - now).floor());
            format!("identity: {id}, for another {left}, trusts {trusts}")
        }
        _ => format!("identity: none of {}", identity.agent),
    };
    if let Some(error) = &identity.error {
        text += &format!("; {error}");
    }
    text
}

/// The layers in force, and what is missing.
fn in_sandbox(sandbox: &Sandbox) -> String {
    let mut text = sandbox.summary.clone();
    for note in sandbox.notes() {
        text += &format!("; {note}");
    }
    text
}

/// That all routes are forced closed, for how long and why.
pub(super) fn in_panic(panic: &Panic) -> String {
    format!("{BAD}PANIC{BAD:#} {}\n", of_panic(panic))
}

/// The same without its first word.
pub(super) fn of_panic(panic: &Panic) -> String {
    let mut text = "is on: all routes are forced closed".to_owned();
    if let Some(remaining) = panic.remaining {
        text += &format!(", {} to go", span(remaining));
    }
    if let Some(reason) = &panic.reason {
        text += &format!(" ({reason})");
    }
    text
}

/// Prints a document: as it is, or in words.
pub(super) fn print<T: serde::Serialize>(
    document: &T,
    json: bool,
    in_words: impl FnOnce(&T) -> String,
) -> ExitCode {
    let text = if json {
        serde_json::to_string_pretty(document).expect("texts and numbers are JSON") + "\n"
    } else {
        in_words(document)
    };
    output::print(&text)
}

/// A line for each breaker.
pub(super) fn table(breakers: &[Breaker]) -> String {
    let mut table = Table::new([
        left("ROUTE"),
        left("STATE"),
        right("SINCE"),
        left("MODE"),
        left("POLICY"),
        right("REQUESTS"),
        right("ERRORS"),
        right("P50"),
        right("P99"),
        right("IN FLIGHT"),
        right("REJECTED"),
    ]);
    for breaker in breakers {
        let own = breaker.window();
        let latency = own.and_then(|own| own.latency);
        let latency = |of: fn(&Quantiles) -> f64| {
            latency.as_ref().map_or("-".to_owned(), |all| span(of(all)))
        };
        table.push([
            Cell::styled(&*breaker.name, STRONG),
            Cell::styled(state(breaker), style(breaker)),
            span(breaker.lasted).into(),
            Cell::styled(
                mode(breaker),
                if breaker.mode == Mode::Auto {
                    FAINT
                } else {
                    UNSURE
                },
            ),
            policy(breaker).into(),
            own.map_or(0, |own| own.requests).to_string().into(),
            errors(own).into(),
            latency(|all| all.p50).into(),
            latency(|all| all.p99).into(),
            breaker.in_flight.to_string().into(),
            breaker.totals.rejected.to_string().into(),
        ]);
    }
    table.text()
}

/// One breaker after a change, in a line. Why its state is what it is may be older than the change.
pub(super) fn in_short(breaker: &Breaker) -> String {
    let style = style(breaker);
    format!(
        "{STRONG}{}{STRONG:#} is {style}{}{style:#}, mode {}\n",
        breaker.name,
        state(breaker),
        mode(breaker),
    )
}

fn state(breaker: &Breaker) -> String {
    let state = breaker.state.name().replace('_', "-");
    let is_of_feed = !matches!(&*breaker.source, "" | PROXY);
    let by = format!("by {}", breaker.source);
    let rejects_nothing = breaker.mode == Mode::Shadow && breaker.state != State::Closed;
    let marks = [
        (rejects_nothing, "shadow: all admitted"),
        (breaker.sheds(), "shedding"),
        (breaker.alerting, "alert"),
        (is_of_feed, &by),
    ];
    let marks = marks
        .into_iter()
        .filter_map(|(is, mark)| is.then_some(mark));
    match &*marks.collect::<Vec<_>>() {
        [] => state,
        marks => format!("{state} ({})", marks.join(", ")),
    }
}

fn style(breaker: &Breaker) -> Style {
    match breaker.state {
        State::Closed if breaker.alerting || breaker.sheds() => UNSURE,
        State::Closed => GOOD,
        State::Open => BAD,
        _ => UNSURE,
    }
}

fn mode(breaker: &Breaker) -> String {
    match breaker.mode_remaining {
        Some(remaining) => format!("{} for {}", breaker.mode, span(remaining)),
        None => breaker.mode.to_string(),
    }
}

fn policy(breaker: &Breaker) -> String {
    match breaker.policy.origin {
        Origin::Override => format!("{} (override)", breaker.policy.name),
        _ => breaker.policy.name.clone(),
    }
}

fn errors(window: Option<&Window>) -> String {
    match window {
        Some(window) if window.requests > 0 => percent(window.error_rate),
        _ => "-".to_owned(),
    }
}

/// A share, as a percentage.
pub(super) fn percent(share: f64) -> String {
    Ratio::new(share).unwrap_or_default().to_string()
}

/// A time in seconds, to about two digits.
pub(super) fn span(seconds: f64) -> String {
    let micros = Duration::try_from_secs_f64(seconds).map_or(u128::MAX, |time| time.as_micros());
    match micros {
        0..1_000 => format!("{micros}µs"),
        1_000..10_000 => format!("{:.1}ms", seconds * 1e3),
        10_000..1_000_000 => format!("{:.0}ms", seconds * 1e3),
        1_000_000..10_000_000 => format!("{seconds:.1}s"),
        _ => in_words(Duration::from_secs_f64(seconds.round().clamp(0.0, 1e15))),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn times_have_two_digits_or_whole_seconds() {
        for (seconds, text) in [
            (0.0, "0µs"),
            (0.000_25, "250µs"),
            (0.0024, "2.4ms"),
            (0.25, "250ms"),
            (2.54, "2.5s"),
            (61.2, "1m1s"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
