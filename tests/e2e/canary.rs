//! Secrets stay where they belong: each has a canary of its own, and nothing that the sidecar says
//! has one, whatever happens and however much is logged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use breaker_tests::{Process, Script, Upstream, breaker, eventually, free_ports, get, send};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use crate::secure::Authority;

/// A secret of 32 characters that is nowhere else.
fn canary() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(
        "canary{:08x}{number:02}0123456789abcdef",
        std::process::id()
    )
}

/// The secrets by where they are, and what was said by who said it.
#[derive(Default)]
struct Search {
    secrets: BTreeMap<&'static str, String>,
    said: Vec<(String, Vec<u8>)>,
}

impl Search {
    /// A new secret.
    fn hide(&mut self, place: &'static str) -> String {
        self.hidden(place, canary())
    }

    fn hidden(&mut self, place: &'static str, secret: String) -> String {
        self.secrets.insert(place, secret.clone());
        secret
    }

    fn said(&mut self, what: impl Into<String>, text: impl Into<Vec<u8>>) {
        self.said.push((what.into(), text.into()));
    }

    fn files(&mut self, folder: &Path, but: &[&str]) {
        for file in fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if file.is_file() && !but.contains(&&*name) {
                self.said(format!("the file {name}"), fs::read(file).unwrap());
            }
        }
    }

    /// Which secrets were said where.
    fn hits(&self) -> Vec<String> {
        let mut hits = Vec::new();
        for (what, text) in &self.said {
            for (place, secret) in &self.secrets {
                let found = text
                    .windows(secret.len())
                    .position(|it| it == secret.as_bytes());
                if let Some(at) = found {
                    let around = &text[at.saturating_sub(60)..at + secret.len()];
                    let around = String::from_utf8_lossy(around).into_owned();
                    hits.push(format!("{place} in {what}: {around:?}"));
                }
            }
        }
        hits
    }
}

/// What a connection is answered.
async fn exchange(address: std::net::SocketAddr, request: String) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    answer
}

async fn command(arguments: Vec<String>) -> Output {
    let command = tokio::task::spawn_blocking(move || breaker(arguments).output());
    command.await.unwrap().unwrap()
}

