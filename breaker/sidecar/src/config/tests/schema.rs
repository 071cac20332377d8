//! What the JSON Schema says of each field, and whether it is so.

use std::fs;

use breaker_tower::breaker_core::policy::yaml::{self, Period};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::config::scalar::Scalar;
use crate::config::{Config, ConfigError, Size, in_words, schema};

/// The fields of one mapping.
pub(super) struct Section {
    /// With `[]` for the entries of a list, and `.NAME` for those of a mapping.
    pub(super) path: String,
    pub(super) description: String,
    pub(super) fields: Vec<Field>,
}

/// A field, and what the schema says of it.
pub(super) struct Field {
    pub(super) path: String,
    pub(super) said: Value,
    pub(super) is_required: bool,
    pub(super) is_mapping: bool,
}

/// A schema, whose fields can be walked.
pub(super) struct Walk {
    pub(super) root: Value,
    sections: Vec<Section>,
    seen: Vec<String>,
}

// === impl Walk ===

impl Walk {
    pub(super) fn of(root: schemars::Schema) -> Self {
        Self {
            root: root.to_value(),
            sections: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// All sections, each before those within it.
    pub(super) fn sections(mut self) -> Vec<Section> {
        let root = self.root.clone();
        self.add("", &root);
        self.sections
    }

    fn add(&mut self, path: &str, mapping: &Value) {
        let said = mapping.to_string();
        if self.seen.contains(&said) {
            return;
        }
        self.seen.push(said);
        let required = mapping["required"].as_array().cloned().unwrap_or_default();
        let mut within = Vec::new();
        let mut fields = Vec::new();
        for (name, said) in mapping["properties"].as_object().into_iter().flatten() {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{name}");
            let nested = self.nested(said);
            if let Some((suffix, mapping)) = &nested {
                within.push((format!("{path}{suffix}"), mapping.clone()));
            }
            fields.push(Field {
                path,
                said: said.clone(),
                is_required: required.contains(&json!(name)),
                is_mapping: nested.is_some_and(|_| !self.has_value(said)),
            });
        }
        let description = mapping["description"].as_str().unwrap_or_default();
        self.sections.push(Section {
            path: path.to_owned(),
            description: description.to_owned(),
            fields,
        });
        for (path, mapping) in within {
            self.add(&path, &mapping);
        }
    }

    /// The mapping in a field, with what is between their paths.
    fn nested(&self, said: &Value) -> Option<(String, Value)> {
        self.alternatives(said).into_iter().find_map(|one| {
            if one["properties"].is_object() {
                return (one["title"] != "Breaker policy").then_some((String::new(), one));
            }
            let (between, inner) = match (&one["items"], &one["additionalProperties"]) {
                (items, _) if items.is_object() => ("[]", items),
                (_, entries) if entries.is_object() => (".NAME", entries),
                _ => return None,
            };
            let (suffix, mapping) = self.nested(inner)?;
            Some((format!("{between}{suffix}"), mapping))
        })
    }

    /// Whether it may be something else than a mapping.
    fn has_value(&self, said: &Value) -> bool {
        let alternatives = self.alternatives(said);
        alternatives.iter().any(|one| {
            let inner = [&one["items"], &one["additionalProperties"]];
            let mut inner = inner.into_iter().filter(|inner| inner.is_object());
            !one["properties"].is_object() && inner.all(|inner| self.has_value(inner))
        })
    }

    /// What a value may be, each by itself. What has a title is told by it.
    pub(super) fn alternatives(&self, said: &Value) -> Vec<Value> {
        if let Some(reference) = said["$ref"].as_str() {
            let definition = self.root.pointer(&reference[1..]).expect(reference);
            return self.alternatives(definition);
        }
        match said["anyOf"].as_array() {
            Some(any) if said["title"].is_null() => {
                let any = any.iter().filter(|one| one["type"] != "null");
                any.flat_map(|one| self.alternatives(one)).collect()
            }
            _ => vec![said.clone()],
        }
    }
}

// === impl Field ===

impl Field {
    /// The range, in the words of the rule that is told when it is broken.
    pub(super) fn range(&self) -> Option<String> {
        let number = |bound: &str| self.said[bound].as_f64();
        let length = |bound: &str| self.said[bound].as_u64();
        if let Some(range) = self.said["x-range"].as_str() {
            return Some(range.to_owned());
        }
        match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => return Some(format!("{least} to {most}")),
            (Some(least), None) if least > 0.0 => return Some(format!("at least {least}")),
            _ => {}
        }
        let (least, most) = (length("minItems")?, length("maxItems")?);
        Some(format!("{least} to {most} entries"))
    }

    /// Its default, if it is a value and not only words.
    pub(super) fn default(&self) -> Option<&Value> {
        self.said.get("default")
    }
}

fn fields() -> Vec<Field> {
    let policy = Walk::of(yaml::schema()).sections();
    let policy = policy.into_iter().flat_map(|section| section.fields);
    let policy = policy.map(|field| Field {
        path: format!("routes[].policy.{}", field.path),
        ..field
    });
    let config = Walk::of(schema()).sections();
    let config = config.into_iter().flat_map(|section| section.fields);
    config.chain(policy).collect()
}

/// A configuration that has every list, and every condition of a policy.
fn base() -> Value {
    let trip = json!({
        "error_rate": "50%", "slow_rate": "50%", "slow_threshold": "1s", "concurrency": 100,
        "consecutive_failures": 5, "anomaly": "errors", "p50": "1s",
    });
    let export = json!({
        "endpoint": "http://127.0.0.1:5317", "client_certificate": "client.pem",
        "client_key": "client.key",
    });
    json!({
        "telemetry": { "receive": { "grpc": "127.0.0.1:6317" }, "export": export },
        "upstreams": { "pay": { "endpoints": ["http://127.0.0.1:9001"] } },
        "routes": [{
            "name": "pay",
            "upstream": "pay",
            "policy": { "trip": [trip] },
            "feeds": [{ "name": "ledger", "service": "checkout" }],
        }],
    })
}

/// The base with `value` at a path of the schema, and the path as errors name it.
fn with(path: &str, value: Value) -> (Value, String) {
    let mut config = base();
    // What these sections must have beside any field.
    let upstream = &mut config["upstreams"].as_object_mut().unwrap();
    let upstream = upstream.values_mut().next().unwrap();
    if path.contains(".discover.") {
        *upstream = json!({ "discover": { "name": "pay.shop", "port": 80 } });
    }
    if path.contains(".health.") && !path.ends_with(".grpc") {
        upstream["health"] = json!({ "path": "/" });
    }
    if path.starts_with("upstreams.NAME.tls") {
        *upstream = json!({
            "endpoints": ["https://127.0.0.1:9001"],
            "tls": { "roots": "tls/ca.crt" },
        });
    }
    if path.ends_with(".fallback.upstream") || path.contains(".fallback.policy") {
        let other = json!({ "endpoints": ["http://127.0.0.1:9002"] });
        config["upstreams"]["pay-replica"] = other;
        config["routes"][0]["fallback"] = json!({ "upstream": "pay-replica" });
    } else if path.contains(".fallback.") {
        config["routes"][0]["fallback"] = json!({ "body": "x" });
    }
    let pair = json!({ "cert": "tls/tls.crt", "key": "tls/tls.key" });
    if path.starts_with("identity.") || path.ends_with(".present") {
        config["identity"] = match path {
            "identity.spiffe" => json!({}),
            _ => pair.clone(),
        };
    }
    for listener in ["tls", "admin_tls"] {
        if path.starts_with(&format!("{listener}.")) {
            config[listener] = match path.contains(".certificates") {
                true => json!({ "certificates": [pair] }),
                false => pair.clone(),
            };
        }
    }
    if path.starts_with("admin_tls.clients") {
        config["admin_tls"]["clients"] = json!({ "roots": "tls/ca.crt" });
    }
    if path.starts_with("telemetry.receive.tls.") && !path.contains("certificates[]") {
        config["telemetry"] = json!({ "receive": { "tls": pair } });
    }
    if path.starts_with("telemetry.receive.tls.clients") {
        config["telemetry"]["receive"]["tls"]["clients"] = json!({ "roots": "tls/ca.crt" });
    }
    if path.starts_with("telemetry.receive.kafka.") {
        let kafka = json!({ "brokers": ["127.0.0.1"], "group": "shop" });
        config["telemetry"] = json!({ "receive": { "kafka": kafka } });
    }
    if path.starts_with("tls.clients") || path.ends_with("match.peer") {
        config["tls"] = pair;
        config["tls"]["clients"] = json!({ "roots": "tls/ca.crt" });
    }
    if path.starts_with("fleet.") {
        config["fleet"] = json!({ "name": "pay", "engine": "redis://127.0.0.1" });
    }
    if path.starts_with("follow.") {
        config["follow"] = json!({ "brain": "https://brain:9900" });
    }
    let mut at = &mut config;
    let mut told = String::new();
    for segment in path.split('.') {
        let name = segment.trim_end_matches("[]");
        if !at.is_object() {
            *at = json!({});
        }
        let mapping = at.as_object_mut().unwrap();
        let name = match name {
            "NAME" => mapping.keys().next().cloned().unwrap_or("NAME".to_owned()),
            name => name.to_owned(),
        };
        told += if told.is_empty() { "" } else { "." };
        told += &name;
        at = mapping.entry(name).or_insert(Value::Null);
        if segment.ends_with("[]") {
            told += "[0]";
            at = &mut at[0];
        }
    }
    *at = value;
    (config, told)
}

/// What is said about a field that has `value`.
fn rule_for(path: &str, value: Value) -> Option<String> {
    let (config, told) = with(path, value);
    let errors = match parse(&config, &folder()) {
        Ok(_) => return None,
        Err(error) => error.errors().to_vec(),
    };
    let mut errors = errors.into_iter();
    errors
        .find(|error| error.field.starts_with(&told))
        .map(|error| error.rule)
}

/// A folder with the files that examples name.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    for file in ["token", "fleet.key", "ca.pem", "client.pem", "client.key"] {
        fs::write(folder.path().join(file), "0123456789abcdef0123456789abcdef").unwrap();
    }
    let tls = folder.path().join("tls");
    fs::create_dir(&tls).unwrap();
    let made = super::tls::folder();
    for (from, to) in [
        ("good.crt", "tls.crt"),
        ("good.key", "tls.key"),
        ("ca.crt", "ca.crt"),
    ] {
        fs::copy(made.path().join(from), tls.join(to)).unwrap();
    }
    folder
}

