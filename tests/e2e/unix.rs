//! Unix sockets instead of addresses: for clients, for operators, and to an upstream.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Output;

use breaker_tests::{Process, Upstream, breaker};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A sidecar that listens on sockets in a folder.
struct Local {
    folder: TempDir,
    process: Process,
}

impl Local {
    async fn start(upstream: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = run(folder.path(), upstream).await;
        Self { folder, process }
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that asks it.
    fn ask(&self, arguments: &[&str]) -> Output {
        let admin = unix(self.folder.path(), "admin");
        let mut command = breaker(arguments);
        command.env("BREAKER_ADMIN_URL", admin).output().unwrap()
    }
}

fn unix(folder: &Path, name: &str) -> String {
    format!("unix:{}", folder.join(name).display())
}

fn command(folder: &Path, upstream: &str) -> std::process::Command {
    let (listen, admin) = (unix(folder, "listen"), unix(folder, "admin?mode=0600"));
    breaker([
        "run",
        "--upstream",
        upstream,
        "--listen",
        &listen,
        "--admin",
        &admin,
    ])
}

async fn run(folder: &Path, upstream: &str) -> Process {
    let mut process = Process::spawn(command(folder, upstream));
    let ready = |log: &str| log.contains("listening").then_some(());
    process.wait_for("listening", ready).await;
    process
}

/// The answer to a GET.
async fn get(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[tokio::test]
async fn requests_go_over_sockets_from_the_client_to_the_upstream() {
    let upstream = Upstream::start().await;
    let near = Local::start(&format!("http://{}", upstream.address())).await;
    let mut far = Local::start(&unix(near.folder.path(), "listen")).await;
    for _ in 0..3 {
        let answer = get(&far.socket("listen"), "/pay/x").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let seen = upstream.seen();
    assert_eq!(seen[0].headers["x-forwarded-for"], "unknown");
    assert_eq!(seen[0].headers["host"], "a");

    let metrics = get(&far.socket("admin"), "/metrics").await;
    let address = near.socket("listen").display().to_string();
    let series = metrics.lines().find(|line| {
        line.starts_with("http_client_request_duration_seconds_count") && line.contains(&address)
    });
    assert!(
        series.is_some_and(|series| !series.contains("server_port")),
        "{series:?}"
    );

    for (name, mode) in [("listen", 0o660), ("admin", 0o600)] {
        let there = fs::symlink_metadata(far.socket(name)).unwrap();
        assert!(there.file_type().is_socket());
        assert_eq!(there.permissions().mode() & 0o777, mode, "{name}");
    }
    far.process.terminate();
    far.process.terminate();
    assert_eq!(far.process.ended().await.code(), Some(0));
    for name in ["listen", "admin"] {
        assert!(!far.socket(name).exists(), "{name} is left");
    }
}

#[tokio::test]
async fn an_upstream_whose_socket_is_not_there_is_an_upstream_that_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Local::start(&unix(folder.path(), "nobody")).await;
    let answer = get(&sidecar.socket("listen"), "/").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains("connection_refused"), "{answer}");
}

#[tokio::test]
async fn commands_ask_an_admin_socket() {
    let upstream = Upstream::start().await;
    let sidecar = Local::start(&format!("http://{}", upstream.address())).await;
    let status = sidecar.ask(&["status", "--json"]);
    assert!(status.status.success(), "{}", text(&status.stderr));
    let opened = sidecar.ask(&["open", "default"]);
    assert!(opened.status.success(), "{}", text(&opened.stderr));
    let answer = get(&sidecar.socket("listen"), "/").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        sidecar.process.log().contains("peer=unix"),
        "{}",
        sidecar.process.log()
    );
    assert!(sidecar.ask(&["health"]).status.success());

    let nowhere = unix(sidecar.folder.path(), "nowhere");
    let output = breaker(["status", "--admin", &nowhere]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains(&format!("nothing listens at {nowhere}")),
        "{said}"
    );
}

#[tokio::test]
async fn a_socket_that_was_left_is_replaced_and_one_in_use_is_not() {
    let upstream = Upstream::start().await;
    let url = format!("http://{}", upstream.address());
    let mut sidecar = Local::start(&url).await;
    let folder = sidecar.folder.path().to_owned();
    let second = command(&folder, &url).output().unwrap();
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    let socket = unix(&folder, "listen");
    let expected = format!("listen: cannot listen on {socket}: another process listens there");
    assert!(said.contains(&expected), "{said}");
    // It took nothing away.
    assert!(
        get(&sidecar.socket("listen"), "/")
            .await
            .starts_with("HTTP/1.1 200")
    );

    let id = sidecar.process.id().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-9", &id])
        .status();
    assert!(killed.unwrap().success());
    sidecar.process.ended().await;
    assert!(sidecar.socket("listen").exists());
    let _next = run(&folder, &url).await;
    assert!(
        get(&sidecar.socket("listen"), "/")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[test]
fn check_says_where_it_listens_and_what_leads_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("breaker.yaml");
    let yaml = "listen: unix:/run/b.sock\nadmin: unix:/run/a.sock?mode=0600\nupstreams:\n  \
                app: { endpoints: ['unix:/run/app.sock'] }\nroutes:\n  \
                - { name: app, upstream: app }\n";
    fs::write(&file, yaml).unwrap();
    let output = breaker(["check"]).arg(&file).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for expected in [
        "unix:/run/b.sock\n",
        "unix:/run/a.sock\n",
        "→ unix:/run/app.sock\n",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    fs::write(&file, yaml.replace("app.sock", "b.sock")).unwrap();
    let output = breaker(["check"]).arg(&file).output().unwrap();
    let said = text(&output.stderr);
    assert!(
        said.contains("must not be the address of listen: a loop"),
        "{said}"
    );
}

#[tokio::test]
async fn a_socket_whose_file_is_removed_is_told_in_the_log() {
    let upstream = Upstream::start().await;
    let sidecar = Local::start(&format!("http://{}", upstream.address())).await;
    let listen = sidecar.socket("listen");
    fs::remove_file(&listen).unwrap();
    let mut process = sidecar.process;
    let told = |log: &str| {
        let mut lines = log.lines();
        lines
            .any(|line| line.contains("is gone") && line.contains("/listen"))
            .then_some(())
    };
    process.wait_for("the warning", told).await;
}
