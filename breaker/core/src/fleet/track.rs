//! One route of the fleet: its detectors, and how it recovers.

mod detecting;
mod overview;
mod recent;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use self::recent::Recent;
use super::acting::watched;
use super::aggregator::{FleetEvent, FleetRoute};
use super::members::Members;
use super::pooled::{Part, Pooled};
use super::recovery::{Ground, Recovering, Step};
use super::report::{InstanceId, ProbeReport, RouteReport};
use super::verdict::{Numbers, RouteVerdict, Stage};
use crate::policy::Signal;
use crate::rng::Rng;
use crate::state::State;
use crate::time::Timestamp;

/// What the aggregator keeps of one route.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) route: FleetRoute,
    signals: Vec<SignalTrack>,
    /// By the slots of members.
    standings: Vec<Standing>,
    recovery: Option<Recovering>,
    cause: Option<Cause>,
    trial: ProbeReport,
    failed_recoveries: u32,
    closed_at: Timestamp,
    /// Arrivals a second over all members, faded, and the weight of what is known.
    rate: f64,
    weight: f64,
    live_arrivals: u64,
    /// Whether hits were reported since [`Self::look`]. Misses only lower the evidence, so no look
    /// could find more after them. With these left out, the looks are some of all that there could
    /// be, and the bound on all holds.
    has_news: bool,
    /// The last prober: the next ones come after it.
    last_prober: Option<InstanceId>,
}

#[derive(Clone, Debug)]
struct SignalTrack {
    signal: Signal,
    parts: Vec<Part>,
    pooled: Pooled,
    recent: Recent,
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Halved each few seconds.
    arrivals: u16,
    rejects: bool,
    led: bool,
}

/// What opened, or may.
#[derive(Clone, Copy, Debug)]
struct Cause {
    signal: Signal,
    numbers: Numbers,
    since: Timestamp,
}

/// What all tracks are judged with at the end of a slice.
pub(super) struct Slice<'a> {
    pub(super) number: u64,
    pub(super) members: &'a Members,
    pub(super) left_out: Option<usize>,
    pub(super) now: Timestamp,
}

/// A member that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) slot: usize,
    pub(super) id: InstanceId,
    pub(super) reports: bool,
}

impl Track {
    pub(super) fn new(route: FleetRoute, now: Timestamp) -> Self {
        let signals = watched(&route.policy).into_iter();
        let signals = signals.map(|signal| SignalTrack {
            signal,
            parts: Vec::new(),
            pooled: Pooled::new(now),
            recent: Recent::default(),
        });
        Self {
            signals: signals.collect(),
            route,
            standings: Vec::new(),
            recovery: None,
            cause: None,
            trial: ProbeReport::default(),
            failed_recoveries: 0,
            closed_at: now,
            rate: 0.0,
            weight: 0.0,
            live_arrivals: 0,
            has_news: false,
            last_prober: None,
        }
    }

    /// Makes room for so many slots.
    pub(super) fn reserve(&mut self, slots: usize) {
        if self.standings.len() < slots {
            self.standings.resize(slots, Standing::default());
            for signal in &mut self.signals {
                signal.parts.resize(slots, Part::default());
            }
        }
    }

    /// The member of `slot` is gone.
    pub(super) fn evict(&mut self, slot: usize) {
        if let Some(standing) = self.standings.get_mut(slot) {
            *standing = Standing::default();
            for signal in &mut self.signals {
                signal.parts[slot] = Part::default();
            }
        }
    }

    /// Takes in what the member `id` reports; `counts` says whether it is evidence.
    pub(super) fn report(
        &mut self,
        slot: usize,
        id: InstanceId,
        report: &RouteReport,
        counts: bool,
        now: Timestamp,
    ) {
        let standing = &mut self.standings[slot];
        let arrivals = u16::try_from(report.arrivals).unwrap_or(u16::MAX);
        standing.arrivals = standing.arrivals.saturating_add(arrivals);
        standing.rejects = report.state != State::Closed;
        standing.led = report.led;
        for signal in &mut self.signals {
            let of = report.signal(signal.signal);
            signal.parts[slot].learn(of);
            self.has_news |= counts && of.hits > 0;
            if counts {
                signal.parts[slot].count(of);
                signal.recent.count(of.observations, of.hits);
            }
        }
        if counts {
            self.live_arrivals += u64::from(report.arrivals);
            if let Some(recovery) = &mut self.recovery {
                recovery.probed(id, report.probes, now);
            }
        }
    }

