//! What became of each request, and what explains it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a fault is felt after its end: connections of its time are still in pools.
const AFTERMATH: Duration = Duration::from_secs(2);
/// How long a breaker may reject after a fault: the longest answer, open times, probes and ramp.
const RECOVERY: Duration = Duration::from_secs(15);
/// Examples of lost requests that are kept.
const EXAMPLES: usize = 20;

/// Results by kind of traffic.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<BTreeMap<&'static str, BTreeMap<String, u64>>>,
    lost: Mutex<Lost>,
}

#[derive(Debug, Default)]
struct Lost {
    count: u64,
    examples: Vec<String>,
}

impl Tally {
    pub(crate) fn count(&self, kind: &'static str, result: impl Into<String>) {
        *lock(&self.counts)
            .entry(kind)
            .or_default()
            .entry(result.into())
            .or_default() += 1;
    }

    /// A request that nothing explains.
    pub(crate) fn lose(&self, kind: &'static str, how: &str) {
        self.count(kind, "LOST");
        let mut lost = lock(&self.lost);
        lost.count += 1;
        if lost.examples.len() < EXAMPLES {
            lost.examples.push(format!("{kind}: {how}"));
        }
    }

    /// How many were lost, and the first of them.
    pub(crate) fn lost(&self) -> (u64, Vec<String>) {
        let lost = lock(&self.lost);
        (lost.count, lost.examples.clone())
    }

    /// How many results of this kind there are.
    pub(crate) fn of(&self, kind: &str) -> u64 {
        lock(&self.counts)
            .get(kind)
            .map_or(0, |results| results.values().sum())
    }

    /// A line for each kind.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        for (kind, results) in &*lock(&self.counts) {
            let _ = write!(table, "  {kind:10}");
            for (result, count) in results {
                let _ = write!(table, "  {result}: {count}");
            }
            table.push('\n');
        }
        table
    }
}

/// When something was wrong that callers may notice.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Vec<Fault>>);

#[derive(Debug)]
struct Fault {
    name: &'static str,
    end: Option<Instant>,
}

impl Trouble {
    pub(crate) fn begin(&self, name: &'static str) {
        let mut faults = lock(&self.0);
        faults.push(Fault { name, end: None });
        let old = faults.len().saturating_sub(8);
        faults.drain(..old);
    }

    pub(crate) fn end(&self) {
        if let Some(fault) = lock(&self.0).last_mut() {
            fault.end = Some(Instant::now());
        }
    }

    /// The last one, for who wants to know what a lost request met.
    pub(crate) fn last(&self) -> String {
        let faults = lock(&self.0);
        faults.last().map_or("no fault yet".into(), |fault| {
            let over = fault.end.map(|end| format!("for {:.1?}", end.elapsed()));
            format!(
                "{}, over {}",
                fault.name,
                over.as_deref().unwrap_or("not yet")
            )
        })
    }

    /// Whether it explains that a request which began `since` failed.
    pub(crate) fn explains(&self, since: Instant) -> bool {
        self.lasted_until(since - AFTERMATH)
    }

    /// Whether it explains that a connection or stream of a caller was reset: what was answered,
    /// and the caller had not read yet, is lost by that. Only faults that end connections do; all
    /// others must be answered.
    pub(crate) fn cuts(&self, since: Instant) -> bool {
        let last = self.last();
        let mut cuts = ["cut off", "killed", "reset", "no HTTP"].iter();
        self.explains(since) && cuts.any(|cut| last.starts_with(cut))
    }

    /// Whether it explains that a breaker rejected a request which began `since`.
    pub(crate) fn explains_rejection(&self, since: Instant) -> bool {
        self.lasted_until(since - RECOVERY)
    }

    fn lasted_until(&self, time: Instant) -> bool {
        let faults = lock(&self.0);
        let mut ends = faults.iter().map(|fault| fault.end);
        ends.any(|end| end.is_none_or(|end| end >= time))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
