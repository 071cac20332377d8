//! What is told while it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::Clock;
use super::script::Phase;
use super::table::grouped;
use super::tally::Line;
use crate::collector::{Event, EventKind, Received};

/// Before all.
pub(super) fn introduce(rate: u32, side_by_side: bool) {
    anstream::println!(
        "{STRONG}A shop of three services: checkout → payments → ledger.{STRONG:#} {rate} orders a second, whatever happens."
    );
    if side_by_side {
        anstream::println!(
            "Two of them go through the same faults at the same time: one with a breaker before each service, one bare.\n"
        );
        anstream::println!(
            "{FAINT}          with breakers                           bare{FAINT:#}"
        );
    } else {
        anstream::println!(
            "A breaker stands before each service. To see the same shop without: docker compose --profile bare up\n"
        );
    }
    let columns = "served  failed  rejected      p99";
    let bare = if side_by_side {
        "       served  failed      p99"
    } else {
        ""
    };
    anstream::println!("{FAINT}   time   {columns}{bare}{FAINT:#}");
}

/// A phase begins.
pub(super) fn phase(phase: &Phase) {
    let style = match phase.service {
        Some(_) => AnsiColor::Red.on_default().bold(),
        None => AnsiColor::Green.on_default().bold(),
    };
    let name = phase.name.to_uppercase();
    let seconds = phase.lasts.as_secs_f64();
    anstream::println!(
        "\n{} {style}{name}{style:#} ({seconds:.0} s): {}",
        Clock(phase.begins),
        phase.story
    );
}

/// What was answered since the last line, in each shop.
pub(super) fn line(elapsed: Duration, shops: &[Line]) {
    let mut text = format!("{FAINT}{} {FAINT:#}", Clock(elapsed));
    for (index, shop) in shops.iter().enumerate() {
        let (served, failed) = (shop.served, shop.failed);
        let bad = if failed > 0 { BAD } else { Style::new() };
        let gap = if index > 0 { "       " } else { "  " };
        text += &format!("{gap}{served:>6}  {bad}{failed:>6}{bad:#}");
        if index == 0 {
            let style = if shop.rejected > 0 {
                SPARED
            } else {
                Style::new()
            };
            text += &format!("  {style}{:>8}{style:#}", shop.rejected);
        }
        let p99 = shop
            .p99
            .map_or("–".to_owned(), |p99| format!("{} ms", p99.as_millis()));
        text += &format!("  {p99:>7}");
    }
    anstream::println!("{text}");
}

/// What a breaker told the collector.
pub(super) fn event(elapsed: Duration, event: &Event) {
    let (style, what) = match &event.kind {
        EventKind::Transition { from, to } => {
            let style = match (&**from, &**to) {
                ("closed", "open") => BAD.bold(),
                (_, "closed") => AnsiColor::Green.on_default().bold(),
                // A trial, and its end.
                _ => FAINT,
            };
            (style, format!("{from} → {to}"))
        }
        EventKind::Alert => (SPARED.bold(), "alert".to_owned()),
    };
    let (clock, service) = (Clock(elapsed), &event.service);
    // There is no other source in the shop.
    let reason = event.reason.trim_end_matches(" (source proxy)");
    anstream::println!("{FAINT}{clock}{FAINT:#} {style}{service} {what}{style:#}: {reason}");
}

/// What the collector saw in all.
pub(super) fn collected(services: &BTreeMap<String, Received>) {
    anstream::println!("The collector saw");
    for (service, counts) in services {
        let Received {
            spans,
            points,
            transitions,
            trips,
            alerts,
        } = *counts;
        let (spans, points) = (grouped(spans), grouped(points));
        anstream::println!(
            "  {service:<20} {trips} trips, {transitions} transitions, {alerts} alerts, {spans} spans, {points} points"
        );
    }
}

const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const BAD: Style = AnsiColor::Red.on_default();
const SPARED: Style = AnsiColor::Yellow.on_default();
