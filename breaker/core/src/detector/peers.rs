//! What the endpoints of one upstream have observed lately. An endpoint is compared with this.

use super::baseline::{Baseline, Bounds};
use crate::time::Timestamp;

/// Hits and misses of the last ten seconds, in slots of half a second, and of about the last
/// minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    slots: [Count; SLOTS],
    /// The number of the live slot, counted from the origin of time.
    live: u64,
    sum: Count,
    /// The slots that have ended, with a half-life of 30 s.
    faded: Faded,
}

/// Hits and observations, with decay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Faded {
    hits: f32,
    observations: f32,
}

/// Hits and observations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) hits: u32,
    pub(super) observations: u32,
}

/// The observations of all endpoints that are not ejected, together.
#[derive(Clone, Debug)]
pub(super) struct Company {
    pub(super) all: Recent,
    /// What was learned to be normal. It counts most while the peers have few observations.
    pub(super) baseline: Baseline,
}

impl Count {
    fn less(self, other: Self) -> Self {
        Self {
            hits: self.hits.saturating_sub(other.hits),
            observations: self.observations.saturating_sub(other.observations),
        }
    }

    const fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits.saturating_add(other.hits),
            observations: self.observations.saturating_add(other.observations),
        }
    }

    fn share(self) -> f64 {
        f64::from(self.hits) / f64::from(self.observations.saturating_add(1))
    }
}

impl Faded {
    fn less(self, other: Self) -> Self {
        Self {
            hits: (self.hits - other.hits).max(0.0),
            observations: (self.observations - other.observations).max(0.0),
        }
    }

    fn fade(&mut self, slots: u64) {
        let left = FADING.powf(slots as f32);
        self.hits *= left;
        self.observations *= left;
    }

    fn add(&mut self, count: Count) {
        self.hits += count.hits as f32;
        self.observations += count.observations as f32;
    }
}

impl Recent {
    pub(super) fn add(&mut self, hit: bool, count: u32, at: Timestamp) {
        self.pass(at);
        let more = Count {
            hits: if hit { count } else { 0 },
            observations: count,
        };
        self.put(self.live, more);
    }

    /// The miss that was added at `missed` becomes a hit. If it is no longer known, a hit is added.
    pub(super) fn turn_into_hit(&mut self, missed: Timestamp, at: Timestamp) {
        self.pass(at);
        let slot = missed.as_nanos() / SLOT;
        let known = slot <= self.live && self.live - slot < SLOTS as u64;
        let before = self.slots[place(slot)];
        let one = u32::from(!known || before.observations <= before.hits);
        let into = if one == 0 { slot } else { self.live };
        let turned = Count {
            hits: 1,
            observations: one,
        };
        self.put(into, turned);
    }

    fn put(&mut self, slot: u64, more: Count) {
        let count = &mut self.slots[place(slot)];
        *count = count.and(more);
        self.sum = self.sum.and(more);
    }

    /// Forgets what is older than ten seconds.
    fn pass(&mut self, at: Timestamp) {
        self.pass_to(at.as_nanos() / SLOT);
    }

    fn pass_to(&mut self, slot: u64) {
        if slot <= self.live {
            return;
        }
        let live = self.slots[place(self.live)];
        self.faded.add(live);
        self.faded.fade(slot - self.live);
        if slot - self.live >= SLOTS as u64 {
            (self.slots, self.sum) = ([Count::default(); SLOTS], Count::default());
        }
        self.live = self.live.max(slot.saturating_sub(SLOTS as u64));
        while self.live < slot {
            self.live += 1;
            let gone = std::mem::take(&mut self.slots[place(self.live)]);
            self.sum = self.sum.less(gone);
        }
    }

    /// The counts of the ten seconds before `now`.
    pub(super) fn of_ten_seconds(&self, now: Timestamp) -> Count {
        let mut then = self.clone();
        then.pass(now);
        then.sum
    }

    /// The counts of the live half second and the one before.
    fn of_a_second(&self) -> Count {
        let before = self.live.saturating_sub(1);
        self.slots[place(self.live)].and(self.slots[place(before)])
    }

    /// Subtracts what `part` has counted.
    pub(super) fn remove(&mut self, part: &mut Self) {
        let live = self.live.max(part.live);
        self.pass_to(live);
        part.pass_to(live);
        for (count, gone) in self.slots.iter_mut().zip(part.slots) {
            *count = count.less(gone);
        }
        self.sum = self.sum.less(part.sum);
        self.faded = self.faded.less(part.faded);
    }
}

