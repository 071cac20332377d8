//! A Flask application and its Redis, with OpenTelemetry's SDK and instrumentations for Python as
//! their authors ship them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use breaker_tests::{Process, Sidecar, breaker, get};
use http::Uri;
use serde_json::Value;
use tempfile::TempDir;

use crate::tools::{free_ports, installed, run, serve};

/// Variables of an application's environment.
pub(crate) type Environment = Vec<(String, String)>;

/// The running application; its telemetry calls it `shop`.
#[derive(Debug)]
pub(crate) struct Shop {
    _process: Process,
    address: SocketAddr,
}

/// A database on a port of its own, kept in memory.
#[derive(Debug)]
pub(crate) struct Redis {
    _process: Process,
    _directory: TempDir,
}

/// Where a sidecar is to receive telemetry: told before it runs, as `--otlp-env` needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Receive {
    Grpc(u16),
    Http(u16),
}

// === impl Shop ===

impl Shop {
    /// Starts it with this environment and the port of its Redis.
    pub(crate) async fn start(environment: Environment, redis: u16) -> Self {
        let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/shop/app.py");
        let mut command = Command::new(installed("venv/bin/opentelemetry-instrument"));
        command
            .arg(installed("venv/bin/python"))
            .arg(app)
            .env("OTEL_SERVICE_NAME", "shop")
            .env("REDIS_PORT", redis.to_string())
            .envs(environment);
        let mut process = Process::spawn(command);
        let port: u16 = process
            .wait_for("port", |log| {
                let (_, port) = log.split_once("port ")?;
                port.lines().next()?.parse().ok()
            })
            .await;
        Self {
            _process: process,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks it without a proxy; tells the status.
    pub(crate) async fn get(&self, path: &str) -> u16 {
        let url: Uri = format!("http://{}{path}", self.address).parse().unwrap();
        get(url).await.status
    }
}

// === impl Redis ===

impl Redis {
    /// Starts it and waits until it listens. It ends, as if it had crashed, when it is dropped.
    pub(crate) async fn start(port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(directory.path());
        let process = serve(command, port).await;
        Self {
            _process: process,
            _directory: directory,
        }
    }
}

// === impl Receive ===

impl Receive {
    pub(crate) fn grpc() -> Self {
        let [port] = free_ports();
        Self::Grpc(port)
    }

    pub(crate) fn http() -> Self {
        let [port] = free_ports();
        Self::Http(port)
    }

    /// The value of `telemetry.receive`, without its braces.
    pub(crate) fn yaml(self) -> String {
        match self {
            Self::Grpc(port) => format!("grpc: 127.0.0.1:{port}"),
            Self::Http(port) => format!("http: 127.0.0.1:{port}"),
        }
    }

    pub(crate) const fn port(self) -> u16 {
        let (Self::Grpc(port) | Self::Http(port)) = self;
        port
    }

    pub(crate) fn endpoint(self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Only where to send to and how; everything else as the SDK has it.
    pub(crate) fn defaults(self) -> Environment {
        let protocol = match self {
            Self::Grpc(_) => "grpc",
            Self::Http(_) => "http/protobuf",
        };
        vec![
            variable("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint()),
            variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ]
    }

    /// What `breaker run --otlp-env` advises for such a sidecar, read as docs/feeds.md has a shell
    /// read it.
    pub(crate) async fn advised(self) -> Environment {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("breaker.yaml");
        let yaml = format!(
            "telemetry: {{ receive: {{ {} }} }}\n{}",
            self.yaml(),
            telemetry_only("shop", "{ name: any }")
        );
        fs::write(&file, yaml).unwrap();
        let command = breaker(["run", "--otlp-env", "--config"]);
        let arguments = command.get_args().chain([file.as_os_str()]);
        let output = run(command.get_program(), arguments, b"").await;
        let lines = output.stdout.lines().filter(|line| !line.starts_with('#'));
        let split = |line: &str| {
            line.split_once('=')
                .map(|(name, value)| variable(name, value))
        };
        lines.map(|line| split(line).unwrap()).collect()
    }
}

pub(crate) fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// `routes` with one that has a feed and no upstream.
pub(crate) fn telemetry_only(name: &str, feed: &str) -> String {
    format!(
        "admin: 127.0.0.1:0\nroutes: [{{ name: {name}, policy: sensitive, feeds: [{feed}] }}]\n"
    )
}

/// What `/breakers` says of the only breaker.
pub(crate) async fn report(sidecar: &Sidecar) -> Value {
    let answer = get(sidecar.admin_url("/breakers")).await;
    let mut report: Value = serde_json::from_slice(&answer.body).unwrap();
    report["breakers"][0].take()
}

/// What the sidecar counted of the received batches of a signal.
pub(crate) async fn batches(sidecar: &Sidecar, signal: &str) -> f64 {
    let labels = [("breaker_telemetry_signal", signal)];
    let metrics = sidecar.metrics().await;
    metrics
        .sum("breaker_receiver_batches_total", &labels)
        .unwrap()
}
