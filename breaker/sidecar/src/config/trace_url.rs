//! Where people look at traces.

use std::fmt;

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A URL with a placeholder for the id of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct TraceUrl(String);

impl TraceUrl {
    /// What it must be.
    pub const RULE: &'static str = "must be a URL with http:// or https://, a host, and {trace_id} \
                                    after it, such as https://jaeger.example/trace/{trace_id}";

    /// A URL whose `{trace_id}` stands for the id of a trace.
    ///
    /// # Errors
    /// The rule that it breaks. It becomes a link on the dashboard, so nothing but a web address is
    /// good.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let is_plain = text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        let start = text
            .find(PLACEHOLDER)
            .filter(|_| is_plain)
            .ok_or(Self::RULE)?;
        // A fragment is no part of what `Uri` parses; a placeholder may be in it.
        let filled = text.replace(PLACEHOLDER, "0");
        let (sent, _) = filled.split_once('#').unwrap_or((&filled, ""));
        let uri: Uri = sent.parse().map_err(|_| Self::RULE)?;
        let scheme = uri
            .scheme_str()
            .filter(|scheme| ["http", "https"].contains(scheme));
        let (Some(scheme), Some(authority)) = (scheme, uri.authority()) else {
            return Err(Self::RULE);
        };
        let head = scheme.len() + "://".len() + authority.as_str().len();
        // What is sent with an address to whoever clicks must be no secret.
        let is_good = start >= head && !authority.as_str().contains('@');
        is_good.then(|| Self(text.to_owned())).ok_or(Self::RULE)
    }

    /// The address of this trace. An id is hexadecimal; anything else is left out.
    pub fn of(&self, trace: &str) -> String {
        let digits = trace.chars().filter(char::is_ascii_hexdigit);
        self.0.replace(PLACEHOLDER, &digits.collect::<String>())
    }
}

impl TryFrom<String> for TraceUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::new(&text)
    }
}

impl From<TraceUrl> for String {
    fn from(url: TraceUrl) -> Self {
        url.0
    }
}

impl fmt::Display for TraceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const PLACEHOLDER: &str = "{trace_id}";
const MAX_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::TraceUrl;

    #[test]
    fn a_web_address_with_a_placeholder_is_good() {
        for (url, filled) in [
            ("https://jaeger/trace/{trace_id}", "https://jaeger/trace/1f"),
            (
                "http://127.0.0.1:16686/trace/{trace_id}?uiFind={trace_id}",
                "http://127.0.0.1:16686/trace/1f?uiFind=1f",
            ),
            ("https://[::1]/#/{trace_id}", "https://[::1]/#/1f"),
        ] {
            let url = TraceUrl::new(url).unwrap();
            assert_eq!(url.of("1f"), filled);
        }
        let url = TraceUrl::new("https://jaeger/{trace_id}").unwrap();
        assert_eq!(url.of("1f\"><script>"), "https://jaeger/1fc");
    }

    #[test]
    fn anything_else_is_not() {
        for url in [
            "",
            "https://jaeger/trace",
            "javascript:alert({trace_id})",
            "javascript://x/%0aalert({trace_id})",
            "data:text/html,{trace_id}",
            "/trace/{trace_id}",
            "//jaeger/{trace_id}",
            "https://{trace_id}",
            "https://{trace_id}.evil/",
            "https:///{trace_id}",
            "https://user:secret@jaeger/{trace_id}",
            "https://jaeger/ {trace_id}",
            "https://jaeger/\n{trace_id}",
            "ftp://jaeger/{trace_id}",
        ] {
            assert_eq!(TraceUrl::new(url), Err(TraceUrl::RULE), "{url}");
        }
        let long = format!("https://jaeger/{}/{{trace_id}}", "x".repeat(3_000));
        assert!(TraceUrl::new(&long).is_err());
    }
}
