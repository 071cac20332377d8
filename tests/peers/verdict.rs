//! nginx, Caddy and Envoy ask for verdicts, as configured by docs/verdict.md.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use breaker_tests::{Answer, Process, Script, Setup, Sidecar, Upstream, calmly, eventually, get};
use http::Uri;
use serde_json::Value;
use tempfile::TempDir;

use crate::tools::{caddy, documented, envoy, free_ports, installed, nginx, run, serve};

/// As `sensitive`, but soon half-open, at a time that the test can rely on.
const QUICK: &str = "{ base: sensitive, open: { for: 3s, jitter: 0% } }";

/// Another route, so that the proxy has to name the one that it asks for.
const OTHER: &str =
    "  - { name: other, match: { path: /other }, upstream: pay, policy: sensitive }";

/// A proxy in front of a service that a breaker watches too.
struct Asking {
    proxy: Process,
    address: SocketAddr,
    sidecar: Sidecar,
    upstream: Upstream,
    _directory: TempDir,
}

/// How a proxy is started by a file with the configuration of the docs.
struct Peer {
    /// The language of the configuration's block in the docs.
    language: &'static str,
    /// What a whole configuration has around that block, with `@` for the directory.
    around: [&'static str; 2],
    command: fn(&Path, &Path) -> Command,
}

const NGINX: Peer = Peer {
    language: "nginx",
    around: [
        "daemon off; master_process off; pid @/pid; error_log stderr; events {}\n\
         http { access_log off; client_body_temp_path @/1; proxy_temp_path @/2; fastcgi_temp_path @/3; uwsgi_temp_path @/4; scgi_temp_path @/5;\n",
        "}",
    ],
    command: nginx,
};

const CADDY: Peer = Peer {
    language: "caddyfile",
    around: ["{\n\tadmin off\n}\n", ""],
    command: caddy,
};

const ENVOY: Peer = Peer {
    language: "yaml",
    around: ["", ""],
    command: |_, config| envoy(config),
};

impl Asking {
    async fn start(peer: &Peer) -> Self {
        let upstream = Upstream::start().await;
        let setup = Setup::of(upstream.address()).policy(QUICK).more(OTHER);
        let sidecar = setup.start().await;
        let [port] = free_ports();
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().to_str().unwrap();
        let ports = [
            ("8000", port),
            ("9001", upstream.address().port()),
            ("9900", sidecar.admin_address().port()),
        ];
        let mut block = documented("verdict.md", peer.language, "");
        for (documented, _) in ports {
            assert!(block.contains(documented), "{documented} is not in {block}");
            // Marked first: the digits of one port may occur in another.
            block = block.replace(documented, &format!("@{documented}@"));
        }
        for (documented, port) in ports {
            block = block.replace(&format!("@{documented}@"), &port.to_string());
        }
        let [before, after] = peer.around.map(|text| text.replace('@', place));
        let config = directory.path().join(format!("config.{}", peer.language));
        fs::write(&config, [before, block, after].concat()).unwrap();
        let proxy = serve((peer.command)(directory.path(), &config), port).await;
        Self {
            proxy,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            sidecar,
            upstream,
            _directory: directory,
        }
    }

    /// What the proxy's client sees.
    async fn get(&self) -> Answer {
        get(self.url()).await
    }

    fn url(&self) -> Uri {
        format!("http://{}/pay/x?deny=me", self.address)
            .parse()
            .unwrap()
    }

    /// Opens the breaker by failures that the sidecar sees.
    async fn trip(&self) {
        self.upstream.play(Script::Status(500));
        for _ in 0..20 {
            assert_eq!(get(self.sidecar.url("/pay/x")).await.status, 500);
        }
        self.upstream.play(Script::Status(200));
    }

    /// Closed: admitted; open: `denied`, and the service is left alone; then admitted again.
    async fn is_asked(&self, denied: impl Fn(&Answer)) {
        assert_eq!(self.get().await.status, 200, "{}", self.proxy.log());
        self.trip().await;
        let before = self.upstream.count();
        denied(&self.get().await);
        assert_eq!(self.upstream.count(), before);
        // The trial admits what asks, too.
        eventually!(self.get().await.status == 200, "denied for ever");
        assert_eq!(self.upstream.seen().last().unwrap().uri.path(), "/pay/x");
    }
}

fn has_its_headers(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    let retry_after: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=3).contains(&retry_after), "{retry_after}");
    let proxy_status = answer.header("proxy-status");
    let named = "breaker; error=destination_unavailable; details=\"breaker pay is open: ";
    assert!(proxy_status.starts_with(named), "{proxy_status}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.headers.get_all("content-type").iter().count(), 1);
}

fn is_intact(answer: &Answer) {
    has_its_headers(answer);
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["status"], 503);
    assert_eq!(problem["breaker"], "pay");
    assert_eq!(problem["state"], "open");
    assert_eq!(problem["reason"], "error_rate");
    assert_eq!(
        problem["retry_after"].to_string(),
        answer.header("retry-after")
    );
}

#[tokio::test]
async fn nginx_denies_while_the_breaker_is_open() {
    calmly(async || {
        let asking = Asking::start(&NGINX).await;
        asking
            .is_asked(|answer| {
                has_its_headers(answer);
                let problem: Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(problem["status"], 503);
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn caddy_denies_with_the_whole_answer_while_the_breaker_is_open() {
    calmly(async || {
        let asking = Asking::start(&CADDY).await;
        asking.is_asked(is_intact).await;
    })
    .await;
}

#[tokio::test]
async fn envoy_denies_with_the_whole_answer_while_the_breaker_is_open() {
    calmly(async || {
        let asking = Asking::start(&ENVOY).await;
        asking.is_asked(is_intact).await;
    })
    .await;
}

#[tokio::test]
async fn envoy_tells_a_grpc_client_in_its_own_terms() {
    calmly(async || {
        let asking = Asking::start(&ENVOY).await;
        asking.trip().await;
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/grpc/client.py");
        let arguments = [
            client.to_str().unwrap(),
            &asking.address.to_string(),
            "Say",
            "hello",
        ];
        let output = run(installed("venv/bin/python"), arguments, b"").await;
        let call: Value = serde_json::from_str(output.stdout.lines().next().unwrap()).unwrap();
        assert_eq!(call["code"], "UNAVAILABLE", "{call}");
        let details = call["details"].as_str().unwrap();
        assert!(details.starts_with("breaker pay is open: "), "{details}");
        let pushback = call["trailers"]["grpc-retry-pushback-ms"].as_str();
        let pushback: u64 = pushback.and_then(|ms| ms.parse().ok()).expect("a pushback");
        assert!((1..=3_000).contains(&pushback), "{pushback} ms");
    })
    .await;
}

#[tokio::test]
async fn nginx_and_envoy_admit_while_there_is_no_breaker_and_caddy_does_not() {
    for (peer, status) in [(NGINX, 200), (ENVOY, 200), (CADDY, 502)] {
        let mut asking = Asking::start(&peer).await;
        asking.sidecar.process().terminate();
        asking.sidecar.process().ended().await;
        assert_eq!(asking.get().await.status, status, "{}", peer.language);
    }
}
