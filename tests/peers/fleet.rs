//! Sidecars that pool their evidence by way of a real Redis, and of a real NATS.

mod nats;
mod second;
mod secure;
mod settings;
mod several;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use breaker_tests::{Process, Script, Setup, Sidecar, Upstream, breaker, eventually, get};
use tokio::time::{Instant, sleep, sleep_until};

use crate::tools::{free_ports, run, serve};

const REPORTS: &str = "breaker/fleet/v1/{pay}/reports";
const VERDICTS: &str = "breaker/fleet/v1/{pay}/verdicts";

/// A sidecar of the fleet `pay`.
async fn member(upstream: &Upstream, redis: u16, more: &str) -> Sidecar {
    member_by(upstream, &format!("redis://127.0.0.1:{redis}"), more).await
}

/// The same, by this engine.
async fn member_by(upstream: &Upstream, engine: &str, more: &str) -> Sidecar {
    let fleet = format!("fleet: {{ name: pay, engine: '{engine}'{more} }}");
    let setup = Setup::of(upstream.address()).policy("adaptive");
    setup.more(&fleet).start().await
}

async fn redis(port: u16) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--save", "", "--appendonly", "no"]);
    serve(command, port).await
}

async fn publish(port: u16, topic: &str, message: &[u8]) {
    let port = port.to_string();
    run("redis-cli", ["-p", &port, "-x", "PUBLISH", topic], message).await;
}

/// The next message of a topic.
async fn overheard(port: u16, topic: &'static str) -> Vec<u8> {
    let hear = move || {
        let mut redis = TcpStream::connect(("127.0.0.1", port)).unwrap();
        redis
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        redis
            .write_all(format!("SUBSCRIBE {topic}\r\n").as_bytes())
            .unwrap();
        let (mut all, mut some) = (Vec::new(), [0; 4096]);
        let start = format!("$7\r\nmessage\r\n${}\r\n{topic}\r\n$", topic.len()).into_bytes();
        loop {
            let read = redis.read(&mut some).unwrap();
            all.extend_from_slice(&some[..read]);
            let begin = all.windows(start.len()).position(|it| it == start);
            let Some(rest) = begin.map(|begin| &all[begin + start.len()..]) else {
                continue;
            };
            let Some(line) = rest.windows(2).position(|it| it == b"\r\n") else {
                continue;
            };
            let length: usize = std::str::from_utf8(&rest[..line]).unwrap().parse().unwrap();
            if let Some(message) = rest.get(line + 2..line + 2 + length) {
                return message.to_vec();
            }
        }
    };
    tokio::task::spawn_blocking(hear).await.unwrap()
}

/// Why messages are dropped.
const DROPPED: [&str; 8] = [
    "disconnected",
    "full",
    "invalid",
    "malformed",
    "overflow",
    "replayed",
    "too_large",
    "unsigned",
];

async fn number(sidecar: &Sidecar, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    sidecar.metrics().await.sum(name, labels)
}

async fn dropped(sidecar: &Sidecar, reason: &str) -> f64 {
    let labels = [("breaker_fleet_reason", reason)];
    let dropped = number(sidecar, "breaker_fleet_dropped_total", &labels).await;
    dropped.unwrap_or(-1.0)
}

async fn is_connected(sidecar: &Sidecar) -> bool {
    number(sidecar, "breaker_fleet_connected", &[]).await == Some(1.0)
}

async fn term(sidecar: &Sidecar) -> f64 {
    let term = number(sidecar, "breaker_fleet_term", &[]).await;
    term.unwrap_or(0.0)
}

async fn aggregates(sidecar: &Sidecar) -> bool {
    let members = number(sidecar, "breaker_fleet_members", &[]).await;
    members.is_some_and(|members| members > 0.0)
}

