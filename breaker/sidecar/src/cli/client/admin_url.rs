//! The address of an admin port.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use breaker_sidecar::sockets::Dial;
use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use hyper_util::client::legacy::connect::HttpConnector;

/// Where an admin port is: `http://host:port`, or `unix:/path` of a socket.
#[derive(Clone, Debug)]
pub(in crate::cli) struct AdminUrl {
    /// What requests are sent to; of a socket, `http://localhost`.
    base: Arc<Uri>,
    socket: Option<String>,
}

// === impl AdminUrl ===

impl AdminUrl {
    pub(super) fn at(&self, path: &str) -> Uri {
        let mut parts = Uri::clone(&self.base).into_parts();
        let path = path.parse::<PathAndQuery>();
        parts.path_and_query = Some(path.expect("names are encoded"));
        Uri::from_parts(parts).expect("a scheme, an authority and a path")
    }

    pub(super) fn dial(&self) -> Dial {
        let unix = self.socket.as_deref().map(Dial::unix);
        let unix = unix.and_then(Result::ok);
        unix.unwrap_or_else(|| {
            let mut connector = HttpConnector::new();
            connector.enforce_http(false);
            Dial::Tcp(connector)
        })
    }

    pub(super) fn is_secure(&self) -> bool {
        self.base.scheme() == Some(&Scheme::HTTPS)
    }
}

impl FromStr for AdminUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("unix:") {
            Dial::unix(text)?;
            return Ok(Self {
                base: Arc::new(Uri::from_static("http://localhost")),
                socket: Some(text.to_owned()),
            });
        }
        let uri: Uri = text.parse().map_err(|_| RULE)?;
        let is_plain = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some()
            && uri.path() == "/"
            && uri.query().is_none();
        let url = Self {
            base: Arc::new(uri),
            socket: None,
        };
        is_plain.then_some(url).ok_or(RULE)
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(socket) = &self.socket {
            return f.write_str(socket);
        }
        let host = self
            .base
            .authority()
            .map_or("", |authority| authority.as_str());
        let scheme = self.base.scheme_str().unwrap_or("http");
        write!(f, "{scheme}://{host}")
    }
}

const RULE: &str = "must be http://host:port, https://host:port, or unix:/path of a socket";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_url_is_a_scheme_and_an_address() {
        let url: AdminUrl = "http://127.0.0.1:9900".parse().unwrap();
        assert_eq!(
            url.at("/api/v1/breakers"),
            "http://127.0.0.1:9900/api/v1/breakers"
        );
        assert_eq!(url.to_string(), "http://127.0.0.1:9900");
        for wrong in [
            "127.0.0.1:9900",
            "http://127.0.0.1:9900/api",
            "http://127.0.0.1:9900/?x",
            "",
        ] {
            assert_eq!(wrong.parse::<AdminUrl>().unwrap_err(), RULE, "{wrong}");
        }
        let socket: AdminUrl = "unix:/run/b.sock".parse().unwrap();
        assert_eq!(
            socket.at("/api/v1/breakers"),
            "http://localhost/api/v1/breakers"
        );
        assert_eq!(socket.to_string(), "unix:/run/b.sock");
        assert!("unix:b.sock".parse::<AdminUrl>().is_err());
    }
}
