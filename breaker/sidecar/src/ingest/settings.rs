//! What is received where, and where it is sent on to.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use breaker_tower::breaker_core::InvalidField;
use http::Uri;

use super::batch::PREFIX;
use crate::collector::Protocol;
use crate::tls::Server;

/// `telemetry.receive`: what is received where.
#[derive(Clone, Debug, Default)]
pub struct ReceiverSettings {
    /// Where OTLP/gRPC is expected.
    pub grpc: Option<SocketAddr>,
    /// Where OTLP/HTTP is expected. The same address as that of gRPC makes one listener; every
    /// listener answers both.
    pub http: Option<SocketAddr>,
    /// Topics of Kafka that are read beside.
    #[cfg(feature = "kafka")]
    pub kafka: Option<super::KafkaSettings>,
    /// What senders must speak, if it is TLS.
    pub tls: Option<Server>,
    /// Where batches are sent on to; `None`: nowhere.
    pub forward: Option<Forward>,
    /// Origins whose pages may send telemetry from a browser, such as `https://shop.example.com`;
    /// default none.
    pub cors: Vec<String>,
    /// What senders may take.
    pub limits: Limits,
}

/// What senders may take from the process.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one batch, before as after decompression. Default 64 MiB, as the OpenTelemetry
    /// Collector's.
    pub batch: usize,
    /// Bytes held at once for all requests: bodies as they came and as they are decompressed.
    /// Default 256 MiB.
    pub memory: usize,
    /// Requests at once. Default 512.
    pub requests: usize,
    /// Connections at once, over all listeners; further ones wait to be accepted. Default 1,024.
    pub connections: usize,
    /// Between two pieces of a body. Default 10 s.
    pub body_pause: Duration,
    /// For a whole body. Default 60 s.
    pub body: Duration,
    /// A connection without a request is closed after this; also the time for a head in HTTP/1.
    /// Default 2 min: longer than the minute between two exports of metrics.
    pub idle: Duration,
    /// How long a connection takes requests, ± 10 %. Default for ever.
    pub age: Option<Duration>,
    /// For requests under way at the end. Default 1 s.
    pub grace: Duration,
}

/// `telemetry.receive.forward`: where batches are sent on to, byte for byte.
///
/// A batch goes out in the protocol by which it came if there is a target for it, else in the
/// other. JSON goes out over HTTP only.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The OTLP/gRPC target: a URL without a path.
    pub grpc: Option<Uri>,
    /// The OTLP/HTTP target: the URL to which `/v1/traces` and the like are added.
    pub http: Option<Uri>,
    /// Certificates, for targets with the scheme `https`.
    pub tls: Tls,
    /// Bytes that may wait for each signal, the batch being sent included. Default 16 MiB.
    pub queue_bytes: usize,
    /// Batches that may wait for each signal. Default 1,024.
    pub queue_batches: usize,
    /// For one attempt. Default 10 s.
    pub timeout: Duration,
    /// When an attempt is repeated.
    pub retry: Retry,
    /// For what still waits at the end. Default 5 s.
    pub flush: Duration,
}

/// Certificates; all empty: the system's are trusted, and none is shown.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// A PEM file with the certificates to trust instead of the system's.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the certificate to show. Needs the key.
    pub client_certificate: Option<PathBuf>,
    /// A PEM file with its key.
    pub client_key: Option<PathBuf>,
}

/// When an attempt is repeated: after pauses that grow by half, each up to half longer or shorter
/// by chance.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The first pause. Default 1 s.
    pub first: Duration,
    /// The longest pause of our own choosing; the target may ask for a longer one. Default 30 s.
    pub max: Duration,
    /// A batch is given up after this. Also the longest pause a target may ask for. Default 5 min.
    pub give_up: Duration,
}

// === impl ReceiverSettings ===

impl ReceiverSettings {
    /// Checks that the settings make sense together.
    ///
    /// # Errors
    ///
    /// Tells the first field that breaks a rule.
    pub fn check(&self) -> Result<(), InvalidField> {
        #[cfg(feature = "kafka")]
        let reads_topics = self.kafka.is_some();
        #[cfg(not(feature = "kafka"))]
        let reads_topics = false;
        if self.grpc.is_none() && self.http.is_none() && !reads_topics {
            return problem("grpc", "must be set, or http");
        }
        let limits = &self.limits;
        if limits.batch == 0 || limits.memory == 0 || limits.requests == 0 {
            return problem("limits", "must be above zero");
        }
        // A longer message does not fit into gRPC's prefix.
        if limits.batch > u32::MAX as usize - PREFIX {
            return problem("limits.batch", "must be below 4 GiB");
        }
        // Else a batch that is allowed could be refused for overload, and come again for ever.
        if limits.memory / 2 < limits.batch + PREFIX {
            return problem(
                "limits.memory",
                "must be more than twice limits.batch: a batch is held as it came and decompressed",
            );
        }
        if limits.connections == 0 {
            return problem("limits.connections", "must be above zero");
        }
        if ![limits.body_pause, limits.body, limits.idle]
            .into_iter()
            .all(is_sensible)
        {
            return problem("limits", TIME_RULE);
        }
        if limits.grace > MAX_TIME {
            return problem("limits.grace", "must be within a day");
        }
        let Some(forward) = &self.forward else {
            return Ok(());
        };
        forward.check()?;
        let addresses: Vec<_> = self.grpc.into_iter().chain(self.http).collect();
        for (field, target) in forward.targets() {
            if loops_back(&addresses, target) {
                return problem(field, "must not be where this process receives");
            }
        }
        Ok(())
    }
}

