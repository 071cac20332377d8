//! A configuration with one route, as most tests want it.

use std::net::SocketAddr;

use crate::Sidecar;

/// One route, `pay`, for every path, to one upstream.
#[derive(Debug, Clone)]
pub struct Setup {
    upstream: SocketAddr,
    policy: String,
    route: String,
    more: String,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// A route to `upstream` by the policy `sensitive`.
    pub fn of(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            policy: "sensitive".into(),
            route: String::new(),
            more: String::new(),
            environment: Vec::new(),
        }
    }

    /// Another policy: a name, or `{ base: …, field: … }`.
    #[must_use]
    pub fn policy(self, policy: impl Into<String>) -> Self {
        Self {
            policy: policy.into(),
            ..self
        }
    }

    /// Another field of the route, such as `timeout: 1s`.
    #[must_use]
    pub fn route(mut self, field: &str) -> Self {
        self.route += ", ";
        self.route += field;
        self
    }

    /// More lines of the configuration.
    #[must_use]
    pub fn more(mut self, yaml: &str) -> Self {
        self.more += yaml;
        self.more += "\n";
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The configuration file.
    pub fn yaml(&self) -> String {
        let Self {
            upstream,
            policy,
            route,
            more,
            ..
        } = self;
        format!(
            "listen: 127.0.0.1:0\n\
             admin: 127.0.0.1:0\n\
             upstreams:\n\
             \x20 pay: {{ endpoints: [\"http://{upstream}\"] }}\n\
             routes:\n\
             \x20 - {{ name: pay, match: {{ path: \"/{{*rest}}\" }}, upstream: pay, policy: {policy}{route} }}\n\
             {more}"
        )
    }

    /// Starts a sidecar so.
    pub async fn start(self) -> Sidecar {
        Sidecar::start_with(self.yaml(), self.environment).await
    }
}
