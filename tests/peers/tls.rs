//! TLS with programs that nobody here wrote: openssl, curl, nginx, h2load and OpenTelemetry's SDK
//! for Python.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use breaker_tests::{Process, Script, Setup, Sidecar, Upstream, breaker, eventually, get};
use tempfile::TempDir;

use crate::tools::{free_ports, installed, nginx, run};

/// Certificates that openssl has made: `ca.crt`, and pairs signed by it.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) async fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let days = ["-days", "30"];
        let request = ["req", "-x509", "-subj", "/CN=authority"];
        files
            .openssl(&[&request[..], &KEY, &days, &files.out("ca")].concat())
            .await;
        files.sign("server", "DNS:localhost,IP:127.0.0.1").await;
        let id = "URI:spiffe://example.org/ns/shop/sa/checkout";
        files.sign("client", id).await;
        files
    }

    async fn openssl(&self, arguments: &[impl AsRef<std::ffi::OsStr>]) {
        let mut command = Command::new("openssl");
        command.args(arguments).stderr(Stdio::null());
        assert!(command.status().unwrap().success());
    }

    fn out(&self, name: &str) -> [&'static str; 4] {
        let leak = |ending: &str| -> &'static str {
            let path = self.path(&format!("{name}.{ending}"));
            Box::leak(path.into_boxed_str())
        };
        ["-keyout", leak("key"), "-out", leak("crt")]
    }

    /// Signs a certificate for these names.
    async fn sign(&self, name: &str, names: &str) {
        let subject = format!("/CN={name}");
        let names = format!("subjectAltName={names}");
        let (ca, key) = (self.path("ca.crt"), self.path("ca.key"));
        let request = ["req", "-x509", "-subj", &subject, "-addext", &names];
        let leaf = [
            "-addext",
            "basicConstraints=CA:FALSE",
            "-addext",
            "keyUsage=digitalSignature",
        ];
        let by = ["-CA", &ca, "-CAkey", &key, "-days", "20"];
        let out = self.out(name);
        self.openssl(&[&request[..], &leaf, &by, &KEY, &out].concat())
            .await;
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

const KEY: [&str; 5] = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
];

/// A sidecar whose clients speak TLS.
async fn secured(files: &Files, upstream: &Upstream, clients: &str) -> Sidecar {
    let (cert, key) = (files.path("server.crt"), files.path("server.key"));
    let tls = format!("tls: {{ cert: {cert}, key: {key}{clients} }}");
    Setup::of(upstream.address()).more(&tls).start().await
}

fn url(sidecar: &Sidecar, path: &str) -> String {
    sidecar.url(path).to_string().replace("http://", "https://")
}

async fn handshakes(sidecar: &Sidecar, result: &str) -> f64 {
    let labels = [("breaker_tls_result", result)];
    let metrics = sidecar.metrics().await;
    let count = metrics.sum("breaker_tls_handshakes_total", &labels);
    count.unwrap_or(0.0)
}

