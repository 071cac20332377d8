//! A snapshot as a document, for programs that log or show it. Times are seconds, shares are 0 to
//! 1, and names are those of the metrics.

use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{Latencies, Snapshot, SourceSnapshot, Totals};

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Snapshot", 11)?;
        document.serialize_field("state", self.state.name())?;
        document.serialize_field("mode", self.mode.name())?;
        document.serialize_field("reason", &self.reason.to_string())?;
        document.serialize_field("lasted", &self.lasted.as_secs_f64())?;
        document.serialize_field("open_remaining", &seconds(self.open_remaining))?;
        document.serialize_field("admitted_share", &self.admitted_share.get())?;
        let limit = self.shedding.as_ref().map(|shedding| shedding.limit);
        document.serialize_field("limit", &limit)?;
        document.serialize_field("failed_recoveries", &self.failed_recoveries)?;
        document.serialize_field("in_flight", &self.in_flight)?;
        document.serialize_field("totals", &self.totals)?;
        document.serialize_field("sources", &self.sources)?;
        document.end()
    }
}

impl Serialize for Totals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Totals", 6)?;
        document.serialize_field("success", &self.success)?;
        document.serialize_field("failure", &self.failure)?;
        document.serialize_field("ignored", &self.ignored)?;
        document.serialize_field("rejected", &self.rejected)?;
        document.serialize_field("would_reject", &self.would_reject)?;
        document.serialize_field("alerts", &self.alerts)?;
        document.end()
    }
}

impl Serialize for SourceSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("SourceSnapshot", 7)?;
        document.serialize_field("name", &*self.name)?;
        document.serialize_field("success", &self.success)?;
        document.serialize_field("failure", &self.failure)?;
        document.serialize_field("ignored", &self.ignored)?;
        document.serialize_field("error_rate", &self.error_rate.get())?;
        document.serialize_field("latency", &self.latency)?;
        document.serialize_field("alerting", &self.alerting)?;
        document.end()
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Latencies", 7)?;
        document.serialize_field("samples", &self.samples)?;
        for (name, value) in [
            ("p50", self.p50),
            ("p90", self.p90),
            ("p95", self.p95),
            ("p99", self.p99),
            ("p999", self.p999),
            ("max", self.max),
        ] {
            document.serialize_field(name, &value.as_secs_f64())?;
        }
        document.end()
    }
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64())
}
