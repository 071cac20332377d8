//! What is normal by what all instances have learned together.
//!
//! An instance with a request each eight seconds never learns that its errors are rarer than 1 %.
//! Eight of them together do. So each also reports how many requests it has learned from, and how
//! many of these were hits. The share that an instance takes for normal is then lowered to
//!
//! ```text
//! p0ᵢ = 1.5 · max((xᵢ + a) / (nᵢ + a/u), xᵢ/nᵢ),   u = the usual share over all instances, at most
//! ```
//!
//! which is about u where the instance has learned little, and its own share where it has learned
//! much: instances may differ. A share of its own that is higher counts as it is, however little
//! was learned. Nothing is raised by it.
//!
//! f instances may claim anything here too. So u is the larger of two: without those f without
//! which the share is largest; and without those, chosen one after the other, without which its
//! upper bound is. With f = 1 both are exact: who claims something can't lower u below what it is
//! without it.

use super::part::Part;
use crate::detector::usual_at_most;

/// Lowers what is normal for `parts`, where they have told what they learned.
pub(in crate::fleet) fn pool_normals<K>(parts: &mut [(K, &mut Part)], left_out: usize) {
    let told = parts.iter().filter_map(|(_, part)| part.learned());
    let mut told: Vec<_> = told.collect();
    let usual = match told.len() > left_out {
        true => usual_without(&mut told, left_out),
        false => 1.0,
    };
    for (_, part) in parts {
        let pooled = part.learned().map(|(observations, hits)| {
            let prior = PRIOR_HITS / usual;
            let shrunk = (hits + PRIOR_HITS) / (observations + prior);
            ABOVE_USUAL * shrunk.max(hits / observations)
        });
        part.set_pooled_normal(pooled);
    }
}

/// The largest usual share that is left when so many are left out.
fn usual_without(told: &mut [(f64, f64)], left_out: usize) -> f64 {
    largest_share(told, left_out).max(largest_bound(told, left_out))
}

/// By the share itself.
fn largest_share(told: &mut [(f64, f64)], left_out: usize) -> f64 {
    let all = told
        .iter()
        .fold((0.0, PRIOR_HITS), |sums, of| (sums.0 + of.0, sums.1 + of.1));
    let mut best = all;
    // Dinkelbach, Manag. Sci. 13 (1967) 492: the ratio only grows, and soon no more.
    for _ in 0..STEPS {
        let share = best.1 / best.0.max(1.0);
        let lowers = |of: &(f64, f64)| share * of.0 - of.1;
        told.sort_unstable_by(|a, b| lowers(b).total_cmp(&lowers(a)));
        let out = told[..left_out].iter().filter(|of| lowers(of) > 0.0);
        best = out.fold(all, |sums, of| (sums.0 - of.0, sums.1 - of.1));
    }
    bound((best.0, best.1 - PRIOR_HITS))
}

/// By its upper bound, which is also lower the more was observed.
fn largest_bound(told: &[(f64, f64)], left_out: usize) -> f64 {
    let sum = |sums: (f64, f64), of: &(f64, f64)| (sums.0 + of.0, sums.1 + of.1);
    let mut left = told.iter().fold((0.0, 0.0), sum);
    let mut out = vec![false; told.len()];
    for _ in 0..left_out {
        let without = |index: usize| (left.0 - told[index].0, left.1 - told[index].1);
        let others = (0..told.len()).filter(|index| !out[*index]);
        let bounds = others.map(|index| (bound(without(index)), index));
        let Some((larger, index)) = bounds.max_by(|a, b| a.0.total_cmp(&b.0)) else {
            break;
        };
        if larger <= bound(left) {
            break;
        }
        (left, out[index]) = (without(index), true);
    }
    bound(left)
}

/// The usual share at most, of so many observations and hits.
fn bound((observations, hits): (f64, f64)) -> f64 {
    let (observations, hits) = (observations.max(0.0), hits.max(0.0));
    let share = (hits + PRIOR_HITS) / observations.max(1.0);
    share
        .max(usual_at_most(hits, observations))
        .clamp(f64::MIN_POSITIVE, 1.0)
}

