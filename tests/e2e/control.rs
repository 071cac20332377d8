//! An operator at a terminal, and a running sidecar.

use std::fs;
use std::process::Output;

use breaker_tests::{Metrics, Setup, Sidecar, Upstream, breaker, eventually, free_address, get};
use serde_json::Value;

/// The command with its arguments, of the sidecar at this address.
async fn run(sidecar: &Sidecar, arguments: &[&str]) -> Output {
    run_with(sidecar, arguments, &[]).await
}

async fn run_with(sidecar: &Sidecar, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = breaker(arguments);
    command.env(
        "BREAKER_ADMIN_URL",
        format!("http://{}", sidecar.admin_address()),
    );
    command.envs(variables.iter().copied());
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.unwrap().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn an_operator_opens_a_breaker_for_a_while_and_lets_the_policy_decide_again() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let opened = stdout(&run(&sidecar, &["open", "pay", "--for", "10m"]).await);
    let expected = "pay is open, mode forced_open for 10m\n";
    assert_eq!(opened, expected);
    assert_eq!(get(sidecar.url("/")).await.status, 503);
    stdout(&run(&sidecar, &["close", "pay"]).await);
    assert_eq!(get(sidecar.url("/")).await.status, 200);
    let shadow: Value =
        serde_json::from_str(&stdout(&run(&sidecar, &["shadow", "pay", "--json"]).await)).unwrap();
    assert_eq!(shadow["mode"], "shadow");
    let auto = stdout(&run(&sidecar, &["auto", "pay"]).await);
    assert!(auto.starts_with("pay is closed, mode auto"), "{auto}");
    let reset = stdout(&run(&sidecar, &["reset", "pay"]).await);
    assert_eq!(reset, "pay is closed, mode auto\n");
}

#[tokio::test]
async fn several_routes_or_all_are_changed_at_once_and_a_reason_is_told() {
    let upstream = Upstream::start().await;
    let search = "  - { name: search, match: { path: /search }, upstream: pay }";
    let sidecar = Setup::of(upstream.address()).more(search).start().await;
    let opened = stdout(&run(&sidecar, &["open", "pay", "search", "--reason", "game day"]).await);
    let line = |name: &str| format!("{name} is open, mode forced_open\n");
    assert_eq!(opened, line("pay") + &line("search"));
    let closed = stdout(&run(&sidecar, &["auto", "--all", "--json"]).await);
    let closed: Value = serde_json::from_str(&closed).unwrap();
    assert_eq!(closed["breakers"].as_array().map(Vec::len), Some(2));
    let half = run(&sidecar, &["open", "paj", "search"]).await;
    assert!(failure(&half).contains("did you mean pay?"));
    assert_eq!(
        String::from_utf8_lossy(&half.stdout),
        line("search"),
        "the other is changed"
    );
    for wrong in [&["open"][..], &["open", "pay", "--all"]] {
        let wrong = run(&sidecar, wrong).await;
        assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    }
    let history = get(sidecar.admin_url("/api/v1/breakers/pay/history"))
        .await
        .text();
    assert!(history.contains("forced_open: game day"), "{history}");
}

#[tokio::test]
async fn status_is_a_table_and_of_one_route_all_that_is_known() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    get(sidecar.url("/")).await;
    let table = stdout(&run(&sidecar, &["status"]).await);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("ROUTE  STATE "), "{table}");
    assert!(lines[1].starts_with("pay    closed"), "{table}");
    assert!(!table.contains('\u{1b}'), "no colours in a pipe");
    let one = stdout(&run(&sidecar, &["status", "pay"]).await);
    assert!(one.contains("1 succeeded, 0 failed"), "{one}");
    let json: Value =
        serde_json::from_str(&stdout(&run(&sidecar, &["status", "--json"]).await)).unwrap();
    assert_eq!(json["breakers"][0]["name"], "pay");
    let unknown = failure(&run(&sidecar, &["status", "paj"]).await);
    assert_eq!(unknown, "no breaker is called 'paj'; did you mean pay?\n");
}

#[tokio::test]
async fn a_policy_is_shown_put_in_force_from_a_file_and_dropped() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let shown = stdout(&run(&sidecar, &["policy", "pay"]).await);
    assert!(
        shown.starts_with("# pay: sensitive by the configuration\nname: sensitive\n"),
        "{shown}"
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("strict.yaml");
    // What is shown is a policy's file.
    fs::write(&file, shown.replace("8%", "50%")).unwrap();
    let file = file.to_str().unwrap();
    let set = stdout(&run(&sidecar, &["policy", "pay", "--set", file]).await);
    assert!(set.contains("error_rate: 50%"), "{set}");

    fs::write(file, "name: strict\ntrip:\n  - error_rate: 8\n").unwrap();
    let bad = failure(&run(&sidecar, &["policy", "pay", "--set", file]).await);
    let rule = "strict.yaml:3:17: trip[0].error_rate: must be a share: write 8% or 0.08\n";
    assert!(bad.ends_with(rule), "{bad}");
    let unknown = failure(&run(&sidecar, &["policy", "pay", "--set", "sensitiv"]).await);
    assert_eq!(
        unknown,
        "name: must name a policy; did you mean sensitive?\n"
    );
    let dropped = stdout(&run(&sidecar, &["policy", "pay", "--drop"]).await);
    assert_eq!(dropped, shown);
}

