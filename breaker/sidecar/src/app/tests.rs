use std::path::Path;

use super::*;

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
    assert_eq!(app.reloader.proxied(), ["pay".into()]);
}

#[tokio::test]
async fn without_any_upstream_nothing_listens_but_admin() {
    let app = bound(FED);
    assert_eq!(names(&app), ["search"]);
    assert_eq!(app.listen(), None);
    assert_ne!(app.admin().port(), 0);
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
        assert!(app.admin().ip().is_unspecified());
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
