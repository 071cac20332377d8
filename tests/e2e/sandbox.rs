//! What the binary gives up when it starts, seen from outside.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use breaker_tests::{Process, Setup, Sidecar, Upstream, breaker, eventually, get};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use tempfile::TempDir;

/// A configuration in a directory that every user can read.
fn folder_with(yaml: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("breaker.yaml"), yaml).unwrap();
    folder
}

fn command(folder: &TempDir) -> Command {
    let mut command = breaker(["run", "--config"]);
    command.arg(folder.path().join("breaker.yaml"));
    command
}

/// The fields of `/proc/PID/task/*/status` that tell of privileges, with the values that the
/// threads have.
fn privileges(id: u32) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{id}/task")).unwrap() {
        let status = thread.unwrap().path().join("status");
        // A thread may have ended meanwhile.
        let status = fs::read_to_string(status).unwrap_or_default();
        for line in status.lines() {
            let (name, value) = line.split_once(':').unwrap();
            let is_wanted = ["NoNewPrivs", "Seccomp"].contains(&name)
                || ["CapEff", "CapPrm", "CapInh", "CapAmb"].contains(&name);
            let values = found.entry(name.to_owned()).or_default();
            if is_wanted && !values.iter().any(|known| known == value.trim()) {
                values.push(value.trim().to_owned());
            }
        }
    }
    found.retain(|_, values| !values.is_empty());
    found
}

async fn status(sidecar: &Sidecar) -> serde_json::Value {
    let answer = get(sidecar.admin_url("/api/v1/status")).await;
    serde_json::from_str(&answer.text()).unwrap()
}

async fn layer(sidecar: &Sidecar, layer: &str) -> Option<f64> {
    let labels = [("breaker_sandbox_layer", layer)];
    sidecar.metrics().await.sum("breaker_sandbox", &labels)
}

const LAYERS: [&str; 8] = [
    "no_new_privs",
    "capabilities",
    "core_dumps",
    "filesystem",
    "tcp_connect",
    "tcp_bind",
    "scopes",
    "seccomp",
];

#[tokio::test]
async fn every_thread_is_confined_as_root_and_as_nobody() {
    let upstream = Upstream::start().await;
    let folder = folder_with(&Setup::of(upstream.address()).yaml());
    let is_root = rustix::process::geteuid().is_root();
    for user in [None, is_root.then_some(65532)] {
        let mut command = command(&folder);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut sidecar = Sidecar::spawn(command).await;
        assert_eq!(get(sidecar.url("/")).await.status, 200);

        let id = sidecar.process().id();
        let found = privileges(id);
        let none = "0000000000000000";
        for (name, expected) in [
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
            ("CapEff", none),
            ("CapPrm", none),
            ("CapInh", none),
            ("CapAmb", none),
        ] {
            assert_eq!(found[name], [expected], "{name} of {user:?}");
        }
        let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file"));
        let core: Vec<_> = core.unwrap().split_whitespace().skip(4).collect();
        assert_eq!(core, ["0", "0", "bytes"]);

        let status = status(&sidecar).await;
        assert_eq!(status["sandbox"]["mode"], "best_effort");
        for name in LAYERS {
            assert_eq!(layer(&sidecar, name).await, Some(1.0), "{name}");
        }
        let summary = status["sandbox"]["summary"].as_str().unwrap();
        assert!(summary.contains("(fs, tcp connect, tcp bind, scopes), seccomp "));
        eventually!(
            sidecar
                .process()
                .log()
                .contains(&format!("sandbox: {summary}"))
        );
        let admin = format!("http://{}", sidecar.admin_address());
        let told = breaker(["status", "--admin", &admin]).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(told.contains(&format!("sandbox: {summary}")), "{told}");
    }
}

#[tokio::test]
async fn a_reload_that_needs_another_port_is_refused_and_the_running_one_stays() {
    let (upstream, other) = (Upstream::start().await, Upstream::start().await);
    let setup = Setup::of(upstream.address()).more("watch: false");
    let mut sidecar = setup.clone().start().await;
    let another = Setup::of(other.address()).more("watch: false");
    fs::write(sidecar.config_file(), another.yaml()).unwrap();
    sidecar.process().hang_up();
    let port = other.address().port();
    let told = format!("port {port} is outside of the sandbox; restart to change it");
    eventually!(sidecar.process().log().contains(&told));
    assert_eq!(get(sidecar.url("/")).await.status, 200);
    assert_eq!((upstream.count(), other.count()), (1, 0));

    let discovered = setup.yaml().replace(
        &format!("endpoints: [\"http://{}\"]", upstream.address()),
        "discover: { name: _http._tcp.pay.shop, record: srv }",
    );
    fs::write(sidecar.config_file(), discovered).unwrap();
    sidecar.process().hang_up();
    let why = "any port (the SRV records of _http._tcp.pay.shop say the ports of upstream pay)";
    eventually!(sidecar.process().log().contains(why));
    assert_eq!(get(sidecar.url("/")).await.status, 200);
}