    /// Ends the live slice.
    pub(super) fn end_slice(
        &mut self,
        slice: &Slice<'_>,
        rng: &mut Rng,
        events: &mut VecDeque<FleetEvent>,
    ) {
        let (counted, left_out) = self.counted(slice);
        self.fold_arrivals(slice.number);
        self.signals.iter_mut().for_each(|of| of.recent.end_slice());
        self.has_news = false;
        if self.recovery.is_some() {
            self.recover(&counted, left_out, rng, events, slice.now);
        } else {
            if slice.number.is_multiple_of(LEARNING) {
                self.pool_normals(&counted, left_out);
            }
            self.end_detection(&counted, left_out, slice, events);
            self.decide(&counted, left_out, slice.now, rng, events);
        }
    }

    /// Looks whether what was reported in the live slice is already enough for an alarm. Returns
    /// whether it is.
    pub(super) fn look(
        &mut self,
        slice: &Slice<'_>,
        rng: &mut Rng,
        events: &mut VecDeque<FleetEvent>,
    ) -> bool {
        let has_news = std::mem::take(&mut self.has_news);
        let may_alarm = self.signals.iter().any(|of| of.pooled.may_alarm(slice.now));
        if !has_news || !may_alarm || self.recovery.is_some() {
            return false;
        }
        let (counted, left_out) = self.counted(slice);
        let alarms = self.has_early_alarm(&counted, left_out, slice.now);
        if alarms {
            self.decide(&counted, left_out, slice.now, rng, events);
        }
        alarms
    }

    /// The members that count, and how many of them may lie.
    fn counted(&self, slice: &Slice<'_>) -> (Vec<Counted>, usize) {
        let track = self.route.index;
        let members = slice.members.iter();
        let counted: Vec<_> = members
            .filter(|(_, member)| member.counts(slice.now) && member.has(track))
            .map(|(slot, member)| Counted {
                slot,
                id: member.id,
                reports: member.reports(slice.now),
            })
            .collect();
        let left_out = slice.left_out.unwrap_or(match counted.len() {
            0..=40 => 1,
            _ => 2,
        });
        (counted, left_out)
    }

    fn fold_arrivals(&mut self, number: u64) {
        self.rate += (2.0 * self.live_arrivals as f64 - self.rate) * FOLDING;
        self.weight += (1.0 - self.weight) * FOLDING;
        self.live_arrivals = 0;
        if number.is_multiple_of(HALVING) {
            for standing in &mut self.standings {
                standing.arrivals /= 2;
            }
        }
    }

    /// Arrivals a second.
    fn rate(&self) -> f64 {
        self.rate / self.weight.max(FOLDING)
    }

    fn open(&mut self, rng: &mut Rng, events: &mut VecDeque<FleetEvent>, now: Timestamp) {
        let first = self.recovery.is_none();
        if first && now.saturating_since(self.closed_at) >= HELD {
            self.failed_recoveries = 0;
        } else {
            self.failed_recoveries = self.failed_recoveries.saturating_add(1);
        }
        if first {
            self.trial = ProbeReport::default();
        }
        self.forget_evidence();
        let open_for = self.open_time(rng);
        self.recovery = Some(Recovering::open(now + open_for));
        events.push_back(FleetEvent::Opened {
            at: now,
            name: self.route.name.clone(),
            open_for,
        });
    }

    fn open_time(&self, rng: &mut Rng) -> Duration {
        let open = self.route.policy.open();
        let backed_off = match self.route.policy.recovery() {
            crate::policy::Recovery::Sequential => {
                open.for_traffic(self.rate(), self.failed_recoveries)
            }
            crate::policy::Recovery::Counted => open.backed_off(self.failed_recoveries),
        };
        open.jittered(backed_off, rng)
    }

    fn recover(
        &mut self,
        counted: &[Counted],
        left_out: usize,
        rng: &mut Rng,
        events: &mut VecDeque<FleetEvent>,
        now: Timestamp,
    ) {
        let (good, bad) = self.of_cause(counted, left_out);
        let normal = self.cause.map_or(0.0, |cause| cause.numbers.normal.get());
        let ground = Ground {
            policy: &self.route.policy,
            usual: normal / ABOVE_USUAL,
            rate: self.rate(),
            candidates: self.candidates(counted),
            good,
            bad,
        };
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        let step = recovery.step(&ground, &mut self.last_prober, now);
        self.trial = recovery.trial().unwrap_or(self.trial);
        self.forget_evidence();
        match step {
            Step::GoesOn => {}
            Step::Failed => self.open(rng, events, now),
            Step::Closes => {
                self.recovery = None;
                self.cause = None;
                self.closed_at = now;
                events.push_back(FleetEvent::Closed {
                    at: now,
                    name: self.route.name.clone(),
                });
            }
        }
    }

