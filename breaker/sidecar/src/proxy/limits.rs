//! The bounds of the listening side: nothing a client does may grow without one.

use std::time::Duration;

use super::path::PathRules;
use crate::message::Trusted;
use crate::upstream::HeadLimits;

/// Bounds on what clients may hold and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections per worker; further ones wait in the listen backlog. Default 16,384.
    pub connections: usize,
    /// Bytes of a request line and header section; more is answered 431. Default 64 KiB.
    pub header_bytes: usize,
    /// The head of a response; more is answered 502, by no fault of the upstream.
    pub response: HeadLimits,
    /// Time to the first byte on a new connection. Default 10 s.
    pub first_byte: Duration,
    /// Time from the first byte of a header section to its last. Default 15 s.
    pub header: Duration,
    /// Time an idle connection is kept between requests. Default 75 s.
    pub keep_alive: Duration,
    /// Time a client may take none of the response that waits for it. Default 60 s.
    pub write: Duration,
    /// Time for which a client that has closed its sending side is answered, from its last byte or
    /// ours. Default 2 s.
    pub half_closed: Duration,
    /// Time after which a tunnel is closed in which neither side says anything. `None` for no
    /// limit. Default 1 h.
    pub tunnel_idle: Option<Duration>,
    /// Silence after which TCP asks a peer whether it is there, of clients and upstreams. `None`
    /// for never. Default 60 s.
    pub tcp_keepalive: Option<Duration>,
    /// Time after which a connection takes no more requests, ± 10 %. `None` for no limit, which is
    /// the default.
    pub age: Option<Duration>,
    /// Time for which a connection is kept at most whose client's certificate has expired, if it is
    /// not idle before. Default 5 min.
    pub expired: Duration,
    /// Idle time after which a connection's buffers are given back. Default 200 ms.
    pub park_after: Duration,
    /// Connections per worker that hold buffers while idle; beyond it they are parked at once.
    /// Default 256.
    pub unparked: usize,
    /// Streams open at once on an HTTP/2 connection. Default 250.
    pub streams: u32,
    /// What the one form of a path is.
    pub path: PathRules,
    /// Whose word on where a request came from is taken. Default nobody's.
    pub trusted_proxies: Trusted,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            header_bytes: 64 * 1024,
            response: HeadLimits::default(),
            first_byte: Duration::from_secs(10),
            header: Duration::from_secs(15),
            keep_alive: Duration::from_secs(75),
            write: Duration::from_secs(60),
            half_closed: Duration::from_secs(2),
            tunnel_idle: Some(Duration::from_secs(60 * 60)),
            tcp_keepalive: Some(Duration::from_secs(60)),
            age: None,
            expired: Duration::from_secs(5 * 60),
            park_after: Duration::from_millis(200),
            unparked: 256,
            streams: 250,
            path: PathRules::default(),
            trusted_proxies: Trusted::default(),
        }
    }
}
