//! `steady PORT RATE SECONDS`: GET / over 64 keep-alive connections, arrivals of a Poisson process;
//! prints `REQUESTS P50 P99`, latencies in µs.
//!
//! A request counts from when it is sent; one that had to wait for the answer before it on its
//! connection, from when it was due: a slow proxy may not slow the load down. That this program
//! woke late is not the proxy's.
//!
//! No crates, so that rustc alone builds it. A thread a connection: the kernel's timers are finer
//! than a runtime's.

use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const CONNECTIONS: u32 = 64;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn main() -> ExitCode {
    let arguments: Vec<u32> = env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let &[port, rate, seconds] = arguments.as_slice() else {
        eprintln!("usage: steady PORT RATE SECONDS");
        return ExitCode::from(2);
    };
    let port = u16::try_from(port).expect("a port");
    let mean = Duration::from_secs(1) * CONNECTIONS / rate;
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let threads: Vec<_> = (1..=u64::from(CONNECTIONS))
        .map(|seed| thread::spawn(move || connection(port, mean, end, seed)))
        .collect();
    let mut latencies: Vec<Duration> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("every request is answered"))
        .collect();
    latencies.sort_unstable();
    let quantile = |percent: usize| latencies[latencies.len() * percent / 100].as_micros();
    println!("{} {} {}", latencies.len(), quantile(50), quantile(99));
    ExitCode::SUCCESS
}

/// Requests on one connection until `end`, on average one each `mean`.
fn connection(port: u16, mean: Duration, end: Instant, seed: u64) -> Vec<Duration> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy accepts");
    stream.set_nodelay(true).expect("a TCP socket");
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut latencies = Vec::new();
    let mut due = Instant::now() + exponential(mean, &mut random);
    while due < end {
        let wait = due.saturating_duration_since(Instant::now());
        thread::sleep(wait);
        let start = if wait.is_zero() { due } else { Instant::now() };
        stream.write_all(REQUEST).expect("the connection stays");
        read_answer(&mut stream);
        latencies.push(start.elapsed());
        due += exponential(mean, &mut random);
    }
    latencies
}

/// Reads one response with a Content-Length; the next one has not been asked for yet.
fn read_answer(stream: &mut TcpStream) {
    let mut answer = [0; 4096];
    let mut read = 0;
    loop {
        match stream
            .read(&mut answer[read..])
            .expect("the connection stays")
        {
            0 => panic!("the connection was closed"),
            more => read += more,
        }
        let text = String::from_utf8_lossy(&answer[..read]).to_ascii_lowercase();
        assert!(text.starts_with("http/1.1 200"), "{text}");
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.split("content-length: ").nth(1).expect("a length");
        let length: usize = length
            .lines()
            .next()
            .unwrap_or(length)
            .parse()
            .expect("a length");
        if body.len() >= length {
            return;
        }
    }
}

/// The time to the next event of a Poisson process (xorshift64*, inverse transform).
fn exponential(mean: Duration, random: &mut u64) -> Duration {
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    let bits = random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
    let uniform = (bits as f64 + 1.0) / (1_u64 << 53) as f64;
    mean.mul_f64(-uniform.ln())
}
