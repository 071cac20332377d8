//! Spans of proxied requests, by the semantic conventions of HTTP servers.
//!
//! The SDK samples, numbers and times them; contexts are read and written by the proxy, see
//! [`TraceContext`].

use std::sync::Arc;
use std::time::SystemTime;

use breaker_tower::breaker_core::Attribution;
use breaker_tower::{Decision, TraceContext};
use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt, TraceFlags, TraceState, Tracer as _,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue, SpanId, TraceId};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData};

use super::names;
use super::queue::{Queue, SpanQueue};
use super::record::{Catalog, METHODS, method_index, push_result, shared_attributes};
use super::settings::Sampling;
use crate::message::Finished;
use crate::message::decision::outcome;
use crate::proxy;

/// Makes spans of requests. Each worker has a clone.
#[derive(Clone, Debug)]
pub struct Tracer {
    inner: SdkTracer,
    catalog: Arc<Catalog>,
}

/// The span of one request.
struct Span {
    inner: opentelemetry_sdk::trace::Span,
    started: SystemTime,
    catalog: Arc<Catalog>,
}

/// The SDK's tracer, whose spans go into `queue`.
pub(super) fn tracer(
    resource: Resource,
    sampling: Sampling,
    queue: Arc<Queue<SpanData>>,
) -> SdkTracer {
    SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(sampler(sampling))
        .with_span_processor(SpanQueue(queue))
        .build()
        .tracer_with_scope(names::scope())
}

fn sampler(sampling: Sampling) -> Sampler {
    let own = match sampling.share {
        1.0 => Sampler::AlwaysOn,
        0.0 => Sampler::AlwaysOff,
        share => Sampler::TraceIdRatioBased(share),
    };
    if sampling.follows_parent {
        Sampler::ParentBased(Box::new(own))
    } else {
        own
    }
}

// === impl Tracer ===

impl Tracer {
    pub(super) const fn new(inner: SdkTracer, catalog: Arc<Catalog>) -> Self {
        Self { inner, catalog }
    }
}

impl proxy::Tracer for Tracer {
    fn begin(
        &self,
        parent: Option<TraceContext>,
        request: &Parts,
        client: &HeaderValue,
    ) -> (TraceContext, Option<Box<dyn proxy::Span>>) {
        let started = opentelemetry::time::now();
        let builder = self
            .inner
            .span_builder(method_name(&request.method))
            .with_kind(SpanKind::Server)
            .with_start_time(started);
        let within = parent.map_or_else(Context::new, |parent| within(parent, request));
        let mut inner = self.inner.build_with_context(builder, &within);

        let context = inner.span_context();
        // A new trace's id is all random; the flags of another's are its caller's, but for the one
        // that is ours to set.
        let kept = parent.map_or(TraceContext::RANDOM, |parent| {
            parent.flags & !TraceContext::SAMPLED
        });
        let told = TraceContext {
            trace_id: u128::from_be_bytes(context.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(context.span_id().to_bytes()),
            flags: kept | context.trace_flags().to_u8() & TraceContext::SAMPLED,
        };
        if !inner.is_recording() {
            return (told, None);
        }
        inner.set_attributes(attributes(request, client));
        let span = Span {
            inner,
            started,
            catalog: self.catalog.clone(),
        };
        (told, Some(Box::new(span)))
    }
}

// === impl Span ===

impl proxy::Span for Span {
    fn end(mut self: Box<Self>, finished: &Finished<'_>, decision: Option<Decision>) {
        let mut attributes =
            shared_attributes(finished.method, finished.is_secure, finished.version);
        let error = finished.error.map(|error| error.proxy_status());
        push_result(&mut attributes, finished.status, error, 500);
        let route = finished
            .route
            .and_then(|index| self.catalog.routes.get(index));
        if let Some(route) = route {
            let method = method_name(finished.method);
            self.inner.update_name(format!("{method} {route}"));
            attributes.push(KeyValue::new(names::ROUTE, route.clone()));
        }
        if let (Some(route), Some(decision)) = (route, decision) {
            attributes.extend([
                KeyValue::new(names::BREAKER_NAME, route.clone()),
                KeyValue::new(names::BREAKER_STATE, decision.state.name()),
                KeyValue::new(
                    names::BREAKER_OUTCOME,
                    outcome(decision.classification(), finished.is_fallback),
                ),
            ]);
            let by = decision.attribution().map(Attribution::label);
            attributes.extend(by.map(|by| KeyValue::new(names::BREAKER_ATTRIBUTION, by)));
        }
        self.inner.set_attributes(attributes);
        let is_ours = finished
            .error
            .is_some_and(|error| error.attribution() != Attribution::Caller);
        if is_ours
            || finished
                .status
                .is_some_and(|status| status.is_server_error())
        {
            // The attributes say what it was.
            self.inner.set_status(Status::error(""));
        }
        // By the clock that is never set back.
        self.inner
            .end_with_timestamp(self.started + finished.duration);
    }
}

/// A context within which the caller's span is the parent.
fn within(parent: TraceContext, request: &Parts) -> Context {
    let state = request.headers.get("tracestate");
    let state = state.and_then(|state| state.to_str().ok()?.parse().ok());
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from_bytes(parent.trace_id.to_be_bytes()),
        SpanId::from_bytes(parent.span_id.to_be_bytes()),
        TraceFlags::new(parent.flags),
        true,
        // One that the SDK can't read is passed on all the same, only our span does not tell it.
        state.unwrap_or(TraceState::NONE),
    ))
}

/// What is known of a request when it comes.
fn attributes(request: &Parts, client: &HeaderValue) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new(names::URL_PATH, bounded(request.uri.path()))];
    let mut push = |name, value: Option<&str>| {
        attributes.extend(value.map(|value| KeyValue::new(name, bounded(value))));
    };
    push(names::CLIENT_ADDRESS, client.to_str().ok());
    let agent = request.headers.get(USER_AGENT);
    push(
        names::USER_AGENT,
        agent.and_then(|agent| agent.to_str().ok()),
    );
    if method_index(&request.method) == 0 {
        push(
            names::REQUEST_METHOD_ORIGINAL,
            Some(request.method.as_str()),
        );
    }
    let host = || request.headers.get(HOST)?.to_str().ok()?.parse().ok();
    let server: Option<Authority> = request.uri.authority().cloned().or_else(host);
    if let Some(server) = server {
        push(names::SERVER_ADDRESS, Some(server.host()));
        let port = server.port_u16().map(i64::from);
        attributes.extend(port.map(|port| KeyValue::new(names::SERVER_PORT, port)));
    }
    attributes
}

/// Unknown methods have one name: a caller can't make names of spans.
fn method_name(method: &Method) -> &'static str {
    match method_index(method) {
        0 => "HTTP",
        known => METHODS[known],
    }
}

/// What callers sent, but no more than a span should hold: spans wait in memory.
fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

/// Bytes of an attribute whose text is the caller's.
const MAX_TEXT: usize = 1024;
