//! What a source knows at one time.

use hdrhistogram::Histogram;

use super::Source;
use crate::ratio::Ratio;
use crate::snapshot::{AlertSnapshot, Concurrency, Latencies, SourceSnapshot};
use crate::time::Timestamp;

impl Source {
    /// What it knows at `now`, where the window's latencies are these; of the conditions it knows
    /// nothing.
    pub(crate) fn snapshot(
        &mut self,
        latencies: Option<&Histogram<u32>>,
        now: Timestamp,
    ) -> SourceSnapshot {
        let counts = self.window.counts(now);
        SourceSnapshot {
            name: self.name.clone(),
            success: counts.success.into(),
            failure: counts.failure.into(),
            ignored: counts.ignored.into(),
            error_rate: Ratio::of(counts.failure.into(), counts.judged()),
            latency: latencies.and_then(Latencies::of),
            concurrency: self
                .window
                .concurrencies(now)
                .filter(|histogram| !histogram.is_empty())
                .map(|histogram| Concurrency {
                    p99: histogram.value_at_quantile(0.99),
                    max: histogram.max(),
                }),
            slow_threshold: self
                .detectors
                .as_ref()
                .and_then(|detectors| detectors.threshold()),
            anomalies: self
                .detectors
                .as_ref()
                .map_or_else(Vec::new, |detectors| detectors.scores()),
            alerting: self.alerts.iter().flatten().any(|alert| alert.stands()),
            standing_alerts: self
                .alerts
                .iter()
                .flatten()
                .filter(|alert| alert.stands())
                .map(|alert| AlertSnapshot {
                    signal: alert.signal,
                    lasted: now.saturating_since(alert.begun),
                    alerts: alert.told,
                })
                .collect(),
            conditions: Vec::new(),
            totals: self.totals.clone(),
        }
    }
}
