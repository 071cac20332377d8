//! What a request must satisfy before anything else looks at it.
//!
//! hyper has parsed it; these are the rules that it leaves to the application, and that keep two
//! servers in a row from reading one request differently.

use http::header::{CONTENT_LENGTH, EXPECT, HOST, MAX_FORWARDS, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

use super::limits::Limits;
use super::path;
use super::via;
use crate::message::framing;
use crate::message::headers::{self, Fields};
use crate::message::limited::Limit;

/// A request that is answered at once: the status, and what is wrong.
pub(crate) type Refused = (StatusCode, &'static str);

/// Checks a request and brings target and host into the one form that is routed and forwarded.
pub(crate) fn check(parts: &mut Parts, limits: &Limits) -> Result<Fields, Refused> {
    let mut fields = Fields::of(&parts.headers);
    if parts.version == Version::HTTP_2 && header_bytes(parts) > limits.header_bytes {
        Limit::MaxHeaderBytes.acts();
        let detail = "header section too large";
        return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail));
    }
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "method not allowed"));
    }
    if fields.has(Fields::VIA) && via::has_been_here(&parts.headers) {
        let detail = "the request has come back: an upstream leads here";
        return Err((StatusCode::LOOP_DETECTED, detail));
    }
    check_host(parts, fields)?;
    if fields.has(Fields::TRANSFER_ENCODING) {
        check_transfer_encoding(&parts.headers)?;
    }
    if fields.has(Fields::EXPECT) {
        check_expect(&parts.headers)?;
    }
    if fields.has(Fields::CONTENT_LENGTH) {
        check_length(&mut parts.headers, fields)?;
    }
    if fields.has(Fields::UPGRADE) && wants_switch(parts) {
        fields.add(Fields::SWITCH);
    }
    normalise_path(&parts.method, &mut parts.uri, limits)?;
    Ok(fields)
}

/// The size of a header section over HTTP/2 (RFC 9113, 6.5.2). That of HTTP/1 is bounded where it
/// is read.
fn header_bytes(parts: &Parts) -> usize {
    let target = parts
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let fields = parts.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
    target + fields.sum::<usize>()
}

/// Counts this hop in the `Max-Forwards` of an OPTIONS request; tells whether that goes no farther
/// (RFC 9110, 7.6.2).
pub(crate) fn ends_here(parts: &mut Parts) -> bool {
    if parts.method != Method::OPTIONS {
        return false;
    }
    let Some(said) = parts.headers.get(MAX_FORWARDS) else {
        return false;
    };
    let digits = said.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    // One that no number holds is above what we support.
    let said = said.to_str().ok().and_then(|said| said.parse().ok());
    let left = said.map_or(Some(MOST_FORWARDS), |said: u64| said.checked_sub(1));
    if let Some(left) = left {
        let left = HeaderValue::from(left.min(MOST_FORWARDS));
        parts.headers.insert(MAX_FORWARDS, left);
    }
    left.is_none()
}

/// The authority of the target wins over Host (RFC 9112, 3.2.2; RFC 9113, 8.3.1); there must be
/// exactly one host.
fn check_host(parts: &mut Parts, fields: Fields) -> Result<(), Refused> {
    if fields.has(Fields::HOSTS) {
        return Err((StatusCode::BAD_REQUEST, "more than one Host"));
    }
    if fields.has(Fields::HOST) && !parts.headers.get(HOST).is_some_and(is_host) {
        return Err((StatusCode::BAD_REQUEST, "malformed Host"));
    }
    match parts.uri.authority() {
        Some(authority) => {
            let host = HeaderValue::from_str(authority.as_str())
                .ok()
                .filter(is_host);
            let host = host.ok_or((StatusCode::BAD_REQUEST, "malformed authority"))?;
            if parts.version == Version::HTTP_11 && !fields.has(Fields::HOST) {
                return Err((StatusCode::BAD_REQUEST, "no Host"));
            }
            parts.headers.insert(HOST, host);
            Ok(())
        }
        None if fields.has(Fields::HOST) || parts.version == Version::HTTP_10 => Ok(()),
        None => Err((StatusCode::BAD_REQUEST, "no Host")),
    }
}

