//! The aggregator: it takes reports in and publishes verdicts. One instance of the fleet has this
//! part at a time, for as long as it holds the lease.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::members::Members;
use super::overview::{MemberOverview, Overview};
use super::pooled::{MOST_LEFT_OUT, SLICE};
use super::report::{Dropped, InstanceId, Report, RouteName};
use super::track::{Slice, Track};
use super::verdict::{Judge, RouteVerdict, Verdict};
use crate::field::InvalidField;
use crate::policy::{Policy, Signal};
use crate::rng::Rng;
use crate::time::Timestamp;

/// A route that the fleet judges, for [`Aggregator::new`].
#[derive(Clone, Debug)]
pub struct FleetRoute {
    pub(super) name: RouteName,
    pub(super) policy: Arc<Policy>,
    pub(super) index: usize,
}

/// What an aggregator is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AggregatorSettings {
    /// How many instances may send anything at all without a false alarm (f), 1..=5. `None`: 1 up
    /// to 40 instances, else 2.
    pub left_out: Option<u8>,
    /// How many members are remembered, 1..=65,535. Reports of more are dropped. Default 1,000.
    pub max_members: u16,
}

/// What happened in the fleet, for [`Aggregator::poll_event`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FleetEvent {
    /// A route has an alarm that does not open it.
    AlarmBegan {
        /// When.
        at: Timestamp,
        /// The route.
        name: RouteName,
    },
    /// The fleet opens a route, or opens it again after a failed trial.
    Opened {
        /// When.
        at: Timestamp,
        /// The route.
        name: RouteName,
        /// For how long.
        open_for: Duration,
    },
    /// The fleet has recovered.
    Closed {
        /// When.
        at: Timestamp,
        /// The route.
        name: RouteName,
    },
    /// One instance sees what the others don't: not the service is bad, but that instance or its
    /// way to the service.
    ReplicaOutlier {
        /// When.
        at: Timestamp,
        /// The route.
        name: RouteName,
        /// The signal.
        signal: Signal,
        /// The instance.
        instance: InstanceId,
    },
}

/// The pooled evidence of a fleet, and what follows from it. See the [module](super) for an
/// example.
#[derive(Clone, Debug)]
pub struct Aggregator {
    term: u64,
    seq: u64,
    left_out: Option<usize>,
    members: Members,
    tracks: Vec<Track>,
    names: BTreeMap<RouteName, u16>,
    began: Timestamp,
    slice_began: Timestamp,
    slices: u64,
    /// Whether hits were reported since the tracks were last looked at.
    has_news: bool,
    looked: Timestamp,
    published: Option<(Timestamp, Vec<Arc<RouteVerdict>>)>,
    events: VecDeque<FleetEvent>,
    rng: Rng,
}

impl FleetRoute {
    /// The route `name`, judged by `policy`: its anomaly conditions and error rates, its budget of
    /// false alarms, its open time, probes and ramp.
    pub fn new(name: RouteName, policy: impl Into<Arc<Policy>>) -> Self {
        Self {
            name,
            policy: policy.into(),
            index: 0,
        }
    }
}

impl Default for AggregatorSettings {
    fn default() -> Self {
        Self {
            left_out: None,
            max_members: 1000,
        }
    }
}

impl Aggregator {
    /// An aggregator that knows nothing yet, for the lease `term`. Its random numbers follow from
    /// `seed`.
    ///
    /// # Errors
    /// If a setting is out of its range, or a route occurs twice.
    pub fn new(
        term: u64,
        settings: &AggregatorSettings,
        routes: impl IntoIterator<Item = FleetRoute>,
        seed: u64,
        now: Timestamp,
    ) -> Result<Self, InvalidField> {
        let left_out = settings.left_out.map(usize::from);
        if left_out.is_some_and(|left_out| !(1..=MOST_LEFT_OUT).contains(&left_out)) {
            return Err(InvalidField::new("left_out", "must be 1..=5"));
        }
        if settings.max_members == 0 {
            return Err(InvalidField::new("max_members", "must be 1..=65535"));
        }
        let (mut tracks, mut names) = (Vec::new(), BTreeMap::new());
        for mut route in routes {
            let Ok(index) = u16::try_from(tracks.len()) else {
                return Err(InvalidField::new("routes", "must be 65536 at most"));
            };
            route.index = tracks.len();
            if names.insert(route.name.clone(), index).is_some() {
                return Err(InvalidField::new("routes", "must have each route once"));
            }
            tracks.push(Track::new(route, now));
        }
        Ok(Self {
            term,
            seq: 0,
            left_out,
            members: Members::new(settings.max_members.into()),
            tracks,
            names,
            began: now,
            slice_began: now,
            slices: 0,
            has_news: false,
            looked: now,
            published: None,
            events: VecDeque::new(),
            rng: Rng::new(seed),
        })
    }

