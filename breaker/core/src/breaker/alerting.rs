//! Alerts: each begins once, is repeated ever more rarely while it lasts, and ends.
//!
//! A condition near its line holds and does not hold by turns. So an alert ends only when its entry
//! has not held for a while ([`HOLD_OFF`], or the window where that is longer), and what holds
//! again before then is the same alert. An entry that holds on a source of which nothing is heard
//! any more holds on what is old: after [`SILENCE`](crate::alert::SILENCE) its alert is over. One
//! that begins again within an hour is not told before it would have been if it had lasted, unless
//! it is twice as bad as all that was told.

use super::Breaker;
use crate::alert::HOLD_OFF;
use crate::source::{Source, SourceId};
use crate::time::{Timestamp, earliest};

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
                let mut ends = alert.ends(source.last_judged, policy.window());
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
        self.end_fleet_alerts(now);
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
