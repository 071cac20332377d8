//! The paths of the control API that have a name in them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The path of a breaker, or with `under` of something of it.
pub(in crate::cli) fn breaker_path(name: &str, under: &str) -> String {
    let name = utf8_percent_encode(name, SEGMENT);
    format!("/api/v1/breakers/{name}{under}")
}

/// The path of what is `under` an upstream.
pub(in crate::cli) fn upstream_path(name: &str, under: &str) -> String {
    let name = utf8_percent_encode(name, SEGMENT);
    format!("/api/v1/upstreams/{name}{under}")
}

/// What must not stand in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        assert_eq!(breaker_path("pay", "/mode"), "/api/v1/breakers/pay/mode");
        assert_eq!(
            breaker_path("../x?y z", ""),
            "/api/v1/breakers/..%2Fx%3Fy%20z"
        );
    }
}
