use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use breaker_tower::breaker_core::Event;
use breaker_tower::breaker_core::policy::yaml;
use breaker_tower::{Policy, State};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::*;
use crate::app::App;
use crate::backtest::{Backtest, Options};
use crate::config::Config;
use crate::telemetry::Environment;

fn settings(folder: &tempfile::TempDir) -> RecordingSettings {
    RecordingSettings::new(folder.path().join("trace.jsonl"))
}

fn exchange(latency: u64, status: Option<StatusCode>, classification: Classification) -> Exchange {
    Exchange {
        route: 0,
        started: Instant::now(),
        latency: Duration::from_millis(latency),
        status,
        classification,
        timed_out: false,
    }
}

#[test]
fn requests_are_written_as_a_backtest_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    for _ in 0..2 {
        let (recording, unwritten) = Recording::open(&settings).unwrap();
        let writing = unwritten.start().unwrap();
        let recording = recording.of_routes(&[r#"a "b""#.into()]);
        recording.record(&exchange(23, Some(StatusCode::OK), Classification::Success));
        recording.record(&exchange(5, None, Classification::Ignored));
        drop(recording);
        writing.join();
    }
    let text = fs::read_to_string(&settings.file).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "what there was is kept: {text}");
    let end = r#","route":"a \"b\"","latency":0.023000,"status":200}"#;
    assert!(
        lines[0].starts_with(r#"{"t":1"#) && lines[0].ends_with(end),
        "{text}"
    );
    assert!(
        lines[1].ends_with(r#""latency":0.005000,"outcome":"ignored"}"#),
        "{text}"
    );
}

#[test]
fn files_are_rotated_and_only_so_many_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for (rotate, expected) in [(2, vec!["7\n8\n", "5\n6\n", "3\n4\n"]), (0, vec!["7\n8\n"])] {
        let settings = RecordingSettings {
            file: folder.path().join(format!("trace{rotate}")),
            max_size: 4,
            rotate,
        };
        let mut files = Files::open(&settings).unwrap();
        for line in 1..=8 {
            files.write(format!("{line}\n").as_bytes()).unwrap();
        }
        let names =
            [".0", ".1", ".2", ".3"].map(|end| format!("trace{rotate}{end}").replace(".0", ""));
        let found: Vec<_> = names
            .iter()
            .filter_map(|name| fs::read_to_string(folder.path().join(name)).ok())
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn what_the_disk_does_not_keep_up_with_is_dropped_and_counted() {
    let (sender, receiver) = sync_channel(1);
    let recording = Recording {
        sender,
        routes: ["all".into(), "other".into()].into(),
        dropped: Arc::default(),
        clock: Clock::now(),
    };
    for _ in 0..5 {
        recording.record(&exchange(1, None, Classification::Success));
    }
    assert_eq!(recording.dropped.load(Ordering::Relaxed), 4);
    drop(receiver);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let settings = RecordingSettings::new(folder.path().to_owned());
    assert!(Recording::open(&settings).is_err());
}

/// Answers 500 from a second after `began` on, and never does to `/hang`.
async fn service(began: Instant) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, began));
        }
    });
    address
}

