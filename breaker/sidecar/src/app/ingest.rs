//! Telemetry in, connected: the receiver, and the feeds of all routes.

use std::io;
use std::sync::Arc;

use breaker_tower::BreakerHandle;
use breaker_tower::core::Feed;
use tokio::sync::watch;

use super::StartError;
use crate::config::Config;
use crate::ingest::{Addresses, Fed, FeedSampler, Forward, Receiver, ReceiverError, Settings};
use crate::telemetry::{self, Received};

/// A receiver whose sockets are bound, and the feeds that it samples for.
#[derive(Debug)]
pub(super) struct Ingest {
    receiver: Receiver,
    feeds: Vec<Fed>,
}

impl Ingest {
    /// Binds the receiver and makes the feeds sources of `breakers`, which are those of the routes, in their order.
    pub(super) fn bind(
        config: &Config,
        breakers: &[BreakerHandle],
    ) -> Result<Option<Self>, StartError> {
        let Some(receive) = config.receive() else {
            return Ok(None);
        };
        let forward = receive
            .forward()
            .map(|forward| Forward::to_both(forward.grpc().cloned(), forward.http().cloned()));
        let receiver = Receiver::bind(Settings {
            grpc: receive.grpc(),
            http: receive.http(),
            forward,
            ..Settings::default()
        })
        .map_err(cannot_receive)?;
        let routes = config.routes().iter().zip(breakers);
        let feeds = routes.flat_map(|(route, breaker)| {
            let feeds = route.feeds().iter();
            feeds.map(move |feed| {
                let mut source = Feed::new(feed.name().clone()).with_quiet(feed.quiet());
                source.policy = feed.policy().cloned();
                Fed::new(
                    breaker.clone(),
                    breaker.add_feed(source),
                    feed.name().clone(),
                    feed.matcher().clone(),
                    feed.policy().cloned(),
                )
            })
        });
        Ok(Some(Self {
            receiver,
            feeds: feeds.collect(),
        }))
    }

    /// Where it listens.
    pub(super) const fn addresses(&self) -> Addresses {
        self.receiver.addresses()
    }

    /// Marks what this process exports, so that it is known if it comes back.
    pub(super) fn mark(&self, settings: &mut telemetry::Settings) {
        let (name, value) = self.receiver.marker();
        for export in settings.exports_mut() {
            export.headers.insert(name.clone(), value.clone());
        }
    }

    /// What telemetry tells of it.
    pub(super) fn received(&self) -> Received {
        Received {
            stats: self.receiver.stats(),
            feeds: self.feeds.iter().map(Fed::telling).collect(),
        }
    }

    /// Receives until `stopped` says so.
    pub(super) async fn run(self, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
        let sampler = Arc::new(FeedSampler::new(self.feeds));
        let stop = async move {
            // A sender that is gone has nothing more to say, and that is a shutdown too.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        self.receiver.run(sampler, stop).await
    }
}

fn cannot_receive(error: ReceiverError) -> StartError {
    match error {
        ReceiverError::Listen { address, source } => StartError::Bind {
            field: "telemetry.receive",
            address,
            source,
        },
        error => StartError::Setting(format!("telemetry.receive: {error}")),
    }
}