/// As locally (`detector/baseline.rs`).
const ABOVE_USUAL: f64 = 1.5;
/// What an instance is taken to have seen of the others: so many hits.
const PRIOR_HITS: f64 = 2.0;
const STEPS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::report::SignalReport;

    /// What is normal for each, in 1/10,000, if they have learned this and take 2 % for normal.
    fn normals(learned: &[(u32, u32)], left_out: usize) -> Vec<u32> {
        let mut parts = vec![Part::default(); learned.len()];
        for (part, (observations, hits)) in parts.iter_mut().zip(learned) {
            part.learn(&SignalReport {
                normal: 200,
                learned: Some(*observations),
                learned_hits: *hits,
                ..SignalReport::default()
            });
        }
        pool_normals(
            &mut parts.iter_mut().map(|of| ((), of)).collect::<Vec<_>>(),
            left_out,
        );
        let normals = parts.iter().map(|part| (part.normal() * 10_000.0).round());
        normals.map(|normal| normal as u32).collect()
    }

    #[test]
    fn what_none_knows_all_know_together() {
        // 2.9/300 is 1 % for one alone.
        assert_eq!(normals(&[(250, 0); 8], 1), [20; 8]);
        assert_eq!(normals(&[(50, 0); 8], 1), [75; 8]);
        assert_eq!(normals(&[(0, 0); 8], 1), [200; 8]);
    }

    #[test]
    fn who_differs_keeps_its_own_share() {
        let mut learned = [(3000, 3); 8];
        learned[0] = (3000, 30);
        let of_eight = normals(&learned, 1);
        assert!((100..=150).contains(&of_eight[0]), "{of_eight:?}");
        assert!(
            of_eight[1..].iter().all(|normal| *normal < 60),
            "{of_eight:?}"
        );
        // One of 40 that has learned little: 4 % of it must not become 1 % by what the others are.
        let mut learned = [(250, 0); 40];
        learned[0] = (250, 10);
        let normals = normals(&learned, 1);
        assert_eq!(normals[0], 200, "as it says: {normals:?}");
        assert!(normals[1..].iter().all(|normal| *normal < 25));
    }

    #[test]
    fn a_claim_of_one_lowers_nothing_for_the_others() {
        for of_each in [(50, 1), (100, 1), (250, 0), (1000, 3)] {
            let honest = normals(&[of_each; 7], 0);
            // Also about the share at which others than the liar are left out.
            let lies =
                (0..400).flat_map(|hits| [50, 1000, 20_000].map(|all| (all, hits * all / 20_000)));
            for lie in lies.chain([(u32::MAX, 0)]) {
                let mut learned = vec![of_each; 7];
                learned.push(lie);
                let normals = normals(&learned, 1);
                let mut pairs = normals.iter().zip(&honest);
                let is_less = pairs.any(|(with, without)| with < without);
                assert!(!is_less, "{of_each:?} {lie:?}: {normals:?} {honest:?}");
            }
        }
    }

    #[test]
    fn what_was_learned_can_be_withdrawn() {
        let mut parts = vec![Part::default(); 8];
        let tell = |part: &mut Part, normal, learned| {
            part.learn(&SignalReport {
                normal,
                learned,
                ..SignalReport::default()
            });
        };
        let pool = |parts: &mut [Part]| {
            pool_normals(
                &mut parts.iter_mut().map(|of| ((), of)).collect::<Vec<_>>(),
                1,
            );
        };
        parts.iter_mut().for_each(|of| tell(of, 100, Some(900)));
        pool(&mut parts);
        assert!(parts[0].normal() < 0.01);
        // It has accepted 4 %. That counts at once, and for good.
        tell(&mut parts[0], 400, Some(0));
        assert_eq!(parts[0].normal(), 0.04);
        tell(&mut parts[0], 0, None);
        pool(&mut parts);
        assert_eq!(parts[0].normal(), 0.04);
        assert!(parts[1].normal() < 0.01);
    }
}