impl Company {
    /// Whether a hit of one endpoint is more likely a fault of this endpoint than of all. `own` are
    /// the observations of the endpoint, and `normal` is the result of [`Self::normal`].
    ///
    /// This test has no error bound, because a wrong result costs little. With few observations, it
    /// compares an endpoint that mostly hits with peers that hardly do.
    pub(super) fn is_alone(&mut self, own: &mut Recent, normal: f64, at: Timestamp) -> bool {
        self.all.pass(at);
        own.pass_to(self.all.live);
        let others = self.all.sum.less(own.sum);
        // Includes the hit in question.
        let share = f64::from(own.sum.hits + 1) / f64::from(own.sum.observations + 1);
        let peers = f64::from(others.hits) / f64::from(others.observations.max(1));
        let is_outlier = share >= 0.5 && peers <= share / 4.0;
        others.observations >= FEW && (is_outlier || share > 2.0 * normal)
    }

    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            all: Recent::default(),
            baseline: Baseline::new(bounds),
        }
    }

    /// The upper bound of the normal share of hits for an endpoint at this time. `own` are the
    /// observations of the endpoint.
    ///
    /// It is one and a half times the largest of three shares of its peers. The first is the upper
    /// bound of the share of the last ten seconds, given what was learned. The second is the share
    /// of the last ten seconds itself. The third is that of the last second. So an endpoint is
    /// never blamed for a fault that has just begun for all. If there are few requests, the last
    /// minute replaces the ten seconds.
    pub(super) fn normal(&mut self, own: &mut Recent, at: Timestamp) -> f64 {
        self.all.pass(at);
        own.pass_to(self.all.live);
        let now = self.all.of_a_second().less(own.of_a_second());
        let lately = self.all.sum.less(own.sum);
        let (hits, observations) = if lately.observations >= MANY {
            (f64::from(lately.hits), f64::from(lately.observations))
        } else {
            let faded = self.all.faded.less(own.faded);
            (faded.hits.into(), faded.observations.into())
        };
        let (learned, learned_hits) = self.baseline.learned();
        let learned = (learned_hits + LEARNED * UNKNOWN) / (learned + LEARNED);
        let known = observations + LEARNED;
        let share = (hits + LEARNED * learned) / known;
        let most = share + 2.0 * (share * (1.0 - share) / known).sqrt();
        let most = most.max(hits / (observations + 1.0));
        let most = most.max(lately.share()).max(now.share());
        (1.5 * most).clamp(self.baseline.bounds().floor, MOST)
    }
}

const fn place(slot: u64) -> usize {
    (slot % SLOTS as u64) as usize
}

/// The fewest observations of peers with which a hit can be compared.
const FEW: u32 = 2;
const SLOTS: usize = 20;
/// In nanoseconds: half a second.
const SLOT: u64 = 500_000_000;
/// The decay over a slot: 2^(−0.5/30).
const FADING: f32 = 0.988_514_1;
/// This many observations of peers in ten seconds are enough.
const MANY: u32 = 50;
/// The weight of what was learned, as a number of observations of peers. The usual share that is
/// assumed at first has the same weight.
const LEARNED: f64 = 100.0;
const UNKNOWN: f64 = 0.005;
/// With a normal share above this, no share could be distinguished from it.
const MOST: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn family_size() -> Company {
        Company::new(Bounds {
            floor: 0.01,
            cap: 0.02,
        })
    }

    #[test]
    fn ten_seconds_are_known_and_a_part_can_be_taken_away() {
        let (mut all, mut part) = (Recent::default(), Recent::default());
        for millis in (0..20_000).step_by(100) {
            all.add(millis % 1000 == 0, 1, at(millis));
            if millis % 200 == 0 {
                part.add(millis % 1000 == 0, 1, at(millis));
            }
        }
        let count = |hits, observations| Count { hits, observations };
        assert_eq!(all.sum, count(10, 100));
        assert_eq!(all.of_a_second(), count(1, 10));
        all.remove(&mut part);
        assert_eq!(all.sum, count(0, 50));
        all.pass(at(60_000));
        assert_eq!(all.sum, count(0, 0));
    }

    #[test]
    fn a_miss_that_turns_into_a_hit_is_no_further_observation_while_it_is_known() {
        let mut recent = Recent::default();
        recent.add(false, 1, at(100));
        recent.add(false, 1, at(5000));
        recent.turn_into_hit(at(100), at(6000));
        let sum = recent.sum;
        assert_eq!((sum.hits, sum.observations), (1, 2));
        recent.turn_into_hit(at(100), at(12_000));
        let sum = recent.sum;
        assert_eq!((sum.hits, sum.observations), (1, 2));
    }

    #[test]
    fn what_befalls_all_is_normal_within_tenths_of_a_second() {
        let (mut family_size, mut own) = (family_size(), Recent::default());
        for millis in (0..10_000).step_by(10) {
            family_size.all.add(false, 1, at(millis));
        }
        assert!((0.01..0.02).contains(&family_size.normal(&mut own, at(10_000))));
        for millis in (10_000..10_300).step_by(10) {
            family_size.all.add(true, 1, at(millis));
        }
        assert!(family_size.normal(&mut own, at(10_300)) > 0.5);
    }

    #[test]
    fn a_few_good_peers_make_nothing_less_sure_than_it_was() {
        let (mut family_size, mut own) = (family_size(), Recent::default());
        let unknown = family_size.normal(&mut own, at(0));
        assert!((0.01..0.04).contains(&unknown), "{unknown}");
        for millis in (0..10_000).step_by(1000) {
            family_size.all.add(false, 1, at(millis));
        }
        assert!(family_size.normal(&mut own, at(10_000)) <= unknown);
    }
}
