//! Where the server is that carries the messages, behind sentinels or in a cluster.
//!
//! The crate's own clients for both make their connections themselves, with TLS of another provider
//! of cryptography. They also hide what the session must see: that a connection has ended, and its
//! subscriptions with it. Here a lost connection is found anew from the hosts of the URL, with the
//! back-off of the session.
//!
//! In a cluster, all members connect to the node that has the slot of the fleet's lease. Messages
//! reach every node, so a member that is at another for a while misses nothing.

use std::time::Duration;

use ::redis::{RedisError, Value, cmd};
use tokio::time::timeout;

use super::Redis;
use crate::config::EngineUrl;
use crate::fleet::engine::EngineError;
use crate::fleet::stats::Stats;
use crate::hosts::plain;
use crate::tls::Client;

impl Redis {
    /// Connects to the master that the first sentinel knows that answers.
    pub(super) async fn by_sentinels(
        url: &EngineUrl,
        master: &str,
        tls: Option<&Client>,
        stats: &Stats,
    ) -> Result<Self, EngineError> {
        let ask =
            async |host: &str, port| Self::by_sentinel(url, (host, port), master, tls, stats).await;
        search(url.hosts(), ask).await
    }

    async fn by_sentinel(
        url: &EngineUrl,
        (host, port): (&str, u16),
        master: &str,
        tls: Option<&Client>,
        stats: &Stats,
    ) -> Result<Self, EngineError> {
        let mut sentinel = Self::connect_to(url, host, port, tls, stats.clone()).await;
        if let (Err(EngineError::Refused(_)), Some(open)) = (&sentinel, url.without_login()) {
            // Sentinels often have no password, and take none.
            sentinel = Self::connect_to(&open, host, port, tls, stats.clone()).await;
        }
        let sentinel = sentinel?;
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let address: Option<(String, u16)> =
            ask.query_async(&mut sentinel.connection.clone()).await?;
        // It may be one that has just started.
        let unknown = EngineError::NotThere("no sentinel knows a master of this name");
        let (host, port) = address.ok_or(unknown)?;
        let redis = Self::connect_to(url, &host, port, tls, stats.clone()).await?;
        // What sentinels know may be old: a replica takes reports, and passes them on to nobody.
        let role: Vec<Value> = cmd("ROLE")
            .query_async(&mut redis.connection.clone())
            .await?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(redis),
            _ => Err(EngineError::NotThere(
                "sentinels name a server that is no master",
            )),
        }
    }

    /// Connects to the node that has `key`.
    pub(super) async fn by_cluster(
        url: &EngineUrl,
        key: &str,
        tls: Option<&Client>,
        stats: &Stats,
    ) -> Result<Self, EngineError> {
        let ask = async |host: &str, port| Self::by_node(url, (host, port), key, tls, stats).await;
        search(url.hosts(), ask).await
    }

    async fn by_node(
        url: &EngineUrl,
        (host, port): (&str, u16),
        key: &str,
        tls: Option<&Client>,
        stats: &Stats,
    ) -> Result<Self, EngineError> {
        let (mut host, mut port) = (host.to_owned(), port);
        for _ in 0..MOST_MOVES {
            let node = Self::connect_to(url, &host, port, tls, stats.clone()).await?;
            let asked = cmd("GET")
                .arg(key)
                .exec_async(&mut node.connection.clone())
                .await;
            match asked.map_err(|error| moved(&error, &host).ok_or(error)) {
                Ok(()) => return Ok(node),
                Err(Ok(address)) => (host, port) = address,
                Err(Err(error)) => return Err(error.into()),
            }
        }
        Err(EngineError::NotThere(
            "the nodes of the cluster refer to each other",
        ))
    }
}

/// Asks one host after another for the server, until one leads to it. Of the errors, it returns the
/// last answer: it says more than that another host can't be reached.
async fn search<T>(
    hosts: &[(String, u16)],
    ask: impl AsyncFn(&str, u16) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let is_silent =
        |error: &EngineError| matches!(error, EngineError::Connect(_) | EngineError::Slow);
    let mut last = EngineError::Slow;
    let all = async {
        for (host, port) in hosts {
            match ask(host, *port).await {
                Ok(found) => return Some(found),
                Err(error) if is_silent(&error) && !is_silent(&last) => {}
                Err(error) => last = error,
            }
        }
        None
    };
    let found = timeout(SEARCH, all).await;
    found.ok().flatten().ok_or(last)
}

/// Where a node refers to, from this host; `None` if it is another error.
fn moved(error: &RedisError, host: &str) -> Option<(String, u16)> {
    let (address, _slot) = error.redirect_node()?;
    let (named, port) = address.rsplit_once(':')?;
    // Without a host it means its own.
    let named = if named.is_empty() { host } else { named };
    Some((plain(named).to_owned(), port.parse().ok()?))
}

/// For all hosts together: else a list of hosts that do not answer would take minutes.
const SEARCH: Duration = Duration::from_secs(10);
/// While slots move, two nodes may refer to each other.
const MOST_MOVES: usize = 4;

#[cfg(test)]
mod tests {
    use ::redis::parse_redis_value;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_says_more_than_a_host_that_is_gone() {
        let hosts = ["gone", "unknown", "gone", "slow", "here"].map(|host| (host.to_owned(), 1));
        let ask = async |host: &str, _| match host {
            "here" => Ok(()),
            "unknown" => Err(EngineError::NotThere("unknown")),
            "gone" => Err(EngineError::Connect(
                std::io::ErrorKind::ConnectionRefused.into(),
            )),
            _ => std::future::pending().await,
        };
        let why = async |hosts| search(hosts, ask).await.unwrap_err().to_string();
        assert_eq!(why(&hosts[..1]).await, "cannot connect");
        assert_eq!(why(&hosts[..3]).await, "unknown");
        // All of them together get ten seconds.
        let began = tokio::time::Instant::now();
        assert_eq!(why(&hosts).await, "unknown");
        assert_eq!(began.elapsed(), SEARCH);
        assert!(search(&hosts[4..], ask).await.is_ok());
    }

    #[test]
    fn a_node_says_where_a_slot_is() {
        let said = |line: &str| {
            let error = parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
            moved(&error.extract_error().unwrap_err(), "here")
        };
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(said("MOVED 3999 10.0.0.2:6381"), at("10.0.0.2", 6381));
        assert_eq!(said("MOVED 3999 ::1:6381"), at("::1", 6381));
        assert_eq!(said("MOVED 3999 :6381"), at("here", 6381));
        assert_eq!(said("MOVED 3999"), None);
        assert_eq!(
            said("READONLY You can't write against a read only replica."),
            None
        );
    }
}
