//! What an attribute must be.

use std::fmt;

use super::glob::Glob;
use crate::Value;

/// A condition on an attribute, or on a name: at least one of its tests holds, or none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    tests: Vec<Test>,
    negated: bool,
}

/// A test of a [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Equal {
        text: Box<str>,
        number: Option<Number>,
    },
    Prefix(Box<str>),
    Glob(Glob),
    Present(bool),
}

/// A number that a text reads as, by its bits: patterns are compared for being the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    whole: Option<i64>,
    bits: u64,
}

// === impl Pattern ===

impl Pattern {
    /// Holds if any of `tests` holds.
    pub fn any(tests: impl Into<Vec<Test>>) -> Self {
        Self {
            tests: tests.into(),
            negated: false,
        }
    }

    /// Holds if none of `tests` holds. It also holds if the attribute is absent, unless a test is
    /// about that.
    pub fn none(tests: impl Into<Vec<Test>>) -> Self {
        Self {
            tests: tests.into(),
            negated: true,
        }
    }

    /// Whether it holds for an attribute; `None` is an absent one.
    pub fn holds(&self, value: Option<Value<'_>>) -> bool {
        self.tests.iter().any(|test| test.holds(value)) != self.negated
    }

    /// Whether it holds for a name.
    pub fn holds_for(&self, name: &str) -> bool {
        self.holds(Some(Value::Str(name)))
    }
}

// === impl Test ===

impl Test {
    /// The value is written as `text`: `5432` matches the string and the number, `true` the string
    /// and the boolean.
    ///
    /// Both are matched, since applications differ in how they send ports and statuses.
    pub fn equal(text: &str) -> Self {
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        Self(Kind::Equal {
            text: text.into(),
            number: number.map(|number| Number {
                whole: text.parse().ok(),
                bits: number.to_bits(),
            }),
        })
    }

    /// The value is a string with the prefix `text`.
    pub fn prefix(text: &str) -> Self {
        Self(Kind::Prefix(text.into()))
    }

    /// The value is a string that matches all of `pattern`, in which `*` matches any characters and
    /// `?` one.
    pub fn glob(pattern: &str) -> Self {
        Self(Kind::Glob(Glob::new(pattern)))
    }

    /// The attribute is present with any value, or is absent.
    pub const fn present(present: bool) -> Self {
        Self(Kind::Present(present))
    }

    fn holds(&self, value: Option<Value<'_>>) -> bool {
        match (&self.0, value) {
            (Kind::Present(present), value) => *present == value.is_some(),
            (Kind::Equal { text, .. }, Some(Value::Str(value))) => **text == *value,
            (Kind::Equal { number, .. }, Some(Value::Int(value))) => {
                number.is_some_and(|number| number.whole == Some(value))
            }
            (Kind::Equal { number, .. }, Some(Value::Double(value))) => {
                number.is_some_and(|number| f64::from_bits(number.bits) == value)
            }
            (Kind::Equal { text, .. }, Some(Value::Bool(value))) => {
                **text == *if value { "true" } else { "false" }
            }
            (Kind::Prefix(prefix), Some(Value::Str(value))) => value.starts_with(&**prefix),
            (Kind::Glob(glob), Some(Value::Str(value))) => glob.matches(value),
            _ => false,
        }
    }
}

// === in words ===

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_str("not ")?;
        }
        for (index, test) in self.tests.iter().enumerate() {
            let or = if index == 0 { "" } else { " or " };
            write!(f, "{or}{test}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Equal { text, .. } => f.write_str(text),
            Kind::Prefix(prefix) => write!(f, "{prefix}…"),
            Kind::Glob(glob) => write!(f, "like {}", glob.pattern()),
            Kind::Present(true) => f.write_str("present"),
            Kind::Present(false) => f.write_str("absent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn all() -> [Option<Value<'static>>; 8] {
        [
            None,
            Some(Value::Str("5432")),
            Some(Value::Str("postgresql")),
            Some(Value::Int(5432)),
            Some(Value::Double(5432.0)),
            Some(Value::Bool(true)),
            Some(Value::Str("true")),
            Some(Value::Other),
        ]
    }

    fn holding(pattern: &Pattern) -> Vec<usize> {
        let values = all().into_iter().enumerate();
        let holding = values.filter(|(_, value)| pattern.holds(*value));
        holding.map(|(index, _)| index).collect()
    }

    #[test]
    fn a_value_equals_what_it_is_written_as() {
        let equal = |text| holding(&Pattern::any([Test::equal(text)]));
        assert_eq!(equal("5432"), [1, 3, 4]);
        assert_eq!(equal("5432.0"), [4]);
        assert_eq!(equal("postgresql"), [2]);
        assert_eq!(equal("true"), [5, 6]);
        assert_eq!(equal("false"), NONE);
        assert_eq!(equal("NaN"), NONE);
        assert!(!Test::equal("inf").holds(Some(Value::Double(f64::INFINITY))));
    }

    #[test]
    fn a_whole_number_is_compared_to_its_last_digit() {
        let test = Test::equal("9007199254740993");
        assert!(test.holds(Some(Value::Int(9_007_199_254_740_993))));
        assert!(!test.holds(Some(Value::Int(9_007_199_254_740_992))));
    }

    #[test]
    fn a_list_is_one_of_its_tests() {
        let tests = [Test::equal("5432"), Test::prefix("post")];
        assert_eq!(holding(&Pattern::any(tests)), [1, 2, 3, 4]);
        assert_eq!(holding(&Pattern::any([Test::glob("*e*")])), [2, 6]);
        assert_eq!(holding(&Pattern::any([])), NONE);
    }

    #[test]
    fn present_is_any_value_even_a_list() {
        let present = |present| holding(&Pattern::any([Test::present(present)]));
        assert_eq!(present(true), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(present(false), [0]);
    }

    #[test]
    fn not_holds_for_what_is_absent_too() {
        let tests = [Test::equal("5432"), Test::equal("true")];
        assert_eq!(holding(&Pattern::none(tests)), [0, 2, 7]);
        let tests = [Test::equal("5432"), Test::present(false)];
        assert_eq!(holding(&Pattern::none(tests)), [2, 5, 6, 7]);
    }

    #[test]
    fn patterns_are_told_in_words() {
        let tests = [Test::equal("a"), Test::prefix("b"), Test::glob("c*")];
        assert_eq!(
            Pattern::any(tests.clone()).to_string(),
            "a or b… or like c*"
        );
        assert_eq!(Pattern::none(tests).to_string(), "not a or b… or like c*");
        assert_eq!(Pattern::any([Test::present(true)]).to_string(), "present");
    }
}
