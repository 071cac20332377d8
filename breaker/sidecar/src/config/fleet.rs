//! `fleet`: with whom evidence is pooled, and by which engine.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use breaker_tower::breaker_core::{InvalidField, InvalidValue};
use http::Uri;
use percent_encoding::percent_decode_str;

use super::problem::{Problems, check_name, unknown};
use super::raw::{RawFleet, RawFleetRoutes};
use super::route::Route;

/// A fleet that this sidecar is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    name: Arc<str>,
    engine: EngineUrl,
    key: Option<FleetKey>,
    key_file: Option<PathBuf>,
    routes: FleetRoutes,
}

/// Where the engine is.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineUrl {
    broker: Broker,
    host: String,
    port: u16,
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

/// What signs the messages.
#[derive(Clone, PartialEq, Eq)]
pub struct FleetKey(Arc<[u8]>);

/// The routes whose evidence is pooled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FleetRoutes {
    /// All that have an upstream.
    All,
    /// Those with these names.
    Named(Arc<[String]>),
}

/// `routes` are those of the file that break no rule of their own.
pub(super) fn build(
    raw: &RawFleet,
    folder: &Path,
    routes: &[(usize, Route)],
) -> Result<Fleet, Problems> {
    let mut problems = Problems::default();
    if !cfg!(feature = "fleet") {
        let rule = "needs a build with the feature fleet, which this one has not";
        return Err(InvalidField::new("", rule).into());
    }
    problems.keep(check_name(&raw.name));
    let key = raw.key_file.as_ref().and_then(|file| {
        let key = FleetKey::read(&folder.join(file));
        problems.check(key.map_err(|rule| InvalidField::new("key_file", rule)))
    });
    let engine = EngineUrl::new(&raw.engine).map_err(|rule| InvalidField::new("engine", rule));
    let engine = problems.check(engine);
    let is_nats = engine
        .as_ref()
        .is_some_and(|engine| engine.broker == Broker::Nats);
    if is_nats && !cfg!(feature = "nats") {
        let rule = "needs a build with the feature nats, which this one has not";
        problems.add(InvalidField::new("engine", rule));
    }
    if let Some(engine) = &engine
        && !(engine.is_local() || engine.is_secure || raw.key_file.is_some() || raw.allow_remote)
    {
        let rule = "must be on a loopback address, or have TLS (rediss:// or tls://) or a key_file beside it: \
                    whoever can publish there can open breakers; allow_remote: true beside it \
                    allows that";
        problems.add(InvalidField::new("engine", rule));
    }
    let wanted = problems.check(FleetRoutes::build(raw.routes.as_ref(), routes));
    if wanted == Some(FleetRoutes::All) && names(routes).len() > MAX_ROUTES {
        let rule = format!("must be a list of names: more than {MAX_ROUTES} routes");
        problems.add(InvalidField::new("routes", rule));
    }
    problems.finish()?;
    let (Some(engine), Some(wanted)) = (engine, wanted) else {
        return Err(Problems::default());
    };
    Ok(Fleet {
        name: raw.name.as_str().into(),
        engine,
        key,
        key_file: raw.key_file.as_ref().map(|file| folder.join(file)),
        routes: wanted,
    })
}

/// The names of the routes that have an upstream.
fn names(routes: &[(usize, Route)]) -> Vec<&str> {
    let routes = routes.iter().map(|(_, route)| route);
    let routes = routes.filter(|route| route.upstream().is_some());
    routes.map(|route| &**route.name()).collect()
}

// === impl FleetRoutes ===

impl FleetRoutes {
    /// `routes` are those of the file that break no rule of their own.
    pub(super) fn build(
        raw: Option<&RawFleetRoutes>,
        routes: &[(usize, Route)],
    ) -> Result<Self, Problems> {
        let Some(RawFleetRoutes::Named(named)) = raw else {
            return Ok(Self::All);
        };
        let mut problems = Problems::default();
        if !(1..=MAX_ROUTES).contains(&named.len()) {
            let rule = format!("must have 1 to {MAX_ROUTES} entries");
            problems.add(InvalidField::new("routes", rule));
        }
        let known = names(routes);
        for (index, name) in named.iter().enumerate() {
            let field = format!("routes[{index}]");
            if !known.contains(&&**name) {
                let rule = unknown(name, &known, "a route that has an upstream");
                problems.add(InvalidField::new(field, rule));
            } else if named[..index].contains(name) {
                problems.add(InvalidField::new(field, "must not name a route again"));
            }
        }
        problems.finish()?;
        Ok(Self::Named(named.clone().into()))
    }

    /// Whether the route with this name is among them.
    pub(super) fn has(&self, route: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name == route),
        }
    }
}

// === impl Fleet ===

#[cfg_attr(
    not(feature = "fleet"),
    expect(dead_code, reason = "who is in no fleet")
)]
impl Fleet {
    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) const fn engine(&self) -> &EngineUrl {
        &self.engine
    }

    pub(crate) const fn key(&self) -> Option<&FleetKey> {
        self.key.as_ref()
    }

    /// The file of the key.
    pub(crate) fn key_file(&self) -> Option<&Path> {
        self.key_file.as_deref()
    }

    /// Whether evidence of the route with this name is pooled.
    pub(crate) fn has(&self, route: &str) -> bool {
        self.routes.has(route)
    }
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
        let port = match authority.port() {
            None => broker.port(),
            Some(_) => authority
                .port_u16()
                .filter(|port| *port != 0)
                .ok_or_else(rule)?,
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        Ok(Self {
            broker,
            host: host.to_owned(),
            port,
            is_secure,
            user,
            password,
        })
    }

    pub(crate) const fn broker(&self) -> Broker {
        self.broker
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
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

    fn is_local(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
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
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
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

// === impl FleetKey ===

impl FleetKey {
    fn read(file: &Path) -> Result<Self, InvalidValue> {
        let bytes = fs::read(file).map_err(|error| format!("can't be read: {error}"))?;
        // Editors add a newline; it is no part of the key.
        let key = bytes.trim_ascii_end();
        if !KEY_BYTES.contains(&key.len()) {
            return Err("must hold a key of 32 to 4096 bytes".into());
        }
        Ok(Self(key.into()))
    }

    #[cfg_attr(
        not(feature = "fleet"),
        expect(dead_code, reason = "who is in no fleet")
    )]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FleetKey(..)")
    }
}

const URL_RULE: &str = "must be a URL such as redis://127.0.0.1:6379, \
                        rediss://user:password@redis:6379 or nats://127.0.0.1:4222, without a path";
const KEY_BYTES: std::ops::RangeInclusive<usize> = 32..=4096;
/// Their names must fit into one report.
const MAX_ROUTES: usize = 200;

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
}
