//! `upstreams`: the services behind the proxy.

use std::str::FromStr;
use std::time::Duration;

use breaker_tower::breaker_core::{InvalidField, InvalidValue};
use http::uri::Authority;

use super::problem::{Problems, time_or_off, time_within, within};
use super::raw::{RawDiscover, RawProtocol, RawRecord, RawUpstream};
use super::scalar::OrOff;
use super::tls;
use crate::sockets::{SCHEME, path_of};
use crate::tls::{Client, ClientSettings, TlsError};
use crate::upstream::{Endpoint, Protocol, Subset, Upstream};

mod balance;
mod health;

/// An endpoint as it is written: `http://127.0.0.1:9001`, `https://pay.shop:8443`,
/// `h2c://127.0.0.1:9001` or `unix:/run/app.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUrl {
    scheme: Scheme,
    endpoint: Endpoint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    H2c,
}

pub(super) fn build(
    name: &str,
    raw: &RawUpstream,
    known: tls::Known<'_>,
) -> Result<Upstream, Problems> {
    let mut problems = Problems::default();
    let urls = problems.keep(instances(raw));
    let scheme = urls.first().map(|url| url.scheme);
    let tls = scheme.and_then(|scheme| problems.keep(secured(raw, scheme, known)));
    if let Some(tls) = &tls
        && tls.settings().name.is_none()
    {
        problems.keep(check_names(&urls));
    }
    let protocol = scheme.and_then(|scheme| problems.check(protocol(raw, scheme)));
    let endpoints = urls.into_iter().map(|url| url.endpoint).collect();
    let default = Upstream::new(name, endpoints);
    let balancing = problems.keep(balance::build(raw));
    let health = raw.health.as_ref();
    let health = health.and_then(|raw| problems.check(health::build(raw).map_err(in_health)));
    let subset = problems.keep(subset(raw.subset));
    let max_connection_age = problems.keep(time_or_off(
        "max_connection_age",
        raw.max_connection_age,
        1_000..=86_400_000,
        default.max_connection_age,
    ));
    let connect_timeout = problems.keep(time_within(
        "connect_timeout",
        raw.connect_timeout,
        1..=60_000,
        default.connect_timeout,
    ));
    let idle_timeout = problems.keep(time_within(
        "idle_timeout",
        raw.idle_timeout,
        1..=3_600_000,
        default.idle_timeout,
    ));
    let idle_connections = problems.keep(within(
        "max_idle",
        raw.max_idle,
        0..=65_536,
        default.idle_connections,
    ));
    let reuse_after = problems.keep(time_within(
        "reuse_after",
        raw.reuse_after,
        0..=3_600_000,
        default.reuse_after,
    ));
    let http2_ping = problems.keep(time_or_off(
        "http2_ping",
        raw.http2_ping,
        10_000..=3_600_000,
        default.http2_ping,
    ));
    problems.finish()?;
    Ok(Upstream {
        protocol: protocol.unwrap_or(default.protocol),
        connect_timeout,
        idle_timeout,
        idle_connections,
        reuse_after,
        http2_ping,
        max_connection_age,
        discovered: raw.discover.is_some(),
        balancing,
        health,
        subset,
        tls,
        ..default
    })
}

/// TLS, if the instances speak it.
fn secured(
    raw: &RawUpstream,
    scheme: Scheme,
    known: tls::Known<'_>,
) -> Result<Option<Client>, Problems> {
    match (scheme, &raw.tls) {
        (Scheme::Https, raw) => {
            let client = tls::client(raw.as_ref(), known);
            client.map(Some).map_err(|problems| problems.within("tls"))
        }
        (_, None) => Ok(None),
        (_, Some(_)) => Err(InvalidField::new("tls", "needs endpoints with https://").into()),
    }
}

/// That a certificate can name each of the instances.
fn check_names(urls: &[EndpointUrl]) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for (index, url) in urls.iter().enumerate() {
        if url.endpoint.server_name().is_none() {
            let rule = "must have a host that a certificate can name, or tls.name must say one";
            problems.add(InvalidField::new(format!("endpoints[{index}]"), rule));
        }
    }
    problems.finish()
}

fn in_health(problem: InvalidField) -> Problems {
    Problems::from(problem).within("health")
}

fn instances(raw: &RawUpstream) -> Result<Vec<EndpointUrl>, Problems> {
    match (&raw.endpoints, &raw.discover) {
        (Some(urls), None) => endpoints(urls),
        (None, Some(discover)) => {
            let discovered = discovered(discover).map_err(Problems::from);
            let discovered = discovered.map_err(|problems| problems.within("discover"));
            discovered.map(|endpoint| {
                vec![EndpointUrl {
                    scheme: match raw.tls {
                        Some(_) => Scheme::Https,
                        None => Scheme::Http,
                    },
                    endpoint,
                }]
            })
        }
        (Some(_), Some(_)) => {
            let rule = "must not be there together with endpoints";
            Err(InvalidField::new("discover", rule).into())
        }
        (None, None) => Err(InvalidField::new("endpoints", "is required, or discover is").into()),
    }
}

