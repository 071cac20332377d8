//! What a caller takes: compressed answers, and the text format of metrics.

use std::io::Write;

use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, header};

use crate::telemetry::Exposition;

/// Whether the caller likes gzip at least as much as no coding, by its `Accept-Encoding`.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for coding in values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
    {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let liked = match &*name {
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        liked.get_or_insert(quality(parts));
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    // A coding is what a caller asks for; without a word on none, it likes the coding better.
    gzip > 0.0 && identity.is_none_or(|identity| gzip >= identity)
}

/// The text format of metrics that the caller likes best, by its `Accept`. Without a preference it
/// is that of Prometheus, which everybody reads.
pub(super) fn exposition(headers: &HeaderMap) -> Exposition {
    let values = headers.get_all(header::ACCEPT).iter();
    let mut best = (0.0, 0.0);
    for range in values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
    {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let is_version = |version: &str| matches!(version, "1.0.0" | "\"1.0.0\"");
        let is_ours = |part: &str| part.strip_prefix("version=").is_none_or(is_version);
        let is_known = parts.clone().all(is_ours);
        let quality = quality(parts);
        match &*name {
            "application/openmetrics-text" if is_known => best.0 = quality.max(best.0),
            "text/plain" | "text/*" | "*/*" => best.1 = quality.max(best.1),
            _ => {}
        }
    }
    match best.0 > 0.0 && best.0 >= best.1 {
        true => Exposition::OpenMetrics,
        false => Exposition::Prometheus,
    }
}

/// How much a caller likes what has these parameters; not at all, if that can't be read.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> f32 {
    let quality = parameters.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let is_quality = |quality: &f32| (0.0..=1.0).contains(quality);
    quality.map_or(1.0, |quality| {
        quality.parse().ok().filter(is_quality).unwrap_or(0.0)
    })
}

/// The text, compressed if that is wanted.
pub(super) fn encode(text: String, gzip: bool) -> Response {
    let vary = (header::VARY, "accept, accept-encoding");
    if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Memory takes whatever is written to it.
        let compressed = encoder
            .write_all(text.as_bytes())
            .and_then(|()| encoder.finish());
        if let Ok(compressed) = compressed {
            return ([vary, (header::CONTENT_ENCODING, "gzip")], compressed).into_response();
        }
    }
    ([vary], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        // As Prometheus 2.42, 3.0 and curl ask.
        for (accepts, is_open) in [
            (
                "application/openmetrics-text;version=1.0.0,\
                 application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                true,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,*/*;q=0.1",
                true,
            ),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text; version=\"1.0.0\"", true),
            ("application/openmetrics-text; version=\"0.0.1\"", false),
            (
                "application/openmetrics-text;q=1.5, text/plain;q=0.1",
                false,
            ),
            ("application/openmetrics-text;q=-1", false),
            ("application/openmetrics-text;q=NaN", false),
            ("application/openmetrics-text; version=0.0.1", false),
            ("application/openmetrics-text;q=0.2, text/plain", false),
            ("application/openmetrics-text;q=0", false),
            ("text/plain;version=0.0.4", false),
            ("*/*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accepts.parse().unwrap());
            let expected = match is_open {
                true => Exposition::OpenMetrics,
                false => Exposition::Prometheus,
            };
            assert_eq!(exposition(&headers), expected, "{accepts}");
        }
        assert_eq!(exposition(&HeaderMap::new()), Exposition::Prometheus);
    }

    #[test]
    fn who_asks_for_gzip_gets_it() {
        for (accepts, gzip) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5, br", true),
            ("*", true),
            ("*;q=0, gzip", true),
            ("gzip;q=0", false),
            ("gzip;q=1.5", false),
            ("gzip;q=0.1,identity;q=1", false),
            ("identity;q=0.5, gzip;q=0.5", true),
            ("identity, *;q=0.5", false),
            ("*, identity;q=0.5", true),
            ("gzip; q=0.000, *", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accepts.parse().unwrap());
            assert_eq!(takes_gzip(&headers), gzip, "{accepts}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
