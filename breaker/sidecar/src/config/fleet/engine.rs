//! Where the engine of a fleet is.

use std::fmt;

use breaker_tower::breaker_core::InvalidValue;
use http::Uri;
use percent_encoding::percent_decode_str;

use crate::hosts;

/// Where the engine is.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineUrl {
    broker: Broker,
    topology: Topology,
    /// One, or several that know where the engine is.
    hosts: Vec<(String, u16)>,
    is_secure: bool,
    user: Option<String>,
    password: Option<String>,
}

/// Which kind of engine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// Redis or Valkey.
    Redis,
    /// NATS.
    Nats,
}

/// How the servers that the URL names lead to the one that carries the messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Topology {
    /// It is that one.
    #[default]
    Single,
    /// Sentinels, which say where the master of this name is.
    Sentinel(String),
    /// Nodes of a cluster, which say which of them has the fleet's slot.
    Cluster,
}

// === impl EngineUrl ===

#[cfg_attr(
    not(feature = "fleet"),
    expect(dead_code, reason = "who is in no fleet")
)]
impl EngineUrl {
    /// # Errors
    /// The rule that the text breaks.
    pub(crate) fn new(text: &str) -> Result<Self, InvalidValue> {
        match text.split_once("://") {
            Some((scheme, rest)) if scheme.contains('+') => Self::of_several(scheme, rest),
            _ => Self::of_one(text),
        }
    }

    /// The URL of sentinels or of the nodes of a cluster, of which `rest` has the hosts.
    fn of_several(scheme: &str, rest: &str) -> Result<Self, InvalidValue> {
        let rule = || InvalidValue::from(SEVERAL_RULE);
        let (rest, path) = rest.split_once('/').unwrap_or((rest, ""));
        let named = |name: &str| {
            let is_fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !name.is_empty() && name.chars().all(is_fine)
        };
        let (scheme, topology, port) = match scheme.split_once('+') {
            Some((scheme, "sentinel")) if named(path) => {
                (scheme, Topology::Sentinel(path.to_owned()), SENTINEL)
            }
            Some((scheme, "cluster")) if path.is_empty() => {
                (scheme, Topology::Cluster, Broker::Redis.port())
            }
            _ => return Err(rule()),
        };
        let (login, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
        let mut all: Option<Self> = None;
        for host in hosts.split(',') {
            let at = if login.is_empty() { "" } else { "@" };
            let one = Self::of_one(&format!("{scheme}://{login}{at}{host}"));
            let one = one.map_err(|_| rule())?;
            // A sentinel has another usual port.
            let has_port = host
                .rsplit_once(':')
                .is_some_and(|(_, port)| !port.contains(']'));
            let address = (
                one.host().to_owned(),
                if has_port { one.port() } else { port },
            );
            match &mut all {
                _ if one.broker != Broker::Redis => return Err(rule()),
                Some(all) if all.hosts.contains(&address) => return Err(rule()),
                Some(all) => all.hosts.push(address),
                None => {
                    all = Some(Self {
                        topology: topology.clone(),
                        hosts: vec![address],
                        ..one
                    });
                }
            }
        }
        all.filter(|all| all.hosts.len() <= MOST_HOSTS)
            .ok_or_else(rule)
    }

    fn of_one(text: &str) -> Result<Self, InvalidValue> {
        let rule = || InvalidValue::from(URL_RULE);
        let url: Uri = text.parse().map_err(|_error| rule())?;
        let (broker, is_secure) = match url.scheme_str() {
            Some("redis" | "valkey") => (Broker::Redis, false),
            Some("rediss" | "valkeys") => (Broker::Redis, true),
            Some("nats") => (Broker::Nats, false),
            Some("tls") => (Broker::Nats, true),
            _ => return Err(rule()),
        };
        let authority = url.authority().ok_or_else(rule)?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || authority.host().is_empty() {
            return Err(rule());
        }
        let (user, password) = match authority.as_str().rsplit_once('@') {
            None => (None, None),
            Some((before, _)) => {
                let (user, password) = match (before.split_once(':'), broker) {
                    (Some(both), _) => both,
                    // A token.
                    (None, Broker::Nats) => ("", before),
                    (None, Broker::Redis) => return Err(rule()),
                };
                let decoded = |text: &str| {
                    let text = percent_decode_str(text).decode_utf8();
                    text.map(|text| (!text.is_empty()).then(|| text.into_owned()))
                };
                let user = decoded(user).map_err(|_error| rule())?;
                (user, decoded(password).map_err(|_error| rule())?)
            }
        };
        let (host, port) = hosts::parts(authority, broker.port()).ok_or_else(rule)?;
        Ok(Self {
            broker,
            topology: Topology::Single,
            hosts: vec![(host.to_owned(), port)],
            is_secure,
            user,
            password,
        })
    }

    pub(crate) const fn broker(&self) -> Broker {
        self.broker
    }

    /// Of the only one, or of the first.
    pub(crate) fn host(&self) -> &str {
        &self.hosts[0].0
    }

    pub(crate) fn port(&self) -> u16 {
        self.hosts[0].1
    }

    /// All hosts and ports that the URL names: one at least.
    pub(crate) fn hosts(&self) -> &[(String, u16)] {
        &self.hosts
    }

    pub(crate) const fn topology(&self) -> &Topology {
        &self.topology
    }

    pub(crate) const fn is_secure(&self) -> bool {
        self.is_secure
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The same without user and password, if it has some.
    pub(crate) fn without_login(&self) -> Option<Self> {
        let has_login = self.user.is_some() || self.password.is_some();
        has_login.then(|| Self {
            user: None,
            password: None,
            ..self.clone()
        })
    }

    /// Whether it is on this machine. Nobody knows before where sentinels and clusters lead to.
    pub(super) fn is_local(&self) -> bool {
        self.topology == Topology::Single && hosts::is_local(self.host())
    }
}

/// Without the password.
impl fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.broker, self.is_secure) {
            (Broker::Redis, false) => "redis",
            (Broker::Redis, true) => "rediss",
            (Broker::Nats, false) => "nats",
            (Broker::Nats, true) => "tls",
        };
        let kind = match &self.topology {
            Topology::Single => "",
            Topology::Sentinel(_) => "+sentinel",
            Topology::Cluster => "+cluster",
        };
        write!(f, "{scheme}{kind}://")?;
        for (index, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]:{port}")?,
                false => write!(f, "{comma}{host}:{port}")?,
            }
        }
        match &self.topology {
            Topology::Sentinel(master) => write!(f, "/{master}"),
            Topology::Single | Topology::Cluster => Ok(()),
        }
    }
}

