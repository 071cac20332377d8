//! The table of `docs/outcomes.md`, row by row: whose doing an ending is, and what counts. The table of the
//! document and this one are compared both ways.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_sidecar::proxy::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{
    GET, OK, Options, Origin, Sidecar, content_length, eventually, read_head, status,
};
use crate::names::nobody_known;

/// What the upstream does with a request.
#[derive(Clone, Copy)]
enum Upstream {
    Answers(&'static str),
    /// Answers, and says nothing more.
    Pauses(&'static str),
    Hangs,
    Refuses,
    Unknown,
    /// Closes a connection that it has answered on, and before the next request comes.
    ClosesUnused,
    /// The same, once it has that request.
    ClosesUsed,
}

use Upstream::{Answers, ClosesUnused, ClosesUsed, Hangs, Pauses, Refuses, Unknown};

struct Row {
    ending: &'static str,
    protocol: &'static str,
    by: &'static str,
    outcome: &'static str,
    latency: &'static str,
    gets: &'static str,
    upstream: Upstream,
    /// Header fields, an empty line, and what follows.
    request: &'static str,
}

const PLAIN: &str = "\r\n";
const GRPC: &str = "Content-Type: application/grpc\r\nTE: trailers\r\n\r\n";
const DEADLINE: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 4\r\n\
                        Content-Length: 0\r\n\r\n";

macro_rules! rows {
    ($($ending:literal, $protocol:literal, $by:literal, $outcome:literal, $latency:literal, $gets:literal,
       $upstream:expr, $request:expr;)*) => {
        &[$(Row {
            ending: $ending, protocol: $protocol, by: $by, outcome: $outcome, latency: $latency,
            gets: $gets, upstream: $upstream, request: $request,
        }),*]
    };
}

#[rustfmt::skip]
const ROWS: &[Row] = rows![
    "answer 200", "HTTP/1", "upstream", "success", "yes", "200", Answers(OK), PLAIN;
    "answer 404", "HTTP/1", "upstream", "success", "yes", "404",
        Answers("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), PLAIN;
    "answer 500", "HTTP/1", "upstream", "failure", "yes", "500",
        Answers("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), PLAIN;
    "answer 501", "HTTP/1", "upstream", "success", "yes", "501",
        Answers("HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n"), PLAIN;
    "answer 505", "HTTP/1", "upstream", "success", "yes", "505",
        Answers("HTTP/1.1 505 No\r\nContent-Length: 0\r\n\r\n"), PLAIN;
    "body shorter than its Content-Length", "HTTP/1", "upstream", "failure", "yes", "cut",
        Answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"), PLAIN;
    "closed before the head", "HTTP/1", "upstream", "failure", "yes", "502", Answers(""), PLAIN;
    "not HTTP", "HTTP/1", "upstream", "failure", "yes", "502", Answers("SSH-2.0-x\r\n\r\n"), PLAIN;
    "Transfer-Encoding that is not chunked alone", "HTTP/1", "upstream", "failure", "yes", "502",
        Answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), PLAIN;
    "used connection closed before the request came", "HTTP/1", "upstream", "success", "yes", "200",
        ClosesUnused, "Content-Length: 2\r\n\r\nhi";
    "the same, and the content is not known yet", "HTTP/1", "proxy", "ignored", "no", "502",
        ClosesUnused, "Content-Length: 3\r\n\r\nhi";
    "used connection closed after the request came, once", "HTTP/1", "proxy", "ignored", "no", "502",
        ClosesUsed, "Content-Length: 2\r\n\r\nhi";
    "no head within the route's timeout", "HTTP/1", "upstream", "failure", "yes", "504", Hangs, PLAIN;
    "connection refused", "HTTP/1", "upstream", "failure", "yes", "502", Refuses, PLAIN;
    "name not resolved", "HTTP/1", "name", "ignored", "no", "502", Unknown, PLAIN;
    "body pauses longer than we allow", "HTTP/1", "proxy", "ignored", "yes", "cut",
        Pauses("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"), PLAIN;
    "rejection of a breaker further in", "HTTP/1", "inner_breaker", "ignored", "no", "503",
        Answers("HTTP/1.1 503 No\r\nProxy-Status: x; error=destination_unavailable\r\n\
                 Content-Length: 0\r\n\r\n"), PLAIN;
    "malformed request body", "HTTP/1", "caller", "ignored", "no", "400", Hangs,
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n";
    "request body too large", "HTTP/1", "caller", "ignored", "no", "413", Hangs,
        "Transfer-Encoding: chunked\r\n\r\n40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n0\r\n\r\n";
    "caller's deadline passes without a head", "HTTP/1", "caller", "ignored", "no", "504", Hangs,
        "X-Time: 50\r\n\r\n";
    "caller's deadline is zero", "HTTP/1", "caller", "ignored", "no", "504", Answers(OK),
        "X-Time: 0\r\n\r\n";
    "caller's deadline is no number, answer 200", "HTTP/1", "upstream", "success", "yes", "200",
        Answers(OK), "X-Time: soon\r\n\r\n";
    "OK in the trailers", "gRPC", "upstream", "success", "yes", "200",
        Answers("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTrailer: grpc-status\r\n\
                 Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n"), GRPC;
    "UNAVAILABLE in the trailers", "gRPC", "upstream", "failure", "yes", "200",
        Answers("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTrailer: grpc-status\r\n\
                 Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 14\r\n\r\n"), GRPC;
    "trailers without status", "gRPC", "upstream", "failure", "yes", "200",
        Answers("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTrailer: x\r\n\
                 Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: 1\r\n\r\n"), GRPC;
    "DEADLINE_EXCEEDED, the caller has a deadline", "gRPC", "caller", "ignored", "no", "200",
        Answers(DEADLINE), "Content-Type: Application/grpc\r\ngrpc-timeout: 200m\r\n\r\n";
    "DEADLINE_EXCEEDED, the caller has none", "gRPC", "upstream", "failure", "yes", "200",
        Answers(DEADLINE), GRPC;
    "DEADLINE_EXCEEDED, grpc-timeout is malformed", "gRPC", "upstream", "failure", "yes", "200",
        Answers(DEADLINE), "Content-Type: application/grpc\r\ngrpc-timeout: -1S\r\n\r\n";
    "caller's deadline passes without a head", "gRPC", "caller", "ignored", "no", "200", Hangs,
        "Content-Type: application/grpc\r\ngrpc-timeout: 50m\r\n\r\n";
];

fn options() -> Options {
    Options {
        route: |mut route| {
            route.timeout = Some(Duration::from_millis(400));
            route.body.response_idle = Some(Duration::from_millis(100));
            route.body.request_bytes = Some(16);
            route.deadline.header = Some(http::HeaderName::from_static("x-time"));
            route
        },
        ..Options::default()
    }
}

/// A connection that its upstream has no more to do with.
type Unused = Arc<Mutex<Option<TcpStream>>>;

async fn start(upstream: Upstream, unused: &Unused) -> Sidecar {
    let mut options = options();
    let origin = match upstream {
        Unknown => return nobody_known().await,
        Refuses => {
            let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = closed.local_addr().unwrap();
            drop(closed);
            return Sidecar::start(address, options);
        }
        ClosesUnused | ClosesUsed => {
            if matches!(upstream, ClosesUnused) {
                // While the worker is busy with the head: it can't have seen the close when it sends the request.
                let unused = unused.clone();
                options.at_head = Some(Arc::new(move || drop(unused.lock().unwrap().take())));
            }
            let unused = unused.clone();
            Origin::raw(move |mut stream| {
                let unused = unused.clone();
                async move {
                    read_head(&mut stream).await;
                    stream.write_all(OK.as_bytes()).await.unwrap();
                    if matches!(upstream, ClosesUnused) {
                        *unused.lock().unwrap() = Some(stream);
                    } else {
                        let length = content_length(&read_head(&mut stream).await.unwrap());
                        stream.read_exact(&mut vec![0; length]).await.unwrap();
                    }
                }
            })
            .await
        }
        upstream => {
            Origin::raw(move |mut stream| async move {
                read_head(&mut stream).await;
                match upstream {
                    Answers(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                    Pauses(answer) => {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        std::future::pending::<()>().await;
                    }
                    _ => std::future::pending::<()>().await,
                }
            })
            .await
        }
    };
    Sidecar::start(origin.address, options)
}

/// What becomes of a request.
async fn run(row: &Row) -> [String; 4] {
    let unused = Unused::default();
    let sidecar = start(row.upstream, &unused).await;
    let method = match row.request {
        body if body.contains("chunked") || body.contains("Content-Length") => "POST",
        _ => "GET",
    };
    if matches!(row.upstream, ClosesUnused | ClosesUsed) {
        assert_eq!(status(&sidecar.ask(GET).await), "200");
        eventually("answered", || sidecar.totals() == (1, 0, 0)).await;
        if matches!(row.upstream, ClosesUnused) {
            eventually("unused", || unused.lock().unwrap().is_some()).await;
        }
    }
    let before = sidecar.breaker.snapshot();
    let request = format!(
        "{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}",
        row.request
    );
    let answer = sidecar.exchange(&request).await;
    let counts = || {
        let (now, before) = (sidecar.breaker.snapshot().totals, before.totals);
        [
            now.success - before.success,
            now.failure - before.failure,
            now.ignored - before.ignored,
        ]
    };
    eventually(row.ending, || counts().iter().sum::<u64>() == 1).await;
    let snapshot = sidecar.breaker.snapshot();
    let outcome = match counts() {
        [1, 0, 0] => "success",
        [0, 1, 0] => "failure",
        _ => "ignored",
    };
    let mut ignored = snapshot.totals.ignored_by();
    let by = ignored.find(|(_, requests)| *requests == 1);
    let by = by.map_or("upstream", |(by, _)| by.label());
    let [now, before] = [&snapshot, &before].map(|snapshot| &snapshot.sources[0].totals.latency);
    let latency = match now.since(before).next() {
        Some(_) => "yes",
        None => "no",
    };
    let gets = match row.gets {
        // What comes at once with its end may be lost before its first byte.
        "cut" if answer.is_empty() || answer.ends_with("\r\n\r\nok") => "cut",
        _ => status(&answer),
    };
    [by, outcome, latency, gets].map(str::to_owned)
}

#[tokio::test]
async fn each_ending_counts_as_the_table_says() {
    let mut wrong = Vec::new();
    for row in ROWS {
        let found = run(row).await;
        let expected = [row.by, row.outcome, row.latency, row.gets];
        if found != expected {
            wrong.push(format!(
                "{} ({}): {found:?}, not {expected:?}",
                row.ending, row.protocol
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
    let rows = ROWS.iter().map(|row| {
        let Row {
            ending,
            protocol,
            by,
            outcome,
            latency,
            gets,
            ..
        } = row;
        [ending, protocol, by, outcome, latency, gets].map(|cell| (*cell).to_owned())
    });
    assert_eq!(documented(6), rows.map(Vec::from).collect());
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
    let passed = |index: usize, name| crate::harness::header(&heads[index], name);
    let left = passed(0, "grpc-timeout").unwrap();
    let micros: u64 = left.strip_suffix('u').unwrap().parse().unwrap();
    assert!((1_000_000..9_000_000).contains(&micros), "{left}");
    assert_eq!(passed(1, "grpc-timeout"), None);
    let millis: u64 = passed(2, "x-time").unwrap().parse().unwrap();
    assert!((1000..9000).contains(&millis), "{millis}");
    assert_eq!(passed(3, "x-time"), None);
}
