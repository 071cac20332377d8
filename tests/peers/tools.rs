//! Where the programs are, and how they are run.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

pub(crate) use breaker_tests::free_ports;
use breaker_tests::{Process, eventually};
use tokio::io::AsyncWriteExt;
use tokio::time;

/// What a program printed.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A file in the directory that `./test` installs into.
pub(crate) fn installed(path: &str) -> PathBuf {
    let directory = env::var_os("BREAKER_PEERS")
        .expect("BREAKER_PEERS names the directory of the installed programs: run ./test");
    let path = PathBuf::from(directory).join(path);
    assert!(
        path.exists(),
        "{} is not installed: run ./test",
        path.display()
    );
    path
}

/// The block of a page of the documentation, in this language, that begins so.
pub(crate) fn documented(page: &str, language: &str, begins: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(page);
    let page = fs::read_to_string(page).unwrap();
    let start = format!("```{language}\n{begins}");
    let (_, block) = page
        .split_once(&start)
        .unwrap_or_else(|| panic!("no block begins so: {start}"));
    format!("{begins}{}", block.split_once("```").unwrap().0)
}

/// A server that Debian keeps where only root's PATH looks.
pub(crate) fn server(name: &str) -> Command {
    let debian = Path::new("/usr/sbin").join(name);
    match debian.exists() {
        true => Command::new(debian),
        false => Command::new(name),
    }
}

/// nginx by this configuration; it keeps what it must in the directory.
pub(crate) fn nginx(directory: &Path, config: &Path) -> Command {
    let mut command = server("nginx");
    command.arg("-p").arg(directory).arg("-c").arg(config);
    command
}

/// Envoy by this configuration.
pub(crate) fn envoy(config: &Path) -> Command {
    let mut command = Command::new(installed("venv/bin/envoy"));
    command.args(["--disable-hot-restart", "--concurrency", "1"]);
    command.args(["-l", "warning", "-c"]).arg(config);
    command
}

/// Caddy by this Caddyfile; it keeps what it must in the directory.
pub(crate) fn caddy(directory: &Path, config: &Path) -> Command {
    let mut command = Command::new(installed("venv/bin/caddy"));
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(config)
        .env("XDG_DATA_HOME", directory)
        .env("XDG_CONFIG_HOME", directory);
    command
}

/// Starts a server, and waits until it listens on this port.
pub(crate) async fn serve(command: Command, port: u16) -> Process {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut server = Process::spawn(command);
    eventually!(
        {
            assert!(server.exit_status().is_none(), "{}", server.log());
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        },
        "{name} does not listen"
    );
    server
}

/// Runs a program to its end, which must be a good one within a minute.
pub(crate) async fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
    input: &[u8],
) -> Output {
    let mut child = tokio::process::Command::new(&program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.as_ref().display()));
    let mut stdin = child.stdin.take().unwrap();
    let feed = async {
        // A program may end without having read all of it.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let (_, output) = time::timeout(Duration::from_secs(60), async {
        tokio::join!(feed, child.wait_with_output())
    })
    .await
    .unwrap_or_else(|_| panic!("{} does not end", program.as_ref().display()));
    let output = output.unwrap();
    let text = Output {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert!(output.status.success(), "{}: {text:#?}", output.status);
    text
}
