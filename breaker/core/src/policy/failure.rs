//! Which answers are failures of the upstream.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::outcome::Classification;

/// Which HTTP statuses and gRPC codes are failures, and which are ignored.
///
/// The defaults are HTTP 500–599 except 501 and 505, and gRPC UNKNOWN, DEADLINE_EXCEEDED, INTERNAL,
/// UNAVAILABLE and DATA_LOSS. A 4xx is a success of the upstream. So are 501 and 505, and
/// UNIMPLEMENTED: the request asked for something that the upstream does not support (RFC 9110,
/// 15.6.2 and 15.6.6). Any caller can cause that with a method or a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRules {
    http: Vec<RangeInclusive<u16>>,
    grpc: GrpcCodes,
    ignored_http: Vec<RangeInclusive<u16>>,
    ignored_grpc: GrpcCodes,
}

/// A gRPC status code, 0..=16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrpcCode(u8);

/// A set of gRPC codes, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct GrpcCodes(u32);

// === impl FailureRules ===

impl FailureRules {
    /// Replaces the HTTP statuses that are failures.
    #[must_use]
    pub fn http(mut self, statuses: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        self.http = statuses.into_iter().collect();
        self
    }

    /// Replaces the gRPC codes that are failures.
    #[must_use]
    pub fn grpc(mut self, codes: impl IntoIterator<Item = GrpcCode>) -> Self {
        self.grpc = codes.into_iter().collect();
        self
    }

    /// Sets HTTP statuses that are neither success nor failure.
    #[must_use]
    pub fn ignore_http(mut self, statuses: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        self.ignored_http = statuses.into_iter().collect();
        self
    }

    /// Sets gRPC codes that are neither success nor failure.
    #[must_use]
    pub fn ignore_grpc(mut self, codes: impl IntoIterator<Item = GrpcCode>) -> Self {
        self.ignored_grpc = codes.into_iter().collect();
        self
    }

    /// The HTTP statuses that are failures.
    #[cfg(feature = "yaml")]
    pub(super) fn failed_http(&self) -> &[RangeInclusive<u16>] {
        &self.http
    }

    /// The gRPC codes that are failures.
    #[cfg(feature = "yaml")]
    pub(super) fn failed_grpc(&self) -> impl Iterator<Item = GrpcCode> {
        self.grpc.iter()
    }

    /// The HTTP statuses that are neither success nor failure.
    #[cfg(feature = "yaml")]
    pub(super) fn ignored_http(&self) -> &[RangeInclusive<u16>] {
        &self.ignored_http
    }

    /// The gRPC codes that are neither success nor failure.
    #[cfg(feature = "yaml")]
    pub(super) fn ignored_grpc(&self) -> impl Iterator<Item = GrpcCode> {
        self.ignored_grpc.iter()
    }

    /// The classification of an HTTP status.
    pub fn of_http(&self, status: u16) -> Classification {
        let among =
            |ranges: &[RangeInclusive<u16>]| ranges.iter().any(|range| range.contains(&status));
        if among(&self.ignored_http) {
            Classification::Ignored
        } else if among(&self.http) {
            Classification::Failure
        } else {
            Classification::Success
        }
    }

    /// The classification of a gRPC status.
    pub const fn of_grpc(&self, code: GrpcCode) -> Classification {
        if self.ignored_grpc.contains(code) {
            Classification::Ignored
        } else if self.grpc.contains(code) {
            Classification::Failure
        } else {
            Classification::Success
        }
    }
}

impl Default for FailureRules {
    fn default() -> Self {
        Self {
            http: vec![500..=500, 502..=504, 506..=599],
            grpc: [
                GrpcCode::UNKNOWN,
                GrpcCode::DEADLINE_EXCEEDED,
                GrpcCode::INTERNAL,
                GrpcCode::UNAVAILABLE,
                GrpcCode::DATA_LOSS,
            ]
            .into_iter()
            .collect(),
            ignored_http: Vec::new(),
            ignored_grpc: GrpcCodes::default(),
        }
    }
}

