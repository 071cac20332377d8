use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use schemars::{Schema, schema_for};
use serde_json::Value;

use super::*;
use crate::report::{self, EndpointState, FleetPage, Origin, State, Upstreams};

#[test]
fn every_value_is_called_as_the_word_is() {
    for state in State::ALL {
        let name = v1::State::from(*state).as_str_name();
        assert_eq!(name, format!("STATE_{}", state.name().to_uppercase()));
    }
    for word in report::Mode::ALL {
        let value = v1::Mode::from(*word);
        assert_eq!(mode(value), Some((*word).into()));
        assert_eq!(
            value.as_str_name(),
            format!("MODE_{}", word.name().to_uppercase())
        );
    }
    for origin in Origin::ALL {
        let name = v1::Origin::from(*origin).as_str_name();
        assert_eq!(name, format!("ORIGIN_{}", origin.name().to_uppercase()));
    }
    for state in EndpointState::ALL {
        let name = v1::EndpointState::from(*state).as_str_name();
        let word = state.name().to_uppercase();
        assert_eq!(name, format!("ENDPOINT_STATE_{word}"));
    }
    for kind in Kind::ALL {
        let name = v1::EventKind::from(kind).as_str_name();
        assert_eq!(name, format!("EVENT_KIND_{}", kind.name().to_uppercase()));
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
    messages.compare(&schema_for!(Upstreams), "ListUpstreamsResponse");
    messages.compare(&schema_for!(FleetPage), "FleetPage");
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
