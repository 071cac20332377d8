use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

fn export(configured: Option<&Configured>, variables: &[(&str, &str)]) -> Option<Export> {
    let settings = resolve(configured, &environment(variables)).unwrap();
    assert_eq!(settings.warnings, [] as [String; 0]);
    settings.export
}

fn endpoint(variables: &[(&str, &str)]) -> String {
    export(None, variables).unwrap().endpoint.to_string()
}

#[test]
fn nothing_is_exported_unless_it_is_asked_for() {
    let configured = Configured::default();
    let url = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
    for (configured, variables, exports) in [
        (None, &[][..], false),
        (None, &[("OTEL_SERVICE_NAME", "pay")], false),
        (None, &[url], true),
        (
            None,
            &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://c:4317")],
            true,
        ),
        (None, &[("OTEL_METRICS_EXPORTER", "otlp")], true),
        (None, &[("OTEL_METRICS_EXPORTER", "prometheus,otlp")], true),
        (None, &[url, ("OTEL_METRICS_EXPORTER", "prometheus")], false),
        (Some(&configured), &[], true),
        (Some(&configured), &[("OTEL_METRICS_EXPORTER", "")], true),
        (
            Some(&configured),
            &[("OTEL_METRICS_EXPORTER", "none")],
            false,
        ),
        (Some(&configured), &[("OTEL_SDK_DISABLED", "True")], false),
        (Some(&configured), &[("OTEL_SDK_DISABLED", "yes")], true),
    ] {
        assert_eq!(
            export(configured, variables).is_some(),
            exports,
            "{variables:?}"
        );
    }
}

#[test]
fn a_base_url_gets_the_path_of_metrics_and_a_whole_one_does_not() {
    const HTTP: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const METRICS: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    const ON: (&str, &str) = ("OTEL_METRICS_EXPORTER", "otlp");
    for (variables, url) in [
        (&[HTTP, (ALL, "http://c:1")][..], "http://c:1/v1/metrics"),
        (&[HTTP, (ALL, "http://c:1/")], "http://c:1/v1/metrics"),
        (
            &[HTTP, (ALL, "https://c/otlp/")],
            "https://c/otlp/v1/metrics",
        ),
        (&[HTTP, (METRICS, "http://c:1/mine")], "http://c:1/mine"),
        (&[HTTP, (METRICS, "http://c:1")], "http://c:1/"),
        (
            &[HTTP, (METRICS, "http://m:1/"), (ALL, "http://c:1")],
            "http://m:1/",
        ),
        (&[(ALL, "http://c:4318")], "http://c:4318/v1/metrics"),
        (&[(ALL, "http://c:4317")], "http://c:4317/"),
        (&[(ALL, "c:4317")], "https://c:4317/"),
        (
            &[(ALL, "c:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", "true")],
            "http://c:4317/",
        ),
        (&[ON], "http://localhost:4317/"),
        (&[ON, HTTP], "http://localhost:4318/v1/metrics"),
    ] {
        assert_eq!(endpoint(variables), url, "{variables:?}");
    }
}

#[test]
fn an_endpoint_that_is_no_url_is_an_error() {
    let broken = environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://c")]);
    assert_eq!(
        resolve(None, &broken).unwrap_err().to_string(),
        "OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL with the scheme http or https, got \"ftp://c\""
    );
}

#[test]
fn every_variable_is_read() {
    let export = export(
        None,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Basic%20YTpi, x-team = pay",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/me.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/me.key"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "3000"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta"),
        ],
    )
    .unwrap();
    assert_eq!(export.protocol, Protocol::Grpc);
    assert_eq!(export.headers["authorization"], "Basic YTpi");
    assert_eq!(export.headers["x-team"], "pay");
    assert!(!format!("{export:?}").contains("YTpi"));
    assert_eq!(export.timeout, Duration::from_millis(2500));
    assert_eq!(export.interval, Duration::from_secs(3));
    assert_eq!(export.compression, Compression::Gzip);
    assert_eq!(export.temporality, Temporality::Delta);
    assert_eq!(export.certificate, Some("/ca.pem".into()));
    assert_eq!(export.client_certificate, Some("/me.pem".into()));
    assert_eq!(export.client_key, Some("/me.key".into()));
}

#[test]
fn the_variable_for_metrics_goes_before_that_for_all_signals_and_the_configuration_before_both() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "1000"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "3000"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "team=environment,more=yes"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://environment:4317"),
    ];
    let export_of = |configured: &Configured| export(Some(configured), &variables).unwrap();
    assert_eq!(
        export_of(&Configured::default()).timeout,
        Duration::from_secs(1)
    );

    let export = export_of(&Configured {
        endpoint: Some("http://file:4318".to_owned()),
        interval: Some(Duration::from_secs(7)),
        timeout: Some(Duration::from_secs(8)),
        headers: vec![("team".to_owned(), "file".to_owned())],
        ..Configured::default()
    });
    assert_eq!(export.endpoint, "http://file:4318/v1/metrics");
    assert_eq!(export.protocol, Protocol::HttpProtobuf);
    assert_eq!(export.interval, Duration::from_secs(7));
    assert_eq!(export.timeout, Duration::from_secs(8));
    assert_eq!(export.headers["team"], "file");
    assert_eq!(export.headers["more"], "yes");
}

#[test]
fn the_longest_time_of_an_export_bounds_its_timeout() {
    let variables = [
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "700"),
    ];
    assert_eq!(
        export(None, &variables).unwrap().timeout,
        Duration::from_millis(700)
    );
}

#[test]
fn what_cannot_be_understood_is_ignored_with_a_warning() {
    let settings = resolve(
        None,
        &environment(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret,a=b"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ]),
    )
    .unwrap();
    let export = settings.export.unwrap();
    assert_eq!(export.protocol, Protocol::Grpc);
    assert_eq!(export.timeout, DEFAULT_TIMEOUT);
    assert_eq!(export.interval, DEFAULT_INTERVAL);
    assert_eq!(export.headers["a"], "b");
    let warned = settings.warnings.join("\n");
    for variable in ["PROTOCOL", "TIMEOUT", "HEADERS", "INTERVAL"] {
        assert!(warned.contains(variable), "{warned}");
    }
    assert!(!warned.contains("secret"), "{warned}");
}

#[test]
fn the_service_is_named_by_its_variable_before_the_resource_attributes() {
    let settings = resolve(
        None,
        &environment(&[
            ("OTEL_SERVICE_NAME", "pay"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=other,deployment.environment.name=a%2Cb",
            ),
            (
                "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
                "explicit_bucket_histogram",
            ),
        ]),
    )
    .unwrap();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        settings.resource,
        [
            pair("deployment.environment.name", "a,b"),
            pair("service.name", "pay")
        ]
    );
    assert_eq!(settings.histograms, Histograms::Explicit);
}
