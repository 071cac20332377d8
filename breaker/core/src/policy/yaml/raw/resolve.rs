//! A policy's fields, over those of its base, over the defaults.

use super::super::codes::Code;
use super::{RawFailure, RawHalfOpen, RawLatency, RawOpen, RawPolicy, RawRamp, RawReject};
use crate::policy::{
    Builder, FailureRules, HalfOpen, InvalidField, LatencyMeasure, Open, Policy, Ramp, Reject,
};

// === impl RawPolicy ===

impl RawPolicy {
    /// Builds the policy: the given fields override those of the base, and these the defaults.
    /// `name` is its name if it gives none itself. `find` looks up a base.
    ///
    /// # Errors
    /// The first rule that is broken, with the path of its field.
    pub fn resolve(
        self,
        name: Option<&str>,
        find: impl Fn(&str) -> Option<Policy>,
    ) -> Result<Policy, InvalidField> {
        let base = match &self.base {
            None => None,
            Some(base) => Some(
                find(base).ok_or_else(|| InvalidField::new("base", "must name a known policy"))?,
            ),
        };
        let Some(name) = self.name.as_deref().or(name) else {
            return Err(InvalidField::new("name", "is required"));
        };
        if base.is_none() && self.trip.is_none() {
            return Err(InvalidField::new("trip", "is required without a base"));
        }
        let name = name.to_owned();
        self.over(base.as_ref())?.name(name).build()
    }

    fn over(self, base: Option<&Policy>) -> Result<Builder, InvalidField> {
        let mut builder = base.map_or_else(|| Policy::builder(""), |base| base.clone().into());
        if let Some(window) = self.window {
            builder = builder.window(window.0);
        }
        if let Some(min_requests) = self.min_requests {
            builder = builder.min_requests(min_requests);
        }
        if let Some(trip) = self.trip {
            let entries = trip.into_iter().enumerate();
            let entries: Result<Vec<_>, _> = entries.map(|(at, entry)| entry.entry(at)).collect();
            builder = builder.trip(entries?);
        }
        if let Some(budget) = self.false_alarm_budget {
            builder = builder.false_alarm_budget(budget.into());
        }
        if let Some(usual) = self.usual_errors {
            builder = builder.usual_errors(usual.0);
        }
        if let Some(deadline) = self.deadline {
            builder = builder.deadline(deadline.0);
        }
        if let Some(recovery) = self.recovery {
            builder = builder.recovery(recovery.into());
        }
        if let Some(open) = self.open {
            builder = builder.open(open.over(base.map(Policy::open).unwrap_or_default()));
        }
        if let Some(half_open) = self.half_open {
            let base = base.map(Policy::half_open).unwrap_or_default();
            builder = builder.half_open(half_open.over(base));
        }
        if let Some(ramp) = self.ramp {
            builder = builder.ramp(ramp.over(base.map(Policy::ramp).unwrap_or_default()));
        }
        if let Some(latency) = self.latency {
            builder = builder.latency(latency.into());
        }
        if let Some(failure) = self.failure {
            let base = base.map(Policy::failure).cloned().unwrap_or_default();
            builder = builder.failure(failure.over(base));
        }
        if let Some(reject) = self.reject {
            let base = base.map(Policy::reject).cloned().unwrap_or_default();
            builder = builder.reject(reject.over(base));
        }
        if let Some(honour) = self.honour_retry_after {
            builder = builder.honour_retry_after(honour);
        }
        Ok(builder)
    }
}

// === single fields over a base ===

impl RawOpen {
    fn over(self, base: Open) -> Open {
        Open {
            period: self.r#for.map_or(base.period, |period| period.0),
            factor: self.factor.unwrap_or(base.factor),
            max: self.max.map_or(base.max, |max| max.0),
            jitter: self.jitter.map_or(base.jitter, |jitter| jitter.0),
        }
    }
}

impl RawHalfOpen {
    fn over(self, base: HalfOpen) -> HalfOpen {
        HalfOpen {
            probes: self.probes.unwrap_or(base.probes),
            concurrent: self.concurrent.unwrap_or(base.concurrent),
            success: self.success.map_or(base.success, |success| success.0),
            probe_timeout: self.probe_timeout.map_or(base.probe_timeout, |time| time.0),
        }
    }
}

impl RawRamp {
    fn over(self, base: Ramp) -> Ramp {
        Ramp {
            start: self.start.map_or(base.start, |start| start.0),
            period: self.r#for.map_or(base.period, |period| period.0),
        }
    }
}

impl RawFailure {
    fn over(self, mut rules: FailureRules) -> FailureRules {
        if let Some(http) = self.http {
            rules = rules.http(http.into_iter().map(|statuses| statuses.0));
        }
        if let Some(grpc) = self.grpc {
            rules = rules.grpc(grpc.into_iter().map(|name| name.0));
        }
        if let Some(ignored) = self.codes_as_ignored {
            let (mut http, mut grpc) = (Vec::new(), Vec::new());
            for code in ignored {
                match code {
                    Code::Http(statuses) => http.push(statuses.0),
                    Code::Grpc(name) => grpc.push(name.0),
                }
            }
            rules = rules.ignore_http(http).ignore_grpc(grpc);
        }
        rules
    }
}

impl RawReject {
    fn over(self, base: Reject) -> Reject {
        Reject {
            status: self.status.unwrap_or(base.status),
            body: self.body.or(base.body),
        }
    }
}

impl From<RawLatency> for LatencyMeasure {
    fn from(latency: RawLatency) -> Self {
        match latency {
            RawLatency::Head => Self::Head,
            RawLatency::Complete => Self::Complete,
        }
    }
}
