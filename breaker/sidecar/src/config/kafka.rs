//! `telemetry.receive.kafka`: from which topics telemetry is read.

use std::fmt;

use breaker_tower::breaker_core::{InvalidField, InvalidValue};
use http::uri::Authority;

use super::problem::Problems;
use super::raw::{OneOrMany, RawInitialOffset, RawKafka};
use crate::hosts;

/// Topics that are read by a consumer group. There is at least one, and at least one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    brokers: Vec<BrokerAddress>,
    group: String,
    traces: Vec<String>,
    metrics: Vec<String>,
    reads_all: bool,
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    host: String,
    port: u16,
}

pub(super) fn build(raw: RawKafka) -> Result<Kafka, Problems> {
    if !cfg!(feature = "kafka") {
        let rule = "needs a build with the feature kafka, which this one has not";
        return Err(InvalidField::new("", rule).into());
    }
    checked(raw)
}

fn checked(raw: RawKafka) -> Result<Kafka, Problems> {
    let mut problems = Problems::default();
    if !(1..=MOST).contains(&raw.brokers.len()) {
        let rule = format!("must have 1 to {MOST} entries");
        problems.add(InvalidField::new("brokers", rule));
    }
    let mut brokers: Vec<BrokerAddress> = Vec::new();
    for (index, text) in raw.brokers.iter().enumerate() {
        let field = format!("brokers[{index}]");
        let broker = BrokerAddress::new(text);
        let broker = broker.map_err(|rule| InvalidField::new(field.as_str(), rule));
        let Some(broker) = problems.check(broker) else {
            continue;
        };
        if !(hosts::is_local(&broker.host) || raw.allow_remote) {
            let rule = "must be on a loopback address: whoever can write to the topics can open breakers, and the connection \
                        has no TLS; allow_remote: true beside it allows that";
            problems.add(InvalidField::new(field, rule));
        } else if brokers.contains(&broker) {
            problems.add(InvalidField::new(field, "must not name a broker again"));
        }
        brokers.push(broker);
    }
    if !is_legal(&raw.group) {
        problems.add(InvalidField::new("group", LEGAL));
    }
    let usual = |topic: &str| Some(OneOrMany(vec![topic.to_owned()]));
    let (traces, metrics) = match (raw.traces, raw.metrics) {
        (None, None) => (usual("otlp_spans"), usual("otlp_metrics")),
        given => given,
    };
    let mut known = Vec::new();
    let mut topics = |field: &str, topics: Option<OneOrMany<String>>| {
        let Some(OneOrMany(topics)) = topics else {
            return Vec::new();
        };
        if !(1..=MOST).contains(&topics.len()) {
            let rule = format!("must have 1 to {MOST} entries");
            problems.add(InvalidField::new(field, rule));
        }
        for (index, topic) in topics.iter().enumerate() {
            // Of one topic that is no list, the field is the place.
            let place = match topics.len() {
                1 => field.to_owned(),
                _ => format!("{field}[{index}]"),
            };
            if !is_legal(topic) || matches!(&**topic, "." | "..") {
                problems.add(InvalidField::new(place, LEGAL));
            } else if known.contains(topic) {
                problems.add(InvalidField::new(place, "must not name a topic again"));
            }
            known.push(topic.clone());
        }
        topics
    };
    let (traces, metrics) = (topics("traces", traces), topics("metrics", metrics));
    problems.finish()?;
    Ok(Kafka {
        brokers,
        group: raw.group,
        traces,
        metrics,
        reads_all: matches!(raw.initial_offset, RawInitialOffset::Earliest),
    })
}

/// Whether Kafka takes it as a topic's name.
fn is_legal(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=249).contains(&name.len()) && name.chars().all(is_plain)
}

// === impl Kafka ===

impl Kafka {
    /// The brokers that are asked first.
    pub fn brokers(&self) -> &[BrokerAddress] {
        &self.brokers
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Topics with spans.
    pub fn traces(&self) -> &[String] {
        &self.traces
    }

    /// Topics with metrics; none of them is one with spans.
    pub fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// All topics.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.traces.iter().chain(&self.metrics).map(String::as_str)
    }

    /// Whether a partition without a committed offset is read from its oldest message on, and not
    /// from its end.
    pub const fn reads_all(&self) -> bool {
        self.reads_all
    }
}

