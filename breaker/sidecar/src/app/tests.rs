use std::path::Path;

use breaker_tower::breaker_core::policy::{LatencyMeasure, Signal};
use breaker_tower::breaker_core::{Baseline, LatencyBounds, SignalBaseline, SourceBaseline};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use crate::config::Token;

const ADDRESSES: &str = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n";
const FED: &str = "telemetry: { receive: {} }\nroutes:\n  - { name: search, feeds: [{ name: es }], mode: forced_open }\n";

fn bound(text: &str) -> App {
    let text = format!("{ADDRESSES}{text}");
    let config = Config::parse(&text, None, Path::new("")).expect("a configuration");
    App::bind(&config, &Environment::default()).expect("free ports")
}

fn names(app: &App) -> Vec<String> {
    let breakers = app.breakers();
    breakers
        .iter()
        .map(|breaker| breaker.name().to_string())
        .collect()
}

#[tokio::test]
async fn a_route_without_an_upstream_has_a_breaker_and_no_place_in_the_proxy() {
    let app = bound(&format!(
        "{FED}  - {{ name: pay, upstream: pay }}\nupstreams: {{ pay: {{ endpoints: [http://127.0.0.1:9] }} }}\n"
    ));
    assert_eq!(names(&app), ["search", "pay"]);
    assert_eq!(
        app.breakers()[0].snapshot().mode,
        breaker_tower::Mode::ForcedOpen
    );
    assert!(app.listen().is_some());
    // The recorder finds names by the positions of the proxy's routes.
    assert_eq!(app.reloader.proxied(), [Arc::<str>::from("pay")]);
}

/// Ten requests a second, a hundred of which are hits in 5000.
fn learned() -> Baseline {
    let bounds = LatencyBounds {
        deadline: Duration::from_secs(1),
        measure: LatencyMeasure::Head,
    };
    let signal = |signal| SignalBaseline::new(signal, 5000.0, 100.0).unwrap();
    let proxy = SourceBaseline::new("proxy", bounds, Signal::ALL.map(signal), vec![90; 600]);
    Baseline::new([proxy.unwrap()])
}

#[tokio::test]
async fn what_was_learned_outlives_a_restart_and_a_version_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let app = |version: &str| {
        let text = format!(
            "{ADDRESSES}state: {}\nupstreams: {{ pay: {{ endpoints: [http://127.0.0.1:9] }} }}\nroutes:\n  - {{ name: pay, upstream: pay, version: {version} }}\n",
            state.display()
        );
        let config = Config::parse(&text, None, Path::new("")).expect("a configuration");
        App::bind(&config, &Environment::default()).expect("free ports")
    };
    let first = app("v1");
    let unlearned = first.breakers()[0].baseline();
    first.breakers()[0].restore_baseline(&learned());
    first
        .run(std::future::ready(()))
        .await
        .expect("a clean end");

    let second = app("v1");
    assert_eq!(second.breakers()[0].baseline(), learned());
    second
        .run(std::future::ready(()))
        .await
        .expect("a clean end");
    assert_eq!(app("v2").breakers()[0].baseline(), unlearned);
}

#[test]
fn a_state_file_in_no_directory_is_an_error_that_names_field_and_rule() {
    let text = format!("{ADDRESSES}state: no/such/state\n{FED}");
    let config = Config::parse(&text, None, Path::new("")).expect("a configuration");
    let error = App::bind(&config, &Environment::default()).unwrap_err();
    let rule = "state: no/such/state must be a file that can be read, in a directory that can be written to: ";
    assert!(error.to_string().starts_with(rule), "{error}");
}

#[tokio::test]
async fn without_any_upstream_nothing_listens_but_admin() {
    let app = bound(FED);
    assert_eq!(names(&app), ["search"]);
    assert_eq!(app.listen(), None);
    assert_ne!(app.admin().tcp().unwrap().port(), 0);
    app.run(std::future::ready(())).await.expect("a clean end");
}

#[tokio::test]
async fn beyond_loopback_the_admin_port_needs_a_token() {
    for admin in ["0.0.0.0:0", "[::]:0"] {
        let text = format!("listen: 127.0.0.1:0\nadmin: \"{admin}\"\n{FED}");
        let config = Config::parse(&text, None, Path::new("")).expect("a configuration");
        let error = App::bind(&config, &Environment::default()).expect_err("no token");
        let rule = "admin: must be a loopback address, or changes must need a token: \
                    set control.token_file, --control-token-file or BREAKER_CONTROL_TOKEN";
        assert_eq!(error.to_string(), rule);
        let config = config.with_token(Token::new("s3cret").expect("a token"));
        let app = App::bind(&config, &Environment::default()).expect("free ports");
        assert!(app.admin().tcp().unwrap().ip().is_unspecified());
    }
}

#[tokio::test]
async fn metrics_are_not_exported_to_where_telemetry_is_received() {
    let text = format!("{ADDRESSES}{FED}").replace("receive: {}", "receive: {}, export: {}");
    let config = Config::parse(&text, None, Path::new("")).expect("a configuration");
    // The default of an export is the default of a receiver.
    let error = App::bind(&config, &Environment::default()).expect_err("a loop");
    let expected = "telemetry must not be exported to http://localhost:4317/, where it is received: a loop; \
                    set telemetry.export.endpoint or OTEL_EXPORTER_OTLP_ENDPOINT to a collector";
    assert_eq!(error.to_string(), expected);
}

/// Reads until `text` has come; what came until then.
async fn read_until(signal: &mut TcpStream, text: &str) -> String {
    let mut told = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&told).contains(text) {
            assert_ne!(signal.read_buf(&mut told).await.unwrap(), 0, "it ended");
        }
    };
    timeout(Duration::from_secs(20), reading).await.expect(text);
    String::from_utf8(told).unwrap()
}

#[tokio::test]
async fn what_happens_to_endpoints_reaches_those_who_watch() {
    let app = bound(
        "upstreams: { ledger: { endpoints: ['http://127.0.0.1:9', 'http://127.0.0.1:10'] } }\n\
         routes:\n  - { name: pay, upstream: ledger }\n",
    );
    let upstreams = app.proxy.as_ref().unwrap().routes().upstreams();
    let admin = app.admin().tcp().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(app.run(async { drop(stopped.await) }));
    let mut signal = TcpStream::connect(admin).await.unwrap();
    let request = "GET /api/v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n";
    signal.write_all(request.as_bytes()).await.unwrap();
    // The report of the breaker names it.
    read_until(&mut signal, "\"upstream\":\"ledger\"").await;

    let set = upstreams[0].instances();
    let id = set.current().0.instances[0].id;
    set.state().eject(id, Duration::from_secs(60), set.now());
    let told = read_until(&mut signal, "\"kind\":\"ejected\"").await;
    for part in ["\"upstream\":\"ledger\"", "\"endpoint\":\"127.0.0.1:"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    drop((stop, signal));
    running.await.unwrap().expect("a clean end");
}
