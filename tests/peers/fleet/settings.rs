//! Passwords of the engine, and reloads of a sidecar that is in a fleet.

use std::fs;
use std::process::Command;

use breaker_tests::{Setup, Sidecar, Upstream, eventually, get, send};
use http::Request;
use http_body_util::Empty;

use super::{aggregates, document, is_connected, number, redis, term};
use crate::tools::{free_ports, serve};

/// A sidecar whose engine is at `user` there.
fn setup(upstream: &Upstream, user: &str, redis: u16) -> Setup {
    let fleet = format!("fleet: {{ name: pay, engine: 'redis://{user}127.0.0.1:{redis}' }}");
    Setup::of(upstream.address())
        .policy("adaptive")
        .more(&fleet)
}

/// Has the sidecar load its configuration again; what it answers.
async fn reload(sidecar: &Sidecar, yaml: &str) -> (u16, String) {
    fs::write(sidecar.config_file(), yaml).unwrap();
    let request = Request::post(sidecar.admin_url("/api/v1/reload"));
    let answer = send(request.body(Empty::new()).unwrap()).await.unwrap();
    (answer.status, answer.text())
}

#[tokio::test]
async fn a_password_is_sent_and_never_shown_and_a_wrong_one_leaves_the_breaker_alone() {
    let [port] = free_ports();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--save", "", "--requirepass", "correct-horse"]);
    let _redis = serve(command, port).await;
    let upstream = Upstream::start().await;
    let right = setup(&upstream, ":${REDIS_PASSWORD}@", port);
    let right = right.env("REDIS_PASSWORD", "correct-horse");
    let mut right = right.start().await;
    eventually!(aggregates(&right).await);
    for user in [":wrong-battery@", ""] {
        let mut wrong = setup(&upstream, user, port).start().await;
        eventually!(wrong.process().log().contains("the fleet's engine is gone"));
        assert!(!is_connected(&wrong).await);
        assert_eq!(get(wrong.url("/")).await.status, 200);
        let status = document(&wrong, "/api/v1/status").await.to_string();
        let told = wrong.process().log() + &status;
        assert!(!told.contains("wrong-battery"), "{told}");
    }
    let status = document(&right, "/api/v1/status").await.to_string();
    let told = right.process().log() + &status;
    assert!(
        told.contains(&format!("redis://127.0.0.1:{port}")),
        "{told}"
    );
    assert!(!told.contains("correct-horse"), "{told}");
    assert_eq!(
        number(&right, "breaker_fleet_members", &[]).await,
        Some(1.0)
    );
}

#[tokio::test]
async fn a_reload_that_changes_the_fleet_is_refused_and_one_that_changes_routes_is_not() {
    let [port] = free_ports();
    let _redis = redis(port).await;
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, [b'k'; 32]).unwrap();
    let before = setup(&upstream, "", port).more("watch: false").yaml();
    let sidecar = Sidecar::start(&before).await;
    eventually!(aggregates(&sidecar).await);
    let first = term(&sidecar).await;
    let key = format!("{port}', key_file: '{}", key.display());
    for (old, new) in [
        ("name: pay, engine", "name: other, engine"),
        ("127.0.0.1:", "localhost:"),
        (
            &*format!("{port}' }}"),
            &*format!("{port}', routes: [pay] }}"),
        ),
        (&*port.to_string(), &*key),
    ] {
        let changed = before.replacen(old, new, 1 + usize::from(old == "127.0.0.1:") * 9);
        assert_ne!(changed, before, "{old}");
        let (status, why) = reload(&sidecar, &changed).await;
        assert_eq!((status, why.contains("fleet")), (422, true), "{new}: {why}");
    }
    let gone = before.lines().filter(|line| !line.starts_with("fleet:"));
    let gone: Vec<_> = gone.collect();
    assert_eq!(reload(&sidecar, &gone.join("\n")).await.0, 422);
    assert!(aggregates(&sidecar).await && term(&sidecar).await == first);

    // Another route: the aggregator begins again, with it.
    let route =
        "  - { name: more, upstream: pay, match: { path: /more }, policy: adaptive }\nfleet:";
    let (status, told) = reload(&sidecar, &before.replacen("fleet:", route, 1)).await;
    assert_eq!(status, 200, "{told}");
    eventually!(term(&sidecar).await > first);
    eventually!({
        let page = document(&sidecar, "/api/v1/fleet").await;
        let routes = page["overview"]["routes"].as_array().cloned();
        let routes = routes.unwrap_or_default();
        routes.len() == 2 && routes[1]["name"] == "more"
    });
}
