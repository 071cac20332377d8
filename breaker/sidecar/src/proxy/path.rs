//! The one form of a path that routes match, and that is forwarded.
//!
//! A route's policy must not be avoidable by another spelling of its path. Where all servers agree
//! on the meaning the path is **normalised** (RFC 3986, 6.2.2): unreserved characters are decoded,
//! percent-encodings are in upper case, `.` and `..` segments are resolved, and empty segments are
//! removed unless `merge_slashes` is off. Where servers disagree it is **refused**: a backslash,
//! `%2F`, `%5C`, `%00`, a broken percent-encoding, `..` above the root, dots with path parameters
//! (`..;`). A path that is normal already, which almost every path is, costs one scan and no
//! allocation.
//!
//! Of characters that a path may contain as they are, such as `@` and `:`, the encoding makes a
//! difference to some servers, so it is forwarded as it came. To routes it makes none, as to most
//! servers: they are **matched** by the path with these decoded.

use std::borrow::Cow;

/// A path that servers read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Ambiguous(&'static str);

/// What the normal form is, where people may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathRules {
    /// Whether `%2F` and `%5C` pass. Default no.
    pub encoded_slash: bool,
    /// Whether several slashes in a row become one. Default yes.
    pub merge_slashes: bool,
}

impl Default for PathRules {
    fn default() -> Self {
        Self {
            encoded_slash: false,
            merge_slashes: true,
        }
    }
}

/// Returns the normal form of `path`, or `None` if it is that already.
pub(crate) fn normalise(path: &str, rules: PathRules) -> Result<Option<String>, Ambiguous> {
    if is_normal(path.as_bytes(), rules.merge_slashes)? {
        return Ok(None);
    }
    let decoded = decode_unreserved(path.as_bytes(), rules.encoded_slash)?;
    let normal = resolve_dots(&decoded, rules.merge_slashes)?;
    Ok((normal != path).then_some(normal))
}

/// Returns what routes match of a normal path: with all characters decoded that a pattern may
/// contain as they are.
pub(crate) fn matched(path: &str) -> Cow<'_, str> {
    let Some(first) = path.find('%') else {
        return Cow::Borrowed(path);
    };
    let (before, mut rest) = path.split_at(first);
    let mut decoded = before.to_owned();
    while let Some(encoded) = rest.strip_prefix('%') {
        let byte = encoded
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let plain = byte.map(char::from).filter(|byte| is_plain(*byte));
        match plain {
            Some(plain) => decoded.push(plain),
            None => decoded.push_str(&rest[..rest.len().min(3)]),
        }
        rest = rest.get(3..).unwrap_or_default();
        let next = rest.find('%').unwrap_or(rest.len());
        decoded.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    Cow::Owned(decoded)
}

/// Whether a pattern has this character as it is, and it does not structure a path.
fn is_plain(char: char) -> bool {
    char.is_ascii_graphic() && !matches!(char, '/' | '\\' | '%' | '?' | '#')
}

fn is_normal(path: &[u8], merge_slashes: bool) -> Result<bool, Ambiguous> {
    if path.first() != Some(&b'/') {
        return Err(Ambiguous("the path does not begin with a slash"));
    }
    let mut normal = true;
    let mut last = 0;
    for &byte in path {
        match byte {
            b'\\' => return Err(Ambiguous("backslash in path")),
            0..=b' ' | 0x7f.. => return Err(Ambiguous("control or non-ASCII character in path")),
            b'%' => normal = false,
            b'/' if last == b'/' => normal &= !merge_slashes,
            b'.' if last == b'/' => normal = false,
            _ => {}
        }
        last = byte;
    }
    Ok(normal)
}

fn decode_unreserved(path: &[u8], encoded_slash: bool) -> Result<String, Ambiguous> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            decoded.push(char::from(byte));
            continue;
        }
        let (Some(high), Some(low)) = (rest.next().and_then(hex), rest.next().and_then(hex)) else {
            return Err(Ambiguous("broken percent-encoding in path"));
        };
        match high * 16 + low {
            0 => return Err(Ambiguous("encoded NUL in path")),
            b'/' | b'\\' if !encoded_slash => return Err(Ambiguous("encoded slash in path")),
            byte @ (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~') => {
                decoded.push(char::from(byte));
            }
            byte => {
                decoded.push('%');
                for digit in [byte >> 4, byte & 15] {
                    decoded.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        }
    }
    Ok(decoded)
}