#[tokio::test]
async fn with_a_token_only_who_has_it_changes_anything() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address())
        .env("BREAKER_CONTROL_TOKEN", "s3cret")
        .start()
        .await;
    let none = failure(&run(&sidecar, &["open", "pay"]).await);
    let expected =
        "changes need the control token: give it by --token-file or BREAKER_CONTROL_TOKEN\n";
    assert_eq!(none, expected);
    let token = |token| [("BREAKER_CONTROL_TOKEN", token)];
    let wrong = failure(&run_with(&sidecar, &["open", "pay"], &token("secret")).await);
    assert_eq!(wrong, "this is not the control token\n");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, "s3cret\n").unwrap();
    let arguments = ["open", "pay", "--token-file", file.to_str().unwrap()];
    stdout(&run(&sidecar, &arguments).await);
    stdout(&run_with(&sidecar, &["auto", "pay"], &token("s3cret")).await);
    stdout(&run(&sidecar, &["status"]).await);
}

#[tokio::test]
async fn every_change_and_refusal_is_told_with_who_asked_and_never_the_token() {
    let upstream = Upstream::start().await;
    let mut sidecar = Setup::of(upstream.address())
        .env("BREAKER_CONTROL_TOKEN", "s3cret")
        .start()
        .await;
    failure(
        &run_with(
            &sidecar,
            &["reset", "pay"],
            &[("BREAKER_CONTROL_TOKEN", "gu3ss")],
        )
        .await,
    );
    let token = [("BREAKER_CONTROL_TOKEN", "s3cret")];
    stdout(&run_with(&sidecar, &["shadow", "pay"], &token).await);
    let log = sidecar.process().log();
    let audit: Vec<_> = log
        .lines()
        .filter(|line| line.contains("breaker::audit"))
        .collect();
    let [refused, changed] = &audit[..] else {
        panic!("{log}");
    };
    assert!(
        refused.contains("refused: this is not the control token"),
        "{refused}"
    );
    for part in [
        "set_mode of pay: auto → shadow",
        "peer=127.0.0.1:",
        "before=\"auto\"",
    ] {
        assert!(changed.contains(part), "{part} in {changed}");
    }
    assert!(!log.contains("s3cret") && !log.contains("gu3ss"), "{log}");
}

#[test]
fn nobody_there_is_told_with_what_to_do() {
    let address = free_address();
    let output = breaker(["status", "--admin", &format!("http://{address}")])
        .output()
        .unwrap();
    let told = failure(&output);
    let expected = format!(
        "nothing listens at http://{address}: is `breaker run` running there? --admin URL says where it is\n"
    );
    assert_eq!(told, expected);
}

#[tokio::test]
async fn panic_admits_all_loudly_and_then_gives_each_route_its_mode_again() {
    let upstream = Upstream::start().await;
    let more = "  - { name: search, match: { path: /search }, upstream: pay, mode: forced_open }\n\
                \x20 - { name: list, match: { path: /list }, upstream: pay, mode: shadow }";
    let with = |routes: &str| {
        Setup::of(upstream.address())
            .more(routes)
            .more("watch: false")
    };
    let mut sidecar = with(more).start().await;
    stdout(&run(&sidecar, &["open", "pay", "--for", "10m"]).await);
    let on = ["panic", "on", "--reason", "breakers do harm", "--for", "1h"];
    let on = stdout(&run(&sidecar, &on).await);
    assert_eq!(
        on,
        "PANIC is on: all routes are forced closed, 1h to go (breakers do harm)\n"
    );
    for path in ["/", "/search", "/list"] {
        assert_eq!(get(sidecar.url(path)).await.status, 200, "{path}");
    }
    // Those of a reload too, and nobody's mode can be set.
    let late = "  - { name: late, match: { path: /late }, upstream: pay, mode: forced_open }";
    let text = with(&format!("{more}\n{late}")).yaml();
    fs::write(sidecar.config_file(), text).unwrap();
    sidecar.process().hang_up();
    eventually!(sidecar.process().log().contains("configuration reloaded"));
    assert_eq!(get(sidecar.url("/late")).await.status, 200);
    let refused = failure(&run(&sidecar, &["open", "pay"]).await);
    assert!(refused.contains("breaker panic off"), "{refused}");
    for shown in [
        stdout(&run(&sidecar, &["status"]).await),
        stdout(&run(&sidecar, &["status", "pay"]).await),
        stdout(&run(&sidecar, &["top"]).await),
    ] {
        assert!(shown.contains("PANIC is on"), "{shown}");
    }
    let metric = |metrics: Metrics| metrics.sum("breaker_panic", &[]);
    assert_eq!(metric(sidecar.metrics().await), Some(1.0));

    let off = stdout(&run(&sidecar, &["panic", "off"]).await);
    assert_eq!(
        off,
        "panic is off: each route has the mode that it would have without it; policies decide anew, \
         from closed\n"
    );
    for (path, status) in [("/", 503), ("/search", 503), ("/list", 200), ("/late", 503)] {
        assert_eq!(get(sidecar.url(path)).await.status, status, "{path}");
    }
    assert_eq!(metric(sidecar.metrics().await), Some(0.0));
    let status = stdout(&run(&sidecar, &["status"]).await);
    assert!(!status.contains("PANIC"), "{status}");
    eventually!(sidecar.process().log().contains("panic is off"));
    let log = sidecar.process().log();
    assert!(
        log.contains("set_panic: off → on for 3600s (breakers do harm)"),
        "{log}"
    );
    let history = get(sidecar.admin_url("/api/v1/breakers/list/history")).await;
    assert!(history.text().contains("on for 3600s: breakers do harm"));
}

#[tokio::test]
async fn a_panic_for_a_while_ends_by_itself() {
    let upstream = Upstream::start().await;
    let mut sidecar = Setup::of(upstream.address()).start().await;
    stdout(&run(&sidecar, &["open", "pay"]).await);
    stdout(&run(&sidecar, &["panic", "on", "--for", "200ms"]).await);
    eventually!(get(sidecar.url("/")).await.status == 503);
    eventually!(sidecar.process().log().contains("its time is over"));
}
