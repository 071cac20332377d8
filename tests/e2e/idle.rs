//! Thousands of connections that say nothing cost little, and nothing of the rest of the traffic.

use std::fs;
use std::net::SocketAddr;

use breaker_tests::{Setup, Upstream, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::secure::Authority;
use crate::traffic::in_turn;

const CONNECTIONS: usize = 10_000;
/// Connections in TLS: those that come first, and those that are measured.
const FIRST: usize = 500;
const SECURED: usize = 2_000;
/// Descriptors of a process for everything else.
const SPARE: usize = 500;
/// Connections that are being opened at once; fewer than the kernel holds until they are accepted.
const AT_ONCE: usize = 100;

#[tokio::test]
#[expect(
    clippy::print_stderr,
    reason = "what was measured, and on how many connections, is a part of the result"
)]
async fn ten_thousand_idle_connections_are_fine() {
    // The sidecar inherits it.
    let connections = (descriptors().saturating_sub(SPARE)).clamp(1, CONNECTIONS);
    if connections < CONNECTIONS {
        eprintln!("SCALED DOWN to {connections} connections: no more descriptors are allowed");
    }
    let upstream = Upstream::start().await;
    let mut sidecar = Setup::of(upstream.address()).start().await;
    assert_eq!(in_turn(&sidecar, 20).await, [200; 20]);
    let id = sidecar.process().id();
    let before = resident_kib(id);

    let mut idle = Vec::with_capacity(connections);
    while idle.len() < connections {
        let more = AT_ONCE.min(connections - idle.len());
        let opened: JoinSet<_> = (0..more).map(|_| used_once(sidecar.address())).collect();
        idle.extend(opened.join_all().await);
    }
    assert_eq!(upstream.count(), 20 + connections);

    let mut per_connection;
    eventually!(
        {
            let grown = resident_kib(id).saturating_sub(before);
            per_connection = grown as f64 / connections as f64;
            per_connection <= 10.0
        },
        "{per_connection:.2} KiB resident for each connection"
    );
    eprintln!("{connections} idle connections: {per_connection:.2} KiB resident for each");

    assert_eq!(in_turn(&sidecar, 20).await, [200; 20]);
    let open = fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
    assert!(open >= connections, "{open} descriptors are open");
    let (first, last) = (0, connections - 1);
    for index in [first, connections / 2, last] {
        ask(&mut idle[index]).await;
    }
}

/// The first connections of a process also pay for what serves them all, such as buffers that are
/// used again: docs/performance.md.
#[tokio::test]
#[expect(
    clippy::print_stderr,
    reason = "what was measured is a part of the result"
)]
async fn an_idle_tls_connection_takes_at_most_14_kib() {
    assert!(
        descriptors() >= FIRST + SECURED + SPARE,
        "too few descriptors"
    );
    let authority = Authority::new();
    let upstream = Upstream::start().await;
    let setup = Setup::of(upstream.address()).more("workers: 1");
    let setup = setup.more(&format!("tls: {{ {} }}", authority.pair()));
    let mut sidecar = setup.start().await;
    let id = sidecar.process().id();
    let connector = authority.connector(None);
    let mut idle = Vec::new();
    let mut open = async |count| {
        while idle.len() < count {
            let mut stream = connector.connect(sidecar.address()).await.unwrap();
            ask(&mut stream).await;
            idle.push(stream);
        }
    };
    open(FIRST).await;
    let before = resident_kib(id);
    open(FIRST + SECURED).await;
    let mut per_connection;
    eventually!(
        {
            let grown = resident_kib(id).saturating_sub(before);
            per_connection = grown as f64 / SECURED as f64;
            per_connection <= 14.0
        },
        "{per_connection:.2} KiB resident for each connection"
    );
    eprintln!("{SECURED} idle connections in TLS: {per_connection:.2} KiB resident for each");
}

/// Allows this process, and those that it starts, the descriptors that the test needs, or as many
/// as may be; returns how many those are.
fn descriptors() -> usize {
    let needed = (CONNECTIONS + SPARE) as u64;
    let limit = getrlimit(Resource::Nofile);
    // `None` is no limit.
    let allowed = limit.maximum.map_or(needed, |most| most.min(needed));
    if limit.current.is_some_and(|current| current < allowed) {
        let current = Some(allowed);
        setrlimit(Resource::Nofile, Rlimit { current, ..limit })
            .expect("the soft limit may be raised up to the hard one");
    }
    usize::try_from(allowed).expect("at most what is needed")
}

/// A connection with one request behind it.
async fn used_once(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    ask(&mut stream).await;
    stream
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let request = b"GET /pay/x HTTP/1.1\r\nHost: pay\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !is_complete(&answer) {
        let read = stream.read_buf(&mut answer).await.unwrap();
        assert_ne!(read, 0, "closed: {}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

fn is_complete(answer: &[u8]) -> bool {
    let text = str::from_utf8(answer).unwrap().to_ascii_lowercase();
    text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        let mut lines = head.lines();
        let length = lines.find_map(|line| line.strip_prefix("content-length: "));
        body.len() == length.expect("a length").parse::<usize>().unwrap()
    })
}

/// Memory of a process that is in RAM.
fn resident_kib(id: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let mut lines = status.lines();
    let resident = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    let number = resident.and_then(|rest| rest.trim().strip_suffix(" kB"));
    number.expect("Linux tells it").trim().parse().unwrap()
}
