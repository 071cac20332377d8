//! How requests ended, by the failure rules of each policy.

use breaker_tower::Policy;
use breaker_tower::core::Verdict;
use breaker_tower::core::policy::FailureRules;

use super::line::Ending;

/// What each policy makes of a request: two bits each. The fourth value is a failure by a timeout,
/// which is one to all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Verdicts(u32);

/// Judges for all policies at once.
#[derive(Debug)]
pub(super) struct Judge {
    rules: Vec<FailureRules>,
    by_status: Vec<Verdicts>,
}

impl Verdicts {
    /// Of each policy, the verdict that `of` gives for its index.
    pub(super) fn new(policies: usize, mut of: impl FnMut(usize) -> Verdict) -> Self {
        let bits = (0..policies).map(|index| {
            let verdict = match of(index) {
                Verdict::Failure => 1,
                Verdict::Ignored => 2,
                _ => 0,
            };
            verdict << (2 * index)
        });
        Self(bits.fold(0, |all, bits| all | bits))
    }

    /// A timeout ended it.
    const TIMED_OUT: Self = Self(u32::MAX);

    pub(super) const fn timed_out(self) -> bool {
        self.0 & 3 == 3
    }

    pub(super) const fn of(self, policy: usize) -> Verdict {
        match self.0 >> (2 * policy) & 3 {
            0 => Verdict::Success,
            2 => Verdict::Ignored,
            _ => Verdict::Failure,
        }
    }
}

impl Judge {
    /// So many policies fit into the bits.
    pub(super) const MOST: usize = 16;

    pub(super) fn new<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let rules: Vec<_> = policies.map(|policy| policy.failure().clone()).collect();
        let by_status = (0..1000)
            .map(|status| Verdicts::new(rules.len(), |index| rules[index].of_http(status)));
        Self {
            by_status: by_status.collect(),
            rules,
        }
    }

    pub(super) fn verdicts(&self, ending: Ending<'_>) -> Verdicts {
        let each = |verdict: &dyn Fn(&FailureRules) -> Verdict| {
            Verdicts::new(self.rules.len(), |index| verdict(&self.rules[index]))
        };
        match ending {
            Ending::Status(status) => self
                .by_status
                .get(usize::from(status))
                .copied()
                .unwrap_or_default(),
            Ending::Grpc(code) => each(&|rules| rules.of_grpc(code)),
            // As it is with spans: it says nothing of the service, unless a policy has it that it
            // does.
            Ending::CallerLeft => each(&|rules| match rules.of_http(CALLER_LEFT) {
                Verdict::Success => Verdict::Ignored,
                verdict => verdict,
            }),
            Ending::Span(facts, status) => each(&|rules| facts.verdict(status, rules)),
            Ending::TimedOut => Verdicts::TIMED_OUT,
            Ending::Outcome(verdict) => each(&|_| verdict),
        }
    }
}

/// Of nginx, and of those that follow it.
const CALLER_LEFT: u16 = 499;

#[cfg(test)]
mod tests {
    use breaker_tower::core::policy::yaml;

    use super::*;

    #[test]
    fn each_policy_judges_by_its_own_rules() {
        let strict = "name: strict\nbase: sensitive\nfailure: { http: [429] }\n";
        let strict = yaml::parse(strict, None).expect("a good policy");
        let judge = Judge::new([&Policy::sensitive(), &strict].into_iter());
        let of = |ending| {
            let verdicts = judge.verdicts(ending);
            [verdicts.of(0), verdicts.of(1)]
        };
        assert_eq!(
            of(Ending::Status(429)),
            [Verdict::Success, Verdict::Failure]
        );
        assert_eq!(
            of(Ending::Status(500)),
            [Verdict::Failure, Verdict::Success]
        );
        assert_eq!(of(Ending::Outcome(Verdict::Ignored)), [Verdict::Ignored; 2]);
        assert_eq!(of(Ending::CallerLeft), [Verdict::Ignored; 2]);
        assert_eq!(of(Ending::TimedOut), [Verdict::Failure; 2]);
        let timed_out = |ending| judge.verdicts(ending).timed_out();
        assert!(timed_out(Ending::TimedOut) && !timed_out(Ending::FAILURE));
        assert!(!timed_out(Ending::CallerLeft) && !timed_out(Ending::Status(200)));
        let unavailable = Ending::Grpc("UNAVAILABLE".parse().expect("a code"));
        assert_eq!(of(unavailable)[0], Verdict::Failure);
    }
}