fn hex(digit: &u8) -> Option<u8> {
    char::from(*digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn resolve_dots(path: &str, merge_slashes: bool) -> Result<String, Ambiguous> {
    let mut normal = String::with_capacity(path.len());
    let mut is_directory = false;
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        is_directory = matches!(segment, "" | "." | "..");
        match segment {
            "" if !merge_slashes && segments.peek().is_some() => normal.push('/'),
            "" | "." => {}
            ".." => match normal.rfind('/') {
                Some(parent) => normal.truncate(parent),
                None => return Err(Ambiguous("path above the root")),
            },
            _ if segment.starts_with(".;") || segment.starts_with("..;") => {
                return Err(Ambiguous("dot segment with parameters in path"));
            }
            _ => {
                normal.push('/');
                normal.push_str(segment);
            }
        }
    }
    if is_directory {
        normal.push('/');
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normal_path_is_left_alone() {
        for path in [
            "/",
            "/a",
            "/a/b.c",
            "/a/b/",
            "/a.b/..c",
            "/a;v=1/b",
            "/~u/-_x:@!$&'()*+,=",
        ] {
            assert_eq!(normalise(path, PathRules::default()), Ok(None), "{path}");
        }
    }

    #[test]
    fn spellings_of_one_path_become_one() {
        for (path, normal) in [
            ("/a/../admin", "/admin"),
            ("/./admin", "/admin"),
            ("//admin", "/admin"),
            ("//evil//x", "/evil/x"),
            ("/%61dmin", "/admin"),
            ("/a/%2e%2E/admin", "/admin"),
            ("/admin/.", "/admin/"),
            ("/admin/x/..", "/admin/"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b", "/a%20b"),
            ("/..", ""),
        ] {
            match normalise(path, PathRules::default()) {
                Ok(found) => assert_eq!(found.as_deref().unwrap_or(path), normal),
                other => assert!(normal.is_empty() && other.is_err(), "{path}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_servers_read_differently_is_refused() {
        for path in [
            "",
            "a",
            "*",
            "/a\\b",
            "/a%2fb",
            "/a%5Cb",
            "/a%00",
            "/a%",
            "/a%4",
            "/a%zz",
            "/../a",
            "/a/../../b",
            "/a/..;/b",
            "/%2e%2e;x/b",
            "/a\u{7f}",
            "/caf\u{e9}",
        ] {
            assert!(normalise(path, PathRules::default()).is_err(), "{path}");
        }
    }

    #[test]
    fn encoded_slashes_pass_where_configured_and_stay_encoded() {
        let normal = normalise("/p/a%2fb", LOOSE);
        assert_eq!(normal, Ok(Some("/p/a%2Fb".to_owned())));
    }

    /// RFC 3986, 5.2.4: an empty segment is one that `..` removes.
    #[test]
    fn slashes_stay_where_they_are_not_merged() {
        let rules = PathRules {
            merge_slashes: false,
            ..PathRules::default()
        };
        for (path, normal) in [
            ("//", "//"),
            ("//a", "//a"),
            ("/a//b///", "/a//b///"),
            ("/a//../b", "/a/b"),
            ("/a//./b/.", "/a//b/"),
            ("//..", "/"),
            ("/%61//", "/a//"),
        ] {
            let found = normalise(path, rules).expect("no ambiguity");
            assert_eq!(found.as_deref().unwrap_or(path), normal, "{path}");
        }
        assert!(normalise("//../..", rules).is_err());
    }

    #[test]
    fn routes_match_what_is_encoded_without_need_as_if_it_were_not() {
        for (path, expected) in [
            ("/u/@me", "/u/@me"),
            ("/u/%40me", "/u/@me"),
            ("/v/x%3Acancel", "/v/x:cancel"),
            ("/%7Bx%7D", "/{x}"),
            ("/%21%24%26%27%28%29%2A%2B%2C%3B%3D", "/!$&'()*+,;="),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%5Cb", "/a%5Cb"),
            ("/a%20b%40", "/a%20b@"),
            ("/100%25%40", "/100%25@"),
            ("/a%3Fb%23c", "/a%3Fb%23c"),
            ("/caf%C3%A9", "/caf%C3%A9"),
            ("/%2540", "/%2540"),
        ] {
            assert_eq!(matched(path), expected, "{path}");
            assert_eq!(normalise(path, LOOSE), Ok(None), "{path} is forwarded so");
        }
    }

    const LOOSE: PathRules = PathRules {
        encoded_slash: true,
        merge_slashes: true,
    };

    #[test]
    fn the_normal_form_is_stable() {
        for path in ["/a//b/./c/%7e/%2F", "/x/%41/..//y/"] {
            let once = normalise(path, LOOSE).ok().flatten().expect("changed");
            let twice = normalise(&once, LOOSE)
                .expect("accepted")
                .unwrap_or_else(|| once.clone());
            assert_eq!(once, twice);
        }
    }
}
