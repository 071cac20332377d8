//! Which endpoint gets an attempt.

use super::{Balance, EndpointId, Endpoints};
use crate::rng::Rng;
use crate::time::Timestamp;

/// What the caller knows of an endpoint that might be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "each caller answers with one of them"
)]
pub enum Candidate {
    /// It has an idle connection to it.
    Idle,
    /// It has none.
    Fresh,
    /// The request was sent there already: it is not picked again.
    Tried,
}

/// An endpoint that was picked, for [`Endpoints::begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    pub(super) id: EndpointId,
    /// Its place, unless the set has changed since.
    pub(super) place: u32,
    pub(super) probe: bool,
}

impl Pick {
    /// Which endpoint.
    pub const fn id(&self) -> EndpointId {
        self.id
    }

    /// Whether the attempt probes an endpoint that is out.
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

impl Endpoints {
    /// Picks an endpoint for an attempt at `now`; `None` if there is none that was not tried.
    ///
    /// An endpoint whose time out is over is picked first, as a probe, one attempt at a time; but
    /// not for a request that was tried elsewhere. If all endpoints that are in were tried, or none
    /// is in, one of those that are out is picked: those that operators ejected last.
    ///
    /// `random` is any number that differs from call to call. Of two endpoints whose loads differ
    /// by less than a quarter the one with an idle connection is picked, but for one time in eight.
    pub fn pick(
        &self,
        now: Timestamp,
        random: u64,
        known: impl Fn(EndpointId) -> Candidate,
    ) -> Option<Pick> {
        let now = self.now.max(now);
        let choice = Choice {
            endpoints: self,
            now,
            known,
        };
        if now >= self.probe_from
            && let Some(place) = choice.due()
        {
            return Some(self.picked(place, true));
        }
        let mut rng = Rng::new(random);
        let picked = match self.settings.balance {
            _ if self.available.len() < 2 => choice.first_of(&self.available, 0),
            Balance::P2c => choice.lighter_of_two(&mut rng),
            Balance::RoundRobin => choice.next_in_turn(),
        };
        let place = picked.or_else(|| choice.of_those_out(&mut rng))?;
        Some(self.picked(place, false))
    }

    /// A certain endpoint, chosen by another rule than the balancer's; `None` if it is not in the
    /// set. If it is out and may be probed, the attempt is a probe.
    pub fn at(&self, id: EndpointId, now: Timestamp) -> Option<Pick> {
        let place = self.find(id, 0)?;
        let from = self.members[place].probe_from();
        Some(self.picked(place, from.is_some_and(|from| from <= self.now.max(now))))
    }

    const fn picked_id(&self, place: usize) -> EndpointId {
        self.ids.as_slice()[place]
    }

    const fn picked(&self, place: usize, probe: bool) -> Pick {
        Pick {
            id: self.picked_id(place),
            place: place as u32,
            probe,
        }
    }
}

struct Choice<'a, F> {
    endpoints: &'a Endpoints,
    now: Timestamp,
    known: F,
}