#[tokio::test]
async fn a_member_that_was_stopped_follows_nothing_that_was_said_meanwhile() {
    let [port] = free_ports();
    let _redis = redis(port).await;
    let upstream = Upstream::start().await;
    let one = member(&upstream, port, "").await;
    eventually!(aggregates(&one).await);
    let mut other = member(&upstream, port, "").await;
    eventually!(is_connected(&other).await && term(&other).await > 0.0);
    let id = other.process().id().to_string();
    run("kill", ["-STOP", &id], b"").await;
    sleep(Duration::from_secs(4)).await;
    run("kill", ["-CONT", &id], b"").await;
    let stale = [("breaker_fleet_reason", "stale")];
    eventually!(number(&other, "breaker_fleet_ignored_total", &stale).await == Some(1.0));
    eventually!(is_connected(&other).await);
    let log = other.process().log();
    assert!(log.contains("this process stood still"), "{log}");
}

#[tokio::test]
async fn eight_sidecars_open_together_where_one_alone_would_not() {
    let [port] = free_ports();
    let _redis = redis(port).await;
    open_together(&format!("redis://127.0.0.1:{port}")).await;
}

/// 0.2 requests a second each, one after the other; a member counts only after a minute.
async fn open_together(engine: &str) {
    let upstream = Upstream::start().await;
    let began = Instant::now();
    let mut sidecars = Vec::new();
    for _ in 0..8 {
        sidecars.push(member_by(&upstream, engine, "").await);
    }
    let alone = Setup::of(upstream.address()).policy("adaptive");
    let alone = alone.start().await;
    let (healthy, outage) = (Duration::from_secs(66), Duration::from_secs(20));
    let (mut failed, mut opened) = (None, None);
    let each = Duration::from_secs(5) / 8;
    for turn in 0.. {
        sleep_until(began + Duration::from_secs(2) + each * turn).await;
        if failed.is_none() && began.elapsed() >= healthy {
            upstream.play(Script::Status(500));
            failed = Some(Instant::now());
        }
        let index = turn as usize % 8;
        get(sidecars[index].url("/")).await;
        if index == 0 {
            get(alone.url("/")).await;
        }
        let Some(failed) = failed else { continue };
        let mut all = true;
        for sidecar in &sidecars {
            all &= sidecar.metrics().await.state("pay") != "closed";
        }
        if all {
            opened = Some(failed.elapsed());
            break;
        }
        if failed.elapsed() > outage {
            break;
        }
    }
    let opened: Duration = opened.expect("the fleet opens within 20 s");
    let state = alone.metrics().await.state("pay");
    assert_eq!(state, "closed", "all others are open after {opened:?}");
    for sidecar in &sidecars {
        for reason in DROPPED {
            assert_eq!(dropped(sidecar, reason).await, 0.0, "{reason}");
        }
        let text = told(sidecar, &["explain", "pay"]).await;
        assert!(text.contains("last opened this breaker"), "{text}");
        assert!(text.contains("by the evidence of 8 sidecars"), "{text}");
    }
    let page = told(&sidecars[0], &["status", "--fleet"]).await;
    assert!(page.contains("led by the fleet"), "{page}");
}

#[tokio::test]
async fn no_request_fails_when_redis_is_killed_and_it_is_found_again() {
    let [port] = free_ports();
    let engine = format!("redis://127.0.0.1:{port}");
    lose_and_find(&engine, async || redis(port).await).await;
}

/// The engine is killed, and started again.
async fn lose_and_find(engine: &str, start: impl AsyncFn() -> Process) {
    let server = start().await;
    let upstream = Upstream::start().await;
    let mut sidecar = member_by(&upstream, engine, "").await;
    eventually!(term(&sidecar).await > 0.0);
    let before = term(&sidecar).await;
    let ask = async |requests: u32| {
        for _ in 0..requests {
            assert_eq!(get(sidecar.url("/")).await.status, 200);
            sleep(Duration::from_millis(10)).await;
        }
    };
    ask(50).await;
    // It ends as if it had crashed.
    drop(server);
    ask(100).await;
    eventually!(!is_connected(&sidecar).await);
    eventually!(dropped(&sidecar, "disconnected").await > 0.0);
    ask(50).await;
    let _server = start().await;
    eventually!(is_connected(&sidecar).await);
    // It has come back empty, and yet the term grows.
    eventually!(term(&sidecar).await > before);
    ask(50).await;
    let log = sidecar.process().log();
    assert_eq!(
        log.matches("the fleet's engine is gone").count(),
        1,
        "{log}"
    );
}

