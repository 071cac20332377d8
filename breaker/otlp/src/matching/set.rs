//! All feeds at once: one pass over the attributes, whatever the number of feeds.
//!
//! Equal conditions of different feeds are one condition with a number. A pass sets the bit of each
//! condition that holds, and a feed takes what all its bits are set for. Names of attributes are
//! found by their length, then by comparison: cheaper than hashing for the few names that
//! conditions have, and nothing that a sender could make collide.

use super::{FeedMatcher, Pattern, Takes};
use crate::{Attributes, SpanKind};

/// The matchers of all feeds, compiled.
#[derive(Debug, Default)]
pub struct MatchSet {
    feeds: Vec<Feed>,
    resource: Conditions,
    attributes: Conditions,
}

/// A position in the telemetry, and the feeds that can match there: at a resource, then at a scope,
/// then at a span or point.
///
/// Create it once for each batch, since it holds the memory that matching needs.
#[derive(Debug)]
pub struct Matching<'s> {
    set: &'s MatchSet,
    of_resource: Vec<usize>,
    of_scope: Vec<usize>,
    found: Vec<usize>,
    pass: Pass,
}

#[derive(Debug)]
struct Feed {
    takes: Takes,
    scope: Option<Pattern>,
    /// Numbers of conditions.
    resource: Box<[usize]>,
    attributes: Box<[usize]>,
}

/// Numbered conditions on attributes, each once.
#[derive(Debug, Default)]
struct Conditions {
    /// By length of the name, then by name.
    keys: Vec<Key>,
    /// Where the keys of each length begin.
    lengths: Vec<usize>,
    /// A bit for each condition: whether it holds where the attribute is absent.
    absent: Vec<u64>,
    count: usize,
}

#[derive(Debug)]
struct Key {
    name: Box<str>,
    conditions: Vec<(usize, Pattern)>,
}

/// What a pass found: bits of conditions that hold, and of keys that were seen.
#[derive(Debug, Default)]
struct Pass {
    holds: Vec<u64>,
    seen: Vec<u64>,
}

// === impl MatchSet ===

impl MatchSet {
    /// Compiles the matchers of feeds. A feed is identified by its position.
    pub fn new<'m>(matchers: impl IntoIterator<Item = &'m FeedMatcher>) -> Self {
        let mut set = Self::default();
        for matcher in matchers {
            let feed = Feed {
                takes: matcher.takes.clone(),
                scope: matcher.scope.clone(),
                resource: set.resource.add_all(&matcher.resource),
                attributes: set.attributes.add_all(&matcher.attributes),
            };
            set.feeds.push(feed);
        }
        set.resource.index();
        set.attributes.index();
        set
    }

    /// Starts to match a batch.
    pub fn matching(&self) -> Matching<'_> {
        Matching {
            set: self,
            of_resource: Vec::new(),
            of_scope: Vec::new(),
            found: Vec::new(),
            pass: Pass::default(),
        }
    }
}

// === impl Matching ===

impl Matching<'_> {
    /// Moves to a resource. False if no feed can match anything in it.
    pub fn resource(&mut self, attributes: Attributes<'_>) -> bool {
        let set = self.set;
        set.resource.read(attributes, &mut self.pass);
        self.of_resource.clear();
        for (index, feed) in set.feeds.iter().enumerate() {
            if self.pass.all_hold(&feed.resource) {
                self.of_resource.push(index);
            }
        }
        self.of_scope.clear();
        !self.of_resource.is_empty()
    }

    /// Moves to an instrumentation scope of the resource. False if no feed can match anything in
    /// it.
    pub fn scope(&mut self, name: &str) -> bool {
        self.of_scope.clear();
        for &index in &self.of_resource {
            let scope = &self.set.feeds[index].scope;
            if scope.as_ref().is_none_or(|scope| scope.holds_for(name)) {
                self.of_scope.push(index);
            }
        }
        !self.of_scope.is_empty()
    }

    /// The positions of the feeds that a span of the scope matches, ascending.
    pub fn span(&mut self, kind: SpanKind, attributes: Attributes<'_>) -> &[usize] {
        self.find(
            |takes| matches!(takes, Takes::Spans(kinds) if kinds.contains(kind)),
            attributes,
        )
    }

    /// Whether a feed can match points of the scope's histogram called `name`.
    pub fn metric(&self, name: &str) -> bool {
        let takes = |index: &usize| matches!(&self.set.feeds[*index].takes, Takes::Histogram(pattern) if pattern.holds_for(name));
        self.of_scope.iter().any(takes)
    }

    /// The positions of the feeds that a point of the scope's histogram called `name` matches,
    /// ascending.
    pub fn point(&mut self, name: &str, attributes: Attributes<'_>) -> &[usize] {
        self.find(
            |takes| matches!(takes, Takes::Histogram(pattern) if pattern.holds_for(name)),
            attributes,
        )
    }

    fn find(&mut self, takes: impl Fn(&Takes) -> bool, attributes: Attributes<'_>) -> &[usize] {
        let feeds = &self.set.feeds;
        self.found.clear();
        let candidates = self.of_scope.iter().copied();
        self.found
            .extend(candidates.filter(|&index| takes(&feeds[index].takes)));
        // Most spans of most applications end here, unread.
        if !self.found.is_empty() {
            self.set.attributes.read(attributes, &mut self.pass);
            let pass = &self.pass;
            self.found
                .retain(|&index| pass.all_hold(&feeds[index].attributes));
        }
        &self.found
    }
}

