//! The same by way of a real NATS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use breaker_tests::{Process, Upstream, eventually, get};
use tempfile::TempDir;
use tokio::time::sleep;

use super::{
    aggregates, document, dropped, is_connected, lose_and_find, member_by, number, open_together,
    take_over, term,
};
use crate::tools::{free_ports, installed, serve};

const REPORTS: &str = "breaker.fleet.v1.pay.reports";
const VERDICTS: &str = "breaker.fleet.v1.pay.verdicts";

/// A server with JetStream, which loses everything when it ends.
async fn nats(port: u16, arguments: &[&str]) -> (Process, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let server = started(port, folder.path(), arguments).await;
    (server, folder)
}

async fn started(port: u16, folder: &Path, arguments: &[&str]) -> Process {
    let mut command = Command::new(installed("venv/bin/nats-server"));
    command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "-js"]);
    command.arg("--store_dir").arg(folder).args(arguments);
    serve(command, port).await
}

fn engine(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

/// A client that has introduced itself.
fn client(port: u16) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut client = BufReader::new(stream);
    let mut info = String::new();
    client.read_line(&mut info).unwrap();
    assert!(info.starts_with("INFO"), "{info}");
    client
        .get_mut()
        .write_all(b"CONNECT {\"verbose\":false}\r\n")
        .unwrap();
    client
}

async fn publish(port: u16, subject: &'static str, message: Vec<u8>) {
    let publish = move || {
        let mut client = client(port);
        let stream = client.get_mut();
        write!(stream, "PUB {subject} {}\r\n", message.len()).unwrap();
        stream.write_all(&message).unwrap();
        stream.write_all(b"\r\nPING\r\n").unwrap();
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        assert_eq!(line, "PONG\r\n");
    };
    tokio::task::spawn_blocking(publish).await.unwrap();
}

/// The next message of a subject.
async fn overheard(port: u16, subject: &'static str) -> Vec<u8> {
    let hear = move || {
        let mut client = client(port);
        write!(client.get_mut(), "SUB {subject} 1\r\n").unwrap();
        loop {
            let mut line = String::new();
            client.read_line(&mut line).unwrap();
            if line.starts_with("MSG ") {
                let length: usize = line.split_whitespace().last().unwrap().parse().unwrap();
                let mut message = vec![0; length];
                client.read_exact(&mut message).unwrap();
                return message;
            }
        }
    };
    tokio::task::spawn_blocking(hear).await.unwrap()
}

#[tokio::test]
async fn eight_sidecars_open_together_by_way_of_nats() {
    let [port] = free_ports();
    let _nats = nats(port, &[]).await;
    open_together(&engine(port)).await;
}

#[tokio::test]
async fn no_request_fails_when_nats_is_killed_and_it_is_found_again() {
    let [port] = free_ports();
    let folder = tempfile::tempdir().unwrap();
    let start = async || started(port, folder.path(), &[]).await;
    lose_and_find(&engine(port), start).await;
}

#[tokio::test]
async fn another_takes_over_the_lease_in_nats() {
    let [port] = free_ports();
    let _nats = nats(port, &[]).await;
    take_over(&engine(port)).await;
}

#[tokio::test]
async fn a_bucket_in_which_leases_never_end_is_refused_by_name() {
    let [port] = free_ports();
    let _nats = nats(port, &[]).await;
    let bucket = br#"{"name":"KV_breaker_fleets","subjects":["$KV.breaker_fleets.>"],
        "retention":"limits","discard":"new","storage":"memory","num_replicas":1,
        "max_msgs_per_subject":1,"max_age":0,"allow_rollup_hdrs":true,"allow_direct":true}"#;
    let create = "$JS.API.STREAM.CREATE.KV_breaker_fleets _INBOX.nobody";
    publish(port, create, bucket.to_vec()).await;
    let upstream = Upstream::start().await;
    let mut sidecar = member_by(&upstream, &engine(port), "").await;
    let refusal = "the bucket breaker_fleets keeps keys for ever";
    eventually!(sidecar.process().log().contains(refusal));
    assert!(!is_connected(&sidecar).await);
    let delete = "$JS.API.STREAM.DELETE.KV_breaker_fleets _INBOX.nobody";
    publish(port, delete, Vec::new()).await;
    eventually!(aggregates(&sidecar).await);
}

#[tokio::test]
async fn what_nats_forbids_ends_the_connection_and_is_told_once() {
    let [port] = free_ports();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nats.conf");
    let rules = format!(
        "authorization {{ users: [ {{ user: shop, password: horse, \
         permissions: {{ publish: {{ deny: [\"{REPORTS}\"] }} }} }} ] }}"
    );
    std::fs::write(&file, rules).unwrap();
    let _nats = nats(port, &["--config", file.to_str().unwrap()]).await;
    let upstream = Upstream::start().await;
    let engine = format!("nats://shop:horse@127.0.0.1:{port}");
    let mut sidecar = member_by(&upstream, &engine, "").await;
    let lost = "the fleet's engine is gone";
    eventually!(sidecar.process().log().matches("in a fleet").count() > 1);
    let log = sidecar.process().log();
    assert!(log.contains("Permissions Violation for Publish"), "{log}");
    assert_eq!(log.matches(lost).count(), 1, "{log}");
}

