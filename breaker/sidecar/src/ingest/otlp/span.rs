//! What a span says in enumerations.

/// The side of a request that a span tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the specification is closed here")]
pub enum SpanKind {
    /// Not said, or unknown.
    Unspecified,
    /// Within a service.
    Internal,
    /// The service that answers.
    Server,
    /// The service that calls.
    Client,
    /// Who puts a message into a queue.
    Producer,
    /// Who takes it out.
    Consumer,
}

/// The status of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the specification is closed here")]
pub enum StatusCode {
    /// The instrumentation says nothing.
    #[default]
    Unset,
    /// Declared successful by a developer or operator.
    Ok,
    /// An error.
    Error,
}