// === impl Conditions ===

impl Conditions {
    fn add_all(&mut self, conditions: &[(String, Pattern)]) -> Box<[usize]> {
        let conditions = conditions.iter();
        conditions
            .map(|(name, pattern)| self.add(name, pattern))
            .collect()
    }

    /// The number of a condition, which is a new one unless another feed has the same.
    fn add(&mut self, name: &str, pattern: &Pattern) -> usize {
        let order = |key: &Key| (key.name.len(), &*key.name).cmp(&(name.len(), name));
        let at = match self.keys.binary_search_by(order) {
            Ok(at) => at,
            Err(at) => {
                let (name, conditions) = (name.into(), Vec::new());
                self.keys.insert(at, Key { name, conditions });
                at
            }
        };
        let known = &mut self.keys[at].conditions;
        if let Some((number, _)) = known.iter().find(|(_, other)| other == pattern) {
            return *number;
        }
        let number = self.count;
        known.push((number, pattern.clone()));
        self.count += 1;
        self.absent.resize(self.count.div_ceil(64), 0);
        set(&mut self.absent, number, pattern.holds(None));
        number
    }

    /// Notes where the keys of each length begin, once all are there.
    fn index(&mut self) {
        let longest = self.keys.last().map_or(0, |key| key.name.len());
        self.lengths = (0..=longest + 1)
            .map(|length| self.keys.partition_point(|key| key.name.len() < length))
            .collect();
    }

    /// Tries the conditions on `attributes`. The first of several attributes with the same name
    /// counts. Values that no condition asks for are not looked at.
    fn read(&self, attributes: Attributes<'_>, pass: &mut Pass) {
        pass.holds.clone_from(&self.absent);
        pass.seen.clear();
        pass.seen.resize(self.keys.len().div_ceil(64), 0);
        let mut unseen = self.keys.len();
        if unseen == 0 {
            return;
        }
        for (name, value) in attributes.raw() {
            let Some(at) = self.find(name) else {
                continue;
            };
            if is_set(&pass.seen, at) {
                continue;
            }
            set(&mut pass.seen, at, true);
            let value = value.value();
            for (number, pattern) in &self.keys[at].conditions {
                set(&mut pass.holds, *number, pattern.holds(Some(value)));
            }
            unseen -= 1;
            if unseen == 0 {
                return;
            }
        }
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        let (&first, &end) = (
            self.lengths.get(name.len())?,
            self.lengths.get(name.len() + 1)?,
        );
        let found = self.keys[first..end]
            .iter()
            .position(|key| key.name.as_bytes() == name)?;
        Some(first + found)
    }
}

// === impl Pass ===

impl Pass {
    fn all_hold(&self, conditions: &[usize]) -> bool {
        conditions.iter().all(|number| is_set(&self.holds, *number))
    }
}

fn is_set(bits: &[u64], at: usize) -> bool {
    bits[at / 64] >> (at % 64) & 1 == 1
}

fn set(bits: &mut [u64], at: usize, value: bool) {
    let mask = 1 << (at % 64);
    if value {
        bits[at / 64] |= mask;
    } else {
        bits[at / 64] &= !mask;
    }
}
