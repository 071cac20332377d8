//! Callers that ask to switch protocols, upstreams that do, and what becomes of the tunnel.

use std::time::Duration;

use breaker_tests::calmly;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Cells, Leaves, compare, counted, leave, options};
use crate::harness::{Client, Origin, PATIENCE, Sidecar, nobody, read_head, status};

/// What the upstream does with a request.
#[derive(Clone, Copy)]
enum Upstream {
    Answers(&'static str),
    Hangs,
    /// Says nothing, and the caller goes away.
    Loses(Leaves),
    Refuses,
    /// Switches, says a word, and then does this.
    Switches(Tunnel),
}

/// How a tunnel ends.
#[derive(Clone, Copy)]
enum Tunnel {
    /// When the caller closes it.
    Caller,
    /// The caller resets it.
    CallerDies,
    Upstream,
    /// The upstream resets it.
    UpstreamDies,
    /// Nobody says anything for too long.
    Idle,
}

use Upstream::{Answers, Hangs, Loses, Refuses, Switches};

#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) cells: Cells,
    upstream: Upstream,
    /// The method and the header fields, an empty line, and what follows.
    request: [&'static str; 2],
}

const ASKS: [&str; 2] = ["GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"];
const ASKS_NOT: [&str; 2] = ["GET", "Connection: close\r\n\r\n"];

macro_rules! rows {
    ($($ending:literal, $by:literal, $outcome:literal, $latency:literal, $gets:literal,
       $upstream:expr, $request:expr;)*) => {
        &[$(Row {
            cells: Cells {
                ending: $ending, protocol: "upgrade", by: $by, outcome: $outcome,
                latency: $latency, gets: $gets,
            },
            upstream: $upstream, request: $request,
        }),*]
    };
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = rows![
    "answer 101, the caller closes the tunnel", "upstream", "success", "yes", "101",
        Switches(Tunnel::Caller), ASKS;
    "answer 101, the caller dies in the tunnel", "upstream", "success", "yes", "101",
        Switches(Tunnel::CallerDies), ASKS;
    "answer 101, the upstream closes the tunnel", "upstream", "success", "yes", "101",
        Switches(Tunnel::Upstream), ASKS;
    "answer 101, the upstream dies in the tunnel", "upstream", "success", "yes", "101",
        Switches(Tunnel::UpstreamDies), ASKS;
    "answer 101, the tunnel is idle for too long", "upstream", "success", "yes", "101",
        Switches(Tunnel::Idle), ASKS;
    "declined with 200", "upstream", "success", "yes", "200",
        Answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), ASKS;
    "refused with 404", "upstream", "success", "yes", "404",
        Answers("HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), ASKS;
    "refused with 426", "upstream", "success", "yes", "426",
        Answers("HTTP/1.1 426 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), ASKS;
    "refused with 500", "upstream", "failure", "yes", "500",
        Answers("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), ASKS;
    "answer 101 that nobody asked for", "upstream", "failure", "yes", "502",
        Answers("HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), ASKS_NOT;
    "answer 101 with a protocol that was not offered", "upstream", "failure", "yes", "502",
        Answers("HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), ASKS;
    "closed before the head", "upstream", "failure", "yes", "502", Answers(""), ASKS;
    "no head within the route's timeout", "upstream", "failure", "yes", "504", Hangs, ASKS;
    "connection refused", "upstream", "failure", "yes", "502", Refuses, ASKS;
    "malformed request body", "caller", "ignored", "no", "400", Hangs,
        ["POST", "Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"];
    "request body too large", "caller", "ignored", "no", "413", Hangs,
        ["POST", "Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                  12\r\n012345678901234567\r\n0\r\n\r\n"];
    "the caller closes before the head", "caller", "ignored", "no", "-",
        Loses(Leaves::Closes), ASKS;
    "the caller resets before the head", "caller", "ignored", "no", "-",
        Loses(Leaves::Resets), ASKS;
    "caller's deadline passes without a head", "caller", "ignored", "no", "504", Hangs,
        ["GET", "Connection: Upgrade\r\nUpgrade: websocket\r\nX-Time: 50\r\n\r\n"];
];

const SWITCH: &[u8] = b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi";

async fn start(upstream: Upstream) -> Sidecar {
    let mut options = options();
    options.limits.tunnel_idle = Some(match upstream {
        Switches(Tunnel::Idle) => Duration::from_millis(50),
        _ => PATIENCE,
    });
    if matches!(upstream, Refuses) {
        return Sidecar::start(nobody(), options);
    }
    let origin = Origin::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        match upstream {
            Answers(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Switches(tunnel) => {
                stream.write_all(SWITCH).await.unwrap();
                match tunnel {
                    Tunnel::Upstream => {}
                    Tunnel::UpstreamDies => {
                        // Not before the word has gone through: a reset overtakes it.
                        stream.read_u8().await.unwrap();
                        stream.set_zero_linger().unwrap();
                    }
                    _ => while let Ok(1..) = stream.read(&mut [0; 16]).await {},
                }
            }
            _ => std::future::pending::<()>().await,
        }
    })
    .await;
    Sidecar::start(origin.address, options)
}

/// What becomes of a request, and of the tunnel after it.
async fn run(row: Row) -> [String; 4] {
    let sidecar = start(row.upstream).await;
    let mut client = sidecar.connect().await;
    let [method, rest] = row.request;
    client
        .send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{rest}"))
        .await;
    let gets = match row.upstream {
        Loses(how) => {
            leave(&sidecar, client, how).await;
            "-".to_owned()
        }
        Switches(tunnel) => {
            let head = client.head().await;
            end(tunnel, client).await;
            status(&head).to_owned()
        }
        _ => status(&client.head().await).to_owned(),
    };
    let [by, outcome, latency] = counted(&sidecar, row.cells.ending).await;
    [by.to_owned(), outcome.to_owned(), latency.to_owned(), gets]
}

/// The caller's part in a tunnel.
async fn end(tunnel: Tunnel, mut client: Client) {
    let mut word = [0; 2];
    client.0.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"hi");
    match tunnel {
        Tunnel::Caller => client.0.shutdown().await.unwrap(),
        Tunnel::CallerDies => return client.0.set_zero_linger().unwrap(),
        Tunnel::UpstreamDies => client.send("x").await,
        Tunnel::Upstream | Tunnel::Idle => {}
    }
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn each_ending_counts_as_the_table_says() {
    calmly(async || {
        compare(ROWS, |row| &row.cells, run).await;
    })
    .await;
}
