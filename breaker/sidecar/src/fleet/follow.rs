//! The task that follows another Breaker, the brain: it watches the brain's breakers, and lets
//! those of the same name here do as they do.
//!
//! * `watch`: the connection; `brain`: what was said; `stats`: what telemetry tells of it.

mod brain;
mod stats;
mod watch;

use std::convert::Infallible;
use std::io;

use breaker_tower::breaker_core::Timestamp;
use breaker_tower::breaker_core::fleet::{Ignored, InstanceId, Replica};
use tokio::time::sleep;

use self::brain::{About, Brain};
use self::watch::{Watch, WatchError};
use super::backoff::Backoff;
use super::pace::Pace;
use super::reported::{MemberRoute, ReportedRoutes};
use super::seen::Seen;
use crate::causes::in_full;
use crate::config::Follow;
use crate::random;
use crate::registry::Registry;

pub(crate) use self::stats::{FollowNumbers, FollowStats};

/// A sidecar that is about to follow a brain.
#[derive(Debug)]
pub(crate) struct Follower {
    follow: Follow,
    registry: Registry,
    shown: Followed,
}

/// What can be told of it. Clones share what changes.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// Where the brain is.
    pub(crate) brain: String,
    pub(crate) stats: FollowStats,
    pub(crate) seen: Seen,
}

/// What goes on from one connection to the next.
struct State {
    routes: ReportedRoutes,
    replica: Replica,
    /// Counts connections.
    term: u64,
    /// Counts messages.
    seq: u64,
    pace: Pace,
    backoff: Backoff,
    warned: bool,
}

// === impl Follower ===

impl Follower {
    /// Lets the breakers of `registry` follow.
    pub(crate) fn new(follow: Follow, registry: Registry) -> Self {
        let shown = Followed {
            brain: follow.brain().to_string().trim_end_matches('/').to_owned(),
            stats: FollowStats::default(),
            seen: Seen::default(),
        };
        Self {
            follow,
            registry,
            shown,
        }
    }

    /// What can be told of it.
    pub(crate) const fn shown(&self) -> &Followed {
        &self.shown
    }

    /// Runs for ever: connects, and connects again when the brain is lost.
    pub(crate) async fn run(self) -> io::Result<()> {
        let mut state = State {
            routes: ReportedRoutes::default(),
            replica: Replica::new(NOBODY),
            term: 0,
            seq: 0,
            pace: Pace::begin(),
            backoff: Backoff::default(),
            warned: false,
        };
        self.observe(&mut state);
        loop {
            let Err(error) = self.watch(&mut state).await;
            self.shown.stats.lost();
            if !std::mem::replace(&mut state.warned, true) {
                let (brain, error) = (&self.shown.brain, in_full(&error));
                tracing::warn!(brain, error, "the brain is lost: each breaker is alone");
            }
            let pause = sleep(state.backoff.pause(random::unit()));
            self.meanwhile(&mut state, pause).await;
        }
    }

    /// Connects, and follows what is said until nothing more is.
    async fn watch(&self, state: &mut State) -> Result<Infallible, WatchError> {
        // That was before this connection.
        let _ = state.pace.stood_still();
        let mut watch = self.meanwhile(state, Watch::begin(&self.follow)).await?;
        let mut brain = Brain::default();
        state.term += 1;
        loop {
            let message = self.meanwhile(state, watch.next()).await;
            // Then its patience may also have ended, although the brain was not silent.
            if state.pace.stood_still() {
                self.shown.stats.ignore(Ignored::Stale);
                return Err(WatchError::StoodStill);
            }
            let message = message?;
            if state.seq == 0 || state.warned {
                tracing::info!(brain = self.shown.brain, "follows a brain");
            }
            (state.backoff, state.warned) = (Backoff::default(), false);
            let (now, about) = (state.pace.now(), About::of(&message));
            self.shown.stats.heard(brain.hear(message, now));
            self.obey(state, &brain, &about, now);
        }
    }

    /// Lets the breakers here do what the brain says: where many routes fail at once, many events
    /// come, and each is about one route.
    fn obey(&self, state: &mut State, brain: &Brain, about: &About, now: Timestamp) {
        let names = state.routes.names().clone();
        let (stats, seen) = (&self.shown.stats, &self.shown.seen);
        let places = match about {
            About::All => {
                let missing = brain.missing(&names).cloned().collect();
                stats.told_of_all(brain.unknown(&names), missing);
                Some(0..names.len())
            }
            About::One(name) => {
                let place = name.as_deref().and_then(|name| state.routes.place(name));
                place.map(|place| place..place + 1)
            }
        };
        state.seq += 1;
        let Some(places) = places else {
            return;
        };
        let numbers = (state.term, state.seq);
        let verdict = brain.verdict(&names[places.clone()], numbers, now);
        match state.replica.verdict(now, now, &verdict) {
            Ok(in_force) => {
                let ignored = state.routes.follow_of(places.clone(), in_force, &verdict);
                ignored.into_iter().for_each(|why| stats.ignore(why));
            }
            Err(why) => stats.ignore(why),
        }
        match about {
            About::All => seen.set_routes(state.routes.seen(NOBODY)),
            About::One(_) => {
                places.for_each(|place| seen.set_route(place, state.routes.seen_at(place, NOBODY)));
            }
        }
    }

    /// Waits for `what`, and remembers meanwhile what happens to the own requests.
    async fn meanwhile<T>(&self, state: &mut State, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return done,
                () = state.pace.slice() => self.observe(state),
            }
        }
    }

    fn observe(&self, state: &mut State) {
        let _ = state.routes.replace(self.routes());
        let _ = state.routes.reports(false);
        self.shown.seen.set_routes(state.routes.seen(NOBODY));
    }

    /// The routes of the configuration that is in force.
    fn routes(&self) -> Vec<MemberRoute> {
        MemberRoute::of(&self.registry, |name| self.follow.has(name))
    }
}

/// A brain names no probers.
const NOBODY: InstanceId = InstanceId([0; 8]);
