//! How the requests of a source failed lately.

use std::fmt::Write;

use super::words::count;
use crate::config::TraceUrl;
use crate::report::FailureKind;

/// Explains the failures of `source`, if there were any.
pub(super) fn explain(
    text: &mut String,
    source: &str,
    kinds: &[FailureKind],
    trace_url: Option<&TraceUrl>,
) {
    if kinds.is_empty() {
        return;
    }
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\nHow requests failed in the last 5 minutes, by {source}:\n"
    );
    for kind in kinds {
        let requests = count(kind.count, "request");
        let trace = kind.trace.as_ref().map_or_else(String::new, |trace| {
            let at = trace_url.map_or_else(|| trace.clone(), |url| url.of(trace));
            format!(", the latest in trace {at}")
        });
        let _ = writeln!(text, "- {}: {requests}{trace}", kind.in_words());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_number_its_endpoint_and_the_way_to_its_trace() {
        let kind = |kind: &str, endpoint: Option<&str>, trace: Option<&str>| FailureKind {
            kind: kind.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            count: 2,
            trace: trace.map(str::to_owned),
        };
        let kinds = [
            kind("503", Some("pay:80"), Some("0af7")),
            kind("timeout", None, None),
        ];
        let url = TraceUrl::new("https://jaeger/{trace_id}").unwrap();
        for (url, trace) in [(None, "0af7"), (Some(&url), "https://jaeger/0af7")] {
            let mut text = String::new();
            explain(&mut text, "proxy", &kinds, url);
            let expected = format!(
                "\nHow requests failed in the last 5 minutes, by proxy:\n\
                 - 503 from pay:80: 2 requests, the latest in trace {trace}\n\
                 - timeout: 2 requests\n"
            );
            assert_eq!(text, expected);
        }
        let mut text = String::new();
        explain(&mut text, "proxy", &[], None);
        assert_eq!(text, "");
    }
}
