//! Who sends the telemetry.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;

/// The resource: our defaults, under the attributes that the environment names.
pub(crate) fn resource(from_environment: &[(String, String)]) -> Resource {
    let named = from_environment
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes([
            KeyValue::new("service.name", "breaker"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            // Without it, the series of several sidecars would be one to a collector.
            KeyValue::new(INSTANCE, random_uuid()),
        ])
        .with_attributes(named)
        .build()
}

/// Which of several sidecars `resource` is.
pub(crate) fn instance(resource: &Resource) -> Arc<str> {
    let instance = resource.get(&INSTANCE.into());
    instance.map_or_else(Arc::default, |instance| instance.to_string().into())
}

const INSTANCE: &str = "service.instance.id";

/// A version 4 UUID, from the seeds that the standard library draws for its hash maps.
fn random_uuid() -> String {
    let draw = || u128::from(RandomState::new().hash_one(0_u8));
    let bits = draw() << 64 | draw();
    let bits = bits & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids_are_uuids_of_version_4_and_differ() {
        let (one, other) = (random_uuid(), random_uuid());
        assert_ne!(one, other);
        for id in [one, other] {
            let groups: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12]);
            assert_eq!(&id[14..15], "4");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }

    #[test]
    fn the_environment_names_the_service() {
        let named = resource(&[("service.name".into(), "pay".into())]);
        assert_eq!(
            named.get(&"service.name".into()).unwrap().to_string(),
            "pay"
        );
    }
}
