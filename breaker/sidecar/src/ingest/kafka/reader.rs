//! The messages of topics, one after the other.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use tokio::sync::watch;
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
            }
        }
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
            if let Err(Refusal::Overloaded { retry }) = self.take(message).await {
                self.pause(true);
                return Some(Instant::now() + retry);
            }
            // Also of a message that is passed over: it would be the next one for ever.
            if let Err(error) = self.consumer.store_offset_from_message(message) {
                tracing::debug!("Kafka: {error}");
            }
            waiting.pop_front();
        }
        self.pause(false);
        None
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

    /// Pauses all partitions, those too that come meanwhile, or resumes them.
    fn pause(&self, is_paused: bool) {
        if self.consumer.context().pause(is_paused) == is_paused {
            return;
        }
        let done = self.consumer.assignment().and_then(|partitions| {
            if is_paused {
                self.stats.paused();
                self.consumer.pause(&partitions)
            } else {
                self.consumer.resume(&partitions)
            }
        });
        if let Err(error) = done {
            tracing::debug!("Kafka: {error}");
        }
    }
}
