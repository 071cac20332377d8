//! The sidecar, the services behind it, and what all callers need of them.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_tests::{Script, Seen, Sidecar, Tiny, Upstream, breaker};
use bytes::Bytes;
use http::Response;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::tally::{Tally, Trouble, lock};
use crate::tunnels::Tunnels;

/// How large the body is that slow readers ask for.
pub(crate) const LARGE: usize = 1024 * 1024;
/// And the one that those ask for who then take nothing: more than the kernel holds for them.
pub(crate) const HUGE: usize = 12 * LARGE;
/// What the service of uploads has to say of one.
pub(crate) fn received(bytes: usize) -> String {
    format!("{bytes} bytes\n")
}

/// A service and the times of its trouble. The service is absent while it is killed.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) upstream: Mutex<Option<Upstream>>,
    pub(crate) trouble: Trouble,
    well: Script,
}

/// All of it. Its value owns the process and the disk.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) sidecar: Mutex<Sidecar>,
    pub(crate) pid: u32,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) receiver: SocketAddr,
    pub(crate) services: Vec<Service>,
    pub(crate) tunnels: Tunnels,
    pub(crate) tally: Tally,
    /// Of the route that operators steer.
    pub(crate) steering: Trouble,
    pub(crate) disk: Option<Tiny>,
    directory: TempDir,
    traffic: AtomicBool,
    faults: AtomicBool,
}

impl Service {
    async fn start(name: &'static str, well: Script) -> Self {
        let upstream = Upstream::start().await;
        upstream.play(well.clone());
        Self {
            name,
            address: upstream.address(),
            upstream: Mutex::new(Some(upstream)),
            trouble: Trouble::default(),
            well,
        }
    }

    pub(crate) fn play(&self, script: Script) {
        if let Some(upstream) = &*lock(&self.upstream) {
            upstream.play(script);
        }
    }

    pub(crate) fn recover(&self) {
        self.play(self.well.clone());
    }

    pub(crate) fn kill(&self) {
        lock(&self.upstream).take();
    }

    pub(crate) async fn come_back(&self) {
        let upstream = Upstream::start_at(self.address).await;
        upstream.play(self.well.clone());
        *lock(&self.upstream) = Some(upstream);
    }
}

impl Scene {
    pub(crate) async fn set() -> Arc<Self> {
        let length = |seen: &Seen| Response::new(Bytes::from(received(seen.body.len())));
        let huge = Bytes::from(vec![b'x'; HUGE]);
        let large = move |seen: &Seen| {
            let size = if seen.uri.path().ends_with("huge") {
                HUGE
            } else {
                LARGE
            };
            Response::new(huge.slice(..size))
        };
        let services = vec![
            Service::start("plain", Script::Status(200)).await,
            Service::start("upload", Script::answer(length)).await,
            Service::start("h2", Script::Status(200)).await,
            Service::start("grpc", Script::Grpc).await,
            Service::start("large", Script::answer(large)).await,
            Service::start("late", Script::Delay(Duration::from_millis(150))).await,
            Service::start("steered", Script::Status(200)).await,
            // Not behind a route: where telemetry goes.
            Service::start("collector", Script::Status(200)).await,
        ];
        let tunnels = Tunnels::start().await;
        let directory = tempfile::tempdir().expect("a directory for the configuration");
        let disk = Tiny::mount(1024);
        let files = disk.as_ref().map_or(directory.path(), Tiny::path);
        let receiver = free_address();
        let yaml = yaml(&services, tunnels.address(), receiver)
            + &format!("state: {}\n", files.join("state").display());
        let config = directory.path().join("breaker.yaml");
        fs::write(&config, yaml).expect("the configuration can be written");
        let collector = services[services.len() - 1].address;
        let mut command = breaker(["run", "--config"]);
        command
            .arg(&config)
            .arg("--record")
            .arg(files.join("record"))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "1000")
            .env("OTEL_TRACES_EXPORTER", "otlp")
            .env("OTEL_BSP_SCHEDULE_DELAY", "500");
        let mut sidecar = Sidecar::spawn(command).await;
        Arc::new(Self {
            pid: sidecar.process().id(),
            listen: sidecar.address(),
            admin: sidecar.admin_address(),
            sidecar: Mutex::new(sidecar),
            receiver,
            services,
            tunnels,
            tally: Tally::default(),
            steering: Trouble::default(),
            disk,
            directory,
            traffic: AtomicBool::new(true),
            faults: AtomicBool::new(true),
        })
    }

    pub(crate) fn service(&self, name: &str) -> &Service {
        let mut services = self.services.iter();
        services
            .find(|service| service.name == name)
            .expect("a name of the list above")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("breaker.yaml")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    pub(crate) fn set_traffic(&self, on: bool) {
        self.traffic.store(on, Ordering::Relaxed);
    }

    pub(crate) fn has_traffic(&self) -> bool {
        self.traffic.load(Ordering::Relaxed)
    }

    pub(crate) fn set_faults(&self, on: bool) {
        self.faults.store(on, Ordering::Relaxed);
    }

    pub(crate) fn has_faults(&self) -> bool {
        self.faults.load(Ordering::Relaxed)
    }

    /// Waits for so long, or until faults are to end.
    pub(crate) async fn fault_for(&self, time: Duration) {
        let end = Instant::now() + time;
        while self.has_faults() && Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
}

/// A breaker opens by errors alone, for a second at most: a slow machine is no fault.
const POLICY: &str = "{ base: sensitive, window: 2s, min_requests: 10, \
    trip: [{ error_rate: 50% }], open: { for: 300ms, max: 1s, jitter: 0% }, \
    half_open: { probes: 3, concurrent: 3, success: 60%, probe_timeout: 4s }, \
    ramp: { start: 50%, for: 300ms } }";

fn yaml(services: &[Service], tunnels: SocketAddr, receiver: SocketAddr) -> String {
    let mut upstreams = format!("  tunnel: {{ endpoints: [\"http://{tunnels}\"] }}\n");
    let mut routes = String::new();
    let route = |name: &str, more: &str| {
        format!(
            "  - {{ name: {name}, match: {{ path: \"/{name}/{{*rest}}\" }}, upstream: {name}, \
             timeout: 3s, policy: {POLICY}{more} }}\n"
        )
    };
    for Service { name, address, .. } in services {
        if *name == "collector" {
            continue;
        }
        let scheme = if *name == "grpc" { "h2c" } else { "http" };
        upstreams += &format!("  {name}: {{ endpoints: [\"{scheme}://{address}\"] }}\n");
        let feed = ", feeds: [{ name: spans, service: soak }]";
        routes += &route(name, if *name == "steered" { feed } else { "" });
    }
    routes += &route("tunnel", "");
    let collector = services[services.len() - 1].address;
    format!(
        "watch: false\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 2\n\
         limits: {{ write_timeout: 3s, header_timeout: 3s, body_idle_timeout: 5s }}\n\
         telemetry: {{ receive: {{ http: \"{receiver}\", \
         forward: {{ http: \"http://{collector}\" }} }} }}\n\
         upstreams:\n{upstreams}routes:\n{routes}"
    )
}