// === impl BrokerAddress ===

impl BrokerAddress {
    fn new(text: &str) -> Result<Self, InvalidValue> {
        let rule = || InvalidValue::from("must be host or host:port, such as kafka:9092");
        let authority: Authority = text.parse().map_err(|_error| rule())?;
        let (plain, port) = hosts::parts(&authority, PORT).ok_or_else(rule)?;
        let host = authority.host();
        // What else the text has: a user, or a port that is no number. A comma would end the host.
        let shown = [format!("{host}:{port}"), host.to_owned()];
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:[]".contains(c);
        let is_host = !host.is_empty() && host.chars().all(is_plain);
        if !is_host || !shown.iter().any(|shown| shown == text) {
            return Err(rule());
        }
        Ok(Self {
            host: plain.to_owned(),
            port,
        })
    }
}

/// As the client of Kafka takes it.
impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

const LEGAL: &str = "must be 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'";
/// Brokers, and topics of one kind.
const MOST: usize = 16;
const PORT: u16 = 9092;

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> RawKafka {
        RawKafka {
            brokers: vec!["127.0.0.1:9092".to_owned()],
            group: "shop".to_owned(),
            traces: None,
            metrics: None,
            initial_offset: RawInitialOffset::Latest,
            allow_remote: false,
        }
    }

    fn topics(names: &[&str]) -> Option<OneOrMany<String>> {
        let names = names.iter().map(ToString::to_string);
        Some(OneOrMany(names.collect()))
    }

    fn said(change: impl FnOnce(&mut RawKafka)) -> String {
        let mut raw = raw();
        change(&mut raw);
        format!("{:?}", checked(raw).unwrap_err())
    }

    #[test]
    fn the_topics_are_those_of_the_collector_unless_one_is_named() {
        let read = |change: fn(&mut RawKafka)| {
            let mut raw = raw();
            change(&mut raw);
            let kafka = checked(raw).unwrap();
            (kafka.traces().join(","), kafka.metrics().join(","))
        };
        let both = read(|_| {});
        assert_eq!(both, ("otlp_spans".to_owned(), "otlp_metrics".to_owned()));
        let spans = read(|raw| raw.traces = topics(&["a", "b"]));
        assert_eq!(spans, ("a,b".to_owned(), String::new()));
        let points = read(|raw| raw.metrics = topics(&["m"]));
        assert_eq!(points, (String::new(), "m".to_owned()));
    }

    #[test]
    fn a_broker_is_a_host_and_a_port_which_has_a_default() {
        for (text, shown) in [
            ("kafka", "kafka:9092"),
            ("kafka-1.shop:29092", "kafka-1.shop:29092"),
            ("[::1]", "[::1]:9092"),
            ("[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(BrokerAddress::new(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            ":9092",
            "kafka:",
            "kafka:0",
            "kafka:x",
            "u@kafka",
            "a,b:1",
            "plaintext://kafka:1",
            "kafka:99999",
        ] {
            assert!(BrokerAddress::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_brokers_on_loopback_are_allowed_unless_it_is_said() {
        let remote = |raw: &mut RawKafka| raw.brokers = vec!["kafka:9092".to_owned()];
        assert!(said(remote).contains("brokers[0]"));
        let mut raw = raw();
        remote(&mut raw);
        raw.allow_remote = true;
        assert_eq!(checked(raw).unwrap().brokers()[0].to_string(), "kafka:9092");
    }

    #[test]
    fn what_is_wrong_is_said_of_its_field() {
        let all = said(|raw| {
            raw.brokers = Vec::new();
            raw.group = "my group".to_owned();
            raw.traces = topics(&["a", ".."]);
            raw.metrics = topics(&["a"]);
        });
        for field in ["\"brokers\"", "\"group\"", "\"traces[1]\"", "\"metrics\""] {
            assert!(all.contains(field), "{field}: {all}");
        }
        let twice =
            said(|raw| raw.brokers = vec!["localhost".to_owned(), "localhost:9092".to_owned()]);
        assert!(twice.contains("\"brokers[1]\""), "{twice}");
        assert!(said(|raw| raw.traces = topics(&[])).contains("1 to 16"));
    }
}