#[tokio::test]
async fn no_secret_is_in_anything_that_is_said() {
    let mut search = Search::default();
    let authority = Authority::new();
    let (upstream, collector) = (Upstream::start().await, Upstream::start().await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let put = |name: &str, text: &str| fs::write(path.join(name), text).unwrap();

    put("token", &search.hide("the control token"));
    put("fleet.key", &search.hide("the key of the fleet"));
    let key = fs::read_to_string(authority.path().join("tls.key")).unwrap();
    for (place, line) in ["a key", "the rest of it"]
        .into_iter()
        .zip(key.lines().skip(1))
    {
        search.hidden(place, line[..32].to_owned());
    }
    let password = search.hide("the password of the engine");
    let export = search.hide("a header of exports");
    let of_environment = search.hide("a header of exports in the environment");
    let [dead, ports @ ..] = free_ports::<4>();
    let [listen, admin, receive] = ports.map(|port| format!("127.0.0.1:{port}"));
    let config = |engine: &str| {
        format!(
            "listen: {listen}\nadmin: {admin}\nstate: state\nwatch: false\n\
             identity: {{ {} }}\ncontrol: {{ token_file: token }}\n\
             log: {{ access: all, file: access.log }}\n\
             fleet: {{ name: pay, engine: '{engine}', key_file: fleet.key }}\n\
             telemetry:\n\
             \x20 export: {{ endpoint: 'http://{}', protocol: http/protobuf, interval: 100ms, headers: {{ api-key: {export} }} }}\n\
             \x20 receive: {{ http: {receive}, tls: {{}}, forward: {{ http: 'http://{}' }} }}\n\
             upstreams:\n  pay: {{ endpoints: ['http://{}'] }}\n\
             routes:\n  - {{ name: pay, upstream: pay, match: {{ path: '/pay/{{*rest}}' }}, policy: sensitive, feeds: [{{ name: f }}] }}\n",
            authority.pair(),
            collector.address(),
            collector.address(),
            upstream.address(),
        )
    };
    let engine = format!("redis://shop:{password}@127.0.0.1:{dead}");
    put("breaker.yaml", &config(&engine));
    let mut run = breaker(["--log", "trace", "run", "--record"]);
    run.arg(path.join("record"))
        .arg("--config")
        .arg(path.join("breaker.yaml"));
    run.env(
        "OTEL_EXPORTER_OTLP_HEADERS",
        format!("x-key={of_environment}"),
    );
    run.env("OTEL_TRACES_EXPORTER", "otlp")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    let mut sidecar = Process::spawn(run);
    let url =
        |address: &str, path: &str| -> Uri { format!("http://{address}{path}").parse().unwrap() };
    eventually!(
        TcpStream::connect(&admin).await.is_ok(),
        "{}",
        sidecar.log()
    );
    eventually!(get(url(&admin, "/readyz")).await.status == 200);

    // Requests that go well, fail, are refused, and are none.
    let fields = [
        ("authorization", "Authorization"),
        ("cookie", "Cookie"),
        ("x-api-key", "a field"),
        ("x-forwarded-client-cert", "a certificate's field"),
    ]
    .map(|(name, place)| (name, search.hide(place)));
    let (query, body) = (search.hide("the query"), search.hide("the body"));
    for (script, count) in [
        (Script::Echo, 30),
        (Script::Status(500), 12),
        (Script::Reset, 2),
    ] {
        upstream.play(script);
        for _ in 0..count {
            let mut request = Request::post(url(&listen, &format!("/pay/x?token={query}")));
            for (name, secret) in &fields {
                request = request.header(*name, secret);
            }
            let request = request.body(Full::<Bytes>::from(body.clone())).unwrap();
            let answer = send(request).await.unwrap();
            if answer.status != 200 {
                search.said(format!("a {}", answer.status), answer.body);
                search.said("the fields of an answer", format!("{:?}", answer.headers));
            }
        }
    }
    let seen = upstream.seen();
    assert_eq!(
        seen[0].headers["authorization"], fields[0].1,
        "the canary lives"
    );
    assert_eq!(seen[0].headers.get("x-forwarded-client-cert"), None);
    let user = search.hide("the user of a request's URL");
    let bad = search.hide("a field of a bad request");
    let nowhere = search.hide("a field of a request to nowhere");
    let trailer = search.hide("a trailer");
    let address = listen.parse().unwrap();
    for request in [
        format!("GET http://u:{user}@a/pay/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        format!(
            "GET /pay/x HTTP/1.1\r\nHost: a\r\nAuthorization: {bad}\r\nContent-Length: x\r\n\r\n"
        ),
        format!("GET /pay/\\ HTTP/1.1\r\nHost: a\r\nAuthorization: {bad}\r\nbad {bad}\r\n\r\n"),
        format!(
            "GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: {nowhere}\r\nConnection: close\r\n\r\n"
        ),
        format!(
            "POST /pay/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\
             Connection: close\r\n\r\n1\r\na\r\n0\r\nx-t: {trailer}\r\n\r\n"
        ),
    ] {
        search.said(
            "an answer to a bad request",
            exchange(address, request).await,
        );
    }

    // Operators with a wrong token and the right one, and a sender of telemetry.
    let wrong = search.hide("a wrong token");
    let right = search.secrets["the control token"].clone();
    for (token, status) in [(wrong, 403), (right, 200)] {
        let request = Request::post(url(&admin, "/api/v1/breakers/pay/reset"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from("{}"));
        let answer = send(request.unwrap()).await.unwrap();
        assert_eq!(answer.status, status, "{}", answer.text());
        search.said("the control API", answer.body);
    }
    let sender = search.hide("a field of a sender");
    let batch = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nAuthorization: {sender}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    );
    let answer = authority.ask(receive.parse().unwrap(), None, &batch).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // A reload that is refused, of a text with a secret in it.
    let broken = search.hide("the password of an engine that is refused");
    put(
        "breaker.yaml",
        &config(&format!("http://shop:{broken}@engine")),
    );
    sidecar.hang_up();
    eventually!(sidecar.log().contains("fleet.engine: must be a URL"));

    for path in [
        "/",
        "/metrics",
        "/breakers",
        "/breakers/pay",
        "/breakers/pay/report",
        "/api/v1/status",
        "/api/v1/breakers",
        "/api/v1/breakers/pay",
        "/api/v1/breakers/pay/explanation",
        "/api/v1/breakers/pay/history",
        "/api/v1/breakers/pay/policy",
        "/api/v1/upstreams",
        "/api/v1/upstreams/pay",
        "/api/v1/openapi.json",
    ] {
        let answer = get(url(&admin, path)).await;
        assert!(
            [200, 503].contains(&answer.status),
            "{path}: {}",
            answer.status
        );
        search.said(path, answer.body);
    }
    let watch = "GET /api/v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned();
    let events = exchange(admin.parse().unwrap(), watch).await;
    assert!(events.len() > 500, "{}", String::from_utf8_lossy(&events));
    search.said("the events", events);
    let asked = format!("--admin=http://{admin}");
    let file = path.join("breaker.yaml").display().to_string();
    for arguments in [
        vec!["status".to_owned(), asked.clone()],
        vec!["status".to_owned(), "--json".to_owned(), asked.clone()],
        vec!["explain".to_owned(), "pay".to_owned(), asked.clone()],
        vec!["upstreams".to_owned(), asked],
        // It is refused, and then it is explained.
        vec!["check".to_owned(), file.clone()],
        vec!["check".to_owned(), file.clone(), "--json".to_owned()],
        vec![
            "run".to_owned(),
            "--otlp-env".to_owned(),
            format!("--config={file}"),
        ],
    ] {
        let output = command(arguments.clone()).await;
        let what = format!("breaker {}", arguments[0]);
        search.said(what.clone(), output.stdout);
        search.said(what, output.stderr);
    }
    put("breaker.yaml", &config(&engine));
    let checked = command(vec!["check".to_owned(), file]).await;
    assert!(checked.status.success(), "{checked:?}");
    search.said("breaker check", checked.stdout);

    // What a collector got; the headers of exports are for it.
    eventually!(
        collector
            .seen()
            .iter()
            .any(|seen| seen.uri.path() == "/v1/traces")
    );
    for mut seen in collector.seen() {
        if let Some(ours) = seen.headers.remove("x-key") {
            assert_eq!(ours.to_str().unwrap(), of_environment);
        }
        if let Some(ours) = seen.headers.remove("api-key") {
            assert_eq!(ours.to_str().unwrap(), export);
        }
        // What a sender's collector asks of it is passed on.
        if let Some(theirs) = seen.headers.remove("authorization") {
            assert_eq!(theirs.to_str().unwrap(), sender);
        }
        search.said(format!("the collector at {}", seen.uri), seen.body);
        search.said("the fields of an export", format!("{:?}", seen.headers));
    }
    sidecar.terminate();
    sidecar.ended().await;
    let log = sidecar.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    search.said("the log", log);
    search.files(path, &["token", "fleet.key", "breaker.yaml"]);
    assert!(
        search
            .said
            .iter()
            .any(|(what, _)| what == "the file record")
    );
    assert!(
        search
            .said
            .iter()
            .any(|(what, _)| what == "the file access.log")
    );
    let hits = search.hits();
    assert!(hits.is_empty(), "{hits:#?}");
}
