//! How requests ended, by the failure rules of each policy.

use breaker_tower::Policy;
use breaker_tower::breaker_core::Classification;
use breaker_tower::breaker_core::policy::FailureRules;

use super::line::Ending;

/// The classification of a request by each policy, in two bits each. The fourth value is a failure
/// by a timeout, which is a failure for all policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Classifications(u32);

/// Classifies requests by the rules of all policies.
#[derive(Debug)]
pub(super) struct Judge {
    rules: Vec<FailureRules>,
    by_status: Vec<Classifications>,
}

impl Classifications {
    /// The classifications that `of` returns for the index of each policy.
    pub(super) fn new(policies: usize, mut of: impl FnMut(usize) -> Classification) -> Self {
        let bits = (0..policies).map(|index| {
            let classification = match of(index) {
                Classification::Failure => 1,
                Classification::Ignored => 2,
                _ => 0,
            };
            classification << (2 * index)
        });
        Self(bits.fold(0, |all, bits| all | bits))
    }

    /// A timeout ended the request.
    const TIMED_OUT: Self = Self(u32::MAX);

    pub(super) const fn timed_out(self) -> bool {
        self.0 & 3 == 3
    }

    pub(super) const fn of(self, policy: usize) -> Classification {
        match self.0 >> (2 * policy) & 3 {
            0 => Classification::Success,
            2 => Classification::Ignored,
            _ => Classification::Failure,
        }
    }
}

impl Judge {
    /// The number of policies that fit into the bits.
    pub(super) const MOST: usize = 16;

    pub(super) fn new<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let rules: Vec<_> = policies.map(|policy| policy.failure().clone()).collect();
        let by_status = (0..1000)
            .map(|status| Classifications::new(rules.len(), |index| rules[index].of_http(status)));
        Self {
            by_status: by_status.collect(),
            rules,
        }
    }

    pub(super) fn classifications(&self, ending: Ending<'_>) -> Classifications {
        let each = |classification: &dyn Fn(&FailureRules) -> Classification| {
            Classifications::new(self.rules.len(), |index| classification(&self.rules[index]))
        };
        match ending {
            Ending::Status(status) => self
                .by_status
                .get(usize::from(status))
                .copied()
                .unwrap_or_default(),
            Ending::Grpc(code) => each(&|rules| rules.of_grpc(code)),
            // As for spans: this says nothing about the service, unless a policy counts it as a
            // failure.
            Ending::CallerLeft => each(&|rules| match rules.of_http(CALLER_LEFT) {
                Classification::Success => Classification::Ignored,
                classification => classification,
            }),
            Ending::Span(facts, status) => each(&|rules| facts.classification(status, rules)),
            Ending::TimedOut => Classifications::TIMED_OUT,
            Ending::Outcome(classification) => each(&|_| classification),
        }
    }
}

/// The status of nginx, which others have adopted.
const CALLER_LEFT: u16 = 499;

#[cfg(test)]
mod tests {
    use breaker_tower::breaker_core::policy::yaml;

    use super::*;

    #[test]
    fn each_policy_judges_by_its_own_rules() {
        let strict = "name: strict\nbase: sensitive\nfailure: { http: [429] }\n";
        let strict = yaml::parse(strict, None).expect("a good policy");
        let judge = Judge::new([&Policy::sensitive(), &strict].into_iter());
        let of = |ending| {
            let classifications = judge.classifications(ending);
            [classifications.of(0), classifications.of(1)]
        };
        assert_eq!(
            of(Ending::Status(429)),
            [Classification::Success, Classification::Failure]
        );
        assert_eq!(
            of(Ending::Status(500)),
            [Classification::Failure, Classification::Success]
        );
        assert_eq!(
            of(Ending::Outcome(Classification::Ignored)),
            [Classification::Ignored; 2]
        );
        assert_eq!(of(Ending::CallerLeft), [Classification::Ignored; 2]);
        assert_eq!(of(Ending::TimedOut), [Classification::Failure; 2]);
        let timed_out = |ending| judge.classifications(ending).timed_out();
        assert!(timed_out(Ending::TimedOut) && !timed_out(Ending::FAILURE));
        assert!(!timed_out(Ending::CallerLeft) && !timed_out(Ending::Status(200)));
        let unavailable = Ending::Grpc("UNAVAILABLE".parse().expect("a code"));
        assert_eq!(of(unavailable)[0], Classification::Failure);
    }
}
