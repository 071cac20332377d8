//! Where the programs are, and how they are run.

use std::env;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
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

/// Ports for programs that cannot choose one and tell it.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let sockets = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

/// Runs a program to its end, which must be a good one within a minute.
pub(crate) async fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
    input: &[u8],
) -> Output {
    let mut child = Command::new(&program)
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
