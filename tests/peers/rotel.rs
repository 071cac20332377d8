//! rotel, a collector of telemetry: what it received it prints, and that is read here.

use std::collections::BTreeMap;
use std::process::Command;

use breaker_tests::Process;

use crate::tools::{free_ports, installed};

/// A running collector, and where it receives OTLP.
#[derive(Debug)]
pub(crate) struct Collector {
    process: Process,
    grpc: u16,
    http: u16,
}

/// One point of a metric, the last one of its attributes.
type Points = BTreeMap<(String, Vec<(String, String)>), f64>;

/// A span or a log record: its fields and its attributes.
pub(crate) type Item = BTreeMap<String, String>;

impl Collector {
    /// Starts one that keeps what it receives.
    pub(crate) async fn start() -> Self {
        Self::exporting(&["--exporter=blackhole"]).await
    }

    /// Starts one that sends on what it receives, by `grpc` or `http`.
    pub(crate) async fn sending_to(endpoint: &str, protocol: &str) -> Self {
        Self::exporting(&[
            "--exporter=otlp",
            &format!("--otlp-exporter-endpoint={endpoint}"),
            &format!("--otlp-exporter-protocol={protocol}"),
        ])
        .await
    }

    /// Starts one that writes spans to a topic of the broker at this port.
    #[cfg(feature = "kafka")]
    pub(crate) async fn writing_to(port: u16, topic: &str) -> Self {
        Self::exporting(&[
            "--exporter=kafka",
            &format!("--kafka-exporter-brokers=127.0.0.1:{port}"),
            &format!("--kafka-exporter-traces-topic={topic}"),
            "--kafka-exporter-compression=gzip",
        ])
        .await
    }

    async fn exporting(exporter: &[&str]) -> Self {
        let [grpc, http] = free_ports();
        let mut command = Command::new(installed("venv/bin/python"));
        command
            .args(["-c", RUN, "start"])
            .args(exporter)
            .arg(format!("--otlp-grpc-endpoint=127.0.0.1:{grpc}"))
            .arg(format!("--otlp-http-endpoint=127.0.0.1:{http}"))
            .args(["metrics", "traces", "logs"].map(|signal| format!("--debug-log={signal}")))
            .arg("--debug-log-verbosity=detailed");
        let mut process = Process::spawn(command);
        process
            .wait_for("start", |log| log.contains("Starting Rotel").then_some(()))
            .await;
        Self {
            process,
            grpc,
            http,
        }
    }

    /// The endpoint of OTLP over gRPC.
    pub(crate) fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// The endpoint of OTLP over HTTP.
    pub(crate) fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// The sum, over the points of `metric` that have all of `attributes`, of their last values;
    /// of a histogram, of its counts. `None` if there is no such point.
    pub(crate) fn sum(&self, metric: &str, attributes: &[(&str, &str)]) -> Option<f64> {
        let points = points(&self.process.log());
        let mut values = points
            .iter()
            .filter(|((name, own), _)| {
                name == metric
                    && attributes
                        .iter()
                        .all(|(key, value)| own.iter().any(|(k, v)| k == key && v == value))
            })
            .map(|(_, value)| value)
            .peekable();
        values.peek().is_some().then(|| values.sum())
    }

    /// The spans, each by its fields and attributes.
    pub(crate) fn spans(&self) -> Vec<Item> {
        items(&self.process.log(), "Span #")
    }

    /// The log records, each by its fields and attributes.
    pub(crate) fn records(&self) -> Vec<Item> {
        items(&self.process.log(), "LogRecord #")
    }
}

/// Replaces Python by the program that the package holds, so that it has the process id of the
/// child.
const RUN: &str = "import os, pathlib, rotel, sys; \
    agent = str(pathlib.Path(rotel.__file__).with_name('rotel-agent')); \
    os.execv(agent, [agent, *sys.argv[1:]])";

