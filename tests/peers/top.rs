//! `breaker top` in a real terminal: tmux, which draws what a person would see.

use std::process::Command;

use breaker_tests::{Script, Setup, Sidecar, Upstream, breaker, eventually, get};
use tempfile::TempDir;

/// A terminal with a shell in it, that ends with its value.
struct Terminal {
    /// Where its server listens: not the user's own.
    directory: TempDir,
}

impl Terminal {
    fn start(width: u16, height: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let terminal = Self { directory };
        let [width, height] = [width, height].map(|cells| cells.to_string());
        let size = ["-x", &width, "-y", &height];
        let shell = ["env", "PS1=$ ", "sh"];
        terminal.tmux(&[&["new-session", "-d"], &size[..], &shell].concat());
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let socket = self.directory.path().join("tmux");
        let output = Command::new("tmux")
            .args(["-u", "-f", "/dev/null", "-S"])
            .arg(socket)
            .args(arguments)
            .output()
            .expect("tmux is installed: run ./test");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn enter(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press("Enter");
    }

    fn resize(&self, width: &str, height: &str) {
        self.tmux(&["resize-window", "-x", width, "-y", height]);
    }

    /// Waits until the screen is so.
    async fn shows(&self, wanted: &[&str]) {
        let shows = |screen: &str| wanted.iter().all(|text| screen.contains(text));
        eventually!(
            shows(&self.screen()),
            "no {wanted:?} on the screen:\n{}",
            self.screen()
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.directory.path().join("tmux");
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(socket)
            .arg("kill-server")
            .output();
    }
}

/// The command line of `breaker top`, for a shell.
fn top(sidecar: &Sidecar) -> String {
    let program = breaker::<&str>([]);
    format!(
        "'{}' top --admin http://{}",
        program.get_program().display(),
        sidecar.admin_address()
    )
}

async fn with_an_open_route() -> (Upstream, Sidecar) {
    let upstream = Upstream::start().await;
    upstream.play(Script::Status(500));
    let policy = "{ base: sensitive, open: { for: 5m } }";
    let sidecar = Setup::of(upstream.address()).policy(policy).start().await;
    eventually!(get(sidecar.url("/")).await.status == 503);
    (upstream, sidecar)
}

#[tokio::test]
async fn top_shows_an_open_route_changes_its_mode_and_gives_the_screen_back() {
    let (_upstream, sidecar) = with_an_open_route().await;
    let terminal = Terminal::start(80, 24);
    terminal.enter("echo what was there before");
    terminal.enter(&top(&sidecar));
    terminal
        .shows(&["○ open", "pay", "live", "1 route ", "q quit"])
        .await;

    terminal.press("Enter");
    terminal
        .shows(&[
            "to go",
            "conditions of",
            "error rate ≥ 8%",
            "closed → open",
            "q back",
        ])
        .await;

    terminal.press("c");
    terminal.shows(&["close pay", "y/n"]).await;
    terminal.press("n");
    terminal.press("q");
    terminal.shows(&["ROUTE", "auto"]).await;
    terminal.press("c");
    terminal.press("y");
    terminal.shows(&["● closed", "forced closed"]).await;

    terminal.resize("120", "40");
    terminal.shows(&["POLICY", "RATE, LATELY"]).await;
    terminal.resize("50", "12");
    eventually!(!terminal.screen().contains("POLICY"));
    terminal
        .shows(&["STATE", "● forced", "pay", "ERRORS"])
        .await;

    terminal.press("q");
    terminal.shows(&["what was there before"]).await;
    assert!(
        !terminal.screen().contains("STATE"),
        "{}",
        terminal.screen()
    );
    terminal.enter("echo code $?");
    terminal.shows(&["code 0"]).await;
}

#[tokio::test]
async fn top_asks_for_the_token_where_one_is_needed() {
    let upstream = Upstream::start().await;
    let token = ("BREAKER_CONTROL_TOKEN", "0123456789abcdef0123456789abcdef");
    let setup = Setup::of(upstream.address()).env(token.0, token.1);
    let sidecar = setup.start().await;
    let terminal = Terminal::start(100, 10);
    terminal.enter(&format!("unset BREAKER_CONTROL_TOKEN; {}", top(&sidecar)));
    terminal.shows(&["● closed"]).await;
    terminal.press("o");
    terminal.press("y");
    terminal
        .shows(&["--token-file or BREAKER_CONTROL_TOKEN"])
        .await;
}

#[tokio::test]
async fn top_finds_a_terminal_again_when_it_is_told_to_end() {
    let (_upstream, sidecar) = with_an_open_route().await;
    let terminal = Terminal::start(80, 24);
    let pid = pid_file(&terminal);
    let line = format!("sh -c 'echo $$ >{pid}; exec \"$@\"' sh {}", top(&sidecar));
    terminal.enter(&line);
    terminal.shows(&["○ open"]).await;
    let pid = std::fs::read_to_string(pid).unwrap();
    let killed = Command::new("kill").args(["-TERM", pid.trim()]).status();
    assert!(killed.unwrap().success());
    terminal.shows(&["exec"]).await;
    terminal.enter("echo code $?");
    terminal.shows(&["code 0"]).await;
}

fn pid_file(terminal: &Terminal) -> String {
    terminal.directory.path().join("pid").display().to_string()
}

#[tokio::test]
async fn top_in_a_pipe_prints_the_table_once() {
    let (_upstream, sidecar) = with_an_open_route().await;
    let admin = format!("http://{}", sidecar.admin_address());
    let output = breaker(["top", "--admin", &admin]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let lines: Vec<_> = text.lines().collect();
    let [_, route, "", sidecar_line, sandbox] = lines[..] else {
        panic!("{text}");
    };
    assert!(sandbox.starts_with("sandbox: "), "{text}");
    assert!(route.starts_with("pay    open"), "{text}");
    assert!(sidecar_line.starts_with("breaker "), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");

    let output = breaker(["top", "--json", "--admin", &admin])
        .output()
        .unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["breakers"][0]["state"], "open");
}

#[test]
fn top_says_that_nothing_is_there() {
    let output = breaker(["top", "--admin", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("nothing listens at http://127.0.0.1:1"),
        "{text}"
    );
}
