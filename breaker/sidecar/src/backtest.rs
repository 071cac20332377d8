//! `breaker backtest`: what policies would have done on recorded traffic.
//!
//! The way of a request: a file or standard input is decompressed and cut into lines (`source`); a line is a request (`line`) or a batch of
//! spans (`spans`), which each policy judges by its failure rules (`judge`); requests are put into the order of their start (`reorder`) and
//! fed to the breakers of their route, one for each policy ([`Replay`]). What came of it is a [`Findings`], told as
//! [`text`](Findings::text), [`json`](Findings::json) or [`html`](Findings::html).
//!
//! Memory is bounded, whatever the trace: see the constants at the end.

mod findings;
mod html;
mod judge;
mod line;
mod reorder;
mod routes;
mod source;
mod spans;
mod timeline;

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use breaker_tower::Policy;
use breaker_tower::core::Timestamp;
use breaker_tower::core::replay::{Replay, Request};

use self::findings::Ledger;
pub use self::findings::{Findings, Lost, Move, PolicyFindings};
use self::judge::Judge;
use self::reorder::{Recorded, Reorder};
use self::routes::Routes;
use self::source::{Lines, Text};
use self::timeline::Timeline;

/// What to test, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The policies, by the names that tell them apart: 1 to 16.
    pub policies: Vec<(String, Policy)>,
    /// Only these routes; all if there are none.
    pub routes: Vec<String>,
    /// When a request that was never answered has failed. Default 60 s.
    pub timeout: Duration,
    /// How far requests may be out of order. Default 60 s.
    pub tolerance: Duration,
    /// Whether the first bad line is an error.
    pub strict: bool,
    /// Whether to keep what the page shows.
    pub timelines: bool,
}

/// A backtest under way.
#[derive(Debug)]
pub struct Backtest {
    options: Options,
    policies: Vec<Policy>,
    judge: Judge,
    routes: Routes,
    reorder: Reorder,
    /// By the route's number.
    lanes: Vec<Option<Lane>>,
    ledger: Ledger,
    lost: Lost,
}

/// A route: a breaker for each policy.
#[derive(Debug)]
struct Lane {
    replays: Vec<Replay>,
    timeline: Option<Timeline>,
}

/// A bad line of a strict backtest, or a file that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TraceError(String);

impl Options {
    /// The usual ones, for `policies`.
    pub const fn new(policies: Vec<(String, Policy)>) -> Self {
        Self {
            policies,
            routes: Vec::new(),
            timeout: Replay::TIMEOUT,
            tolerance: Duration::from_secs(60),
            strict: false,
            timelines: false,
        }
    }
}

impl Backtest {
    /// At most so many policies at once.
    pub const MOST_POLICIES: usize = Judge::MOST;

    /// A backtest that has read nothing; of policies beyond the most nothing is told.
    pub fn new(mut options: Options) -> Self {
        options.policies.truncate(Judge::MOST);
        let policies: Vec<_> = options
            .policies
            .iter()
            .map(|(_, policy)| policy.clone())
            .collect();
        Self {
            judge: Judge::new(policies.iter()),
            ledger: Ledger::new(options.policies.iter().map(|(label, _)| label.clone())),
            policies,
            routes: Routes::new(MOST_ROUTES),
            reorder: Reorder::new(options.tolerance, MOST_HELD),
            lanes: Vec::new(),
            lost: Lost::default(),
            options,
        }
    }

    /// Reads the traces at `paths`, the one that begins first first; `-` is standard input. What is wrong with lines goes to `complain`.
    ///
    /// # Errors
    /// When a file can't be opened, or in a strict backtest at the first bad line.
    pub fn read_files(
        &mut self,
        paths: &[impl AsRef<Path>],
        mut complain: impl FnMut(&str),
    ) -> Result<(), TraceError> {
        let mut begins = Vec::new();
        for path in paths.iter().map(AsRef::as_ref) {
            begins.push((first_time(path)?, path));
        }
        // Rotated files have the latest one first, and by name 10 is before 2.
        begins.sort_by_key(|(begins, _)| *begins);
        for (_, path) in begins {
            self.read(&path.display().to_string(), open(path)?, &mut complain)?;
        }
        Ok(())
    }

