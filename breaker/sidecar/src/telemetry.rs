//! Telemetry out: metrics by OTLP and as Prometheus text, spans of requests by OTLP, events as log
//! lines and by OTLP.
//!
//! * `record`: the hot path, one call for each finished request.
//! * `observe`: what a collection reads from the breakers' snapshots.
//! * `meters`: the SDK that aggregates both; `export` and `prometheus` read it.
//! * `trace`: spans of requests. With the log records they wait in a `queue`.
//! * `otlp`: the exporters; `export`: the thread that drives them.
//! * `process`: what this process takes of the machine.
//! * `env`, `settings`: what is exported where.
//! * `received`: what telemetry in counts; `reloads`: how reloads have ended.
//! * `fleet`: what a fleet is like, as seen from here; `follow`: the Breaker that is followed.
//! * `log`: a line and a log record for each event of a breaker.

mod certificates;
mod confined;
mod endpoints;
mod env;
mod exemplars;
mod export;
#[cfg(feature = "fleet")]
mod fleet;
#[cfg(feature = "fleet")]
mod follow;
mod log;
mod meters;
pub(crate) mod names;
mod observe;
mod otlp;
mod percent;
mod process;
mod prometheus;
mod queue;
mod received;
mod record;
mod reloads;
mod resource;
mod settings;
mod signal;
#[cfg(test)]
pub(crate) mod tests;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::{Event, State};
use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::SdkTracer;

use self::export::{Exporter, Exports};
use self::log::otlp::Logger;
use self::meters::Meters;
use self::queue::Queue;
use self::signal::Signal;

pub use self::certificates::{Certificates, Expiry};
pub use self::env::Environment;
pub(crate) use self::log::Change;
pub use self::meters::Histograms;
pub use self::names::{EVENT_ALERT, EVENT_TRANSITION, TRANSITION_FROM, TRANSITION_TO};
pub use self::prometheus::Exposition;
pub use self::received::Received;
pub use self::record::{Catalog, Finished, Recorder, Sent};
pub use self::reloads::Reloads;
pub use self::settings::{
    Batches, Export, ExportSettings, Logs, Metrics, Sampling, SettingError, Traces,
};
pub use self::trace::Tracer;
use crate::baselines::Saves;
use crate::collector::OtlpError;
use crate::proxy::Routes;
use crate::registry::Breakers;
use crate::sandbox::Sandbox;
use crate::sockets::Peer;
use crate::upstream::Happened;

/// Metrics, spans and log records, and their export. Clones share them.
#[derive(Clone, Debug)]
pub struct Telemetry {
    meters: Arc<Meters>,
    tracer: Option<SdkTracer>,
    logger: Option<Arc<Logger>>,
    instance: Arc<str>,
}

/// A running export, to be ended by [`Exporting::shutdown`]. Dropped, it ends by itself after a
/// last export.
#[derive(Debug)]
pub struct Exporting(Option<Exporter>);

impl Telemetry {
    /// Sets up telemetry of `breakers`, and starts the exports that `settings` have.
    ///
    /// # Errors
    /// When certificates can't be read, or the thread of the exports can't be started.
    pub fn start(
        settings: ExportSettings,
        breakers: Breakers,
    ) -> Result<(Self, Exporting), OtlpError> {
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        let temporality = settings
            .metrics
            .as_ref()
            .map_or(Temporality::Cumulative, |metrics| metrics.temporality);
        let resource = resource::resource(&settings.resource);
        let meters = Arc::new(Meters::new(
            resource.clone(),
            breakers,
            settings.histograms,
            temporality,
        ));
        let mut telemetry = Self {
            meters: meters.clone(),
            tracer: None,
            logger: None,
            instance: resource::instance(&resource),
        };
        let ExportSettings {
            metrics,
            traces,
            logs,
            ..
        } = settings;
        if metrics.is_none() && traces.is_none() && logs.is_none() {
            return Ok((telemetry, Exporting(None)));
        }

        let mut exports = Exports::new(meters.clone(), resource.clone())?;
        if let Some(metrics) = &metrics {
            exports.metrics(metrics)?;
        }
        if let Some(traces) = traces {
            let queue = Arc::new(Queue::new(traces.batches, meters.overflow(Signal::Traces)));
            exports.spans(&traces.export, queue.clone())?;
            telemetry.tracer = Some(trace::tracer(resource.clone(), traces.sampling, queue));
        }
        if let Some(logs) = logs {
            let queue = Arc::new(Queue::new(logs.batches, meters.overflow(Signal::Logs)));
            exports.logs(&logs.export, queue.clone())?;
            telemetry.logger = Some(Arc::new(Logger::new(resource, queue)));
        }
        Ok((telemetry, Exporting(Some(exports.start()?))))
    }

