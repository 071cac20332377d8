//! The configuration: a YAML file, or a few flags, made into types that cannot be invalid.
//!
//! `raw` is the shape of the file; each section is checked in a module of its own, and everything
//! that is wrong is told at once, with file, line, column, field and rule. Nothing is checked again
//! later.

mod clash;
mod error;
mod fallback;
mod feed;
mod fleet;
mod limits;
mod log;
mod origin;
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

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::core::policy::yaml::{self, Document};
use breaker_tower::{Mode, Policy};
use ipnet::IpNet;

use self::clash::{check_distinct, check_free, check_loops, check_patterns};
use self::origin::ConfigSource;
use self::policies::unreadable;
use self::problem::{Findings, time_within, within};
use self::raw::{RawConfig, RawDrain};
use crate::access;
use crate::collector::Configured;
use crate::message::{BodyLimits, Trusted};
use crate::proxy::{DeadlineRules, Limits, Match};
use crate::sandbox::Mode as SandboxMode;
use crate::sandbox::explained;
use crate::sockets::{ListenAddress, SCHEME};
use crate::tls::{Rotate, Server, Use, date};
use breaker_tower::core::InvalidField;

pub use self::error::ConfigError;
pub use self::fallback::Fallback;
pub use self::feed::Feed;
pub use self::fleet::{EngineUrl, Fleet, FleetKey};
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
    access: Option<access::Settings>,
    trusted_proxies: Trusted,
    state: Option<PathBuf>,
    sandbox: SandboxMode,
    export: Option<Configured>,
    receive: Option<Receive>,
    fleet: Option<Fleet>,
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
        Ok(config)
    }

    /// Reads a text. `file` is shown in errors; paths in the text are relative to `folder`.
    ///
    /// # Errors
    /// When the text breaks a rule.
    pub fn parse(text: &str, file: Option<&str>, folder: &Path) -> Result<Self, ConfigError> {
        let document = document(text, file)?;
        let raw = document.read()?;
        build(raw, &document, ConfigSource::of(text), folder).map_err(ConfigError::Invalid)
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
            policies: Policies::default(),
            warnings: Vec::new(),
            routes: vec![route],
            origin: ConfigSource::default(),
        })
    }

    /// Listens on `address` instead.
    #[must_use]
    pub fn with_listen(mut self, listen: ListenAddress) -> Self {
        self.listen = listen.clone();
        self.origin.listen = Some(listen);
        self
    }

    /// Serves health and metrics on `address` instead.
    #[must_use]
    pub fn with_admin(mut self, admin: ListenAddress) -> Self {
        self.admin = admin.clone();
        self.origin.admin = Some(admin);
        self
    }

    /// Keeps what the breakers have learned in `file`.
    #[must_use]
    pub fn with_state(mut self, file: PathBuf) -> Self {
        self.origin.state = Some(file.clone());
        self.state = Some(file);
        self
    }

    /// Has another sandbox.
    #[must_use]
    pub fn with_sandbox(mut self, mode: SandboxMode) -> Self {
        self.sandbox = mode;
        self.origin.sandbox = Some(mode);
        self
    }

    /// Has changes need this token.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.token = Some(token.clone());
        self.origin.token = Some(token);
        self.origin.secret = None;
        self
    }

    /// Has changes need the token in this file, which may be another one when it is loaded again.
    ///
    /// # Errors
    /// When the file can't be read, or is no token.
    pub fn with_token_file(mut self, file: &Path) -> Result<Self, ConfigError> {
        let token = Token::read(file).map_err(|rule| ConfigError::Unreadable {
            file: file.display().to_string(),
            rule: rule.into(),
        })?;
        self.token = Some(token);
        self.origin.token_file = Some(file.to_owned());
        self.origin.secret = Some(file.to_owned());
        Ok(self)
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
    pub fn access(&self) -> Option<&access::Settings> {
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

    /// The file that it was loaded from, if it was.
    pub fn file(&self) -> Option<&Path> {
        self.origin.file.as_deref()
    }

    /// A hash of the texts that it was made of, the policies' files included; 32 hexadecimal
    /// digits. Empty where it was made of flags.
    pub fn hash(&self) -> &str {
        &self.origin.hash
    }

    /// What [`Self::hash`] would be of the texts as they are now; another one if something can't be
    /// read.
    pub fn hash_now(&self) -> String {
        self.origin.hash_now()
    }

    /// The directories in which something changes when the texts do: those of the files, and of
    /// links on the way to them.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let certificates = self.certificates();
        let files = certificates.iter().flat_map(|(_, it)| it.files());
        self.origin.folders(files)
    }

    /// What follows files of certificates, and what it is for.
    pub(crate) fn certificates(&self) -> Vec<(Use, Box<dyn Rotate>)> {
        let upstreams = self.routes.iter().filter_map(Route::upstream);
        let mut known = BTreeSet::new();
        let upstreams = upstreams.filter(|upstream| known.insert(&*upstream.name));
        let secured = upstreams.filter_map(|upstream| {
            let tls = upstream.tls.as_ref()?;
            Some((Use::Upstream(upstream.name.clone()), tls.rotating()))
        });
        let listener = self.tls.iter().map(|tls| (Use::Listener, tls.rotating()));
        let admin = self
            .admin_tls
            .iter()
            .map(|tls| (Use::Admin, tls.rotating()));
        listener.chain(admin).chain(secured).collect()
    }

    /// What our certificates are for, and until when they are valid, in words.
    pub fn expiries(&self) -> Vec<(String, String)> {
        let certificates = self.certificates().into_iter();
        let dated = certificates.filter_map(|(of, it)| Some((of.to_string(), date(it.until()?))));
        dated.collect()
    }

    /// Tells apart what was read from what was read before: the texts, and the token's file. It is
    /// of a secret, so nobody is shown it.
    pub(crate) fn mark(&self) -> String {
        self.origin.mark(self.token.as_ref())
    }

    /// What [`Self::mark`] would be of the files as they are now.
    pub(crate) fn mark_now(&self) -> String {
        self.origin.mark_now()
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

fn build(
    raw: RawConfig,
    document: &Document<'_>,
    mut origin: ConfigSource,
    folder: &Path,
) -> Result<Config, Vec<yaml::Error>> {
    let mut findings = Findings::new(document);
    let listen = raw.listen.unwrap_or(LISTEN.into());
    let admin = raw.admin.unwrap_or(ADMIN.into());
    if listen.meets(&admin) {
        findings.add("admin", "must not be the address of listen");
    }
    let token = raw.control.and_then(|raw| {
        let file = folder.join(raw.token_file);
        let token = Token::read(&file);
        origin.secret = Some(file);
        findings.check(
            "control",
            token.map_err(|rule| InvalidField::new("token_file", rule)),
        )
    });
    let trace_url = raw.dashboard.and_then(|raw| {
        let url = TraceUrl::new(&raw.trace_url);
        let url = url.map_err(|rule| InvalidField::new("trace_url", rule));
        findings.check("dashboard", url)
    });
    let workers = within("workers", raw.workers, 1..=1024, processors());
    let workers = findings.check("", workers);
    let drain = findings.check("", drain(raw.drain));
    let limits = limits::build(&raw.limits.unwrap_or_default());
    let (limits, body) = findings.check("limits", limits).unwrap_or_default();
    let access = raw.log.map(|raw| log::build(&raw, folder)).transpose();
    let access = findings.check("log", access.map(Option::flatten));
    let by_unix = raw.trusted_proxies.iter().any(|text| text == SCHEME);
    let trusted_proxies = raw.trusted_proxies.iter().enumerate();
    let trusted_proxies = trusted_proxies.filter(|(_, text)| *text != SCHEME);
    let trusted_proxies = trusted_proxies.filter_map(|(index, text)| {
        let network = network(text);
        if network.is_none() {
            let rule = "must be an address or a network, such as 192.0.2.7 or 10.0.0.0/8, or unix:";
            findings.add(&format!("trusted_proxies[{index}]"), rule);
        }
        network
    });
    let trusted_proxies = trusted_proxies.collect::<Trusted>().and_by_unix(by_unix);
    if raw.state.as_deref() == Some("") {
        findings.add("state", "must be the path of a file");
    }
    let state = raw.state.as_ref().map(|file| folder.join(file));
    if let Some(written) = access.iter().flatten().find_map(|log| log.file.as_deref()) {
        if document.file().map(Path::new) == Some(written) {
            findings.add("log.file", "must not be the configuration itself");
        }
        if state.as_deref() == Some(written) {
            findings.add("log.file", "must not be the file of state");
        }
    }
    let told = raw.telemetry.is_some();
    let telemetry = raw.telemetry.and_then(|raw| {
        let telemetry = telemetry::build(raw, folder);
        findings.check("telemetry", telemetry)
    });
    // Feeds without anything that feeds them are told only where it is sure.
    let can_receive = told
        && telemetry
            .as_ref()
            .is_none_or(|(_, receive)| receive.is_some());
    let (export, receive) = telemetry.unwrap_or_default();
    for (field, address) in receive.iter().flat_map(Receive::addresses) {
        check_free(
            field,
            address,
            &[("listen", &listen), ("admin", &admin)],
            &mut findings,
        );
    }
    if let Some(raw) = &raw.upstreams {
        check_loops(&listen, &admin, raw, &mut findings);
    }
    let policies = Policies::load(&raw.policies, folder, &mut origin, &mut findings);

    let identity = raw.identity.map(|raw| tls::identity(&raw, folder));
    let identity = findings.check("identity", identity.transpose()).flatten();
    let secrets = tls::Known {
        folder,
        identity: identity.as_ref(),
    };
    let tls = raw.tls.as_ref().map(|raw| tls::server(raw, secrets));
    let admin_tls = raw.admin_tls.map(|raw| tls::server(&raw.into(), secrets));
    let admin_tls = findings.check("admin_tls", admin_tls.transpose()).flatten();
    let clients_are_known = raw.tls.as_ref().is_some_and(|raw| raw.clients.is_some());
    let tls = findings.check("tls", tls.transpose()).flatten();
    let mut upstreams = BTreeMap::new();
    if let Some(raw) = &raw.upstreams {
        count("upstreams", raw.len(), &mut findings);
    }
    for (name, raw) in raw.upstreams.iter().flatten() {
        let upstream = upstream::build(name, raw, secrets).map(Arc::new);
        let upstream = findings.check(&format!("upstreams.{name}"), upstream);
        upstreams.insert(name.clone(), upstream);
    }

    count("routes", raw.routes.len(), &mut findings);
    check_distinct(&raw.routes, &mut findings);
    let known = route::Known {
        knows_clients: clients_are_known,
        upstreams: &upstreams,
        policies: &policies,
        body: &body,
        paths: limits.path,
    };
    let mut routes = Vec::with_capacity(raw.routes.len());
    for (index, raw) in raw.routes.into_iter().enumerate() {
        if raw.feeds.is_some() && !can_receive {
            let rule = "needs telemetry.receive, where applications send their telemetry to";
            findings.add(&format!("routes[{index}].feeds"), rule);
        }
        let route = route::build(raw, &known);
        let route = findings.check(&format!("routes[{index}]"), route);
        routes.extend(route.flatten().map(|route| (index, route)));
    }
    let fleet = raw.fleet.as_ref();
    let fleet = fleet.map(|raw| fleet::build(raw, folder, &routes));
    let fleet = findings.check("fleet", fleet.transpose()).flatten();
    check_patterns(&routes, &mut findings);
    fallback::check_chains(&routes, &mut findings);
    findings.finish()?;
    let warnings = warnings::of(&warnings::Parts {
        document,
        upstreams: &upstreams,
        policies: &policies,
        routes: &routes,
        receive: receive.as_ref(),
        keeps_state: raw.state.is_some(),
        workers: workers.unwrap_or(1),
    });
    Ok(Config {
        listen,
        tls,
        admin,
        admin_tls,
        token,
        trace_url,
        workers: workers.unwrap_or(1),
        drain: drain.map_or(DRAIN, |(_, timeout)| timeout),
        drain_delay: drain.map_or(DRAIN_DELAY, |(delay, _)| delay),
        watch: raw.watch.unwrap_or(true),
        limits,
        access: access.flatten(),
        trusted_proxies,
        state,
        sandbox: raw.sandbox.and_then(|raw| raw.mode).unwrap_or_default(),
        export,
        receive,
        fleet,
        policies,
        warnings,
        routes: routes.into_iter().map(|(_, route)| route).collect(),
        origin: origin.finished(),
    })
}

/// The delay and the timeout of a drain.
fn drain(raw: Option<RawDrain>) -> Result<(Duration, Duration), InvalidField> {
    let (delay, timeout, field) = match raw {
        None => (None, None, "drain"),
        Some(RawDrain::Timeout(timeout)) => (None, Some(timeout), "drain"),
        Some(RawDrain::Both(raw)) => (raw.delay, raw.timeout, "drain.timeout"),
    };
    Ok((
        time_within("drain.delay", delay, 0..=600_000, DRAIN_DELAY)?,
        time_within(field, timeout, 0..=3_600_000, DRAIN)?,
    ))
}

fn count(section: &str, entries: usize, findings: &mut Findings<'_>) {
    if !(1..=MAX_ENTRIES).contains(&entries) {
        findings.add(section, format!("must have 1 to {MAX_ENTRIES} entries"));
    }
}

/// A network, or a network of one address.
fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse().ok().map(IpAddr::into);
    text.parse().ok().or_else(address)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);
const DRAIN: Duration = Duration::from_secs(10);
/// Endpoints are taken out of Services and load balancers within a second or two; with [`DRAIN`] it
/// is far from the 30 s after which Kubernetes kills.
const DRAIN_DELAY: Duration = Duration::from_secs(3);
/// Of upstreams and routes. Each route is a breaker with its windows, up to 64 KiB where it has
/// traffic.
const MAX_ENTRIES: usize = 10_000;
const DEFAULT_NAME: &str = "default";

#[cfg(test)]
mod tests;
