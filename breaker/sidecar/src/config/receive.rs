//! `telemetry.receive`: where applications send their telemetry to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use breaker_tower::breaker_core::InvalidField;
use http::Uri;

use super::kafka::{self, Kafka};
use super::problem::{Problems, time_or_off};
use super::raw::{RawClients, RawForward, RawReceive};
use super::scalar::Address;
use super::telemetry::{LOOP, is_url};
use super::tls::{self, Known};
use crate::ingest::loops_back;
use crate::tls::Server;

/// Where OTLP is received, and where it is sent on to. It has an address, or topics of Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct Receive {
    grpc: Option<SocketAddr>,
    http: Option<SocketAddr>,
    kafka: Option<Kafka>,
    tls: Option<Server>,
    forward: Option<Forward>,
    cors: Vec<String>,
    max_connection_age: Option<Duration>,
}

/// Where telemetry is sent on to. It has a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    grpc: Option<Uri>,
    http: Option<Uri>,
}

pub(super) fn build(raw: RawReceive, known: Known<'_>) -> Result<Receive, Problems> {
    let mut problems = Problems::default();
    let address = |address: Option<Address>| address.map(|Address(address)| address);
    let (grpc, http) = match (address(raw.grpc), address(raw.http)) {
        (None, None) if raw.kafka.is_none() => (Some(GRPC), Some(HTTP)),
        given => given,
    };
    if grpc.is_none() && http.is_none() {
        let needing = [
            ("tls", raw.tls.is_some()),
            ("forward", raw.forward.is_some()),
            ("cors", !raw.cors.is_empty()),
            ("max_connection_age", raw.max_connection_age.is_some()),
        ];
        for (field, _) in needing.into_iter().filter(|(_, given)| *given) {
            let rule = "needs grpc or http beside it: it is not for what comes from Kafka";
            problems.add(InvalidField::new(field, rule));
        }
    }
    for (field, address) in [("grpc", grpc), ("http", http)] {
        if !raw.allow_remote && address.is_some_and(|address| !address.ip().is_loopback()) {
            let rule = "must be a loopback address: whoever can send telemetry can open breakers; allow_remote: true beside it allows that";
            problems.add(InvalidField::new(field, rule));
        }
    }
    let mut receive = Receive {
        grpc,
        http,
        kafka: None,
        tls: None,
        forward: None,
        cors: raw.cors,
        max_connection_age: problems.keep(time_or_off(
            "max_connection_age",
            raw.max_connection_age,
            1_000..=86_400_000,
            None,
        )),
    };
    for (index, origin) in receive.cors.iter().enumerate() {
        if !is_origin(origin) {
            let rule = "must be an origin as browsers send it, such as https://shop.example.com";
            problems.add(InvalidField::new(format!("cors[{index}]"), rule));
        }
    }
    let tls = raw.tls.map(|mut raw| {
        let clients = raw.clients.take().map(RawClients::from);
        let tls = tls::server(&raw.shown(), clients.as_ref(), known);
        tls.map_err(|broken| broken.within("tls"))
    });
    receive.tls = problems.keep(tls.transpose());
    let kafka = raw.kafka.map(kafka::build).transpose();
    receive.kafka = problems.keep(kafka.map_err(|broken| broken.within("kafka")));
    if let Some(raw) = raw.forward {
        receive.forward = problems.check(forward(raw, &receive));
    }
    problems.finish()?;
    Ok(receive)
}

/// A scheme, a host in lower case, and a port that is not the scheme's own.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else {
        return false;
    };
    let usual = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let whole = uri.authority().is_some_and(|authority| {
        text.split_once("://")
            .is_some_and(|(_, rest)| rest == authority.as_str())
    });
    whole
        && !text.contains('@')
        && uri.port_u16() != Some(usual)
        && !text.contains(|c: char| c.is_ascii_uppercase())
}

fn forward(raw: RawForward, receive: &Receive) -> Result<Forward, Problems> {
    let url = |field: &str, text: Option<String>| {
        let broken = |rule| InvalidField::new(format!("forward{field}"), rule);
        let Some(text) = text else {
            return Ok(None);
        };
        let Some(url) = text.parse().ok().filter(is_url) else {
            return Err(broken(
                "must be a URL with the scheme http or https, such as http://collector:4317",
            ));
        };
        match receive.is_own(&url) {
            true => Err(broken(LOOP)),
            false if url.query().is_some() => Err(broken("must have no query")),
            false => Ok(Some(url)),
        }
    };
    let grpc = |field: &str, text| match url(field, text)? {
        Some(url) if url.path() != "/" => {
            let rule = "must have no path: OTLP/gRPC has its own";
            Err(InvalidField::new(format!("forward{field}"), rule))
        }
        url => Ok(url),
    };
    match raw {
        RawForward::Url(text) => {
            let target = url("", Some(text.clone()))?;
            let is_http = target.as_ref().and_then(Uri::port_u16) == Some(HTTP.port());
            Ok(match is_http {
                true => Forward {
                    grpc: None,
                    http: target,
                },
                false => Forward {
                    grpc: grpc("", Some(text))?,
                    http: None,
                },
            })
        }
        RawForward::Urls(raw) if raw.grpc.is_none() && raw.http.is_none() => {
            Err(InvalidField::new("forward", "must have grpc, http or both").into())
        }
        RawForward::Urls(raw) => {
            let mut problems = Problems::default();
            let forward = Forward {
                grpc: problems.keep(grpc(".grpc", raw.grpc)),
                http: problems.keep(url(".http", raw.http)),
            };
            problems.finish()?;
            Ok(forward)
        }
    }
}

// === impl Receive ===

impl Receive {
    /// Where OTLP/gRPC is received.
    pub fn grpc(&self) -> Option<SocketAddr> {
        self.grpc
    }

    /// Where OTLP/HTTP is received; it may be the same address.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// From which topics of Kafka it is read.
    pub const fn kafka(&self) -> Option<&Kafka> {
        self.kafka.as_ref()
    }

    /// What senders must speak, if it is TLS.
    pub const fn tls(&self) -> Option<&Server> {
        self.tls.as_ref()
    }

    /// Where all of it is sent on to.
    pub fn forward(&self) -> Option<&Forward> {
        self.forward.as_ref()
    }

    /// The origins whose pages may send telemetry from a browser.
    pub fn cors(&self) -> &[String] {
        &self.cors
    }

    /// How long a sender's connection takes batches; `None`: for ever.
    pub const fn max_connection_age(&self) -> Option<Duration> {
        self.max_connection_age
    }

    /// The addresses, with the names of their fields; none where telemetry comes from Kafka alone.
    pub fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> + use<> {
        let both = [("grpc", self.grpc), ("http", self.http)].into_iter();
        both.filter_map(|(field, address)| Some((field, address?)))
    }

    /// Whether what is sent to `url` comes back here. Names other than localhost are not asked for,
    /// and port 0 becomes one that nobody can know now.
    pub fn is_own(&self, url: &Uri) -> bool {
        let addresses = self.addresses().map(|(_, address)| address);
        let known: Vec<_> = addresses.filter(|address| address.port() != 0).collect();
        loops_back(&known, url)
    }
}

// === impl Forward ===

impl Forward {
    /// The target by OTLP/gRPC.
    pub fn grpc(&self) -> Option<&Uri> {
        self.grpc.as_ref()
    }

    /// The target by OTLP/HTTP.
    pub fn http(&self) -> Option<&Uri> {
        self.http.as_ref()
    }
}

const GRPC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4317);
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4318);
