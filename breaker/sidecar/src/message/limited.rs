//! How often each limit acted, on all workers: an operator is to see which one callers run into.

use std::sync::atomic::{AtomicU64, Ordering};

/// A limit of the proxy that can be seen to act. docs/limits.md says what a peer gets then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Limit {
    /// Further connections wait.
    MaxConnections,
    /// 429.
    MaxInFlight,
    /// 431.
    MaxHeaderBytes,
    /// 413.
    MaxBodyBytes,
    /// 408 if a head has begun, else a close.
    HeaderTimeout,
    /// 408, or a response that is cut.
    BodyIdleTimeout,
    /// 408.
    BodyTimeout,
    /// A close.
    IdleTimeout,
    /// A response that is cut.
    WriteTimeout,
    /// A close.
    HalfClosedTimeout,
    /// A close.
    TunnelIdleTimeout,
    /// A close after the next answer.
    MaxConnectionAge,
    /// The same: the client's certificate has expired.
    CertificateExpiry,
}

static COUNTS: [AtomicU64; Limit::ALL.len()] = [const { AtomicU64::new(0) }; Limit::ALL.len()];

impl Limit {
    /// All limits, in the order of their numbers.
    pub(crate) const ALL: [Self; 13] = [
        Self::MaxConnections,
        Self::MaxInFlight,
        Self::MaxHeaderBytes,
        Self::MaxBodyBytes,
        Self::HeaderTimeout,
        Self::BodyIdleTimeout,
        Self::BodyTimeout,
        Self::IdleTimeout,
        Self::WriteTimeout,
        Self::HalfClosedTimeout,
        Self::TunnelIdleTimeout,
        Self::MaxConnectionAge,
        Self::CertificateExpiry,
    ];

    /// Its name in the configuration, and in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MaxConnections => "max_connections",
            Self::MaxInFlight => "max_in_flight",
            Self::MaxHeaderBytes => "max_header_bytes",
            Self::MaxBodyBytes => "max_body_bytes",
            Self::HeaderTimeout => "header_timeout",
            Self::BodyIdleTimeout => "body_idle_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::HalfClosedTimeout => "half_closed_timeout",
            Self::TunnelIdleTimeout => "tunnel_idle_timeout",
            Self::MaxConnectionAge => "max_connection_age",
            Self::CertificateExpiry => "certificate_expiry",
        }
    }

    /// Counts that it acted.
    pub(crate) fn acts(self) {
        COUNTS[self as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it acted since the process began.
    pub(crate) fn count(self) -> u64 {
        COUNTS[self as usize].load(Ordering::Relaxed)
    }
}

/// How often the limit of that name acted since the process began; `None` if none is called so.
pub fn limited(name: &str) -> Option<u64> {
    let mut limits = Limit::ALL.into_iter();
    limits.find(|limit| limit.name() == name).map(Limit::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_list() {
        for (place, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, place, "{}", limit.name());
        }
    }
}
