//! Names of header fields that are taken: HTTP, gRPC or the proxy itself goes by them.

use http::HeaderName;

/// Whether a field with such a name has a meaning already, so that a user can't give it another.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// What ends at a hop, what a message is framed by, and what the proxy adds or reads.
const NAMES: [&str; 19] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Those of proxies end at a hop or are told by ours. gRPC reserves all of its own.
const PREFIXES: [&str; 2] = ["grpc-", "proxy-"];