fn parse(config: &Value, folder: &TempDir) -> Result<Config, ConfigError> {
    Config::parse(&config.to_string(), None, folder.path())
}

/// Just outside and just inside of a range, as far as its words are values.
fn bounds(range: &str) -> (Vec<Value>, Vec<Value>) {
    if range == "more than 0% and at most 100%" {
        return (vec![json!("0%")], vec![json!("100%")]);
    }
    let (least, most) = range.split_once(" to ").unwrap_or((range, ""));
    let most = most.trim_end_matches(" entries");
    let (mut outside, mut inside) = (Vec::new(), Vec::new());
    for (bound, is_most) in [(least, false), (most, true)] {
        let next = |number: u64| match is_most {
            true => number.checked_add(1),
            false => number.checked_sub(1),
        };
        let (value, next) = if let Ok(number) = bound.parse::<u64>() {
            (json!(number), next(number).map(|next| json!(next)))
        } else if let Ok(Period(time)) = Period::parse(bound) {
            let millis = u64::try_from(time.as_millis()).unwrap();
            let next = next(millis).map(|next| json!(format!("{next}ms")));
            (json!(in_words(time)), next)
        } else if let Ok(Size(bytes)) = <Size as Scalar>::parse(bound) {
            (json!(bytes), next(bytes).map(|next| json!(next)))
        } else {
            continue;
        };
        inside.push(value);
        outside.extend(next);
    }
    (outside, inside)
}

