//! A child process whose output is kept, and which ends with its value.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

/// A running program. Dropping it kills it; if the test is failing, what it printed is printed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<String>>,
    stall: Arc<Stall>,
}

/// Whether what the program prints is left in its pipes.
#[derive(Debug, Default)]
struct Stall {
    on: Mutex<bool>,
    over: Condvar,
}

impl Process {
    /// Starts `command` with nothing on its standard input.
    pub fn spawn(mut command: Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let (log, stall) = (Arc::default(), Arc::default());
        if let Some(stderr) = &child.stderr {
            // A page, so that a reader that stalls is felt soon. Where it can't be, it is felt
            // later.
            let _ = fcntl_setpipe_size(stderr, 4096);
        }
        keep(child.stdout.take(), &log, &stall);
        keep(child.stderr.take(), &log, &stall);
        Self {
            name,
            child,
            log,
            stall,
        }
    }

    /// Stops reading what it prints, but for one more line of each kind, or goes on.
    pub fn stall_log(&self, stall: bool) {
        *lock(&self.stall.on) = stall;
        self.stall.over.notify_all();
    }

    /// Forgets what it has printed, for tests that run for long.
    pub fn forget_log(&self) {
        lock(&self.log).clear();
    }

    /// Everything that it has printed so far, standard output and standard error as they came.
    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    /// Waits until it has printed something that `find` makes a value of.
    pub async fn wait_for<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let mut found;
        eventually!(
            {
                found = find(&self.log());
                found.is_some() || self.exit_status().is_some()
            },
            "{} printed no {what}",
            self.name
        );
        match found.or_else(|| find(&self.log())) {
            Some(value) => value,
            None => panic!("{} ended before it printed {what}", self.name),
        }
    }

    /// Asks it to end, as a service manager does: SIGTERM.
    pub fn terminate(&self) {
        // The process is not reaped before `self.child` is waited for, so the id is still its own.
        let _ = kill_process(self.pid(), Signal::TERM);
    }

    /// Asks it to load its configuration anew: SIGHUP.
    pub fn hang_up(&self) {
        let _ = kill_process(self.pid(), Signal::HUP);
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually!(self.exit_status().is_some(), "{} still runs", self.name);
        self.exit_status().expect("it has just been seen to end")
    }

    /// Its exit status, if it has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "a failing test shows the programs' output"
    )]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stall_log(false);
        if thread::panicking() {
            eprintln!("---- {} ----\n{}", self.name, self.log());
        }
    }
}

/// Appends what `source` yields to `log` until its end, by lines so that two sources don't mix.
fn keep(source: Option<impl Read + Send + 'static>, log: &Arc<Mutex<String>>, stall: &Arc<Stall>) {
    let Some(source) = source else { return };
    let (log, stall) = (Arc::clone(log), Arc::clone(stall));
    thread::spawn(move || {
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        while matches!(source.read_until(b'\n', &mut line), Ok(1..)) {
            lock(&log).push_str(&String::from_utf8_lossy(&line));
            line.clear();
            let waiting = stall.over.wait_while(lock(&stall.on), |on| *on);
            drop(waiting.unwrap_or_else(PoisonError::into_inner));
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
