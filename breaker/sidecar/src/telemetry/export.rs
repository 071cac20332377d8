//! The export: a thread and a runtime of its own, so that nothing that a collector does reaches
//! traffic.
//!
//! All signals share the thread; each has its own collector, batches and deadline. The log tells
//! when a collector is lost and when it is back, not each attempt between.

mod batches;
mod metrics;

use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, SdkLogRecord};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time;

use super::meters::Meters;
use super::names;
use super::otlp;
use super::queue::Queue;
use super::settings::{Export, Metrics};
use super::signal::Signal;
use crate::collector::OtlpError;

/// A running export.
#[derive(Debug)]
pub(crate) struct Exporter {
    stop: watch::Sender<bool>,
    stopped: oneshot::Receiver<()>,
}

/// The exports of one thread, before it is started.
#[derive(Debug)]
pub(crate) struct Exports {
    meters: Arc<Meters>,
    resource: Resource,
    /// Until the start.
    runtime: Option<Runtime>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

// === impl Exports ===

impl Exports {
    /// No exports yet; those to come send `resource`, and count themselves in `meters`.
    pub(crate) fn new(meters: Arc<Meters>, resource: Resource) -> Result<Self, OtlpError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            meters,
            resource,
            runtime: Some(runtime),
            tasks: JoinSet::new(),
            stop: watch::Sender::new(false),
        })
    }

    /// Exports the metrics at their interval.
    pub(crate) fn metrics(&mut self, settings: &Metrics) -> Result<(), OtlpError> {
        let _within = self.runtime.as_ref().map(Runtime::enter);
        let exporter = otlp::metrics(settings)?;
        let line = self.line(Signal::Metrics, &settings.export);
        let run = metrics::run(
            self.meters.clone(),
            exporter,
            settings.interval,
            line,
            self.stop.subscribe(),
        );
        self.tasks.spawn(run);
        Ok(())
    }

    /// Exports the spans of `queue`.
    pub(crate) fn spans(
        &mut self,
        export: &Export,
        queue: Arc<Queue<SpanData>>,
    ) -> Result<(), OtlpError> {
        let _within = self.runtime.as_ref().map(Runtime::enter);
        let mut exporter = otlp::spans(export)?;
        exporter.set_resource(&self.resource);
        let exporter = Arc::new(exporter);
        let send = move |spans| {
            let exporter = exporter.clone();
            async move { exporter.export(spans).await }
        };
        let line = self.line(Signal::Traces, export);
        let run = batches::run(queue, send, line, self.stop.subscribe());
        self.tasks.spawn(run);
        Ok(())
    }

    /// Exports the log records of `queue`.
    pub(crate) fn logs(
        &mut self,
        export: &Export,
        queue: Arc<Queue<SdkLogRecord>>,
    ) -> Result<(), OtlpError> {
        let _within = self.runtime.as_ref().map(Runtime::enter);
        let mut exporter = otlp::logs(export)?;
        exporter.set_resource(&self.resource);
        let exporter = Arc::new(exporter);
        let send = move |records: Vec<SdkLogRecord>| {
            let exporter = exporter.clone();
            async move {
                let scope = names::scope();
                let records: Vec<(&SdkLogRecord, &InstrumentationScope)> =
                    records.iter().map(|record| (record, &scope)).collect();
                exporter.export(LogBatch::new(&records)).await
            }
        };
        let line = self.line(Signal::Logs, export);
        let run = batches::run(queue, send, line, self.stop.subscribe());
        self.tasks.spawn(run);
        Ok(())
    }

    /// Starts the thread.
    pub(crate) fn start(mut self) -> Result<Exporter, OtlpError> {
        let runtime = self.runtime.take().expect("it is taken here alone");
        let mut tasks = std::mem::take(&mut self.tasks);
        let stop = self.stop.clone();
        let (ended, stopped) = oneshot::channel();
        thread::Builder::new()
            .name("breaker-export".to_owned())
            .spawn(move || {
                runtime.block_on(async { while tasks.join_next().await.is_some() {} });
                // The receiver may have stopped waiting.
                ended.send(()).ok();
            })?;
        Ok(Exporter { stop, stopped })
    }

    fn line(&self, signal: Signal, export: &Export) -> Line {
        Line {
            signal,
            endpoint: export.endpoint.clone(),
            timeout: export.timeout,
            meters: self.meters.clone(),
            contact: Contact::default(),
        }
    }
}

impl Drop for Exports {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not started, since something failed: and the caller may be within a runtime, where
            // another must not be waited for.
            runtime.shutdown_background();
        }
    }
}

// === impl Exporter ===

impl Exporter {
    /// Exports once more and stops, within a time.
    pub(crate) async fn shutdown(self, within: Duration) {
        // The thread may have ended already.
        self.stop.send(true).ok();
        if time::timeout(within, self.stopped).await.is_err() {
            tracing::warn!(?within, "the last telemetry could not be exported in time");
        }
    }
}

/// One signal's line to its collector.
struct Line {
    signal: Signal,
    endpoint: http::Uri,
    timeout: Duration,
    meters: Arc<Meters>,
    contact: Contact,
}

impl Line {
    /// Makes one export, within the timeout; returns whether it succeeded.
    async fn export(
        &mut self,
        export: impl Future<Output = OTelSdkResult> + Send + 'static,
    ) -> bool {
        // A task of its own: a panic in the SDK ends this export, not the thread.
        let mut attempt = JoinSet::new();
        attempt.spawn(export);
        let failure = match time::timeout(self.timeout, attempt.join_next()).await {
            Ok(None | Some(Ok(Ok(())))) => None,
            Ok(Some(Ok(Err(error)))) => Some(error.to_string()),
            Ok(Some(Err(error))) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {:?}", self.timeout)),
        };
        let succeeded = failure.is_none();
        self.meters.count_export(self.signal, succeeded);
        self.tell(failure);
        succeeded
    }

    /// Counts items that an export that failed had.
    fn count_lost(&self, items: usize) {
        self.meters.count_lost(self.signal, items);
    }

    fn tell(&mut self, failure: Option<String>) {
        let (endpoint, signal) = (&self.endpoint, self.signal.name());
        let change = self.contact.note(failure.is_none());
        match (change, failure) {
            (Some(Change::Lost), Some(error)) => {
                tracing::warn!(%endpoint, error, "{signal} can't be exported; trying again");
            }
            (Some(Change::Regained { failed }), _) => {
                tracing::info!(%endpoint, failed, "{signal} are exported again");
            }
            (_, Some(error)) => tracing::debug!(%endpoint, error, "{signal} can't be exported"),
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
