//! NATS: core publish and subscribe, and a lease in a bucket of JetStream.
//!
//! The bucket forgets each key two seconds after it was last written, so that a lease ends by
//! itself. A lease is taken by creating its key, and renewed by replacing what this connection
//! wrote last. Nothing reconnects by itself: the session starts again, and with it the
//! subscriptions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::kv::{self, CreateErrorKind, Store, UpdateErrorKind};
use async_nats::jetstream::stream::StorageType;
use async_nats::{Client, ConnectOptions, Event, Subscriber, jetstream};
use bytes::Bytes;
use futures_util::StreamExt;
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::engine::{Engine, EngineError, Messages, Queue, UNREAD};
use super::lease::TTL;
use super::stats::{Dropping, Stats};
use crate::causes::in_full;
use crate::config::EngineUrl;
use crate::tls::{Fault, Roots, provider};

/// A connection to NATS.
#[derive(Debug)]
pub(super) struct Nats {
    client: Client,
    leases: Store,
    ended: watch::Sender<Option<End>>,
    listening: Mutex<HashMap<String, JoinHandle<()>>>,
    held: Mutex<Option<Held>>,
    stats: Stats,
}

/// Why a connection is of no more use.
#[derive(Clone, Debug)]
enum End {
    Gone,
    /// The server does not allow something, which it tells in no other way.
    Forbidden(String),
}

/// A lease that this connection has.
#[derive(Clone, Debug)]
struct Held {
    holder: String,
    term: u64,
    /// Of what was written last.
    revision: u64,
}

impl Nats {
    /// Connects; in `tls` if the URL or the server says so.
    pub(super) async fn connect(
        url: &EngineUrl,
        tls: ClientConfig,
        stats: Stats,
    ) -> Result<Self, EngineError> {
        let connecting = Self::connect_slowly(url, tls, stats);
        timeout(CONNECT, connecting)
            .await
            .map_err(|_late| EngineError::Slow)?
    }

    async fn connect_slowly(
        url: &EngineUrl,
        tls: ClientConfig,
        stats: Stats,
    ) -> Result<Self, EngineError> {
        let ended = watch::Sender::new(None);
        let (tells, counts) = (ended.clone(), stats.clone());
        let mut options = ConnectOptions::new()
            .name("breaker")
            .tls_client_config(tls)
            .require_tls(url.is_secure())
            // The session connects again.
            .max_reconnects(1)
            .ignore_discovered_servers()
            .ping_interval(PING)
            .connection_timeout(CONNECT)
            .request_timeout(Some(ANSWER))
            .subscription_capacity(UNREAD)
            .event_callback(move |event| {
                match event {
                    Event::Disconnected | Event::Closed | Event::ClientError(_) => {
                        end(&tells, End::Gone);
                    }
                    Event::ServerError(error) => {
                        end(&tells, End::Forbidden(error.to_string()));
                    }
                    Event::SlowConsumer(_) => counts.drop_one(Dropping::Overflow),
                    _ => {}
                }
                std::future::ready(())
            });
        options = match (url.user(), url.password()) {
            (Some(user), Some(password)) => {
                options.user_and_password(user.to_owned(), password.to_owned())
            }
            (None, Some(token)) => options.token(token.to_owned()),
            _ => options,
        };
        let client = options.connect(url.to_string()).await;
        let client = client.map_err(|error| refused(&error))?;
        let leases = leases(&client).await?;
        Ok(Self {
            client,
            leases,
            ended,
            listening: Mutex::default(),
            held: Mutex::default(),
            stats,
        })
    }
}

impl Engine for Nats {
    async fn publish(&self, topic: &str, message: Bytes) -> Result<(), EngineError> {
        if self.ended.borrow().is_some() {
            return Err(self.why_ended());
        }
        in_time(self.client.publish(subject(topic), message)).await
    }

    async fn subscribe(&self, topic: &str, most: usize) -> Result<Messages, EngineError> {
        let messages = in_time(self.client.subscribe(subject(topic))).await?;
        // Once this is answered, the server knows of the subscription.
        in_time(self.client.flush()).await?;
        let (queue, received) = Queue::new(most, &self.stats);
        let task = tokio::spawn(deliver_all(messages, queue, self.ended.subscribe()));
        locked(&self.listening).insert(topic.to_owned(), task);
        Ok(received)
    }

    async fn unsubscribe(&self, topic: &str) -> Result<(), EngineError> {
        if let Some(task) = locked(&self.listening).remove(topic) {
            // With it goes the subscription.
            task.abort();
        }
        Ok(())
    }

    fn why_ended(&self) -> EngineError {
        match &*self.ended.borrow() {
            Some(End::Forbidden(what)) => EngineError::Nats(what.clone()),
            _ => EngineError::Ended,
        }
    }

    async fn lease(
        &self,
        key: &str,
        holder: &str,
        _ttl: Duration,
        known: u64,
    ) -> Result<Option<u64>, EngineError> {
        let held = locked(&self.held).clone();
        let key = subject(key);
        let lease = match held.filter(|held| held.holder == holder) {
            Some(held) => self.renew(&key, held).await?,
            None => self.take(&key, holder, known).await?,
        };
        let term = lease.as_ref().map(|lease| lease.term);
        *locked(&self.held) = lease;
        Ok(term)
    }
}

impl Nats {
    async fn renew(&self, key: &str, held: Held) -> Result<Option<Held>, EngineError> {
        let value = Bytes::from(held.holder.clone());
        match self.leases.update(key, value, held.revision).await {
            Ok(revision) => Ok(Some(Held { revision, ..held })),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(error) => Err(refused(&error)),
        }
    }

