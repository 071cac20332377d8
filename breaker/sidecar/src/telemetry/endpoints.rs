//! What a collection reads from the endpoints of upstreams.

use std::sync::Arc;

use breaker_tower::breaker_core::{EndpointSnapshot, EndpointState};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::names::{self, Metric};
use crate::proxy::Routes;
use crate::upstream::{Endpoint, Upstream};

/// Registers the instruments that are observed. Of an upstream with one endpoint there is nothing
/// to tell that its route does not tell.
pub(super) fn register(meter: &Meter, routes: Routes) {
    gauge(meter, names::ENDPOINT_STATE, &routes, |upstream, gauge| {
        for (endpoint, attributes) in endpoints(upstream) {
            for state in EndpointState::ALL {
                let state_name = KeyValue::new(names::ENDPOINT_STATE_NAME, state.label());
                let attributes = with(&attributes, state_name);
                gauge.observe((endpoint.state == state).into(), &attributes);
            }
        }
    });
    gauge(
        meter,
        names::UPSTREAM_ENDPOINTS,
        &routes,
        |upstream, gauge| {
            let (_, known) = upstream.instances().snapshot();
            for state in EndpointState::ALL {
                let are_in = known.endpoints.iter().filter(|it| it.state == state);
                let state_name = KeyValue::new(names::ENDPOINT_STATE_NAME, state.label());
                let attributes = with(&[name(upstream)], state_name);
                gauge.observe(are_in.count() as u64, &attributes);
            }
        },
    );
    gauge(meter, names::UPSTREAM_PANIC, &routes, |upstream, gauge| {
        let panic = upstream.instances().state().is_panicking();
        gauge.observe(panic.into(), &[name(upstream)]);
    });
    counter(
        meter,
        names::ENDPOINT_EJECTIONS,
        &routes,
        |routes, counter| {
            for upstream in several(routes) {
                for (reason, count) in upstream.instances().ejections() {
                    let reason = KeyValue::new(names::ENDPOINT_REASON, reason);
                    counter.observe(count, &with(&[name(&upstream)], reason));
                }
            }
        },
    );
    counter(meter, names::RETRIES, &routes, |routes, counter| {
        for (route, retries) in routes.retries() {
            let route = KeyValue::new(names::BREAKER_NAME, route);
            for (outcome, count) in retries.counts() {
                let outcome = KeyValue::new(names::RETRY_OUTCOME, outcome);
                counter.observe(count, &[route.clone(), outcome]);
            }
        }
    });
    let metric = names::ENDPOINT_LOAD;
    meter
        .f64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| {
            for upstream in several(&routes) {
                for (endpoint, attributes) in endpoints(&upstream) {
                    gauge.observe(endpoint.load.as_secs_f64(), &attributes);
                }
            }
        })
        .build();
}

fn gauge(
    meter: &Meter,
    metric: Metric,
    routes: &Routes,
    observe: impl Fn(&Upstream, &dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) {
    let routes = routes.clone();
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| {
            for upstream in several(&routes) {
                observe(&upstream, gauge);
            }
        })
        .build();
}

fn counter(
    meter: &Meter,
    metric: Metric,
    routes: &Routes,
    observe: impl Fn(&Routes, &dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) {
    let routes = routes.clone();
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |counter| observe(&routes, counter))
        .build();
}

/// The upstreams whose endpoints are chosen from, or looked after.
fn several(routes: &Routes) -> impl Iterator<Item = Arc<Upstream>> {
    let upstreams = routes.upstreams().into_iter();
    upstreams.filter(|upstream| !upstream.is_single() || upstream.health.is_some())
}

/// Each endpoint with the attributes that name it.
fn endpoints(upstream: &Upstream) -> Vec<(EndpointSnapshot, Vec<KeyValue>)> {
    let (current, known) = upstream.instances().snapshot();
    let known = known.endpoints.into_iter();
    let with_names = known.filter_map(|known| {
        // It may have gone just now.
        let instance = current.instance(known.id)?;
        let attributes = std::iter::once(name(upstream)).chain(address(&instance.endpoint));
        Some((known, attributes.collect()))
    });
    with_names.collect()
}

fn address(endpoint: &Endpoint) -> impl Iterator<Item = KeyValue> {
    let host = KeyValue::new(names::SERVER_ADDRESS, endpoint.host());
    let port = endpoint.port();
    let port = port.map(|port| KeyValue::new(names::SERVER_PORT, i64::from(port)));
    std::iter::once(host).chain(port)
}

fn name(upstream: &Upstream) -> KeyValue {
    KeyValue::new(names::UPSTREAM, upstream.name.clone())
}

fn with(attributes: &[KeyValue], more: KeyValue) -> Vec<KeyValue> {
    let attributes = attributes.iter().cloned();
    attributes.chain([more]).collect()
}
