use std::collections::BTreeSet;

use breaker_tower::State;
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use schemars::{Schema, schema_for};
use serde_json::Value;

use super::*;
use crate::live::Kind;
use crate::registry::Origin;

#[test]
fn every_word_has_a_value() {
    for word in State::ALL {
        assert_ne!(state(word.name()), 0);
    }
    for word in Mode::ALL {
        let number = mode_of(word.name());
        assert_eq!(mode(v1::Mode::try_from(number).unwrap()), Some(word));
    }
    for from in [Origin::Configuration, Origin::Override] {
        assert_ne!(origin(from.name()), 0);
    }
    for word in ["starting", "ready", "draining"] {
        assert_ne!(value("READINESS", word, v1::Readiness::from_str_name), 0);
    }
    for kind in Kind::ALL {
        let event: v1::Event = (&Event::now(kind, None)).into();
        assert_ne!(event.kind(), v1::EventKind::Unspecified, "{kind:?}");
    }
}

#[test]
fn what_is_told_as_json_is_told_by_grpc_too() {
    let messages = Messages::new();
    messages.compare(&schema_for!(Breaker), "Breaker");
    messages.compare(&schema_for!(Policy), "Policy");
    messages.compare(&schema_for!(Status), "Status");
    messages.compare(&schema_for!(Reloaded), "ReloadConfigurationResponse");
    messages.compare(&schema_for!(Event), "Event");
}

/// The messages of `control.proto`.
struct Messages(Vec<DescriptorProto>);

impl Messages {
    fn new() -> Self {
        let described = FileDescriptorSet::decode(v1::FILE_DESCRIPTOR_SET).unwrap();
        let files = described.file.into_iter();
        Self(files.flat_map(|file| file.message_type).collect())
    }

    /// Compares the fields of a type and of a message, and of all that are in them.
    fn compare(&self, schema: &Schema, message: &str) {
        let root = schema.as_value();
        self.compare_part(root, root, message);
    }

    fn compare_part(&self, root: &Value, part: &Value, message: &str) {
        let mut described = self.0.iter();
        let described = described.find(|known| known.name() == message).unwrap();
        let properties = part["properties"].as_object().unwrap();
        let names = properties.keys().map(String::as_str);
        let json: BTreeSet<&str> = names.flat_map(renamed).collect();
        let fields: BTreeSet<&str> = described.field.iter().map(|field| field.name()).collect();
        assert_eq!(json, fields, "{message}");
        for field in &described.field {
            let inner = field.type_name().rsplit('.').next().unwrap();
            if !self.0.iter().any(|known| known.name() == inner) {
                continue;
            }
            self.compare_part(root, definition(root, &properties[field.name()]), inner);
        }
    }
}

/// What is called otherwise in messages.
fn renamed(name: &str) -> Vec<&str> {
    match name {
        "t" => vec!["time"],
        "interval" => vec!["low", "high"],
        name => vec![name],
    }
}

/// The definition that a property refers to, be it optional or a list.
fn definition<'a>(root: &'a Value, property: &'a Value) -> &'a Value {
    let mut places = [
        property,
        &property["items"],
        &property["anyOf"][0],
        &property["allOf"][0],
    ]
    .into_iter();
    let name = places.find_map(|place| place["$ref"].as_str()).unwrap();
    root.pointer(name.trim_start_matches('#')).unwrap()
}
