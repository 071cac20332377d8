//! Runs every system in every scenario, on all threads it may use.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use crate::scenario::{self, Scenario};
use crate::score::Score;
use crate::system::{self, Setup};
use crate::time::seconds;
use crate::timeline::TimelineData;
use crate::traffic::Traffic;
use crate::world::Simulation;

/// What to run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In which scenarios.
    pub(crate) scenarios: Vec<scenario::NamedScenario>,
    /// Which systems.
    pub(crate) systems: Vec<system::NamedSystem>,
    /// Under which seeds.
    pub(crate) seeds: Vec<u64>,
    /// On how many threads.
    pub(crate) threads: usize,
    /// Whether to keep the timelines of the first seed.
    pub(crate) timelines: bool,
}

/// One system in one scenario under one seed.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// The scenario.
    pub(crate) scenario: &'static str,
    /// The system.
    pub(crate) system: &'static str,
    /// The seed.
    pub(crate) seed: u64,
    /// How it did.
    pub(crate) score: Score,
    /// What it looked like, if that was asked for.
    #[serde(skip)]
    pub(crate) timeline: Option<TimelineData>,
}

/// Runs `plan`. The runs are in the order of its scenarios, then of its systems, then of its seeds,
/// however many threads there are.
pub(crate) fn run(plan: &Plan) -> Vec<Run> {
    let mut jobs: Vec<(usize, u64, Scenario)> = Vec::new();
    for (index, entry) in plan.scenarios.iter().enumerate() {
        jobs.extend(
            plan.seeds
                .iter()
                .map(|seed| (index, *seed, entry.build(*seed))),
        );
    }
    // The long ones first, so that the threads end together.
    jobs.sort_by(|(.., a), (.., b)| size(b).total_cmp(&size(a)));
    let runs = Mutex::new(Vec::new());
    in_parallel(plan.threads, jobs.len(), |job| {
        let (index, seed, scenario) = &jobs[job];
        let timelines = plan.timelines && plan.seeds.first() == Some(seed);
        let results = run_scenario(&plan.systems, scenario, timelines);
        let mut runs = runs
            .lock()
            .expect("no thread panics while it holds the lock");
        for (system, (score, timeline)) in results.into_iter().enumerate() {
            let run = Run {
                scenario: plan.scenarios[*index].id,
                system: plan.systems[system].name,
                seed: *seed,
                score,
                timeline,
            };
            runs.push(((*index, system, *seed), run));
        }
    });
    let mut runs = runs
        .into_inner()
        .expect("no thread panicked while it held the lock");
    runs.sort_by_key(|(order, _)| *order);
    runs.into_iter().map(|(_, run)| run).collect()
}

/// All systems in one scenario. The traffic is made once, in chunks that every system's world takes
/// in turn: so it is the same for all, and only a chunk of it is in memory.
pub(crate) fn run_scenario(
    systems: &[system::NamedSystem],
    scenario: &Scenario,
    timelines: bool,
) -> Vec<(Score, Option<TimelineData>)> {
    let setup = Setup {
        seed: scenario.seed,
        endpoints: scenario.endpoints,
        spans: scenario.spans,
    };
    let mut worlds: Vec<_> = systems
        .iter()
        .map(|system| Simulation::new(scenario, system.build(&setup), timelines))
        .collect();
    let mut traffic = Traffic::new(scenario);
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        chunk.clear();
        chunk.extend(traffic.by_ref().take(CHUNK));
        if chunk.is_empty() {
            break;
        }
        for world in &mut worlds {
            chunk.iter().for_each(|request| world.arrive(request));
        }
    }
    worlds.into_iter().map(Simulation::finish).collect()
}

/// Does jobs `0..jobs` on so many threads.
pub(crate) fn in_parallel(threads: usize, jobs: usize, job: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= jobs {
                return;
            }
            job(index);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
}

fn size(scenario: &Scenario) -> f64 {
    seconds(scenario.duration) * scenario.rate()
}

/// So many requests fit a core's cache beside a world.
const CHUNK: usize = 2048;

#[cfg(test)]
mod tests;
