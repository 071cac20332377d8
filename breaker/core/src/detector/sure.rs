//! Whether a share is at least so much, where the change that it is of was chosen by looking.
//!
//! The observations since a change are those that speak most for one, and they are looked at again
//! after each. An interval for a sample whose size is fixed before (Wilson) is then too narrow:
//! nine failures in a row are no rarity among thousands of requests of which a third fails. What
//! holds at any time, and wherever the change is put, is an e-process.
//!
//! Let the null be that hits have at most the share L. For each start j, known before what comes
//! after it, and each alternative q > L, the likelihood ratio of the observations from j on has a
//! mean of at most 1 at any time. Mixed over the alternatives, with [`WEIGHTS`], it still has; and
//! so has the mixture over starts, `M = Σ w_j · E_j`, with weights `w_j` whose sum is 1 at most.
//! Hence `P(M ever reaches 1 / α) ≤ α` (Ville 1939; Robbins, Ann. Math. Stat. 41 (1970) 1397;
//! Howard, Ramdas, McAuliffe, Sekhon, Ann. Stat. 49 (2021) 1055; mixtures over starts: Shin,
//! Ramdas, Rinaldo, arXiv 2203.03532).
//!
//! * The i-th change that begins in an episode has the weight `(6 / π²) / i²`. An episode begins
//!   when the scale that looks for a fifth of hits begins to gather evidence, and lasts until that
//!   has none left. Where a third fails for good, it is one, and each further change must be surer.
//! * A change is begun by its first hit, which therefore does not count: the start lies behind it.
//! * What counts does not fade while the change lasts: fading would be a start at each moment. A
//!   silence that leaves nothing of the scale's own estimate ends the change.

/// What the choice of where a change begins costs, in nats.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice {
    /// How many changes began in this episode, and what it costs to have chosen the last.
    begun: f64,
    price: f64,
    /// Since the last began, with its first hit.
    hits: f64,
    observations: f64,
}

impl Choice {
    /// Another change begins, with a hit.
    pub(super) fn begin(&mut self) {
        self.begun += 1.0;
        self.price = 2.0 * self.begun.ln() + NORM;
        (self.hits, self.observations) = (0.0, 0.0);
    }

    /// So many hits and misses more.
    pub(super) const fn count(&mut self, hits: f64, misses: f64) {
        self.hits += hits;
        self.observations += hits + misses;
    }

    /// Another episode: what was tried before no longer counts.
    pub(super) const fn forget_starts(&mut self) {
        self.begun = 0.0;
    }

    /// Whether the share of hits is `least`, at least.
    pub(super) fn is_at_least(&self, least: f64) -> bool {
        let (hits, observations) = (self.hits - 1.0, self.observations - 1.0);
        let misses = (observations - hits).max(0.0);
        if hits <= least * observations || least >= 1.0 {
            return false;
        }
        if least <= 0.0 {
            return hits > 0.0;
        }
        let ratio = |(place, weight): (f64, f64)| {
            let other = (1.0 - least).mul_add(place, least);
            let log = hits * (other / least).ln() + misses * ((1.0 - other) / (1.0 - least)).ln();
            weight * log.exp()
        };
        let mixture: f64 = WEIGHTS.into_iter().map(ratio).sum();
        mixture.ln() >= SURE + self.price
    }

    /// The largest share for which that is so, to a thousandth.
    pub(super) fn low(&self) -> f64 {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..10 {
            let middle = f64::midpoint(low, high);
            if self.is_at_least(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Alternatives, as places between the share of the null and 1, and their weights.
const WEIGHTS: [(f64, f64); 3] = [(0.3, 0.2), (0.6, 0.3), (0.97, 0.5)];
/// ln(π² / 6), with which the weights of all starts have the sum 1.
const NORM: f64 = 0.497_700_302_470_745_3;
/// ln 8: an error of 1 in 8 an episode, if the share is just that of the null; far less below it.
const SURE: f64 = 2.079_441_541_680;

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(earlier: u32, hits: f64, misses: f64) -> Choice {
        let mut choice = Choice::default();
        (0..=earlier).for_each(|_| choice.begin());
        choice.count(hits, misses);
        choice
    }

    /// How many hits in a row it takes to be sure of 40 %.
    fn hits_needed(earlier: u32) -> u32 {
        let is_enough = |hits: &u32| chosen(earlier, f64::from(*hits), 0.0).is_at_least(0.4);
        (1..100).find(is_enough).unwrap()
    }

    #[test]
    fn five_hits_in_a_row_are_enough_at_first_and_more_after_each_other_start() {
        let needed = [0, 1, 3, 10, 100, 10_000].map(hits_needed);
        assert_eq!(needed[0], 5);
        assert!(needed.is_sorted() && needed[5] > 20, "{needed:?}");
    }

    #[test]
    fn the_lower_bound_is_where_it_is_no_longer_sure() {
        for (hits, misses) in [(9.0, 0.0), (60.0, 40.0), (900.0, 2100.0)] {
            let choice = chosen(0, hits, misses);
            let low = choice.low();
            assert!(choice.is_at_least(low) && !choice.is_at_least(low + 0.002));
            let share = hits / (hits + misses);
            assert!(low < share && low > share - 0.5, "{low}");
        }
        assert_eq!(Choice::default().low(), 0.0);
    }

    #[test]
    fn at_the_share_of_the_null_an_episode_is_wrong_as_rarely_as_it_says() {
        let mut luck = crate::rng::Rng::new(1);
        let mut wrong = 0;
        for _ in 0..400 {
            // The start is put wherever the hits since then speak most for more: as a CUSUM does.
            let mut choice = Choice::default();
            let mut drift = 0.0_f64;
            let sure = (0..2000).any(|_| {
                let hit = luck.unit() < 0.4;
                if drift <= 0.0 && !hit {
                    return false;
                }
                if drift <= 0.0 {
                    choice.begin();
                    drift = 0.0;
                }
                drift += if hit { 0.81 } else { -1.79 };
                let hits = f64::from(u8::from(hit));
                choice.count(hits, 1.0 - hits);
                drift > 0.0 && choice.is_at_least(0.4)
            });
            wrong += u32::from(sure);
        }
        assert!(wrong <= 400 / 8, "{wrong} of 400");
    }
}