    /// Reads a trace called `name`. What is wrong with lines goes to `complain`.
    ///
    /// # Errors
    /// In a strict backtest at the first bad line, or where `input` can't be read further.
    pub fn read(
        &mut self,
        name: &str,
        input: impl Read,
        mut complain: impl FnMut(&str),
    ) -> Result<(), TraceError> {
        let mut lines = Lines::new(input);
        let mut is_otlp = None;
        loop {
            let mut is_over = false;
            let problem = match lines.next() {
                Ok(None) => return Ok(()),
                Ok(Some(Text::Whole(line))) if line.trim_ascii().is_empty() => None,
                Ok(Some(Text::Whole(line))) => {
                    match *is_otlp.get_or_insert_with(|| spans::is_otlp(line)) {
                        true => self.read_spans(line).err(),
                        false => self.read_request(line).err(),
                    }
                }
                Ok(Some(Text::TooLong)) => Some("more than 64 MiB in one line".to_owned()),
                // A file that is cut off or broken: what came before counts.
                Err(error) => {
                    is_over = true;
                    Some(format!("can't be read further: {error}"))
                }
            };
            if let Some(problem) = problem {
                let line = lines.number() + u64::from(is_over);
                self.blame(format!("{name}:{line}: {problem}"), &mut complain)?;
            }
            if is_over {
                return Ok(());
            }
        }
    }

    /// All is read: those in flight end.
    pub fn finish(mut self) -> Findings {
        while let Some(request) = self.reorder.pop() {
            self.feed(&request);
        }
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let Some(lane) = lane else { continue };
            let route = self.routes.name(index as u32);
            for (policy, replay) in lane.replays.iter_mut().enumerate() {
                replay.finish();
                self.ledger.take(policy, route, replay);
                self.ledger.close(policy, replay.report());
            }
        }
        let timelines = self
            .lanes
            .into_iter()
            .enumerate()
            .filter_map(|(index, lane)| {
                let timeline = lane?.timeline?;
                Some((self.routes.name(index as u32).clone(), timeline))
            });
        self.ledger
            .findings(self.lost, self.routes.len(), timelines.collect())
    }

    fn read_request(&mut self, line: &[u8]) -> Result<(), String> {
        let line = line::parse(line)?;
        if !is_wanted(&self.options, &line.route) {
            return Ok(());
        }
        let verdicts = self.judge.verdicts(line.ending);
        let latency = line.latency.map_or(Recorded::NEVER, nanos);
        let route = self.routes.index(&line.route);
        self.take(Recorded {
            at: line.at,
            latency,
            route,
            verdicts,
        })
    }

    fn read_spans(&mut self, line: &[u8]) -> Result<(), String> {
        let mut requests = Vec::new();
        let invalid = spans::read(line, |span| {
            if is_wanted(&self.options, span.route) {
                requests.push(Recorded {
                    at: span.at,
                    latency: nanos(span.latency),
                    route: self.routes.index(span.route),
                    verdicts: span.verdicts(&self.policies),
                });
            }
        })?;
        let late = requests
            .into_iter()
            .filter_map(|request| self.take(request).err())
            .last();
        match (invalid, late) {
            (0, None) => Ok(()),
            (0, Some(late)) => Err(late),
            (invalid, _) => Err(format!(
                "{invalid} server spans have no ids, no name or no good times"
            )),
        }
    }

    fn take(&mut self, request: Recorded) -> Result<(), String> {
        if !self.reorder.push(request) {
            self.lost.late += 1;
            return Err(format!(
                "t is more than {:?}, or {MOST_HELD} requests, before that of an earlier line",
                self.options.tolerance
            ));
        }
        while let Some(request) = self.reorder.pop_due() {
            self.feed(&request);
        }
        Ok(())
    }

    fn feed(&mut self, request: &Recorded) {
        let index = request.route as usize;
        if index >= self.lanes.len() {
            self.lanes.resize_with(index + 1, || None);
        }
        let with_timeline = self.options.timelines && index < MOST_TIMELINES;
        let lane = self.lanes[index].get_or_insert_with(|| Lane {
            replays: self
                .policies
                .iter()
                .map(|policy| {
                    Replay::new(policy.clone(), SEED, request.at).with_timeout(self.options.timeout)
                })
                .collect(),
            timeline: with_timeline.then(|| Timeline::new(request.at, self.policies.len())),
        });
        self.ledger.span(request.at);
        let latency =
            (request.latency != Recorded::NEVER).then(|| Duration::from_nanos(request.latency));
        let mut rejected_by = 0;
        for (policy, replay) in lane.replays.iter_mut().enumerate() {
            let verdict = request.verdicts.of(policy);
            if !replay.request(&Request {
                at: request.at,
                latency,
                verdict,
            }) {
                rejected_by |= 1 << policy;
            }
            self.ledger
                .take(policy, self.routes.name(request.route), replay);
        }
        if let Some(timeline) = &mut lane.timeline {
            timeline.count(request.at, latency, request.verdicts, rejected_by);
        }
    }

    fn blame(
        &mut self,
        problem: String,
        complain: &mut impl FnMut(&str),
    ) -> Result<(), TraceError> {
        if self.options.strict {
            return Err(TraceError(problem));
        }
        self.lost.lines += 1;
        match self.lost.lines {
            ..=MOST_COMPLAINTS => complain(&problem),
            MORE_COMPLAINTS => complain("further bad lines are only counted"),
            _ => {}
        }
        Ok(())
    }
}

