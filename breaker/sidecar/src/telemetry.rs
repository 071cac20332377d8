//! Telemetry out: metrics by OTLP and as Prometheus text, events as log lines.
//!
//! * `record`: the hot path, one call for each finished request.
//! * `observe`: what a collection reads from the breakers' snapshots.
//! * `meters`: the SDK that aggregates both; `otlp`, `export` and `prometheus` read it.
//! * `env`, `settings`: what is exported where.
//! * `log`: a line for each event of a breaker.

mod breakers;
mod env;
mod export;
mod log;
mod meters;
mod names;
mod observe;
mod otlp;
mod percent;
mod prometheus;
mod record;
mod resource;
mod settings;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use breaker_tower::core::{Event, State};
use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::Temporality;

use self::export::Exporter;
use self::meters::Meters;

pub use self::breakers::{Breakers, Watched};
pub use self::env::Environment;
pub use self::meters::Histograms;
pub use self::otlp::OtlpError;
pub(crate) use self::otlp::by_name;
pub(crate) use self::otlp::tls::{Trust, connector};
pub use self::record::{Catalog, Finished, Recorder, Sent};
pub use self::settings::{Compression, Configured, Export, Protocol, SettingError, Settings};

/// Metrics and their export. Clones share them.
#[derive(Clone, Debug)]
pub struct Telemetry {
    meters: Arc<Meters>,
}

/// A running export, to be ended by [`Exporting::shutdown`]. Dropped, it ends by itself after a last export.
#[derive(Debug)]
pub struct Exporting(Option<Exporter>);

impl Telemetry {
    /// Sets up the metrics of `breakers`, and starts the export if `settings` have one.
    pub fn start(settings: Settings, breakers: Breakers) -> Result<(Self, Exporting), OtlpError> {
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        let temporality = settings
            .export
            .as_ref()
            .map_or(Temporality::Cumulative, |export| export.temporality);
        let meters = Arc::new(Meters::new(
            resource::resource(&settings.resource),
            breakers,
            settings.histograms,
            temporality,
        ));
        let exporter = settings
            .export
            .map(|export| Exporter::start(meters.clone(), export))
            .transpose()?;
        Ok((Self { meters }, Exporting(exporter)))
    }

    /// A recorder for a worker, of requests whose indices mean what `catalog` says.
    pub fn recorder(&self, catalog: Arc<Catalog>) -> Recorder {
        Recorder::new(self.meters.clone(), catalog)
    }

    /// Logs what the breaker of `route` did, and records how long it was open if it no longer is.
    pub fn event(&self, route: &Arc<str>, event: &Event) {
        log::event(route, event);
        if let Event::Transition(change) = event
            && change.from == State::Open
        {
            let name = KeyValue::new(names::BREAKER_NAME, route.clone());
            self.meters
                .open_duration
                .record(change.lasted.as_secs_f64(), &[name]);
        }
    }

    /// All metrics in the Prometheus text format, with its media type.
    pub fn prometheus(&self) -> (&'static str, String) {
        (
            prometheus::CONTENT_TYPE,
            prometheus::text(&self.meters.collect()),
        )
    }
}

impl Exporting {
    /// Exports once more and stops, within a time.
    pub async fn shutdown(self, within: Duration) {
        if let Some(exporter) = self.0 {
            exporter.shutdown(within).await;
        }
    }
}
