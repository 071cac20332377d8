//! The messages of topics, one after the other.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::KafkaSettings;
use super::context::Context;
use super::stats::KafkaStats;
use crate::ingest::intake::Handler;
use crate::ingest::refusal::Refusal;

/// A member of the group. When it is dropped, it commits and leaves, which takes a moment.
pub(super) struct Reader {
    consumer: StreamConsumer<Context>,
    settings: KafkaSettings,
    handler: Arc<Handler>,
    stats: Arc<KafkaStats>,
}

/// Why nothing more is read.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was to be.
    Stopped,
    /// The client can't go on.
    Failed(KafkaError),
}

impl Reader {
    pub(super) fn new(
        settings: KafkaSettings,
        handler: Arc<Handler>,
        stats: Arc<KafkaStats>,
    ) -> KafkaResult<Self> {
        let client = settings.client(handler.limits.batch);
        let consumer: StreamConsumer<Context> =
            client.create_with_context(Context::new(stats.clone()))?;
        consumer.subscribe(&settings.topics())?;
        Ok(Self {
            consumer,
            settings,
            handler,
            stats,
        })
    }

    /// Reads until `stopping`.
    pub(super) async fn run(&self, stopping: &mut watch::Receiver<bool>) -> Ended {
        // What has been received and is not counted: one message as a rule.
        let mut waiting = VecDeque::new();
        // Set while there is no room for the first of them.
        let mut again = None;
        loop {
            let room = async {
                match again {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            let event = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return Ended::Stopped,
                () = room => None,
                // Partitions come and go in this too.
                event = self.consumer.recv() => Some(event),
            };
            self.forget_revoked(&mut waiting);
            match event {
                Some(Ok(message)) => waiting.push_back(message),
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Ended::Failed(error);
                }
                // The context has said it.
                Some(Err(_)) | None => {}
            }
            if again.is_none_or(|at| at <= Instant::now()) {
                again = self.take_all(&mut waiting).await;
            } else if !waiting.is_empty() {
                // In case that it failed: more would come for ever.
                self.pause(true);
            }
        }
    }

    /// Commits, and leaves the group: waits for a broker.
    pub(super) fn leave(self) {
        let stats = self.stats.clone();
        // What the client says meanwhile is told too.
        drop(self);
        stats.gone();
    }

    /// Other members read anew what was not counted here.
    fn forget_revoked(&self, waiting: &mut VecDeque<BorrowedMessage<'_>>) {
        for (topic, partition) in self.consumer.context().revoked() {
            waiting.retain(|message| message.partition() != partition || message.topic() != topic);
        }
    }

    /// Counts what waits. Returns when to go on, if there is no room for all of it.
    async fn take_all(&self, waiting: &mut VecDeque<BorrowedMessage<'_>>) -> Option<Instant> {
        while let Some(message) = waiting.front() {
            let taken = self.take(message).await;
            if let Err(Refusal::Overloaded { retry }) = taken {
                self.pause(true);
                return Some(Instant::now() + retry);
            }
            // Also of a message that is passed over: it would be the next one for ever.
            if let Err(error) = self.consumer.store_offset_from_message(message) {
                tracing::debug!("Kafka: {error}");
            }
            waiting.pop_front();
            if taken.is_err() {
                // Of many in a row, none waits for anything.
                yield_now().await;
            }
        }
        let is_resumed = self.pause(false);
        (!is_resumed).then(|| Instant::now() + RESUME)
    }

    async fn take(&self, message: &BorrowedMessage<'_>) -> Result<(), Refusal> {
        let taken = match (self.settings.signal(message.topic()), message.payload()) {
            (Some(signal), Some(payload)) => {
                let payload = Bytes::copy_from_slice(payload);
                let handler = self.handler.clone();
                // A panic in it is the end of this message only.
                let task = tokio::spawn(handler.take_message(signal, payload));
                task.await.unwrap_or(Err(Refusal::Internal))
            }
            _ => Err(Refusal::Malformed("the message has no value".to_owned())),
        };
        if let Err(refusal) = &taken
            && !matches!(refusal, Refusal::Overloaded { .. })
        {
            self.handler.stats.refused(refusal.reason());
            tracing::debug!(
                %refusal,
                topic = message.topic(),
                partition = message.partition(),
                offset = message.offset(),
                "a message of Kafka is passed over"
            );
        }
        taken.map(drop)
    }

    /// Pauses all partitions, those too that come meanwhile, or resumes them. Returns whether that
    /// worked; if not, the next call tries again.
    fn pause(&self, is_paused: bool) -> bool {
        let context = self.consumer.context();
        if context.pause(is_paused) == is_paused {
            return true;
        }
        let partitions = self.consumer.assignment();
        let done = partitions.and_then(|partitions| match is_paused {
            true => self.consumer.pause(&partitions),
            false => self.consumer.resume(&partitions),
        });
        match done {
            Ok(()) if is_paused => self.stats.paused(),
            Ok(()) => {}
            Err(error) => {
                context.pause(!is_paused);
                tracing::debug!("Kafka: {error}");
                return false;
            }
        }
        true
    }
}

/// When resuming is tried again.
const RESUME: Duration = Duration::from_secs(1);
