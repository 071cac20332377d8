//! The bodies of requests in flight, and the bounds of both ways.

use std::time::Duration;

mod request;
mod upload;

pub use self::request::RequestBody;
pub(crate) use self::upload::Upload;

/// Bounds of the bodies of a route's exchanges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of a request body; more is answered 413. `None` for no limit, which is the default.
    pub request_bytes: Option<u64>,
    /// Time between two pieces of a request body; not applied to gRPC, whose streams may rest.
    /// `None` for no limit. Default 60 s.
    pub idle: Option<Duration>,
    /// Time between two pieces of a response body; not applied to gRPC and `text/event-stream`,
    /// which may rest. It is our limit, not the upstream's failure. `None` for no limit, which is
    /// the default: many streams are quiet.
    pub response_idle: Option<Duration>,
    /// Time for a whole request body, after which it is answered 408. `None` for no limit, which is
    /// the default.
    pub request_total: Option<Duration>,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            request_bytes: None,
            idle: Some(Duration::from_secs(60)),
            response_idle: None,
            request_total: None,
        }
    }
}

/// What an HTTP/1 connection holds at most of a message, each way, in bytes; more where a head may
/// be larger. With hyper's default of 408 KiB, each caller that reads slowly held that much.
pub(crate) const fn buffer(largest_head: usize) -> usize {
    if largest_head > BUFFER {
        largest_head
    } else {
        BUFFER
    }
}

const BUFFER: usize = 64 * 1024;

/// A caller that neither sends nor reads for so long is the reason, if the upstream gives up just
/// then: servers have timeouts for that. An upstream that takes nothing of an upload for so long
/// is being waited for.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);
