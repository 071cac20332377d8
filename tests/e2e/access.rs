//! The access log: what it says, and that it comes and goes with a reload.

use std::fs;

use breaker_tests::{Script, Setup, Sidecar, Upstream, eventually, get, send};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::traffic::in_turn;

const TRACE: &str = "12345678901234567890123456789012";

/// Lines of the file `access.log` beside the configuration.
fn lines(sidecar: &Sidecar) -> Vec<Value> {
    let file = sidecar.config_file().with_file_name("access.log");
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap_or_default()
}

#[tokio::test]
async fn a_line_says_route_status_failure_endpoint_attribution_and_trace() {
    let upstream = Upstream::start().await;
    let log = "log: { access: errors, file: access.log }";
    let sidecar = Setup::of(upstream.address()).more(log).start().await;
    in_turn(&sidecar, 30).await;
    upstream.play(Script::Status(500));
    let request = Request::get(sidecar.url("/bad?secret=1"))
        .header("traceparent", format!("00-{TRACE}-1234567890123456-01"))
        .body(Empty::<Bytes>::new());
    assert_eq!(send(request.unwrap()).await.unwrap().status, 500);
    let endpoint = upstream.address().to_string();
    drop(upstream);
    for _ in 0..4 {
        get(sidecar.url("/gone")).await;
    }
    eventually!(lines(&sidecar).len() == 5);
    let lines = lines(&sidecar);
    let told = |line: &Value, name: &str| line[name].as_str().unwrap_or("").to_owned();
    let fields = [
        "method",
        "path",
        "protocol",
        "route",
        "outcome",
        "failure",
        "attribution",
        "endpoint",
        "trace",
    ];
    assert_eq!(
        fields.map(|name| told(&lines[0], name)),
        [
            "GET", "/bad", "HTTP/1.1", "pay", "failure", "500", "upstream", &endpoint, TRACE
        ]
    );
    assert_eq!(lines[0]["status"], 500);
    assert!(lines[0]["latency"].as_f64() <= lines[0]["duration"].as_f64());
    let fields = ["outcome", "failure", "attribution", "endpoint"];
    assert_eq!(
        fields.map(|name| told(&lines[1], name)),
        ["failure", "connection_refused", "upstream", &endpoint]
    );
    // The third failure opens the breaker.
    assert_eq!(
        fields.map(|name| told(&lines[4], name)),
        ["rejected", "503", "", ""]
    );
    assert_eq!(lines[4]["latency"], Value::Null);
}

#[tokio::test]
async fn a_reload_turns_it_on_and_standard_output_has_it() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(upstream.address()).more("watch: false");
    let mut sidecar = setup.clone().start().await;
    get(sidecar.url("/before")).await;
    let on = setup.more("log: { access: all, format: text }").yaml();
    fs::write(sidecar.config_file(), on).unwrap();
    sidecar.process().hang_up();
    eventually!(sidecar.process().log().contains("configuration reloaded"));
    get(sidecar.url("/after")).await;
    eventually!(
        sidecar
            .process()
            .log()
            .contains(" GET /after 200 protocol=HTTP/1.1 route=pay")
    );
    assert!(!sidecar.process().log().contains("GET /before"));
    let text = fs::read_to_string(sidecar.config_file()).unwrap();
    let text = text.replace(
        "{ access: all, format: text }",
        "{ access: all, file: no/a.log }",
    );
    fs::write(sidecar.config_file(), text).unwrap();
    sidecar.process().hang_up();
    eventually!(
        sidecar
            .process()
            .log()
            .contains("log.file: cannot write to ")
    );
    get(sidecar.url("/still")).await;
    eventually!(sidecar.process().log().contains("GET /still"));
}

#[tokio::test]
async fn a_head_that_is_no_request_has_a_line_too() {
    let upstream = Upstream::start().await;
    let log = "log: { access: all, file: access.log }\nlimits: { header_timeout: 100ms }";
    let sidecar = Setup::of(upstream.address()).more(log).start().await;
    let large = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    let heads = [
        "GET  HTTP/1.1\r\nx\r\n\r\n",
        &large,
        "GET / HTTP/1.1\r\nhost: a",
    ];
    for (index, (head, status)) in heads.into_iter().zip([400, 431, 408]).enumerate() {
        let mut stream = TcpStream::connect(sidecar.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes());
        eventually!(lines(&sidecar).len() == index + 1, "{status}");
        let line = &lines(&sidecar)[index];
        assert_eq!(line["status"], status);
        assert_eq!((&line["method"], &line["path"]), (&"-".into(), &"-".into()));
        assert_eq!(line["attribution"], "caller");
    }
}
