//! The binary, as a shell sees it: output, messages and exit codes.

mod backtest;
mod check;
mod health;
mod usage;
mod variables;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory of the test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        fs::create_dir_all(folder.join("policies")).expect("a folder");
        Self(folder)
    }

    fn with(self, file: &str, text: &str) -> Self {
        fs::write(self.0.join(file), text).expect("a file");
        self
    }

    /// Runs `breaker` here, without the environment's own settings.
    fn breaker(&self, arguments: &[&str]) -> Output {
        self.breaker_with(arguments, &[] as &[(&str, &str)])
    }

    /// The same with `settings` in the environment.
    fn breaker_with(&self, arguments: &[&str], settings: &[(&str, impl AsRef<OsStr>)]) -> Output {
        let variables = std::env::vars().map(|(name, _)| name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_breaker"));
        for name in
            variables.filter(|name| name.starts_with("BREAKER_") || name.starts_with("OTEL_"))
        {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.0)
            .output()
            .expect("the binary runs")
    }
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("text")
}

const GOOD: &str = "policies: [policies]
upstreams:
  pay: { endpoints: [http://127.0.0.1:9001] }
routes:
  - { name: pay, match: { path: /pay, methods: [POST] }, upstream: pay, policy: strict, timeout: 2s }
";
const STRICT: &str = "name: strict\nbase: sensitive\ntrip:\n  - error_rate: 2%\n";
const FED: &str = "telemetry:
  receive: { forward: http://collector:4317 }
upstreams:
  pay: { endpoints: [http://127.0.0.1:9001] }
routes:
  - name: pay
    upstream: pay
    policy: { base: sensitive, trip: [{ p99: 1s }, { slow_rate: 50%, slow_threshold: 800ms }] }
    feeds:
      - { name: db, service: checkout, span: client, match: { db.system.name: postgresql, db.namespace: { not: [a, b] } } }
      - { name: http, metric: http.server.request.duration, resource: { k8s.pod.name: { prefix: pay- } }, scope: io }
  - name: search
    feeds: [{ name: es, metric: db.client.operation.duration, policy: { base: conservative, trip: [{ p99: 250ms }] }, silence_timeout: 1m }]
";
