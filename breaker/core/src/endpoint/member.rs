//! What is known of one endpoint, beside its load.

use super::event::EjectReason;
use super::hanging::Hanging;
use super::settings::EndpointSettings;
use crate::detector::Relative;
use crate::rng::Rng;
use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) weight: u32,
    /// Tells endpoints with the same id apart that lived one after the other.
    pub(super) birth: u32,
    /// Raised whenever the endpoint goes out or comes in: an attempt of another epoch is no
    /// evidence.
    pub(super) epoch: u32,
    pub(super) hanging: Hanging,
    /// Where there are two endpoints or more.
    pub(super) detectors: Option<Box<Relative>>,
    /// Whether it is out, as [`settle`](super::Endpoints::settle) found last, and since when.
    pub(super) out: bool,
    pub(super) since: Timestamp,
    /// What it is out for, unless a panic lets it in.
    pub(super) ejection: Option<Ejection>,
    pub(super) unhealthy: bool,
    pub(super) operator_until: Option<Timestamp>,
    /// Health checks in a row.
    pub(super) bad_checks: u32,
    pub(super) good_checks: u32,
    /// Whether there was a health check.
    pub(super) is_checked: bool,
    /// Attempts in a row that could not connect.
    pub(super) unreached: u32,
    /// Ejections and failed probes in a row, and what was answered well since it came in last.
    pub(super) setbacks: u32,
    pub(super) good_since: u32,
    pub(super) totals: EndpointTotals,
}

/// That an endpoint is out for its outcomes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ejection {
    pub(super) reason: EjectReason,
    /// When its current time out began, when that ends, and by how much it is jittered, −1..1.
    pub(super) began: Timestamp,
    pub(super) until: Timestamp,
    pub(super) jitter: f64,
    /// Until when the probe in flight has to be answered.
    pub(super) lease: Option<Timestamp>,
    /// Tells probes apart, and good ones in a row.
    pub(super) probes: u32,
    pub(super) good: u32,
}

/// What was counted of an endpoint since it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointTotals {
    /// Attempts that ended well.
    pub success: u64,
    /// Attempts that failed after a connection was there.
    pub failure: u64,
    /// Attempts that could not connect.
    pub unreachable: u64,
    /// Attempts that are no evidence about the endpoint.
    pub ignored: u64,
    /// Attempts that missed the deadline, whatever became of them.
    pub late: u64,
    /// Probes among all these.
    pub probes: u64,
    /// How often it was ejected.
    pub ejections: u64,
}

impl Member {
    pub(super) fn new(weight: u32, birth: u32, settings: &EndpointSettings) -> Self {
        Self {
            weight,
            birth,
            epoch: 0,
            hanging: Hanging::new(settings.deadline),
            detectors: None,
            out: false,
            since: Timestamp::ZERO,
            ejection: None,
            unhealthy: false,
            operator_until: None,
            bad_checks: 0,
            good_checks: 0,
            is_checked: false,
            unreached: 0,
            setbacks: 0,
            good_since: 0,
            totals: EndpointTotals::default(),
        }
    }

    /// Why it is out.
    pub(super) fn reason(&self) -> EjectReason {
        match self.ejection {
            _ if self.operator_until.is_some() => EjectReason::Operator,
            Some(ejection) => ejection.reason,
            None => EjectReason::Checks(self.bad_checks),
        }
    }

    /// When it is probed, or an operator's time ends; `None` if health checks decide, or it is in.
    pub(super) fn until(&self) -> Option<Timestamp> {
        let ejection = self.ejection.map(|ejection| ejection.until);
        match self.operator_until {
            _ if !self.out => None,
            Some(until) => Some(until),
            None => ejection.filter(|_| !self.unhealthy),
        }
    }

    /// From when on it may be probed, as no probe is in flight.
    pub(super) fn probe_from(&self) -> Option<Timestamp> {
        let free = self.ejection.filter(|ejection| ejection.lease.is_none())?;
        let elsewhere = self.unhealthy || self.operator_until.is_some();
        (self.out && !elsewhere).then_some(free.until)
    }

    /// How sure it is that the endpoint is bad.
    pub(super) fn badness(&self) -> f64 {
        match self.ejection.map(|ejection| ejection.reason) {
            Some(EjectReason::Worse(difference) | EjectReason::Unreachable(difference)) => {
                difference.low.get()
            }
            _ => 1.0,
        }
    }

    /// It is out for another time, longer than the last.
    pub(super) fn set_back(
        &mut self,
        reason: EjectReason,
        settings: &EndpointSettings,
        rng: &mut Rng,
        now: Timestamp,
    ) {
        let mut ejection = Ejection {
            reason,
            began: now,
            until: now,
            jitter: rng.symmetric(),
            lease: None,
            probes: self.ejection.map_or(0, |ejection| ejection.probes),
            good: 0,
        };
        ejection.settle_until(settings, self.setbacks);
        self.setbacks = self.setbacks.saturating_add(1);
        self.ejection = Some(ejection);
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.detectors
            .as_ref()
            .map_or(0, |boxed| size_of_val(&**boxed))
    }
}

impl Ejection {
    /// Its end, after so many setbacks before this one.
    pub(super) fn settle_until(&mut self, settings: &EndpointSettings, setbacks: u32) {
        let jitter = 1.0 + settings.open.jitter.get() * self.jitter;
        self.until = self.began + settings.open.backed_off(setbacks).mul_f64(jitter);
    }
}