/// Whether a value is `host [":" port]`, without the user that an authority may have.
fn is_host(value: &HeaderValue) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(byte);
    !value.is_empty() && value.as_bytes().iter().all(allowed)
}

/// Exactly one `chunked`: whatever else, another server may not see the end where we see it.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Refused> {
    let mut lines = headers.get_all(TRANSFER_ENCODING).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err((StatusCode::BAD_REQUEST, "more than one Transfer-Encoding"));
    };
    if line.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let codings: Vec<_> = headers::list(line).collect();
    let is_chunked = |coding: &&str| coding.eq_ignore_ascii_case("chunked");
    let chunked = codings.iter().filter(|coding| is_chunked(coding)).count();
    let is_well_formed =
        codings.iter().all(|coding| !coding.is_empty()) && codings.last().is_some_and(is_chunked);
    if chunked == 1 && is_well_formed && codings.len() > 1 {
        return Err((
            StatusCode::NOT_IMPLEMENTED,
            "transfer coding not implemented",
        ));
    }
    Err((StatusCode::BAD_REQUEST, "malformed Transfer-Encoding"))
}

fn check_expect(headers: &HeaderMap) -> Result<(), Refused> {
    let is_known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(EXPECT).iter().all(is_known) {
        Ok(())
    } else {
        Err((StatusCode::EXPECTATION_FAILED, "unknown expectation"))
    }
}

fn check_length(headers: &mut HeaderMap, fields: Fields) -> Result<(), Refused> {
    if fields.has(Fields::TRANSFER_ENCODING) {
        // hyper reads such a body by its chunks and closes afterwards; the upstream must not see
        // the length.
        headers.remove(CONTENT_LENGTH);
        Ok(())
    } else if framing::canonical_length(headers) {
        Ok(())
    } else {
        Err((StatusCode::BAD_REQUEST, "more than one Content-Length"))
    }
}

/// Whether the client wants another protocol that we can be a tunnel for; not HTTP/2, which we
/// would not see into.
fn wants_switch(parts: &Parts) -> bool {
    let listed = |name: &http::HeaderName, wanted: &str| {
        parts
            .headers
            .get_all(name)
            .iter()
            .flat_map(headers::list)
            .any(|found| found.eq_ignore_ascii_case(wanted))
    };
    parts.version == Version::HTTP_11
        && listed(&http::header::CONNECTION, "upgrade")
        && !listed(&UPGRADE, "h2c")
        && !listed(&UPGRADE, "h2")
}

fn normalise_path(method: &Method, uri: &mut Uri, limits: &Limits) -> Result<(), Refused> {
    const MALFORMED: Refused = (StatusCode::BAD_REQUEST, "malformed target");
    if uri.path() == "*" {
        return if method == Method::OPTIONS {
            // Of HTTP/2 it has an authority, which would go out before it.
            *uri = Uri::from_static("*");
            Ok(())
        } else {
            Err(MALFORMED)
        };
    }
    let normal = path::normalise(uri.path(), limits.path)
        .map_err(|_| (StatusCode::BAD_REQUEST, "ambiguous path"))?;
    let target = match (normal, uri.query()) {
        (None, _) if uri.authority().is_none() => return Ok(()),
        (None, _) => uri.path_and_query().cloned().ok_or(MALFORMED)?,
        (Some(path), None) => PathAndQuery::try_from(path).map_err(|_| MALFORMED)?,
        (Some(path), Some(query)) => {
            PathAndQuery::try_from(format!("{path}?{query}")).map_err(|_| MALFORMED)?
        }
    };
    *uri = Uri::from(target);
    Ok(())
}

/// What each field counts for beside its name and value.
const FIELD_OVERHEAD: usize = 32;
/// The greatest `Max-Forwards` that is passed on.
const MOST_FORWARDS: u64 = 255;
