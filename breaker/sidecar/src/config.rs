//! The configuration: a YAML file, or a few flags, made into types that cannot be invalid.
//!
//! `raw` is the shape of the file; each section is checked in a module of its own, and everything
//! that is wrong is told at once, with file, line, column, field and rule. Nothing is checked again
//! later.

mod build;
mod clash;
mod error;
mod fallback;
mod feed;
mod fleet;
mod follow;
mod kafka;
mod limits;
mod log;
mod origin;
mod overrides;
mod path;
mod policies;
mod problem;
mod raw;
mod receive;
mod retry;
mod route;
mod sandbox;
mod scalar;
mod telemetry;
mod tls;
mod token;
mod trace_url;
mod upstream;
mod warnings;
mod watched;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::policy::yaml::{self, Document};
use breaker_tower::{Mode, Policy};

use self::build::{ADMIN, DRAIN, DRAIN_DELAY, LISTEN, processors};
use self::origin::ConfigSource;
use self::policies::unreadable;
use self::raw::RawConfig;
use crate::access::AccessLogSettings;
use crate::collector::Configured;
use crate::message::{BodyLimits, Trusted};
use crate::proxy::{DeadlineRules, Limits, Match};
use crate::sandbox::Mode as SandboxMode;
use crate::sandbox::explained;
use crate::sockets::ListenAddress;
use crate::tls::Server;

pub use self::error::ConfigError;
pub use self::fallback::Fallback;
pub use self::feed::Feed;
pub(crate) use self::fleet::Topology;
pub use self::fleet::{Broker, EngineUrl, Fleet, FleetKey};
pub use self::follow::Follow;
pub use self::kafka::{BrokerAddress, Kafka};
pub use self::policies::Policies;
pub use self::problem::in_words;
pub use self::receive::{Forward, Receive};
pub use self::route::Route;
pub(crate) use self::sandbox::port_of;
pub use self::scalar::{Address, Size};
pub use self::token::Token;
pub use self::trace_url::TraceUrl;
pub use self::upstream::EndpointUrl;

/// What the sidecar does.
#[derive(Clone, Debug)]
pub struct Config {
    listen: ListenAddress,
    tls: Option<Server>,
    admin: ListenAddress,
    admin_tls: Option<Server>,
    token: Option<Token>,
    trace_url: Option<TraceUrl>,
    workers: usize,
    drain: Duration,
    drain_delay: Duration,
    watch: bool,
    limits: Limits,
    access: Option<AccessLogSettings>,
    trusted_proxies: Trusted,
    state: Option<PathBuf>,
    sandbox: SandboxMode,
    export: Option<Configured>,
    receive: Option<Receive>,
    fleet: Option<Fleet>,
    follow: Option<Follow>,
    policies: Policies,
    warnings: Vec<yaml::Error>,
    routes: Vec<Route>,
    origin: ConfigSource,
}

