//! Alerts: each begins once, is repeated ever more rarely while it lasts, and ends.
//!
//! A condition near its line holds and does not hold by turns. So an alert ends only when its entry has not held for a while
//! ([`HOLD_OFF`], or the window where that is longer), and what holds again before then is the same alert. An entry that holds on a source
//! of which nothing is heard any more holds on what is old: after [`SILENCE`] its alert is over. One that begins again within an hour is not
//! told before it would have been if it had lasted, unless it is twice as bad as all that was told.

use std::sync::Arc;
use std::time::Duration;

use super::Breaker;
use crate::event::Event;
use crate::policy::Policy;
use crate::source::{Source, SourceId};
use crate::time::{Timestamp, earliest};

/// An alert that has begun and not ended.
///
/// After 1 min without a request it stands, as nothing has shown that it is over, unless a window has run empty for so long; after 1 h and
/// 3 d it has ended.
#[derive(Clone, Debug)]
pub(crate) struct StandingAlert {
    pub(crate) stream: &'static str,
    pub(crate) begun: Timestamp,
    /// When its entry held last.
    held: Timestamp,
    /// Whether it held when it was tried last.
    holds: bool,
    /// When it is told again, and how long after that once more.
    next: Timestamp,
    gap: Duration,
    /// How often it was told.
    pub(crate) told: u64,
    /// The most that was observed when it was told.
    worst: f64,
    /// It has ended, and is remembered in case it begins again.
    over: bool,
}

impl StandingAlert {
    pub(super) fn new(stream: &'static str, observed: f64, now: Timestamp) -> Self {
        Self {
            stream,
            begun: now,
            held: now,
            holds: true,
            next: now + FIRST_REPEAT,
            gap: FIRST_REPEAT,
            told: 1,
            worst: observed,
            over: false,
        }
    }

    /// Whether it goes on.
    pub(crate) const fn stands(&self) -> bool {
        !self.over
    }

    /// Its entry holds, on a source of which something was `heard` just now or not, with what is `observed`. Returns whether that is to be
    /// told, again or anew.
    pub(super) fn hold(
        &mut self,
        heard: bool,
        observed: impl FnOnce() -> f64,
        now: Timestamp,
    ) -> bool {
        if self.over {
            if now.saturating_since(self.held) >= RAREST_REPEAT {
                *self = Self::new(self.stream, observed(), now);
                return true;
            }
            (self.over, self.begun, self.told) = (false, now, 0);
        }
        (self.held, self.holds) = (now, true);
        if !heard || now < self.next && self.told > 0 {
            return false;
        }
        let observed = observed();
        if now < self.next && observed < FAR_WORSE * self.worst {
            return false;
        }
        // Never less: else one that is worse in its midst than at its line would be news after each repeat.
        self.worst = self.worst.max(observed);
        self.gap = (2 * self.gap).min(RAREST_REPEAT);
        self.next = now + self.gap;
        self.told += 1;
        true
    }

    /// Its entry does not hold. Returns whether it did until now.
    pub(super) const fn clear(&mut self) -> bool {
        std::mem::replace(&mut self.holds, false)
    }

    /// When it ends if nothing happens before.
    fn ends(&self, source: &Source, policy: &Policy) -> Timestamp {
        let heard = source.last_judged.unwrap_or_default().max(self.begun);
        let silent = heard + SILENCE;
        if self.holds {
            silent
        } else {
            silent.min(self.held + HOLD_OFF.max(policy.window()))
        }
    }
}

impl Breaker {
    /// Ends the alerts that are over.
    pub(super) fn end_alerts(&mut self, now: Timestamp) {
        self.alerts_due = None;
        for source in &mut self.sources {
            let own = source.policy.clone();
            let policy = own.as_ref().unwrap_or(&self.policy);
            for index in 0..source.alerts.len() {
                let standing = source.alerts[index].as_ref();
                let Some(alert) = standing.filter(|alert| alert.stands()) else {
                    continue;
                };
                let mut ends = alert.ends(source, policy);
                if alert.holds && source.id == SourceId::PROXY && self.permits_out > 0 {
                    // Requests hang: that is no silence.
                    ends = ends.max(now + HOLD_OFF);
                }
                if ends > now {
                    self.alerts_due = earliest(self.alerts_due, Some(ends));
                    continue;
                }
                if let Some(alert) = &mut source.alerts[index] {
                    self.events.extend(alert.end(&source.name, now));
                }
            }
        }
    }

    /// Ends all alerts of the sources that are `gone`, or have other entries now.
    pub(super) fn drop_alerts(&mut self, gone: impl Fn(&Source) -> bool, now: Timestamp) {
        for source in self.sources.iter_mut().filter(|source| gone(source)) {
            let standing = source.alerts.iter_mut().filter_map(Option::take);
            let ended = standing.filter_map(|mut alert| alert.end(&source.name, now));
            self.events.extend(ended);
        }
    }

    /// No entry is tried for now: what held no longer does.
    pub(super) fn clear_alerts(&mut self, now: Timestamp) {
        for source in &mut self.sources {
            for alert in source.alerts.iter_mut().flatten() {
                alert.clear();
            }
        }
        self.end_alerts(now);
    }
}

impl StandingAlert {
    /// What there is to tell of its end, if it was told at all.
    fn end(&mut self, source: &Arc<str>, now: Timestamp) -> Option<Event> {
        if std::mem::replace(&mut self.over, true) || self.told == 0 {
            return None;
        }
        Some(Event::AlertEnded {
            at: now,
            source: source.clone(),
            stream: self.stream,
            lasted: self.held.saturating_since(self.begun),
            alerts: self.told,
        })
    }
}

/// So long an entry must not have held for its alert to be over, or for the window where that is longer.
const HOLD_OFF: Duration = Duration::from_secs(60);
/// After so long without an observation of its source an alert is over.
pub(super) const SILENCE: Duration = Duration::from_secs(300);
/// What is so many times all that was told is news.
const FAR_WORSE: f64 = 2.0;
const FIRST_REPEAT: Duration = Duration::from_secs(60);
const RAREST_REPEAT: Duration = Duration::from_secs(3600);
