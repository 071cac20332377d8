mod bench;
mod certificates;
mod configmap;
mod routes;
mod telemetry;
mod workload;

use std::fs;

use super::*;
use bench::{Bench, PAY, eventually};

#[tokio::test]
async fn a_file_that_says_the_same_changes_nothing() {
    let bench = Bench::start(PAY).await;
    let before = bench.reloader.configuration();
    assert_eq!(bench.reload().await, Reloaded::default());
    let after = bench.reloader.configuration();
    assert_eq!(after, before);
    assert_eq!(bench.results(), [0, 1, 0]);
}

#[tokio::test]
async fn what_changed_is_told_by_the_names_of_routes() {
    let bench = Bench::start(PAY).await;
    let hash = bench.reloader.configuration().hash;
    bench.write("  - { name: pay, upstream: app, match: { path: /pay }, timeout: 1s }\n  - { name: new, upstream: app }\n");
    let reloaded = bench.reload().await;
    assert!(reloaded.changed);
    assert_eq!(
        (reloaded.added, reloaded.updated),
        (vec!["new".into()], vec!["pay".into()])
    );
    assert!(reloaded.removed.is_empty());
    bench.write("  - { name: new, upstream: app } # the same\n");
    let reloaded = bench.reload().await;
    assert_eq!(reloaded.removed, ["pay"]);
    assert!(reloaded.added.is_empty() && reloaded.updated.is_empty());
    let configuration = bench.reloader.configuration();
    assert_eq!(configuration.reloads, 2);
    assert_ne!(configuration.hash, hash);
    assert_eq!(bench.results(), [2, 0, 0]);
}

#[tokio::test]
async fn a_bad_file_is_refused_whole_and_the_old_one_keeps_running() {
    let bench = Bench::start(PAY).await;
    let before = bench.reloader.configuration();
    bench.write("  - { name: pay, upstream: app, match: { path: /pay }, policy: conservative }\n  - { name: bad, upstream: nobody }\n");
    let error = bench.reloader.reload().await.expect_err("a bad file");
    let [rule] = error.errors() else {
        panic!("one rule: {error}");
    };
    assert_eq!((rule.field.as_str(), rule.line), ("routes[1].upstream", 8));
    assert_eq!(bench.get("/pay").await, 200);
    assert_eq!(bench.breaker("pay").policy().name(), "sensitive");

    let told = bench.reloader.configuration();
    assert_eq!((&told.hash, told.reloads), (&before.hash, 0));
    let refused = told.error.expect("told");
    assert!(
        refused.detail.contains("breaker.yaml:8:"),
        "{}",
        refused.detail
    );
    let metrics = bench.metrics().await;
    for line in [
        "breaker_config_reloads_total{breaker_config_result=\"refused\"} 1",
        "breaker_config_reloads_total{breaker_config_result=\"applied\"} 0",
        "breaker_config_last_reload_success 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    bench.write(PAY);
    assert!(!bench.reload().await.changed);
    assert_eq!(bench.reloader.configuration(), before, "forgiven");
    assert!(
        bench
            .metrics()
            .await
            .contains("breaker_config_last_reload_success 1")
    );
}

#[tokio::test]
async fn all_errors_of_a_refused_file_are_told_in_one_line() {
    let bench = Bench::start(PAY).await;
    bench.write(
        "  - { name: pay, upstream: nobody, match: { path: /pay } }\n  - { name: bad, upstream: app, timeout: 0s }\n",
    );
    let error = bench.reloader.reload().await.expect_err("a bad file");
    let told = bench.reloader.configuration().error.expect("told").detail;
    assert_eq!(told, error.to_string());
    let errors: Vec<_> = told.split("; ").collect();
    let [first, second] = errors[..] else {
        panic!("two errors: {told}");
    };
    assert!(
        first.ends_with("routes[0].upstream: must name an upstream: app"),
        "{told}"
    );
    assert!(
        second.ends_with("routes[1].timeout: must be 1ms to 1h"),
        "{told}"
    );
}

#[tokio::test]
async fn what_needs_a_restart_is_refused_by_name() {
    let bench = Bench::start(PAY).await;
    bench.write_text(
        &bench
            .text(PAY)
            .replace("workers: 2", "workers: 3\ndrain: 1s"),
    );
    let error = bench
        .reloader
        .reload()
        .await
        .expect_err("a restart is needed");
    assert_eq!(
        error.to_string(),
        "workers, drain cannot change while running: restart"
    );
    assert_eq!(bench.get("/pay").await, 200);
}

#[tokio::test]
async fn another_token_in_the_file_is_seen_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "one").unwrap();
    fs::write(folder.path().join("given"), "given").unwrap();
    let (service, gate) = bench::serve().await;
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\ncontrol: {{ token_file: token }}\n\
         upstreams: {{ app: {{ endpoints: ['http://{service}'] }} }}\nroutes:\n{PAY}"
    );
    fs::write(folder.path().join("breaker.yaml"), text).unwrap();
    let bench = Bench::of(folder, String::new(), (service, gate));
    for (token, reloads) in [("two", 1), ("three", 2)] {
        // As a Secret is replaced: at once.
        let new = bench.folder.path().join("new");
        fs::write(&new, token).unwrap();
        fs::rename(new, bench.folder.path().join("token")).unwrap();
        eventually("reload", || bench.results()[0] == reloads).await;
    }
    // One that can't be used is refused once, told, and the one before stays.
    fs::write(bench.folder.path().join("token"), [0xff, 0xfe]).unwrap();
    eventually("refusal", || bench.results()[2] == 1).await;
    let refused = bench.reloader.configuration().error.expect("told");
    assert!(refused.detail.contains("token_file"), "{}", refused.detail);
    assert!(!refused.detail.contains("three"));
    fs::write(bench.folder.path().join("token"), "four").unwrap();
    eventually("recovery", || bench.results()[0] == 3).await;
    assert_eq!(bench.reloader.configuration().error, None);
    bench.stop().await;
}

