//! Handshakes that nobody means to end.

use std::time::Duration;

use breaker_tests::{Metrics, Setup, Upstream, calmly, eventually, get};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::secure::Authority;

const HALVES: usize = 10_000;
const GET: &str = "GET /pay/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

fn value(metrics: &Metrics, name: &str) -> f64 {
    metrics.sum(name, &[]).unwrap_or(f64::NAN)
}

fn ended(metrics: &Metrics, result: &str) -> f64 {
    let labels = [("breaker_tls_result", result)];
    let count = metrics.sum("breaker_tls_handshakes_total", &labels);
    count.unwrap_or(0.0)
}

/// Lets this process have so many files, if it may.
fn has_descriptors(wanted: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).is_ok() && limit.maximum.is_none_or(|most| most >= wanted)
}

#[tokio::test]
async fn ten_thousand_half_handshakes_keep_nobody_out_and_leave_nothing_behind() {
    calmly(async || {
        assert!(
            has_descriptors(HALVES as u64 + 500),
            "ulimit -Hn is too low"
        );
        let authority = Authority::new();
        let upstream = Upstream::start().await;
        let sidecar = Setup::of(upstream.address())
            .more(&format!(
                "workers: 2\nlimits: {{ max_connections: 8000 }}\n\
             tls: {{ {}, handshake_timeout: 2s }}",
                authority.pair()
            ))
            .start()
            .await;
        let good = async || {
            let asked = authority.ask(sidecar.address(), None, GET);
            let answer = timeout(Duration::from_secs(10), asked).await;
            let answer = answer.expect("served in time");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        };
        good().await;
        let before = sidecar.metrics().await;
        let (memory, open) = ("process_resident_memory_bytes", "process_open_fds");

        let mut halves = Vec::with_capacity(HALVES);
        for number in 0..HALVES {
            let mut half = TcpStream::connect(sidecar.address()).await.unwrap();
            // A record of 512 bytes, of which there are 3.
            half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).await.unwrap();
            halves.push(half);
            if number % 1000 == 999 {
                good().await;
            }
        }
        let during = sidecar.metrics().await;
        // Two workers have 256 each; others are closed, so neither sockets nor memory add up.
        let sockets = value(&during, open) - value(&before, open);
        assert!(sockets < 700.0, "{sockets} sockets");
        let grown = (value(&during, memory) - value(&before, memory)) / 1e6;
        assert!(grown < 60.0, "{grown:.0} MB");

        let gone = |metrics: &Metrics| ended(metrics, "crowded") + ended(metrics, "timeout");
        eventually!(gone(&sidecar.metrics().await) == HALVES as f64);
        eventually!({
            let now = sidecar.metrics().await;
            (value(&now, open) - value(&before, open)).abs() <= 5.0
        });
        for _ in 0..300 {
            good().await;
        }
        let after = sidecar.metrics().await;
        assert_eq!(ended(&after, "success"), 311.0);
        let grown = (value(&after, memory) - value(&before, memory)) / 1e6;
        assert!(grown < 60.0, "{grown:.0} MB stay");
        assert_eq!(after.state("pay"), "closed");
        assert_eq!(after.requests("pay", "failure"), 0.0);
        assert_eq!(get(sidecar.admin_url("/livez")).await.status, 200);
    })
    .await;
}
