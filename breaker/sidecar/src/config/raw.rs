//! The shape of a configuration file. What its values mean is checked where they are used:
//! [`super::upstream`], [`super::route`] and so on.

mod drain;
mod fallback;
mod feed;
mod fleet;
mod follow;
mod kafka;
mod log;
mod receive;
mod retry;
mod roots;
mod route;
mod telemetry;
mod tls;
mod upstream;

use std::collections::BTreeMap;

use breaker_tower::breaker_core::policy::yaml::Period;
use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{OrOff, Size};
use crate::sandbox::Mode;
use crate::sockets::ListenAddress;

pub(super) use self::drain::RawDrain;
pub(super) use self::fallback::RawFallback;
pub(super) use self::feed::{OneOrMany, RawFeed, RawPattern, RawSpanKind, RawTest};
pub(super) use self::fleet::{RawFleet, RawFleetRoutes};
pub(super) use self::follow::RawFollow;
pub(super) use self::kafka::{RawInitialOffset, RawKafka};
pub(super) use self::log::{RawAccess, RawLog, RawLogFormat};
pub(super) use self::receive::{RawForward, RawReceive};
pub(super) use self::retry::RawRetry;
pub(super) use self::roots::RawRoots;
pub(super) use self::route::{RawDeadline, RawGrpc, RawMatch, RawMode, RawPolicyChoice, RawRoute};
pub(super) use self::telemetry::{RawCompression, RawExport, RawExportProtocol, RawTelemetry};
pub(super) use self::tls::{
    ListenerFields, RawAdminTls, RawClients, RawForwarding, RawIdentity, RawReceiveTls, RawTls,
    RawTlsVersion, RawUpstreamTls,
};
pub(super) use self::upstream::{
    EjectChoice, RawBalance, RawDiscover, RawEject, RawHealth, RawProtocol, RawRecord, RawUpstream,
};

/// The configuration of the sidecar.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(title = "Breaker configuration", rename = "Configuration")]
pub(crate) struct RawConfig {
    /// The address that clients connect to.
    #[schemars(extend("default" = "127.0.0.1:8080", "examples" = ["0.0.0.0:8080"]))]
    pub(super) listen: Option<ListenAddress>,
    /// The admin port: health, metrics and breakers. A non-loopback address needs a control token.
    #[schemars(extend("default" = "127.0.0.1:9900", "examples" = ["127.0.0.1:9901"]))]
    pub(super) admin: Option<ListenAddress>,
    /// TLS with the clients that connect to listen. Without this section, there is no TLS.
    pub(super) tls: Option<RawTls>,
    /// TLS on the admin port. Without this section, there is no TLS.
    pub(super) admin_tls: Option<RawAdminTls>,
    /// The certificate of this sidecar, and the certificates that it trusts.
    pub(super) identity: Option<RawIdentity>,
    /// The control API on the admin port.
    pub(super) control: Option<RawControl>,
    /// The dashboard on the admin port.
    pub(super) dashboard: Option<RawDashboard>,
    /// Worker threads, each with its own connections.
    #[schemars(range(min = 1, max = 1024))]
    #[schemars(extend("x-default" = "one for each processor", "examples" = [4]))]
    pub(super) workers: Option<usize>,
    /// Graceful shutdown: the maximum time that requests in flight may take to end, or a mapping
    /// with `delay` and `timeout`.
    #[schemars(extend("default" = "10s", "x-range" = "0s to 1h", "examples" = ["30s"]))]
    pub(super) drain: Option<RawDrain>,
    /// Whether to reload when this file or a policy file changes. SIGHUP always reloads.
    #[schemars(extend("default" = true, "examples" = [false]))]
    pub(super) watch: Option<bool>,
    /// Limits on what clients and upstreams may send, and on how long they may take.
    pub(super) limits: Option<RawLimits>,
    /// The access log.
    pub(super) log: Option<RawLog>,
    /// Addresses and networks of the proxies in front of this one, such as 10.0.0.0/8 or 192.0.2.7.
    /// The entry unix: stands for all clients of a Unix socket. In requests from these proxies,
    /// this proxy keeps X-Forwarded-For, -Proto, -Host and Forwarded, and appends the peer's
    /// address to X-Forwarded-For and Forwarded. In requests from other clients, it replaces or
    /// removes these fields.
    #[serde(default)]
    #[schemars(extend("examples" = [["10.0.0.0/8", "192.0.2.7"]]))]
    pub(super) trusted_proxies: Vec<String>,
    /// Files and directories with policies, relative to this file. A policy with the name of a
    /// built-in policy replaces it.
    #[serde(default)]
    #[schemars(extend("examples" = [["./policies"]]))]
    pub(super) policies: Vec<String>,
    /// A file, relative to this one, that keeps the learned baselines of the breakers.
    #[schemars(extend("x-default" = "none: a restart loses the baselines"))]
    #[schemars(extend("examples" = ["learned.json"]))]
    pub(super) state: Option<String>,
    /// The sandbox: rights that this process gives up at its start, so that a bug in it can do less
    /// harm.
    pub(super) sandbox: Option<RawSandbox>,
    /// Exported and received telemetry.
    pub(super) telemetry: Option<RawTelemetry>,
    /// A group of sidecars whose breakers share their evidence.
    pub(super) fleet: Option<RawFleet>,
    /// Another Breaker, called the brain. If a breaker opens there, the breaker with the same name
    /// opens here, too.
    pub(super) follow: Option<RawFollow>,
    /// The services behind the proxy, by name; optional if no route has an upstream.
    pub(super) upstreams: Option<BTreeMap<String, RawUpstream>>,
    /// The routes, each with its own breaker. If several routes match, the one with the most
    /// specific path wins.
    pub(super) routes: Vec<RawRoute>,
}

