//! Tests of real time, on a machine that may do something else meanwhile.

use std::env;
use std::fs::OpenOptions;
use std::future::poll_fn;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

/// Runs a test whose steps have to come in time: `attempt`, until one passes, or fails though the
/// machine let this process run all the while.
///
/// An attempt that fails after this process had to wait for 20 ms says nothing of the program
/// under test: its limits were over, or its windows, before the test could go on. It is repeated, a
/// few times. A failure on a machine that is idle counts at once. A fault that shows in some runs
/// only may pass so on a busy one: each repetition is written to the file that the variable
/// `BREAKER_REPEATED` names, and `./test` shows it.
///
/// # Panics
/// As the last attempt.
pub async fn calmly(attempt: impl AsyncFn()) {
    let watch = || {
        let watch = Watch::start();
        move || watch.longest()
    };
    repeat(attempt, watch, tell).await;
}

/// `watch` begins to watch, and what it returns says for how long the process was held up. `tell`
/// hears it before another attempt.
async fn repeat<W: FnOnce() -> Duration>(
    attempt: impl AsyncFn(),
    watch: impl Fn() -> W,
    tell: impl Fn(Duration),
) {
    for left in (0..ATTEMPTS).rev() {
        let held_up = watch();
        let Err(panic) = caught(attempt()).await else {
            return;
        };
        let held_up = held_up();
        if held_up < HELD_UP || left == 0 {
            resume_unwind(panic);
        }
        tell(held_up);
    }
}

/// The panic of a future, if it ends so.
async fn caught<T>(future: impl Future<Output = T>) -> thread::Result<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or_else(|panic| Poll::Ready(Err(panic)), |poll| poll.map(Ok))
    })
    .await
}

#[expect(clippy::print_stderr, reason = "it belongs to the panic before it")]
fn tell(held_up: Duration) {
    eprintln!("once more, as the machine held this test up for {held_up:?}");
    if let Some(file) = env::var_os("BREAKER_REPEATED") {
        let thread = thread::current();
        let test = thread.name().unwrap_or("a test without a name");
        let file = OpenOptions::new().create(true).append(true).open(file);
        // One write, so that lines of tests that run at once stay whole.
        let line = format!("{test}\n");
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("a file for repeated tests");
    }
}

/// A thread that wants to run every few milliseconds, and how long it could not.
struct Watch(Arc<Seen>);

struct Seen {
    began: Instant,
    /// When the thread ran last, in microseconds after it began.
    ran: AtomicU64,
    /// In microseconds.
    longest: AtomicU64,
    over: AtomicBool,
}

impl Watch {
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own sleeps, by a clock that no test pauses"
    )]
    fn start() -> Self {
        let seen = Arc::new(Seen {
            began: Instant::now(),
            ran: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let watch = Self(seen.clone());
        thread::spawn(move || {
            while !seen.over.load(Ordering::Relaxed) {
                thread::sleep(TICK);
                seen.look();
            }
        });
        watch
    }

    /// How long this process had to wait at most.
    fn longest(&self) -> Duration {
        // The thread may not run yet though this one does.
        self.0.look();
        Duration::from_micros(self.0.longest.load(Ordering::Relaxed))
    }
}

impl Seen {
    fn look(&self) {
        let now = self.began.elapsed().as_micros() as u64;
        let since = now.saturating_sub(self.ran.swap(now, Ordering::Relaxed));
        let late = since.saturating_sub(TICK.as_micros() as u64);
        self.longest.fetch_max(late, Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// From then on it may be why an attempt failed: what the tests do in time, they do in tens of
/// milliseconds.
const HELD_UP: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(2);
const ATTEMPTS: u32 = 3;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::process::{self, Command};
    use std::time::Duration;

    use super::{ATTEMPTS, HELD_UP, Watch, caught, repeat};

    /// Attempts of which the first ones fail: how many were made, and whether the last one passed.
    async fn made(failing: u32, held_up: Duration) -> (u32, bool) {
        let made = Cell::new(0);
        let attempt = async || {
            made.set(made.get() + 1);
            assert!(made.get() > failing, "as it was told");
        };
        let passed = caught(repeat(attempt, || move || held_up, |_| {}))
            .await
            .is_ok();
        (made.get(), passed)
    }

    #[tokio::test]
    async fn only_what_fails_while_it_was_held_up_is_repeated() {
        assert_eq!(made(0, HELD_UP).await, (1, true));
        assert_eq!(made(2, HELD_UP).await, (3, true));
        assert_eq!(made(2, HELD_UP / 2).await, (1, false));
        assert_eq!(made(ATTEMPTS, HELD_UP).await, (ATTEMPTS, false));
    }

    #[test]
    fn a_process_that_was_stopped_was_held_up() {
        let watch = Watch::start();
        let id = process::id();
        let stop = format!("kill -STOP {id}; sleep 0.1; kill -CONT {id}");
        let stopped = Command::new("sh").args(["-c", &stop]).status();
        assert!(stopped.unwrap().success());
        let longest = watch.longest();
        assert!(longest > Duration::from_millis(50), "{longest:?}");
    }
}
