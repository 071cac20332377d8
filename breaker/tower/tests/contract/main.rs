//! The contract of the layer, a test for each line of it: by the public API, over mock services, in
//! paused time.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees test functions only, not their helpers"
)]

mod any;
mod auto_traits;
mod balancer;
mod call;
mod deadline;
mod grpc;
mod harness;
mod observer;
mod order;
mod order_http;
mod outcome;
mod per_key;
mod probe;
mod readiness;
mod reading;
mod reject;
mod telemetry;
mod timeout;
mod timer;
mod upload;
mod wrapped;
