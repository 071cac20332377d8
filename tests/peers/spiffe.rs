//! SPIFFE with programs that nobody here wrote: certificates of the Workload API, which an agent
//! renews, between two sidecars and Envoy, as client and as server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use breaker_tests::{Process, Sidecar, Upstream, eventually, get};
use http::Uri;
use tempfile::TempDir;

use crate::tools::{envoy, free_ports, installed, serve};

/// Workloads, by the numbers of their sockets.
const PATHS: [&str; 3] = ["ns/shop/sa/checkout", "ns/shop/sa/pay", "ns/shop/sa/envoy"];
pub(crate) const CHECKOUT: usize = 0;
pub(crate) const PAY: usize = 1;
const ENVOY: usize = 2;

/// An agent with the certificates of all workloads.
pub(crate) struct Agent {
    folder: TempDir,
    process: Process,
}

impl Agent {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/spiffe/agent.py");
        let mut command = Command::new(installed("venv/bin/python"));
        command.arg(script).arg(folder.path()).arg("example.org");
        command.args(PATHS);
        let mut process = Process::spawn(command);
        let is_ready = |log: &str| log.contains("ready\n").then_some(());
        process.wait_for("ready", is_ready).await;
        Self { folder, process }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn identity(&self, workload: usize) -> String {
        let socket = self.path(&format!("{workload}.sock"));
        format!("identity: {{ spiffe: \"unix://{}\" }}\n", socket.display())
    }

    /// Signs new certificates for all.
    pub(crate) fn rotate(&self) {
        self.process.hang_up();
    }
}

pub(crate) fn id(workload: usize) -> String {
    format!("spiffe://example.org/{}", PATHS[workload])
}

/// A sidecar that takes calls of workloads alone.
async fn taking(agent: &Agent, upstream: &Upstream) -> Sidecar {
    let (identity, upstream) = (agent.identity(PAY), upstream.address());
    let allow = format!("\"{}\", \"{}\"", id(CHECKOUT), id(ENVOY));
    Sidecar::start(format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{identity}\
         tls: {{ clients: {{ allow: [{allow}], forward: xfcc }} }}\n\
         upstreams: {{ app: {{ endpoints: [\"http://{upstream}\"] }} }}\n\
         routes:\n  - {{ name: pay, upstream: app }}\n"
    ))
    .await
}

/// A sidecar that calls the other one, and Envoy, which each have names of their own alone.
async fn calling(agent: &Agent, pay: u16, envoy: u16) -> Sidecar {
    let identity = agent.identity(CHECKOUT);
    let upstream = |name: &str, port: u16, workload: usize| {
        let allow = id(workload);
        format!(
            "  {name}: {{ endpoints: [\"https://127.0.0.1:{port}\"], tls: {{ allow: [\"{allow}\"] }} }}\n"
        )
    };
    let upstreams = upstream("pay", pay, PAY) + &upstream("envoy", envoy, ENVOY);
    Sidecar::start(format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{identity}upstreams:\n{upstreams}routes:\n\
         \x20 - {{ name: pay, match: {{ path: /pay }}, upstream: pay }}\n\
         \x20 - {{ name: envoy, match: {{ path: /envoy }}, upstream: envoy }}\n"
    ))
    .await
}

/// Envoy that calls the sidecar by SPIFFE from `plain`, and takes calls by SPIFFE at `secure`.
fn configuration(agent: &Agent, [plain, secure]: [u16; 2], pay: u16, app: u16) -> String {
    let folder = agent.folder.path().display();
    let tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
    let context = |peer: usize| {
        let peer = id(peer);
        format!(
            r#"common_tls_context:
                  tls_params: {{ tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }}
                  tls_certificate_sds_secret_configs:
                    - name: own
                      sds_config:
                        path_config_source: {{ path: {folder}/secret.yaml }}
                  validation_context:
                    custom_validator_config:
                      name: envoy.tls.cert_validator.spiffe
                      typed_config:
                        "@type": {tls}.SPIFFECertValidatorConfig
                        trust_domains: [{{ name: example.org, trust_bundle: {{ filename: {folder}/root.pem }} }}]
                    match_typed_subject_alt_names: [{{ san_type: URI, matcher: {{ exact: "{peer}" }} }}]"#
        )
    };
    let (of_callers, of_the_sidecar) = (context(CHECKOUT), context(PAY));
    let http = |cluster: &str| {
        format!(
            r#"filters:
            - name: http
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: http
                route_config:
                  virtual_hosts: [{{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: {cluster} }} }}] }}]
                http_filters:
                  - name: router
                    typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}"#
        )
    };
    let (to_the_sidecar, to_the_app) = (http("pay"), http("app"));
    let endpoint = |port: u16| {
        format!(
            "{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }} }}"
        )
    };
    let (pay, app) = (endpoint(pay), endpoint(app));
    format!(
        r#"node: {{ id: envoy, cluster: envoy }}
static_resources:
  listeners:
    - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {plain} }} }}
      filter_chains:
        - {to_the_sidecar}
    - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {secure} }} }}
      filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": {tls}.DownstreamTlsContext
              require_client_certificate: true
              {of_callers}
          {to_the_app}
  clusters:
    - name: pay
      load_assignment: {{ cluster_name: pay, endpoints: [{{ lb_endpoints: [{pay}] }}] }}
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": {tls}.UpstreamTlsContext
          {of_the_sidecar}
    - name: app
      load_assignment: {{ cluster_name: app, endpoints: [{{ lb_endpoints: [{app}] }}] }}