#[tokio::test]
async fn another_takes_over_from_an_aggregator_that_is_killed() {
    let [port] = free_ports();
    let _redis = redis(port).await;
    take_over(&format!("redis://127.0.0.1:{port}")).await;
}

/// The aggregator is killed.
async fn take_over(engine: &str) {
    let upstream = Upstream::start().await;
    let first = member_by(&upstream, engine, "").await;
    eventually!(aggregates(&first).await);
    let others = [
        member_by(&upstream, engine, "").await,
        member_by(&upstream, engine, "").await,
    ];
    eventually!(term(&others[0]).await > 0.0 && term(&others[1]).await > 0.0);
    let before = term(&first).await;
    assert_eq!(term(&others[0]).await, before);
    assert!(!aggregates(&others[0]).await && !aggregates(&others[1]).await);
    // SIGKILL.
    drop(first);
    eventually!(term(&others[0]).await > before && term(&others[1]).await > before);
    eventually!(aggregates(&others[0]).await != aggregates(&others[1]).await);
}

#[tokio::test]
async fn garbage_long_messages_and_replays_are_dropped_and_counted() {
    let [port] = free_ports();
    let _redis = redis(port).await;
    let upstream = Upstream::start().await;
    let sidecar = member(&upstream, port, "").await;
    eventually!(aggregates(&sidecar).await);
    publish(port, REPORTS, b"garbage").await;
    publish(port, VERDICTS, b"garbage").await;
    eventually!(dropped(&sidecar, "malformed").await == 2.0);
    publish(port, REPORTS, &vec![b'x'; 1 << 20]).await;
    publish(port, VERDICTS, &vec![b'x'; 1 << 20]).await;
    eventually!(dropped(&sidecar, "too_large").await == 2.0);
    let (report, verdict) = (
        overheard(port, REPORTS).await,
        overheard(port, VERDICTS).await,
    );
    publish(port, REPORTS, &report).await;
    eventually!(dropped(&sidecar, "replayed").await == 1.0);
    publish(port, VERDICTS, &verdict).await;
    let replayed = [("breaker_fleet_reason", "replayed")];
    let ignored = "breaker_fleet_ignored_total";
    eventually!(number(&sidecar, ignored, &replayed).await == Some(1.0));
    assert!(is_connected(&sidecar).await && aggregates(&sidecar).await);
    assert_eq!(get(sidecar.url("/")).await.status, 200);
}

#[tokio::test]
async fn members_with_a_key_hear_only_each_other() {
    let [port] = free_ports();
    let _redis = redis(port).await;
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str, byte: u8| {
        let file = folder.path().join(name);
        std::fs::write(&file, [byte; 32]).unwrap();
        format!(", key_file: '{}'", file.display())
    };
    let (ours, other) = (key("ours", b'a'), key("other", b'b'));
    let first = member(&upstream, port, &ours).await;
    eventually!(aggregates(&first).await);
    let second = member(&upstream, port, &ours).await;
    eventually!(number(&first, "breaker_fleet_members", &[]).await == Some(2.0));
    eventually!(term(&second).await > 0.0);
    assert_eq!(dropped(&first, "unsigned").await, 0.0);
    let _stranger = member(&upstream, port, &other).await;
    eventually!(dropped(&first, "unsigned").await > 0.0);
    assert_eq!(
        number(&first, "breaker_fleet_members", &[]).await,
        Some(2.0)
    );
}

