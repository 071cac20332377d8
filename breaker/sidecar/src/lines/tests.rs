use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// A reader that takes a write whenever the test says how it ends.
struct Reader {
    results: Receiver<io::Result<usize>>,
    written: Sender<Vec<u8>>,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.results.recv().unwrap_or(Ok(usize::MAX))?;
        let taken = taken.min(bytes.len());
        self.written.send(bytes[..taken].to_vec()).ok();
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Log {
    lines: Lines,
    results: Sender<io::Result<usize>>,
    written: Receiver<Vec<u8>>,
}

fn log() -> Log {
    let (results, to_come) = channel();
    let (written, received) = channel();
    let reader = Reader {
        results: to_come,
        written,
    };
    let notice = |dropped| format!("{dropped} dropped\n").into_bytes();
    let lines = Lines::held(reader, notice);
    lines.begin().unwrap();
    Log {
        lines,
        results,
        written: received,
    }
}

impl Log {
    fn takes(&self) -> String {
        self.results.send(Ok(usize::MAX)).unwrap();
        String::from_utf8(self.written.recv().unwrap()).unwrap()
    }

    fn fails(&self, kind: ErrorKind) {
        self.results.send(Err(kind.into())).unwrap();
    }
}

fn line(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

#[test]
fn while_nobody_reads_who_logs_does_not_wait_and_what_is_lost_is_told() {
    let log = log();
    // The reader takes none of them, and this ends.
    for _ in 0..MOST_LINES + 100 {
        log.lines.push(line("x"));
    }
    let dropped = log.lines.dropped();
    assert!((99..=100).contains(&dropped), "{dropped}");
    assert!(!log.lines.flush(Duration::from_millis(1)));
    assert_eq!(log.takes(), "x\n");
    assert_eq!(log.takes(), format!("{dropped} dropped\n"));
    assert_eq!(log.takes(), "x\n");
}

#[test]
fn memory_has_a_bound_too() {
    let log = log();
    for _ in 0..20 {
        log.lines.push(vec![b'x'; MOST_BYTES / 4]);
    }
    assert!(
        (15..=16).contains(&log.lines.dropped()),
        "{log:?}",
        log = log.lines
    );
}

#[test]
fn what_cannot_be_written_is_lost_and_nothing_else() {
    for kind in [
        ErrorKind::BrokenPipe,
        ErrorKind::StorageFull,
        ErrorKind::Other,
    ] {
        let log = log();
        log.lines.push(line("lost"));
        log.fails(kind);
        log.lines.push(line("next"));
        assert_eq!(log.takes(), "next\n", "{kind:?}");
        assert_eq!(log.takes(), "1 dropped\n");
        assert_eq!(log.lines.dropped(), 1);
    }
}

#[test]
fn drops_are_told_though_nobody_logs_any_more() {
    let log = log();
    log.lines.push(line("lost"));
    log.fails(ErrorKind::StorageFull);
    assert_eq!(log.takes(), "1 dropped\n");
}

#[test]
fn a_line_that_broke_off_is_not_continued_by_the_next() {
    let log = log();
    log.lines.push(line("half"));
    log.results.send(Ok(2)).unwrap();
    assert_eq!(log.written.recv().unwrap(), b"ha");
    log.fails(ErrorKind::StorageFull);
    log.lines.push(line("next"));
    assert_eq!(log.takes(), "\n");
    assert_eq!(log.takes(), "next\n");
}

#[test]
fn a_file_that_would_block_is_waited_for() {
    let log = log();
    log.lines.push(line("here"));
    log.fails(ErrorKind::WouldBlock);
    log.fails(ErrorKind::Interrupted);
    assert_eq!(log.takes(), "here\n");
    assert!(log.lines.flush(Duration::from_secs(10)));
    assert_eq!(log.lines.dropped(), 0);
}

#[test]
fn what_is_captured_takes_no_place_in_the_queue() {
    let log = log();
    let captured = capture(|| log.lines.push(line("kept")));
    assert_eq!(captured, b"kept\n");
    assert!(log.lines.flush(Duration::ZERO));
}

#[test]
fn lines_wait_for_the_thread() {
    let (results, to_come) = channel();
    let (written, received) = channel();
    let reader = Reader {
        results: to_come,
        written,
    };
    results.send(Ok(usize::MAX)).unwrap();
    let lines = Lines::held(reader, |_| Vec::new());
    lines.push(line("early"));
    assert!(!lines.flush(Duration::ZERO));
    assert!(received.try_recv().is_err());
    lines.begin().unwrap();
    lines.begin().unwrap();
    assert_eq!(received.recv().unwrap(), line("early"));
}
