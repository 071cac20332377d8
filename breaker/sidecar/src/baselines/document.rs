//! What is in the file: JSON lines. The first says what the file is and has a checksum of the
//! others, the second says when it was written, each other is what one route has learned.

use std::fmt;
use std::hash::Hasher;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use breaker_tower::breaker_core::policy::{LatencyMeasure, Signal};
use breaker_tower::breaker_core::{
    Baseline, InvalidField, LatencyBounds, SignalBaseline, SourceBaseline,
};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// What the file tells.
#[derive(Debug, PartialEq)]
pub(crate) struct Document {
    /// When it was written, since 1970.
    pub(crate) saved: Duration,
    pub(crate) routes: Vec<StoredBaseline>,
}

/// What one route has learned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredBaseline {
    pub(crate) route: String,
    pub(crate) version: Option<String>,
    pub(crate) baseline: Baseline,
}

/// Why the file can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    TooLarge,
    /// Not a file of ours, or the beginning is damaged.
    Foreign,
    Version(u32),
    /// Truncated, or changed.
    Checksum,
    /// A line that breaks a rule, though the checksum is good.
    Line(usize, String),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: String,
    version: u32,
    checksum: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    saved: Duration,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Route {
    route: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    sources: Vec<Source>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Source {
    source: String,
    deadline: Duration,
    latency: Measure,
    #[serde(alias = "streams")]
    signals: Vec<Learned>,
    /// Base64, a byte a minute.
    p95s: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Measure {
    Head,
    Complete,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    #[serde(alias = "stream")]
    signal: String,
    observations: f64,
    hits: f64,
}

/// The file's bytes. A route that would take more than its share is left out, and told of.
pub(crate) fn encode(saved: Duration, routes: &[StoredBaseline]) -> Vec<u8> {
    let mut lines = line(&Written { saved });
    for kept in routes {
        let route = line(&Route::from(kept));
        if route.len() > MOST_LINE {
            tracing::warn!(route = kept.route, bytes = route.len(), "too much to keep");
        } else {
            lines.extend(route);
        }
    }
    let mut file = line(&Head {
        format: FORMAT.to_owned(),
        version: VERSION,
        checksum: checksum(&lines),
    });
    file.extend(lines);
    file
}

/// What the file's bytes say.
pub(crate) fn decode(bytes: &[u8]) -> Result<Document, Unusable> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Unusable::TooLarge);
    }
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, lines) = bytes.split_at(end.ok_or(Unusable::Foreign)? + 1);
    let head: Head = serde_json::from_slice(head).map_err(|_| Unusable::Foreign)?;
    if head.format != FORMAT {
        return Err(Unusable::Foreign);
    }
    if head.version != VERSION {
        return Err(Unusable::Version(head.version));
    }
    if head.checksum != checksum(lines) {
        return Err(Unusable::Checksum);
    }
    let mut lines = lines.split_inclusive(|byte| *byte == b'\n').zip(2..);
    let (written, number) = lines.next().ok_or(Unusable::Checksum)?;
    let Written { saved } = parse(written, number)?;
    let mut routes = Vec::new();
    for (line, number) in lines {
        if line.len() > MOST_LINE {
            return Err(Unusable::TooLarge);
        }
        let route = parse::<Route>(line, number)?;
        let kept = StoredBaseline::try_from(route)
            .map_err(|error| Unusable::Line(number, error.to_string()))?;
        routes.push(kept);
    }
    Ok(Document { saved, routes })
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("plain types are JSON");
    line.push(b'\n');
    line
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8], number: usize) -> Result<T, Unusable> {
    serde_json::from_slice(line).map_err(|error| Unusable::Line(number, error.to_string()))
}

/// It tells damage, not malice: who may write the file may write the checksum too.
fn checksum(bytes: &[u8]) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    format!("{:016x}", hasher.finish())
}

// === conversions ===

impl From<&StoredBaseline> for Route {
    fn from(kept: &StoredBaseline) -> Self {
        Self {
            route: kept.route.clone(),
            version: kept.version.clone(),
            sources: kept.baseline.sources.iter().map(Source::from).collect(),
        }
    }
}

impl TryFrom<Route> for StoredBaseline {
    type Error = InvalidField;

    fn try_from(route: Route) -> Result<Self, InvalidField> {
        let sources = route.sources.into_iter().map(SourceBaseline::try_from);
        Ok(Self {
            route: route.route,
            version: route.version,
            baseline: Baseline::new(sources.collect::<Result<Vec<_>, _>>()?),
        })
    }
}

impl From<&SourceBaseline> for Source {
    fn from(source: &SourceBaseline) -> Self {
        let LatencyBounds { deadline, measure } = source.bounds();
        let signals = source.signals().iter().map(|learned| Learned {
            signal: learned.signal().name().to_owned(),
            observations: learned.observations(),
            hits: learned.hits(),
        });
        Self {
            source: source.name().to_string(),
            deadline,
            latency: match measure {
                LatencyMeasure::Complete => Measure::Complete,
                _ => Measure::Head,
            },
            signals: signals.collect(),
            p95s: STANDARD.encode(source.p95s()),
        }
    }
}

impl TryFrom<Source> for SourceBaseline {
    type Error = InvalidField;

    fn try_from(source: Source) -> Result<Self, InvalidField> {
        let bounds = LatencyBounds {
            deadline: source.deadline,
            measure: match source.latency {
                Measure::Head => LatencyMeasure::Head,
                Measure::Complete => LatencyMeasure::Complete,
            },
        };
        let signals = source.signals.into_iter().map(SignalBaseline::try_from);
        let signals = signals.collect::<Result<Vec<_>, _>>()?;
        let p95s = STANDARD.decode(source.p95s);
        let p95s = p95s.map_err(|error| InvalidField::new("p95s", error.to_string()))?;
        Self::new(source.source, bounds, signals, p95s)
    }
}

impl TryFrom<Learned> for SignalBaseline {
    type Error = InvalidField;

    fn try_from(learned: Learned) -> Result<Self, InvalidField> {
        let mut signals = Signal::ALL.into_iter();
        let signal = signals.find(|signal| signal.name() == learned.signal);
        let signal = signal
            .ok_or_else(|| InvalidField::new("signal", format!("{} is none", learned.signal)))?;
        Self::new(signal, learned.observations, learned.hits)
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("it is larger than 64 KiB for each route"),
            Self::Foreign => f.write_str("it does not begin like a state file of breaker"),
            Self::Version(version) => write!(f, "its version is {version}, not {VERSION}"),
            Self::Checksum => f.write_str("its checksum is wrong: it is truncated or damaged"),
            Self::Line(number, rule) => write!(f, "line {number}: {rule}"),
        }
    }
}

const FORMAT: &str = "breaker-state";
const VERSION: u32 = 1;
/// Of one route. A source takes about 2 KiB, and a route has 17 at most.
const MOST_LINE: usize = 64 << 10;
/// Of the file: a configuration has up to 10,000 routes.
pub(crate) const MOST_BYTES: u64 = 10_000 * (MOST_LINE as u64) + 1024;

#[cfg(test)]
mod tests;
