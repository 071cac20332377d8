//! What arrives, for feeds that match nothing of it.
//!
//! A batch is read once more for this, but not more than one a second, of it not more than a
//! thousand items, and only while a feed matches nothing. Who sends telemetry chooses its texts, so
//! few values are kept, and those shortened.

use std::borrow::Cow;
use std::collections::HashMap;

use breaker_otlp::matching::{FeedMatcher, Pattern, SpanKinds, Takes};
use breaker_otlp::{
    Attributes, HistogramPoint, MetricVisitor, Span, SpanKind, TraceVisitor, Value,
};

use super::feeds::FeedBinding;
use crate::findings::{Miss, Unmatched, plain};

/// What arrived instead of what feeds ask for.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// By the feeds' keys.
    seen: HashMap<u32, Seen>,
    /// In nanoseconds since 1970, as all times here.
    next: u64,
    /// Whose turn it is, where very many feeds match nothing.
    turn: usize,
    /// When a line of the log told of a feed.
    logged: u64,
}

/// What is known of one feed.
#[derive(Debug, Default)]
struct Seen {
    /// Samples that the feed had at the last look, and when they had become more.
    samples: u64,
    matched: u64,
    /// How far anything came: to which of the stages.
    reached: usize,
    missed: [Vec<Missed>; STAGES],
    /// What the log was told last.
    logged: String,
}

/// A condition that did not hold, and what was there instead.
#[derive(Debug)]
struct Missed {
    name: String,
    wanted: String,
    values: Vec<String>,
    more: bool,
}

/// Reads a batch for the feeds that match nothing.
pub(super) struct Reader<'a> {
    feeds: Vec<Hungry<'a>>,
    /// How many items may still be looked at.
    left: usize,
}

struct Hungry<'a> {
    matcher: &'a FeedMatcher,
    seen: &'a mut Seen,
    /// Whether the conditions on what is being read hold.
    resource: bool,
    scope: bool,
}

impl Survey {
    /// Looks at a batch that `read` reads, if it is time and some of `feeds` match nothing.
    pub(super) fn look(
        &mut self,
        feeds: &[FeedBinding],
        now: u64,
        read: impl FnOnce(&mut Reader<'_>),
    ) {
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        let hungry = self.hungry(feeds, now);
        if hungry.is_empty() {
            return;
        }
        let first = self.turn % hungry.len();
        self.turn = first + AT_ONCE;
        let mut turns: HashMap<u32, &FeedBinding> = HashMap::new();
        for fed in hungry.iter().cycle().skip(first).take(AT_ONCE) {
            turns.insert(fed.key, fed);
        }
        let seen = self.seen.iter_mut();
        let of_turn = seen.filter_map(|(key, seen)| Some((*turns.get(key)?, seen)));
        let reader = of_turn.map(|(fed, seen)| Hungry {
            matcher: &fed.matcher,
            seen,
            resource: false,
            scope: false,
        });
        read(&mut Reader {
            feeds: reader.collect(),
            left: MAX_ITEMS,
        });
        for (key, fed) in turns {
            let Some(seen) = self.seen.get_mut(&key) else {
                continue;
            };
            let Some(unmatched) = seen.unmatched() else {
                continue;
            };
            if now >= self.logged + LOG_EVERY && seen.logged != unmatched.detail {
                self.logged = now;
                seen.logged.clone_from(&unmatched.detail);
                let (breaker, feed) = fed.names();
                tracing::warn!(%breaker, %feed, "a feed is idle: {}", unmatched.detail);
            }
            fed.findings.set_unmatched(&fed.name, Some(unmatched));
        }
    }

    /// Forgets what feeds asked for: they may ask for something else now.
    pub(super) fn begin_anew(&mut self) {
        self.seen.clear();
        self.next = 0;
    }

    /// The feeds that have matched nothing for a while, or never did.
    fn hungry<'f>(&mut self, feeds: &'f [FeedBinding], now: u64) -> Vec<&'f FeedBinding> {
        let mut hungry = Vec::new();
        for fed in feeds {
            let samples = fed.told.all();
            let seen = self.seen.entry(fed.key).or_default();
            if samples != seen.samples {
                let logged = std::mem::take(&mut seen.logged);
                *seen = Seen {
                    samples,
                    matched: now,
                    logged,
                    ..Seen::default()
                };
                fed.findings.set_unmatched(&fed.name, None);
            }
            if samples == 0 || now >= seen.matched + QUIET {
                hungry.push(fed);
            }
        }
        hungry
    }
}

impl Seen {
    /// Something came to this stage, and a condition kept it from the next.
    fn miss(&mut self, stage: usize, name: &str, wanted: impl FnOnce() -> String, value: &str) {
        self.reached = self.reached.max(stage);
        let of_stage = &mut self.missed[stage];
        let known = of_stage.iter().position(|known| known.name == name);
        let at = known.unwrap_or_else(|| {
            of_stage.push(Missed {
                name: name.to_owned(),
                wanted: wanted(),
                values: Vec::new(),
                more: false,
            });
            of_stage.len() - 1
        });
        of_stage[at].add(value);
    }

    /// Whether all conditions hold; those that don't are noted.
    fn passes(
        &mut self,
        stage: usize,
        conditions: &[(String, Pattern)],
        attributes: Attributes<'_>,
    ) -> bool {
        let mut all = true;
        for (name, pattern) in conditions {
            let value = attributes.get(name);
            if !pattern.holds(value) {
                all = false;
                self.miss(stage, name, || pattern.to_string(), &text(value));
            }
        }
        all
    }