#[test]
fn every_field_says_what_it_is() {
    let walk = Walk::of(schema());
    let mut lacking = Vec::new();
    for field in fields() {
        let said = |key: &str| !field.said[key].is_null();
        let mut alternatives = walk.alternatives(&field.said).into_iter();
        let is_ordered = alternatives.any(|one| {
            let title = one["title"].as_str().unwrap_or_default();
            let kind = one["type"].to_string();
            ["time", "share", "size"].contains(&title)
                || one["enum"].is_null() && (kind.contains("integer") || kind.contains("number"))
        });
        for (what, is_there) in [
            ("description", said("description")),
            (
                "default",
                field.is_required || field.is_mapping || said("default") || said("x-default"),
            ),
            ("example", field.is_mapping || said("examples")),
            (
                "range",
                !is_ordered || field.is_mapping || field.range().is_some(),
            ),
        ] {
            if !is_there {
                lacking.push(format!("{}: {what}", field.path));
            }
        }
    }
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

#[test]
fn a_default_is_what_a_field_is_when_it_is_left_out() {
    let mut compared = 0;
    let folder = folder();
    for field in fields() {
        let Some(default) = field.default() else {
            continue;
        };
        if field.path.contains(".kafka.") && !cfg!(feature = "kafka") {
            continue;
        }
        let (with, _) = with(&field.path, default.clone());
        // Beside a name, so that the mapping around it is there in both.
        let mut without = with.clone();
        remove(&mut without, &field.path);
        let shown = |config: &Value| {
            let mut config = parse(config, &folder).expect(&field.path);
            config.origin = Default::default();
            // A default that is written out may be told to have no effect.
            config.warnings.clear();
            format!("{config:?}")
        };
        assert_eq!(shown(&with), shown(&without), "{}", field.path);
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
}

fn remove(config: &mut Value, path: &str) {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = config;
    for segment in parent.split('.').filter(|segment| !segment.is_empty()) {
        let name = segment.trim_end_matches("[]");
        at = match name {
            "NAME" => at.as_object_mut().unwrap().values_mut().next().unwrap(),
            name => &mut at[name],
        };
        if segment.ends_with("[]") {
            at = &mut at[0];
        }
    }
    at.as_object_mut()
        .map(|mapping: &mut Map<_, _>| mapping.remove(name));
}

#[test]
fn a_range_is_what_a_field_is_held_to() {
    let mut tried = 0;
    let mut wrong = Vec::new();
    for field in fields() {
        let Some(range) = field.range().filter(|range| !range.ends_with(" entries")) else {
            continue;
        };
        // A bound that another field sets has words of its own.
        let expected = match range.contains('.') {
            true => "must ".to_owned(),
            false => format!("must be {range}"),
        };
        let (outside, inside) = bounds(&range);
        for value in outside.iter().filter(|value| **value != json!("101%")) {
            let rule = rule_for(&field.path, value.clone()).unwrap_or_default();
            if !rule.starts_with(&expected) {
                wrong.push(format!(
                    "{}: {value}: {rule:?}, not {expected:?}",
                    field.path
                ));
            }
            tried += 1;
        }
        for value in inside {
            if let Some(rule) = rule_for(&field.path, value.clone()) {
                wrong.push(format!("{}: {value}: {rule:?}", field.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 60, "{tried}");
}

#[test]
fn examples_are_good() {
    let mut wrong = Vec::new();
    for field in fields() {
        for example in field.said["examples"].as_array().into_iter().flatten() {
            if let Some(rule) = rule_for(&field.path, example.clone()) {
                wrong.push(format!("{}: {example}: {rule:?}", field.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
