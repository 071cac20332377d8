//! strace sees every system call of a sandboxed sidecar under load: none is outside of its list.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use breaker_tests::{Process, Upstream, breaker, eventually};

use crate::spiffe::{Agent, CHECKOUT, PAY, id};
use crate::tools::{free_ports, run};

/// The calls that the list of the sandbox has, by its source.
fn listed() -> BTreeSet<String> {
    let sandbox = Path::new(env!("CARGO_MANIFEST_DIR")).join("../breaker/sidecar/src/sandbox");
    let calls = fs::read_to_string(sandbox.join("calls.rs")).unwrap();
    let (allowed, _deadly) = calls.split_once("const DEADLY").unwrap();
    let filter = fs::read_to_string(sandbox.join("seccomp.rs")).unwrap();
    let (_, filtered) = filter.split_once("fn allowed()").unwrap();
    let (filtered, _) = filtered.split_once("fn sockets()").unwrap();
    let names = [allowed, filtered].map(|text| text.split("SYS_").skip(1));
    let name = |text: &str| {
        let is_part = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_';
        text.chars().take_while(is_part).collect()
    };
    names.into_iter().flatten().map(name).collect()
}

/// A call as strace writes it: its name and all of the line.
///
/// `None` is an exit, a signal, or the call of a thread that died before strace could read it,
/// for which it writes `???`.
fn call(line: &str) -> Option<(&str, &str)> {
    let (_pid, said) = line.split_once(' ')?;
    let said = said.trim_start();
    if ["+++", "---", "???", "<... ???"]
        .iter()
        .any(|no_call| said.starts_with(no_call))
    {
        return None;
    }
    let resumed = said.strip_prefix("<... ");
    let end = |c: char| c == '(' || c == ' ';
    Some((resumed.unwrap_or(said).split(end).next()?, said))
}

/// What is at a URL, if something is.
fn said(url: &str) -> String {
    let asked = Command::new("curl")
        .args(["--silent", "--max-time", "5", url])
        .output();
    String::from_utf8_lossy(&asked.unwrap().stdout).into_owned()
}

#[test]
fn a_line_of_strace_is_a_call_an_exit_a_signal_or_unread() {
    let lines = [
        ("7 openat(AT_FDCWD, \"a\") = 3", Some("openat")),
        ("7 <... futex resumed>) = 0", Some("futex")),
        ("7 ???( <unfinished ...>", None),
        ("7 <... ??? resumed>) = ?", None),
        ("7 +++ exited with 0 +++", None),
        ("7 --- SIGTERM {si_signo=SIGTERM} ---", None),
    ];
    for (line, name) in lines {
        assert_eq!(call(line).map(|(name, _)| name), name, "{line}");
    }
}

#[tokio::test]
async fn a_sandboxed_process_makes_no_call_outside_of_its_list() {
    let (agent, app) = (Agent::start().await, Upstream::start().await);
    let [listen, admin, otlp] = free_ports();
    let (identity, app) = (agent.identity(PAY), app.address());
    let allow = id(CHECKOUT);
    let yaml = |timeout: &str| {
        format!(
            "listen: 127.0.0.1:{listen}\nadmin: 127.0.0.1:{admin}\n{identity}drain: 1s\n\
             sandbox: {{ mode: required }}\nstate: state.json\n\
             log: {{ access: all, file: access.log }}\n\
             telemetry: {{ receive: {{ http: 127.0.0.1:{otlp} }} }}\n\
             tls: {{ clients: {{ allow: [\"{allow}\"] }} }}\n\
             upstreams: {{ app: {{ endpoints: [\"http://localhost:{}\"] }} }}\n\
             routes:\n  - {{ name: pay, upstream: app, timeout: {timeout}, feeds: [{{ name: ledger }}] }}\n",
            app.port()
        )
    };
    let config = agent.path("breaker.yaml");
    fs::write(&config, yaml("1s")).unwrap();
    let (seen, recording) = (agent.path("strace"), agent.path("recording.jsonl"));
    let sidecar = breaker(["run", "--config"]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&seen);
    // Without strace it would go on by itself.
    strace.args(["setpriv", "--pdeathsig", "KILL"]);
    strace.arg(sidecar.get_program()).args(sidecar.get_args());
    strace.arg(&config).arg("--record").arg(&recording);
    let mut strace = Process::spawn(strace);
    let status = format!("http://127.0.0.1:{admin}/api/v1/status");
    let is_ready = "\"readiness\":\"ready\"";
    eventually!(
        said(&status).contains(is_ready),
        "not ready: {}",
        strace.log()
    );

    let url = format!("https://127.0.0.1:{listen}/pay");
    let shown = agent.path(&format!("{CHECKOUT}.pem"));
    let shown = shown.to_str().unwrap();
    let usual = [
        "--silent",
        "--insecure",
        "--max-time",
        "20",
        "--cert",
        shown,
    ];
    let fifty = format!("{url}?[1-50]");
    for (version, changes) in [("--http1.1", "2s"), ("--http2", "3s")] {
        let arguments = [&usual[..], &["--parallel", version, &fifty]].concat();
        run("curl", arguments, b"").await;
        fs::write(&config, yaml(changes)).unwrap();
        agent.rotate();
        let batch = [
            "--silent",
            "--max-time",
            "20",
            "--header",
            "content-type: application/json",
        ];
        let receiver = format!("http://127.0.0.1:{otlp}/v1/traces");
        run(
            "curl",
            [&batch[..], &["--data", "{}", &receiver]].concat(),
            b"",
        )
        .await;
        for path in ["metrics", "api/v1/breakers", "api/v1/breakers/pay/history"] {
            let url = format!("http://127.0.0.1:{admin}/{path}");
            run(
                "curl",
                ["--silent", "--fail", "--max-time", "20", &url],
                b"",
            )
            .await;
        }
        // Seen, before the next one comes.
        let count = if changes == "2s" { 1 } else { 2 };
        let reloads = format!("\"reloads\":{count}");
        eventually!(said(&status).contains(&reloads), "{}", strace.log());
    }
    // Of strace itself, which lets it through, as one who waits for its child.
    let child = fs::read_to_string(format!("/proc/{0}/task/{0}/children", strace.id())).unwrap();
    run("kill", ["-TERM", child.trim()], b"").await;
    assert!(strace.ended().await.success(), "{}", strace.log());
    assert!(recording.exists() && agent.path("access.log").exists());

    let seen = fs::read_to_string(&seen).unwrap();
    let filters = seen.match_indices("seccomp(SECCOMP_SET_MODE_FILTER");
    let (last, _) = filters.last().expect("a filter");
    let (_, confined) = seen[last..].split_once('\n').unwrap();
    let (mut names, listed) = (BTreeSet::new(), listed());
    for (name, line) in confined.lines().filter_map(call) {
        assert!(listed.contains(name), "{name} is not in the list: {line}");
        assert!(!line.contains("= -1 EPERM"), "the filter refuses {line}");
        names.insert(name);
    }
    for name in [
        "accept4",
        "connect",
        "epoll_wait",
        "openat",
        "sendto",
        "write",
    ] {
        assert!(
            names.contains(name),
            "{name} is not in {names:?}: nothing was seen"
        );
    }
}
