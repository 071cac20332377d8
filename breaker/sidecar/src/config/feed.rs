//! `feeds`: which telemetry may open the breaker of a route.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::Policy;
use breaker_tower::breaker_core::InvalidField;

use super::policies::Policies;
use super::problem::{Problems, check_name, time_within};
use super::raw::{OneOrMany, RawFeed, RawPattern, RawSpanKind, RawTest};
use breaker_otlp::SpanKind;
use breaker_otlp::matching::{FeedMatcher, Pattern, SpanKinds, Takes, Test};

/// Telemetry that may open the breaker of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    name: Arc<str>,
    matcher: FeedMatcher,
    policy: Option<Arc<Policy>>,
    silence_timeout: Duration,
}

impl Feed {
    /// The name, by which reasons and metrics name it; no other feed of the route has it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Which spans or points belong to it.
    pub fn matcher(&self) -> &FeedMatcher {
        &self.matcher
    }

    /// What is failing and slow here, and when the breaker trips by it, if that is not what the
    /// route's policy says.
    pub fn policy(&self) -> Option<&Arc<Policy>> {
        self.policy.as_ref()
    }

    /// For how long it must be silent, once it tripped the breaker, to no longer stand against its
    /// recovery; 1 s to 1 h.
    pub fn silence_timeout(&self) -> Duration {
        self.silence_timeout
    }
}

/// The feeds of a route.
pub(super) fn build(raw: Vec<RawFeed>, policies: &Policies) -> Result<Vec<Feed>, Problems> {
    if !(1..=MAX_FEEDS).contains(&raw.len()) {
        let rule = format!("must have 1 to {MAX_FEEDS} entries");
        return Err(InvalidField::new("feeds", rule).into());
    }
    let mut problems = Problems::default();
    let mut names: Vec<String> = Vec::with_capacity(raw.len());
    let mut feeds = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let section = format!("feeds[{index}]");
        if let Some(first) = names.iter().position(|other| *other == raw.name) {
            let rule = format!("must be unique; feeds[{first}] has it too");
            problems.add(InvalidField::new(format!("{section}.name"), rule));
        }
        names.push(raw.name.clone());
        let built = feed(raw, policies).map_err(|problems| problems.within(&section));
        feeds.extend(problems.check(built));
    }
    problems.finish()?;
    Ok(feeds)
}

