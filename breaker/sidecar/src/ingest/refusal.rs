//! Why a request is refused: the one list that both protocols answer from and that is counted.

use std::time::Duration;

use super::batch::Malformed;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("too much telemetry at once")]
    Overloaded { retry: Duration },
    #[error("the batch is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("{0}")]
    Malformed(String),
    #[error("the body did not come in time")]
    Slow,
    #[error("the body ended early")]
    Cut,
    #[error("only gzip, deflate, zstd and identity can be read")]
    UnknownCoding,
    #[error("the media type must be application/x-protobuf or application/json")]
    UnknownType,
    #[error("there is no such method here")]
    UnknownMethod,
    #[error("there is no such path here: /v1/traces, /v1/metrics and /v1/logs are")]
    UnknownPath,
    #[error("only POST is allowed here")]
    NotPost,
    #[error("gRPC needs HTTP/2")]
    NotHttp2,
    #[error("this port answers only to localhost")]
    ForeignHost,
    #[error(
        "pages of this origin may not send telemetry here: telemetry.receive.cors names those that may"
    )]
    ForeignOrigin,
    #[error("the batch could not be taken")]
    Internal,
}

/// How a refusal is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Too many bytes or requests at once.
    Overload,
    /// Larger than the limit, before or after decompression.
    TooLarge,
    /// Not what its headers or its path say that it is.
    Malformed,
    /// The body came too slowly, or not to its end.
    Incomplete,
    /// A path, method, media type or compression that is not served.
    Unsupported,
    /// From a page that may not send any, or to a name that is not this machine's.
    Forbidden,
    /// A fault of ours.
    Internal,
}

impl Refusal {
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Overloaded { .. } => Reason::Overload,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::Malformed(_) => Reason::Malformed,
            Self::Slow | Self::Cut => Reason::Incomplete,
            Self::UnknownCoding
            | Self::UnknownType
            | Self::UnknownMethod
            | Self::UnknownPath
            | Self::NotPost
            | Self::NotHttp2 => Reason::Unsupported,
            Self::ForeignHost | Self::ForeignOrigin => Reason::Forbidden,
            Self::Internal => Reason::Internal,
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.message)
    }
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::Overload,
        Self::TooLarge,
        Self::Malformed,
        Self::Incomplete,
        Self::Unsupported,
        Self::Forbidden,
        Self::Internal,
    ];

    /// A word for it, as metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Incomplete => "incomplete",
            Self::Unsupported => "unsupported",
            Self::Forbidden => "forbidden",
            Self::Internal => "internal",
        }
    }
}