    /// Takes a report in, which has just arrived: it counts in the live slice. Within a slice the
    /// order of reports of different instances makes no difference.
    ///
    /// # Errors
    /// Says why a report does not count at all.
    pub fn report(&mut self, now: Timestamp, report: &Report) -> Result<(), Dropped> {
        if !report.routes.iter().all(|of| of.is_valid()) {
            return Err(Dropped::Invalid);
        }
        let slot = self.members.hear(report, &self.names, now)?;
        let slots = self.members.slots();
        let Some(member) = self.members.get(slot) else {
            return Ok(());
        };
        let counts = member.counts(now);
        for of in &report.routes {
            if let Some(track) = member.track(report.config, of.route) {
                let track = &mut self.tracks[track];
                track.reserve(slots);
                track.report(slot, member.id, of, counts, now);
                self.has_news |= of.signals.iter().any(|of| of.hits > 0);
            }
        }
        Ok(())
    }

    /// Ends the live slice, if it has lasted for half a second: call it that often. Returns what to
    /// publish: at once where something has changed, else each second.
    ///
    /// Call it also after reports: where these are enough for an alarm, that does not wait for the
    /// end of the slice. A call that comes late ends one long slice. That costs time, and none of
    /// the budget.
    pub fn slice(&mut self, now: Timestamp) -> Option<Verdict> {
        if now.saturating_since(self.slice_began) < SLICE {
            return self.look(now);
        }
        self.slice_began = now;
        self.slices += 1;
        for slot in self.members.evict(now) {
            self.tracks.iter_mut().for_each(|track| track.evict(slot));
        }
        let slots = self.members.slots();
        let slice = Slice {
            number: self.slices,
            members: &self.members,
            left_out: self.left_out,
            now,
        };
        for track in &mut self.tracks {
            track.reserve(slots);
            track.end_slice(&slice, &mut self.rng, &mut self.events);
        }
        self.publish(now)
    }

    /// Looks into the live slice, but not so often that it would cost much.
    fn look(&mut self, now: Timestamp) -> Option<Verdict> {
        if !self.has_news || now.saturating_since(self.looked) < LOOKED {
            return None;
        }
        (self.has_news, self.looked) = (false, now);
        let slice = Slice {
            number: self.slices,
            members: &self.members,
            left_out: self.left_out,
            now,
        };
        let (rng, events) = (&mut self.rng, &mut self.events);
        let mut alarms = false;
        for track in &mut self.tracks {
            alarms |= track.look(&slice, rng, events);
        }
        if alarms { self.publish(now) } else { None }
    }

    /// When [`Self::slice`] must be called next.
    pub fn poll_timeout(&self) -> Timestamp {
        self.slice_began + SLICE
    }

    /// The next event, in the order of occurrence.
    pub fn poll_event(&mut self) -> Option<FleetEvent> {
        self.events.pop_front()
    }

    /// How many members are known, those too that do not count.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// The whole fleet as of now, quiet routes too: for people, and for no decision.
    pub fn overview(&self, now: Timestamp) -> Overview {
        let members = self.members.iter().map(|(slot, member)| {
            let count = |is: &dyn Fn(&Track) -> bool| {
                let tracks = self.tracks.iter().filter(|track| is(track));
                u32::try_from(tracks.count()).unwrap_or(u32::MAX)
            };
            MemberOverview {
                instance: member.id,
                host: member.host.clone(),
                silent: member.silent(now),
                newborn: member.newborn(now),
                not_closed: count(&|track| track.is_not_closed(slot)),
                outlier: count(&|track| track.has_outlier(slot)),
            }
        });
        let routes = self.tracks.iter();
        Overview {
            term: self.term,
            members: members.collect(),
            routes: routes
                .map(|track| track.overview(&self.members, now))
                .collect(),
        }
    }

    /// Memory, in bytes.
    pub fn bytes(&self) -> usize {
        let tracks: usize = self.tracks.iter().map(Track::bytes).sum();
        tracks + self.members.bytes()
    }

    fn publish(&mut self, now: Timestamp) -> Option<Verdict> {
        let tracks = self.tracks.iter();
        let routes: Vec<_> = tracks
            .filter_map(|track| track.verdict(&self.members, now))
            .collect();
        let is_due = match &self.published {
            None => true,
            Some((at, before)) => {
                let mut pairs = routes.iter().zip(before);
                now.saturating_since(*at) >= EACH
                    || routes.len() != before.len()
                    || pairs
                        .any(|(one, other)| one.name != other.name || Track::is_news(other, one))
            }
        };
        if !is_due {
            return None;
        }
        self.seq += 1;
        self.published = Some((now, routes.clone()));
        Some(Verdict {
            judge: Judge::Fleet,
            term: self.term,
            seq: self.seq,
            settled: now.saturating_since(self.began) >= SETTLED,
            routes,
        })
    }

    /// The evidence of the first signal of the first route, for tests.
    #[cfg(test)]
    pub(super) fn first(&self) -> &Track {
        &self.tracks[0]
    }
}

/// The live slice is looked at this often at most: in an outage each member reports hits.
const LOOKED: Duration = Duration::from_millis(20);
/// A verdict is published this often at least.
const EACH: Duration = Duration::from_secs(1);
/// After so long all members have reported, if only by a heartbeat (each 2 s).
const SETTLED: Duration = Duration::from_secs(3);
