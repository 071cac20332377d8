//! Bodies in flight: streamed both ways, bounded in size and time, never collected.

pub(crate) mod detached;
pub(crate) mod response;

pub use self::response::ResponseBody;
