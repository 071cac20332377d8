use super::export::DEFAULT_TIMEOUT;
use super::*;
use crate::collector::{Compression, Protocol};

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

fn settings(configured: Option<&Configured>, variables: &[(&str, &str)]) -> ExportSettings {
    let settings = resolve(configured, &environment(variables)).unwrap();
    assert_eq!(settings.warnings, [] as [String; 0]);
    settings
}

fn metrics(configured: Option<&Configured>, variables: &[(&str, &str)]) -> Option<Metrics> {
    settings(configured, variables).metrics
}

fn endpoint(variables: &[(&str, &str)]) -> String {
    let metrics = metrics(None, variables).unwrap();
    metrics.export.endpoint.to_string()
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
            metrics(configured, variables).is_some(),
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
    let metrics = metrics(
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
    let export = &metrics.export;
    assert_eq!(export.protocol, Protocol::Grpc);
    assert_eq!(export.headers["authorization"], "Basic YTpi");
    assert_eq!(export.headers["x-team"], "pay");
    assert!(!format!("{export:?}").contains("YTpi"));
    assert_eq!(export.timeout, Duration::from_millis(2500));
    assert_eq!(metrics.interval, Duration::from_secs(3));
    assert_eq!(export.compression, Compression::Gzip);
    assert_eq!(metrics.temporality, Temporality::Delta);
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
    let metrics_of = |configured: &Configured| metrics(Some(configured), &variables).unwrap();
    assert_eq!(
        metrics_of(&Configured::default()).export.timeout,
        Duration::from_secs(1)
    );

    let metrics = metrics_of(&Configured {
        endpoint: Some("http://file:4318".to_owned()),
        interval: Some(Duration::from_secs(7)),
        timeout: Some(Duration::from_secs(8)),
        headers: [crate::collector::header("team", "file").unwrap()]
            .into_iter()
            .collect(),
        ..Configured::default()
    });
    let export = &metrics.export;
    assert_eq!(export.endpoint, "http://file:4318/v1/metrics");
    assert_eq!(export.protocol, Protocol::HttpProtobuf);
    assert_eq!(metrics.interval, Duration::from_secs(7));
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
        metrics(None, &variables).unwrap().export.timeout,
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
    let metrics = settings.metrics.unwrap();
    let export = metrics.export;
    assert_eq!(export.protocol, Protocol::Grpc);
    assert_eq!(export.timeout, DEFAULT_TIMEOUT);
    assert_eq!(metrics.interval, DEFAULT_INTERVAL);
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

#[test]
fn logs_go_where_metrics_go_and_traces_only_when_asked_for() {
    let configured = Configured::default();
    let url = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
    let traces = ("OTEL_TRACES_EXPORTER", "otlp");
    for (configured, variables, exports) in [
        (None, &[][..], [false, false, false]),
        (None, &[url], [true, false, true]),
        (None, &[url, traces], [true, true, true]),
        (None, &[traces], [false, true, false]),
        (Some(&configured), &[], [true, false, true]),
        (
            Some(&configured),
            &[("OTEL_LOGS_EXPORTER", "none"), traces],
            [true, true, false],
        ),
        (
            Some(&configured),
            &[("OTEL_METRICS_EXPORTER", "none")],
            [false, false, true],
        ),
        (
            None,
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4317")],
            [false, false, false],
        ),
        (
            None,
            &[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c:4317")],
            [false, false, true],
        ),
        (
            None,
            &[("OTEL_LOGS_EXPORTER", "otlp")],
            [false, false, true],
        ),
        (
            Some(&configured),
            &[("OTEL_SDK_DISABLED", "true"), traces],
            [false, false, false],
        ),
    ] {
        let settings = settings(configured, variables);
        assert_eq!(
            [
                settings.metrics.is_some(),
                settings.traces.is_some(),
                settings.logs.is_some()
            ],
            exports,
            "{variables:?}"
        );
    }
}

#[test]
fn each_signal_has_its_own_path_and_variables() {
    let of = |endpoint: Option<&str>, variables: &[(&str, &str)]| {
        let configured = Configured {
            endpoint: endpoint.map(str::to_owned),
            ..Configured::default()
        };
        let always = [
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ];
        let settings = settings(Some(&configured), &[variables, &always].concat());
        [
            settings.metrics.unwrap().export,
            settings.traces.unwrap().export,
            settings.logs.unwrap().export,
        ]
        .map(|export| export.endpoint.to_string())
    };
    let all = |base: &str| ["metrics", "traces", "logs"].map(|path| format!("{base}/v1/{path}"));
    assert_eq!(of(None, &[]), all("http://localhost:4318"));
    assert_eq!(of(Some("http://c:1"), &[]), all("http://c:1"));
    assert_eq!(of(Some("http://c:1/v1/metrics"), &[]), all("http://c:1"));
    assert_eq!(
        of(Some("http://c:1/mine"), &[]),
        [
            "http://c:1/mine",
            "http://c:1/mine/v1/traces",
            "http://c:1/mine/v1/logs"
        ]
    );
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1/base/"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:2/spans"),
    ];
    assert_eq!(
        of(None, &variables),
        [
            "http://c:1/base/v1/metrics",
            "http://t:2/spans",
            "http://c:1/base/v1/logs"
        ]
    );
}

#[test]
fn samplers_are_those_of_the_specification() {
    let sampling = |variables: &[(&str, &str)]| {
        let on = [("OTEL_TRACES_EXPORTER", "otlp")];
        let traces = settings(None, &[variables, &on].concat()).traces.unwrap();
        (traces.sampling.share, traces.sampling.follows_parent)
    };
    let arg = ("OTEL_TRACES_SAMPLER_ARG", "0.25");
    for (sampler, expected) in [
        ("", (1.0, true)),
        ("always_on", (1.0, false)),
        ("always_off", (0.0, false)),
        ("traceidratio", (0.25, false)),
        ("parentbased_always_on", (1.0, true)),
        ("parentbased_always_off", (0.0, true)),
        ("parentbased_traceidratio", (0.25, true)),
    ] {
        let name = ("OTEL_TRACES_SAMPLER", sampler);
        assert_eq!(sampling(&[name, arg]), expected, "{sampler}");
    }
    let ratio = ("OTEL_TRACES_SAMPLER", "traceidratio");
    assert_eq!(sampling(&[ratio]), (1.0, false));
}

#[test]
fn batches_are_bounded_and_what_is_beyond_the_bounds_is_ignored() {
    let on = [
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
    ];
    let variables = [
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "700"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "7"),
    ];
    let settings = settings(None, &[&on[..], &variables].concat());
    let (traces, logs) = (settings.traces.unwrap(), settings.logs.unwrap());
    assert_eq!(traces.export.timeout, Duration::from_millis(700));
    let expected = Batches {
        delay: Duration::from_millis(100),
        queue: 64,
        size: 64,
    };
    assert_eq!(traces.batches, expected);
    assert_eq!(logs.export.timeout, DEFAULT_TIMEOUT);
    let expected = Batches {
        delay: DEFAULT_LOG_DELAY,
        queue: DEFAULT_QUEUE,
        size: 7,
    };
    assert_eq!(logs.batches, expected);

    let variables = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100000000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
    ];
    let settings = resolve(None, &environment(&[&on[..], &variables].concat())).unwrap();
    let traces = settings.traces.unwrap();
    assert_eq!(traces.batches.queue, DEFAULT_QUEUE);
    assert_eq!(traces.batches.size, DEFAULT_BATCH);
    assert_eq!(
        traces.sampling,
        Sampling {
            share: 1.0,
            follows_parent: true
        }
    );
    assert_eq!(settings.warnings.len(), 3, "{:?}", settings.warnings);
}
