//! What browsers may send: whoever sends telemetry can open breakers, and a browser sends what any
//! page wants.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::refusal::Refusal;
use crate::hosts;

/// Lets through what no page can send, and what pages of these origins do.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    origins: Vec<String>,
}

/// The page that sends a request, which may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    origin: HeaderValue,
    /// Of a browser that asks first: the fields that it wants to send.
    asks: Option<HeaderValue>,
}

// === impl Guard ===

impl Guard {
    pub(super) const fn new(origins: Vec<String>) -> Self {
        Self { origins }
    }

    /// The page that sends this request, if one does. `is_loopback`: it came to a loopback address.
    ///
    /// As on the admin port, a name that is not of this machine was pointed here by somebody (DNS
    /// rebinding). Browsers speak HTTP/2 over TLS only, where such a name has no certificate; other
    /// clients call a server by names of their own.
    pub(super) fn check(&self, head: &Parts, is_loopback: bool) -> Result<Option<Page>, Refusal> {
        let named = hosts::named(&head.uri, &head.headers);
        let is_local = || {
            let host = named.as_ref();
            host.is_some_and(|host| hosts::is_local(host.host()))
        };
        if is_loopback && head.version < Version::HTTP_2 && !is_local() {
            return Err(Refusal::ForeignHost);
        }
        let Some(origin) = head.headers.get(ORIGIN) else {
            return Ok(None);
        };
        let text = origin.to_str().unwrap_or_default();
        let is_own = text.split_once("://").is_some_and(|(_, authority)| {
            let named = head.headers.get(HOST).and_then(|host| host.to_str().ok());
            Some(authority) == named
        });
        if !is_own && !self.origins.iter().any(|known| known == text) {
            return Err(Refusal::ForeignOrigin);
        }
        let asks = head.method == Method::OPTIONS
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let fields = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
        Ok(Some(Page {
            origin: origin.clone(),
            asks: asks.then(|| {
                fields
                    .cloned()
                    .unwrap_or(HeaderValue::from_static("content-type"))
            }),
        }))
    }
}

// === impl Page ===

impl Page {
    /// Whether the browser only asks whether the page may send something.
    pub(super) const fn asks(&self) -> bool {
        self.asks.is_some()
    }

    /// Tells the browser that the page may read the answer, and what it may send.
    pub(super) fn permit(&self, fields: &mut HeaderMap) {
        fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        fields.append(VARY, HeaderValue::from_static("origin"));
        if let Some(wanted) = &self.asks {
            fields.insert(
                ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("POST"),
            );
            fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            fields.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
            fields.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
    }
}

/// Chrome asks for it where a page of the web sends to this machine.
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: Method, host: &str, origin: Option<&str>) -> Parts {
        let mut request = Request::builder().method(method).uri("/v1/traces");
        if !host.is_empty() {
            request = request.header(HOST, host);
        }
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn verdict(host: &str, origin: Option<&str>, is_loopback: bool) -> u16 {
        let guard = Guard::new(vec!["https://shop.example".to_owned()]);
        match guard.check(&head(Method::POST, host, origin), is_loopback) {
            Ok(_) => 200,
            Err(Refusal::ForeignHost) => 421,
            Err(_) => 403,
        }
    }

    #[test]
    fn pages_of_others_send_nothing_and_names_of_others_lead_nowhere() {
        for (host, origin, on_loopback, elsewhere) in [
            ("localhost:4318", None, 200, 200),
            ("127.0.0.1:4318", None, 200, 200),
            ("[::1]:4318", None, 200, 200),
            ("", None, 421, 200),
            ("collector:4318", None, 421, 200),
            (
                "evil.example:4318",
                Some("http://evil.example:4318"),
                421,
                200,
            ),
            ("localhost:4318", Some("http://evil.example"), 403, 403),
            ("localhost:4318", Some("http://localhost:3000"), 403, 403),
            ("localhost:4318", Some("null"), 403, 403),
            ("localhost:4318", Some("https://shop.example"), 200, 200),
            ("localhost:4318", Some("http://shop.example"), 403, 403),
            (
                "localhost:4318",
                Some("https://shop.example.evil.example"),
                403,
                403,
            ),
            ("localhost:4318", Some("http://localhost:4318"), 200, 200),
            ("10.0.0.1:4318", Some("https://shop.example"), 421, 200),
        ] {
            assert_eq!(
                verdict(host, origin, true),
                on_loopback,
                "{host} {origin:?}"
            );
            assert_eq!(verdict(host, origin, false), elsewhere, "{host} {origin:?}");
        }
    }

    #[test]
    fn clients_by_http2_call_a_server_as_they_like() {
        let mut head = head(Method::POST, "collector", None);
        head.version = Version::HTTP_2;
        assert_eq!(Guard::default().check(&head, true).unwrap(), None);
    }

    #[test]
    fn a_browser_that_asks_first_is_told() {
        let guard = Guard::new(vec!["https://shop.example".to_owned()]);
        let mut head = head(Method::OPTIONS, "localhost", Some("https://shop.example"));
        let wanted = HeaderValue::from_static("content-type,x-api-key");
        let method = HeaderValue::from_static("POST");
        head.headers.insert(ACCESS_CONTROL_REQUEST_METHOD, method);
        head.headers.insert(ACCESS_CONTROL_REQUEST_HEADERS, wanted);
        let page = guard.check(&head, true).unwrap().unwrap();
        assert!(page.asks());
        let mut fields = HeaderMap::new();
        page.permit(&mut fields);
        assert_eq!(fields[ACCESS_CONTROL_ALLOW_ORIGIN], "https://shop.example");
        assert_eq!(
            fields[ACCESS_CONTROL_ALLOW_HEADERS],
            "content-type,x-api-key"
        );
        assert_eq!(fields[VARY], "origin");
    }
}