#[tokio::test]
async fn another_token_is_followed_and_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("breaker.yaml");
    let text = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\ncontrol: { token_file: token }\n\
                upstreams: { app: { endpoints: [http://127.0.0.1:9] } }\nroutes:\n  - { name: app, upstream: app }\n";
    fs::write(&file, text).unwrap();
    fs::write(folder.path().join("token"), "one").unwrap();
    let config = crate::config::Config::load(&file).unwrap();
    let app = crate::app::App::bind(&config, &crate::telemetry::Environment::default()).unwrap();
    let (reloader, tokens) = (app.reloader(), app.tokens());
    let is = |text: &str| tokens.current() == Some(crate::config::Token::new(text).unwrap());
    assert!(is("one"));
    fs::write(folder.path().join("token"), "two\n").unwrap();
    assert!(reloader.reload().await.unwrap().changed);
    assert!(is("two"));
    for unusable in ["", "two words"] {
        fs::write(folder.path().join("token"), unusable).unwrap();
        reloader.reload().await.expect_err(unusable);
        assert!(is("two"));
    }
    fs::write(&file, text.replace("control: { token_file: token }\n", "")).unwrap();
    let error = reloader.reload().await.expect_err("no token");
    assert_eq!(
        error.to_string(),
        "control cannot change while running: restart"
    );
    assert!(is("two"));
}

#[tokio::test]
async fn a_file_that_is_gone_is_refused() {
    let bench = Bench::start(PAY).await;
    fs::remove_file(bench.file()).unwrap();
    let error = bench.reloader.reload().await.expect_err("no file");
    assert!(error.to_string().ends_with("must exist"), "{error}");
    assert_eq!(bench.get("/pay").await, 200);
}

#[tokio::test]
async fn reloads_at_the_same_time_come_one_after_the_other() {
    let bench = Bench::start(PAY).await;
    bench.write("  - { name: other, upstream: app }\n");
    let reloads = (0..8).map(|_| {
        let reloader = bench.reloader.clone();
        tokio::spawn(async move { reloader.reload().await.unwrap().changed })
    });
    let reloads: Vec<_> = reloads.collect();
    let mut changed = 0;
    for reload in reloads {
        changed += u32::from(reload.await.unwrap());
    }
    assert_eq!(changed, 1);
    assert_eq!(bench.results(), [1, 7, 0]);
}

#[tokio::test]
async fn a_change_in_the_directory_is_seen() {
    let bench = Bench::start_with(true, |_| PAY.to_owned()).await;
    bench.write("  - { name: other, upstream: app }\n");
    eventually("a reload", || bench.results()[0] == 1).await;
    bench.write("  - { name: bad }\n");
    eventually("a refusal", || bench.results()[2] == 1).await;
    // What was refused is not tried again because something else happens there.
    fs::write(bench.folder.path().join("else"), "").unwrap();
    bench.write("  - { name: other, upstream: app }\n  - { name: pay, upstream: app, match: { path: /pay } }\n");
    eventually("another reload", || bench.results()[0] == 2).await;
    assert_eq!(bench.results()[2], 1);
}

#[tokio::test]
async fn watchers_are_told_how_a_reload_ended_whoever_began_it() {
    let bench = Bench::start_with(true, |_| PAY.to_owned()).await;
    // By whoever asks: what changes nothing is no event.
    bench.reload().await;
    bench.write("  - { name: pay, upstream: app, match: { path: /pay }, timeout: 1s }\n  - { name: new, upstream: app }\n");
    eventually("a reload by itself", || bench.results()[0] == 1).await;
    bench.write("  - { name: bad }\n");
    eventually("a refusal", || bench.results()[2] == 1).await;
    let mut told = Vec::new();
    let deadline = tokio::time::Instant::now() + bench::PATIENCE;
    while told.len() < 2 && tokio::time::Instant::now() < deadline {
        told = bench.told("pay").await;
    }
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], "configuration applied: added new; updated pay");
    let begins = "configuration refused: ";
    assert!(told[1].starts_with(begins), "{}", told[1]);
    assert!(told[1].contains("breaker.yaml:7:"), "{}", told[1]);
    assert_eq!(bench.told("new").await, told);
    bench.stop().await;
}

