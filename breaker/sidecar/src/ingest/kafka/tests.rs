//! Against librdkafka's own mock of a cluster, which is in this process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use rdkafka::Statistics;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::statistics::Broker;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

use super::*;
use crate::ingest::batch::{Accepted, Encoding, Malformed, Sampler};
use crate::ingest::forward::Marker;
use crate::ingest::guard::Guard;
use crate::ingest::intake::SMALL_PAYLOAD;
use crate::ingest::receiver::Receiver;
use crate::ingest::refusal::Reason;
use crate::ingest::settings::{Limits, ReceiverSettings};
use crate::ingest::stats::Stats;

type Cluster = MockCluster<'static, DefaultProducerContext>;

const SPANS: &str = "spans";
const POINTS: &str = "points";

/// Keeps what it is given.
#[derive(Default)]
struct Kept(Mutex<Vec<(Signal, String)>>);

impl Kept {
    fn all(&self) -> MutexGuard<'_, Vec<(Signal, String)>> {
        self.0.lock().unwrap()
    }

    fn texts(&self) -> Vec<String> {
        let mut texts: Vec<_> = self.all().iter().map(|(_, text)| text.clone()).collect();
        texts.sort();
        texts
    }
}

impl Sampler for Kept {
    fn sample(&self, signal: Signal, _: Encoding, payload: &[u8]) -> Result<Accepted, Malformed> {
        let text = str::from_utf8(payload).map_err(|_| Malformed::new("garbage"))?;
        assert_ne!(text, "panic");
        self.all().push((signal, text.to_owned()));
        Ok(Accepted::default())
    }
}

fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(SPANS, 2, 1).unwrap();
    cluster.create_topic(POINTS, 1, 1).unwrap();
    cluster
}

/// A member of the group, with a receiver of its own.
struct Member {
    kept: Arc<Kept>,
    handler: Arc<Handler>,
    stats: Arc<KafkaStats>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn settings(cluster: &Cluster) -> KafkaSettings {
    KafkaSettings {
        brokers: vec![cluster.bootstrap_servers()],
        group: "test".to_owned(),
        traces: vec![SPANS.to_owned()],
        metrics: vec![POINTS.to_owned()],
        reads_all: true,
    }
}

fn handler(kept: Arc<Kept>, limits: Limits) -> Arc<Handler> {
    let (stats, guard) = (Arc::new(Stats::default()), Guard::new(Vec::new()));
    let handler = Handler::new(kept, None, limits, stats, Marker::draw(), guard);
    Arc::new(handler)
}

impl Member {
    fn join(cluster: &Cluster, limits: Limits) -> Self {
        let settings = settings(cluster);
        let kept = Arc::new(Kept::default());
        let handler = handler(kept.clone(), limits);
        let stats = Arc::new(KafkaStats::default());
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(read(settings, handler.clone(), stats.clone(), stopping));
        Self {
            kept,
            handler,
            stats,
            stop,
            task,
        }
    }

    fn refused(&self, reason: Reason) -> u64 {
        self.handler.stats.snapshot().refused(reason)
    }

