//! Which requests a route matches.

use std::collections::BTreeMap;

use breaker_tower::breaker_core::InvalidField;
use http::{HeaderName, HeaderValue, Method};

use crate::config::path;
use crate::config::problem::Problems;
use crate::config::raw::{RawGrpc, RawMatch};
use crate::config::scalar::HeaderWanted;
use crate::proxy::{Match, PathRules};

pub(super) fn matches(raw: &RawMatch, rules: PathRules) -> Result<Match, Problems> {
    let mut problems = Problems::default();
    let matches = match &raw.grpc {
        Some(grpc) if raw.path.is_none() && raw.methods.is_none() => {
            problems.keep(self::grpc(grpc))
        }
        Some(_) => problems.keep(Err(InvalidField::new(
            "match.grpc",
            "must stand without path and methods",
        ))),
        None => Match {
            paths: problems.keep(path::build(raw.path.as_ref(), rules)),
            methods: problems.keep(methods(raw.methods.as_deref())),
            ..Match::default()
        },
    };
    let host = problems.keep(raw.host.as_deref().map(host).transpose());
    let headers = problems.keep(headers(&raw.headers));
    let peer = raw.peer.as_ref().map(|text| {
        let pattern = text.parse();
        pattern.map_err(|rule: &str| InvalidField::new("match.peer", rule))
    });
    let peer = problems.keep(peer.transpose());
    problems.finish()?;
    Ok(Match {
        host,
        headers,
        peer,
        ..matches
    })
}

fn host(host: &str) -> Result<String, InvalidField> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let is_address = |c: char| c.is_ascii_hexdigit() || "[:.]".contains(c);
    let is_plain = name.chars().all(is_name)
        || name.starts_with('[') && name.ends_with(']') && name.chars().all(is_address);
    if is_plain && (1..=253).contains(&name.len()) && !name.starts_with('.') {
        return Ok(host.to_owned());
    }
    let rule = "must be a host without port, or *. and a domain";
    Err(InvalidField::new("match.host", rule))
}

fn methods(raw: Option<&[String]>) -> Result<Vec<Method>, Problems> {
    if raw.is_some_and(<[_]>::is_empty) {
        let rule = "must have an entry; leave it out for any method";
        return Err(InvalidField::new("match.methods", rule).into());
    }
    let method = |(index, name): (usize, &String)| {
        let broken = |rule| InvalidField::new(format!("match.methods[{index}]"), rule);
        let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '-');
        match Method::from_bytes(name.as_bytes()) {
            Ok(Method::CONNECT | Method::TRACE) => Err(broken("is never forwarded")),
            Ok(method) if is_plain => Ok(method),
            _ => Err(broken("must be a method in capitals, such as GET")),
        }
    };
    let mut problems = Problems::default();
    let entries = raw.unwrap_or_default().iter().enumerate();
    let methods = entries.filter_map(|entry| problems.check(method(entry)));
    let methods = methods.collect();
    problems.finish()?;
    Ok(methods)
}

fn headers(
    raw: &BTreeMap<String, HeaderWanted>,
) -> Result<Vec<(HeaderName, Option<HeaderValue>)>, InvalidField> {
    let header = |(name, wanted): (&String, &HeaderWanted)| {
        let broken = |rule| InvalidField::new(format!("match.headers.{name}"), rule);
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| broken("must be the name of a header"))?;
        let value = match wanted {
            HeaderWanted::Any => None,
            HeaderWanted::Value(value) => {
                let value = HeaderValue::from_str(value);
                Some(value.map_err(|_| broken("must be the value of a header"))?)
            }
        };
        Ok((name, value))
    };
    raw.iter().map(header).collect()
}

fn grpc(raw: &RawGrpc) -> Result<Match, InvalidField> {
    let is_plain = |name: &str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
        (1..=255).contains(&name.len()) && name.chars().all(is_letter)
    };
    if !is_plain(&raw.service) {
        let rule = "must be a service with its package, such as bank.v1.Payments";
        return Err(InvalidField::new("match.grpc.service", rule));
    }
    if !raw.method.as_deref().is_none_or(is_plain) {
        return Err(InvalidField::new(
            "match.grpc.method",
            "must be a method's name",
        ));
    }
    Ok(Match::grpc(&raw.service, raw.method.as_deref()))
}
