//! `fleet`: with whom evidence is pooled, and by which engine.

mod engine;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use breaker_tower::breaker_core::{InvalidField, InvalidValue};

pub(crate) use self::engine::Topology;
pub use self::engine::{Broker, EngineUrl};
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
        .is_some_and(|engine| engine.broker() == Broker::Nats);
    if is_nats && !cfg!(feature = "nats") {
        let rule = "needs a build with the feature nats, which this one has not";
        problems.add(InvalidField::new("engine", rule));
    }
    if let Some(engine) = &engine
        && !(engine.is_local() || engine.is_secure() || raw.key_file.is_some() || raw.allow_remote)
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

const KEY_BYTES: std::ops::RangeInclusive<usize> = 32..=4096;
/// Their names must fit into one report.
const MAX_ROUTES: usize = 200;