#[tokio::test]
async fn curl_speaks_both_protocols_and_shows_its_certificate() {
    let files = Files::new().await;
    let upstream = Upstream::start().await;
    upstream.play(Script::Echo);
    let roots = files.path("ca.crt");
    let clients = format!(", clients: {{ roots: {roots}, forward: xfcc }}");
    let sidecar = secured(&files, &upstream, &clients).await;
    let url = url(&sidecar, "/pay");
    let (cert, key) = (files.path("client.crt"), files.path("client.key"));
    let usual = [
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--cacert",
        &roots,
    ];
    let shown = ["--cert", &cert, "--key", &key];
    let written = [
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_version} %{http_code}",
    ];
    for (flag, expected) in [("--http1.1", "1.1 200"), ("--http2", "2 200")] {
        let arguments = [&usual[..], &shown, &written, &[flag, &url]].concat();
        assert_eq!(run("curl", arguments, b"").await.stdout, expected);
    }
    let seen = upstream.seen();
    let told = seen[0].headers["x-forwarded-client-cert"].to_str().unwrap();
    let id = "URI=spiffe://example.org/ns/shop/sa/checkout";
    assert!(told.starts_with("Hash=") && told.ends_with(id), "{told}");
    assert_eq!(seen[0].headers["x-forwarded-proto"], "https");

    // Without one it is refused, and with an old version.
    for arguments in [&[][..], &["--tls-max", "1.2"]] {
        let all = usual.iter().chain(arguments).copied().chain([url.as_str()]);
        let status = Command::new("curl")
            .args(all)
            .stderr(Stdio::null())
            .status();
        assert!(!status.unwrap().success());
    }
    eventually!(handshakes(&sidecar, "no_certificate").await == 1.0);
    eventually!(handshakes(&sidecar, "protocol").await == 1.0);
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn openssl_sees_version_group_and_protocol() {
    let files = Files::new().await;
    let upstream = Upstream::start().await;
    let sidecar = secured(&files, &upstream, "").await;
    let (address, roots) = (sidecar.address().to_string(), files.path("ca.crt"));
    let arguments = [
        "s_client",
        "-connect",
        &address,
        "-CAfile",
        &roots,
        "-alpn",
        "http/1.1",
        "-servername",
        "localhost",
        "-verify_return_error",
        "-ign_eof",
    ];
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let output = run("openssl", arguments, request).await;
    for expected in [
        "TLSv1.3",
        "ALPN protocol: http/1.1",
        "Server Temp Key: X25519",
        "Verify return code: 0 (ok)",
    ] {
        assert!(output.stdout.contains(expected), "{}", output.stdout);
    }
}

#[tokio::test]
async fn h2load_gets_every_answer() {
    let files = Files::new().await;
    let upstream = Upstream::start().await;
    let sidecar = secured(&files, &upstream, "").await;
    let url = url(&sidecar, "/pay");
    for shape in [&["--h1", "-c", "50"][..], &["-c", "10", "-m", "20"]] {
        let arguments = shape.iter().copied().chain(["-n", "2000", &url]);
        let output = run("h2load", arguments, b"").await.stdout;
        let all = "2000 succeeded, 0 failed, 0 errored, 0 timeout";
        assert!(output.contains(all), "{output}");
    }
    assert_eq!(upstream.count(), 4000);
}

/// nginx, which speaks these versions and protocols.
async fn nginx_of(files: &Files, more: &str) -> (Process, u16) {
    let [port] = free_ports();
    let (cert, key) = (files.path("server.crt"), files.path("server.key"));
    let config = files.0.path().join("nginx.conf");
    let text = format!(
        "daemon off; pid nginx.pid; error_log stderr; events {{}}\n\
         http {{ access_log off; server {{\n\
         listen 127.0.0.1:{port} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key};\n\
         {more}\n\
         location / {{ return 200 \"$server_protocol $ssl_protocol $ssl_client_s_dn\\n\"; }} }} }}\n"
    );
    fs::write(&config, text).unwrap();
    let process = Process::spawn(nginx(files.0.path(), &config));
    eventually!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    (process, port)
}

async fn before(files: &Files, port: u16, tls: &str) -> Sidecar {
    let identity = format!(
        "identity: {{ cert: {}, key: {} }}\n",
        files.path("client.crt"),
        files.path("client.key")
    );
    let roots = files.path("ca.crt");
    Sidecar::start(format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{identity}\
         upstreams:\n  pay:\n    endpoints: [\"https://localhost:{port}\"]\n\
         \x20   tls: {{ roots: {roots}{tls} }}\n\
         routes:\n  - {{ name: pay, upstream: pay }}\n"
    ))
    .await
}

