//! Telemetry in, connected: the receiver, and the feeds of all routes.

use std::io;
use std::sync::Arc;

use breaker_tower::breaker_core::Feed;
use tokio::sync::watch;

use super::StartError;
use super::composition::Known;
use crate::config::Config;
#[cfg(feature = "kafka")]
use crate::config::Kafka;
use crate::findings::PROXY;
#[cfg(feature = "kafka")]
use crate::ingest::KafkaSettings;
use crate::ingest::{
    Addresses, FeedBinding, FeedSampler, Forward, Limits, Receiver, ReceiverError, ReceiverSettings,
};
use crate::telemetry::{ExportSettings, Received};

/// A receiver whose sockets are bound, and the sampler of what it takes in.
#[derive(Debug)]
pub(super) struct Ingest {
    receiver: Receiver,
    sampler: Arc<FeedSampler>,
}

impl Ingest {
    /// Binds the receiver, for `feeds`.
    pub(super) fn bind(
        config: &Config,
        feeds: Vec<FeedBinding>,
    ) -> Result<Option<Self>, StartError> {
        let Some(receive) = config.receive() else {
            return Ok(None);
        };
        let forward = receive
            .forward()
            .map(|forward| Forward::to_both(forward.grpc().cloned(), forward.http().cloned()));
        let receiver = Receiver::bind(ReceiverSettings {
            grpc: receive.grpc(),
            http: receive.http(),
            #[cfg(feature = "kafka")]
            kafka: receive.kafka().map(topics),
            tls: receive.tls().cloned(),
            forward,
            cors: receive.cors().to_vec(),
            limits: Limits {
                age: receive.max_connection_age(),
                ..Limits::default()
            },
        })
        .map_err(cannot_receive)?;
        Ok(Some(Self {
            receiver,
            sampler: Arc::new(FeedSampler::new(feeds)),
        }))
    }

    /// Where it listens.
    pub(super) const fn addresses(&self) -> Addresses {
        self.receiver.addresses()
    }

    /// What samples for the feeds.
    pub(super) const fn sampler(&self) -> &Arc<FeedSampler> {
        &self.sampler
    }

    /// Marks what this process exports, so that it is known if it comes back.
    pub(super) fn mark(&self, settings: &mut ExportSettings) {
        let (name, value) = self.receiver.marker();
        for export in settings.exports_mut() {
            export.headers.insert(name.clone(), value.clone());
        }
    }

    /// What telemetry tells of it.
    pub(super) fn received(&self) -> Received {
        Received {
            stats: self.receiver.stats(),
            feeds: self.sampler.clone(),
            #[cfg(feature = "kafka")]
            kafka: self.receiver.kafka(),
        }
    }

    /// Receives until `stopped` says so.
    pub(super) async fn run(self, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
        let stop = async move {
            // A sender that is gone has nothing more to say, and that is a shutdown too.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        self.receiver.run(self.sampler, stop).await
    }
}

/// Makes the feeds of `routes` the sources of their breakers, beside the proxy, and returns them.
/// Those that stay keep what they observed.
pub(super) fn feed<'a>(routes: impl IntoIterator<Item = Known<'a>>) -> Vec<FeedBinding> {
    let mut all = Vec::new();
    for known in routes {
        let Known { route, breaker, .. } = known;
        let feeds = route.feeds();
        let sources = feeds.iter().map(|feed| {
            let mut source =
                Feed::new(feed.name().clone()).with_silence_timeout(feed.silence_timeout());
            source.policy = feed.policy().cloned();
            source
        });
        let ids = breaker.set_feeds(sources);
        all.extend(feeds.iter().zip(ids).map(|(feed, id)| {
            let (name, policy) = (feed.name().clone(), feed.policy().cloned());
            let fed = FeedBinding::new(breaker.clone(), id, name, feed.matcher().clone(), policy);
            fed.with_findings(known.findings.clone())
        }));
        let is_source =
            |name: &str| name == PROXY || feeds.iter().any(|feed| **feed.name() == *name);
        known.findings.retain(is_source);
    }
    all
}

#[cfg(feature = "kafka")]
fn topics(kafka: &Kafka) -> KafkaSettings {
    KafkaSettings {
        brokers: kafka.brokers().iter().map(ToString::to_string).collect(),
        group: kafka.group().to_owned(),
        traces: kafka.traces().to_vec(),
        metrics: kafka.metrics().to_vec(),
        reads_all: kafka.reads_all(),
    }
}

fn cannot_receive(error: ReceiverError) -> StartError {
    match error {
        ReceiverError::Listen { address, source } => StartError::Bind {
            field: "telemetry.receive",
            address: address.into(),
            source,
        },
        error => StartError::Setting(format!("telemetry.receive: {error}")),
    }
}