/// A JSON document of a sidecar.
async fn document(sidecar: &Sidecar, path: &str) -> serde_json::Value {
    serde_json::from_slice(&get(sidecar.admin_url(path)).await.body).unwrap()
}

/// What a command prints about a sidecar.
async fn told(sidecar: &Sidecar, arguments: &[&str]) -> String {
    let admin = format!("http://{}", sidecar.admin_address());
    let mut command = arguments.to_vec();
    command.extend(["--admin", &admin]);
    let nothing: [&str; 0] = [];
    let program = breaker(nothing).get_program().to_owned();
    run(program, command, b"").await.stdout
}

#[tokio::test]
async fn every_member_tells_of_the_whole_fleet_and_of_an_engine_that_is_gone() {
    let [port] = free_ports();
    let server = redis(port).await;
    let upstream = Upstream::start().await;
    let members = [
        member(&upstream, port, "").await,
        member(&upstream, port, "").await,
    ];
    eventually!(
        document(&members[0], "/api/v1/status").await["fleet"]["members"] == 2
            && document(&members[1], "/api/v1/status").await["fleet"]["members"] == 2
    );
    for _ in 0..3 {
        assert_eq!(get(members[1].url("/")).await.status, 200);
    }
    let mut aggregators = 0;
    for sidecar in &members {
        // An overview comes each second, and may be older than the newest verdict.
        eventually!({
            let page = document(sidecar, "/api/v1/fleet").await;
            page["overview"]["members"].as_array().map(Vec::len) == Some(2)
        });
        let page = document(sidecar, "/api/v1/fleet").await;
        let (fleet, overview) = (&page["fleet"], &page["overview"]);
        assert_eq!(
            (&fleet["connected"], &fleet["fresh"]),
            (&true.into(), &true.into())
        );
        assert_eq!(overview["members"].as_array().unwrap().len(), 2, "{page}");
        assert_eq!(overview["term"], fleet["term"], "{page}");
        let ids = overview["members"].as_array().unwrap();
        for id in [&fleet["instance"], &fleet["aggregator"]["instance"]] {
            assert!(ids.iter().any(|member| member["instance"] == *id), "{page}");
        }
        // They are new, and their counts are no evidence yet.
        assert!(
            ids.iter()
                .all(|member| member["counts_in"].as_f64().unwrap() > 10.0)
        );
        assert!(
            ids.iter()
                .all(|member| !member["host"].as_str().unwrap().is_empty())
        );
        assert_eq!(overview["routes"][0]["name"], "pay");
        aggregators += u32::from(fleet["aggregator"]["here"] == true);
    }
    assert_eq!(aggregators, 1);
    let own = &document(&members[1], "/api/v1/fleet").await["fleet"]["routes"][0]["own"][0];
    assert_eq!(
        (&own["requests"], &own["hits"]),
        (&3.into(), &0.into()),
        "{own}"
    );
    let text = told(&members[1], &["status", "--fleet"]).await;
    for part in [
        "pay by redis://127.0.0.1",
        "connected",
        "aggregates",
        "0 of 3",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let text = told(&members[0], &["explain", "pay"]).await;
    assert!(
        text.contains("Fleet pay: it has nothing against this route."),
        "{text}"
    );

    drop(server);
    for sidecar in &members {
        eventually!(document(sidecar, "/api/v1/status").await["fleet"]["connected"] == false);
        eventually!(document(sidecar, "/api/v1/status").await["fleet"]["fresh"] == false);
        assert_eq!(
            document(sidecar, "/api/v1/fleet").await["overview"],
            serde_json::Value::Null
        );
        let text = told(sidecar, &["status", "--fleet"]).await;
        assert!(
            text.contains("not connected: each breaker is alone"),
            "{text}"
        );
        let text = told(sidecar, &["explain", "pay"]).await;
        assert!(
            text.contains("its engine can't be reached, so this breaker is alone"),
            "{text}"
        );
    }
}
