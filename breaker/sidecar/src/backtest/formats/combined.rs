//! Logs in the combined format with additional fields at the end: nginx, Apache and Traefik.
//!
//! The date has whole seconds. For nginx, it is the end of the request; for Apache and Traefik, the
//! start.

use std::time::Duration;

use super::text::{Token, route_of_request, tokens};
use crate::backtest::line::{Ending, Line};
use crate::backtest::loss::Bad;
use crate::backtest::when;

/// A line up to the user agent, and what follows.
struct Combined<'a> {
    date: &'a str,
    request: &'a str,
    status: u16,
    rest: Vec<Token<'a>>,
}

pub(super) fn is(line: &str) -> bool {
    Combined::read(line).is_some()
}

pub(super) fn is_nginx(line: &str) -> bool {
    Combined::read(line).is_some_and(|line| line.request_time().is_some())
}

pub(super) fn is_apache(line: &str) -> bool {
    Combined::read(line).is_some_and(|line| line.micros().is_some())
}

pub(super) fn is_traefik(line: &str) -> bool {
    Combined::read(line).is_some_and(|line| line.traefik().is_some())
}

pub(super) fn nginx(line: &str) -> Result<Option<Line<'_>>, Bad> {
    let line = Combined::checked(line)?;
    let lasted = line
        .request_time()
        .ok_or_else(|| Bad::field("there must be a $request_time"))?;
    let latency = line
        .named(&["urt=", "upstream_response_time="])
        .and_then(sum)
        .unwrap_or(lasted);
    line.request(lasted, latency, route_of_request(line.request))
        .map(Some)
}

pub(super) fn apache(line: &str) -> Result<Option<Line<'_>>, Bad> {
    let line = Combined::checked(line)?;
    let latency = line
        .micros()
        .ok_or_else(|| Bad::field("there must be a %D at the end"))?;
    line.request(Duration::ZERO, latency, route_of_request(line.request))
        .map(Some)
}

pub(super) fn traefik(line: &str) -> Result<Option<Line<'_>>, Bad> {
    let line = Combined::checked(line)?;
    let (router, latency) = line
        .traefik()
        .ok_or_else(|| Bad::field("there must be a duration in ms"))?;
    let route = match router {
        "-" | "" => route_of_request(line.request),
        router => router.into(),
    };
    line.request(Duration::ZERO, latency, route).map(Some)
}

impl<'a> Combined<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let tokens = tokens(line);
        let date = tokens
            .iter()
            .position(|token| token.bracketed().is_some())?;
        let after = &tokens[date + 1..];
        let [request, status, size, ..] = after else {
            return None;
        };
        size.bare()?;
        let status = status
            .bare()?
            .parse()
            .ok()
            .filter(|status| *status <= 999)?;
        // The common format ends here. The combined format also has referer and user agent.
        let rest = match &after[3..] {
            [referer, agent, rest @ ..] if referer.quoted().and(agent.quoted()).is_some() => rest,
            rest => rest,
        };
        let date = tokens[date].bracketed()?;
        when::common_log(date)?;
        Some(Self {
            date,
            request: request.quoted()?,
            status,
            rest: rest.to_vec(),
        })
    }

    fn checked(line: &'a str) -> Result<Self, Bad> {
        Self::read(line).ok_or_else(|| Bad::syntax("it is no line of a combined log"))
    }

    fn request(
        &self,
        since: Duration,
        latency: Duration,
        route: std::borrow::Cow<'a, str>,
    ) -> Result<Line<'a>, Bad> {
        let end = when::common_log(self.date).ok_or_else(|| Bad::field("there must be a date"))?;
        let ending = Ending::logged(self.status)
            .ok_or_else(|| Bad::field(format!("status must be 100 to 999, not {}", self.status)))?;
        Ok(Line::ended(end, since, latency, route, ending))
    }

    /// The value after one of `names`.
    fn named(&self, names: &[&str]) -> Option<&'a str> {
        let mut bare = self.rest.iter().filter_map(|token| token.bare());
        bare.find_map(|text| {
            let value = names.iter().find_map(|name| text.strip_prefix(name))?;
            Some(value.trim_matches('"'))
        })
    }

    /// nginx writes seconds with three decimals.
    fn request_time(&self) -> Option<Duration> {
        if let Some(named) = self.named(&["rt=", "request_time=", "reqtime="]) {
            return seconds(named);
        }
        let texts = self.rest.iter().map(|token| token.text);
        texts.filter(|text| text.contains('.')).find_map(seconds)
    }

    /// Apache's `%D` writes microseconds.
    fn micros(&self) -> Option<Duration> {
        let mut bare = self.rest.iter().rev().filter_map(|token| token.bare());
        bare.find_map(|text| text.parse().ok())
            .map(Duration::from_micros)
    }

    /// The name of the router, and the duration.
    fn traefik(&self) -> Option<(&'a str, Duration)> {
        let [count, router, server, lasted] = &self.rest[..] else {
            return None;
        };
        server.quoted()?;
        count.bare()?;
        let millis = lasted.bare()?.strip_suffix("ms")?.parse().ok()?;
        Some((router.quoted()?, Duration::from_millis(millis)))
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = is_number.then(|| text.parse().ok()).flatten()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The sum of the times of the upstreams that nginx tried: `0.001, 0.020`. `-` means no time.
pub(super) fn sum(list: &str) -> Option<Duration> {
    let times = list
        .split([',', ':'])
        .map(str::trim)
        .filter(|time| *time != "-" && !time.is_empty());
    times
        .map(seconds)
        .try_fold(None, |sum: Option<Duration>, time| {
            Some(Some(sum.unwrap_or_default() + time?))
        })?
}
