//! The target: how a batch is put to it, and what its answers mean.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, TE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::causes;
use crate::collector::{OtlpError, Trust, by_name, connector};
use crate::ingest::batch::{Batch, Encoding, Signal, Transport};
use crate::ingest::grpc::GRPC_ENCODING;
use crate::ingest::settings::Forward;
use crate::upstream::resolve::Resolver;

/// Where batches go.
#[derive(Debug)]
pub(in crate::ingest) struct Targets {
    grpc: Option<Target>,
    http: Option<Target>,
}

struct Target {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    /// The URL for each signal.
    urls: [Uri; 3],
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The target took the batch.
    Taken,
    /// The target will never take it.
    Refused(String),
    /// It may take it later; it asked for a pause, or not.
    Later(String, Option<Duration>),
    /// There is no target for it.
    NoTarget,
}

// === impl Targets ===

impl Targets {
    /// Connects when something is first sent.
    pub(in crate::ingest) fn new(forward: &Forward) -> Result<Self, OtlpError> {
        let connector = |url: &Uri| {
            connector(&Trust {
                is_secure: url.scheme_str() == Some("https"),
                certificate: forward.tls.certificate.as_deref(),
                client_certificate: forward.tls.client_certificate.as_deref(),
                client_key: forward.tls.client_key.as_deref(),
            })
        };
        let ping = forward.timeout / 2;
        let grpc = forward.grpc.as_ref().map(|url| {
            let connector = connector(url)?.enable_http2().wrap_connector(by_name()?);
            // A connection whose peer is gone must end before the next attempt would take it again.
            let client = builder()
                .http2_only(true)
                .http2_keep_alive_interval(ping)
                .http2_keep_alive_timeout(ping)
                .build(connector);
            Ok::<_, OtlpError>(Target::new(client, url, Signal::grpc_path))
        });
        let http = forward.http.as_ref().map(|url| {
            let connector = connector(url)?.enable_http1().wrap_connector(by_name()?);
            let client = builder().build(connector);
            Ok::<_, OtlpError>(Target::new(client, url, Signal::http_path))
        });
        Ok(Self {
            grpc: grpc.transpose()?,
            http: http.transpose()?,
        })
    }

    pub(in crate::ingest) const fn take_json(&self) -> bool {
        self.http.is_some()
    }

    /// Sends a batch once.
    pub(super) async fn send(&self, batch: &Batch) -> Attempt {
        let (grpc, http) = (self.grpc.as_ref(), self.http.as_ref());
        let grpc = grpc.filter(|_| batch.encoding == Encoding::Protobuf);
        let first_grpc = batch.transport == Transport::Grpc;
        match (grpc, http) {
            (Some(target), None) => target.send_grpc(batch).await,
            (Some(target), Some(_)) if first_grpc => target.send_grpc(batch).await,
            (_, Some(target)) => target.send_http(batch).await,
            (None, None) => Attempt::NoTarget,
        }
    }
}

// === impl Target ===

impl Target {
    fn new(
        client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
        url: &Uri,
        path: impl Fn(Signal) -> &'static str,
    ) -> Self {
        let base = url.path().trim_end_matches('/');
        let urls = Signal::ALL.map(|signal| {
            let mut parts = url.clone().into_parts();
            let path = format!("{base}{}", path(signal));
            parts.path_and_query = Some(path.try_into().expect("a path with a path behind it"));
            Uri::from_parts(parts).expect("a URL with another path")
        });
        Self { client, urls }
    }

    async fn send_grpc(&self, batch: &Batch) -> Attempt {
        let mut headers = batch.headers.clone();
        if batch.transport == Transport::Http {
            headers.remove(CONTENT_ENCODING);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            if let Some(coding) = batch.coding {
                headers.insert(GRPC_ENCODING, HeaderValue::from_static(coding.name()));
            }
        }
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let sent = self.send(batch.signal, Version::HTTP_2, headers, batch.frame.clone());
        match sent.await {
            Ok(answer) => answer.by_grpc(),
            Err(attempt) => attempt,
        }
    }

    async fn send_http(&self, batch: &Batch) -> Attempt {
        let mut headers = batch.headers.clone();
        if batch.transport == Transport::Grpc {
            headers.remove(GRPC_ENCODING);
            let media_type = HeaderValue::from_static("application/x-protobuf");
            headers.insert(CONTENT_TYPE, media_type);
            if let Some(coding) = batch.coding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            }
        }
        let sent = self.send(batch.signal, Version::HTTP_11, headers, batch.message());
        match sent.await {
            Ok(answer) => answer.by_http(),
            Err(attempt) => attempt,
        }
    }

    async fn send(
        &self,
        signal: Signal,
        version: Version,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Attempt> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.urls[signal as usize].clone();
        *request.version_mut() = version;
        *request.headers_mut() = headers;
        let failed = |error: &(dyn std::error::Error + 'static)| {
            Attempt::Later(causes::in_full(error), None)
        };
        let answer = self.client.request(request).await;
        let (head, body) = answer.map_err(|error| failed(&error))?.into_parts();
        let mut fields = head.headers;
        // The status of gRPC comes behind the body, or instead of it.
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| failed(&*error))?;
        if let Some(trailers) = body.trailers() {
            fields.extend(trailers.clone());
        }
        Ok(Answer {
            status: head.status,
            fields,
        })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("urls", &self.urls).finish()
    }
}

/// What the target answered.
struct Answer {
    status: StatusCode,
    fields: HeaderMap,
}

impl Answer {
    /// What an answer of OTLP/HTTP means.
    fn by_http(&self) -> Attempt {
        let status = self.status;
        let why = || format!("the target answered {status}");
        match status.as_u16() {
            200..=299 => Attempt::Taken,
            429 | 502..=504 => Attempt::Later(why(), self.retry_after()),
            _ => Attempt::Refused(why()),
        }
    }

    /// What an answer of OTLP/gRPC means.
    fn by_grpc(&self) -> Attempt {
        let Some(code) = self.fields.get(Status::GRPC_STATUS) else {
            // From a proxy on the way.
            return match self.by_http() {
                Attempt::Taken => {
                    Attempt::Refused("the target answered without a status".to_owned())
                }
                other => other,
            };
        };
        let code = Code::from_bytes(code.as_bytes());
        let message = self.fields.get(Status::GRPC_MESSAGE);
        let message = message.and_then(|message| message.to_str().ok());
        let why = format!(
            "the target answered {code:?}: {}",
            message.unwrap_or_default()
        );
        let asked = self.retry_info(code);
        match code {
            Code::Ok => Attempt::Taken,
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => Attempt::Later(why, asked),
            // Without a word on when, it is for good.
            Code::ResourceExhausted if asked.is_some() => Attempt::Later(why, asked),
            _ => Attempt::Refused(why),
        }
    }

    /// In its form of seconds; a date needs two clocks to agree.
    fn retry_after(&self) -> Option<Duration> {
        let seconds = self.fields.get(RETRY_AFTER)?.to_str().ok()?.trim();
        Some(Duration::from_secs(seconds.parse().ok()?))
    }

    fn retry_info(&self, code: Code) -> Option<Duration> {
        // Not `Status::from_header_map`: it panics on what is no base64.
        let details = self.fields.get(Status::GRPC_STATUS_DETAILS)?;
        let details = BASE64.decode(details.as_bytes()).ok()?;
        let status = Status::with_details(code, "", details.into());
        status.get_details_retry_info()?.retry_delay
    }
}

fn builder() -> legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new());
    builder
}

/// gRPC sends base64 with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// What a collector answers is a few bytes, or an error text.
const MAX_ANSWER: usize = 64 * 1024;
