//! A test in namespaces of its own: with its own port 53, resolv.conf and hosts file. The system's
//! resolver knows no other port.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::geteuid;
use tokio::process;

/// Runs the test called `name`, this one, once more in namespaces of its own. Returns true there,
/// and false outside when it has passed.
pub(crate) async fn is_apart(name: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        prepare();
        return true;
    }
    let mut inside = process::Command::new("unshare");
    if !geteuid().is_root() {
        inside.args(["--user", "--map-root-user"]);
    }
    inside.args(["--net", "--mount", "--kill-child"]);
    let test = env::current_exe().unwrap();
    inside.arg(test).args(["--exact", name, "--nocapture"]);
    inside.env(INSIDE, "1").kill_on_drop(true);
    let output = inside.output().await.unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    print(&printed);
    assert!(
        output.status.success(),
        "{name} has failed inside: {}",
        output.status
    );
    assert!(printed.contains("1 passed"), "{name} is no test");
    false
}

fn prepare() {
    run(Command::new("ip").args(["link", "set", "lo", "up"]));
    run(Command::new("mount").args(["--make-rprivate", "/"]));
    for (path, text) in [
        ("/etc/hosts", "127.0.0.1 localhost\n"),
        (
            "/etc/resolv.conf",
            "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n",
        ),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, text).unwrap();
        // Often a link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
        run(Command::new("mount")
            .arg("--bind")
            .arg(file.path())
            .arg(path));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

#[expect(clippy::print_stderr, reason = "what the test inside has printed")]
fn print(printed: &str) {
    eprint!("{printed}");
}

/// Says that this process is inside.
const INSIDE: &str = "BREAKER_TEST_IS_APART";