    /// Good and bad requests of the live slice, by the signal that opened, without the instances
    /// that have most bad ones.
    fn of_cause(&self, counted: &[Counted], left_out: usize) -> (u32, u32) {
        let signal = self.cause.map_or(Signal::Errors, |cause| cause.signal);
        let Some(of) = self.signals.iter().find(|of| of.signal == signal) else {
            return (0, 0);
        };
        let live = counted.iter().map(|member| of.parts[member.slot].live());
        let mut live: Vec<_> = live.filter(|(observations, _)| *observations > 0).collect();
        if live.len() > 2 * left_out {
            live.sort_unstable_by_key(|(observations, hits)| (*hits, *observations));
            live.truncate(live.len() - left_out);
        }
        live.into_iter().fold((0_u32, 0_u32), |sums, live| {
            let good = sums.0.saturating_add(live.0.saturating_sub(live.1));
            (good, sums.1.saturating_add(live.1))
        })
    }

    /// Who may probe: those that report, by id; first those at which requests arrive.
    fn candidates(&self, counted: &[Counted]) -> Vec<InstanceId> {
        let reporting = counted.iter().filter(|member| member.reports);
        let busy = |member: &&Counted| self.standings[member.slot].arrivals > 0;
        let mut candidates: Vec<_> = reporting.clone().filter(busy).map(|busy| busy.id).collect();
        if candidates.is_empty() {
            candidates = reporting.map(|member| member.id).collect();
        }
        candidates
    }

    fn forget_evidence(&mut self) {
        for signal in &mut self.signals {
            signal.pooled.forget();
            signal.parts.iter_mut().for_each(Part::forget_evidence);
        }
    }

    /// What there is to publish, if the route is not quiet.
    pub(super) fn verdict(&self, members: &Members, now: Timestamp) -> Option<Arc<RouteVerdict>> {
        let cause = self.cause?;
        let (mut reporting, mut heard) = (0, 0);
        let track = self.route.index;
        for (_, member) in members.iter() {
            if member.counts(now) && member.has(track) {
                heard += 1;
                reporting += u32::from(member.reports(now));
            }
        }
        Some(Arc::new(RouteVerdict {
            name: self.route.name.clone(),
            stage: self.stage(now),
            signal: cause.signal,
            since: now.saturating_since(cause.since),
            numbers: cause.numbers,
            trial: self.trial,
            reporting,
            heard,
        }))
    }

    fn stage(&self, now: Timestamp) -> Stage {
        self.recovery
            .as_ref()
            .map_or(Stage::Alarm, |recovery| recovery.stage(now))
    }

    /// Whether two verdicts differ in more than how much time has passed and what was counted.
    pub(super) fn is_news(one: &RouteVerdict, other: &RouteVerdict) -> bool {
        match (&one.stage, &other.stage) {
            (Stage::Open { .. }, Stage::Open { .. }) => one.trial != other.trial,
            (Stage::Alarm, Stage::Alarm) => false,
            (before, after) => before != after,
        }
    }

    /// Whether there is an alarm, or a recovery from one.
    pub(super) const fn has_alarm(&self) -> bool {
        self.cause.is_some()
    }

    /// By time scale: ln(1 + R), W without the largest, and h.
    #[cfg(test)]
    pub(super) fn evidence(&self) -> Vec<(f64, f64, f64)> {
        self.signals[0].pooled.evidence().to_vec()
    }

    pub(super) fn bytes(&self) -> usize {
        let parts = self.signals.iter().map(|of| of.parts.capacity());
        let recent: usize = self.signals.iter().map(|of| of.recent.bytes()).sum();
        parts.sum::<usize>() * size_of::<Part>()
            + recent
            + self.signals.capacity() * size_of::<SignalTrack>()
            + self.standings.capacity() * size_of::<Standing>()
            + size_of::<Self>()
    }
}

/// What is normal at most is so many times what is usual, at least (`detector/baseline.rs`).
const ABOVE_USUAL: f64 = 1.5;
/// A quorum has so many instances at least.
pub(super) const LEAST_QUORUM: usize = 4;
/// After a route was closed for so long, its back-off starts from the beginning.
const HELD: Duration = Duration::from_secs(60);
/// Of a slice: 1 − e^(−0.5/30).
const FOLDING: f64 = 0.016_528_5;
/// Each so many slices, 10 s, it is settled what is normal by what all have learned.
const LEARNING: u64 = 20;
/// Each so many slices the arrivals of members are halved.
const HALVING: u64 = 10;
