//! Where the content of a message ends (RFC 9112, 6): what the fields that tell it may say on their
//! way through.

use http::header::{CONTENT_LENGTH, Entry, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::message::headers;

/// Whether hyper undoes what an upstream's `Transfer-Encoding` says: one `chunked`. The field ends
/// at this hop, so any other coding would stay on the content without a word of it (RFC 9112, 6.1).
pub(crate) fn is_decoded(headers: &HeaderMap) -> bool {
    if !headers.contains_key(TRANSFER_ENCODING) {
        return true;
    }
    let lines = headers.get_all(TRANSFER_ENCODING).iter();
    let mut codings = lines
        .flat_map(headers::list)
        .filter(|coding| !coding.is_empty());
    // `identity` is of RFC 2616, and is none.
    let is_known = |coding: &str| {
        coding.eq_ignore_ascii_case("chunked") || coding.eq_ignore_ascii_case("identity")
    };
    codings.next().is_some_and(is_known) && codings.next().is_none()
}

/// Brings what a response's head says of its length into the form that everyone reads alike.
pub(crate) fn settle_length(status: StatusCode, headers: &mut HeaderMap) {
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        // Neither may tell a length (RFC 9110, 8.6): some clients would wait for it.
        headers.remove(CONTENT_LENGTH);
    } else {
        // hyper takes none of an upstream that contradict each other.
        canonical_length(headers);
    }
}

/// Writes a length such as `010` as everyone reads it, and once. Whether there is no other beside
/// it (RFC 9110, 8.6).
pub(crate) fn canonical_length(headers: &mut HeaderMap) -> bool {
    if let Entry::Occupied(mut entry) = headers.entry(CONTENT_LENGTH) {
        let first = entry.get().clone();
        let mut others = entry.iter().skip(1).peekable();
        let is_repeated = others.peek().is_some();
        if !others.all(|other| *other == first) {
            return false;
        }
        if is_repeated {
            entry.insert(first);
        }
        let digits = entry.get().as_bytes();
        if digits.len() > 1 && digits[0] == b'0' {
            let value = entry
                .get()
                .to_str()
                .ok()
                .and_then(|digits| digits.parse::<u64>().ok());
            if let Some(value) = value {
                entry.insert(HeaderValue::from(value));
            }
        }
    }
    true
}

/// Removes from trailers what ends at this hop, or would change where the message ends (RFC 9110,
/// 6.5.1). Over HTTP/2 such fields are errors of ours.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    headers::strip_listed(trailers);
    for name in headers::OF_CONNECTIONS {
        trailers.remove(name);
    }
    for name in [CONTENT_LENGTH, HOST] {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_canonically() {
        let mut headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static("010"))]);
        assert!(canonical_length(&mut headers));
        assert_eq!(headers["content-length"], "10");
    }
}