"#
    )
}

/// What Envoy shows, which it reads again when it is another file.
fn secret(agent: &Agent) -> String {
    let folder = agent.folder.path().display();
    format!(
        r#"resources:
  - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
    name: own
    tls_certificate:
      certificate_chain: {{ filename: {folder}/{ENVOY}.pem }}
      private_key: {{ filename: {folder}/{ENVOY}.pem }}
      watched_directory: {{ path: {folder} }}
"#
    )
}

async fn applied(sidecar: &Sidecar) -> f64 {
    let labels = [("breaker_tls_result", "applied")];
    let metrics = sidecar.metrics().await;
    let count = metrics.sum("breaker_tls_reloads_total", &labels);
    count.unwrap_or(0.0)
}

#[tokio::test]
async fn two_sidecars_and_envoy_talk_through_ten_rotations_without_an_error() {
    let (agent, app) = (Agent::start().await, Upstream::start().await);
    let pay = taking(&agent, &app).await;
    let ports @ [plain, secure] = free_ports();
    let port = pay.address().port();
    let config = agent.path("envoy.yaml");
    fs::write(
        &config,
        configuration(&agent, ports, port, app.address().port()),
    )
    .unwrap();
    fs::write(agent.path("secret.yaml"), secret(&agent)).unwrap();
    let _envoy = serve(envoy(&config), plain).await;
    let checkout = calling(&agent, port, secure).await;
    let from_envoy: Uri = format!("http://127.0.0.1:{plain}/pay").parse().unwrap();
    let urls = [checkout.url("/pay"), checkout.url("/envoy"), from_envoy];
    let callers = [id(CHECKOUT), String::new(), id(ENVOY)];
    for (url, caller) in urls.iter().zip(callers) {
        let before = app.count();
        let answer = get(url.clone()).await;
        assert_eq!(answer.status, 200, "{url}: {answer:?}");
        assert_eq!(app.count(), before + 1);
        let seen = app.seen().pop().unwrap();
        if !caller.is_empty() {
            let told = seen.headers["x-forwarded-client-cert"].to_str().unwrap();
            assert!(told.contains(&format!("URI={caller}")), "{told}");
        }
    }
    // All of them know whom they speak with: without a certificate nobody comes in.
    for port in [port, secure] {
        let url = format!("https://127.0.0.1:{port}/pay");
        let curl = ["--silent", "--insecure", "--max-time", "20", &url];
        let refused = Command::new("curl").args(curl).status().unwrap();
        assert!(!refused.success(), "{url}");
    }

    let over = Arc::<AtomicBool>::default();
    let callers = urls.map(|url| {
        let over = over.clone();
        tokio::spawn(async move {
            let mut served = 0_usize;
            while !over.load(Ordering::Relaxed) {
                let answer = get(url.clone()).await;
                assert_eq!(answer.status, 200, "{url}: {answer:?}");
                served += 1;
            }
            served
        })
    });
    let (taken, called) = (applied(&pay).await, applied(&checkout).await);
    for rotation in 1..=10 {
        agent.rotate();
        // Of the two upstreams of the one that calls, each has the certificate.
        eventually!(applied(&pay).await == taken + f64::from(rotation));
        eventually!(applied(&checkout).await == called + f64::from(2 * rotation));
    }
    over.store(true, Ordering::Relaxed);
    let mut served = 0;
    for caller in callers {
        served += caller.await.expect("a caller without an error");
    }
    assert!(served > 100, "{served}");
    assert_eq!(app.count(), served + 3);
    for sidecar in [&pay, &checkout] {
        let metrics = sidecar.metrics().await;
        let success = [("breaker_outcome", "success")];
        let [all, good] = [&[][..], &success].map(|it| metrics.sum("breaker_requests_total", it));
        assert_eq!(all, good, "{}", metrics.text());
    }
}
