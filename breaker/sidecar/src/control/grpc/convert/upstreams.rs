//! Upstreams and their endpoints as messages.

use breaker_proto::v1;

use crate::control::upstreams::{Admit, Eject};
use crate::report::{Endpoint, EndpointState, Upstream};

impl From<Upstream> for v1::Upstream {
    fn from(upstream: Upstream) -> Self {
        Self {
            name: upstream.name,
            panic: upstream.panic,
            found: upstream.found,
            most_out: upstream.most_out,
            endpoints: upstream.endpoints.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Endpoint> for v1::Endpoint {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            endpoint: endpoint.endpoint,
            state: v1::EndpointState::from(endpoint.state).into(),
            reason: endpoint.reason.as_ref().map(v1::Reason::from),
            out_remaining: endpoint.out_remaining,
            weight: endpoint.weight,
            grown: endpoint.grown,
            in_flight: endpoint.in_flight,
            latency: endpoint.latency,
            load: endpoint.load,
            error_rate: endpoint.error_rate,
            attempts: endpoint.attempts,
            successes: endpoint.successes,
            failures: endpoint.failures,
            unreachable: endpoint.unreachable,
            ignored: endpoint.ignored,
        }
    }
}

impl From<EndpointState> for v1::EndpointState {
    fn from(state: EndpointState) -> Self {
        match state {
            EndpointState::In => Self::In,
            EndpointState::Out => Self::Out,
            EndpointState::Probing => Self::Probing,
        }
    }
}

impl From<v1::EjectEndpointRequest> for Eject {
    fn from(request: v1::EjectEndpointRequest) -> Self {
        Self {
            endpoint: request.endpoint,
            period: request.for_seconds,
            reason: request.reason,
        }
    }
}

impl From<v1::AdmitEndpointRequest> for Admit {
    fn from(request: v1::AdmitEndpointRequest) -> Self {
        Self {
            endpoint: request.endpoint,
            reason: request.reason,
        }
    }
}