#[tokio::test]
async fn a_reload_that_needs_another_directory_is_refused_and_the_running_one_stays() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(upstream.address()).more("watch: false");
    let mut sidecar = setup.clone().start().await;
    let outside = tempfile::tempdir().unwrap();
    let policy = outside.path().join("mine.yaml");
    fs::write(&policy, "name: mine\nbase: sensitive\n").unwrap();

    let read = format!("policies: [{}]", policy.display());
    fs::write(sidecar.config_file(), setup.clone().more(&read).yaml()).unwrap();
    sidecar.process().hang_up();
    let told = "mine.yaml can't be read: it is outside of the sandbox; restart to change it";
    eventually!(sidecar.process().log().contains(told));
    assert_eq!(get(sidecar.url("/")).await.status, 200);

    let written = outside.path().join("access.log");
    let log = format!("log: {{ access: all, file: {} }}", written.display());
    fs::write(sidecar.config_file(), setup.more(&log).yaml()).unwrap();
    sidecar.process().hang_up();
    let told = format!(
        "{} is outside of the sandbox; restart to change it",
        outside.path().display()
    );
    eventually!(sidecar.process().log().contains(&told));
    assert_eq!(get(sidecar.url("/")).await.status, 200);
    assert!(!written.exists());
}

#[tokio::test]
async fn without_a_sandbox_a_reload_may_need_anything() {
    let (upstream, other) = (Upstream::start().await, Upstream::start().await);
    let off = "watch: false\nsandbox: { mode: off }";
    let mut sidecar = Setup::of(upstream.address()).more(off).start().await;
    assert_eq!(status(&sidecar).await["sandbox"]["mode"], "off");
    for name in LAYERS {
        assert_eq!(layer(&sidecar, name).await, Some(0.0), "{name}");
    }
    let another = Setup::of(other.address()).more(off);
    fs::write(sidecar.config_file(), another.yaml()).unwrap();
    sidecar.process().hang_up();
    eventually!(get(sidecar.url("/")).await.status == 200 && other.count() > 0);
}

/// Runs `test` where the kernel seems to have no Landlock: as in gVisor, and as the filters of old
/// container runtimes have it. What is started there is in the same filter.
fn without_landlock(test: impl AsyncFnOnce() + Send) {
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let rules = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
            let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
            let architecture = std::env::consts::ARCH.try_into().unwrap();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, architecture);
            let program: BpfProgram = filter.unwrap().try_into().unwrap();
            apply_filter(&program).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(test());
        });
        work.join().unwrap();
    });
}

#[test]
fn a_missing_layer_is_told_and_the_others_are_there() {
    without_landlock(async || {
        let upstream = Upstream::start().await;
        let mut sidecar = Setup::of(upstream.address()).start().await;
        assert_eq!(get(sidecar.url("/")).await.status, 200);
        eventually!(sidecar.process().log().contains("WARN"));
        let log = sidecar.process().log();
        let warning = "sandbox: a layer is missing: this kernel has no Landlock, \
                       or a filter of the container keeps it away layer=filesystem";
        assert!(log.contains(warning), "{log}");
        assert_eq!(layer(&sidecar, "filesystem").await, Some(0.0));
        assert_eq!(layer(&sidecar, "seccomp").await, Some(1.0));
        assert_eq!(privileges(sidecar.process().id())["Seccomp"], ["2"]);
    });
}

#[test]
fn a_required_layer_that_is_missing_ends_the_start() {
    without_landlock(async || {
        let upstream = Upstream::start().await;
        let required = "sandbox: { mode: required }";
        let folder = folder_with(&Setup::of(upstream.address()).more(required).yaml());
        let mut process = Process::spawn(command(&folder));
        let ended = process.ended().await;
        assert_eq!(ended.code(), Some(1));
        let told = "sandbox: required, and filesystem is missing: this kernel has no Landlock";
        eventually!(process.log().contains(told));
    });
}
