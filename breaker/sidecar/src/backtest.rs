//! `breaker backtest`: what policies would have done on recorded traffic.
//!
//! The way of a request: `source` decompresses a file or standard input and cuts it into records.
//! `formats` recognises the format, whose reader turns records into requests (`line`). `judge`
//! applies the failure rules of each policy to a request. `reorder` sorts the requests by their
//! start. The breakers of their route, one for each policy, get them by [`Replay`]. The result is a
//! [`Findings`]. Its [`BacktestDocument`] can be written as text, JSON or an HTML page. `merge`
//! merges the documents of parts (`shard`).
//!
//! Memory is bounded for every trace: see the constants at the end.

mod document;
mod findings;
mod formats;
mod happening;
mod html;
mod judge;
mod line;
mod loss;
mod merge;
mod read;
mod reorder;
mod routes;
mod shard;
mod source;
mod survey;
mod timeline;
mod tune;
mod when;

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use breaker_tower::Policy;
use breaker_tower::breaker_core::policy::yaml::nearest;
use breaker_tower::breaker_core::replay::{Replay, Request};

pub use self::document::BacktestDocument;
pub use self::findings::Unmatched;
pub use self::findings::{Findings, PolicyFindings};
use self::findings::{Ledger, PartOf};
pub use self::happening::Happening;
use self::judge::Judge;
use self::line::Line;
pub use self::loss::Lost;
use self::loss::{Bad, Why};
pub use self::merge::MergeError;
use self::reorder::{Recorded, Reorder};
use self::routes::Routes;
pub use self::shard::{BadShard, Shard};
use self::survey::Survey;
use self::timeline::Timeline;
pub use self::tune::{Candidate, Tuning};

/// What to test, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The policies, by the names that tell them apart: 1 to 16.
    pub policies: Vec<(String, Policy)>,
    /// Only these routes; all if there are none.
    pub routes: Vec<String>,
    /// The format of all traces, one of [`formats`]. `None`: each file's format is recognised.
    pub format: Option<&'static str>,
    /// Time after which a request without an answer has failed. Default 60 s.
    pub timeout: Duration,
    /// By how much time requests may be out of order. Default 60 s.
    pub tolerance: Duration,
    /// Whether the first bad line is an error.
    pub strict: bool,
    /// Whether to keep the timelines that the HTML page shows.
    pub timelines: bool,
    /// Which part of the routes to test; `None` for all.
    pub shard: Option<Shard>,
}

/// A running backtest.
#[derive(Debug)]
pub struct Backtest {
    options: Options,
    policies: Vec<Policy>,
    judge: Judge,
    routes: Routes,
    reorder: Reorder,
    /// Indexed by the number of the route.
    lanes: Vec<Option<Lane>>,
    ledger: Ledger,
    lost: Lost,
    formats: BTreeSet<&'static str>,
    /// Indices of [`Options::routes`] that the trace has.
    matched: HashSet<usize>,
    /// Some of the routes that are not wanted, to suggest a similar name.
    unwanted: HashSet<Box<str>>,
    /// Requests of routes that are not wanted.
    passed: u64,
    survey: Option<Survey>,
    /// Requests of wanted routes, in all parts.
    met: u64,
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
    /// The default options, for `policies`.
    pub const fn new(policies: Vec<(String, Policy)>) -> Self {
        Self {
            policies,
            routes: Vec::new(),
            format: None,
            timeout: Replay::TIMEOUT,
            tolerance: Duration::from_secs(60),
            strict: false,
            timelines: false,
            shard: None,
        }
    }
}

impl Backtest {
    /// The maximum number of policies.
    pub const MOST_POLICIES: usize = Judge::MOST;

