//! The chaos demo, whole, on the Docker Engine of this machine: `docker-compose.yml` with images of
//! the binary under test and of the demo's own.

use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Duration;

use breaker_tests::{breaker, eventually, get, send};
use http::{Request, Uri, header};
use http_body_util::{Empty, Full};
use serde_json::Value;
use tokio::time;

/// The demo's containers, which are removed whatever happens.
struct Demo {
    project: String,
    /// What the shop is beside that which always runs.
    profile: &'static str,
}

impl Demo {
    /// Builds the images of the binary under test and of the demo's beside it; both must be static.
    async fn build(profile: &'static str) -> Self {
        let nothing: [&str; 0] = [];
        let command = breaker(nothing);
        let demo = Self {
            project: format!("breaker-test-{profile}-{}", process::id()),
            profile,
        };
        let mut build = Command::new(root().join("deploy/image"));
        let folder = Path::new(command.get_program()).parent().unwrap();
        build.arg(folder.canonicalize().unwrap()).envs(IMAGES);
        output(build, Duration::from_secs(180)).await;
        demo
    }

    /// Runs the shop to the end of the script; what chaos printed.
    async fn run(&self) -> String {
        let mut up = self.compose();
        // Two thirds of the two minutes.
        up.env("BREAKER_DEMO_PACE", "1.5")
            .env("CLICOLOR_FORCE", "0")
            .env_remove("BREAKER_CONTROL_TOKEN");
        up.args(["up", "--no-build", "--no-color"]);
        up.args(["--abort-on-container-exit", "--exit-code-from", "chaos"]);
        let printed = output(up, Duration::from_secs(240)).await;
        let chaos = printed.lines().filter(|line| line.starts_with("chaos"));
        chaos
            .filter_map(|line| Some(line.split_once("| ")?.1))
            .map(|line| format!("{}\n", line.trim_end()))
            .collect()
    }

    /// Runs the demo of the fleet to its end; what chaos printed.
    async fn run_fleet(&self) -> String {
        let mut run = self.compose();
        run.env("CLICOLOR_FORCE", "0")
            .env_remove("BREAKER_CONTROL_TOKEN");
        run.args(["run", "--rm", "-T", "fleet-chaos"]);
        output(run, Duration::from_secs(300)).await
    }

    /// Kills the engine of the fleet while orders are served, and starts it again.
    async fn kill_redis_for_a_while(&self) {
        let is_in_force = async || {
            let status = fleet_document("/api/v1/status").await;
            status.is_some_and(|status| status["fleet"]["fresh"] == true)
        };
        eventually!(is_in_force().await, "no fleet");
        for (does, then) in [("kill", false), ("start", true)] {
            let mut redis = self.compose();
            redis.args([does, "fleet-redis"]);
            output(redis, Duration::from_secs(30)).await;
            eventually!(is_in_force().await == then, "after {does}");
        }
    }

    fn compose(&self) -> Command {
        let plugin = Command::new("docker").args(["compose", "version"]).output();
        let mut compose = match plugin {
            Ok(output) if output.status.success() => {
                let mut docker = Command::new("docker");
                docker.arg("compose");
                docker
            }
            _ => Command::new("docker-compose"),
        };
        compose.arg("--file").arg(root().join("docker-compose.yml"));
        compose.args(["--project-name", &self.project, "--profile", self.profile]);
        compose.envs(IMAGES);
        if self.profile == LEDGERS {
            compose.env("BREAKER_DEMO_LEDGER", LEDGERS);
            // Free ones, as the other shop is open at the same time.
            compose.envs(PORTS.map(|name| (name, "0")));
        }
        compose
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let mut down = self.compose();
        down.args(["down", "--volumes", "--timeout", "1"]);
        let _ = down.output();
    }
}