    /// `service.instance.id`: which of several sidecars this is.
    pub const fn instance(&self) -> &Arc<str> {
        &self.instance
    }

    /// Shows what telemetry in counts beside the rest.
    pub fn show_received(&self, received: &Received) {
        received::register(self.meters.meter(), received);
    }

    /// Shows which layers of the sandbox are in force.
    pub fn show_sandbox(&self, sandbox: &Sandbox) {
        confined::register(self.meters.meter(), sandbox);
    }

    /// Shows what `reloads` says beside the rest.
    pub fn show_reloads(&self, reloads: impl Fn() -> Reloads + Send + Sync + 'static) {
        reloads::register(self.meters.meter(), reloads);
    }

    /// Shows what `certificates` says beside the rest.
    pub fn show_certificates(
        &self,
        certificates: impl Fn() -> Certificates + Send + Sync + 'static,
    ) {
        certificates::register(self.meters.meter(), certificates);
    }

    /// Shows the endpoints of upstreams beside the rest.
    pub fn show_upstreams(&self, routes: Routes) {
        endpoints::register(self.meters.meter(), routes);
    }

    /// Shows what `stats` says of the fleet beside the rest.
    #[cfg(feature = "fleet")]
    pub(crate) fn show_fleet(&self, stats: &crate::fleet::Stats) {
        fleet::register(self.meters.meter(), stats);
    }

    /// Shows what `stats` says of the Breaker that is followed beside the rest.
    #[cfg(feature = "fleet")]
    pub(crate) fn show_followed(&self, stats: &crate::fleet::FollowStats) {
        follow::register(self.meters.meter(), stats);
    }

    /// Shows how the state file fares beside the rest.
    pub fn show_saves(&self, saves: &Saves) {
        observe::register_saves(self.meters.meter(), saves);
    }

    /// A tracer for a worker, of requests whose indices mean what `catalog` says; `None` while
    /// tracing is off.
    pub fn tracer(&self, catalog: Arc<Catalog>) -> Option<Tracer> {
        let tracer = self.tracer.clone()?;
        Some(Tracer::new(tracer, catalog))
    }

    /// A recorder for a worker, of requests whose indices mean what `catalog` says.
    pub fn recorder(&self, catalog: Arc<Catalog>) -> Recorder {
        Recorder::new(self.meters.clone(), catalog)
    }

    /// Logs what the breaker of `route` did, and records how long it was open if it no longer is.
    pub fn event(&self, route: &Arc<str>, event: &Event) {
        log::event(route, event);
        if let Some(logger) = &self.logger {
            logger.event(route, event);
        }
        if let Event::Transition(change) = event
            && change.from == State::Open
        {
            let name = KeyValue::new(names::BREAKER_NAME, route.clone());
            self.meters
                .open_duration
                .record(change.lasted.as_secs_f64(), &[name]);
        }
    }

    /// Sends on what happened to the endpoints of an upstream; the log has it already.
    pub fn happened(&self, happened: &Happened) {
        if let Some(logger) = &self.logger {
            logger.happened(happened);
        }
    }

    /// Sends on what an operator changed, from which address.
    pub(crate) fn changed(&self, peer: Option<Peer>, change: &Change<'_>) {
        if let Some(logger) = &self.logger {
            logger.changed(peer, change);
        }
    }

    /// All metrics as text, with its media type.
    pub fn exposition(&self, format: Exposition) -> (&'static str, String) {
        let metrics = self.meters.collect();
        (
            format.media_type(),
            prometheus::text(&metrics, format, &self.meters.exemplars),
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
