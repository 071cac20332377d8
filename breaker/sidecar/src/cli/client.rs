//! A client of a running sidecar's admin port.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use breaker_sidecar::causes;
use breaker_sidecar::control::Problem;
use breaker_sidecar::sockets::Dial;
use breaker_sidecar::tls::{self, ClientSettings, Roots, SecureDial, TlsError};
use bytes::Bytes;
use clap::Args;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use tokio::runtime::Builder;
use tokio::time;

use super::output::complain;
use super::{BAD_INPUT, FAILED};

/// Which sidecar is asked, and as whom.
#[derive(Debug, Args)]
pub(super) struct Connect {
    /// The admin port of the sidecar, or unix:/path of its socket
    #[arg(
        long,
        env = "BREAKER_ADMIN_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:9900"
    )]
    admin: AdminUrl,
    /// A file with the control token, instead of BREAKER_CONTROL_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// With https://: a PEM file with the certificates to trust, instead of the system's
    #[arg(long, env = CA_VARIABLE, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Where an admin port is: `http://host:port`, or `unix:/path` of a socket.
#[derive(Clone, Debug)]
pub(super) struct AdminUrl {
    /// What requests are sent to; of a socket, `http://localhost`.
    base: Arc<Uri>,
    socket: Option<String>,
}

/// Asks one sidecar. Clones share its connections.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: legacy::Client<SecureDial, Full<Bytes>>,
    admin: AdminUrl,
    token: Option<HeaderValue>,
}

/// What is sent along with a request.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) media_type: &'static str,
    pub(super) bytes: Bytes,
}

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug)]
pub(super) enum ClientError {
    /// The file of the token can't be used.
    Token(String),
    /// The certificates to trust can't be used.
    Tls(TlsError),
    /// A file can't be read, or breaks a rule.
    File(String),
    /// Nobody is there.
    Unreachable { admin: AdminUrl, why: Unreachable },
    /// The sidecar says what is wrong.
    Problem(Problem),
    /// Whoever listens there is no breaker, or not one of this version.
    Foreign { admin: AdminUrl, why: String },
}

/// What keeps a request from being answered.
#[derive(Debug)]
pub(super) enum Unreachable {
    Refused,
    Late,
    Other(String),
}

// === impl Connect ===

impl Connect {
    /// Does something with a client, and prints what goes wrong.
    pub(super) fn run(
        self,
        act: impl AsyncFnOnce(&Client) -> Result<ExitCode, ClientError>,
    ) -> ExitCode {
        let client = match Client::new(self) {
            Ok(client) => client,
            Err(error) => return failed(BAD_INPUT, &error),
        };
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return failed(FAILED, &error),
        };
        runtime
            .block_on(act(&client))
            .unwrap_or_else(|error| failed(FAILED, &error))
    }
}

fn failed(code: u8, error: &dyn fmt::Display) -> ExitCode {
    complain(&format!("{error}\n"));
    ExitCode::from(code)
}

// === impl Client ===

impl Client {
    fn new(connect: Connect) -> Result<Self, ClientError> {
        let token = token(connect.token_file.as_deref())?;
        Self::of(connect.admin, token, connect.ca)
    }

    fn of(
        admin: AdminUrl,
        token: Option<HeaderValue>,
        ca: Option<PathBuf>,
    ) -> Result<Self, ClientError> {
        let tls = admin.is_secure().then(|| {
            let roots = ca.map_or(Roots::System, Roots::File);
            tls::Client::new(ClientSettings {
                roots,
                ..ClientSettings::default()
            })
        });
        let tls = tls.transpose();
        let tls = tls.map_err(|fault| ClientError::Tls(fault.error))?;
        let http = legacy::Client::builder(TokioExecutor::new());
        Ok(Self {
            http: http.build(SecureDial::new(admin.dial(), tls)),
            token,
            admin,
        })
    }

    /// Gets the document at `path`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::GET, path, None).await
    }

    /// Sends a request, and reads the document that answers it.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content: Option<Content>,
    ) -> Result<T, ClientError> {
        let (status, body) = time::timeout(TIMEOUT, self.exchange(method, path, content))
            .await
            .unwrap_or_else(|_| Err(self.unreachable(Unreachable::Late)))?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| self.foreign(format!("answers with something else: {error}")));
        }
        Err(match serde_json::from_slice(&body) {
            Ok(problem) => ClientError::Problem(problem),
            Err(_) => self.foreign(format!("answers {status}")),
        })
    }

    /// Starts to read what the sidecar tells at `path` until one of both goes away.
    pub(super) async fn watch(&self, path: &str) -> Result<Incoming, ClientError> {
        let response = self.request(Method::GET, path, "text/event-stream", None);
        let response = time::timeout(TIMEOUT, response)
            .await
            .unwrap_or_else(|_| Err(self.unreachable(Unreachable::Late)))?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(self.foreign(format!("answers {}", response.status())))
    }

    /// Where the sidecar is.
    pub(super) const fn admin(&self) -> &AdminUrl {
        &self.admin
    }

    /// How the sidecar at `admin` answers a request for `path`.
    pub(super) async fn status(
        admin: AdminUrl,
        path: &str,
        ca: Option<PathBuf>,
    ) -> Result<StatusCode, ClientError> {
        let client = Self::of(admin, None, ca)?;
        let (status, _) = client.exchange(Method::GET, path, None).await?;
        Ok(status)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content: Option<Content>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let response = self.request(method, path, "application/json", content);
        let (head, body) = response.await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| self.unreachable(Unreachable::Other(error.to_string())))?;
        Ok((head.status, body.to_bytes()))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        content: Option<Content>,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.admin.at(path))
            .header(header::ACCEPT, accept);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        let body = match content {
            Some(content) => {
                request = request.header(header::CONTENT_TYPE, content.media_type);
                Full::new(content.bytes)
            }
            None => Full::default(),
        };
        let request = request.body(body).expect("its parts are checked");
        self.http.request(request).await.map_err(|error| {
            let why = if is_refused(&error) {
                Unreachable::Refused
            } else {
                Unreachable::Other(root(&error))
            };
            self.unreachable(why)
        })
    }

    fn unreachable(&self, why: Unreachable) -> ClientError {
        ClientError::Unreachable {
            admin: self.admin.clone(),
            why,
        }
    }

    /// That it is not what was expected.
    pub(super) fn foreign(&self, why: String) -> ClientError {
        ClientError::Foreign {
            admin: self.admin.clone(),
            why,
        }
    }
}