fn feed(raw: RawFeed, policies: &Policies) -> Result<Feed, Problems> {
    let mut problems = Problems::default();
    problems.keep(check_name(&raw.name));
    if raw.name == PROXY {
        let rule = "must not be proxy, which is what the proxy itself observes";
        problems.add(InvalidField::new("name", rule));
    }
    let takes = problems.check(takes(raw.span.as_ref(), raw.metric.as_deref()));
    let scope = raw.scope.map(|raw| pattern("scope", raw)).transpose();
    let scope = problems.keep(scope);
    let mut resource = problems.keep(conditions("resource", raw.resource));
    if let Some(service) = raw.service {
        if resource.iter().any(|(name, _)| name == SERVICE_NAME) {
            let rule = "stands for resource.service.name, which is given too";
            problems.add(InvalidField::new("service", rule));
        }
        let service = problems.check(pattern("service", service));
        resource.extend(service.map(|service| (SERVICE_NAME.to_owned(), service)));
    }
    let attributes = problems.keep(conditions("match", raw.r#match));
    let count = resource.len() + attributes.len() + usize::from(scope.is_some());
    if count > MAX_CONDITIONS {
        let rule = format!("must have at most {MAX_CONDITIONS} conditions");
        problems.add(InvalidField::new("", rule));
    }
    let policy = raw.policy.map(|choice| policies.choose(&raw.name, choice));
    let policy = problems.keep(policy.transpose());
    let silence_timeout = problems.keep(time_within(
        "silence_timeout",
        raw.silence_timeout,
        1000..=3_600_000,
        QUIET,
    ));
    let Some(takes) = takes else {
        return Err(problems);
    };
    problems.finish()?;
    Ok(Feed {
        policy: policy.map(Arc::new),
        silence_timeout,
        name: raw.name.into(),
        matcher: FeedMatcher {
            takes,
            resource,
            scope,
            attributes,
        },
    })
}

fn takes(
    span: Option<&OneOrMany<RawSpanKind>>,
    metric: Option<&str>,
) -> Result<Takes, InvalidField> {
    match (span, metric) {
        (None, None) => Ok(Takes::Spans(
            [SpanKind::Client, SpanKind::Server].into_iter().collect(),
        )),
        (Some(OneOrMany(kinds)), None) if kinds.is_empty() => {
            Err(InvalidField::new("span", "must have an entry"))
        }
        (Some(OneOrMany(kinds)), None) => {
            let kinds: SpanKinds = kinds.iter().copied().map(SpanKind::from).collect();
            Ok(Takes::Spans(kinds))
        }
        (None, Some(name)) => metric_name(name).map(Takes::Histogram),
        (Some(_), Some(_)) => {
            let rule = "must stand without span: a request that is told by both would count twice";
            Err(InvalidField::new("metric", rule))
        }
    }
}

fn metric_name(name: &str) -> Result<Pattern, InvalidField> {
    // The characters of
    // https://opentelemetry.io/docs/specs/otel/metrics/api/#instrument-name-syntax, and those of a
    // glob.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-/*?".contains(c);
    if !(1..=255).contains(&name.len()) || !name.chars().all(is_plain) {
        let rule = "must be the name of a metric, such as http.server.request.duration";
        return Err(InvalidField::new("metric", rule));
    }
    let test = match name.contains(['*', '?']) {
        true => Test::glob(name),
        false => Test::equal(name),
    };
    Ok(Pattern::any([test]))
}

fn conditions(
    section: &str,
    raw: BTreeMap<String, RawPattern>,
) -> Result<Vec<(String, Pattern)>, InvalidField> {
    let condition = |(name, raw): (String, RawPattern)| {
        if !(1..=MAX_TEXT).contains(&name.len()) {
            let rule = format!("must have attributes with names of 1 to {MAX_TEXT} bytes");
            return Err(InvalidField::new(section, rule));
        }
        let pattern = pattern(&format!("{section}.{name}"), raw)?;
        Ok((name, pattern))
    };
    raw.into_iter().map(condition).collect()
}

/// `not` and lists may stand in each other once, which says all there is to say.
fn pattern(field: &str, raw: RawPattern) -> Result<Pattern, InvalidField> {
    match raw {
        RawPattern::Test(raw) if raw.not.is_some() => {
            only_one(field, &raw)?;
            let not = raw.not.map(|raw| tests(&format!("{field}.not"), raw));
            Ok(Pattern::none(not.transpose()?.unwrap_or_default()))
        }
        raw => Ok(Pattern::any(tests(field, raw)?)),
    }
}

fn tests(field: &str, raw: RawPattern) -> Result<Vec<Test>, InvalidField> {
    let list = match raw {
        RawPattern::AnyOf(list) => list,
        raw => return Ok(vec![test(field, raw)?]),
    };
    if !(1..=MAX_TESTS).contains(&list.len()) {
        let rule = format!("must have 1 to {MAX_TESTS} entries");
        return Err(InvalidField::new(field, rule));
    }
    let entries = list.into_iter().enumerate();
    entries
        .map(|(index, raw)| test(&format!("{field}[{index}]"), raw))
        .collect()
}

fn test(field: &str, raw: RawPattern) -> Result<Test, InvalidField> {
    let raw = match raw {
        RawPattern::Equal(text) => {
            return bounded(field, &text, 0).map(|()| Test::equal(&text));
        }
        RawPattern::AnyOf(_) => {
            return Err(InvalidField::new(field, "must not be a list in a list"));
        }
        RawPattern::Test(raw) => raw,
    };
    only_one(field, &raw)?;
    match (raw.prefix, raw.glob, raw.present) {
        (Some(text), ..) => {
            bounded(&format!("{field}.prefix"), &text, 1).map(|()| Test::prefix(&text))
        }
        (_, Some(text), _) => {
            bounded(&format!("{field}.glob"), &text, 1).map(|()| Test::glob(&text))
        }
        (.., Some(present)) => Ok(Test::present(present)),
        _ => Err(InvalidField::new(
            format!("{field}.not"),
            "must stand alone: not in a list, nor in another not",
        )),
    }
}

fn only_one(field: &str, raw: &RawTest) -> Result<(), InvalidField> {
    let given = [
        raw.prefix.is_some(),
        raw.glob.is_some(),
        raw.present.is_some(),
        raw.not.is_some(),
    ];
    if given.iter().filter(|given| **given).count() == 1 {
        return Ok(());
    }
    let rule = "must have one of prefix, glob, present and not";
    Err(InvalidField::new(field, rule))
}

fn bounded(field: &str, text: &str, least: usize) -> Result<(), InvalidField> {
    if (least..=MAX_TEXT).contains(&text.len()) {
        return Ok(());
    }
    let rule = format!("must have {least} to {MAX_TEXT} bytes");
    Err(InvalidField::new(field, rule))
}

impl From<RawSpanKind> for SpanKind {
    fn from(kind: RawSpanKind) -> Self {
        match kind {
            RawSpanKind::Client => Self::Client,
            RawSpanKind::Server => Self::Server,
            RawSpanKind::Consumer => Self::Consumer,
            RawSpanKind::Producer => Self::Producer,
            RawSpanKind::Internal => Self::Internal,
        }
    }
}

/// Each is a source with a window of its own, up to 64 KiB.
const MAX_FEEDS: usize = 16;
const MAX_CONDITIONS: usize = 32;
/// In a list.
const MAX_TESTS: usize = 64;
/// Of a name or value, in bytes.
const MAX_TEXT: usize = 256;
const QUIET: Duration = Duration::from_secs(30);
const SERVICE_NAME: &str = "service.name";
/// The name of the source that is no feed.
const PROXY: &str = "proxy";