    /// What keeps everything from the stage after the last that something came to.
    fn unmatched(&self) -> Option<Unmatched> {
        let missed = &self.missed[self.reached];
        let misses = missed.iter().map(|missed| {
            let wanted = missed.wanted.clone();
            Miss::new(&missed.name, wanted, &missed.values, missed.more)
        });
        let misses: Vec<_> = misses.collect();
        (!misses.is_empty()).then(|| Unmatched::of(misses))
    }
}

impl Missed {
    fn add(&mut self, value: &str) {
        if self.more {
            return;
        }
        let value = plain(value);
        if self.values.contains(&value) {
            return;
        }
        self.more = self.values.len() == MAX_VALUES;
        if !self.more {
            self.values.push(value);
        }
    }
}

// === what is read ===

impl Reader<'_> {
    fn begin(&mut self, resource: Attributes<'_>) -> bool {
        let mut wanted = false;
        if self.counts() {
            for hungry in &mut self.feeds {
                let conditions = &hungry.matcher.resource;
                hungry.resource = hungry.seen.passes(RESOURCE, conditions, resource);
                wanted |= hungry.resource;
            }
        }
        wanted
    }

    fn enter(&mut self, name: &str, signal: &str) -> bool {
        let mut wanted = false;
        for hungry in &mut self.feeds {
            let matcher = hungry.matcher;
            let asked = match matcher.takes {
                Takes::Spans(_) => TRACES,
                _ => METRICS,
            };
            hungry.scope = hungry.resource && asked == signal && matcher.matches_scope(name);
            if hungry.resource && asked != signal {
                hungry
                    .seen
                    .miss(SCOPE, "signal", || asked.to_owned(), signal);
            } else if let (true, false, Some(scope)) =
                (hungry.resource, hungry.scope, &matcher.scope)
            {
                hungry.seen.miss(SCOPE, "scope", || scope.to_string(), name);
            }
            wanted |= hungry.scope;
        }
        wanted && self.left > 0
    }

    /// Whether another item may be looked at.
    fn counts(&mut self) -> bool {
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

impl TraceVisitor for Reader<'_> {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        self.begin(resource)
    }

    fn scope(&mut self, name: &str, _version: &str) -> bool {
        self.enter(name, TRACES)
    }

    fn span(&mut self, span: &Span<'_>) {
        if !self.counts() {
            return;
        }
        for hungry in self.feeds.iter_mut().filter(|hungry| hungry.scope) {
            let Takes::Spans(kinds) = hungry.matcher.takes else {
                continue;
            };
            if !kinds.contains(span.kind) {
                hungry
                    .seen
                    .miss(ITEM, "kind", || names(kinds), name(span.kind));
            }
            let conditions = &hungry.matcher.attributes;
            hungry.seen.passes(ITEM, conditions, span.attributes);
        }
    }
}

impl MetricVisitor for Reader<'_> {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        self.begin(resource)
    }

    fn scope(&mut self, name: &str, _version: &str) -> bool {
        self.enter(name, METRICS)
    }

    fn metric(&mut self, name: &str, _unit: &str) -> bool {
        let mut wanted = false;
        if self.counts() {
            for hungry in self.feeds.iter_mut().filter(|hungry| hungry.scope) {
                let Takes::Histogram(pattern) = &hungry.matcher.takes else {
                    continue;
                };
                if hungry.matcher.matches_name(name) {
                    wanted = true;
                } else {
                    hungry
                        .seen
                        .miss(METRIC, "metric", || pattern.to_string(), name);
                }
            }
        }
        wanted
    }

    fn histogram(&mut self, point: &HistogramPoint<'_>) {
        if !self.counts() {
            return;
        }
        for hungry in self.feeds.iter_mut().filter(|hungry| hungry.scope) {
            if hungry.matcher.matches_name(point.name) {
                let conditions = &hungry.matcher.attributes;
                hungry.seen.passes(ITEM, conditions, point.attributes);
            }
        }
    }
}

fn text(value: Option<Value<'_>>) -> Cow<'_, str> {
    match value {
        None => "nothing".into(),
        Some(Value::Str(text)) => text.into(),
        Some(Value::Bool(value)) => value.to_string().into(),
        Some(Value::Int(value)) => value.to_string().into(),
        Some(Value::Double(value)) => value.to_string().into(),
        Some(_) => "a list".into(),
    }
}

fn names(kinds: SpanKinds) -> String {
    let names = KINDS.iter().filter(|kind| kinds.contains(**kind));
    names
        .map(|kind| name(*kind))
        .collect::<Vec<_>>()
        .join(" or ")
}

const fn name(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

const KINDS: [SpanKind; 5] = [
    SpanKind::Client,
    SpanKind::Server,
    SpanKind::Consumer,
    SpanKind::Producer,
    SpanKind::Internal,
];
const TRACES: &str = "traces";
const METRICS: &str = "metrics";

/// How far what arrives comes: each stage has conditions of its own.
const RESOURCE: usize = 0;
const SCOPE: usize = 1;
const METRIC: usize = 2;
const ITEM: usize = 3;
const STAGES: usize = 4;

/// Values of a condition that are kept.
const MAX_VALUES: usize = 8;
/// Feeds that are looked at in one batch.
const AT_ONCE: usize = 32;
/// Resources, metrics, spans and points of a batch that are looked at.
const MAX_ITEMS: usize = 1_000;
const SECOND: u64 = 1_000_000_000;
const EVERY: u64 = SECOND;
/// A feed that has matched is called idle after so long.
const QUIET: u64 = 60 * SECOND;
/// Lines of the log, of all feeds together.
const LOG_EVERY: u64 = 60 * SECOND;