/// The path of a breaker, or with `under` of something of it.
pub(super) fn breaker_path(name: &str, under: &str) -> String {
    let name = utf8_percent_encode(name, SEGMENT);
    format!("/api/v1/breakers/{name}{under}")
}

/// The path of what is `under` an upstream.
pub(super) fn upstream_path(name: &str, under: &str) -> String {
    let name = utf8_percent_encode(name, SEGMENT);
    format!("/api/v1/upstreams/{name}{under}")
}

/// The header with the token of the file, or else of the environment.
fn token(file: Option<&Path>) -> Result<Option<HeaderValue>, ClientError> {
    let (from, token) = match file {
        Some(file) => {
            let token = fs::read_to_string(file)
                .map_err(|error| ClientError::Token(format!("{}: {error}", file.display())))?;
            (file.display().to_string(), token)
        }
        None => match env::var(TOKEN_VARIABLE) {
            Ok(token) if token.is_empty() => return Ok(None),
            Ok(token) => (TOKEN_VARIABLE.to_owned(), token),
            Err(env::VarError::NotPresent) => return Ok(None),
            Err(env::VarError::NotUnicode(_)) => {
                let rule = format!("{TOKEN_VARIABLE}: must be one line of text");
                return Err(ClientError::Token(rule));
            }
        },
    };
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .map_err(|_| ClientError::Token(format!("{from}: must be one line of text")))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn is_refused(error: &legacy::Error) -> bool {
    let mut causes = causes::chain(error);
    let found = causes.find_map(|cause| cause.downcast_ref::<io::Error>());
    // A socket that is not there is an admin port that is not there.
    let kinds = [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
    found.is_some_and(|error| kinds.contains(&error.kind()))
}

/// What is at the bottom of an error.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    causes::chain(error)
        .last()
        .map_or_else(String::new, ToString::to_string)
}

// === impl AdminUrl ===

impl AdminUrl {
    fn at(&self, path: &str) -> Uri {
        let mut parts = Uri::clone(&self.base).into_parts();
        let path = path.parse::<PathAndQuery>();
        parts.path_and_query = Some(path.expect("names are encoded"));
        Uri::from_parts(parts).expect("a scheme, an authority and a path")
    }

    fn dial(&self) -> Dial {
        let unix = self.socket.as_deref().map(Dial::unix);
        let unix = unix.and_then(Result::ok);
        unix.unwrap_or_else(|| {
            let mut connector = HttpConnector::new();
            connector.enforce_http(false);
            Dial::Tcp(connector)
        })
    }

    fn is_secure(&self) -> bool {
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

// === impl ClientError ===

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(why) => write!(f, "the control token can't be used: {why}"),
            Self::Tls(error) => write!(f, "the certificates to trust can't be used: {error}"),
            Self::File(why) => f.write_str(why),
            Self::Unreachable { admin, why } => match why {
                Unreachable::Refused => write!(
                    f,
                    "nothing listens at {admin}: is `breaker run` running there? --admin URL says where it is"
                ),
                Unreachable::Late => write!(f, "{admin} does not answer within {TIMEOUT:?}"),
                Unreachable::Other(why) => write!(f, "{admin} can't be asked: {why}"),
            },
            Self::Problem(problem) => {
                f.write_str(&problem.detail)?;
                match problem.status {
                    401 => f.write_str(": give it by --token-file or BREAKER_CONTROL_TOKEN"),
                    _ => Ok(()),
                }
            }
            Self::Foreign { admin, why } => write!(
                f,
                "{admin} {why}: is it the admin port of a breaker of this version?"
            ),
        }
    }
}

/// The environment variable with the control token.
pub(super) const TOKEN_VARIABLE: &str = "BREAKER_CONTROL_TOKEN";
const TIMEOUT: Duration = Duration::from_secs(10);
/// A thousand breakers with sixteen feeds each are 10 MB.
const MAX_ANSWER: usize = 64 << 20;
const RULE: &str = "must be http://host:port, https://host:port, or unix:/path of a socket";
/// The environment variable with the file of certificates to trust.
pub(super) const CA_VARIABLE: &str = "BREAKER_ADMIN_CA";
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

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        assert_eq!(breaker_path("pay", "/mode"), "/api/v1/breakers/pay/mode");
        assert_eq!(
            breaker_path("../x?y z", ""),
            "/api/v1/breakers/..%2Fx%3Fy%20z"
        );
    }
}
