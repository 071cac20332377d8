//! What answers while a breaker is open, and that the route recovers meanwhile.

use std::fs;

use breaker_tests::{Script, Setup, Sidecar, Upstream, breaker, eventually, get};
use serde_json::Value;

use crate::traffic::in_turn;

const LOG: &str = "log: { access: all, file: access.log }";

/// Outcomes of the access log, in order.
fn outcomes(sidecar: &Sidecar) -> Vec<String> {
    let file = sidecar.config_file().with_file_name("access.log");
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| -> Option<String> {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(format!(
            "{} {}",
            line["outcome"].as_str()?,
            line["endpoint"].as_str().unwrap_or("-")
        ))
    };
    text.lines().filter_map(line).collect()
}

async fn run(sidecar: &Sidecar, command: &str) -> String {
    let mut command = breaker([command, "pay"]);
    command.env(
        "BREAKER_ADMIN_URL",
        format!("http://{}", sidecar.admin_address()),
    );
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    String::from_utf8_lossy(&output.unwrap().unwrap().stdout).into_owned()
}

#[tokio::test]
async fn callers_are_served_by_another_upstream_until_their_own_has_recovered() {
    let (own, replica) = (Upstream::start().await, Upstream::start().await);
    own.play(Script::Status(500));
    let (first, second) = (own.address(), replica.address());
    let yaml = format!(
        "listen: 127.0.0.1:0
admin: 127.0.0.1:0
{LOG}
upstreams:
  pay: {{ endpoints: ['http://{first}'] }}
  replica: {{ endpoints: ['http://{second}'] }}
routes:
  - name: pay
    match: {{ path: '/{{*rest}}' }}
    upstream: pay
    policy: {{ base: sensitive, open: {{ for: 1s }} }}
    fallback: {{ upstream: replica }}
"
    );
    let sidecar = Sidecar::start_with(yaml, Vec::new()).await;
    // Twenty fail, and open it: from then on nobody sees a failure.
    assert_eq!(in_turn(&sidecar, 20).await, [500; 20]);
    let answer = get(sidecar.url("/pay/x")).await;
    assert_eq!(answer.status, 200);
    let mark = "breaker; error=destination_unavailable; details=\"answered by fallback replica\"";
    assert_eq!(answer.header("proxy-status"), mark);
    assert!(replica.count() >= 1);
    // A replica that fails is the callers' matter, and not the route's.
    replica.play(Script::Status(500));
    eventually!(get(sidecar.url("/pay/x")).await.status == 500);
    replica.play(Script::Status(200));

    // Its probes go to its own upstream all the while: it recovers.
    own.play(Script::Status(200));
    let recovered = || async {
        let answer = get(sidecar.url("/pay/x")).await;
        assert_eq!(answer.status, 200);
        sidecar.metrics().await.state("pay") == "closed"
    };
    eventually!(recovered().await);
    let before = replica.count();
    assert_eq!(in_turn(&sidecar, 5).await, [200; 5]);
    assert_eq!(replica.count(), before, "the fallback is asked no more");

    let told = run(&sidecar, "status").await;
    assert!(told.contains("upstream replica"), "{told}");
    let explained = run(&sidecar, "explain").await;
    let sentence = "What it rejects is answered by the fallback, upstream replica: ";
    assert!(explained.contains(sentence), "{explained}");
    let metrics = sidecar.metrics().await;
    let requests = |outcome| metrics.requests("pay", outcome);
    assert!(requests("fallback") > 0.0);
    assert_eq!(requests("fallback"), requests("rejected"));
    let by_replica = format!("fallback {second}");
    eventually!(
        outcomes(&sidecar)
            .iter()
            .filter(|line| **line == by_replica)
            .count() as f64
            == requests("fallback")
    );
}

#[tokio::test]
async fn a_fixed_answer_serves_while_the_upstream_is_gone() {
    let own = Upstream::start().await;
    own.play(Script::Status(500));
    let fallback = "fallback: { body: '[]', content_type: application/json }";
    let sidecar = Setup::of(own.address())
        .route(fallback)
        .more(LOG)
        .start()
        .await;
    in_turn(&sidecar, 20).await;
    drop(own);
    for _ in 0..3 {
        let answer = get(sidecar.url("/pay/x")).await;
        assert_eq!((answer.status, &*answer.body), (200, &b"[]"[..]));
        assert_eq!(answer.header("content-type"), "application/json");
    }
    eventually!(
        outcomes(&sidecar)
            .iter()
            .filter(|line| *line == "fallback -")
            .count()
            == 3
    );
    let told = run(&sidecar, "status").await;
    assert!(
        told.contains("3 rejected (3 answered by the fallback)"),
        "{told}"
    );
}
