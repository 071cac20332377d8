//! An alert that lasts: when it is repeated, and when it ends.

use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;
use crate::time::Timestamp;

/// An alert that has begun and not ended.
///
/// After 1 min without a request it stands, as nothing has shown that it is over, unless a window
/// has run empty for so long; after 1 h and 3 d it has ended.
#[derive(Clone, Debug)]
pub(crate) struct StandingAlert {
    pub(crate) signal: &'static str,
    pub(crate) begun: Timestamp,
    /// When its entry held last.
    held: Timestamp,
    /// Whether it held when it was tried last.
    pub(crate) holds: bool,
    /// When it is told again, and how long after that once more.
    next: Timestamp,
    gap: Duration,
    rarest: Duration,
    /// How often it was told.
    pub(crate) told: u64,
    /// The most that was observed when it was told.
    worst: f64,
    /// It has ended, and is remembered in case it begins again.
    over: bool,
}

impl StandingAlert {
    pub(crate) fn new(signal: &'static str, observed: f64, now: Timestamp) -> Self {
        Self {
            signal,
            begun: now,
            held: now,
            holds: true,
            next: now + FIRST_REPEAT,
            gap: FIRST_REPEAT,
            rarest: RAREST_REPEAT,
            told: 1,
            worst: observed,
            over: false,
        }
    }

    /// The same, of what has been so from the first request on, as far as is known: perhaps it is
    /// usual. It is repeated after hours where others are after minutes.
    pub(crate) fn rarely_told(mut self) -> Self {
        self.gap = FIRST_RARE_REPEAT;
        self.next = self.begun + self.gap;
        self.rarest = RAREST_OF_ALL;
        self
    }

    /// Whether it ended so long ago that a new alert is reported in any case.
    pub(crate) fn is_past(&self, now: Timestamp) -> bool {
        self.over && now.saturating_since(self.held) >= RAREST_REPEAT
    }

    /// Whether it goes on.
    pub(crate) const fn stands(&self) -> bool {
        !self.over
    }

    /// Its entry holds, on a source of which something was `heard` just now or not, with what is
    /// `observed`. Returns whether that is to be told, again or anew.
    pub(crate) fn hold(
        &mut self,
        heard: bool,
        observed: impl FnOnce() -> f64,
        now: Timestamp,
    ) -> bool {
        if self.over {
            if self.is_past(now) {
                *self = Self::new(self.signal, observed(), now);
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
        // Never less: else one that is worse in its midst than at its line would be news after each
        // repeat.
        self.worst = self.worst.max(observed);
        self.gap = (2 * self.gap).min(self.rarest);
        self.next = now + self.gap;
        self.told += 1;
        true
    }

    /// Its entry does not hold. Returns whether it did until now.
    pub(crate) const fn clear(&mut self) -> bool {
        std::mem::replace(&mut self.holds, false)
    }

    /// When it ends if nothing happens before.
    ///
    /// `heard` is when its source was heard last, `window` how long its policy remembers.
    pub(crate) fn ends(&self, heard: Option<Timestamp>, window: Duration) -> Timestamp {
        let heard = heard.unwrap_or_default().max(self.begun);
        let silent = heard + SILENCE;
        if self.holds {
            silent
        } else {
            silent.min(self.held + HOLD_OFF.max(window))
        }
    }

    /// What there is to tell of its end, if it was told at all.
    pub(crate) fn end(&mut self, source: &Arc<str>, now: Timestamp) -> Option<Event> {
        if std::mem::replace(&mut self.over, true) || self.told == 0 {
            return None;
        }
        Some(Event::AlertEnded {
            at: now,
            source: source.clone(),
            signal: self.signal,
            lasted: self.held.saturating_since(self.begun),
            alerts: self.told,
        })
    }
}

/// So long an entry must not have held for its alert to be over, or for the window where that is
/// longer.
pub(crate) const HOLD_OFF: Duration = Duration::from_secs(60);
/// After so long without an observation of its source an alert is over.
pub(crate) const SILENCE: Duration = Duration::from_secs(300);
/// What is so many times all that was told is news.
const FAR_WORSE: f64 = 2.0;
const FIRST_REPEAT: Duration = Duration::from_secs(60);
const RAREST_REPEAT: Duration = Duration::from_secs(3600);
const FIRST_RARE_REPEAT: Duration = Duration::from_secs(3600);
const RAREST_OF_ALL: Duration = Duration::from_secs(86_400);
