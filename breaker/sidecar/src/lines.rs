//! Lines of the log on their way out: a bounded queue, and a thread that does nothing but write.
//!
//! The log is best effort. Whoever logs waits for nothing: while nobody reads, the disk is full or
//! the reader is gone, lines are dropped and counted, and the first line that can be written again
//! tells how many.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The queue of a log, and the thread behind it, once there is one. Dropped, what waits is still
/// written.
pub struct Lines {
    shared: Arc<LineQueue>,
    /// Until it has its thread.
    unstarted: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

struct LineQueue {
    waiting: Mutex<Waiting>,
    /// There is a line to write, or nobody logs any more.
    filled: Condvar,
    /// All lines are written.
    emptied: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    is_writing: bool,
    is_closed: bool,
}

/// The thread's side.
struct Writer<W> {
    shared: Arc<LineQueue>,
    sink: W,
    /// Makes the line that tells of so many that were dropped.
    notice: fn(u64) -> Vec<u8>,
    told: u64,
    told_at: Option<Instant>,
    /// Whether the last line broke off in its middle.
    is_torn: bool,
}

// === impl Lines ===

impl Lines {
    /// Queues lines for `sink`, which nobody writes before [`Self::begin`]. `notice` makes the line
    /// that tells how many were dropped.
    pub fn held(sink: impl Write + Send + 'static, notice: fn(u64) -> Vec<u8>) -> Self {
        let shared = Arc::new(LineQueue {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = Writer {
            shared: shared.clone(),
            sink,
            notice,
            told: 0,
            told_at: None,
            is_torn: false,
        };
        Self {
            shared,
            unstarted: Mutex::new(Some(Box::new(move || writer.run()))),
        }
    }

    /// Starts the thread that writes, unless it runs.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn begin(&self) -> io::Result<()> {
        let unstarted = self.unstarted.lock();
        let unstarted = unstarted.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = unstarted {
            let thread = std::thread::Builder::new().name("log".to_owned());
            thread.spawn(work)?;
        }
        Ok(())
    }

    /// Queues a line with its end, or drops and counts it. Waits for nothing.
    pub fn push(&self, line: Vec<u8>) {
        if captured(&line) {
            return;
        }
        let mut waiting = self.shared.waiting();
        let bytes = waiting.bytes + line.len();
        if waiting.lines.len() >= MOST_LINES || bytes > MOST_BYTES {
            self.shared.drop_one();
            return;
        }
        waiting.bytes = bytes;
        waiting.lines.push_back(line);
        drop(waiting);
        self.shared.filled.notify_one();
    }

    /// How many lines were dropped.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, but not for longer than `most`. Whether they are.
    pub fn flush(&self, most: Duration) -> bool {
        let waiting = self.shared.waiting();
        let rest = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        let waited = self.shared.emptied.wait_timeout_while(waiting, most, rest);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.shared.waiting().is_closed = true;
        self.shared.filled.notify_one();
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

/// `text` on one line, without what can't be printed: that is escaped.
pub fn printable(text: &str) -> String {
    escaped(text, is_unprintable)
}

/// `text` with the escapes of JSON for what is special, so that they may stand in either format.
pub(crate) fn escaped(text: &str, is_special: fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if is_special(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // A string takes whatever is written to it.
                let _ = write!(plain, "\\u{unit:04x}");
            }
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Whether a character shows nothing of its own: what a client sends must neither command a
/// terminal, nor look like another line, nor make others look as what they are not, as those do
/// that turn the direction of text.
fn is_unprintable(c: char) -> bool {
    // What std escapes it does by the tables of Unicode, but quotes and the backslash.
    !matches!(c, '"' | '\'' | '\\') && c.escape_debug().len() > 1
}

/// How many lines of all logs of the process were dropped.
pub(crate) fn dropped_by_process() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Runs `log`, and returns the lines that it logs instead of queueing them: for the notice, which
/// must not fall out of a full queue.
pub fn capture(log: impl FnOnce()) -> Vec<u8> {
    CAPTURED.set(Some(Vec::new()));
    log();
    CAPTURED.take().unwrap_or_default()
}

fn captured(line: &[u8]) -> bool {
    CAPTURED.with_borrow_mut(|captured| {
        let Some(lines) = captured else {
            return false;
        };
        lines.extend_from_slice(line);
        true
    })
}

// === impl Shared ===

impl LineQueue {
    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No panic can leave it half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next line; `None` after `most`, or, with a `bool` that says so, when there will be no
    /// more.
    fn next(&self, most: Option<Duration>) -> (Option<Vec<u8>>, bool) {
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        if waiting.lines.is_empty() {
            self.emptied.notify_all();
        }
        let idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.is_closed;
        waiting = match most {
            Some(most) => {
                let waited = self.filled.wait_timeout_while(waiting, most, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = self.filled.wait_while(waiting, idle);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        };
        let line = waiting.lines.pop_front();
        waiting.bytes -= line.as_ref().map_or(0, Vec::len);
        waiting.is_writing = line.is_some();
        let ended = line.is_none() && waiting.is_closed;
        (line, ended)
    }
}

// === impl Writer ===

impl<W: Write> Writer<W> {
    fn run(mut self) {
        loop {
            // While drops are to be told, the sink is tried again though nobody logs.
            let untold = self.dropped() > self.told;
            let (line, ended) = self.shared.next(untold.then_some(RETRY));
            if ended {
                return;
            }
            if let Some(line) = line
                && self.write(&line).is_err()
            {
                self.shared.drop_one();
                continue;
            }
            self.tell();
        }
    }

    /// Tells how many lines were dropped, once a minute.
    fn tell(&mut self) {
        let dropped = self.dropped();
        let is_due = self
            .told_at
            .is_none_or(|at| at.elapsed() >= BETWEEN_NOTICES);
        if dropped == self.told || !is_due {
            return;
        }
        let notice = (self.notice)(dropped - self.told);
        if self.write(&notice).is_ok() {
            self.told = dropped;
            self.told_at = Some(Instant::now());
        }
    }

    fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.write_all(b"\n")?;
            self.is_torn = false;
        }
        self.write_all(line)
    }

    /// As `Write::write_all`, and waits where the file is one that doesn't: another process may
    /// have made it so.
    fn write_all(&mut self, mut rest: &[u8]) -> io::Result<()> {
        let whole = rest.len();
        while !rest.is_empty() {
            match self.sink.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::park_timeout(WOULD_BLOCK);
                }
                Err(error) => {
                    self.is_torn |= rest.len() < whole;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

static DROPPED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static CAPTURED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// What waits for a reader at most: some seconds of a busy log.
const MOST_LINES: usize = 16 * 1024;
const MOST_BYTES: usize = 4 << 20;
const BETWEEN_NOTICES: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(1);
const WOULD_BLOCK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
