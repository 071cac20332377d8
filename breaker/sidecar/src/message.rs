//! What both sides of an exchange share: fields, request bodies, errors, timers, and who is told
//! how it went.
//!
//! The proxy serves callers and `upstream` speaks to endpoints; neither is above the other here.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod decision;
pub(crate) mod error;
pub(crate) mod failure;
pub(crate) mod forwarded;
pub(crate) mod frame;
pub(crate) mod framing;
pub(crate) mod headers;
pub(crate) mod limited;
pub(crate) mod record;
pub(crate) mod spawn;
pub(crate) mod timers;
mod trust;
pub(crate) mod upgrade;
pub(crate) mod wire;

pub use self::body::{BodyLimits, RequestBody};
pub use self::error::{ErrorKind, ProxyError};
pub use self::headers::PROXY_STATUS;
pub use self::limited::limited;
pub use self::record::{Finished, NoRecorder, Recorder, Sent};
pub use self::trust::Trusted;
