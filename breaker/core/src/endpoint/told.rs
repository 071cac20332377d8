//! What operators and health checks say of endpoints.

use std::time::Duration;

use super::event::{EjectReason, Readmission};
use super::{EndpointId, Endpoints};
use crate::time::Timestamp;

impl Endpoints {
    /// An operator ejects an endpoint for some time, outside of the guard; again, for another time.
    /// If operators eject all, requests go to those ejected all the same. Returns whether there is
    /// such an endpoint.
    pub fn eject(&mut self, id: EndpointId, period: Duration, now: Timestamp) -> bool {
        let now = self.pass(now);
        let Some(place) = self.find(id, 0) else {
            return false;
        };
        let until = now + period;
        self.members[place].operator_until = Some(until);
        self.wake_at(until);
        self.settle(Readmission::Change, now);
        true
    }

    /// An operator lets an endpoint in, whatever it is out for. Returns whether there is such an
    /// endpoint.
    pub fn admit(&mut self, id: EndpointId, now: Timestamp) -> bool {
        let now = self.pass(now);
        let Some(place) = self.find(id, 0) else {
            return false;
        };
        let member = &mut self.members[place];
        (member.operator_until, member.ejection) = (None, None);
        (member.unhealthy, member.bad_checks, member.setbacks) = (false, 0, 0);
        self.settle(Readmission::Operator, now);
        true
    }

    pub(super) fn end_operators_time(&mut self, now: Timestamp) {
        let mut any = false;
        for member in &mut self.members {
            any |= member
                .operator_until
                .take_if(|until| *until <= now)
                .is_some();
        }
        if any {
            self.settle(Readmission::Operator, now);
        }
    }

    /// A health check of an endpoint has ended. Some bad ones in a row take it out, inside the
    /// guard, and some good ones let it in. They end only what checks began, or attempts that could
    /// not connect: an endpoint that fails requests may well answer checks. The very first check
    /// counts alone if it is bad: until then nothing is known of the endpoint, perhaps because it
    /// has yet to start. Returns whether there is such an endpoint.
    pub fn checked(&mut self, id: EndpointId, good: bool, now: Timestamp) -> bool {
        let now = self.pass(now);
        let Some(place) = self.find(id, 0) else {
            return false;
        };
        let (healthy, mut unhealthy) = (self.settings.healthy, self.settings.unhealthy);
        let member = &mut self.members[place];
        if !std::mem::replace(&mut member.is_checked, true) {
            unhealthy = 1;
        }
        if good {
            member.good_checks = member.good_checks.saturating_add(1);
            if !member.unhealthy {
                member.bad_checks = 0;
            }
            if member.good_checks < healthy {
                return true;
            }
            let ejection = member.ejection.as_ref();
            let unreachable = ejection
                .is_some_and(|ejection| matches!(ejection.reason, EjectReason::Unreachable(_)));
            let changes = member.unhealthy || unreachable;
            (member.unhealthy, member.bad_checks) = (false, 0);
            if unreachable {
                member.ejection = None;
            }
            if changes {
                self.settle(Readmission::Checks, now);
            }
        } else {
            member.good_checks = 0;
            member.bad_checks = member.bad_checks.saturating_add(1);
            if member.bad_checks >= unhealthy && !member.unhealthy {
                member.unhealthy = true;
                self.guard_checks(now);
                self.settle(Readmission::Change, now);
            }
        }
        true
    }

    /// There are no health checks any more: what they said is void.
    pub fn forget_checks(&mut self, now: Timestamp) {
        let now = self.pass(now);
        for member in &mut self.members {
            (member.unhealthy, member.bad_checks, member.good_checks) = (false, 0, 0);
            member.is_checked = false;
        }
        self.settle(Readmission::Change, now);
    }
}