async fn serve(mut socket: TcpStream, began: Instant) {
    let mut request = Vec::new();
    while socket
        .read_buf(&mut request)
        .await
        .is_ok_and(|read| read > 0)
    {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        request.clear();
        sleep(Duration::from_millis(10)).await;
        let status = if began.elapsed() < Duration::from_secs(1) {
            "200 OK"
        } else {
            "500 Broken"
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_backtest_of_a_recording_trips_when_the_live_breaker_did_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let began = Instant::now();
    let upstream = format!("http://{}", service(began).await).parse().unwrap();
    let config = Config::of_upstream(upstream, Policy::sensitive())
        .unwrap()
        .with_listen("127.0.0.1:0".parse().unwrap())
        .with_admin("127.0.0.1:0".parse().unwrap());
    let mut app = App::bind(&config, &Environment::default()).unwrap();
    app.record(&settings).unwrap();
    let breaker = app.breakers()[0].clone();
    let mut events = breaker.subscribe();
    let proxy = app.listen().unwrap().tcp().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let sidecar = tokio::spawn(app.run(async { drop(stopped.await) }));

    // 100 requests a second for 2.5 s.
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let first_sent = breaker.now();
    let mut ticks = interval(Duration::from_millis(10));
    let mut requests = JoinSet::new();
    for _ in 0..250 {
        ticks.tick().await;
        let request = Request::get(format!("http://{proxy}/work")).body(Empty::new());
        let answer = client.request(request.unwrap());
        requests.spawn(async move { answer.await.unwrap().into_body().collect().await.unwrap() });
    }
    requests.join_all().await;
    let event = timeout(Duration::from_secs(10), events.recv())
        .await
        .unwrap();
    let Some(Event::Transition(live)) = event else {
        panic!("the breaker trips: {event:?}");
    };
    let snapshot = breaker.snapshot();
    drop(stop);
    sidecar.await.unwrap().unwrap();

    let mut backtest = Backtest::new(Options::new(vec![("live".to_owned(), Policy::sensitive())]));
    backtest
        .read_files(&[&settings.file], |problem| panic!("{problem}"))
        .unwrap();
    let findings = backtest.finish();
    let admitted = snapshot.totals.success + snapshot.totals.failure;
    assert_eq!(
        findings.policies[0].report.requests, admitted,
        "the rejected ones are not recorded"
    );
    assert!(snapshot.totals.rejected > 0);

    let (_, trip) = findings.policies[0].transitions().next().unwrap();
    assert_eq!((trip.from, trip.to), (State::Closed, State::Open));
    assert_eq!(trip.reason.label(), live.reason.label());
    let (begin, _) = findings.span.unwrap();
    let (live_after, replayed_after) = (
        live.at.saturating_since(first_sent),
        trip.at.saturating_since(begin),
    );
    let apart = live_after.abs_diff(replayed_after);
    assert!(
        apart < Duration::from_secs(1),
        "live {live_after:?}, replayed {replayed_after:?}"
    );
}

/// Runs the sidecar on `config` and records what `ask` does with its address.
async fn recorded<F: Future<Output = ()>>(
    settings: &RecordingSettings,
    config: Config,
    ask: impl FnOnce(SocketAddr) -> F,
) -> String {
    let config = config
        .with_listen("127.0.0.1:0".parse().unwrap())
        .with_admin("127.0.0.1:0".parse().unwrap());
    let mut app = App::bind(&config, &Environment::default()).unwrap();
    app.record(settings).unwrap();
    let proxy = app.listen().unwrap().tcp().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let sidecar = tokio::spawn(app.run(async { drop(stopped.await) }));
    ask(proxy).await;
    drop(stop);
    sidecar.await.unwrap().unwrap();
    fs::read_to_string(&settings.file).unwrap()
}

#[tokio::test]
async fn a_backtest_knows_which_recorded_requests_a_timeout_ended() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let config = format!(
        "upstreams: {{ shop: {{ endpoints: ['http://{}'] }} }}\n\
         routes: [{{ name: pay, upstream: shop, timeout: 200ms, mode: shadow }}]\n",
        silent.local_addr().unwrap()
    );
    let config = Config::parse(&config, None, folder.path()).unwrap();
    let text = recorded(&settings, config, |proxy| async move {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let mut requests = JoinSet::new();
        for _ in 0..20 {
            let request = Request::get(format!("http://{proxy}/")).body(Empty::new());
            requests.spawn(client.request(request.unwrap()));
        }
        for answer in requests.join_all().await {
            assert_eq!(answer.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
        }
    })
    .await;
    let end = r#","outcome":"failure","timed_out":true}"#;
    assert_eq!(
        text.lines().filter(|line| line.ends_with(end)).count(),
        20,
        "{text}"
    );

    let policy = "name: late\nbase: sensitive\ntrip: [{ timeout_rate: 50% }]\n";
    let policy = yaml::parse(policy, None).unwrap();
    let mut backtest = Backtest::new(Options::new(vec![("late".to_owned(), policy)]));
    backtest
        .read_files(&[&settings.file], |problem| panic!("{problem}"))
        .unwrap();
    let findings = backtest.finish();
    assert_eq!(findings.policies[0].report.trips, 1, "{text}");
}

#[tokio::test]
async fn a_request_whose_caller_leaves_before_the_answer_is_recorded_as_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let upstream = format!("http://{}", silent.local_addr().unwrap())
        .parse()
        .unwrap();
    let config = Config::of_upstream(upstream, Policy::sensitive()).unwrap();
    let text = recorded(&settings, config, |proxy| async move {
        let mut caller = TcpStream::connect(proxy).await.unwrap();
        caller
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        let (mut reached, _) = silent.accept().await.unwrap();
        assert!(reached.read(&mut [0; 1024]).await.unwrap() > 0);
        drop(caller);
        assert_eq!(
            reached.read_to_end(&mut Vec::new()).await.unwrap_or(0),
            0,
            "it is given up"
        );
    })
    .await;
    assert!(text.ends_with("\"outcome\":\"ignored\"}\n"), "{text}");
}