    async fn leave(self) {
        self.stop.send_replace(true);
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

/// Writes to partitions in turn.
async fn write(cluster: &Cluster, topic: &str, messages: &[&[u8]]) {
    let servers = cluster.bootstrap_servers();
    let (topic, messages) = (topic.to_owned(), messages.to_vec());
    let messages: Vec<Vec<u8>> = messages.into_iter().map(<[u8]>::to_vec).collect();
    let partitions = if topic == SPANS { 2 } else { 1 };
    let write = move || {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", servers);
        let producer: BaseProducer = client.create().unwrap();
        for (index, message) in (0..).zip(&messages) {
            let record = BaseRecord::<(), _>::to(&topic).payload(message);
            producer.send(record.partition(index % partitions)).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    };
    spawn_blocking(write).await.unwrap();
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "no {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// The figures of docs/feeds.md, whose changes are changes there too.
#[test]
fn the_client_is_set_up_as_the_documentation_says() {
    let settings = KafkaSettings {
        brokers: vec!["a:1".to_owned(), "b:2".to_owned()],
        group: "g".to_owned(),
        traces: Vec::new(),
        metrics: Vec::new(),
        reads_all: false,
    };
    let client = settings.client(Limits::default().batch);
    for (field, value) in [
        ("bootstrap.servers", "a:1,b:2"),
        ("auto.offset.reset", "latest"),
        ("auto.commit.interval.ms", "1000"),
        ("enable.auto.offset.store", "false"),
        ("session.timeout.ms", "10000"),
        ("queued.max.messages.kbytes", "16384"),
        ("fetch.max.bytes", "8388608"),
        ("receive.message.max.bytes", "268435456"),
        ("reconnect.backoff.ms", "100"),
        ("reconnect.backoff.max.ms", "10000"),
    ] {
        assert_eq!(client.get(field), Some(value), "{field}");
    }
    assert_eq!(Limits::default().batch, 64 << 20);
}

#[tokio::test]
async fn each_message_is_a_batch_of_what_its_topic_is_for() {
    let cluster = cluster();
    write(&cluster, SPANS, &[b"a", b"b", b"c"]).await;
    write(&cluster, POINTS, &[b"d"]).await;
    let member = Member::join(&cluster, Limits::default());
    eventually("message", || member.kept.all().len() == 4).await;
    assert_eq!(member.kept.texts(), ["a", "b", "c", "d"]);
    assert!(
        member
            .kept
            .all()
            .contains(&(Signal::Metrics, "d".to_owned()))
    );
    let received = member.handler.stats.snapshot();
    assert_eq!(received.signal(Signal::Traces).batches, 3);
    assert_eq!(received.signal(Signal::Metrics).bytes, 1);
    eventually("statistics", || {
        let stats = &member.stats;
        (stats.is_connected(), stats.partitions(), stats.lag()) == (true, 3, Some(0))
    })
    .await;
    member.leave().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_counted_and_passed_over() {
    let cluster = cluster();
    let member = Member::join(&cluster, Limits::default());
    let large = vec![b'x'; 2 * SMALL_PAYLOAD];
    let garbage: &[u8] = &[0xff];
    let messages = [b"a", garbage, b"panic", &[], &large, garbage, b"b"];
    write(&cluster, SPANS, &messages).await;
    eventually("message", || member.kept.all().len() == 4).await;
    assert_eq!(member.refused(Reason::Malformed), 2);
    assert_eq!(member.refused(Reason::Internal), 1);
    member.leave().await;
    // Their offsets are committed too.
    let next = Member::join(&cluster, Limits::default());
    write(&cluster, SPANS, &[b"c"]).await;
    eventually("message", || !next.kept.all().is_empty()).await;
    assert_eq!(next.kept.texts(), ["c"]);
    assert_eq!(next.refused(Reason::Malformed), 0);
    next.leave().await;
}

#[tokio::test]
async fn a_batch_above_the_limit_is_passed_over() {
    let cluster = cluster();
    let limits = Limits {
        batch: 4,
        ..Limits::default()
    };
    let member = Member::join(&cluster, limits);
    write(&cluster, POINTS, &[b"a", b"12345", b"b"]).await;
    eventually("message", || member.kept.texts() == ["a", "b"]).await;
    assert_eq!(member.refused(Reason::TooLarge), 1);
    member.leave().await;
}

#[tokio::test]
async fn while_there_is_no_room_reading_pauses_and_nothing_is_lost() {
    let cluster = cluster();
    let limits = Limits {
        batch: 100,
        memory: 1000,
        ..Limits::default()
    };
    let member = Member::join(&cluster, limits);
    write(&cluster, SPANS, &[b"a"]).await;
    eventually("message", || member.kept.all().len() == 1).await;
    let mut taken = member.handler.overload.admit(0).unwrap();
    taken.grow(1000).unwrap();
    let texts: Vec<_> = (0..50).map(|number| format!("m{number:02}")).collect();
    let messages: Vec<_> = texts.iter().map(String::as_bytes).collect();
    write(&cluster, SPANS, &messages).await;
    eventually("pause", || member.stats.pauses() == 1).await;
    // It is tried again, and another member joins meanwhile: what comes by that is paused too.
    let other = Member::join(&cluster, Limits::default());
    eventually("rebalance", || other.stats.partitions() > 0).await;
    assert_eq!(member.kept.all().len(), 1);
    drop(taken);
    let all = || member.kept.all().len() + other.kept.all().len();
    eventually("rest", || all() == 51).await;
    let mut every = [member.kept.texts(), other.kept.texts()].concat();
    every.sort();
    assert_eq!(every[1..], texts);
    assert_eq!(member.refused(Reason::Overload), 0);
    member.leave().await;
    other.leave().await;
}

#[tokio::test]
async fn who_takes_over_goes_on_where_the_other_left() {
    let cluster = cluster();
    let first = Member::join(&cluster, Limits::default());
    write(&cluster, SPANS, &[b"a", b"b"]).await;
    eventually("message", || first.kept.all().len() == 2).await;
    let second = Member::join(&cluster, Limits::default());
    eventually("rebalance", || {
        let read = [&first, &second].map(|member| member.stats.partitions());
        read.iter().sum::<u64>() == 3 && !read.contains(&0)
    })
    .await;
    write(&cluster, SPANS, &[b"c", b"d"]).await;
    let all = || first.kept.all().len() + second.kept.all().len();
    eventually("message", || all() == 4).await;
    let counted = first.kept.all().len();
    first.leave().await;
    write(&cluster, SPANS, &[b"e", b"f"]).await;
    eventually("message", || second.kept.all().len() + counted == 6).await;
    second.leave().await;
}

#[tokio::test]
async fn a_broker_that_comes_back_is_read_again_and_nothing_twice() {
    let cluster = cluster();
    let member = Member::join(&cluster, Limits::default());
    write(&cluster, SPANS, &[b"a", b"b"]).await;
    eventually("message", || member.kept.all().len() == 2).await;
    cluster.broker_down(1).unwrap();
    eventually("outage", || !member.stats.is_connected()).await;
    assert_eq!(member.stats.lag(), None);
    cluster.broker_up(1).unwrap();
    write(&cluster, SPANS, &[b"c", b"d"]).await;
    eventually("message", || member.kept.all().len() >= 4).await;
    assert_eq!(member.kept.texts(), ["a", "b", "c", "d"]);
    member.leave().await;
}

#[tokio::test]
async fn a_member_without_a_broker_ends_when_it_is_told_to() {
    let cluster = cluster();
    cluster.broker_down(1).unwrap();
    let member = Member::join(&cluster, Limits::default());
    let began = AtomicBool::new(false);
    eventually("turn", || began.swap(true, Ordering::Relaxed)).await;
    member.leave().await;
}

#[tokio::test]
async fn no_metric_stays_as_it_was_when_the_client_fails() {
    let stats = Arc::new(KafkaStats::default());
    let up = Broker {
        state: "UP".to_owned(),
        ..Broker::default()
    };
    let statistics = Statistics {
        brokers: [("b".to_owned(), up)].into(),
        ..Statistics::default()
    };
    assert!(stats.observe(&statistics));
    // Without a topic, there is nothing to subscribe to.
    let settings = KafkaSettings {
        traces: Vec::new(),
        metrics: Vec::new(),
        ..settings(&cluster())
    };
    let handler = handler(Arc::default(), Limits::default());
    let (stop, stopping) = watch::channel(false);
    let task = tokio::spawn(read(settings, handler, stats.clone(), stopping));
    eventually("failure", || !stats.is_connected()).await;
    stop.send_replace(true);
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_member_that_is_dropped_holds_up_nobody() {
    let cluster = cluster();
    let (kept, stats) = (Arc::new(Kept::default()), Arc::new(KafkaStats::default()));
    let handler = handler(kept.clone(), Limits::default());
    let reader = Reader::new(settings(&cluster), handler, stats.clone()).unwrap();
    let (membership, mut has_left) = Membership::new(reader);
    let (_stop, mut stopping) = watch::channel(false);
    write(&cluster, SPANS, &[b"a"]).await;
    tokio::select! {
        _ = membership.run(&mut stopping) => panic!("it goes on"),
        () = eventually("message", || stats.is_connected() && kept.all().len() == 1) => {}
    }
    cluster.broker_round_trip_time(1, SLOW).unwrap();
    drop(membership);
    assert_eq!(has_left.try_recv(), Err(TryRecvError::Empty));
    timeout(PATIENCE, has_left).await.unwrap().unwrap();
    assert!(!stats.is_connected());
}

#[tokio::test]
async fn a_receiver_waits_for_a_broker_that_is_slow_to_let_it_go() {
    let cluster = cluster();
    let receiver = Receiver::bind(ReceiverSettings {
        grpc: None,
        http: None,
        kafka: Some(settings(&cluster)),
        tls: None,
        forward: None,
        cors: Vec::new(),
        limits: Limits {
            grace: Duration::from_millis(1),
            ..Limits::default()
        },
    });
    let receiver = receiver.unwrap();
    let (kept, stats) = (Arc::new(Kept::default()), receiver.kafka().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let run = receiver.run(kept.clone(), async { stopped.await.unwrap() });
    let run = tokio::spawn(run);
    write(&cluster, SPANS, &[b"a"]).await;
    eventually("message", || stats.is_connected() && kept.all().len() == 1).await;
    cluster.broker_round_trip_time(1, SLOW).unwrap();
    stop.send(()).unwrap();
    timeout(PATIENCE, run).await.unwrap().unwrap().unwrap();
    // As of a member that has left, and was not cut off.
    assert!(!stats.is_connected());
}

/// For a round trip: longer than the grace of a receiver, and shorter than it waits.
const SLOW: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);
