//! Knot DNS with one zone, whose records change while it runs.

use std::fs;
use std::process::{Command, Stdio};

use breaker_tests::{Process, eventually};
use tempfile::TempDir;

use crate::tools::{run, server};

/// The zone.
pub(crate) const ZONE: &str = "shop.test";

/// A name server at 127.0.0.1:53.
pub(crate) struct Knot {
    process: Option<Process>,
    directory: TempDir,
}

impl Knot {
    /// Starts it with these records, each `NAME TTL TYPE DATA`.
    pub(crate) async fn start(records: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        // A negative answer may be kept for an hour, as the last number says.
        let soa =
            "@ 3600 SOA ns hostmaster 1 3600 600 86400 3600\n@ 3600 NS ns\nns 3600 A 127.0.0.1";
        let zone = format!("$ORIGIN {ZONE}.\n{soa}\n{}\n", records.join("\n"));
        fs::write(directory.path().join("zone"), zone).unwrap();
        let config = format!(
            "server:\n    rundir: \"{path}\"\n    listen: 127.0.0.1@53\n    udp-workers: 1\n    \
                 tcp-workers: 1\n    background-workers: 1\n\
             database:\n    storage: \"{path}\"\n\
             log:\n  - target: stderr\n    any: info\n\
             acl:\n  - id: here\n    address: 127.0.0.1\n    action: update\n\
             zone:\n  - domain: {ZONE}\n    storage: \"{path}\"\n    file: zone\n    acl: here\n"
        );
        fs::write(directory.path().join("knot.conf"), config).unwrap();
        let mut knot = Self {
            process: None,
            directory,
        };
        knot.start_again().await;
        knot
    }

    pub(crate) async fn start_again(&mut self) {
        let mut knotd = server("knotd");
        knotd.arg("-c").arg(self.directory.path().join("knot.conf"));
        let mut process = Process::spawn(knotd);
        eventually!(
            {
                assert!(process.exit_status().is_none(), "{}", process.log());
                answers()
            },
            "knotd does not answer: {}",
            process.log()
        );
        self.process = Some(process);
    }

    /// Ends it: nobody is at its port.
    pub(crate) async fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.terminate();
        process.ended().await;
    }

    /// Makes these changes at once, each as nsupdate(1) takes them.
    pub(crate) async fn change(&self, changes: &[&str]) {
        let zone = format!("server 127.0.0.1\nzone {ZONE}.\norigin {ZONE}.\n");
        let changes = format!("{zone}{}\nsend\nquit\n", changes.join("\n"));
        run("knsupdate", ["-v"], changes.as_bytes()).await;
    }
}

/// Whether the name server knows its zone.
fn answers() -> bool {
    let mut kdig = Command::new("kdig");
    kdig.args([
        "+short",
        "+time=1",
        "+retry=0",
        "@127.0.0.1",
        &format!("ns.{ZONE}"),
    ]);
    let output = kdig.stdin(Stdio::null()).output().unwrap();
    output.stdout.starts_with(b"127.0.0.1")
}
