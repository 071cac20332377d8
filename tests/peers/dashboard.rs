//! The dashboard in Chromium, driven by Playwright. What a case does in the page is in
//! `dashboard/cases.py`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use breaker_tests::{Script, Setup, Sidecar, Upstream};

use crate::tools::{free_ports, installed, run, serve};

/// What the sidecar of the modes wants to see.
const TOKEN: &str = "a-token-that-is-long-enough";

/// Runs a case against the admin port; the other arguments are its own.
async fn case(name: &str, sidecar: &mut Sidecar, more: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/dashboard/cases.py");
    let admin = format!("http://{}", sidecar.admin_address());
    let mut arguments = vec![script.to_str().unwrap(), name, &admin];
    arguments.extend(more);
    let output = run(installed("venv/bin/python"), arguments, b"").await;
    assert!(output.stdout.contains("passed"), "{output:#?}");
}

/// A sidecar whose upstream fails, so that 20 requests open the breaker.
async fn failing() -> (Sidecar, Upstream) {
    let upstream = Upstream::start().await;
    upstream.play(Script::Status(500));
    (Setup::of(upstream.address()).start().await, upstream)
}

#[tokio::test]
async fn a_trip_is_seen_within_two_seconds_and_its_open_time_counts_down() {
    let (mut sidecar, _upstream) = failing().await;
    let proxy = sidecar.url("/pay/x").to_string();
    case("trip", &mut sidecar, &[&proxy]).await;
}

#[tokio::test]
async fn a_breaker_that_sheds_is_seen_with_its_limit() {
    let upstream = Upstream::start().await;
    upstream.play(Script::in_turn(Duration::from_millis(20)));
    let shed = "{ slow_rate: 50%, slow_threshold: 100ms, action: shed }";
    let policy = format!("{{ base: sensitive, trip: [{shed}] }}");
    let setup = Setup::of(upstream.address()).policy(policy);
    let mut sidecar = setup.start().await;
    let proxy = sidecar.url("/pay/x").to_string();
    case("shedding", &mut sidecar, &[&proxy]).await;
}

#[tokio::test]
async fn a_panic_is_above_all_else() {
    let upstream = Upstream::start().await;
    let mut sidecar = Setup::of(upstream.address()).start().await;
    let admin = format!("http://{}", sidecar.admin_address());
    case("panic", &mut sidecar, &[&admin]).await;
}

#[tokio::test]
async fn the_page_says_when_it_is_not_live_and_goes_on_by_itself() {
    let (mut sidecar, _upstream) = failing().await;
    let process = sidecar.process().id().to_string();
    case("stall", &mut sidecar, &[&process]).await;
}

#[tokio::test]
async fn modes_are_confirmed_and_the_token_is_asked_for_and_kept_in_the_tab() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(upstream.address()).env("BREAKER_CONTROL_TOKEN", TOKEN);
    case("modes", &mut setup.start().await, &[TOKEN]).await;
}

#[tokio::test]
async fn all_can_be_read_and_reached_in_both_themes_and_on_a_phone() {
    let (mut sidecar, _upstream) = failing().await;
    let proxy = sidecar.url("/pay/x").to_string();
    case("accessible", &mut sidecar, &[&proxy]).await;
}

#[tokio::test]
async fn the_fleet_has_a_page_and_a_panel_and_its_end_is_seen() {
    let [port] = free_ports();
    let mut command = Command::new("redis-server");
    command.args([
        "--bind",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--save",
        "",
    ]);
    let redis = serve(command, port).await;
    let upstream = Upstream::start().await;
    let fleet = format!("fleet: {{ name: shop, engine: 'redis://127.0.0.1:{port}' }}");
    let setup = Setup::of(upstream.address())
        .policy("adaptive")
        .more(&fleet);
    let mut sidecar = setup.clone().start().await;
    let _other = setup.start().await;
    let id = redis.id().to_string();
    case("fleet", &mut sidecar, &[&id]).await;
}

#[tokio::test]
async fn of_500_routes_only_those_in_view_are_drawn() {
    let mut more = String::new();
    for route in 1..500 {
        writeln!(
            more,
            "  - {{ name: route-{route}, match: {{ path: /route-{route} }}, upstream: pay, policy: sensitive }}"
        )
        .unwrap();
    }
    let upstream = Upstream::start().await;
    let mut sidecar = Setup::of(upstream.address()).more(&more).start().await;
    case("many", &mut sidecar, &["500"]).await;
}