#[tokio::test]
async fn nginx_is_an_upstream_by_a_private_authority_and_sees_our_certificate() {
    let files = Files::new().await;
    let ask = format!(
        "ssl_verify_client on; ssl_client_certificate {}; ssl_protocols TLSv1.3;",
        files.path("ca.crt")
    );
    let (_nginx, port) = nginx_of(&files, &ask).await;
    let sidecar = before(&files, port, "").await;
    for _ in 0..3 {
        let answer = get(sidecar.url("/")).await;
        assert_eq!(answer.text(), "HTTP/2.0 TLSv1.3 CN=client\n");
    }
    // Without it nginx says so itself, within HTTP.
    let sidecar = before(&files, port, ", present: false").await;
    assert_eq!(get(sidecar.url("/")).await.status, 400);
}

#[tokio::test]
async fn an_old_upstream_is_spoken_to_where_the_configuration_says_so() {
    let files = Files::new().await;
    let (_nginx, port) = nginx_of(&files, "ssl_protocols TLSv1.2;").await;
    let sidecar = before(&files, port, ", min: \"1.2\"").await;
    let answer = get(sidecar.url("/")).await;
    assert_eq!(answer.text(), "HTTP/2.0 TLSv1.2 \n");
    let sidecar = before(&files, port, "").await;
    let answer = get(sidecar.url("/")).await;
    assert_eq!(answer.status, 502);
    let told = answer.headers["proxy-status"].to_str().unwrap();
    assert!(told.contains("error=tls_alert_received"), "{told}");
}

#[tokio::test]
async fn an_upstream_alone_is_trusted_by_the_systems_roots() {
    let files = Files::new().await;
    let (_nginx, port) = nginx_of(&files, "ssl_protocols TLSv1.3;").await;
    let start = |roots: &Path| {
        let upstream = format!("https://localhost:{port}");
        let addresses = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut command = breaker(["run", "--upstream", &upstream]);
        command.args(addresses).env("SSL_CERT_FILE", roots);
        command.env_remove("SSL_CERT_DIR");
        command
    };
    let sidecar = Sidecar::spawn(start(Path::new(&files.path("ca.crt")))).await;
    assert_eq!(get(sidecar.url("/")).await.status, 200);

    let empty = files.0.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let mut refused = Process::spawn(start(&empty));
    assert_eq!(refused.ended().await.code(), Some(2));
    eventually!(refused.log().contains("SSL_CERT_FILE"));
    assert!(refused.log().contains("roots:"), "{}", refused.log());
}

/// A sidecar that receives telemetry by both protocols, of senders with a certificate.
async fn receiving(files: &Files, upstream: &Upstream, grpc: u16, http: u16) -> Sidecar {
    let (cert, key) = (files.path("server.crt"), files.path("server.key"));
    let roots = files.path("ca.crt");
    let allow = "spiffe://example.org/ns/shop/sa/*";
    let clients = format!("{{ roots: {roots}, allow: [\"{allow}\"] }}");
    let tls = format!("{{ cert: {cert}, key: {key}, clients: {clients} }}");
    let addresses = format!("grpc: 127.0.0.1:{grpc}, http: 127.0.0.1:{http}");
    Setup::of(upstream.address())
        .route("feeds: [{ name: ledger, span: client }]")
        .more(&format!(
            "telemetry: {{ receive: {{ {addresses}, tls: {tls} }} }}"
        ))
        .start()
        .await
}

