//! Who is in the fleet: bounded, without the newborn, and evicted after a minute of silence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::report::{Dropped, InstanceId, Report, RouteName};
use crate::time::Timestamp;

/// The members, each in a slot that is its own until it is evicted.
#[derive(Clone, Debug)]
pub(super) struct Members {
    slots: BTreeMap<InstanceId, usize>,
    members: Vec<Option<Member>>,
    most: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: InstanceId,
    boot: u64,
    seq: u64,
    /// From when on it counts.
    counts_from: Timestamp,
    heard: Timestamp,
    pub(super) host: Option<Arc<str>>,
    config: Option<Config>,
}

/// The routes that a member has, as indices of tracks.
#[derive(Clone, Debug)]
struct Config {
    hash: u64,
    tracks: Box<[Option<u16>]>,
    /// By track.
    has: Box<[bool]>,
}

impl Members {
    pub(super) const fn new(most: usize) -> Self {
        Self {
            slots: BTreeMap::new(),
            members: Vec::new(),
            most,
        }
    }

    /// Takes a report in. Returns the slot of its member.
    pub(super) fn hear(
        &mut self,
        report: &Report,
        tracks: &BTreeMap<RouteName, u16>,
        now: Timestamp,
    ) -> Result<usize, Dropped> {
        let slot = match self.slots.get(&report.instance) {
            Some(slot) => *slot,
            None => self.admit(report, now)?,
        };
        let Some(member) = &mut self.members[slot] else {
            return Err(Dropped::Full);
        };
        let position = (report.boot, report.seq);
        if member.seq > 0 && position <= (member.boot, member.seq) {
            return Err(Dropped::Replayed);
        }
        (member.boot, member.seq) = position;
        member.heard = now;
        if let Some(names) = &report.names {
            member.config = Some(Config::new(report.config, names, tracks));
            member.host.clone_from(&report.host);
        }
        Ok(slot)
    }

    fn admit(&mut self, report: &Report, now: Timestamp) -> Result<usize, Dropped> {
        if self.slots.len() >= self.most {
            return Err(Dropped::Full);
        }
        let free = self.members.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.members.len());
        if slot == self.members.len() {
            self.members.push(None);
        }
        self.members[slot] = Some(Member {
            id: report.instance,
            boot: 0,
            seq: 0,
            counts_from: now + NEWBORN.saturating_sub(report.age),
            heard: now,
            host: None,
            config: None,
        });
        self.slots.insert(report.instance, slot);
        Ok(slot)
    }

    /// Evicts those that were silent for a minute, and returns their slots.
    pub(super) fn evict(&mut self, now: Timestamp) -> Vec<usize> {
        let mut gone = Vec::new();
        for (slot, member) in self.members.iter_mut().enumerate() {
            let is_gone = |member: &Member| now.saturating_since(member.heard) >= SILENT;
            if let Some(member) = member.take_if(|member| is_gone(member)) {
                self.slots.remove(&member.id);
                gone.push(slot);
            }
        }
        gone
    }

    /// All of them, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Member)> {
        let slots = self.slots.values();
        slots.filter_map(|slot| Some((*slot, self.members[*slot].as_ref()?)))
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Member> {
        self.members.get(slot)?.as_ref()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many slots there are, taken or free.
    pub(super) const fn slots(&self) -> usize {
        self.members.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let configs = self.members.iter().flatten();
        let configs = configs.filter_map(|member| member.config.as_ref());
        let tracks: usize = configs
            .map(|config| size_of_val(&*config.tracks) + size_of_val(&*config.has))
            .sum();
        let slot = size_of::<(InstanceId, usize)>() * 2;
        self.members.capacity() * size_of::<Option<Member>>() + tracks + self.slots.len() * slot
    }
}

impl Member {
    /// Whether its counts are evidence: not while it is newborn.
    pub(super) fn counts(&self, now: Timestamp) -> bool {
        now >= self.counts_from
    }

    /// How long it takes until it counts.
    pub(super) const fn newborn(&self, now: Timestamp) -> Duration {
        self.counts_from.saturating_since(now)
    }

    /// For how long it has been silent.
    pub(super) const fn silent(&self, now: Timestamp) -> Duration {
        now.saturating_since(self.heard)
    }

    /// Whether it has reported of late.
    pub(super) fn reports(&self, now: Timestamp) -> bool {
        now.saturating_since(self.heard) <= LATELY
    }

    /// The track that its route with this index is, by the names behind `config`.
    pub(super) fn track(&self, config: u64, route: u16) -> Option<usize> {
        let known = self.config.as_ref()?;
        if known.hash != config {
            return None;
        }
        let track = known.tracks.get(usize::from(route)).copied().flatten()?;
        Some(usize::from(track))
    }

    /// Whether it has this route.
    pub(super) fn has(&self, track: usize) -> bool {
        let config = self.config.as_ref();
        config.is_some_and(|config| config.has.get(track).copied().unwrap_or_default())
    }
}

impl Config {
    fn new(hash: u64, names: &[RouteName], known: &BTreeMap<RouteName, u16>) -> Self {
        let mut has = vec![false; known.len()];
        let mut track = |name: &RouteName| {
            let track = known.get(name).copied()?;
            // A name that is given twice is that of its first route.
            let is_first = !std::mem::replace(&mut has[usize::from(track)], true);
            is_first.then_some(track)
        };
        Self {
            hash,
            tracks: names.iter().take(MOST_ROUTES).map(&mut track).collect(),
            has: has.into(),
        }
    }
}

/// An instance that runs for less does not count: it is cold, and so is the service for it.
const NEWBORN: Duration = Duration::from_secs(60);
/// A member that is silent for so long is evicted. Heartbeats come each 2 s.
const SILENT: Duration = Duration::from_secs(60);
/// A member that reported within this time is reporting.
const LATELY: Duration = Duration::from_secs(3);
/// Of more routes of one member nothing is known.
const MOST_ROUTES: usize = 4096;