#[tokio::test]
async fn a_nats_that_is_stopped_leaves_the_breaker_alone() {
    let [port] = free_ports();
    let (nats, _folder) = nats(port, &[]).await;
    let upstream = Upstream::start().await;
    let sidecar = member_by(&upstream, &engine(port), "").await;
    eventually!(aggregates(&sidecar).await);
    let signal = |name: &str| {
        let id = nats.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    };
    signal("-STOP");
    eventually!(!is_connected(&sidecar).await);
    eventually!(!aggregates(&sidecar).await);
    assert_eq!(get(sidecar.url("/")).await.status, 200);
    signal("-CONT");
    eventually!(aggregates(&sidecar).await);
}

#[tokio::test]
async fn garbage_long_messages_and_replays_in_nats_are_dropped_and_counted() {
    let [port] = free_ports();
    let _nats = nats(port, &[]).await;
    let upstream = Upstream::start().await;
    let sidecar = member_by(&upstream, &engine(port), "").await;
    eventually!(aggregates(&sidecar).await);
    // Its subscription follows within half a second.
    sleep(Duration::from_secs(1)).await;
    publish(port, REPORTS, b"garbage".to_vec()).await;
    publish(port, VERDICTS, b"garbage".to_vec()).await;
    eventually!(dropped(&sidecar, "malformed").await == 2.0);
    publish(port, REPORTS, vec![b'x'; 1 << 19]).await;
    publish(port, VERDICTS, vec![b'x'; 1 << 19]).await;
    eventually!(dropped(&sidecar, "too_large").await == 2.0);
    let (report, verdict) = (
        overheard(port, REPORTS).await,
        overheard(port, VERDICTS).await,
    );
    publish(port, REPORTS, report).await;
    eventually!(dropped(&sidecar, "replayed").await == 1.0);
    publish(port, VERDICTS, verdict).await;
    let replayed = [("breaker_fleet_reason", "replayed")];
    let ignored = "breaker_fleet_ignored_total";
    eventually!(number(&sidecar, ignored, &replayed).await == Some(1.0));
    assert!(is_connected(&sidecar).await && aggregates(&sidecar).await);
}

#[tokio::test]
async fn nats_takes_passwords_and_tokens_which_are_never_shown() {
    let upstream = Upstream::start().await;
    for (arguments, right, wrong) in [
        (
            ["--user", "shop", "--pass", "correct-horse"].as_slice(),
            "shop:correct-horse",
            "shop:wrong",
        ),
        (&["--auth", "correct-horse"], "correct-horse", "wrong"),
    ] {
        let [port] = free_ports();
        let _nats = nats(port, arguments).await;
        let engine = |who: &str| format!("nats://{who}@127.0.0.1:{port}");
        let mut right = member_by(&upstream, &engine(right), "").await;
        let mut wrong = member_by(&upstream, &engine(wrong), "").await;
        eventually!(aggregates(&right).await);
        let log = wrong
            .process()
            .wait_for("a warning", |log| {
                log.contains("the fleet's engine is gone")
                    .then(|| log.to_owned())
            })
            .await;
        assert!(log.to_lowercase().contains("authorization"), "{log}");
        assert!(!is_connected(&wrong).await && term(&wrong).await == 0.0);
        assert_eq!(get(wrong.url("/")).await.status, 200);
        let status = document(&right, "/api/v1/status").await.to_string();
        let told = right.process().log() + &status;
        assert!(told.contains(&format!("nats://127.0.0.1:{port}")), "{told}");
        assert!(!told.contains("correct-horse"), "{told}");
    }
}

#[tokio::test]
async fn a_nats_without_jetstream_is_told_to_lack_it() {
    let [port] = free_ports();
    let mut command = Command::new(installed("venv/bin/nats-server"));
    command.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
    let _nats = serve(command, port).await;
    let upstream = Upstream::start().await;
    let mut sidecar = member_by(&upstream, &engine(port), "").await;
    let log = sidecar
        .process()
        .wait_for("a warning", |log| {
            log.contains("the fleet's engine is gone")
                .then(|| log.to_owned())
        })
        .await;
    assert!(log.contains("which needs JetStream"), "{log}");
    assert_eq!(get(sidecar.url("/")).await.status, 200);
}

/// Those that docs/fleet.md names, for the fleet `pay`.
#[tokio::test]
async fn a_nats_user_with_the_documented_rights_can_be_in_a_fleet() {
    let [port] = free_ports();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nats.conf");
    let rights =
        "[\"breaker.fleet.v1.pay.*\", \"$JS.API.>\", \"$KV.breaker_fleets.>\", \"_INBOX.>\"]";
    let users = format!(
        "authorization: {{ users: [{{ user: shop, password: secret,\n\
         permissions: {{ publish: {rights}, subscribe: {rights} }} }}] }}\n"
    );
    std::fs::write(&config, users).unwrap();
    let _nats = nats(port, &["--config", config.to_str().unwrap()]).await;
    let upstream = Upstream::start().await;
    let engine = format!("nats://shop:secret@127.0.0.1:{port}");
    let members = [
        member_by(&upstream, &engine, "").await,
        member_by(&upstream, &engine, "").await,
    ];
    eventually!(
        document(&members[0], "/api/v1/status").await["fleet"]["members"] == 2
            && document(&members[1], "/api/v1/status").await["fleet"]["members"] == 2
    );
    for sidecar in &members {
        let page = document(sidecar, "/api/v1/fleet").await;
        assert_eq!(page["overview"]["term"], page["fleet"]["term"], "{page}");
    }
}
