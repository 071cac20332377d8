//! Redis that is more than one server: replicas with a sentinel, and a cluster.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use breaker_tests::{Process, Upstream, eventually, get};
use tempfile::TempDir;
use tokio::time::sleep;

use super::{aggregates, is_connected, member_by, number, redis, term};
use crate::tools::{free_ports, serve};

async fn replica(port: u16, of: u16) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--save", "", "--appendonly", "no"]);
    command.args(["--replicaof", "127.0.0.1", &of.to_string()]);
    command.args(["--repl-diskless-sync-delay", "0"]);
    // Else it leaves a file here.
    command.args(["--repl-diskless-load", "on-empty-db"]);
    let replica = serve(command, port).await;
    eventually!(said(port, &["ROLE"]).await.contains("connected"));
    replica
}

/// What a server answers; nothing if it ends the connection, as one does that becomes a master.
async fn said(port: u16, command: &[&str]) -> String {
    let mut redis = tokio::process::Command::new("redis-cli");
    redis.args(["-p", &port.to_string()]).args(command);
    let output = redis.output().await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A sentinel that watches the master `main`, and may decide alone.
async fn sentinel(folder: &Path, port: u16, master: u16) -> Process {
    let file = folder.join("sentinel.conf");
    let config = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 1\n\
         sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000\n"
    );
    fs::write(&file, config).unwrap();
    let mut command = Command::new("redis-server");
    command.arg(&file).arg("--sentinel");
    serve(command, port).await
}

#[tokio::test]
async fn a_sentinel_leads_to_the_master_and_to_the_next_one() {
    let [first, second, watcher, nobody] = free_ports();
    let master = redis(first).await;
    let _replica = replica(second, first).await;
    let folder = tempfile::tempdir().unwrap();
    let _sentinel = sentinel(folder.path(), watcher, first).await;
    // Only the servers have a user.
    for server in [first, second] {
        said(
            server,
            &[&["ACL", "SETUSER", "shop", "on", ">secret"], RIGHTS].concat(),
        )
        .await;
    }
    eventually!(
        said(watcher, &["SENTINEL", "REPLICAS", "main"])
            .await
            .contains("slave")
    );
    let upstream = Upstream::start().await;
    // The first of them is not there.
    let engine =
        format!("redis+sentinel://shop:secret@127.0.0.1:{nobody},127.0.0.1:{watcher}/main");
    let more = ", allow_remote: true";
    let members = [
        member_by(&upstream, &engine, more).await,
        member_by(&upstream, &engine, more).await,
    ];
    eventually!(aggregates(&members[0]).await || aggregates(&members[1]).await);
    eventually!(term(&members[0]).await > 0.0 && term(&members[1]).await > 0.0);
    let before = term(&members[0]).await;

    drop(master);
    // A sentinel that got no processor for two seconds decides nothing for half a minute.
    for _ in 0..240 {
        if said(second, &["ROLE"]).await.starts_with("master") {
            break;
        }
        sleep(Duration::from_millis(250)).await;
    }
    for member in &members {
        eventually!(is_connected(member).await && term(member).await > before);
        assert_eq!(get(member.url("/")).await.status, 200);
    }
    let both = Some(2.0);
    eventually!(
        number(&members[0], "breaker_fleet_members", &[]).await == both
            || number(&members[1], "breaker_fleet_members", &[]).await == both
    );
}

#[tokio::test]
async fn a_sentinel_that_does_not_know_the_master_is_told_in_the_log() {
    let [first, watcher] = free_ports();
    let _master = redis(first).await;
    let folder = tempfile::tempdir().unwrap();
    let _sentinel = sentinel(folder.path(), watcher, first).await;
    let upstream = Upstream::start().await;
    let engine = format!("redis+sentinel://127.0.0.1:{watcher}/other");
    let mut member = member_by(&upstream, &engine, ", allow_remote: true").await;
    let rule = "no sentinel knows a master of this name";
    let log = member.process();
    log.wait_for("a warning", |log| log.contains(rule).then_some(()))
        .await;
    assert_eq!(get(member.url("/")).await.status, 200);
}

#[tokio::test]
async fn a_replica_that_only_reads_is_told_in_the_log() {
    let [first, second] = free_ports();
    let _master = redis(first).await;
    let _replica = replica(second, first).await;
    let upstream = Upstream::start().await;
    let engine = format!("redis://127.0.0.1:{second}");
    let mut member = member_by(&upstream, &engine, "").await;
    let log = member.process();
    let warned = |log: &str| {
        let is_warned = log.contains("the fleet's engine is gone") && log.contains("read only");
        is_warned.then_some(())
    };
    log.wait_for("a warning", warned).await;
    assert_eq!(get(member.url("/")).await.status, 200);
}

/// A node of a cluster, which has these slots.
async fn node(folder: &TempDir, ports: [u16; 2], slots: [&str; 2]) -> Process {
    let [port, bus] = ports.map(|port| port.to_string());
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port, "--save", ""]);
    command.args(["--cluster-enabled", "yes", "--cluster-port", &bus]);
    command.arg("--dir").arg(folder.path());
    command.args(["--cluster-config-file", &format!("{port}.conf")]);
    let node = serve(command, ports[0]).await;
    said(ports[0], &["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]).await;
    node
}

#[tokio::test]
async fn any_node_of_a_cluster_leads_to_the_one_with_the_slot() {
    let [one, one_bus, other, other_bus] = free_ports();
    let folder = tempfile::tempdir().unwrap();
    let _one = node(&folder, [one, one_bus], ["0", "8191"]).await;
    let _other = node(&folder, [other, other_bus], ["8192", "16383"]).await;
    let (port, bus) = (other.to_string(), other_bus.to_string());
    said(one, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
    for port in [one, other] {
        eventually!(
            said(port, &["CLUSTER", "INFO"])
                .await
                .contains("cluster_state:ok")
        );
    }
    let upstream = Upstream::start().await;
    let mut members = Vec::new();
    for seed in [one, other] {
        let engine = format!("redis+cluster://127.0.0.1:{seed}");
        members.push(member_by(&upstream, &engine, ", allow_remote: true").await);
    }
    let both = Some(2.0);
    eventually!(
        number(&members[0], "breaker_fleet_members", &[]).await == both
            || number(&members[1], "breaker_fleet_members", &[]).await == both
    );
    eventually!(term(&members[0]).await > 0.0);
    assert_eq!(term(&members[0]).await, term(&members[1]).await);
    // It lasts: nobody is sent away.
    sleep(Duration::from_secs(2)).await;
    for member in &mut members {
        assert!(is_connected(member).await);
        let log = member.process().log();
        assert!(!log.contains("engine is gone"), "{log}");
    }
}

/// What docs/fleet.md says that a user needs, with Sentinel.
const RIGHTS: &[&str] = &[
    "~breaker/fleet/v1/*",
    "&breaker/fleet/v1/*",
    "+publish",
    "+subscribe",
    "+unsubscribe",
    "+evalsha",
    "+script|load",
    "+get",
    "+set",
    "+pexpire",
    "+time",
    "+role",
];
