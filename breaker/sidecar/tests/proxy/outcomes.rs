//! The table of `docs/outcomes.md`, row by row: whose doing an ending is, and what counts. The
//! table of the document and these are compared both ways; its rows of feeds are those of
//! `tests/ingest/outcomes.rs`.

mod http1;
mod http2;
mod upgrade;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use breaker_sidecar::message::ErrorKind;
use breaker_sidecar::proxy::Limits;
use breaker_tower::breaker_core::Mode;

use crate::harness::{Client, GET, Options, Origin, Sidecar, eventually, header, status};

/// What the document says of an ending, in the order of its columns.
#[derive(Clone, Copy)]
struct Cells {
    ending: &'static str,
    protocol: &'static str,
    by: &'static str,
    outcome: &'static str,
    latency: &'static str,
    gets: &'static str,
}

/// How a caller goes away that has what its row says, or nothing.
#[derive(Clone, Copy)]
enum Leaves {
    /// As one that may still read, at first.
    Closes,
    Resets,
}

/// The route's: a default that nobody has set, as far as gRPC is concerned.
const TIMEOUT: Duration = Duration::from_millis(400);

/// Bounds that a test can wait for.
fn options() -> Options {
    Options {
        route: |mut route| {
            route.timeout = Some(TIMEOUT);
            route.body.response_idle = Some(Duration::from_millis(300));
            route.body.request_bytes = Some(16);
            route.deadline.header = Some(http::HeaderName::from_static("x-time"));
            route
        },
        limits: Limits {
            half_closed: Duration::from_millis(50),
            ..Limits::default()
        },
        ..Options::default()
    }
}

/// The same, for bodies of any length.
fn unbounded() -> Options {
    Options {
        route: |mut route| {
            route.timeout = Some(TIMEOUT);
            route
        },
        ..options()
    }
}

/// The caller goes away, with its request on its way to the upstream.
async fn leave(sidecar: &Sidecar, client: Client, how: Leaves) {
    in_flight(sidecar).await;
    if matches!(how, Leaves::Resets) {
        client.0.set_zero_linger().unwrap();
    }
}

async fn in_flight(sidecar: &Sidecar) {
    let is_sent = || sidecar.breaker.snapshot().in_flight == 1;
    eventually("in flight", is_sent).await;
}

/// What the breaker has made of its only request: whose doing it was, what it counts as, and
/// whether its latency does.
async fn counted(sidecar: &Sidecar, ending: &str) -> [&'static str; 3] {
    counted_after(0, sidecar, ending).await
}

/// The same of one that came after so many that succeeded.
async fn counted_after(succeeded: u64, sidecar: &Sidecar, ending: &str) -> [&'static str; 3] {
    let counts = || {
        let totals = sidecar.breaker.snapshot().totals;
        [totals.success, totals.failure, totals.ignored]
    };
    eventually(ending, || counts().iter().sum::<u64>() == succeeded + 1).await;
    let snapshot = sidecar.breaker.snapshot();
    let [success, failure, ignored] = counts();
    let outcome = match [success - succeeded, failure, ignored] {
        [1, 0, 0] => "success",
        [0, 1, 0] => "failure",
        _ => "ignored",
    };
    let mut ignored = snapshot.totals.ignored_by();
    let by = ignored.find(|(_, requests)| *requests == 1);
    let by = by.map_or("upstream", |(by, _)| by.label());
    let timed = snapshot.sources[0].latency.as_ref();
    let latency = match timed.is_some_and(|timed| timed.samples > succeeded) {
        true => "yes",
        false => "no",
    };
    [by, outcome, latency]
}

/// Compares each row with what comes of it.
async fn compare<R, F>(rows: &[R], cells: fn(&R) -> &Cells, run: impl Fn(R) -> F)
where
    R: Copy,
    F: Future<Output = [String; 4]>,
{
    let mut wrong = Vec::new();
    for row in rows {
        let found = run(*row).await;
        let cells = cells(row);
        let expected = [cells.by, cells.outcome, cells.latency, cells.gets];
        if found != expected {
            wrong.push(format!(
                "{} ({}): {found:?}, not {expected:?}",
                cells.ending, cells.protocol
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The rows of the tables of the document that have so many cells.
fn documented(cells: usize) -> BTreeSet<Vec<String>> {
    let text = include_str!("../../../../docs/outcomes.md");
    let rows = text.lines().filter_map(|line| {
        let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let row: Vec<_> = row.split(" | ").map(str::to_owned).collect();
        let is_head = ["ending", "error"].contains(&row[0].as_str());
        (row.len() == cells && !is_head).then_some(row)
    });
    rows.collect()
}

#[test]
fn the_document_has_these_rows_and_no_others() {
    let http1 = http1::ROWS.iter().map(|row| &row.cells);
    let http2 = http2::ROWS.iter().map(|row| &row.cells);
    let upgrade = upgrade::ROWS.iter().map(|row| &row.cells);
    let rows = http1.chain(http2).chain(upgrade).map(|cells| {
        let Cells {
            ending,
            protocol,
            by,
            outcome,
            latency,
            gets,
        } = cells;
        [ending, protocol, by, outcome, latency, gets].map(|cell| (*cell).to_owned())
    });
    let mut documented = documented(6);
    documented.retain(|row| row[1] != "feed");
    assert_eq!(documented, rows.map(Vec::from).collect());
}

#[test]
fn the_document_has_every_error_of_the_proxy() {
    let kinds = ErrorKind::ALL.into_iter().map(|kind| {
        let by = kind.attribution().label().to_owned();
        vec![kind.to_string(), by, kind.proxy_status().to_owned()]
    });
    assert_eq!(documented(3), kinds.collect());
}

#[tokio::test]
async fn a_deadline_with_nothing_left_is_no_question_to_the_breaker() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, options());
    sidecar.breaker.force(Mode::ForcedOpen);
    // Nothing is left of a millisecond, rounded down.
    for millis in [0, 1] {
        let fields = format!("Host: a\r\nX-Time: {millis}\r\n");
        let answer = sidecar.ask(&GET.replace("Host: a\r\n", &fields)).await;
        assert_eq!(status(&answer), "504", "{millis}");
    }
    let totals = sidecar.breaker.snapshot().totals;
    assert_eq!((totals.ignored, totals.rejected), (2, 0));
    assert_eq!(origin.heads().len(), 0);
}

#[tokio::test]
async fn what_is_left_of_a_deadline_is_passed_on_and_what_is_none_is_not() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, options());
    let ask = |fields: &str| GET.replace("Host: a\r\n", &format!("Host: a\r\n{fields}\r\n"));
    let grpc = "Content-Type: application/grpc\r\ngrpc-timeout: ";
    for fields in [
        format!("{grpc}9S"),
        format!("{grpc}soon"),
        "X-Time: 9000".to_owned(),
        "X-Time: 9s".to_owned(),
    ] {
        sidecar.ask(&ask(&fields)).await;
    }
    let heads = origin.heads();
    let passed = |index: usize, name| header(&heads[index], name);
    let left = passed(0, "grpc-timeout").unwrap();
    let micros: u64 = left.strip_suffix('u').unwrap().parse().unwrap();
    assert!((1_000_000..9_000_000).contains(&micros), "{left}");
    assert_eq!(passed(1, "grpc-timeout"), None);
    let millis: u64 = passed(2, "x-time").unwrap().parse().unwrap();
    assert!((1000..9000).contains(&millis), "{millis}");
    assert_eq!(passed(3, "x-time"), None);
}