#[tokio::test]
async fn senders_of_telemetry_are_taken_with_a_certificate() {
    let files = Files::new().await;
    let upstream = Upstream::start().await;
    let [grpc, http] = free_ports();
    let sidecar = receiving(&files, &upstream, grpc, http).await;
    let roots = files.path("ca.crt");
    let (cert, key) = (files.path("client.crt"), files.path("client.key"));
    let batches = async |sidecar: &Sidecar| {
        let metrics = sidecar.metrics().await;
        let batches = metrics.sum("breaker_receiver_batches_total", &[]);
        batches.unwrap_or(0.0)
    };

    let url = format!("https://localhost:{http}/v1/traces");
    let json = [
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--cacert",
        &roots,
        "--header",
        "content-type: application/json",
        "--data",
        "{}",
        &url,
    ];
    for version in ["--http1.1", "--http2"] {
        let shown = ["--cert", &cert, "--key", &key, version];
        let told = run("curl", [&json[..], &shown].concat(), b"").await;
        assert_eq!(told.stdout, "{}", "{}", told.stderr);
    }
    let refused = Command::new("curl").args(json).output().unwrap();
    assert!(!refused.status.success());
    eventually!(handshakes(&sidecar, "no_certificate").await == 1.0);
    assert_eq!(batches(&sidecar).await, 2.0);

    // OpenTelemetry's SDK for Python, by both protocols.
    let script = files.0.path().join("export.py");
    let text = "import sys\n\
         from opentelemetry.sdk.trace import TracerProvider\n\
         from opentelemetry.sdk.trace.export import SimpleSpanProcessor\n\
         from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc\n\
         from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http\n\
         for exporter in (Grpc(timeout=10), Http(endpoint=sys.argv[1], timeout=10)):\n\
         \x20   provider = TracerProvider()\n\
         \x20   provider.add_span_processor(SimpleSpanProcessor(exporter))\n\
         \x20   with provider.get_tracer('shop').start_as_current_span('pay'): pass\n\
         \x20   provider.shutdown()\n";
    fs::write(&script, text).unwrap();
    let mut python = Command::new(installed("venv/bin/python"));
    let grpc = format!("https://localhost:{grpc}");
    python.arg(&script).arg(&url).envs([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*grpc),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", &roots),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &cert),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key),
    ]);
    // They would go before what the exporter is told.
    python.env_remove("REQUESTS_CA_BUNDLE");
    python.env_remove("CURL_CA_BUNDLE");
    let mut python = Process::spawn(python);
    assert!(python.ended().await.success(), "{}", python.log());
    assert_eq!(batches(&sidecar).await, 4.0, "{}", python.log());
}

#[tokio::test]
async fn the_admin_port_speaks_tls_to_curl_and_to_our_own_commands() {
    let files = Files::new().await;
    let upstream = Upstream::start().await;
    let (cert, key) = (files.path("server.crt"), files.path("server.key"));
    let config = files.0.path().join("breaker.yaml");
    let tls = format!("admin_tls: {{ cert: {cert}, key: {key} }}");
    fs::write(&config, Setup::of(upstream.address()).more(&tls).yaml()).unwrap();
    let mut command = breaker(["run", "--config"]);
    command.arg(&config);
    let mut sidecar = Process::spawn(command);
    let port = sidecar.wait_for("address", |log| {
        let (_, rest) = log.split_once("admin=127.0.0.1:")?;
        rest.split_once('\n')
            .map(|(port, _)| port.trim().to_owned())
    });
    let admin = format!("https://localhost:{}", port.await);
    let roots = files.path("ca.crt");
    let url = format!("{admin}/readyz");
    let usual = [
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--cacert",
        &roots,
        &url,
    ];
    assert_eq!(run("curl", usual, b"").await.stdout, "ready\n");
    let plain = url.replace("https", "http");
    let told = run("curl", ["--silent", "--max-time", "20", &plain], b"").await;
    assert_eq!(told.stdout, "this port speaks TLS (https://)");
    for (arguments, code) in [
        (&["status", "--admin", &admin, "--ca", &roots][..], Some(0)),
        (&["health", &admin, "--ca", &roots], Some(0)),
        (&["status", "--admin", &admin, "--ca", &key], Some(2)),
    ] {
        let mut command = breaker(arguments);
        let output = command.stdout(Stdio::null()).stderr(Stdio::null());
        assert_eq!(output.status().unwrap().code(), code, "{arguments:?}");
    }
    // Not one to trust.
    let mut command = breaker(["status", "--admin", &admin]);
    command.env("SSL_CERT_FILE", files.path("client.crt"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(why.contains("certificate"), "{why}");
}