impl fmt::Debug for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Broker ===

impl Broker {
    const fn port(self) -> u16 {
        match self {
            Self::Redis => 6379,
            Self::Nats => 4222,
        }
    }
}

const URL_RULE: &str = "must be a URL such as redis://127.0.0.1:6379, \
                        rediss://user:password@redis:6379 or nats://127.0.0.1:4222, without a path";
const SEVERAL_RULE: &str = "must be a URL such as redis+sentinel://one:26379,two:26379/MASTER or \
                            redis+cluster://one:6379,two:6379, with 1 to 16 different hosts";
const MOST_HOSTS: usize = 16;
/// The usual port of a sentinel.
const SENTINEL: u16 = 26379;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_its_password_is_not_shown() {
        let url = EngineUrl::new("rediss://shop:p%40ss@redis.example:6380").unwrap();
        assert_eq!(
            (url.host(), url.port(), url.is_secure()),
            ("redis.example", 6380, true)
        );
        assert_eq!((url.user(), url.password()), (Some("shop"), Some("p@ss")));
        assert_eq!(format!("{url:?}"), "rediss://redis.example:6380");
        let url = EngineUrl::new("valkey://:secret@[::1]").unwrap();
        assert_eq!((url.host(), url.port(), url.user()), ("::1", 6379, None));
        assert!(url.is_local() && !url.is_secure());
        let url = EngineUrl::new("nats://t%2Fk@127.0.0.1").unwrap();
        assert_eq!(
            (url.port(), url.user(), url.password()),
            (4222, None, Some("t/k"))
        );
        assert_eq!(
            (url.broker(), url.to_string()),
            (Broker::Nats, "nats://127.0.0.1:4222".to_owned())
        );
        let url = EngineUrl::new("tls://u:p@nats:4333").unwrap();
        assert_eq!((url.user(), url.password()), (Some("u"), Some("p")));
        assert!(url.is_secure() && url.to_string() == "tls://nats:4333");
        for bad in [
            "",
            "nats://",
            "nats://h/x",
            "redis",
            "http://h",
            "redis://",
            "redis://h/0",
            "redis://h:0",
            "redis://u@h",
        ] {
            assert!(EngineUrl::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sentinels_and_clusters_have_several_hosts() {
        let url = EngineUrl::new("rediss+sentinel://u:p@a,b:1,[::1]:2/main").unwrap();
        let hosts: Vec<_> = url
            .hosts()
            .iter()
            .map(|(host, port)| (&**host, *port))
            .collect();
        assert_eq!(hosts, [("a", 26379), ("b", 1), ("::1", 2)]);
        assert_eq!(url.topology(), &Topology::Sentinel("main".into()));
        assert!(url.is_secure() && url.user() == Some("u") && url.password() == Some("p"));
        assert_eq!(
            url.to_string(),
            "rediss+sentinel://a:26379,b:1,[::1]:2/main"
        );
        let url = EngineUrl::new("valkey+cluster://:p@127.0.0.1,127.0.0.2:7").unwrap();
        assert_eq!(url.topology(), &Topology::Cluster);
        assert_eq!(
            url.to_string(),
            "redis+cluster://127.0.0.1:6379,127.0.0.2:7"
        );
        // Where it leads is known later.
        assert!(!url.is_local() && url.password() == Some("p"));
        for bad in [
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://a/b/c",
            "redis+sentinel:///main",
            "redis+sentinel://a,/main",
            "redis+sentinel://a,a/main",
            "redis+sentinel://u@a/main",
            "redis+cluster://a/0",
            "redis+other://a",
            "nats+cluster://a",
            "redis+cluster://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
        ] {
            let error = EngineUrl::new(bad).expect_err(bad).to_string();
            assert!(error.contains("redis+sentinel://"), "{bad}: {error}");
        }
    }
}
