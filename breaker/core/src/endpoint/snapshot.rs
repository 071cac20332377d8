//! What there is to see of the endpoints of an upstream.

use std::time::Duration;

use super::member::EndpointTotals;
use super::{EjectReason, EndpointId, Endpoints};
use crate::ratio::Ratio;
use crate::time::Timestamp;

/// The endpoints of an upstream at one time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndpointsSnapshot {
    /// Each of them, in the order of their ids.
    pub endpoints: Vec<EndpointSnapshot>,
    /// Whether too many are bad, so that all are in.
    pub panic: bool,
    /// How many may be out, beside those that operators ejected.
    pub most_out: usize,
    /// Bytes of memory.
    pub bytes: usize,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndpointSnapshot {
    /// Which.
    pub id: EndpointId,
    /// Whether it gets requests.
    pub state: EndpointState,
    /// Why it does not; `None` if it does.
    pub reason: Option<EjectReason>,
    /// When it is probed, or an operator's time ends; `None` if neither is to come.
    pub out_until: Option<Timestamp>,
    /// Since when it is in or out; the origin of time if it has always been in.
    pub since: Timestamp,
    /// The weight it was given.
    pub weight: u32,
    /// How much of its share of the requests it gets: all, unless it is new or has just come in.
    pub grown: Ratio,
    /// Requests in flight.
    pub in_flight: u32,
    /// The peak EWMA of its latency, as of now.
    pub latency: Duration,
    /// What the balancer compares: the latency × (in flight + 1 + the penalty for failures).
    pub load: Duration,
    /// The share of failures in the last ten seconds, of so many attempts. Not known of a single
    /// endpoint, nor of one that is out.
    pub failures: Ratio,
    /// See `failures`.
    pub recent: u64,
    /// What was counted of it since it is known.
    pub totals: EndpointTotals,
}

/// Whether an endpoint gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointState {
    /// It does.
    In,
    /// It does not.
    Out,
    /// It gets one at a time, or will get one with the next request.
    Probing,
}

impl EndpointState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::In, Self::Out, Self::Probing];

    /// One word, for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Probing => "probing",
        }
    }
}

impl Endpoints {
    /// Everything there is to see, as of `now`.
    pub fn snapshot(&self, now: Timestamp) -> EndpointsSnapshot {
        let now = self.now.max(now);
        let places = 0..self.ids.len();
        let counted = self
            .members
            .iter()
            .filter(|member| member.operator_until.is_none());
        EndpointsSnapshot {
            endpoints: places.map(|place| self.snapshot_of(place, now)).collect(),
            panic: self.is_panicking(),
            most_out: self.settings.most_out(counted.count()),
            bytes: self.bytes(),
        }
    }

    fn snapshot_of(&self, place: usize, now: Timestamp) -> EndpointSnapshot {
        let (member, load) = (&self.members[place], &self.loads[place]);
        let probing = member.probe_from().is_some_and(|from| from <= now)
            || member
                .ejection
                .is_some_and(|ejection| ejection.lease.is_some());
        let detectors = member.detectors.as_ref();
        let (failures, recent) = detectors.map_or((Ratio::ZERO, 0), |of| of.failures(now));
        EndpointSnapshot {
            id: self.ids[place],
            state: match member.out {
                false => EndpointState::In,
                true if probing => EndpointState::Probing,
                true => EndpointState::Out,
            },
            reason: member.out.then(|| member.reason()),
            out_until: member.until(),
            since: member.since,
            weight: member.weight,
            grown: Ratio::new(load.grown(now, &self.pace).into()).unwrap_or(Ratio::ONE),
            in_flight: load.in_flight(),
            latency: seconds(load.latency(now, &self.pace)),
            load: seconds(load.cost(now, &self.pace)),
            failures,
            recent,
            totals: member.totals,
        }
    }

    fn bytes(&self) -> usize {
        let heap = self.members.iter().map(|member| member.heap_bytes());
        size_of::<Self>()
            + self.ids.capacity() * size_of::<EndpointId>()
            + self.loads.capacity() * size_of::<super::Load>()
            + self.members.capacity() * size_of::<super::Member>()
            + self.gone.capacity() * size_of::<super::Gone>()
            + (self.available.capacity() + self.out.capacity()) * size_of::<u32>()
            + self.cumulative.capacity() * size_of::<u64>()
            + heap.sum::<usize>()
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}
