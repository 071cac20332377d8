//! The export of metrics, at an interval.
//!
//! Nothing queues. A cumulative export that fails is made good by the next; a delta is lost, and
//! counted.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use tokio::sync::watch;
use tokio::time::{self, Instant, MissedTickBehavior};

use super::Line;
use crate::telemetry::meters::Meters;

/// Exports `meters` every `interval` until `stopping`, and then once more.
pub(super) async fn run(
    meters: Arc<Meters>,
    exporter: MetricExporter,
    interval: Duration,
    mut line: Line,
    mut stopping: watch::Receiver<bool>,
) {
    let exporter = Arc::new(exporter);
    let export = || {
        let (meters, exporter) = (meters.clone(), exporter.clone());
        async move {
            let metrics = meters.collect_for_export();
            exporter.export(&metrics).await
        }
    };
    let mut ticks = time::interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Nobody to stop it is a reason to stop, too.
            _ = stopping.wait_for(|&stop| stop) => break,
            () = async { ticks.tick().await; line.export(export()).await; } => {}
        }
    }
    line.export(export()).await;
}
