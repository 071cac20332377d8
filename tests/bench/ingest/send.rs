//! What the benchmark of telemetry in sends with, and sends on to.
//!
//! * `send spans PORT SECONDS BATCH RATE`: batches of spans by OTLP/HTTP, as fast as they are
//!   taken, or RATE batches a second; prints `SPANS P50 P99`, the latencies of the answers in µs.
//! * `send series PORT COUNT`: one batch with as many series of a cumulative histogram, twice.
//! * `send sink PORT`: takes whatever comes, and answers 200.
//!
//! No crates, so that rustc alone builds it: protobuf is written by hand here, and read by nobody.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize| arguments[at].parse::<u64>().expect("a number");
    match arguments[0].as_str() {
        "spans" => spans(number(1), number(2), number(3), number(4)),
        "series" => series(number(1), number(2)),
        "sink" => sink(number(1)),
        other => panic!("no command {other}"),
    }
}

fn spans(port: u64, seconds: u64, batch: u64, rate: u64) {
    let mut connection = Connection::to(port);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut due = Instant::now();
    let mut latencies = Vec::new();
    let mut id = now();
    let (mut body, places) = span_batch(batch);
    while Instant::now() < end {
        if rate > 0 {
            due += Duration::from_secs(1) / rate as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        // New ids and times in the same bytes: a batch that was sent before would not count.
        let ended = now();
        for place in &places {
            id = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
            body[place.trace..place.trace + 8].copy_from_slice(&id.to_be_bytes());
            body[place.span..place.span + 8].copy_from_slice(&(id | 1).to_be_bytes());
            body[place.start..place.start + 8].copy_from_slice(&(ended - 3_000_000).to_le_bytes());
            body[place.end..place.end + 8].copy_from_slice(&ended.to_le_bytes());
        }
        let sent = Instant::now();
        connection.post("/v1/traces", &body);
        latencies.push(sent.elapsed());
    }
    latencies.sort_unstable();
    let quantile = |percent: usize| latencies[latencies.len() * percent / 100].as_micros();
    println!("{} {} {}", latencies.len() as u64 * batch, quantile(50), quantile(99));
}

/// Where in a batch a span has what changes.
struct Place {
    trace: usize,
    span: usize,
    start: usize,
    end: usize,
}

/// Client spans of a database, with the attributes that an instrumentation gives them.
fn span_batch(count: u64) -> (Vec<u8>, Vec<Place>) {
    let mut scope = message(1, &text(1, "opentelemetry.instrumentation.psycopg2"));
    let mut places = Vec::new();
    for _ in 0..count {
        let mut span = field(1, &[1; 16]);
        span.extend(field(2, &[1; 8]));
        span.extend(text(5, "SELECT ledger.accounts"));
        span.extend([6 << 3, 3]);
        let start = span.len() + 1;
        span.extend([&[7 << 3 | 1][..], &[0; 8]].concat());
        let end = span.len() + 1;
        span.extend([&[8 << 3 | 1][..], &[0; 8]].concat());
        for (name, value) in [
            ("db.system.name", "postgresql"),
            ("db.namespace", "ledger"),
            ("db.operation.name", "SELECT"),
            ("db.collection.name", "accounts"),
            ("db.query.text", "SELECT balance FROM accounts WHERE id = $1 AND tenant = $2"),
            ("server.address", "ledger-db.internal"),
            ("server.port", "5432"),
            ("network.peer.address", "10.0.0.12"),
            ("thread.name", "worker-7"),
            ("code.function.name", "load_balance"),
        ] {
            span.extend(message(9, &[text(1, name), message(2, &text(1, value))].concat()));
        }
        let head = message(2, &span);
        let at = scope.len() + head.len() - span.len();
        places.push(Place {
            trace: at + 2,
            span: at + 20,
            start: at + start,
            end: at + end,
        });
        scope.extend(head);
    }
    let resource = resource();
    let scope_head = message(2, &scope);
    let all = [resource.clone(), scope_head.clone()].concat();
    let request = message(1, &all);
    let before = request.len() - scope.len();
    for place in &mut places {
        for at in [&mut place.trace, &mut place.span, &mut place.start, &mut place.end] {
            *at += before;
        }
    }
    (request, places)
}

fn series(port: u64, count: u64) {
    let mut connection = Connection::to(port);
    let start = now();
    for round in 1..=2_u64 {
        // A thousand series a batch.
        for first in (0..count).step_by(1000) {
            let mut histogram = vec![2 << 3, 2];
            for series in first..(first + 1000).min(count) {
                let mut point = [&[2 << 3 | 1][..], &start.to_le_bytes()].concat();
                point.extend([&[3 << 3 | 1][..], &now().to_le_bytes()].concat());
                point.extend([&[4 << 3 | 1][..], &(15 * round).to_le_bytes()].concat());
                let counts: Vec<u8> = (0..15).flat_map(|_| round.to_le_bytes()).collect();
                point.extend(field(6, &counts));
                let bounds: Vec<u8> = (1..15).flat_map(|n| (f64::from(n) / 10.0).to_le_bytes()).collect();
                point.extend(field(7, &bounds));
                let route = message(2, &text(1, &format!("/route/{series}")));
                point.extend(message(9, &[text(1, "http.route"), route].concat()));
                histogram.extend(message(1, &point));
            }
            let metric = [
                text(1, "http.server.request.duration"),
                text(3, "s"),
                message(9, &histogram),
            ]
            .concat();
            let scope = message(2, &message(2, &metric));
            let request = message(1, &[resource(), scope].concat());
            connection.post("/v1/metrics", &request);
        }
    }
}

fn resource() -> Vec<u8> {
    let name = [text(1, "service.name"), message(2, &text(1, "checkout"))].concat();
    message(1, &message(1, &name))
}

fn sink(port: u64) {
    let listener = TcpListener::bind(("127.0.0.1", port as u16)).expect("a free port");
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            let mut reader = BufReader::with_capacity(1 << 18, stream.try_clone().expect("a socket"));
            let mut stream = stream;
            while let Some(length) = read_head(&mut reader) {
                let mut body = (&mut reader).take(length);
                std::io::copy(&mut body, &mut std::io::sink()).expect("a body");
                let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
                if stream.write_all(answer).is_err() {
                    return;
                }
            }
        });
    }
}

struct Connection {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
}

impl Connection {
    fn to(port: u64) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port as u16)).expect("the receiver accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        Self {
            reader: BufReader::new(stream.try_clone().expect("a socket")),
            stream,
        }
    }

    fn post(&mut self, path: &str, body: &[u8]) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(head.as_bytes()).expect("the connection stays");
        self.stream.write_all(body).expect("the connection stays");
        let length = read_head(&mut self.reader).expect("an answer");
        let mut answer = Vec::new();
        (&mut self.reader).take(length).read_to_end(&mut answer).expect("a body");
    }
}

/// The length of the body after the head of a request, or of an answer that must be 200.
fn read_head(reader: &mut impl BufRead) -> Option<u64> {
    let (mut line, mut length) = (String::new(), 0);
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    assert!(!line.starts_with("HTTP/1.1") || line.starts_with("HTTP/1.1 200"), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            return Some(length);
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
}

fn text(number: u8, text: &str) -> Vec<u8> {
    field(number, text.as_bytes())
}

fn message(number: u8, content: &[u8]) -> Vec<u8> {
    field(number, content)
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_nanos() as u64
}
