//! `routes[].retry`: when a request is sent again.

use std::ops::RangeInclusive;
use std::time::Duration;

use breaker_tower::breaker_core::InvalidField;
use breaker_tower::breaker_core::policy::GrpcCode;
use breaker_tower::breaker_core::policy::yaml::Share;
use http::Method;

use super::problem::{Problems, time_within, within};
use super::raw::{OneOrMany, RawRetry};
use super::scalar::{Size, Word};
use crate::proxy::{RetryOn, RetryRules};

pub(super) fn build(raw: &RawRetry, timeout: Option<Duration>) -> Result<RetryRules, Problems> {
    let mut problems = Problems::default();
    let default = RetryRules::default();
    let on = raw.on.as_ref().map(|words| on(words));
    let per_try = raw.per_try.map(|time| {
        let time = time_within("per_try", Some(time), 1..=3_600_000, Duration::ZERO)?;
        match timeout.is_some_and(|timeout| time > timeout) {
            false => Ok(time),
            true => Err(InvalidField::new(
                "per_try",
                "must not be more than the route's timeout, which all attempts share",
            )),
        }
    });
    let attempts = within("attempts", raw.attempts, 1..=5, default.attempts);
    let body = match raw.body {
        None => Ok(default.body),
        Some(Size(bytes)) if bytes <= MAX_BODY => Ok(bytes as usize),
        Some(_) => Err(InvalidField::new("body", "must be 0 to 64KiB")),
    };
    let rules = RetryRules {
        attempts: problems.keep(attempts),
        on: problems.keep(on.transpose()).unwrap_or(default.on),
        per_try: problems.keep(per_try.transpose()),
        budget: raw.budget.map_or(default.budget, |Share(budget)| budget),
        body: problems.keep(body),
        methods: problems.keep(methods(raw.methods.as_ref())),
    };
    problems.finish()?;
    Ok(rules)
}

fn on(words: &[Word]) -> Result<RetryOn, Problems> {
    if words.is_empty() {
        let rule = "must not be empty; without retry nothing is sent again";
        return Err(InvalidField::new("on", rule).into());
    }
    let mut problems = Problems::default();
    let mut on = RetryOn::default();
    for (index, Word(word)) in words.iter().enumerate() {
        match word.as_str() {
            "connect" => on.connect = true,
            "reset" => on.reset = true,
            "timeout" => on.timeout = true,
            word => match (statuses(word), grpc(word)) {
                (Some(statuses), _) => on.http.push(statuses),
                (None, Some(code)) => on.grpc.push(code),
                (None, None) => problems.add(InvalidField::new(
                    format!("on[{index}]"),
                    "must be connect, reset, timeout, a status such as 503 or 502-504, \
                     or a gRPC code such as UNAVAILABLE",
                )),
            },
        }
    }
    problems.finish()?;
    Ok(on)
}

/// 4xx and 5xx: what has succeeded is not sent again.
fn statuses(word: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (400 <= first && first <= last && last <= 599).then_some(first..=last)
}

fn grpc(word: &str) -> Option<GrpcCode> {
    let codes = (1..=16).map(GrpcCode::from_number);
    codes.into_iter().find(|code| code.name() == word)
}

fn methods(raw: Option<&OneOrMany<String>>) -> Result<Vec<Method>, Problems> {
    let Some(OneOrMany(names)) = raw else {
        return Ok(Vec::new());
    };
    if let [only] = &**names
        && only == "idempotent"
    {
        return Ok(Vec::new());
    }
    let mut problems = Problems::default();
    let mut methods = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let is_upper = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase());
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) if is_upper && method != Method::CONNECT => methods.push(method),
            _ => problems.add(InvalidField::new(
                format!("methods[{index}]"),
                "must be a method in capitals, such as POST, or idempotent for all of those",
            )),
        }
    }
    if names.is_empty() {
        problems.add(InvalidField::new("methods", "must not be empty"));
    }
    problems.finish()?;
    Ok(methods)
}

/// What is kept of a request.
const MAX_BODY: u64 = 64 * 1024;
