//! Reads the files of a backtest: their order, formats and errors.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use breaker_tower::breaker_core::Timestamp;
use serde::de::IgnoredAny;

use super::formats::{self, Format, Reader};
use super::loss::{Bad, Why};
use super::source::{self, Lines, Text};
use super::{Backtest, TraceError};

/// A trace that is read.
#[derive(Default)]
struct Trace {
    reader: Option<Box<dyn Reader>>,
    /// The line of the first record without a known format, and its error.
    unknown: Option<(u64, String)>,
    /// Records before the first one of a known format.
    before: u64,
}

impl Backtest {
    /// Reads the traces at `paths`, in the order of their first requests. `-` is standard input.
    /// Calls `complain` with errors of lines.
    ///
    /// # Errors When a file can't be opened or has no known format. In a strict backtest, also at
    /// the first bad line.
    pub fn read_files(
        &mut self,
        paths: &[impl AsRef<Path>],
        mut complain: impl FnMut(&str),
    ) -> Result<(), TraceError> {
        let mut begins = Vec::new();
        for path in paths.iter().map(AsRef::as_ref) {
            begins.push((first_time(path, self.format())?, path));
        }
        // The names of rotated files don't help: the latest one is the first, and 10 is before 2.
        begins.sort_by_key(|(begins, _)| *begins);
        for (_, path) in begins {
            self.read(&path.display().to_string(), open(path)?, &mut complain)?;
        }
        Ok(())
    }

    /// Reads a trace called `name`. Calls `complain` with errors of lines.
    ///
    /// # Errors When it has no known format. In a strict backtest, also at the first bad line.
    pub fn read(
        &mut self,
        name: &str,
        input: impl Read,
        mut complain: impl FnMut(&str),
    ) -> Result<(), TraceError> {
        let mut lines = Lines::new(input);
        let mut trace = Trace::default();
        let mut is_over = false;
        while !is_over {
            let number = lines.number();
            let bad = match lines.next() {
                Ok(None) => break,
                Ok(Some(Text::Whole(record))) if record.trim_ascii().is_empty() => None,
                Ok(Some(Text::Whole(record))) => self.read_record(name, &mut trace, record)?.err(),
                Ok(Some(Text::TooLong)) => {
                    Some(Bad::new(Why::TooLong, "more than 64 MiB in one line"))
                }
                // The file is truncated or broken. The lines before this count.
                Err(error) => {
                    is_over = true;
                    Some(Bad::new(
                        Why::CutOff,
                        format!("can't be read further: {error}"),
                    ))
                }
            };
            if let Some(bad) = bad {
                let line = if is_over { number + 1 } else { lines.number() };
                if bad.why == Why::Unknown && trace.unknown.is_none() {
                    trace.unknown = Some((line, bad.text.clone()));
                }
                self.blame(&format!("{name}:{line}: "), &bad, &mut complain)?;
            }
            if trace.before >= FIRST_RECORDS {
                break;
            }
        }
        if let (None, Some((line, _))) = (&trace.reader, trace.unknown) {
            let known = formats::names().collect::<Vec<_>>().join(", ");
            return Err(TraceError(format!(
                "{name}:{line}: the file is of no format that is known ({known}); --format says which it is"
            )));
        }
        if let Some(why) = trace.reader.and_then(|reader| reader.nothing()) {
            complain(&format!("{name} has no requests: {why}"));
        }
        Ok(())
    }

    /// The outer error ends the backtest.
    fn read_record(
        &mut self,
        name: &str,
        trace: &mut Trace,
        record: &[u8],
    ) -> Result<Result<(), Bad>, TraceError> {
        let reader = match &mut trace.reader {
            Some(reader) => reader,
            None => {
                let Some(format) = self.format().or_else(|| formats::recognise(record)) else {
                    trace.before += 1;
                    return Ok(Err(Bad::new(Why::Unknown, unknown(record))));
                };
                let reader = format
                    .reader(record)
                    .map_err(|why| TraceError(format!("{name} is {}: {why}", format.what)))?;
                self.formats.insert(format.name);
                trace.reader.insert(reader)
            }
        };
        let mut late = Ok(());
        let read = reader.read(record, &mut |line| {
            if let Err(bad) = self.meet(line) {
                late = Err(bad);
            }
        });
        Ok(read.and(late))
    }

    fn format(&self) -> Option<&'static Format> {
        self.options.format.and_then(formats::named)
    }

    fn blame(
        &mut self,
        place: &str,
        bad: &Bad,
        complain: &mut impl FnMut(&str),
    ) -> Result<(), TraceError> {
        let problem = format!("{place}{}", bad.text);
        if self.options.strict {
            return Err(TraceError(problem));
        }
        // Only the first part reports lines that belong to no route.
        let is_elsewhere = self.options.shard.is_some_and(|shard| !shard.is_first());
        if is_elsewhere && bad.why != Why::Late {
            return Ok(());
        }
        self.lost.count(bad.why);
        match self.lost.lines {
            ..=MOST_COMPLAINTS => complain(&problem),
            MORE_COMPLAINTS => complain("further bad lines are only counted"),
            _ => {}
        }
        Ok(())
    }
}

fn unknown(record: &[u8]) -> String {
    if let Ok(fields) = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(record) {
        let fields: Vec<_> = fields.into_keys().take(8).collect();
        return format!("the fields {} are of no known format", fields.join(", "));
    }
    let text = String::from_utf8_lossy(&record[..record.len().min(200)]);
    let begin: String = text.trim().chars().take(60).collect();
    format!("expected a line of a known format, not {begin:?}")
}

fn open(path: &Path) -> Result<Box<dyn Read>, TraceError> {
    source::open(path)
        .map_err(|error| TraceError(format!("{} can't be read: {error}", path.display())))
}

/// When the first good request among the first records of the file at `path` began. Standard input
/// can't be read twice, so it comes first.
fn first_time(path: &Path, format: Option<&'static Format>) -> Result<Timestamp, TraceError> {
    let mut first = None;
    if path.as_os_str() == "-" {
        return Ok(Timestamp::ZERO);
    }
    let mut lines = Lines::new(open(path)?);
    let mut reader: Option<Box<dyn Reader>> = None;
    for _ in 0..FIRST_RECORDS {
        let Ok(Some(Text::Whole(record))) = lines.next() else {
            break;
        };
        if reader.is_none() {
            let format = format.or_else(|| formats::recognise(record));
            reader = format.and_then(|format| format.reader(record).ok());
        }
        if let Some(reader) = &mut reader {
            // Errors are reported later, when the whole file is read.
            let _ = reader.read(record, &mut |line| {
                first = Some(first.map_or(line.at, |first: Timestamp| first.min(line.at)));
            });
        }
        if first.is_some() {
            break;
        }
    }
    Ok(first.unwrap_or_default())
}

/// Bad lines that are reported.
const MOST_COMPLAINTS: u64 = 10;
const MORE_COMPLAINTS: u64 = MOST_COMPLAINTS + 1;
/// Records that are searched for a file's format and first request.
const FIRST_RECORDS: u64 = 100;
