//! `telemetry.receive.kafka`: what is taken, and what is said of what is not.

use super::*;

fn said(receive: &str) -> String {
    let text = format!("telemetry:\n  receive: {receive}\n{SMALL}");
    let error = Config::parse(&text, Some("b.yaml"), &root()).expect_err(receive);
    error.to_string()
}

#[cfg(not(feature = "kafka"))]
#[test]
fn a_build_without_the_feature_says_so() {
    assert_eq!(
        said("{ kafka: { brokers: [localhost], group: shop } }"),
        "b.yaml:2:14: telemetry.receive.kafka: needs a build with the feature kafka, which this one has not"
    );
}

#[cfg(feature = "kafka")]
mod with {
    use super::*;

    fn receive(receive: &str) -> Receive {
        let config = parsed(&format!("telemetry: {{ receive: {receive} }}\n{SMALL}"));
        config.receive().expect("received").clone()
    }

    #[test]
    fn topics_stand_alone_or_beside_addresses() {
        let alone = receive("{ kafka: { brokers: [localhost], group: shop } }");
        assert_eq!(alone.addresses().count(), 0);
        let kafka = alone.kafka().expect("topics");
        assert_eq!(
            kafka.topics().collect::<Vec<_>>(),
            ["otlp_spans", "otlp_metrics"]
        );
        assert_eq!((kafka.group(), kafka.reads_all()), ("shop", false));
        let fields = "brokers: [localhost], group: shop, traces: [a, b], initial_offset: earliest";
        let beside = receive(&format!(
            "{{ grpc: 127.0.0.1:4317, kafka: {{ {fields} }} }}"
        ));
        let kafka = beside.kafka().expect("topics");
        assert_eq!((kafka.traces().len(), kafka.metrics().len()), (2, 0));
        assert!(kafka.reads_all() && beside.grpc().is_some());
    }

    #[test]
    fn brokers_may_have_any_port() {
        let text = "telemetry: { receive: { kafka: { brokers: [localhost], group: shop } } }\n";
        let config = parsed(&format!("{text}{SMALL}"));
        let why = "the brokers of Kafka say their ports";
        assert_eq!(config.needs().ports(), Err(why));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (receive, expected) in SAID {
            assert_eq!(said(receive), format!("b.yaml:{expected}"), "{receive}");
        }
    }

    const SAID: &[(&str, &str)] = &[
        (
            "{ kafka: { group: shop } }",
            "2:14: telemetry.receive.kafka.brokers: is required",
        ),
        (
            "{ kafka: { brokers: [], group: shop } }",
            "2:23: telemetry.receive.kafka.brokers: must have 1 to 16 entries",
        ),
        (
            "{ kafka: { brokers: [kafka], group: shop } }",
            "2:33: telemetry.receive.kafka.brokers[0]: must be on a loopback address: whoever can write to the topics can open \
             breakers, and the connection has no TLS; allow_remote: true beside it allows that",
        ),
        (
            "{ kafka: { brokers: ['plaintext://localhost'], group: shop } }",
            "2:33: telemetry.receive.kafka.brokers[0]: must be host or host:port, such as kafka:9092",
        ),
        (
            "{ kafka: { brokers: [localhost], group: my group } }",
            "2:52: telemetry.receive.kafka.group: must be 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'",
        ),
        (
            "{ kafka: { brokers: [localhost], group: shop, traces: a, metrics: [b, a] } }",
            "2:82: telemetry.receive.kafka.metrics[1]: must not name a topic again",
        ),
        (
            "{ kafka: { brokers: [localhost], group: shop, initial_offset: newest } }",
            "2:74: telemetry.receive.kafka.initial_offset: must be latest or earliest",
        ),
        (
            "{ kafka: { brokers: [localhost], group: shop }, forward: 'http://c:4317' }",
            "2:69: telemetry.receive.forward: needs grpc or http beside it: it is not for what comes from Kafka",
        ),
    ];
}