/// Runs a program to its end, which must be a good one; what it printed on standard output.
async fn output(mut command: Command, limit: Duration) -> String {
    command.stdin(Stdio::null());
    let name = format!("{command:?}");
    let ended = time::timeout(limit, tokio::process::Command::from(command).output()).await;
    let output = ended
        .unwrap_or_else(|_| panic!("{name} does not end"))
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {stdout}\n{stderr}");
    stdout
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The numbers of a row of the table: with breakers, and bare if that runs. A time that is only
/// known to be more counts as that.
fn row<const COLUMNS: usize>(printed: &str, label: &str) -> [f64; COLUMNS] {
    let rest = printed.lines().find_map(|line| line.strip_prefix(label));
    let rest = rest.unwrap_or_else(|| panic!("no row '{label}': {printed}"));
    // "47 (1.0 %)", "> 21.6 s"
    let words = rest
        .split_whitespace()
        .filter(|word| !word.starts_with('('));
    let numbers = words.filter_map(|word| word.replace(',', "").parse().ok());
    let numbers: Vec<f64> = numbers.collect();
    numbers
        .try_into()
        .unwrap_or_else(|_| panic!("not {COLUMNS} columns: {rest}"))
}

/// How often a breaker tripped, as the collector saw.
fn trips(printed: &str, breaker: &str) -> Option<u32> {
    let told = format!("  {breaker} ");
    let seen = printed.lines().find_map(|line| line.strip_prefix(&told));
    let trips = seen.and_then(|counts| counts.trim_start().split_once(" trips"));
    trips.and_then(|(trips, _)| trips.parse().ok())
}

/// A document of the first replica of the fleet, if it answers.
async fn fleet_document(path: &str) -> Option<Value> {
    let address = Uri::try_from(format!("http://127.0.0.1:9911{path}")).unwrap();
    let request = Request::get(address).body(Empty::new()).unwrap();
    let answer = send(request).await.ok()?;
    serde_json::from_slice(&answer.body).ok()
}

/// While the shop is open, each sidecar has its dashboard, and changes need the token that the
/// documentation names.
async fn dashboards_answer() {
    for (port, route) in DASHBOARDS {
        let at = |path: &str| Uri::try_from(format!("http://127.0.0.1:{port}{path}")).unwrap();
        let ready = || send(Request::get(at("/readyz")).body(Empty::new()).unwrap());
        eventually!(
            ready().await.is_ok_and(|answer| answer.status == 200),
            "{route} is not ready"
        );
        let page = get(at("/")).await;
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        let known = get(at("/api/v1/breakers")).await;
        let known: Value = serde_json::from_slice(&known.body).unwrap();
        assert_eq!(known["breakers"][0]["name"], route);

        for (token, status) in [("", 401), ("gu3ss", 403), ("breaker-demo", 200)] {
            let mut change = Request::put(at(&format!("/api/v1/breakers/{route}/mode")))
                // As the buttons of the dashboard send it.
                .header(header::ORIGIN, format!("http://127.0.0.1:{port}"))
                .header(header::CONTENT_TYPE, "application/json");
            if !token.is_empty() {
                change = change.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let change = change.body(Full::from(r#"{"mode": "auto"}"#)).unwrap();
            let answer = send(change).await.unwrap();
            assert_eq!(answer.status, status, "{route}: {}", answer.text());
        }
    }
}

/// The names of the images, as docker-compose.yml and deploy/image read them.
const IMAGES: [(&str, &str); 3] = [
    ("BREAKER_IMAGE", "breaker-test"),
    ("BREAKER_CHAOS_IMAGE", "breaker-chaos-test"),
    ("BREAKER_REDIS_IMAGE", "breaker-redis-test"),
];
/// The profile of three ledgers, and the file of their sidecar.
const LEDGERS: &str = "ledgers";
/// Where its dashboards are, as docker-compose.yml reads it.
const PORTS: [&str; 3] = [
    "BREAKER_DEMO_LEDGER_PORT",
    "BREAKER_DEMO_PAYMENTS_PORT",
    "BREAKER_DEMO_CHECKOUT_PORT",
];
/// Where the dashboards are, and what the routes are called.
const DASHBOARDS: [(u16, &str); 3] = [(9901, "ledger"), (9902, "payments"), (9903, "checkout")];

#[tokio::test]
async fn with_breakers_fewer_orders_fail_and_the_shop_recovers_sooner() {
    let demo = Demo::build("bare").await;
    let (printed, ()) = tokio::join!(demo.run(), dashboards_answer());

    let [orders, bare_orders] = row(&printed, "orders ");
    assert_eq!(orders, bare_orders, "{printed}");
    let [failed, bare_failed] = row(&printed, "failed ");
    assert!(failed < bare_failed, "{printed}");
    let [recovered, bare_recovered] = row(&printed, "time to recover, all ");
    assert!(recovered < bare_recovered, "{printed}");
    for breaker in ["checkout-breaker", "payments-breaker", "ledger-breaker"] {
        let trips = trips(&printed, breaker);
        assert!(trips >= Some(1), "{breaker} did not trip: {printed}");
    }
}

/// The brownout is that of the first ledger alone: the orders of that phase are served.
#[tokio::test]
async fn of_three_ledgers_one_may_break() {
    let demo = Demo::build(LEDGERS).await;
    let printed = demo.run().await;
    let [recovered] = row(&printed, "recovered after brownout ");
    assert!(recovered < 1.0, "{printed}");
    assert_eq!(trips(&printed, "ledger-breaker"), Some(0), "{printed}");
    // With one ledger two thirds are: docs/demo.md.
    let ([orders], [served]) = (row(&printed, "orders "), row(&printed, "served "));
    assert!(served >= 0.68 * orders, "{printed}");
}

/// Eight replicas with one order a second in all: four failures are what the fleet needs once it
/// has learned, and five in a row what one alone does, each after eight seconds.
#[tokio::test]
async fn a_fleet_opens_long_before_replicas_that_are_alone_and_redis_may_die() {
    let demo = Demo::build("fleet").await;
    let (printed, ()) = tokio::join!(demo.run_fleet(), demo.kill_redis_for_a_while());
    let [failed, alone_failed] = row(&printed, "failed before the outage ");
    assert_eq!((failed, alone_failed), (0.0, 0.0), "{printed}");
    assert!(printed.contains("no verdict is in force"), "{printed}");
    let [all, _] = row(&printed, "all breakers open after ");
    let [_, first_alone] = row(&printed, "first breaker open after ");
    // 3.6 s where containers are not slow.
    assert!(all < 8.0 && first_alone > 20.0, "{printed}");
    assert!(all < first_alone / 2.0, "{printed}");
}

#[test]
fn reads_rows() {
    let printed = "failed       47 (1.0 %)     2,266 (47.2 %)\nP99       1.4 s       > 2.9 s\n";
    assert_eq!(row(printed, "failed "), [47.0, 2266.0]);
    assert_eq!(row(printed, "P99 "), [1.4, 2.9]);
    assert_eq!(row("failed   47 (1.0 %)\n", "failed "), [47.0]);
    assert_eq!(
        row("open after   6.4 s    > 45.0 s\n", "open after "),
        [6.4, 45.0]
    );
}