impl<F: Fn(EndpointId) -> Candidate> Choice<'_, F> {
    fn known(&self, place: usize) -> Candidate {
        (self.known)(self.endpoints.picked_id(place))
    }

    fn is_open(&self, place: usize) -> bool {
        self.known(place) != Candidate::Tried
    }

    /// An endpoint to probe, unless the request was tried elsewhere.
    #[cold]
    fn due(&self) -> Option<usize> {
        let members = &self.endpoints.members;
        let is_due = |place: &usize| {
            let from = members[*place].probe_from();
            from.is_some_and(|from| from <= self.now)
        };
        let mut out = self.endpoints.out.iter().map(|place| *place as usize);
        let due = out.find(is_due)?;
        let any_tried = (0..members.len()).any(|place| !self.is_open(place));
        (!any_tried).then_some(due)
    }

    /// The first of `places` that was not tried, from the one at `start` on.
    fn first_of(&self, places: &[u32], start: usize) -> Option<usize> {
        let (before, after) = places.split_at(start.min(places.len()));
        let mut places = after.iter().chain(before).map(|place| *place as usize);
        places.find(|place| self.is_open(*place))
    }

    fn lighter_of_two(&self, rng: &mut Rng) -> Option<usize> {
        let available = &self.endpoints.available;
        let index = self.draw(rng, None)?;
        let first = available[index] as usize;
        let Some(index) = self.draw(rng, Some(index)) else {
            return Some(first);
        };
        let second = available[index] as usize;
        let (one, other) = (self.cost(first), self.cost(second));
        let prefers_second = if other * ALIKE < one {
            true
        } else if one * ALIKE < other {
            false
        } else {
            // As good as equal: the draw was by weight, so the first one it is. A caller that sends
            // one request after the other would never leave its idle connection: it does at times.
            self.known(second) == Candidate::Idle
                && self.known(first) != Candidate::Idle
                && rng.unit() >= EXPLORES
        };
        Some(if prefers_second { second } else { first })
    }

    /// The index in `available` of an endpoint, each as often as its weight says; not `but`, and
    /// none that was tried.
    fn draw(&self, rng: &mut Rng, but: Option<usize>) -> Option<usize> {
        let available = &self.endpoints.available;
        let is_open = |index: usize| self.is_open(available[index] as usize);
        let mut index = 0;
        for _ in 0..DRAWS {
            index = self.index_at(rng.unit(), but);
            let is_excluded = but == Some(index) || !is_open(index);
            if !is_excluded && self.is_grown(available[index] as usize, rng) {
                return Some(index);
            }
        }
        // Few are left, or one is far heavier than the others.
        let mut indices = (index..available.len()).chain(0..index);
        indices.find(|index| but != Some(*index) && is_open(*index))
    }

    /// The index in `available` at this part of the sum of weights; of equal weights, without
    /// `but`.
    fn index_at(&self, part: f64, but: Option<usize>) -> usize {
        let count = self.endpoints.available.len();
        let index = match (self.endpoints.cumulative.last(), but) {
            (None, None) => (part * count as f64) as usize,
            (None, Some(but)) => {
                let index = (part * (count - 1) as f64) as usize;
                index + usize::from(index >= but)
            }
            (Some(sum), _) => {
                let weight = (part * *sum as f64) as u64;
                let upto = &self.endpoints.cumulative;
                upto.partition_point(|upto| *upto <= weight)
            }
        };
        index.min(count - 1)
    }

    /// Whether an endpoint whose share still grows takes part this time.
    fn is_grown(&self, place: usize, rng: &mut Rng) -> bool {
        let load = &self.endpoints.loads[place];
        !load.is_growing(self.now) || {
            let grown = load.grown(self.now, &self.endpoints.pace);
            rng.unit() < f64::from(grown)
        }
    }

    fn cost(&self, place: usize) -> f64 {
        self.endpoints.loads[place].cost(self.now, &self.endpoints.pace)
    }

    fn next_in_turn(&self) -> Option<usize> {
        let endpoints = self.endpoints;
        let index = if endpoints.cumulative.is_empty() {
            (endpoints.turn % endpoints.available.len() as u64) as usize
        } else {
            // Multiples of the golden ratio fill 0..1 evenly, whatever the weights.
            self.index_at((endpoints.turn as f64 * GOLDEN).fract(), None)
        };
        let place = endpoints.available[index] as usize;
        let mut rng = Rng::new(endpoints.turn);
        if self.is_open(place) && self.is_grown(place, &mut rng) {
            return Some(place);
        }
        let next = (index + 1) % endpoints.available.len();
        self.first_of(&endpoints.available, next)
    }

    /// One of those that are out: better than none.
    #[cold]
    fn of_those_out(&self, rng: &mut Rng) -> Option<usize> {
        let endpoints = self.endpoints;
        let start = (rng.unit() * endpoints.out.len() as f64) as usize;
        let rank = |place: usize| {
            let member = &endpoints.members[place];
            (member.operator_until.is_some(), member.unhealthy)
        };
        let (before, after) = endpoints.out.split_at(start.min(endpoints.out.len()));
        let out = after.iter().chain(before).map(|place| *place as usize);
        let open = out.filter(|place| self.is_open(*place));
        open.min_by_key(|place| rank(*place))
    }
}

/// Loads that differ by less than a quarter are alike.
const ALIKE: f64 = 1.25;
/// How often an idle connection does not decide.
const EXPLORES: f64 = 0.125;
const DRAWS: usize = 8;
const GOLDEN: f64 = 0.618_033_988_749_894_9;
