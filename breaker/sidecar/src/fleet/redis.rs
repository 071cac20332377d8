//! Redis and Valkey, by RESP3: one connection publishes, listens and keeps the lease.
//!
//! The connection is made here and not by the crate, whose TLS would have a provider of
//! cryptography of its own. Nothing reconnects by itself: the session starts again, and with it the
//! subscriptions.

mod locate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, Script, Value,
    cmd,
};
use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::engine::{Engine, EngineError, Messages, Queue};
use super::stats::Stats;
use crate::config::{EngineUrl, Topology};
use crate::sockets::Stream;
use crate::tls::Client;

/// A connection to Redis or Valkey.
#[derive(Debug)]
pub(super) struct Redis {
    connection: MultiplexedConnection,
    topics: Topics,
    lease: Script,
    stats: Stats,
    driver: JoinHandle<()>,
}

/// Who listens to which topic. Empty after the end of the connection.
type Topics = Arc<Mutex<HashMap<Vec<u8>, Queue>>>;

impl Redis {
    /// Connects, in TLS if there is `tls`. `key` is that of the lease.
    pub(super) async fn connect(
        url: &EngineUrl,
        key: &str,
        tls: Option<&Client>,
        stats: Stats,
    ) -> Result<Self, EngineError> {
        match url.topology() {
            Topology::Single => Self::connect_to(url, url.host(), url.port(), tls, stats).await,
            Topology::Sentinel(master) => Self::by_sentinels(url, master, tls, &stats).await,
            Topology::Cluster => Self::by_cluster(url, key, tls, &stats).await,
        }
    }

    /// Connects to this server, with the login of `url`.
    async fn connect_to(
        url: &EngineUrl,
        host: &str,
        port: u16,
        tls: Option<&Client>,
        stats: Stats,
    ) -> Result<Self, EngineError> {
        let connecting = Self::connect_slowly(url, host, port, tls, stats);
        timeout(CONNECT, connecting)
            .await
            .map_err(|_| EngineError::Slow)?
    }

    async fn connect_slowly(
        url: &EngineUrl,
        host: &str,
        port: u16,
        tls: Option<&Client>,
        stats: Stats,
    ) -> Result<Self, EngineError> {
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(EngineError::Connect)?;
        stream.set_nodelay(true).map_err(EngineError::Connect)?;
        let mut stream = Stream::Tcp(stream);
        if let Some(tls) = tls {
            let name = ServerName::try_from(host.to_owned());
            let name = name.map_err(|error| EngineError::Connect(std::io::Error::other(error)))?;
            let secured = tls.connect(stream, &name, &[]).await;
            stream = secured.map_err(EngineError::Tls)?.stream;
        }
        let mut info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some(user) = url.user() {
            info = info.set_username(user);
        }
        if let Some(password) = url.password() {
            info = info.set_password(password);
        }
        let topics = Topics::default();
        let listening = topics.clone();
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(ANSWER))
            .set_push_sender(
                move |push: PushInfo| -> Result<(), std::convert::Infallible> {
                    deliver(&listening, push);
                    Ok(())
                },
            );
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await?;
        let (connection, driver) = made;
        let ended = topics.clone();
        let driver = tokio::spawn(async move {
            driver.await;
            locked(&ended).clear();
        });
        Ok(Self {
            connection,
            topics,
            lease: Script::new(LEASE),
            stats,
            driver,
        })
    }
}

impl Engine for Redis {
    async fn publish(&self, topic: &str, message: Bytes) -> Result<(), EngineError> {
        let mut connection = self.connection.clone();
        let mut publish = cmd("PUBLISH");
        publish.arg(topic).arg(&message[..]);
        Ok(publish.exec_async(&mut connection).await?)
    }

    async fn subscribe(&self, topic: &str, most: usize) -> Result<Messages, EngineError> {
        let (queue, messages) = Queue::new(most, &self.stats);
        locked(&self.topics).insert(topic.as_bytes().to_vec(), queue);
        self.connection.clone().subscribe(topic).await?;
        Ok(messages)
    }

    async fn unsubscribe(&self, topic: &str) -> Result<(), EngineError> {
        locked(&self.topics).remove(topic.as_bytes());
        Ok(self.connection.clone().unsubscribe(topic).await?)
    }

    async fn lease(
        &self,
        key: &str,
        holder: &str,
        ttl: Duration,
        known: u64,
    ) -> Result<Option<u64>, EngineError> {
        let mut connection = self.connection.clone();
        let mut lease = self.lease.key(key);
        // A cluster keeps both keys in one place by what stands in braces.
        lease.key(format!("{key}/term"));
        lease.arg(holder).arg(ttl.as_millis() as u64).arg(known);
        Ok(lease.invoke_async(&mut connection).await?)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Hands a message to who listens to its topic.
fn deliver(topics: &Topics, push: PushInfo) {
    let mut topics = locked(topics);
    match (push.kind, &mut *push.data.into_iter().collect::<Vec<_>>()) {
        (PushKind::Disconnection, _) => topics.clear(),
        (PushKind::Message, [Value::BulkString(topic), Value::BulkString(message)]) => {
            if let Some(queue) = topics.get(&**topic) {
                queue.push(std::mem::take(message).into());
            }
        }
        _ => {}
    }
}

fn locked(topics: &Topics) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Queue>> {
    topics.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time keeps terms growing when the engine has lost its data, the known term if its clock was
/// set back.
const LEASE: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return false end
local term = redis.call('GET', KEYS[2])
if holder and term then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(term)
end
local time = tonumber(redis.call('TIME')[1])
term = math.max(tonumber(term or 0) + 1, tonumber(ARGV[3]) + 1, time)
redis.call('SET', KEYS[2], string.format('%.0f', term))
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return term
";
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(1);
