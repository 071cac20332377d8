//! The binary under test, as a user runs it.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use http::Uri;
use tempfile::TempDir;

use crate::{Metrics, Process, Upstream, eventually, get};

/// A running `breaker run`, ready for traffic.
#[derive(Debug)]
pub struct Sidecar {
    process: Process,
    listen: SocketAddr,
    admin: SocketAddr,
    /// The configuration file; the test may rewrite it.
    directory: Option<TempDir>,
}

impl Sidecar {
    /// Starts it by a configuration. `listen` and `admin` should ask for port 0.
    pub async fn start(yaml: impl AsRef<str>) -> Self {
        Self::start_with(yaml, []).await
    }

    /// Starts it by a configuration and environment variables.
    pub async fn start_with(
        yaml: impl AsRef<str>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the configuration");
        let file = directory.path().join("breaker.yaml");
        fs::write(&file, yaml.as_ref()).expect("the configuration can be written");
        let mut command = breaker(["run", "--config"]);
        command.arg(&file).envs(environment);
        let mut sidecar = Self::spawn(command).await;
        sidecar.directory = Some(directory);
        sidecar
    }

    /// Starts it without a configuration, with one route to `upstream`.
    pub async fn in_front_of(upstream: &Upstream, policy: &str) -> Self {
        Self::spawn(breaker([
            "run",
            "--upstream",
            &format!("http://{}", upstream.address()),
            "--policy",
            policy,
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]))
        .await
    }

    /// Starts it by a command of the test's own (see [`breaker`]), and waits until it is ready.
    ///
    /// # Panics
    /// If it isn't within [`PATIENCE`](crate::PATIENCE).
    pub async fn spawn(command: Command) -> Self {
        let mut process = Process::spawn(command);
        let (listen, admin) = process
            .wait_for("addresses", |log| {
                Some((address(log, "listen")?, address(log, "admin")?))
            })
            .await;
        let sidecar = Self {
            process,
            listen,
            admin,
            directory: None,
        };
        eventually!(
            get(sidecar.admin_url("/readyz")).await.status == 200,
            "not ready"
        );
        sidecar
    }

    /// Where it serves traffic.
    pub const fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Where it serves health, metrics and control.
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// A URL of the proxied service.
    pub fn url(&self, path: &str) -> Uri {
        url(self.listen, path)
    }

    /// A URL of the admin port.
    pub fn admin_url(&self, path: &str) -> Uri {
        url(self.admin, path)
    }

    /// What a Prometheus server would read now.
    pub async fn metrics(&self) -> Metrics {
        Metrics::new(get(self.admin_url("/metrics")).await.text())
    }

    /// The configuration file that it was started with.
    ///
    /// # Panics
    /// If it was started without one.
    pub fn config_file(&self) -> PathBuf {
        let directory = self.directory.as_ref().expect("started without a file");
        directory.path().join("breaker.yaml")
    }

    /// The process, for signals, its end and what it printed.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The command `breaker` with `arguments`, free of what the environment of the test would tell it.
///
/// The binary is `BREAKER_BIN`, or the one that Cargo built beside the running test.
///
/// # Panics
/// If there is no such file.
pub fn breaker<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let binary = env::var_os("BREAKER_BIN").map_or_else(beside_the_test, PathBuf::from);
    assert!(
        binary.is_file(),
        "{} does not exist; build it by `cargo build -p breaker-sidecar`, or run ./test",
        binary.display()
    );
    let mut command = Command::new(binary);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("BREAKER_") || text.starts_with("OTEL_") {
            command.env_remove(&name);
        }
    }
    command.args(arguments);
    command
}

/// Test executables lie in `target/debug/deps`, binaries in `target/debug`.
fn beside_the_test() -> PathBuf {
    let test = env::current_exe().expect("the test knows its executable");
    let profile = test.ancestors().nth(2).unwrap_or(&test);
    profile.join("breaker")
}

fn url(address: SocketAddr, path: &str) -> Uri {
    format!("http://{address}{path}")
        .parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The first bound address after the word `key` in a line of the log, whatever stands between.
fn address(log: &str, key: &str) -> Option<SocketAddr> {
    log.lines()
        .filter_map(|line| line.split_once(key))
        .flat_map(|(_, rest)| rest.split(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))))
        .find_map(|word| {
            let address: SocketAddr = word.trim_matches(':').parse().ok()?;
            (address.port() != 0).then_some(address)
        })
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn finds_the_bound_addresses_in_any_wording() {
        for log in [
            "INFO listening on 127.0.0.1:80, admin on 127.0.0.1:81\n",
            "INFO admin: 127.0.0.1:0\nINFO bound admin=127.0.0.1:81\nINFO bound listen=127.0.0.1:80\n",
        ] {
            assert_eq!(address(log, "listen"), "127.0.0.1:80".parse().ok(), "{log}");
            assert_eq!(address(log, "admin"), "127.0.0.1:81".parse().ok(), "{log}");
        }
        assert_eq!(address("listen 127.0.0.1:0", "listen"), None);
    }
}