fn discovered(raw: &RawDiscover) -> Result<Endpoint, InvalidField> {
    let name = raw.name.clone();
    let is_name = name.parse().is_ok_and(|authority: Authority| {
        authority.host() == name && name.parse::<std::net::IpAddr>().is_err()
    });
    if !is_name || name.starts_with('[') {
        return Err(InvalidField::new(
            "name",
            "must be a name that DNS can look up",
        ));
    }
    match (raw.record.unwrap_or_default(), raw.port) {
        (RawRecord::A, Some(port)) => match u16::try_from(port) {
            Ok(port) if port > 0 => Ok(Endpoint::Name(name, port)),
            _ => Err(InvalidField::new("port", "must be 1 to 65535")),
        },
        (RawRecord::A, None) => Err(InvalidField::new("port", "is required with record a")),
        (RawRecord::Srv, None) => Ok(Endpoint::Service(name)),
        (RawRecord::Srv, Some(_)) => {
            let rule = "must not be there with record srv: the records have the ports";
            Err(InvalidField::new("port", rule))
        }
    }
}

fn subset(raw: Option<OrOff<usize>>) -> Result<Subset, InvalidField> {
    match raw {
        None => Ok(Subset::OfMany),
        Some(OrOff(None)) => Ok(Subset::All),
        Some(OrOff(size)) => within("subset", size, 1..=1024, 1).map(Subset::Of),
    }
}

fn endpoints(texts: &[String]) -> Result<Vec<EndpointUrl>, Problems> {
    if !(1..=64).contains(&texts.len()) {
        return Err(InvalidField::new("endpoints", "must have 1 to 64 entries").into());
    }
    let mut problems = Problems::default();
    let mut urls: Vec<EndpointUrl> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let broken = |rule: InvalidValue| InvalidField::new(format!("endpoints[{index}]"), rule);
        let url = text.parse().map_err(broken).and_then(|url: EndpointUrl| {
            if urls.first().is_some_and(|first| first.scheme != url.scheme) {
                return Err(broken("must have the scheme of the first one".into()));
            }
            if urls.contains(&url) {
                return Err(broken("is given twice".into()));
            }
            Ok(url)
        });
        urls.extend(problems.check(url));
    }
    problems.finish()?;
    Ok(urls)
}

fn protocol(raw: &RawUpstream, scheme: Scheme) -> Result<Protocol, InvalidField> {
    let broken = |rule| Err(InvalidField::new("protocol", rule));
    match (raw.protocol, scheme) {
        (None | Some(RawProtocol::H2c), Scheme::H2c)
        | (Some(RawProtocol::H2c), Scheme::Http)
        | (Some(RawProtocol::H2), Scheme::Https) => Ok(Protocol::H2c),
        (Some(_), Scheme::H2c) => broken("must be h2c, as the endpoints are h2c://"),
        (Some(RawProtocol::H2c), Scheme::Https) => {
            broken("must be h2 for endpoints with https://: h2c is HTTP/2 without TLS")
        }
        (Some(RawProtocol::H2), Scheme::Http) => {
            broken("must be h2c for HTTP/2 without TLS: h2 needs endpoints with https://")
        }
        (None | Some(RawProtocol::Auto), Scheme::Http | Scheme::Https) => Ok(Protocol::Auto),
        (Some(RawProtocol::Http1), Scheme::Http | Scheme::Https) => Ok(Protocol::Http1),
    }
}

// === impl EndpointUrl ===

impl EndpointUrl {
    pub(super) fn into_endpoint(self) -> Endpoint {
        self.endpoint
    }

    /// The upstream that has only this endpoint.
    pub(super) fn into_upstream(self, name: &str) -> Result<Upstream, TlsError> {
        let protocol = match self.scheme {
            Scheme::Http | Scheme::Https => Protocol::Auto,
            Scheme::H2c => Protocol::H2c,
        };
        let tls = match self.scheme {
            Scheme::Https if self.endpoint.server_name().is_none() => {
                return Err(TlsError::Nameless);
            }
            Scheme::Https => {
                let client = Client::new(ClientSettings::default());
                Some(client.map_err(|fault| fault.error)?)
            }
            Scheme::Http | Scheme::H2c => None,
        };
        Ok(Upstream {
            protocol,
            tls,
            ..Upstream::new(name, vec![self.endpoint])
        })
    }
}

impl FromStr for EndpointUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text.starts_with(SCHEME) {
            let path = path_of(text)?;
            return Ok(Self {
                scheme: Scheme::Http,
                endpoint: Endpoint::Unix(path.to_owned()),
            });
        }
        let rule = || {
            let schemes = "http://host:port, https://host:port, h2c://host:port";
            InvalidValue::from(format!("must be {schemes} or unix:/path of a socket"))
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(rule)?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "h2c" => Scheme::H2c,
            "https" => Scheme::Https,
            _ => return Err(rule()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err("must have no path: requests keep their own".into());
        }
        let authority: Authority = authority.parse().map_err(|_| rule())?;
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => Some(match scheme {
                Scheme::Https => 443,
                Scheme::Http | Scheme::H2c => 80,
            }),
            Some(_) => authority.port_u16().filter(|port| *port > 0),
            // Something stands before the host: user and password.
            None => None,
        };
        let port = port.filter(|_| !host.is_empty()).ok_or_else(rule)?;
        let endpoint = match scheme {
            // A certificate names it so, and not by its address.
            Scheme::Https if host.eq_ignore_ascii_case("localhost") => {
                Endpoint::Name(host.to_owned(), port)
            }
            _ => Endpoint::new(host, port),
        };
        Ok(Self { scheme, endpoint })
    }
}

/// How long the upstream has for the head of a response, when a route does not say.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
