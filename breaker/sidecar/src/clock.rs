//! Calendar time: for people, files and the stamps of others. Breakers go by the monotonic clock.

use std::time::{Duration, SystemTime};

/// The time since 1970; zero before.
pub(crate) fn since_epoch() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "calendar time is read here, and no breaker decides by it"
    )]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// The time in seconds since 1970, to the millisecond.
pub(crate) fn unix_now() -> f64 {
    since_epoch().as_millis() as f64 / 1000.0
}
