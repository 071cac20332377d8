//! Who is the aggregator: the instance that holds the lease, by its own clock.

use std::time::Duration;

use breaker_tower::breaker_core::Timestamp;

/// The lease, as one instance knows it.
#[derive(Debug, Default)]
pub(super) struct Lease {
    held: Option<(u64, Timestamp)>,
    asked: Option<Timestamp>,
}

impl Lease {
    /// Whether to ask for it now: to renew it, or because no aggregator has spoken for a while.
    pub(super) fn is_due(&self, now: Timestamp, verdict_age: Option<Duration>) -> bool {
        let rested = self
            .asked
            .is_none_or(|asked| now.saturating_since(asked) >= RENEWED);
        let is_silent = verdict_age.is_none_or(|age| age >= SILENT);
        rested && (self.term(now).is_some() || is_silent)
    }

    /// Takes the engine's answer to a request of the time `asked`. The engine counts from a later
    /// time, so this side never holds the lease for longer.
    pub(super) fn answered(&mut self, asked: Timestamp, term: Option<u64>) {
        self.asked = Some(asked);
        let until = Timestamp::from_nanos(asked.as_nanos() + TTL.as_nanos() as u64);
        self.held = term.map(|term| (term, until));
    }

    /// The term, while it is held.
    pub(super) fn term(&self, now: Timestamp) -> Option<u64> {
        let (term, until) = self.held?;
        (now < until).then_some(term)
    }
}

/// How long the engine keeps the lease for who holds it.
pub(super) const TTL: Duration = Duration::from_secs(2);
const RENEWED: Duration = Duration::from_millis(700);
/// An aggregator speaks each second.
const SILENT: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests {
    use super::*;

    /// What the script of the engine does, at times in milliseconds.
    #[derive(Default)]
    struct Engine {
        holder: Option<(u8, u64)>,
        term: u64,
    }

    impl Engine {
        fn lease(&mut self, id: u8, now: u64) -> Option<u64> {
            match self.holder.filter(|(_, until)| now < *until) {
                Some((holder, _)) if holder != id => return None,
                Some(_) => {}
                None => self.term += 1,
            }
            self.holder = Some((id, now + 2000));
            Some(self.term)
        }
    }

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn ask(lease: &mut Lease, engine: &mut Engine, id: u8, now: u64) {
        let term = engine.lease(id, now + 5);
        lease.answered(at(now), term);
    }

    #[test]
    fn one_has_it_renews_it_and_another_gets_it_with_a_higher_term() {
        let mut engine = Engine::default();
        let (mut one, mut other) = (Lease::default(), Lease::default());
        assert!(one.is_due(at(0), None));
        ask(&mut one, &mut engine, 1, 0);
        ask(&mut other, &mut engine, 2, 1);
        assert_eq!((one.term(at(10)), other.term(at(10))), (Some(1), None));
        assert!(!one.is_due(at(699), None) && one.is_due(at(700), Some(Duration::ZERO)));
        ask(&mut one, &mut engine, 1, 700);
        assert_eq!(one.term(at(2699)), Some(1));

        // The first is gone. Its own clock ends the lease before the engine does.
        assert_eq!(one.term(at(2700)), None);
        ask(&mut other, &mut engine, 2, 2690);
        assert_eq!(other.term(at(2700)), None);
        ask(&mut other, &mut engine, 2, 3400);
        assert_eq!(other.term(at(3410)), Some(2));
        ask(&mut one, &mut engine, 1, 3500);
        assert_eq!(one.term(at(3510)), None);
    }

    #[test]
    fn who_hears_an_aggregator_does_not_ask() {
        let mut lease = Lease::default();
        lease.answered(at(0), None);
        assert!(!lease.is_due(at(5000), Some(Duration::from_millis(1000))));
        assert!(lease.is_due(at(5000), Some(Duration::from_millis(1500))));
        assert!(lease.is_due(at(5000), None));
    }
}
