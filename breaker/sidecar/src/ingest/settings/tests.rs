use super::*;

fn url(text: &str) -> Uri {
    text.parse().unwrap()
}

fn settings() -> ReceiverSettings {
    ReceiverSettings {
        grpc: Some("127.0.0.1:4317".parse().unwrap()),
        http: Some("127.0.0.1:4318".parse().unwrap()),
        forward: Some(Forward::to(url("http://collector:4317"), None)),
        ..ReceiverSettings::default()
    }
}

#[test]
fn one_url_is_grpc_unless_its_port_or_its_protocol_says_otherwise() {
    for (text, protocol, is_grpc) in [
        ("http://collector:4317", None, true),
        ("http://collector", None, true),
        ("http://collector:4318", None, false),
        ("http://collector:4318", Some(Protocol::Grpc), true),
        (
            "https://collector/otlp",
            Some(Protocol::HttpProtobuf),
            false,
        ),
    ] {
        let forward = Forward::to(url(text), protocol);
        assert_eq!(
            (forward.grpc.is_some(), forward.http.is_none()),
            (is_grpc, is_grpc),
            "{text}"
        );
    }
}

#[test]
fn settings_that_make_no_sense_name_their_field() {
    assert_eq!(settings().check(), Ok(()));
    let forward = |change: fn(&mut Forward)| {
        let mut settings = settings();
        change(settings.forward.as_mut().unwrap());
        settings
    };
    let limits = |change: fn(&mut Limits)| {
        let mut settings = settings();
        change(&mut settings.limits);
        settings
    };
    for (settings, field) in [
        (ReceiverSettings::default(), "grpc"),
        (limits(|limits| limits.batch = 0), "limits"),
        (limits(|limits| limits.batch = usize::MAX), "limits.batch"),
        (
            limits(|limits| limits.memory = limits.batch),
            "limits.memory",
        ),
        (limits(|limits| limits.idle = Duration::ZERO), "limits"),
        (limits(|limits| limits.body = Duration::MAX), "limits"),
        (
            limits(|limits| limits.grace = Duration::MAX),
            "limits.grace",
        ),
        (
            forward(|forward| forward.retry.max = Duration::MAX),
            "forward",
        ),
        (
            forward(|forward| forward.flush = Duration::MAX),
            "forward.flush",
        ),
        (
            limits(|limits| limits.connections = 0),
            "limits.connections",
        ),
        (forward(|forward| forward.grpc = None), "forward"),
        (
            forward(|forward| forward.grpc = Some(url("collector:4317"))),
            "forward.grpc",
        ),
        (
            forward(|forward| forward.grpc = Some(url("ftp://collector"))),
            "forward.grpc",
        ),
        (
            forward(|forward| forward.grpc = Some(url("http://collector/otlp"))),
            "forward.grpc",
        ),
        (
            forward(|forward| forward.http = Some(url("http://a:b@collector"))),
            "forward.http",
        ),
        (
            forward(|forward| forward.http = Some(url("http://collector?a=b"))),
            "forward.http",
        ),
        (
            forward(|forward| forward.http = Some(url("http://localhost:4318"))),
            "forward.http",
        ),
        (forward(|forward| forward.queue_bytes = 0), "forward.queue"),
        (
            forward(|forward| forward.timeout = Duration::ZERO),
            "forward",
        ),
        (
            forward(|forward| forward.tls.client_key = Some("key".into())),
            "forward.client_certificate",
        ),
    ] {
        assert_eq!(
            settings.check().map_err(|error| error.field),
            Err(field.to_owned())
        );
    }
}

#[test]
fn an_endpoint_that_leads_back_is_seen() {
    for (address, endpoint, leads_back) in [
        ("127.0.0.1:4317", "http://127.0.0.1:4317", true),
        ("127.0.0.1:4317", "http://localhost:4317/v1/metrics", true),
        ("127.0.0.1:4317", "http://LOCALHOST:4317", true),
        ("127.0.0.1:4317", "http://127.0.0.1:4318", false),
        ("127.0.0.1:4317", "http://127.0.0.2:4317", false),
        ("127.0.0.1:4317", "http://collector:4317", false),
        ("127.0.0.1:4317", "http://[::ffff:127.0.0.1]:4317", true),
        ("127.0.0.1:80", "http://127.0.0.1", true),
        ("127.0.0.1:443", "https://127.0.0.1", true),
        ("127.0.0.1:80", "https://127.0.0.1", false),
        ("[::1]:4317", "http://[::1]:4317", true),
        ("0.0.0.0:4317", "http://127.0.0.1:4317", true),
        ("0.0.0.0:4317", "http://localhost:4317", true),
        ("127.0.0.1:4317", "http://0.0.0.0:4317", true),
        // A documentation address: of no machine.
        ("0.0.0.0:4317", "http://192.0.2.1:4317", false),
        ("10.0.0.1:4317", "http://localhost:4317", false),
    ] {
        let addresses = [address.parse().unwrap()];
        assert_eq!(
            loops_back(&addresses, &url(endpoint)),
            leads_back,
            "{address} {endpoint}"
        );
    }
}
