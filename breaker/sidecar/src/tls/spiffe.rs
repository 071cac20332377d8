//! SPIFFE IDs, and patterns of them.

use std::fmt;
use std::str::FromStr;

/// What a workload is called: `spiffe://example.org/ns/shop/sa/pay`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId(String);

/// Whose roots have signed a SPIFFE ID: `example.org`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

/// SPIFFE IDs of one trust domain: in the path, `*` stands for one segment, and a final `**` for
/// the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    domain: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    Is(String),
    Any,
    Rest,
}

// === impl SpiffeId ===

impl SpiffeId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whose roots have signed it.
    pub(crate) fn trust_domain(&self) -> TrustDomain {
        let parts = split(&self.0);
        TrustDomain(parts.map_or_else(|_rule| String::new(), |(domain, _)| domain.to_owned()))
    }
}

impl FromStr for SpiffeId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (domain, path) = split(text)?;
        check_domain(domain)?;
        path.split('/').try_for_each(check_segment)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl TrustDomain ===

/// By its name, or by its ID: `spiffe://example.org`.
impl FromStr for TrustDomain {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let domain = text.strip_prefix("spiffe://").unwrap_or(text);
        check_domain(domain)?;
        Ok(Self(domain.to_owned()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Pattern ===

impl Pattern {
    /// Whether it is one of these.
    pub(crate) fn matches(&self, id: &SpiffeId) -> bool {
        let Ok((domain, path)) = split(&id.0) else {
            return false;
        };
        if domain != self.domain {
            return false;
        }
        let mut segments = path.split('/');
        for wanted in &self.segments {
            let fits = match (wanted, segments.next()) {
                (Segment::Rest, Some(_)) => return true,
                (Segment::Any, Some(_)) => true,
                (Segment::Is(wanted), Some(segment)) => wanted == segment,
                (_, None) => false,
            };
            if !fits {
                return false;
            }
        }
        segments.next().is_none()
    }
}

impl FromStr for Pattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (domain, path) = split(text)?;
        check_domain(domain)?;
        let mut segments = Vec::new();
        for segment in path.split('/') {
            if segments.last() == Some(&Segment::Rest) {
                return Err("must have ** at its end alone");
            }
            segments.push(match segment {
                "*" => Segment::Any,
                "**" => Segment::Rest,
                _ => {
                    check_segment(segment)?;
                    Segment::Is(segment.to_owned())
                }
            });
        }
        Ok(Self {
            text: text.to_owned(),
            domain: domain.to_owned(),
            segments,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The trust domain, and the path without its first slash (SPIFFE ID, section 2).
fn split(text: &str) -> Result<(&str, &str), &'static str> {
    let rule = "must be spiffe://, a trust domain and a path, of at most 2048 bytes";
    let rest = text.strip_prefix("spiffe://").ok_or(rule)?;
    match rest.split_once('/') {
        Some(parts) if text.len() <= MAX => Ok(parts),
        _ => Err(rule),
    }
}

fn check_domain(domain: &str) -> Result<(), &'static str> {
    let is_plain =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    match !domain.is_empty() && domain.len() <= 255 && domain.bytes().all(is_plain) {
        true => Ok(()),
        false => Err("must have a trust domain of a-z, 0-9, '.', '-' and '_'"),
    }
}

fn check_segment(segment: &str) -> Result<(), &'static str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_dots = matches!(segment, "" | "." | "..");
    match !is_dots && segment.bytes().all(is_plain) {
        true => Ok(()),
        false => Err("must have a path whose segments are of a-z, A-Z, 0-9, '.', '-' and '_'"),
    }
}

const MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_a_domain_in_small_letters_and_a_path_and_nothing_else() {
        let long = |size: usize| format!("spiffe://a/{}", "b".repeat(size - 11));
        for good in ["spiffe://example.org/ns/shop/sa/pay", "spiffe://a_b-1/X"] {
            assert_eq!(good.parse::<SpiffeId>().unwrap().as_str(), good);
        }
        assert!(long(2048).parse::<SpiffeId>().is_ok());
        for bad in [
            "",
            "https://example.org/a",
            "SPIFFE://example.org/a",
            "spiffe://Example.org/a",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe:///a",
            "spiffe://example.org/a/",
            "spiffe://example.org//a",
            "spiffe://example.org/./a",
            "spiffe://example.org/a/..",
            "spiffe://example.org/a?b",
            "spiffe://example.org/a#b",
            "spiffe://user@example.org/a",
            "spiffe://example.org:8443/a",
            "spiffe://example.org/a%20b",
            "spiffe://example.org/*",
            &long(2049),
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_trust_domain_is_that_of_an_id_by_its_name_or_by_its_own_id() {
        let id: SpiffeId = "spiffe://example.org/ns/shop".parse().unwrap();
        for text in ["example.org", "spiffe://example.org"] {
            assert_eq!(text.parse(), Ok(id.trust_domain()), "{text}");
        }
        for bad in [
            "",
            "spiffe://",
            "spiffe://example.org/",
            "Example.org",
            "a:1",
        ] {
            assert!(bad.parse::<TrustDomain>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_stands_for_segments_of_its_own_domain() {
        for (pattern, id, fits) in [
            ("spiffe://a/ns/shop", "spiffe://a/ns/shop", true),
            ("spiffe://a/ns/shop", "spiffe://b/ns/shop", false),
            ("spiffe://a/ns/shop", "spiffe://a/ns/shop/x", false),
            ("spiffe://a/ns/shop/x", "spiffe://a/ns/shop", false),
            ("spiffe://a/ns/*/sa/pay", "spiffe://a/ns/shop/sa/pay", true),
            ("spiffe://a/ns/*/sa/pay", "spiffe://a/ns/x/y/sa/pay", false),
            ("spiffe://a/ns/*", "spiffe://a/ns", false),
            ("spiffe://a/ns/**", "spiffe://a/ns/shop/sa/pay", true),
            ("spiffe://a/ns/**", "spiffe://a/ns", false),
            ("spiffe://a/ns/**", "spiffe://a/nsx/y", false),
            ("spiffe://a/**", "spiffe://ab/c", false),
        ] {
            let (pattern, id): (Pattern, SpiffeId) =
                (pattern.parse().unwrap(), id.parse().unwrap());
            assert_eq!(pattern.matches(&id), fits, "{pattern} {id}");
        }
        for bad in [
            "spiffe://*/a",
            "spiffe://a*/b",
            "spiffe://a/**/b",
            "spiffe://a/b*",
            "spiffe://a",
            "*",
        ] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