/// Whether what is sent to `endpoint` comes in at one of `addresses`, as far as can be told without
/// asking a name server: an IP address of this machine or `localhost`, and the port.
///
/// For the export and the forward target, so that they are refused when the configuration is read.
/// What hides behind a name is caught when it comes in, by the field that
/// [`Receiver::marker`](super::Receiver::marker) tells.
pub fn loops_back(addresses: &[SocketAddr], endpoint: &Uri) -> bool {
    let port = endpoint.port_u16().unwrap_or(match endpoint.scheme_str() {
        Some("https") => 443,
        _ => 80,
    });
    let host = endpoint.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_name = host.eq_ignore_ascii_case("localhost");
    let ip = host.parse::<IpAddr>().map(|ip| ip.to_canonical());
    addresses.iter().any(|address| {
        let own = address.ip().to_canonical();
        address.port() == port
            && match ip {
                Ok(ip) if own.is_unspecified() || ip.is_unspecified() => is_of_this_machine(ip),
                Ok(ip) => ip == own,
                Err(_) => is_name && (own.is_loopback() || own.is_unspecified()),
            }
    })
}

fn is_of_this_machine(ip: IpAddr) -> bool {
    // Only an address of one's own can be bound; nothing is sent.
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

// === impl Forward ===

impl Forward {
    /// To one URL: by `protocol` if one is said, else by gRPC, except at port 4318, the port of
    /// OTLP/HTTP.
    pub fn to(url: Uri, protocol: Option<Protocol>) -> Self {
        let protocol = protocol.unwrap_or(match url.port_u16() {
            Some(HTTP_PORT) => Protocol::HttpProtobuf,
            _ => Protocol::Grpc,
        });
        match protocol {
            Protocol::Grpc => Self::to_both(Some(url), None),
            Protocol::HttpProtobuf => Self::to_both(None, Some(url)),
        }
    }

    /// To a URL for each protocol.
    pub fn to_both(grpc: Option<Uri>, http: Option<Uri>) -> Self {
        Self {
            grpc,
            http,
            tls: Tls::default(),
            queue_bytes: 16 << 20,
            queue_batches: 1024,
            timeout: Duration::from_secs(10),
            retry: Retry::default(),
            flush: Duration::from_secs(5),
        }
    }

    /// Each target with the name of its field.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&'static str, &Uri)> {
        let grpc = self.grpc.iter().map(|url| ("forward.grpc", url));
        grpc.chain(self.http.iter().map(|url| ("forward.http", url)))
    }

    fn check(&self) -> Result<(), InvalidField> {
        if self.targets().next().is_none() {
            return problem("forward", "must have a URL");
        }
        for (field, url) in self.targets() {
            let is_url = matches!(url.scheme_str(), Some("http" | "https"))
                && url.host().is_some_and(|host| !host.is_empty())
                && url.query().is_none();
            if !is_url {
                return problem(
                    field,
                    "must be a URL with the scheme http or https, such as http://collector:4317",
                );
            }
            let names_a_user = url
                .authority()
                .is_some_and(|authority| authority.as_str().contains('@'));
            if names_a_user {
                return problem(field, "must not name a user");
            }
        }
        if self.grpc.as_ref().is_some_and(|url| url.path() != "/") {
            return problem("forward.grpc", "must be a URL without a path");
        }
        if self.queue_bytes == 0 || self.queue_batches == 0 {
            return problem("forward.queue", "must be above zero");
        }
        let Retry {
            first,
            max,
            give_up,
        } = self.retry;
        if ![self.timeout, first, max, give_up]
            .into_iter()
            .all(is_sensible)
        {
            return problem("forward", TIME_RULE);
        }
        if self.flush > MAX_TIME {
            return problem("forward.flush", "must be within a day");
        }
        if self.tls.client_certificate.is_some() != self.tls.client_key.is_some() {
            return problem(
                "forward.client_certificate",
                "and client_key must be set together",
            );
        }
        Ok(())
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: 64 << 20,
            memory: 256 << 20,
            requests: 512,
            connections: 1024,
            body_pause: Duration::from_secs(10),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(120),
            age: None,
            grace: Duration::from_secs(1),
        }
    }
}

// === impl Retry ===

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            max: Duration::from_secs(30),
            give_up: Duration::from_secs(300),
        }
    }
}

fn problem(field: &'static str, rule: &'static str) -> Result<(), InvalidField> {
    Err(InvalidField::new(field, rule))
}

fn is_sensible(time: Duration) -> bool {
    !time.is_zero() && time <= MAX_TIME
}

const TIME_RULE: &str = "must have times above zero and within a day";
/// Far beyond this, sums of times overflow.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The port of OTLP/HTTP.
const HTTP_PORT: u16 = 4318;

#[cfg(test)]
mod tests;