/// Reads rotel's detailed log.
fn points(log: &str) -> Points {
    let mut points = Points::new();
    let mut metric = String::new();
    let mut attributes = Vec::new();
    for line in log.lines() {
        if let Some(name) = line.strip_prefix("     -> Name: ") {
            metric = name.to_owned();
        } else if line == "Data point attributes:" || line.contains("DataPoints #") {
            attributes.clear();
        } else if let Some((key, value)) = line
            .strip_prefix("     -> ")
            .and_then(|attribute| attribute.split_once(": "))
        {
            attributes.push((key.to_owned(), untyped(value).to_owned()));
        } else if let Some(value) = line
            .strip_prefix("Value: ")
            .or_else(|| line.strip_prefix("Count: "))
            .and_then(|value| value.parse().ok())
        {
            // They come in any order.
            attributes.sort();
            points.insert((metric.clone(), attributes.clone()), value);
        }
    }
    points
}

/// Reads what begins with `head` and a number, up to what begins next.
fn items(log: &str, head: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut is_within = false;
    for line in log.lines() {
        if line.starts_with(head) {
            is_within = true;
            items.push(Item::new());
        } else if line.starts_with("Resource") {
            is_within = false;
        } else if let Some(item) = items.last_mut().filter(|_| is_within)
            && let Some((key, value)) = line.trim_start().split_once(": ")
        {
            let key = key.trim_start_matches("-> ").trim_end();
            // Events come last; what they say must not hide what the span says.
            item.entry(key.to_owned())
                .or_insert_with(|| untyped(value).to_owned());
        }
    }
    items
}

/// The value of `Str(value)`, or what is without a type.
fn untyped(value: &str) -> &str {
    value
        .split_once('(')
        .map_or(value, |(_, inner)| inner.trim_end_matches(')'))
}

#[test]
fn reads_numbers_and_histograms() {
    let log = "Metric #0\nDescriptor:\n     -> Name: breaker.requests\n     -> Unit: \n\
               NumberDataPoints #0\nData point attributes:\n     -> outcome: Str(failure)\nValue: 7\n\
               Metric #1\nDescriptor:\n     -> Name: duration\n     -> Unit: s\n\
               ExponentialHistogramDataPoints #0\nData point attributes:\n     -> http.response.status_code: Int(200)\n\
               \x20    -> http.route: Str(pay)\nCount: 19\nBucket (1, 2], Count: 9\n\
               ExponentialHistogramDataPoints #0\nData point attributes:\n     -> http.route: Str(pay)\n\
               \x20    -> http.response.status_code: Int(200)\nCount: 20\nBucket (1, 2], Count: 9\n";
    let points = points(log);
    let number = (
        "breaker.requests".into(),
        vec![("outcome".into(), "failure".into())],
    );
    let histogram = (
        "duration".into(),
        vec![
            ("http.response.status_code".into(), "200".into()),
            ("http.route".into(), "pay".into()),
        ],
    );
    assert_eq!(points, Points::from([(number, 7.0), (histogram, 20.0)]));
}

#[test]
fn reads_spans_and_log_records() {
    let log = "Span #0\n    Trace ID       : 0af7\n    Name           : GET pay\nAttributes:\n     -> url.path: Str(/x)\n\
               ResourceLog #0\nResource attributes:\n     -> service.name: Str(breaker)\nLogRecord #0\n\
               EventName: breaker.transition\nAttributes:\n     -> breaker.samples: Int(20)\n";
    let item = |fields: &[(&str, &str)]| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        fields.iter().map(owned).collect::<Item>()
    };
    let span = item(&[
        ("Trace ID", "0af7"),
        ("Name", "GET pay"),
        ("url.path", "/x"),
    ]);
    let record = item(&[
        ("EventName", "breaker.transition"),
        ("breaker.samples", "20"),
    ]);
    assert_eq!(items(log, "Span #"), [span]);
    assert_eq!(items(log, "LogRecord #"), [record]);
}
