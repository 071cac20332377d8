//! The export: a thread and a runtime of its own, so that nothing that a collector does reaches traffic.
//!
//! What is not sent is bounded by what is aggregated: nothing queues. A cumulative export that fails is made good by the next; a delta
//! is lost, and counted. The log tells when the collector is lost and when it is back, not each attempt between.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{self, Instant, MissedTickBehavior};

use super::meters::Meters;
use super::otlp::{self, OtlpError};
use super::settings::Export;

/// A running export.
#[derive(Debug)]
pub(crate) struct Exporter {
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

impl Exporter {
    /// Starts to export `meters` every `export.interval`.
    pub(crate) fn start(meters: Arc<Meters>, export: Export) -> Result<Self, OtlpError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let exporter = {
            let _within = runtime.enter();
            otlp::exporter(&export)
        };
        let exporter = match exporter {
            Ok(exporter) => exporter,
            Err(error) => {
                // Merely dropped, a runtime waits for its threads, and panics where an async caller would be held up.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let (stop, stopping) = oneshot::channel();
        let (ended, stopped) = oneshot::channel();
        let worker = Worker {
            meters,
            exporter: Arc::new(exporter),
            export,
            contact: Contact::default(),
        };
        thread::Builder::new()
            .name("breaker-export".to_owned())
            .spawn(move || {
                runtime.block_on(worker.run(stopping));
                // The receiver may have stopped waiting.
                ended.send(()).ok();
            })?;
        Ok(Self { stop, stopped })
    }

    /// Exports once more and stops, within a time.
    pub(crate) async fn shutdown(self, within: Duration) {
        // The thread may have ended already.
        self.stop.send(()).ok();
        if time::timeout(within, self.stopped).await.is_err() {
            tracing::warn!(?within, "the last metrics could not be exported in time");
        }
    }
}

struct Worker {
    meters: Arc<Meters>,
    exporter: Arc<MetricExporter>,
    export: Export,
    contact: Contact,
}

impl Worker {
    async fn run(mut self, mut stopping: oneshot::Receiver<()>) {
        let first = Instant::now() + self.export.interval;
        let mut ticks = time::interval_at(first, self.export.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut stopping => break,
                () = async { ticks.tick().await; self.export_once().await } => {}
            }
        }
        self.export_once().await;
    }

    async fn export_once(&mut self) {
        let meters = self.meters.clone();
        let exporter = self.exporter.clone();
        // A task of its own: a panic in the SDK ends this export, not the thread.
        let mut attempt = JoinSet::new();
        attempt.spawn(async move {
            let metrics = meters.collect_for_export();
            exporter.export(&metrics).await
        });
        let result = match time::timeout(self.export.timeout, attempt.join_next()).await {
            Ok(None | Some(Ok(Ok(())))) => Ok(()),
            Ok(Some(Ok(Err(error)))) => Err(error.to_string()),
            Ok(Some(Err(error))) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {:?}", self.export.timeout)),
        };
        self.meters.count_export(result.is_ok());
        self.tell(result);
    }

    fn tell(&mut self, result: Result<(), String>) {
        let endpoint = &self.export.endpoint;
        let change = self.contact.note(result.is_ok());
        match (change, result) {
            (Some(Change::Lost), Err(error)) => {
                let interval = self.export.interval;
                tracing::warn!(%endpoint, error, ?interval, "metrics can't be exported; trying again");
            }
            (Some(Change::Regained { failed }), _) => {
                tracing::info!(%endpoint, failed, "metrics are exported again");
            }
            (_, Err(error)) => tracing::debug!(%endpoint, error, "metrics can't be exported"),
            _ => {}
        }
    }
}

/// Whether the collector takes what is exported.
#[derive(Debug, Default)]
struct Contact {
    /// Exports that failed since the last that did not.
    failed: u64,
}

/// A change that an operator wants to know of.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Lost,
    Regained { failed: u64 },
}

impl Contact {
    fn note(&mut self, succeeded: bool) -> Option<Change> {
        match (succeeded, self.failed) {
            (true, 0) => None,
            (true, failed) => {
                self.failed = 0;
                Some(Change::Regained { failed })
            }
            (false, before) => {
                self.failed += 1;
                (before == 0).then_some(Change::Lost)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told() {
        let mut contact = Contact::default();
        let told =
            [true, false, false, false, true, true, false].map(|succeeded| contact.note(succeeded));
        let regained = Some(Change::Regained { failed: 3 });
        let lost = || Some(Change::Lost);
        assert_eq!(told, [None, lost(), None, None, regained, None, lost()]);
    }
}
