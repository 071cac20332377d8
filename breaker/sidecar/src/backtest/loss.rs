//! Lines and requests of a trace that the backtest leaves out, with the reasons.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How much of a trace was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lost {
    /// Bad lines, including those of requests that came too late.
    pub lines: u64,
    /// Requests that ended too long before an earlier line of the trace.
    pub late: u64,
    /// The lines, by the reason.
    pub why: BTreeMap<Cow<'static, str>, u64>,
}

/// Why a line is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It does not have the syntax of its format.
    Syntax,
    /// A field is missing, or has an invalid value.
    Field,
    /// Its request ended too long before an earlier line.
    Late,
    /// It is longer than a line may be.
    TooLong,
    /// The file is truncated, or can't be decompressed.
    CutOff,
    /// It has spans without ids or a name, or with invalid times.
    Spans,
    /// It comes before the first line of a known format.
    Unknown,
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) why: Why,
    /// A message for people, without file and line.
    pub(super) text: String,
}

impl Lost {
    pub(super) fn count(&mut self, why: Why) {
        self.lines += 1;
        *self.why.entry(why.name().into()).or_default() += 1;
        self.late += u64::from(why == Why::Late);
    }

    /// Adds what another part has left out.
    pub(super) fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.late += other.late;
        for (why, lines) in &other.why {
            *self.why.entry(why.clone()).or_default() += lines;
        }
    }

    /// `2 bad fields, 1 too late`.
    pub(super) fn words(&self) -> String {
        let all = self
            .why
            .iter()
            .map(|(name, count)| format!("{count} {}", name.replace('_', " ")));
        all.collect::<Vec<_>>().join(", ")
    }
}

impl Why {
    const fn name(self) -> &'static str {
        match self {
            Self::Syntax => "bad_syntax",
            Self::Field => "bad_field",
            Self::Late => "too_late",
            Self::TooLong => "too_long",
            Self::CutOff => "cut_off",
            Self::Spans => "bad_spans",
            Self::Unknown => "unknown_format",
        }
    }
}

impl Bad {
    pub(super) fn new(why: Why, text: impl Into<String>) -> Self {
        Self {
            why,
            text: text.into(),
        }
    }

    pub(super) fn syntax(text: impl Into<String>) -> Self {
        Self::new(Why::Syntax, text)
    }

    pub(super) fn field(text: impl Into<String>) -> Self {
        Self::new(Why::Field, text)
    }
}