#[tokio::test]
async fn a_policy_is_a_part_of_the_configuration() {
    let bench = Bench::start_with(true, |folder| {
        fs::create_dir(folder.join("policies")).unwrap();
        fs::write(
            folder.join("policies/mine.yaml"),
            "name: mine\nbase: sensitive\n",
        )
        .unwrap();
        "  - { name: pay, upstream: app, policy: mine }\n".to_owned()
    })
    .await;
    let mine = bench.folder.path().join("policies/mine.yaml");
    fs::write(&mine, "name: mine\nbase: sensitive\nmin_requests: 7\n").unwrap();
    eventually("a reload", || {
        bench.breaker("pay").policy().min_requests() == 7
    })
    .await;
    fs::write(&mine, "name: mine\nmin_request: 7\n").unwrap();
    eventually("a refusal", || bench.results()[2] == 1).await;
    let refused = bench.reloader.configuration().error.expect("told").detail;
    assert!(refused.contains("mine.yaml:2:"), "{refused}");
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_reload() {
    let upstream = "http://127.0.0.1:9".parse().expect("a URL");
    let config = crate::config::Config::of_upstream(upstream, breaker_tower::Policy::sensitive())
        .unwrap()
        .with_listen("127.0.0.1:0".parse().unwrap())
        .with_admin("127.0.0.1:0".parse().unwrap());
    let app = crate::app::App::bind(&config, &crate::telemetry::Environment::default()).unwrap();
    let error = app.reloader().reload().await.expect_err("no file");
    assert!(error.to_string().contains("--upstream"), "{error}");
    assert_eq!(app.reloader().configuration().file, None);
}