// === impl GrpcCode ===

impl GrpcCode {
    /// The call succeeded.
    pub const OK: Self = Self(0);
    /// The code of a missing or unreadable status.
    pub const UNKNOWN: Self = Self(2);
    /// The deadline passed before the call was done.
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// An invariant of the server is broken.
    pub const INTERNAL: Self = Self(13);
    /// The service is not available; a retry may help.
    pub const UNAVAILABLE: Self = Self(14);
    /// Data was lost or is corrupt.
    pub const DATA_LOSS: Self = Self(15);

    /// The code of a number; any unknown number is [`Self::UNKNOWN`], as the gRPC specification
    /// says.
    pub const fn from_number(code: u64) -> Self {
        if code < NAMES.len() as u64 {
            Self(code as u8)
        } else {
            Self::UNKNOWN
        }
    }

    /// The name: `DEADLINE_EXCEEDED`.
    pub const fn name(self) -> &'static str {
        NAMES[self.0 as usize]
    }

    /// The number, 0..=16.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for GrpcCode {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let index = NAMES.iter().position(|known| *known == name).ok_or(())?;
        Ok(Self(index as u8))
    }
}

impl fmt::Display for GrpcCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl GrpcCodes ===

impl GrpcCodes {
    const fn contains(self, code: GrpcCode) -> bool {
        self.0 >> code.0 & 1 == 1
    }

    #[cfg(feature = "yaml")]
    fn iter(self) -> impl Iterator<Item = GrpcCode> {
        let codes = (0..NAMES.len() as u8).map(GrpcCode);
        codes.filter(move |code| self.contains(*code))
    }
}

impl FromIterator<GrpcCode> for GrpcCodes {
    fn from_iter<I: IntoIterator<Item = GrpcCode>>(codes: I) -> Self {
        Self(codes.into_iter().fold(0, |bits, code| bits | 1 << code.0))
    }
}

/// By number (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_5xx_is_a_failure_and_a_4xx_a_success() {
        let rules = FailureRules::default();
        assert_eq!(rules.of_http(500), Classification::Failure);
        assert_eq!(rules.of_http(599), Classification::Failure);
        assert_eq!(rules.of_http(404), Classification::Success);
        assert_eq!(rules.of_http(429), Classification::Success);
    }

    #[test]
    fn what_is_not_supported_is_a_success() {
        let rules = FailureRules::default();
        let successes: Vec<_> = (500..=599)
            .filter(|status| rules.of_http(*status) == Classification::Success)
            .collect();
        assert_eq!(successes, [501, 505]);
        let unimplemented = "UNIMPLEMENTED".parse().unwrap();
        assert_eq!(rules.of_grpc(unimplemented), Classification::Success);
    }

    #[test]
    fn ignored_comes_before_failure() {
        let rules = FailureRules::default()
            .ignore_http([501..=501])
            .ignore_grpc([GrpcCode::UNAVAILABLE]);
        assert_eq!(rules.of_http(501), Classification::Ignored);
        assert_eq!(
            rules.of_grpc(GrpcCode::UNAVAILABLE),
            Classification::Ignored
        );
    }

    #[test]
    fn the_five_grpc_codes_of_a_broken_server_are_failures() {
        let rules = FailureRules::default();
        let failures: Vec<_> = (0..17)
            .map(GrpcCode::from_number)
            .filter(|code| rules.of_grpc(*code) == Classification::Failure)
            .map(GrpcCode::name)
            .collect();
        assert_eq!(
            failures,
            [
                "UNKNOWN",
                "DEADLINE_EXCEEDED",
                "INTERNAL",
                "UNAVAILABLE",
                "DATA_LOSS"
            ]
        );
        assert_eq!(GrpcCode::from_number(99), GrpcCode::UNKNOWN);
    }
}