fn is_wanted(options: &Options, route: &str) -> bool {
    options.routes.is_empty() || options.routes.iter().any(|wanted| wanted == route)
}

fn open(path: &Path) -> Result<Box<dyn Read>, TraceError> {
    source::open(path)
        .map_err(|error| TraceError(format!("{} can't be read: {error}", path.display())))
}

/// When the first good request of the file at `path` began, among its first lines. Standard input can't be read twice: it comes first.
fn first_time(path: &Path) -> Result<Timestamp, TraceError> {
    let mut first = Timestamp::ZERO;
    if path.as_os_str() == "-" {
        return Ok(first);
    }
    let mut lines = Lines::new(open(path)?);
    for _ in 0..FIRST_LINES {
        let Ok(Some(Text::Whole(text))) = lines.next() else {
            break;
        };
        if let Ok(line) = line::parse(text) {
            return Ok(line.at);
        }
        if spans::read(text, |span| first = span.at).is_ok() && first != Timestamp::ZERO {
            break;
        }
    }
    Ok(first)
}

fn nanos(latency: Duration) -> u64 {
    // What takes longer than 584 years has not been answered.
    u64::try_from(latency.as_nanos()).unwrap_or(Recorded::NEVER)
}

/// Any number does: a backtest gives the same answer twice.
const SEED: u64 = 1;
/// Routes with breakers of their own; further ones are one, called `other`.
pub const MOST_ROUTES: usize = 10_000;
/// Requests that are held back to be put in order: 48 MB.
const MOST_HELD: usize = 2 << 20;
/// Routes that the page can show, by their first requests.
const MOST_TIMELINES: usize = 64;
/// Lines whose faults are told.
const MOST_COMPLAINTS: u64 = 10;
const MORE_COMPLAINTS: u64 = MOST_COMPLAINTS + 1;
/// Lines in which a file's first request is looked for.
const FIRST_LINES: usize = 100;

#[cfg(test)]
mod tests;
