//! Where requests go: upstreams, their endpoints and the connections to them.
//!
//! Each worker has a `pool` of its own for each upstream, so that no connection is shared between
//! threads.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::EndpointSettings;
use http::uri::PathAndQuery;
use rustls::pki_types::ServerName;

use self::instances::InstanceSet;
use crate::tls;

pub(crate) mod attempt;
pub(crate) mod connect;
pub(crate) mod connections;
pub(crate) mod directory;
pub(crate) mod exchange;
mod happened;
pub(crate) mod instances;
pub(crate) mod keeper;
pub(crate) mod line;
pub(crate) mod multiplex;
mod peer;
pub(crate) mod pool;
pub(crate) mod resolve;
mod shared;

pub use happened::{Discovered, Happened, Occurrence};
pub use instances::Instances;
pub use resolve::Names;

/// A service that requests are forwarded to.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// The name in the configuration.
    pub name: String,
    /// Its instances, at least one.
    pub endpoints: Vec<Endpoint>,
    /// Whether each address of the only endpoint is an endpoint of its own.
    pub discovered: bool,
    /// How one of its instances is chosen, and when one gets no requests.
    pub balancing: EndpointSettings,
    /// Checks of its instances, if there are any.
    pub health: Option<HealthCheck>,
    /// How many of its instances are used.
    pub subset: Subset,
    /// The protocol spoken to it.
    pub protocol: Protocol,
    /// Time for the name to be resolved and a connection to be established. Default 1 s.
    pub connect_timeout: Duration,
    /// Time after which an unused connection is closed; below the upstream's own, or requests race
    /// with its close. Default 4 s, as Node and uvicorn close after 5 s.
    pub idle_timeout: Duration,
    /// Unused HTTP/1.1 connections kept for each endpoint and worker. Default 256.
    pub idle_connections: usize,
    /// For how long an unused HTTP/1.1 connection is trusted with a request that can't be sent
    /// twice. Default 4 s.
    pub reuse_after: Duration,
    /// How often an HTTP/2 upstream is asked whether it is alive while it owes an answer; one that
    /// does not say so within 10 s is disconnected. `None` for never, which is the default: gRPC
    /// servers end a connection that is pinged oftener than each 5 minutes.
    pub http2_ping: Option<Duration>,
    /// Time after which a connection takes no further requests, ± 20 %. Default 10 min.
    pub max_connection_age: Option<Duration>,
    /// TLS to its instances, if they speak it.
    pub tls: Option<tls::Client>,
    /// Its instances as they are now.
    pub instances: Instances,
}

/// Which instances are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Subset {
    /// 16 if there are more than 32, else all.
    #[default]
    OfMany,
    /// So many, if there are more.
    Of(usize),
    /// All.
    All,
}

/// How the health of an instance is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub check: Check,
    /// The time between checks, ± 20 %. Default 5 s.
    pub interval: Duration,
    /// A check without an answer after this time has failed. Default 1 s.
    pub timeout: Duration,
    /// Failed checks in a row after which it gets no requests. Default 3.
    pub unhealthy: u32,
    /// Good checks in a row after which it gets some again. Default 2.
    pub healthy: u32,
}

/// What is asked of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A GET of this path, which 2xx answers.
    Http(PathAndQuery),
    /// The gRPC health protocol, for this service; empty for the server.
    Grpc(String),
}

impl HealthCheck {
    /// Makes one with the default settings.
    pub const fn new(check: Check) -> Self {
        Self {
            check,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            unhealthy: 3,
            healthy: 2,
        }
    }
}

/// Bounds of a response's head; what is over them is answered 502, by no fault of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Header fields. Default 256.
    pub fields: usize,
    /// Bytes of the status line and the header section. Default 64 KiB.
    pub bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            fields: 256,
            bytes: 64 * 1024,
        }
    }
}

impl Upstream {
    /// Makes an upstream with the default settings.
    pub fn new(name: impl Into<String>, endpoints: Vec<Endpoint>) -> Self {
        Self {
            name: name.into(),
            endpoints,
            protocol: Protocol::Auto,
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(4),
            idle_connections: 256,
            reuse_after: Duration::from_secs(4),
            http2_ping: None,
            discovered: false,
            balancing: EndpointSettings::default(),
            health: None,
            subset: Subset::OfMany,
            max_connection_age: Some(Duration::from_secs(600)),
            tls: None,
            instances: Instances::default(),
        }
    }
}

impl Upstream {
    /// Whether it can never have another endpoint than the one that is configured, so that there is
    /// nothing to choose or to leave out.
    pub fn is_single(&self) -> bool {
        self.endpoints.len() < 2 && !self.discovered
    }

    /// Its endpoints as they are now.
    pub(crate) fn instances(&self) -> &Arc<InstanceSet> {
        self.instances.of(self)
    }

    /// Goes on with the endpoints that the upstream `before` a reload had, if it is of this name.
    pub(crate) fn inherit(&self, before: &Self) {
        self.instances.inherit(self, before.instances());
    }
}

/// The address of one instance of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address and port.
    Address(SocketAddr),
    /// A name and port, resolved at each connection attempt, from memory while the last answer is
    /// valid.
    Name(String, u16),
    /// A name whose SRV records say the instances.
    Service(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Makes an endpoint of a host, which may be an address, `localhost` or a name, and a port.
    pub fn new(host: &str, port: u16) -> Self {
        if host.eq_ignore_ascii_case("localhost") {
            return Self::Address(SocketAddr::from(([127, 0, 0, 1], port)));
        }
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        match bare.parse() {
            Ok(ip) => Self::Address(SocketAddr::new(ip, port)),
            Err(_) => Self::Name(host.to_owned(), port),
        }
    }

    /// Returns the address or the name: `server.address` in telemetry.
    pub fn host(&self) -> String {
        match self {
            Self::Address(address) => address.ip().to_string(),
            Self::Name(host, _) | Self::Service(host) => host.clone(),
            Self::Unix(path) => path.display().to_string(),
        }
    }

    /// Returns `host:port`, as `Host` names it; `localhost` for a Unix socket, as curl does.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Name(host, port) => format!("{host}:{port}"),
            Self::Service(name) => name.clone(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }

    /// What a certificate must name; nothing names a Unix socket.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        match self {
            Self::Address(address) => Some(ServerName::IpAddress(address.ip().into())),
            Self::Name(host, _) | Self::Service(host) => {
                let host = host.strip_suffix('.').unwrap_or(host);
                ServerName::try_from(host.to_owned()).ok()
            }
            Self::Unix(_) => None,
        }
    }

    /// Returns the port, if it has one: `server.port` in telemetry.
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Address(address) => Some(address.port()),
            Self::Name(_, port) => Some(*port),
            Self::Service(_) | Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Service(name) => f.write_str(name),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The protocol spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// By TLS what the upstream chooses; else HTTP/2 for gRPC requests that came by HTTP/2, and
    /// HTTP/1.1 for others.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge; in TLS it is `h2`.
    H2c,
}
