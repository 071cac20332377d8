//! Globs over attribute values.
//!
//! Code of our own, since crates for globs are made for paths: they give `/`, `[`, `{` and `**` a
//! meaning, and routes, queries and names of metrics are full of these.

/// A pattern in which `*` stands for any characters, or none, and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    pattern: Box<str>,
    /// What stands before, between and after the stars; at least one piece.
    pieces: Vec<Box<str>>,
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        Self {
            pattern: pattern.into(),
            pieces: pattern.split('*').map(Box::from).collect(),
        }
    }

    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether all of `text` fits. Each piece is looked for once and never moved again, for the
    /// leftmost place leaves the most to those after it: the time is at most the product of both
    /// lengths.
    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((first, pieces)) = self.pieces.split_first() else {
            return false;
        };
        let Some(mut rest) = after(first, text) else {
            return false;
        };
        let Some((last, between)) = pieces.split_last() else {
            return rest.is_empty();
        };
        for piece in between {
            let mut starts = rest.char_indices().map(|(start, _)| start);
            let found = if piece.is_empty() {
                Some(rest)
            } else {
                starts.find_map(|start| after(piece, &rest[start..]))
            };
            match found {
                Some(found) => rest = found,
                None => return false,
            }
        }
        ending(rest, last.chars().count()).is_some_and(|ending| after(last, ending) == Some(""))
    }
}

/// What follows `piece` at the start of `text`.
fn after<'a>(piece: &str, text: &'a str) -> Option<&'a str> {
    let mut rest = text.chars();
    for wanted in piece.chars() {
        let found = rest.next()?;
        if wanted != '?' && wanted != found {
            return None;
        }
    }
    Some(rest.as_str())
}

/// The last `length` characters of `text`.
fn ending(text: &str, length: usize) -> Option<&str> {
    if length == 0 {
        return Some("");
    }
    let (start, _) = text.char_indices().nth_back(length - 1)?;
    Some(&text[start..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything / at [all]", true),
            ("?", "", false),
            ("?", "ü", true),
            ("a*b?", "ab1", true),
            ("a*b?", "a/b/bü", true),
            ("a*b?", "ab", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*.duration", "http.server.request.duration", true),
            ("*.duration", "http.server.duration.x", false),
            ("SELECT * FROM ?", "SELECT a, b FROM t", true),
            ("**x**", "x", true),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "aab", false),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn many_stars_over_a_long_text_end_soon() {
        let (pattern, text) = ("*a".repeat(100) + "*b", "a".repeat(100_000));
        assert!(!Glob::new(&pattern).matches(&text));
    }

    /// By trying everything.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            (['*', pattern @ ..], text) => {
                (0..=text.len()).any(|taken| naive(pattern, &text[taken..]))
            }
            (['?', pattern @ ..], [_, text @ ..]) => naive(pattern, text),
            ([wanted, pattern @ ..], [found, text @ ..]) => wanted == found && naive(pattern, text),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_trying_everything(pattern in "[ab*?]{0,7}", text in "[abü]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = naive(&chars(&pattern), &chars(&text));
            prop_assert_eq!(Glob::new(&pattern).matches(&text), expected);
        }
    }
}