    /// The server's clock keeps terms growing when it has lost its data, the known term if that
    /// clock was set back.
    async fn take(&self, key: &str, holder: &str, known: u64) -> Result<Option<Held>, EngineError> {
        let revision = match self
            .leases
            .create(key, Bytes::from(holder.to_owned()))
            .await
        {
            Ok(revision) => revision,
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(refused(&error)),
        };
        let entry = self.leases.entry(key).await;
        let entry = entry.map_err(|error| refused(&error))?;
        let Some(entry) = entry.filter(|entry| entry.revision == revision) else {
            return Ok(None);
        };
        let time = u64::try_from(entry.created.unix_timestamp()).unwrap_or(0);
        Ok(Some(Held {
            holder: holder.to_owned(),
            term: time.max(known + 1),
            revision,
        }))
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        for task in locked(&self.listening).values() {
            task.abort();
        }
    }
}

/// The bucket of the leases of all fleets.
async fn leases(client: &Client) -> Result<Store, EngineError> {
    let mut context = jetstream::new(client.clone());
    context.set_timeout(ANSWER);
    if let Ok(store) = context.get_key_value(BUCKET).await {
        let status = store.status().await.map_err(|error| refused(&error))?;
        return ends_leases(status.max_age()).map(|()| store);
    }
    let made = context.create_key_value(kv::Config {
        bucket: BUCKET.to_owned(),
        description: "who aggregates, by fleet: keys end by themselves".to_owned(),
        max_age: TTL,
        history: 1,
        storage: StorageType::Memory,
        ..kv::Config::default()
    });
    made.await.map_err(|error| {
        let error = in_full(&error);
        EngineError::Nats(format!(
            "no bucket {BUCKET}, which needs JetStream: {error}"
        ))
    })
}

/// Whether a bucket that somebody else has made forgets each key after the time of a lease. If it
/// did later, or never, a lease would outlive who holds it.
fn ends_leases(max_age: Duration) -> Result<(), EngineError> {
    let kept = match max_age {
        TTL => return Ok(()),
        Duration::ZERO => "for ever".to_owned(),
        other => format!("for {other:?}"),
    };
    Err(EngineError::Nats(format!(
        "the bucket {BUCKET} keeps keys {kept}, and must keep them for {TTL:?}: set its max_age, or \
         delete it"
    )))
}

/// Ends a connection, if it has not ended yet: the first reason is the cause of the others.
fn end(ended: &watch::Sender<Option<End>>, why: End) {
    ended.send_if_modified(|end| {
        let is_first = end.is_none();
        end.get_or_insert(why);
        is_first
    });
}

async fn deliver_all(
    mut messages: Subscriber,
    queue: Queue,
    mut ended: watch::Receiver<Option<End>>,
) {
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            _ = ended.wait_for(Option::is_some) => None,
        };
        let Some(message) = message else {
            return;
        };
        queue.push(message.payload);
    }
}

async fn in_time<T, E: std::error::Error + 'static>(
    what: impl Future<Output = Result<T, E>>,
) -> Result<T, EngineError> {
    let done = timeout(ANSWER, what).await;
    let done = done.map_err(|_late| EngineError::Slow)?;
    done.map_err(|error| refused(&error))
}

fn refused(error: &(dyn std::error::Error + 'static)) -> EngineError {
    EngineError::Nats(in_full(error))
}

/// A topic as a subject, or as a key of the bucket: what separates there are dots, and braces mean
/// nothing. A fleet has no = in its name.
fn subject(topic: &str) -> String {
    let plain = topic.chars().filter(|char| !matches!(char, '{' | '}'));
    let subject = plain.map(|char| match char {
        '.' => '=',
        '/' => '.',
        char => char,
    });
    subject.collect()
}

/// What TLS trusts: the system's certificates.
pub(super) fn tls() -> Result<ClientConfig, Fault> {
    let roots = Roots::System.load().map_err(Fault::at("roots"))?;
    let config = ClientConfig::builder_with_provider(provider());
    let config = config
        .with_safe_default_protocol_versions()
        .expect("the provider has them");
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

const BUCKET: &str = "breaker_fleets";
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(1);
/// The connection has ended when three have no answer.
const PING: Duration = Duration::from_secs(1);
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_keeps_leases_for_longer_is_refused_by_name() {
        assert!(ends_leases(TTL).is_ok());
        let said = |max_age| ends_leases(max_age).unwrap_err().to_string();
        let expected = "the bucket breaker_fleets keeps keys for ever, and must keep them for 2s: \
                        set its max_age, or delete it";
        assert_eq!(said(Duration::ZERO), expected);
        assert!(said(Duration::from_secs(60)).contains("keeps keys for 60s"));
        assert!(said(Duration::from_millis(300)).contains("keeps keys for 300ms"));
    }

    #[test]
    fn each_topic_has_a_subject_of_its_own() {
        assert_eq!(
            subject("breaker/fleet/v1/{shop.pay}/reports"),
            "breaker.fleet.v1.shop=pay.reports"
        );
        let names = ["a..b", "a.b", ".a", "a.", "a-b", "a_b"];
        let subjects = names.map(|name| subject(&format!("breaker/fleet/v1/{{{name}}}/lease")));
        for (index, of) in subjects.iter().enumerate() {
            assert!(!subjects[..index].contains(of), "{of}");
            assert!(of.split('.').all(|token| !token.is_empty()), "{of}");
        }
    }
}
