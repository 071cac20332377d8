//! What metrics tell beside snapshots: how requests failed, what became of samples, and how long
//! the breaker was open.

use std::sync::Arc;

use breaker_core::policy::GrpcCode;
use breaker_core::{Classification, Observed, SourceId};
use http::StatusCode;

use super::flight::KnownAnswer;
use crate::classify::{Classified, Ending};

/// Of one breaker, since it was made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// At most [`MOST_KINDS`], then [`FailureKind::Rest`].
    pub(crate) failures: Vec<(FailureKind, u64)>,
    pub(crate) feeds: Vec<FeedTally>,
    /// Feeds that are gone, the latest last, at most [`MOST_FORMER`]: a counter that returns under
    /// the same name must not begin anew.
    former: Vec<FeedTally>,
    #[cfg(feature = "opentelemetry")]
    pub(crate) open: OpenTimes,
}

/// How a request failed, as the attribute `error.type` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    Status(StatusCode),
    Grpc(GrpcCode),
    Timeout,
    /// An error, a panic, or whatever the caller of a handle calls a failure.
    Error,
    /// A kind of which there are too many.
    Rest,
}

/// What became of the samples of a feed.
#[derive(Clone, Debug)]
pub(crate) struct FeedTally {
    id: SourceId,
    pub(crate) name: Arc<str>,
    pub(crate) counted: u64,
    pub(crate) late: u64,
    pub(crate) future: u64,
}

/// For how long the breaker was open, each time.
#[cfg(feature = "opentelemetry")]
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenTimes {
    /// How many there were.
    pub(crate) count: u64,
    /// The last of them, the latest last.
    pub(crate) latest: std::collections::VecDeque<std::time::Duration>,
}

// === impl Tally ===

impl Tally {
    /// A request has failed.
    pub(crate) fn failed(&mut self, kind: FailureKind) {
        let known = |kind| move |(known, _): &(FailureKind, u64)| *known == kind;
        let kind = if self.failures.len() < MOST_KINDS || self.failures.iter().any(known(kind)) {
            kind
        } else {
            FailureKind::Rest
        };
        match self.failures.iter().position(known(kind)) {
            Some(index) => self.failures[index].1 += 1,
            None => self.failures.push((kind, 1)),
        }
    }

    /// There is a feed of this name too.
    pub(crate) fn add_feed(&mut self, id: SourceId, name: Arc<str>) {
        let feed = take(&mut self.former, |feed| feed.name == name);
        self.feeds.push(FeedTally::known_as(id, name, feed));
    }

    /// There are no other feeds than these. What was counted for a feed of the same name goes on.
    pub(crate) fn set_feeds(&mut self, feeds: impl IntoIterator<Item = (SourceId, Arc<str>)>) {
        let mut before = std::mem::take(&mut self.feeds);
        for (id, name) in feeds {
            let feed = take(&mut before, |feed| feed.id == id);
            let feed = feed.or_else(|| take(&mut self.former, |feed| feed.name == name));
            self.feeds.push(FeedTally::known_as(id, name, feed));
        }
        self.former.append(&mut before);
        let surplus = self.former.len().saturating_sub(MOST_FORMER);
        self.former.drain(..surplus);
    }

    /// Samples of a feed became this.
    pub(crate) fn observed(
        &mut self,
        id: SourceId,
        told: impl IntoIterator<Item = (Observed, u64)>,
    ) {
        let Some(feed) = self.feeds.iter_mut().find(|feed| feed.id == id) else {
            return;
        };
        for (fate, count) in told {
            match fate {
                Observed::Counted => feed.counted += count,
                Observed::Late => feed.late += count,
                Observed::Future => feed.future += count,
                _ => {}
            }
        }
    }

    /// The breaker was open for so long.
    #[cfg(feature = "opentelemetry")]
    pub(crate) fn was_open(&mut self, lasted: std::time::Duration) {
        let open = &mut self.open;
        if open.latest.len() == MOST_OPEN_TIMES {
            open.latest.pop_front();
        }
        open.latest.push_back(lasted);
        open.count += 1;
    }
}

// === impl FailureKind ===

impl FailureKind {
    pub(crate) fn of(ending: &Ending, answer: &KnownAnswer) -> Self {
        let by_head = matches!(
            answer.head,
            Some(Classified::Head(head)) if head.classification == Classification::Failure
        );
        match (ending.grpc, answer.status) {
            (Some(code), _) => Self::Grpc(code),
            _ if ending.timed_out => Self::Timeout,
            (None, Some(status)) if by_head => Self::Status(status),
            _ => Self::Error,
        }
    }

    pub(crate) fn label(self) -> Arc<str> {
        match self {
            Self::Status(status) => status.as_str().into(),
            Self::Grpc(code) => code.name().into(),
            Self::Timeout => "timeout".into(),
            Self::Error => "_OTHER".into(),
            Self::Rest => "other".into(),
        }
    }
}

// === impl FeedTally ===

impl FeedTally {
    /// Goes on with what was counted before, if there is something.
    fn known_as(id: SourceId, name: Arc<str>, before: Option<Self>) -> Self {
        let [counted, late, future] = before.map_or([0; 3], |before| {
            [before.counted, before.late, before.future]
        });
        Self {
            id,
            name,
            counted,
            late,
            future,
        }
    }
}

fn take(feeds: &mut Vec<FeedTally>, is_it: impl Fn(&FeedTally) -> bool) -> Option<FeedTally> {
    let index = feeds.iter().position(is_it)?;
    Some(feeds.remove(index))
}

/// As of the sidecar.
const MOST_KINDS: usize = 16;
/// A route has at most 16 feeds at once.
const MOST_FORMER: usize = 64;
/// Somebody reads them before there are as many: a breaker is open for seconds.
#[cfg(feature = "opentelemetry")]
const MOST_OPEN_TIMES: usize = 64;