/// Limits on what clients and upstreams may send, and on how long they may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Limits")]
pub(super) struct RawLimits {
    /// Maximum number of connections of each worker; further connections wait.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 16384, "examples" = [4096]))]
    pub(super) max_connections: Option<usize>,
    /// Maximum number of open streams on an HTTP/2 connection.
    #[schemars(range(min = 1, max = 10000), extend("default" = 250, "examples" = [100]))]
    pub(super) max_streams: Option<u32>,
    /// Maximum size of a request line and its headers together; a larger request head gets 431.
    #[schemars(extend("default" = "64KiB", "x-range" = "8KiB to 1MiB", "examples" = ["16KiB"]))]
    pub(super) max_header_bytes: Option<Size>,
    /// Maximum number of header fields of a response. If there are more, the client gets 502, which
    /// does not count against the upstream.
    #[schemars(range(min = 16, max = 4096), extend("default" = 256, "examples" = [512]))]
    pub(super) max_response_fields: Option<usize>,
    /// Maximum size of a response's status line and headers together. If they are larger, the
    /// client gets 502, which does not count against the upstream.
    #[schemars(extend("default" = "64KiB", "x-range" = "8KiB to 1MiB", "examples" = ["128KiB"]))]
    pub(super) max_response_header_bytes: Option<Size>,
    /// Maximum size of a request body; a larger one gets 413.
    #[schemars(extend("default" = "off", "x-range" = "any", "examples" = ["10MiB"]))]
    pub(super) max_body_bytes: Option<OrOff<Size>>,
    /// Maximum time from the first byte of a header section to its last byte. Also the maximum time
    /// from the start of a connection to its first byte.
    #[schemars(extend("x-default" = "15s, and 10s for the first byte of a connection"))]
    #[schemars(extend("x-range" = "10ms to 10m"))]
    #[schemars(extend("examples" = ["5s"]))]
    pub(super) header_timeout: Option<Period>,
    /// Maximum time between two pieces of a body. It does not apply to gRPC and text/event-stream.
    #[schemars(extend("x-default" = "60s for requests, off for responses"))]
    #[schemars(extend("x-range" = "10ms to 1h"))]
    #[schemars(extend("examples" = ["30s"]))]
    pub(super) body_idle_timeout: Option<OrOff<Period>>,
    /// Maximum time for a whole request body.
    #[schemars(extend("default" = "off", "x-range" = "10ms to 24h", "examples" = ["5m"]))]
    pub(super) body_timeout: Option<OrOff<Period>>,
    /// Maximum time for which a connection is kept between two requests.
    #[schemars(extend("default" = "75s", "x-range" = "10ms to 1h", "examples" = ["30s"]))]
    pub(super) idle_timeout: Option<Period>,
    /// Maximum time for which a client may leave the data of a response unread.
    #[schemars(extend("default" = "60s", "x-range" = "10ms to 1h", "examples" = ["20s"]))]
    pub(super) write_timeout: Option<Period>,
    /// The time in which a client that has closed its sending side still gets its answer. It counts
    /// from the last byte in either direction.
    #[schemars(extend("default" = "2s", "x-range" = "0s to 1h", "examples" = ["10s"]))]
    pub(super) half_closed_timeout: Option<Period>,
    /// Time after which a tunnel (a WebSocket) is closed if neither side sends anything.
    #[schemars(extend("default" = "1h", "x-range" = "10ms to 24h", "examples" = ["10m"]))]
    pub(super) tunnel_idle_timeout: Option<OrOff<Period>>,
    /// Time after which a client's connection takes no more requests, ± 10 %. The next answer has
    /// Connection: close; over HTTP/2, the proxy sends GOAWAY. Tunnels continue.
    #[schemars(extend("default" = "off", "x-range" = "1s to 24h", "examples" = ["1h"]))]
    pub(super) max_connection_age: Option<OrOff<Period>>,
    /// Time without data after which TCP sends keepalive probes to a client or an upstream.
    #[schemars(extend("default" = "60s", "x-range" = "1s to 2h", "examples" = ["30s"]))]
    pub(super) tcp_keepalive: Option<OrOff<Period>>,
    /// Whether a path may contain %2F and %5C. If not, such a request gets 400.
    #[schemars(extend("default" = false, "examples" = [true]))]
    pub(super) encoded_slash: Option<bool>,
    /// Whether several slashes in a row in a path are merged into one before routing.
    #[schemars(extend("default" = true, "examples" = [false]))]
    pub(super) merge_slashes: Option<bool>,
}

/// The sandbox: rights that this process gives up at its start, so that a bug in it can do less
/// harm.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Sandbox")]
pub(super) struct RawSandbox {
    /// The behaviour if the operating system lacks a layer of the sandbox.
    #[schemars(extend("default" = "best_effort", "examples" = ["required"]))]
    pub(super) mode: Option<Mode>,
}

/// The control API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Control")]
pub(super) struct RawControl {
    /// A file, relative to this one, with the token that a caller needs to make changes. Without a
    /// token, only programs on this machine may make changes.
    #[schemars(extend("examples" = ["token"]))]
    pub(super) token_file: String,
}

/// The dashboard on the admin port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Dashboard")]
pub(super) struct RawDashboard {
    /// The URL of the page that shows a trace: http or https, with {trace_id} in it. The dashboard
    /// shows trace ids as links, and `breaker explain` prints their URLs.
    #[schemars(extend("x-default" = "none: trace ids are text"))]
    #[schemars(extend("examples" = ["https://jaeger.example/trace/{trace_id}"]))]
    pub(super) trace_url: String,
}
