//! Who has a place among the connections of the admin port. A newcomer always gets one: who makes
//! room is who says least.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::sockets::Peer;

/// The places. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Vec<Arc<Holder>>>>);

/// A place, for as long as it lives.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    holder: Arc<Holder>,
    places: Places,
}

#[derive(Debug)]
struct Holder {
    /// None for those by a Unix socket, who are one peer.
    peer: Option<IpAddr>,
    doing: Mutex<Doing>,
    evicted: Notify,
}

/// What a connection does, in the order in which connections have to go; of those that do the same,
/// the one that has done it longest goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// It has sent no request yet.
    Silent,
    /// It has no request under way.
    Idle,
    /// It has.
    Busy,
}

#[derive(Debug)]
struct Doing {
    since: Instant,
    asked: u64,
    under_way: u32,
}

/// A request under way, until its answer is sent.
pub(super) struct Busy(Arc<Holder>);

/// An answer that ends the request's [`Busy`] with itself.
pub(super) struct Answer {
    body: Body,
    _busy: Busy,
}

// === impl Places ===

impl Places {
    /// A place for `peer`. Where there is none left, or its share is used up, another connection
    /// has to go.
    pub(super) fn take(&self, peer: Peer) -> ConnectionSlot {
        let peer = peer.ip();
        let holder = Arc::new(Holder {
            peer,
            doing: Mutex::new(Doing {
                since: Instant::now(),
                asked: 0,
                under_way: 0,
            }),
            evicted: Notify::new(),
        });
        let mut holders = self.holders();
        let own = holders.iter().filter(|holder| holder.peer == peer).count();
        if own >= SHARE {
            evict(&mut holders, |holder| holder.peer == peer);
        } else if holders.len() >= MOST {
            evict(&mut holders, |_| true);
        }
        holders.push(holder.clone());
        ConnectionSlot {
            holder,
            places: self.clone(),
        }
    }

    fn holders(&self) -> MutexGuard<'_, Vec<Arc<Holder>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn evict(holders: &mut Vec<Arc<Holder>>, may_go: impl Fn(&Holder) -> bool) {
    let candidates = holders.iter().enumerate();
    let candidates = candidates.filter(|(_, holder)| may_go(holder));
    let least = candidates.min_by_key(|(_, holder)| holder.worth());
    if let Some((index, _)) = least {
        let holder = holders.swap_remove(index);
        // Kept for a task that has yet to look.
        holder.evicted.notify_one();
    }
}

// === impl Place ===

impl ConnectionSlot {
    /// A request has come.
    pub(super) fn begin(&self) -> Busy {
        let mut doing = self.holder.doing();
        doing.since = Instant::now();
        doing.asked += 1;
        doing.under_way += 1;
        drop(doing);
        Busy(self.holder.clone())
    }

    /// How many requests have come so far.
    pub(super) fn asked(&self) -> u64 {
        self.holder.doing().asked
    }

    /// Waits until the place is another's.
    pub(super) async fn evicted(&self) {
        self.holder.evicted.notified().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let own = |holder: &Arc<Holder>| !Arc::ptr_eq(holder, &self.holder);
        self.places.holders().retain(own);
    }
}

// === impl Holder ===

impl Holder {
    fn worth(&self) -> (Worth, Instant) {
        let doing = self.doing();
        let worth = match (doing.asked, doing.under_way) {
            (0, _) => Worth::Silent,
            (_, 0) => Worth::Idle,
            _ => Worth::Busy,
        };
        (worth, doing.since)
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Busy ===

impl Busy {
    /// Goes on until `body` is sent, or dropped.
    pub(super) fn until_sent(self, body: Body) -> Answer {
        Answer { body, _busy: self }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut doing = self.0.doing();
        doing.since = Instant::now();
        doing.under_way -= 1;
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

/// Connections at once.
pub(super) const MOST: usize = 128;
/// Of these, those of one peer.
pub(super) const SHARE: usize = 96;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    fn peer(last: u8) -> Peer {
        SocketAddr::from(([10, 0, 0, last], 1)).into()
    }

    fn is_evicted(place: &ConnectionSlot) -> bool {
        place.evicted().now_or_never().is_some()
    }

    async fn later() {
        tokio::time::advance(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_said_nothing_longest_makes_room_and_who_is_served_last() {
        let places = Places::default();
        let busy = places.take(peer(1));
        let request = busy.begin();
        later().await;
        let idle = places.take(peer(1));
        drop(idle.begin());
        later().await;
        let mut silent = Vec::new();
        while silent.len() < MOST - 2 {
            silent.push(places.take(peer(u8::try_from(silent.len() / 64).unwrap() + 2)));
            later().await;
        }
        let newcomer = places.take(peer(9));
        assert!(is_evicted(&silent[0]));
        let fresh: Vec<_> = (1..MOST - 2)
            .map(|_| places.take(peer(10)))
            .take(90)
            .collect();
        assert!(is_evicted(&silent[1]) && !is_evicted(&newcomer) && !is_evicted(&idle));
        drop((silent, fresh));
        // All of the rest have asked.
        let mut others = vec![newcomer];
        while places.holders().len() < MOST {
            others.push(places.take(peer(u8::try_from(others.len() / 64).unwrap() + 20)));
        }
        let asked: Vec<_> = others.iter().map(ConnectionSlot::begin).collect();
        let _one = places.take(peer(30));
        assert!(is_evicted(&idle) && !is_evicted(&busy));
        drop((request, asked));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_takes_more_than_a_share_from_others() {
        let places = Places::default();
        let other = places.take(peer(1));
        let greedy: Vec<_> = (0..SHARE + 10).map(|_| places.take(peer(2))).collect();
        assert!(!is_evicted(&other));
        assert_eq!(greedy.iter().filter(|place| is_evicted(place)).count(), 10);
        assert_eq!(places.holders().len(), SHARE + 1);
        drop(greedy);
        assert_eq!(places.holders().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_under_way_until_its_answer_is_sent() {
        let places = Places::default();
        let place = places.take(peer(1));
        let answer = place.begin().until_sent(Body::from("text"));
        assert_eq!(place.holder.worth().0, Worth::Busy);
        drop(answer);
        assert_eq!(place.holder.worth().0, Worth::Idle);
    }
}
