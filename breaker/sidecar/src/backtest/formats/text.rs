//! What all text logs need: tokens, and the path of a request as the name of its route.

use std::borrow::Cow;

use crate::backtest::line::MOST_ROUTE;

/// A word of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) is: Is,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    Bare,
    Quoted,
    Bracketed,
}

impl<'a> Token<'a> {
    pub(super) fn bare(self) -> Option<&'a str> {
        (self.is == Is::Bare).then_some(self.text)
    }

    pub(super) fn quoted(self) -> Option<&'a str> {
        (self.is == Is::Quoted).then_some(self.text)
    }

    pub(super) fn bracketed(self) -> Option<&'a str> {
        (self.is == Is::Bracketed).then_some(self.text)
    }
}

/// The words of `line`. `[…]` is one word, and so is `"…"`, in which a backslash escapes the next
/// character.
pub(super) fn tokens(line: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (is, start) = match first {
            '"' => (Is::Quoted, 1),
            '[' => (Is::Bracketed, 1),
            _ => (Is::Bare, 0),
        };
        let end = start + end(&rest[start..], is);
        tokens.push(Token {
            text: &rest[start..end],
            is,
        });
        rest = rest[end..].trim_start_matches(['"', ']']).trim_start();
        if tokens.len() == MOST_TOKENS {
            break;
        }
    }
    tokens
}

fn end(text: &str, is: Is) -> usize {
    let (mut hidden, mut inside) = (false, false);
    for (index, byte) in text.bytes().enumerate() {
        match (is, byte) {
            _ if hidden => hidden = false,
            (Is::Quoted | Is::Bare, b'\\') => hidden = true,
            (Is::Quoted, b'"') | (Is::Bracketed, b']') => return index,
            (Is::Bare, b'"') => inside = !inside,
            (Is::Bare, b' ') if !inside => return index,
            _ => {}
        }
    }
    text.len()
}

/// The route of a request line `GET /path HTTP/1.1`.
pub(super) fn route_of_request(request: &str) -> Cow<'_, str> {
    let mut words = request.split(' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    route_of_path(second.unwrap_or(first))
}

/// The route of a path or URL: without query and authority. `{id}` replaces segments that look like
/// an id, so that not every user becomes a route.
pub(super) fn route_of_path(url: &str) -> Cow<'_, str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => path,
    };
    let path = match path.char_indices().nth(MOST_PATH) {
        Some((end, _)) => &path[..end],
        None => path,
    };
    if path.is_empty() {
        return Cow::Borrowed("/");
    }
    if !path.split('/').any(is_id) {
        return Cow::Borrowed(path);
    }
    let segments = path
        .split('/')
        .map(|segment| if is_id(segment) { "{id}" } else { segment });
    let path = segments.collect::<Vec<_>>().join("/");
    Cow::Owned(path.chars().take(MOST_PATH).collect())
}

/// Whether a segment of a path is a number, a UUID, a hash, or another long text with digits.
fn is_id(segment: &str) -> bool {
    let count = |is: fn(&u8) -> bool| segment.bytes().filter(is).count();
    let digits = count(u8::is_ascii_digit);
    let hex = count(u8::is_ascii_hexdigit) + count(|byte| *byte == b'-');
    let length = segment.len();
    digits > 0 && (digits == length || hex == length && length >= 8 || digits >= 3 && length >= 20)
}

/// Words of one line. Further words are ignored.
const MOST_TOKENS: usize = 64;
/// In characters of at most four bytes each.
const MOST_PATH: usize = MOST_ROUTE / 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_quotes_keep_their_words_together() {
        let words: Vec<_> = tokens(r#"1.2.3.4 - [a b] "say \"hi\" x" urt="0.1, 0.2" 5"#)
            .into_iter()
            .map(|token| token.text)
            .collect();
        assert_eq!(
            words,
            [
                "1.2.3.4",
                "-",
                "a b",
                r#"say \"hi\" x"#,
                r#"urt="0.1, 0.2""#,
                "5"
            ]
        );
    }

    #[test]
    fn a_path_is_a_route_without_what_differs_from_request_to_request() {
        for (path, route) in [
            ("/", "/"),
            ("", "/"),
            ("/users/17?page=2", "/users/{id}"),
            (
                "/orders/550e8400-e29b-41d4-a716-446655440000/items",
                "/orders/{id}/items",
            ),
            ("http://shop:80/v1/pay#x", "/v1/pay"),
            ("http://shop", "/"),
            ("/api/v2/deadbeef", "/api/v2/deadbeef"),
            ("/blob/deadbeef01", "/blob/{id}"),
        ] {
            assert_eq!(route_of_path(path), route);
        }
        assert_eq!(route_of_request("GET /a/1 HTTP/1.1"), "/a/{id}");
        assert!(route_of_path(&"/é".repeat(300)).len() <= MOST_ROUTE);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = (tokens(&text), route_of_request(&text));
        }
    }
}
