//! A receiver, a sampler that keeps what it gets, and batches in every form.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_sidecar::ingest::{
    Accepted, Addresses, Encoding, Forward, Malformed, Receiver, ReceiverSettings, Retry, Sampler,
    Signal, Snapshot, Stats,
};
use bytes::Bytes;
use http::Uri;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take; never waited for in full unless a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps what it gets; what begins with `bad`, `part` or `panic` is treated so.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<(Signal, Encoding, Vec<u8>)>>);

impl Sampler for Kept {
    fn sample(
        &self,
        signal: Signal,
        encoding: Encoding,
        payload: &[u8],
    ) -> Result<Accepted, Malformed> {
        assert!(!payload.starts_with(b"panic"), "as it was told");
        if payload.starts_with(b"bad") {
            return Err(Malformed::new("no request: it is bad"));
        }
        self.0
            .lock()
            .unwrap()
            .push((signal, encoding, payload.to_vec()));
        Ok(if payload.starts_with(b"part") {
            Accepted {
                items: 7,
                rejected: 2,
                message: "two were late".to_owned(),
            }
        } else {
            Accepted {
                items: 1,
                ..Accepted::default()
            }
        })
    }
}

impl Kept {
    pub(crate) fn take(&self) -> Vec<(Signal, Encoding, Vec<u8>)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A running receiver. Both protocols on one port, unless said otherwise.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) addresses: Addresses,
    pub(crate) marker: String,
    pub(crate) kept: Arc<Kept>,
    stats: Arc<Stats>,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) fn start(settings: ReceiverSettings) -> Self {
        let receiver = Receiver::bind(settings).unwrap();
        let addresses = receiver.addresses();
        let (shutdown, told) = oneshot::channel();
        let kept = Arc::<Kept>::default();
        Self {
            address: addresses.grpc.or(addresses.http).unwrap(),
            addresses,
            marker: receiver.marker().1.to_str().unwrap().to_owned(),
            kept: kept.clone(),
            stats: receiver.stats(),
            shutdown: Some(shutdown),
            task: tokio::spawn(receiver.run(kept, async {
                told.await.ok();
            })),
        }
    }

    pub(crate) fn plain() -> Self {
        Self::start(settings())
    }

    pub(crate) fn forwarding(forward: Forward) -> Self {
        Self::start(ReceiverSettings {
            forward: Some(forward),
            ..settings()
        })
    }

    pub(crate) fn stats(&self) -> Snapshot {
        self.stats.snapshot()
    }

    /// Ends it, and tells what it has counted to its very end.
    pub(crate) async fn stop(mut self) -> Snapshot {
        self.shutdown.take().unwrap().send(()).unwrap();
        let ended = timeout(PATIENCE, self.task).await;
        ended.expect("an end in time").unwrap().unwrap();
        self.stats.snapshot()
    }
}

pub(crate) fn settings() -> ReceiverSettings {
    ReceiverSettings {
        grpc: Some(ANY),
        http: Some(ANY),
        ..ReceiverSettings::default()
    }
}

/// Forwarding that does not wait for long between attempts.
pub(crate) fn quick(grpc: Option<SocketAddr>, http: Option<SocketAddr>) -> Forward {
    Forward {
        retry: Retry {
            first: Duration::from_millis(10),
            max: Duration::from_millis(20),
            give_up: PATIENCE,
        },
        ..Forward::to_both(grpc.map(url), http.map(url))
    }
}

pub(crate) fn url(address: SocketAddr) -> Uri {
    format!("http://{address}").parse().unwrap()
}

/// An address where nobody listens, and that nobody else gets while this process runs, unless by
/// its number.
pub(crate) fn nobody() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    // As the one has that listens there later.
    socket.set_reuseaddr(true).unwrap();
    socket.bind(ANY).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

pub(crate) const ANY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Waits until `probe` is true.
pub(crate) async fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !probe() {
        assert!(Instant::now() < end, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// How a body is compressed; empty: it is not.
pub(crate) const CODINGS: [&str; 3] = ["", "gzip", "zstd"];

pub(crate) fn compress(coding: &str, plain: &[u8]) -> Bytes {
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap().into()
        }
        "zstd" => zstd::encode_all(plain, 3).unwrap().into(),
        _ => plain.to_vec().into(),
    }
}

/// A message in gRPC's frame.
pub(crate) fn frame(compressed: bool, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[u8::from(compressed)], &length[..], message]
        .concat()
        .into()
}
