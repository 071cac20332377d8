//! The gRPC control API of Breaker, and the messages of a fleet of sidecars.
//!
//! They are defined in `breaker/v1/control.proto` and `breaker/fleet/v1/fleet.proto`. The generated
//! code is checked in, so that a build needs no protobuf compiler. A test regenerates it and
//! compares.

/// `breaker.v1`: messages, client and server of the control API.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::use_self,
    reason = "generated code"
)]
pub mod v1 {
    include!("generated/breaker.v1.rs");

    /// The descriptors of this package as a serialised `google.protobuf.FileDescriptorSet`, for
    /// server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");
}

/// `breaker.fleet.v1`: what the sidecars of a fleet send each other.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::use_self,
    reason = "generated code"
)]
pub mod fleet {
    include!("generated/breaker.fleet.v1.rs");
}
