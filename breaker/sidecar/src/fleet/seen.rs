//! What people are shown of the fleet, from here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breaker_tower::breaker_core::fleet::{Ignored, Overview, RouteVerdict};
use breaker_tower::breaker_core::policy::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// What the session writes and the admin port reads. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<SeenState>);

#[derive(Debug, Default)]
struct SeenState {
    routes: Mutex<Arc<[RouteSeen]>>,
    /// When somebody last wanted to see the overview.
    asked: Mutex<Option<Instant>>,
    overview: watch::Sender<Option<OverviewSeen>>,
}

/// What is known of a route whose evidence is pooled.
#[derive(Clone, Debug)]
pub(crate) struct RouteSeen {
    pub(crate) name: Arc<str>,
    /// What the newest verdict says; `None` if it is quiet.
    pub(crate) verdict: Option<Arc<RouteVerdict>>,
    /// Whether this sidecar is among the probers.
    pub(crate) is_prober: bool,
    /// Why that is not followed.
    pub(crate) ignored: Option<Ignored>,
    pub(crate) is_led: bool,
    /// Requests and hits of the last 30 s here, by signal.
    pub(crate) own: [(u64, u64); Signal::ALL.len()],
    pub(crate) opened: Option<Opened>,
}

/// That the fleet opened a breaker.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) at: Instant,
    pub(crate) verdict: Arc<RouteVerdict>,
    /// Requests and hits of the 30 s before.
    pub(crate) own: (u64, u64),
}

/// What the aggregator said of the whole fleet.
#[derive(Clone, Debug)]
pub(crate) struct OverviewSeen {
    pub(crate) at: Instant,
    /// Members that were left out.
    pub(crate) more_members: u64,
    pub(crate) overview: Arc<Overview>,
}

impl Seen {
    pub(crate) fn routes(&self) -> Arc<[RouteSeen]> {
        locked(&self.0.routes).clone()
    }

    pub(super) fn set_routes(&self, routes: impl Iterator<Item = RouteSeen>) {
        *locked(&self.0.routes) = routes.collect();
    }

    pub(super) fn set_route(&self, place: usize, seen: RouteSeen) {
        if let Some(of) = Arc::make_mut(&mut *locked(&self.0.routes)).get_mut(place) {
            *of = seen;
        }
    }

    /// Whether somebody has looked of late, so that the overview is worth receiving.
    pub(super) fn is_watched(&self) -> bool {
        locked(&self.0.asked).is_some_and(|asked| asked.elapsed() < WATCHED)
    }

    pub(super) fn set_overview(&self, overview: Overview, more_members: u64) {
        self.0.overview.send_replace(Some(OverviewSeen {
            at: Instant::now(),
            more_members,
            overview: Arc::new(overview),
        }));
    }

    /// A fresh overview; waits until one comes, but not for long.
    pub(crate) async fn overview(&self) -> Option<OverviewSeen> {
        *locked(&self.0.asked) = Some(Instant::now());
        let mut overview = self.0.overview.subscribe();
        let fresh =
            overview.wait_for(|seen| seen.as_ref().is_some_and(|seen| seen.at.elapsed() < FRESH));
        timeout(PATIENCE, fresh).await.ok()?.ok()?.clone()
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Pages ask again sooner.
const WATCHED: Duration = Duration::from_secs(15);
/// An overview comes each second.
const FRESH: Duration = Duration::from_secs(3);
/// The subscription takes half a second, and the next overview a second.
const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_overview_is_waited_for_and_an_old_one_is_none() {
        let seen = Seen::default();
        assert!(!seen.is_watched());
        let began = Instant::now();
        assert!(seen.overview().await.is_none());
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(seen.is_watched());
        let (asked, ()) = tokio::join!(seen.overview(), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            seen.set_overview(Overview::default(), 7);
        });
        assert_eq!(asked.unwrap().more_members, 7);
        tokio::time::sleep(FRESH).await;
        assert!(seen.overview().await.is_none());
        tokio::time::sleep(WATCHED).await;
        assert!(!seen.is_watched());
    }
}
