//! One breaker with its sources, failures and conditions.

use std::fmt::Write;

use breaker_sidecar::report::{Breaker, ConditionStatus, Mode, State, Unit, Unmatched, Window};

use super::{errors, mode, percent, policy, span, state, style};
use crate::cli::output::{BAD, FAINT, STRONG, UNSURE};
use crate::cli::table::{Cell, Table, left, right};

/// One breaker, in words.
pub(super) fn in_detail(breaker: &Breaker) -> String {
    let mut text = String::new();
    let style = style(breaker);
    let state = state(breaker);
    let mut line = |title: &str, value: &dyn std::fmt::Display| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{FAINT}{title:<10}{FAINT:#}  {value}");
    };
    line("route", &format_args!("{STRONG}{}{STRONG:#}", breaker.name));
    let since = span(breaker.lasted);
    let mut now = format!("{style}{state}{style:#} for {since}");
    if let Some(remaining) = breaker.open_remaining {
        now += &format!(", {} to go", span(remaining));
    }
    if breaker.mode == Mode::Shadow {
        now += ", all admitted (shadow)";
    } else if breaker.state == State::HalfOpen {
        now += &format!(", {} admitted", percent(breaker.admitted_share));
    }
    line("state", &now);
    line("why", &breaker.reason.detail);
    line("mode", &mode(breaker));
    line("policy", &policy(breaker));
    if let Some(upstream) = &breaker.upstream {
        line("upstream", upstream);
    }
    if let Some(fallback) = &breaker.fallback {
        line("fallback", fallback);
    }
    match &breaker.shedding {
        None => line("in flight", &breaker.in_flight),
        Some(limit) => {
            let (now, most) = (breaker.in_flight, limit.limit);
            let target = span(limit.target);
            let share = percent(limit.admitted_share);
            let lasted = span(limit.lasted);
            line("in flight", &format_args!("{now}, at most {most}"));
            let told = format!("for {lasted}, so that a request takes {target}; {share} admitted");
            line("limit", &format_args!("{told}: {}", limit.reason.detail));
        }
    }
    let totals = &breaker.totals;
    let answered = match &breaker.fallback {
        Some(_) => format!(" ({} answered by the fallback)", totals.fallback),
        None => String::new(),
    };
    line(
        "totals",
        &format_args!(
            "{} succeeded, {} failed, {} ignored, {} rejected{answered}, {} would have been, {} alerts",
            totals.success,
            totals.failure,
            totals.ignored,
            totals.rejected,
            totals.would_reject,
            totals.alerts
        ),
    );
    text.push('\n');
    text + &sources(&breaker.sources) + &failures(&breaker.sources) + &conditions(&breaker.sources)
}

/// How requests failed lately, and which feeds match nothing.
fn failures(sources: &[Window]) -> String {
    let mut table = Table::new([
        left("SOURCE"),
        left("FAILURE, LAST 5 MIN"),
        left("ENDPOINT"),
        right("REQUESTS"),
        left("LATEST TRACE"),
    ]);
    let mut is_empty = true;
    for window in sources {
        for failure in &window.failure_kinds {
            is_empty = false;
            table.push([
                (&*window.source).into(),
                Cell::styled(&*failure.kind, BAD),
                failure.endpoint.as_deref().unwrap_or("-").into(),
                failure.count.to_string().into(),
                failure.trace.as_deref().unwrap_or("-").into(),
            ]);
        }
    }
    let mut text = match is_empty {
        true => String::new(),
        false => format!("\n{}", table.text()),
    };
    for (window, unmatched) in unmatched(sources) {
        let source = &window.source;
        text += &format!("\n{UNSURE}feed {source}{UNSURE:#}: {}\n", unmatched.detail);
    }
    text
}

/// The feeds that match nothing.
pub(in crate::cli) fn unmatched(sources: &[Window]) -> impl Iterator<Item = (&Window, &Unmatched)> {
    let windows = sources.iter();
    windows.filter_map(|window| Some((window, window.unmatched.as_ref()?)))
}

/// Each condition on each source, with its number beside its bound.
fn conditions(sources: &[Window]) -> String {
    let mut table = Table::new([
        left("SOURCE"),
        left("ACTION"),
        left("SIGNAL"),
        right("NOW"),
        right("BOUND"),
        right("SAMPLES"),
        left("HOLDS"),
    ]);
    for window in sources {
        for status in &window.conditions {
            let number = |value: Option<f64>| value.map_or("-".to_owned(), |one| of(status, one));
            let samples = match status.samples < status.min_requests {
                true => format!("{} of {}", status.samples, status.min_requests),
                false => status.samples.to_string(),
            };
            table.push([
                (&*window.source).into(),
                status.action.name().into(),
                status.signal.name().into(),
                number(status.observed).into(),
                number(status.threshold).into(),
                samples.into(),
                match status.holds {
                    true => Cell::styled("holds", BAD),
                    false => "".into(),
                },
            ]);
        }
    }
    format!("\n{}", table.text())
}

/// A number of a condition.
pub(in crate::cli) fn of(status: &ConditionStatus, number: f64) -> String {
    match status.unit {
        Unit::Share => percent(number),
        Unit::Seconds => span(number),
        Unit::Count => number.to_string(),
    }
}

fn sources(sources: &[Window]) -> String {
    let mut table = Table::new([
        left("SOURCE"),
        right("REQUESTS"),
        right("FAILURES"),
        right("ERRORS"),
        right("P50"),
        right("P90"),
        right("P95"),
        right("P99"),
        right("P99.9"),
        right("MAX"),
        left("ALERT"),
    ]);
    for window in sources {
        let latencies = match window.latency {
            Some(all) => [all.p50, all.p90, all.p95, all.p99, all.p999, all.max].map(span),
            None => [(); 6].map(|()| "-".to_owned()),
        };
        let [p50, p90, p95, p99, p999, max] = latencies.map(Cell::from);
        let alert = match window.alerting {
            true => Cell::styled("alert", UNSURE),
            false => "".into(),
        };
        table.push([
            (&*window.source).into(),
            window.requests.to_string().into(),
            window.failures.to_string().into(),
            errors(Some(window)).into(),
            p50,
            p90,
            p95,
            p99,
            p999,
            max,
            alert,
        ]);
    }
    table.text()
}
