//! A lower bound of the share of hits since a change. The start of the change was chosen from the
//! same observations.
//!
//! The start is chosen as the point since which the observations indicate a change most, and the
//! share is evaluated again after each observation. An interval for a sample of fixed size (Wilson)
//! is then too narrow. For example, nine failures in a row are not rare among thousands of requests
//! of which a third fails. An e-process is valid at any time and for any start.
//!
//! Let the null hypothesis be that hits have at most the share L. Take a start j, which is known
//! before the observations after it, and an alternative q > L. The likelihood ratio of the
//! observations from j on has a mean of at most 1 at any time. A mixture over the alternatives,
//! with [`WEIGHTS`], also has a mean of at most 1. So has the mixture over starts,
//! `M = Σ w_j · E_j`, if the weights `w_j` add up to at most 1. Hence `P(M ever reaches 1 / α) ≤ α`
//! (Ville 1939; Robbins, Ann. Math. Stat. 41 (1970) 1397; Howard, Ramdas, McAuliffe, Sekhon, Ann.
//! Stat. 49 (2021) 1055; mixtures over starts: Shin, Ramdas, Rinaldo, arXiv 2203.03532).
//!
//! * The i-th change that begins in an episode has the weight `(6 / π²) / i²`. An episode begins
//!   when the scale that looks for 20 % of hits begins to gather evidence. It ends when this scale
//!   has no evidence left. If a third of the requests fails for good, this is one episode, and each
//!   further change in it needs stronger evidence.
//! * The first hit of a change does not count, because it selected the start. The start is after
//!   it.
//! * The counts do not decay while the change lasts, because decay would amount to a new start at
//!   each moment. A change ends in a silence after which nothing is left of the scale's own
//!   estimate.

/// The counts since the start of a change, and the price of having chosen this start, in nats.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice {
    /// How many changes have begun in this episode, and the price of the last start.
    begun: f64,
    price: f64,
    /// The counts since the last start, including its first hit.
    hits: f64,
    observations: f64,
}

impl Choice {
    /// Another change begins with a hit.
    pub(super) fn begin(&mut self) {
        self.begun += 1.0;
        self.price = 2.0 * self.begun.ln() + NORM;
        (self.hits, self.observations) = (0.0, 0.0);
    }

    /// Counts `hits` and `misses`.
    pub(super) const fn count(&mut self, hits: f64, misses: f64) {
        self.hits += hits;
        self.observations += hits + misses;
    }

    /// Another episode begins: earlier starts no longer count.
    pub(super) const fn forget_starts(&mut self) {
        self.begun = 0.0;
    }

    /// Whether the lower bound of the share of hits is `least` or more.
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

    /// The lower bound: the largest share for which [`Self::is_at_least`] holds, to a thousandth.
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

/// The alternatives, as positions between the share of the null hypothesis and 1, and their
/// weights.
const WEIGHTS: [(f64, f64); 3] = [(0.3, 0.2), (0.6, 0.3), (0.97, 0.5)];
/// ln(π² / 6), with which the weights of all starts add up to 1.
const NORM: f64 = 0.497_700_302_470_745_3;
/// ln 8. If the true share is exactly that of the null hypothesis, an episode is wrong with a
/// probability of at most 1 in 8. Below that share, the probability is far smaller.
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

    /// How many hits in a row make a lower bound of 40 %.
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
            // As a CUSUM does, this puts the start at the point since which the hits indicate a
            // change most.
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
