//! HTTP/1 callers and upstreams, and gRPC's words over them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_tests::calmly;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Cells, Leaves, TIMEOUT, compare, counted_after, leave, options, unbounded};
use crate::harness::{
    GET, OK, Origin, Sidecar, content_length, eventually, nobody, read_head, status,
};
use crate::names::nobody_known;

/// What the upstream does with a request.
#[derive(Clone, Copy)]
enum Upstream {
    Answers(&'static str),
    /// Answers when the route's timeout has passed.
    Late(&'static str),
    /// Answers, and says nothing more.
    Pauses(&'static str),
    Hangs,
    /// Reads nothing of a body that is larger than what fits between it and its caller.
    TakesNothing,
    /// Closes without an answer when it has waited a while for the rest of the request.
    GivesUp,
    /// Answers with more than fits between it and its reader, and closes when it has got rid of
    /// nothing for a while.
    GivesUpSending,
    /// Says nothing, and the caller goes away.
    Loses(Leaves),
    /// Answers, says nothing more, and the caller goes away.
    LosesBody(&'static str, Leaves),
    Refuses,
    Unknown,
    /// Closes a connection that it has answered on, and before the next request comes.
    ClosesUnused,
    /// The same, once it has that request.
    ClosesUsed,
}

use Upstream::{
    Answers, ClosesUnused, ClosesUsed, GivesUp, GivesUpSending, Hangs, Late, Loses, LosesBody,
    Pauses, Refuses, TakesNothing, Unknown,
};

#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) cells: Cells,
    upstream: Upstream,
    /// Header fields, an empty line, and what follows.
    request: &'static str,
}

const PLAIN: &str = "\r\n";
const GRPC: &str = "Content-Type: application/grpc\r\nTE: trailers\r\n\r\n";
const DEADLINE: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 4\r\n\
                        Content-Length: 0\r\n\r\n";

/// Longer than a pause that makes an ending the caller's.
const PAUSE: Duration = Duration::from_millis(700);

macro_rules! rows {
    ($($ending:literal, $protocol:literal, $by:literal, $outcome:literal, $latency:literal, $gets:literal,
       $upstream:expr, $request:expr;)*) => {
        &[$(Row {
            cells: Cells {
                ending: $ending, protocol: $protocol, by: $by, outcome: $outcome,
                latency: $latency, gets: $gets,
            },
            upstream: $upstream, request: $request,
        }),*]
    };
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = rows![
    "answer 200", "HTTP/1", "upstream", "success", "yes", "200", Answers(OK), PLAIN;
    "answer 404", "HTTP/1", "upstream", "success", "yes", "404",
        Answers("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), PLAIN;
    "answer 500", "HTTP/1", "upstream", "failure", "yes", "500",
        Answers("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), PLAIN;
    "answer 501", "HTTP/1", "upstream", "success", "yes", "501",
        Answers("HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n"), PLAIN;
    "answer 505", "HTTP/1", "upstream", "success", "yes", "505",
        Answers("HTTP/1.1 505 No\r\nContent-Length: 0\r\n\r\n"), PLAIN;
    "508 by a proxy, with proxy_loop_detected", "HTTP/1", "proxy", "ignored", "no", "508",
        Answers("HTTP/1.1 508 No\r\nProxy-Status: x; error=proxy_loop_detected\r\nContent-Length: 0\r\n\r\n"), PLAIN;
    "body shorter than its Content-Length", "HTTP/1", "upstream", "failure", "yes", "cut",
        Answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"), PLAIN;
    "closed before the head", "HTTP/1", "upstream", "failure", "yes", "502", Answers(""), PLAIN;
    "answer is not HTTP", "HTTP/1", "upstream", "failure", "yes",
        "502", Answers("SSH-2.0-x\r\n\r\n"), PLAIN;
    "Transfer-Encoding that is not chunked alone", "HTTP/1", "upstream", "failure", "yes", "502",
        Answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), PLAIN;
    "reused connection closed before the request arrived", "HTTP/1", "upstream", "success", "yes",
        "200", ClosesUnused, "Content-Length: 2\r\n\r\nhi";
    "the same, while the upload is incomplete", "HTTP/1", "upstream", "success", "no", "200",
        ClosesUnused, "Content-Length: 3\r\n\r\nhi";
    "reused connection closed after the request arrived, once", "HTTP/1", "proxy", "ignored", "no",
        "502", ClosesUsed, "Content-Length: 2\r\n\r\nhi";
    "no head within the route's timeout", "HTTP/1", "upstream", "failure", "yes", "504", Hangs, PLAIN;
    "connection refused", "HTTP/1", "upstream", "failure", "yes", "502", Refuses, PLAIN;
    "name not resolved", "HTTP/1", "name", "ignored", "no", "502", Unknown, PLAIN;
    "body pauses longer than body_idle_timeout", "HTTP/1", "proxy", "ignored", "yes", "cut",
        Pauses("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"), PLAIN;
    "rejection by a breaker further upstream", "HTTP/1", "inner_breaker", "ignored", "no", "503",
        Answers("HTTP/1.1 503 No\r\nProxy-Status: x; error=destination_unavailable\r\n\
                 Content-Length: 0\r\n\r\n"), PLAIN;
    "malformed request body", "HTTP/1", "caller", "ignored", "no", "400", Hangs,
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n";
    "request body too large", "HTTP/1", "caller", "ignored", "no", "413", Hangs,
        "Transfer-Encoding: chunked\r\n\r\n40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n0\r\n\r\n";
    "body breaks off while the caller has paused reading", "HTTP/1", "caller", "ignored", "yes",
        "cut", GivesUpSending, PLAIN;
    "closed before the head, during an upload", "HTTP/1", "upstream", "failure", "yes", "502",
        Answers(""), "Content-Length: 3\r\n\r\nhi";
    "closed before the head, while an upload pauses", "HTTP/1", "caller", "ignored", "no", "408",
        GivesUp, "Content-Length: 3\r\n\r\nhi";
    "upload without progress for the route's timeout", "HTTP/1", "upstream", "failure", "yes",
        "504", TakesNothing, "Content-Length: 100000000\r\n\r\n";
    "caller's deadline passes without a head", "HTTP/1", "caller", "ignored", "no", "504", Hangs,
        "X-Time: 50\r\n\r\n";
    "caller's deadline is zero", "HTTP/1", "caller", "ignored", "no", "504", Answers(OK),
        "X-Time: 0\r\n\r\n";
    "caller's deadline is malformed, answer 200", "HTTP/1", "upstream", "success", "yes", "200",
        Answers(OK), "X-Time: soon\r\n\r\n";
    "the caller closes before the head", "HTTP/1", "caller", "ignored", "no", "-",
        Loses(Leaves::Closes), PLAIN;
    "the caller resets before the head", "HTTP/1", "caller", "ignored", "no", "-",
        Loses(Leaves::Resets), PLAIN;
    "the caller resets in the body", "HTTP/1", "caller", "ignored", "yes", "-",
        LosesBody("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", Leaves::Resets), PLAIN;
    "the caller resets in the body of a 500", "HTTP/1", "upstream", "failure", "yes", "-",
        LosesBody("HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nok", Leaves::Resets), PLAIN;
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
    "head after the default timeout, within the caller's deadline", "gRPC", "upstream", "success",
        "yes", "200",
        Late("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 0\r\n\
              Content-Length: 0\r\n\r\n"),
        "Content-Type: application/grpc\r\ngrpc-timeout: 9S\r\n\r\n";
    "no head after the default timeout, within the caller's deadline", "gRPC", "upstream",
        "failure", "yes", "200", Hangs,
        "Content-Type: application/grpc\r\ngrpc-timeout: 700m\r\n\r\n";
    "caller's deadline passes without a head", "gRPC", "caller", "ignored", "no", "200", Hangs,
        "Content-Type: application/grpc\r\ngrpc-timeout: 50m\r\n\r\n";
];

/// A connection that its upstream has no more to do with.
type Unused = Arc<Mutex<Option<TcpStream>>>;

async fn start(upstream: Upstream, unused: &Unused) -> Sidecar {
    let mut options = match upstream {
        TakesNothing => unbounded(),
        _ => options(),
    };
    let origin = match upstream {
        Unknown => return nobody_known().await,
        Refuses => return Sidecar::start(nobody(), options),
        ClosesUnused | ClosesUsed => {
            let closes_unused = matches!(upstream, ClosesUnused);
            if closes_unused {
                // While the worker is busy with the head: it can't have seen the close when it
                // sends the request.
                let unused = unused.clone();
                options.at_head = Some(Arc::new(move || drop(unused.lock().unwrap().take())));
            }
            let unused = unused.clone();
            Origin::raw(move |mut stream| {
                let unused = unused.clone();
                async move {
                    read_head(&mut stream).await;
                    stream.write_all(OK.as_bytes()).await.unwrap();
                    if closes_unused {
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
                    Late(answer) => {
                        tokio::time::sleep(TIMEOUT + TIMEOUT / 4).await;
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    GivesUp => tokio::time::sleep(PAUSE).await,
                    GivesUpSending => send_while_read(&mut stream).await,
                    Pauses(answer) | LosesBody(answer, _) => {
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

/// Sends 100 MB of a longer body, for as long as there is progress.
async fn send_while_read(stream: &mut TcpStream) {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let piece = vec![b'x'; 100_000];
    for _ in 0..1000 {
        let written = tokio::time::timeout(PAUSE / 4, stream.write_all(&piece)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

/// What becomes of a request.
async fn run(row: Row) -> [String; 4] {
    let unused = Unused::default();
    let sidecar = start(row.upstream, &unused).await;
    let method = match row.request {
        body if body.contains("chunked") || body.contains("Content-Length") => "POST",
        _ => "GET",
    };
    let mut succeeded = 0;
    if matches!(row.upstream, ClosesUnused | ClosesUsed) {
        assert_eq!(status(&sidecar.ask(GET).await), "200");
        succeeded = 1;
        eventually("answered", || sidecar.totals() == (1, 0, 0)).await;
        if matches!(row.upstream, ClosesUnused) {
            eventually("unused", || unused.lock().unwrap().is_some()).await;
        }
    }
    let request = format!(
        "{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}",
        row.request
    );
    let mut client = sidecar.connect().await;
    client.send(&request).await;
    let answer = match row.upstream {
        Loses(how) => {
            leave(&sidecar, client, how).await;
            String::new()
        }
        LosesBody(_, how) => {
            client.head().await;
            leave(&sidecar, client, how).await;
            String::new()
        }
        TakesNothing => {
            let (mut answer, mut upload) = client.0.into_split();
            let sends =
                tokio::spawn(
                    async move { while upload.write_all(&[b'x'; 100_000]).await.is_ok() {} },
                );
            let mut head = vec![0; "HTTP/1.1 504".len()];
            answer.read_exact(&mut head).await.unwrap();
            sends.abort();
            String::from_utf8(head).unwrap()
        }
        GivesUpSending => {
            client.head().await;
            tokio::time::sleep(2 * PAUSE).await;
            client.rest().await
        }
        _ => client.rest().await,
    };
    let [by, outcome, latency] = counted_after(succeeded, &sidecar, row.cells.ending).await;
    let gets = match row.cells.gets {
        "-" => "-",
        // What comes at once with its end may be lost before its first byte.
        "cut" if answer.is_empty() || answer.ends_with("\r\n\r\nok") => "cut",
        "cut" if matches!(row.upstream, GivesUpSending) => "cut",
        _ => status(&answer),
    };
    [by, outcome, latency, gets].map(str::to_owned)
}

#[tokio::test]
async fn each_ending_counts_as_the_table_says() {
    calmly(async || {
        compare(ROWS, |row| &row.cells, run).await;
    })
    .await;
}