    /// A backtest that has read nothing. It ignores policies beyond [`Self::MOST_POLICIES`].
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
            formats: BTreeSet::new(),
            matched: HashSet::new(),
            unwanted: HashSet::new(),
            passed: 0,
            survey: None,
            met: 0,
            options,
        }
    }

    /// Ends the backtest, and with it all requests in flight.
    pub fn finish(self) -> Findings {
        self.finish_survey().0
    }

    /// [`Self::finish`], with the survey.
    fn finish_survey(mut self) -> (Findings, Option<Survey>) {
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
        let unmatched = self.unmatched();
        let timelines = self
            .lanes
            .into_iter()
            .enumerate()
            .filter_map(|(index, lane)| {
                let timeline = lane?.timeline?;
                Some((self.routes.name(index as u32).clone(), timeline))
            });
        let timelines = timelines.collect();
        if let Some(survey) = &mut self.survey {
            survey.finish();
        }
        let routes = self.routes.len();
        let part = PartOf {
            shard: self.options.shard,
            options: self.options.hash(),
            met: self.met,
        };
        let ledger = self.ledger;
        let findings = ledger.findings(self.lost, self.formats, routes, timelines, unmatched, part);
        (findings, self.survey)
    }

    /// Takes a request of a trace.
    fn meet(&mut self, line: &Line<'_>) -> Result<(), Bad> {
        if !self.wants(&line.route) {
            return Ok(());
        }
        self.met += 1;
        let is_here = self
            .options
            .shard
            .is_none_or(|shard| shard.has(&line.route));
        let request = Recorded {
            at: line.at,
            latency: line.latency.map_or(Recorded::NEVER, nanos),
            // Requests of other parts take part in the sorting: they decide which requests are too
            // late.
            route: match is_here {
                true => self.routes.index(&line.route),
                false => Recorded::ELSEWHERE,
            },
            classifications: self.judge.classifications(line.ending),
        };
        if !self.reorder.push(request) && is_here {
            return Err(Bad::new(
                Why::Late,
                format!(
                    "it ended more than {:?} before an earlier line, or more than {MOST_HELD} requests are between",
                    self.options.tolerance
                ),
            ));
        }
        while let Some(request) = self.reorder.pop_due() {
            self.feed(&request);
        }
        Ok(())
    }

    fn wants(&mut self, route: &str) -> bool {
        let wanted = &self.options.routes;
        if wanted.is_empty() {
            return true;
        }
        if let Some(index) = wanted.iter().position(|wanted| wanted == route) {
            self.matched.insert(index);
            return true;
        }
        // To look at each of them would add a fifth to the time of reading.
        self.passed += 1;
        let is_looked_at = self.passed < LOOKED_AT || self.passed.is_multiple_of(64);
        if is_looked_at && self.unwanted.len() < MOST_UNWANTED && !self.unwanted.contains(route) {
            self.unwanted.insert(route.into());
        }
        false
    }

    /// The wanted routes that the trace does not have.
    fn unmatched(&self) -> Vec<Unmatched> {
        let mut known: Vec<_> = self.options.routes.iter().enumerate().collect();
        known.retain(|(index, _)| self.matched.contains(index));
        let known = known.into_iter().map(|(_, route)| &**route);
        let mut known: Vec<_> = known
            .chain(self.unwanted.iter().map(|route| &**route))
            .collect();
        known.sort_unstable();
        let wanted = self.options.routes.iter().enumerate();
        let unmatched = wanted.filter(|(index, _)| !self.matched.contains(index));
        unmatched
            .map(|(_, route)| Unmatched {
                route: route.clone(),
                nearest: nearest(route, &known).map(str::to_owned),
                known: known
                    .iter()
                    .take(MOST_NAMED)
                    .map(|&route| route.to_owned())
                    .collect(),
            })
            .collect()
    }

    fn feed(&mut self, request: &Recorded) {
        if request.route == Recorded::ELSEWHERE {
            return;
        }
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
        if let Some(survey) = &mut self.survey {
            let classification = request.classifications.of(0);
            survey.count(request.route, request.at, latency, classification);
        }
        let mut rejected_by = 0;
        for (policy, replay) in lane.replays.iter_mut().enumerate() {
            let classification = request.classifications.of(policy);
            if !replay.request(&Request {
                at: request.at,
                latency,
                classification,
                timed_out: request.classifications.timed_out(),
            }) {
                rejected_by |= 1 << policy;
            }
            self.ledger
                .take(policy, self.routes.name(request.route), replay);
        }
        if let Some(timeline) = &mut lane.timeline {
            timeline.count(request.at, latency, request.classifications, rejected_by);
        }
    }
}

/// The possible values of [`Options::format`].
pub fn formats() -> impl Iterator<Item = &'static str> {
    formats::names()
}

fn nanos(latency: Duration) -> u64 {
    // A request of more than 584 years counts as one without an answer.
    u64::try_from(latency.as_nanos()).unwrap_or(Recorded::NEVER)
}

/// Any constant will do. It makes a backtest repeatable.
const SEED: u64 = 1;
/// Routes with breakers of their own. Further routes share one, called `other`.
pub const MOST_ROUTES: usize = 10_000;
/// Requests that wait to be sorted: 48 MB.
const MOST_HELD: usize = 2 << 20;
/// Routes that the HTML page can show: the first ones of the trace.
const MOST_TIMELINES: usize = 64;
/// Unwanted routes that are remembered.
const MOST_UNWANTED: usize = 1000;
/// Requests of unwanted routes of which every name is looked at. After these, each 64th is.
const LOOKED_AT: u64 = 10_000;
/// Routes that are listed if a wanted one was not found.
const MOST_NAMED: usize = 5;

#[cfg(test)]
mod tests;