// === impl Config ===

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When the file can't be read, or breaks a rule.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        let file = path.display().to_string();
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut config = Self::parse(&text, Some(&file), folder)?;
        config.origin.file = Some(path.to_owned());
        Ok(config)
    }

    /// Reads the file again that it was loaded from. What was set beside the file stands.
    ///
    /// # Errors
    /// When there is no file, it can't be read, or breaks a rule.
    pub fn load_again(&self) -> Result<Self, ConfigError> {
        let Some(file) = &self.origin.file else {
            return Err(ConfigError::NoFile);
        };
        let mut config = Self::load(file)?;
        if let Some(listen) = &self.origin.listen {
            config = config.with_listen(listen.clone());
        }
        if let Some(admin) = &self.origin.admin {
            config = config.with_admin(admin.clone());
        }
        if let Some(state) = &self.origin.state {
            config = config.with_state(state.clone());
        }
        if let Some(sandbox) = self.origin.sandbox {
            config = config.with_sandbox(sandbox);
        }
        if let Some(token) = &self.origin.token {
            config = config.with_token(token.clone());
        }
        if let Some(file) = &self.origin.token_file {
            config = config.with_token_file(file)?;
        }
        route::share_upstreams(&mut config.routes, &self.routes);
        if config.tls == self.tls {
            // What runs goes on following its files.
            config.tls.clone_from(&self.tls);
        }
        if config.admin_tls == self.admin_tls {
            config.admin_tls.clone_from(&self.admin_tls);
        }
        if config.receive == self.receive {
            config.receive.clone_from(&self.receive);
        }
        if config.follow == self.follow {
            config.follow.clone_from(&self.follow);
        }
        Ok(config)
    }

    /// Reads a text. `file` is shown in errors; paths in the text are relative to `folder`.
    ///
    /// # Errors
    /// When the text breaks a rule.
    pub fn parse(text: &str, file: Option<&str>, folder: &Path) -> Result<Self, ConfigError> {
        let document = document(text, file)?;
        let raw = document.read()?;
        build::config(raw, &document, ConfigSource::of(text), folder).map_err(ConfigError::Invalid)
    }

    /// One route for everything, to one upstream.
    ///
    /// # Errors
    /// When it is to be reached by TLS, and the system has no certificates to trust.
    pub fn of_upstream(upstream: EndpointUrl, policy: Policy) -> Result<Self, ConfigError> {
        let upstream = upstream.into_upstream(DEFAULT_NAME);
        let upstream = upstream.map_err(|error| ConfigError::Unreadable {
            file: "--upstream".to_owned(),
            rule: error.to_string(),
        })?;
        let route = Route {
            name: DEFAULT_NAME.into(),
            policy: Arc::new(policy),
            mode: Mode::Auto,
            matches: Match::default(),
            upstream: Some(Arc::new(upstream)),
            timeout: Some(upstream::DEFAULT_TIMEOUT),
            deadline: DeadlineRules::default(),
            body: BodyLimits::default(),
            max_in_flight: None,
            retry: None,
            fallback: None,
            version: None,
            feeds: Vec::new(),
        };
        Ok(Self {
            listen: LISTEN.into(),
            tls: None,
            admin: ADMIN.into(),
            admin_tls: None,
            token: None,
            trace_url: None,
            workers: processors(),
            drain: DRAIN,
            drain_delay: DRAIN_DELAY,
            watch: false,
            limits: Limits::default(),
            access: None,
            trusted_proxies: Trusted::default(),
            state: None,
            sandbox: SandboxMode::default(),
            export: None,
            receive: None,
            fleet: None,
            follow: None,
            policies: Policies::default(),
            warnings: Vec::new(),
            routes: vec![route],
            origin: ConfigSource::default(),
        })
    }

    /// The route and endpoint, if there is one, by which the proxy would send to itself: its
    /// address may not be the file's.
    pub fn loops(&self) -> Option<(&str, String)> {
        self.routes.iter().find_map(|route| {
            let upstreams = route.upstreams();
            let mut endpoints = upstreams.flat_map(|upstream| &upstream.endpoints);
            let own = endpoints.find(|endpoint| clash::is_own(&self.listen, endpoint))?;
            Some((&*route.name, own.to_string()))
        })
    }

    /// Whether there is anything for the proxy to do: a route has an upstream.
    pub fn proxies(&self) -> bool {
        self.routes.iter().any(|route| route.upstream.is_some())
    }

    /// Where clients connect to, if [`Self::proxies`].
    pub const fn listen(&self) -> &ListenAddress {
        &self.listen
    }

    /// What clients must speak there, if it is TLS.
    pub const fn tls(&self) -> Option<&Server> {
        self.tls.as_ref()
    }

    /// What callers of the admin port must speak, if it is TLS.
    pub const fn admin_tls(&self) -> Option<&Server> {
        self.admin_tls.as_ref()
    }

    /// What changes need that operators make, if they need a token.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// Where health, metrics and breakers are served.
    pub const fn admin(&self) -> &ListenAddress {
        &self.admin
    }

    /// Whether changes need a token, since others than this machine reach the admin port, and there
    /// is none.
    pub fn lacks_token(&self) -> bool {
        !self.admin.is_local() && self.token.is_none()
    }

    /// Where a trace is looked at, if that is known.
    pub fn trace_url(&self) -> Option<&TraceUrl> {
        self.trace_url.as_ref()
    }

    /// Threads, at least one.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// How long requests may take to end after a signal to stop.
    pub fn drain(&self) -> Duration {
        self.drain
    }

    /// How long connections are still taken after SIGTERM, while the sidecar says that it is not
    /// ready.
    pub fn drain_delay(&self) -> Duration {
        self.drain_delay
    }

    /// Whether it is loaded again when its texts have changed.
    pub fn watch(&self) -> bool {
        self.watch && self.origin.file.is_some()
    }

    /// The proxies whose word on where a request came from is taken.
    pub fn trusted_proxies(&self) -> &Trusted {
        &self.trusted_proxies
    }

    /// Which requests have lines of their own, and where; `None` if none has.
    pub fn access(&self) -> Option<&AccessLogSettings> {
        self.access.as_ref()
    }

    /// Bounds on what clients may hold.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The file that keeps what the breakers have learned, if there is one.
    pub fn state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// Where metrics and events go; `None` leaves it to the environment.
    pub fn export(&self) -> Option<&Configured> {
        self.export.as_ref()
    }

    /// Where telemetry is received, if it is.
    pub fn receive(&self) -> Option<&Receive> {
        self.receive.as_ref()
    }

    /// The fleet that it is in, if it is in one.
    pub fn fleet(&self) -> Option<&Fleet> {
        self.fleet.as_ref()
    }

    /// The Breaker that it follows, if it follows one.
    pub fn follow(&self) -> Option<&Follow> {
        self.follow.as_ref()
    }

    /// The policies that can be named.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// What is good and can't act as it is written, in the order of the file.
    pub fn warnings(&self) -> &[yaml::Error] {
        &self.warnings
    }

    /// The routes, at least one, in the order of the file.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

/// The JSON Schema of a configuration file.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RawConfig)
}

/// Reads a file as text.
///
/// # Errors
/// When the file can't be read.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        file: path.display().to_string(),
        rule: unreadable(&explained(path, error)),
    })
}

/// A YAML text with the environment's variables in its values.
///
/// # Errors
/// When the text is no YAML, or names a variable that is not set.
pub fn document<'a>(text: &'a str, file: Option<&'a str>) -> Result<Document<'a>, ConfigError> {
    let document = Document::new(text, file)?;
    document
        .expand(|name| env::var_os(name))
        .map_err(ConfigError::Invalid)
}

const DEFAULT_NAME: &str = "default";

#[cfg(test)]
mod tests;
