//! Callers that want an answer, and judge the one they get.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::scene::{Scene, Service, received};

/// The longest that any answer may take: more than all times of the configuration.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

type Body = UnsyncBoxBody<Bytes, io::Error>;
type Connections = Client<HttpConnector, Body>;

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

enum Failure {
    /// Nothing came: a connection ended, or time ran out.
    NoAnswer(String),
    /// The connection or the stream was reset before anything was read.
    Reset(String),
    /// The head came, and not all of the body.
    Cut(String),
}

fn connections(http2: bool) -> Connections {
    Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http()
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn no_answer(how: String) -> Failure {
    if how.contains("reset by peer") || how.contains("stream error received") {
        Failure::Reset(how)
    } else {
        Failure::NoAnswer(how)
    }
}

async fn call(client: &Connections, request: Request<Body>) -> Result<Answer, Failure> {
    let late = |_| Failure::NoAnswer("in time".into());
    let response = timeout(PATIENCE, client.request(request));
    let response = response.await.map_err(late)?;
    let (head, body) = response
        .map_err(|error| no_answer(causes(&error)))?
        .into_parts();
    let body = timeout(PATIENCE, body.collect()).await.map_err(late)?;
    let body = body.map_err(|error| Failure::Cut(format!("{} {}", head.status, causes(&error))))?;
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        trailers: body.trailers().cloned().unwrap_or_default(),
        body: body.to_bytes(),
    })
}

impl Answer {
    fn told(&self, name: &str) -> &str {
        let value = self.headers.get(name).or_else(|| self.trailers.get(name));
        value.map_or("", |value| value.to_str().unwrap_or("no text"))
    }

    fn is_rejection(&self) -> bool {
        self.told("proxy-status")
            .contains("error=destination_unavailable")
    }

    /// The status, also that of gRPC.
    fn status(&self) -> String {
        match self.told("grpc-status") {
            "" => self.status.to_string(),
            grpc => format!("grpc {grpc}"),
        }
    }
}

/// Counts what a request came to. `good` is whether an answer is what the service gives when it is
/// well.
fn judge(
    scene: &Scene,
    kind: &'static str,
    service: &Service,
    since: Instant,
    ended: Result<Answer, Failure>,
    good: impl Fn(&Answer) -> bool,
) {
    let explained = service.trouble.explains(since);
    let steered = kind == "steered" && scene.steering.explains_rejection(since);
    let lost = match ended {
        Ok(answer) if good(&answer) => return scene.tally.count(kind, answer.status()),
        Ok(answer)
            if answer.is_rejection() && (steered || service.trouble.explains_rejection(since)) =>
        {
            return scene.tally.count(kind, "rejected");
        }
        // What the service itself says while it is told to fail is passed on.
        Ok(answer) if explained && !answer.is_rejection() => {
            let result = format!("{} by a fault", answer.status());
            return scene.tally.count(kind, result);
        }
        Err(Failure::Reset(_)) if service.trouble.cuts(since) => {
            return scene.tally.count(kind, "cut by a fault");
        }
        Err(Failure::Cut(_)) if explained => return scene.tally.count(kind, "cut by a fault"),
        Ok(answer) => {
            let (status, told) = (answer.status(), answer.told("proxy-status"));
            format!("{status} {told} {} bytes", answer.body.len())
        }
        Err(Failure::NoAnswer(how) | Failure::Reset(how)) => format!("no answer: {how}"),
        Err(Failure::Cut(how)) => format!("cut: {how}"),
    };
    let took = since.elapsed();
    let fault = service.trouble.last();
    scene.tally.lose(
        kind,
        &format!("{lost}, after {took:.1?}; last fault: {fault}"),
    );
}

/// GETs at a rate, by one version of HTTP, on connections that are kept.
pub(crate) async fn get(scene: Arc<Scene>, kind: &'static str, every: Duration) {
    let service = scene.service(if kind == "get" { "plain" } else { kind });
    let client = connections(kind == "h2");
    let mut ticks = interval(every);
    while scene.has_traffic() {
        ticks.tick().await;
        let since = Instant::now();
        let url = scene.url(&format!("/{}/x", service.name));
        let mut request = Request::get(url);
        if kind == "h2" {
            request = request.version(http::Version::HTTP_2);
        }
        let request = request.body(full("")).expect("a good request");
        let ended = call(&client, request).await;
        judge(&scene, kind, service, since, ended, |answer| {
            answer.status == 200 && answer.body == "as told\n"
        });
    }
}

/// POSTs of 1 KiB to 256 KiB, whose length the service tells.
pub(crate) async fn upload(scene: Arc<Scene>, index: usize) {
    let service = scene.service("upload");
    let client = connections(false);
    let mut ticks = interval(Duration::from_millis(150));
    let mut size = 1024 << index;
    while scene.has_traffic() {
        ticks.tick().await;
        size = if size > 128 * 1024 { 1024 } else { size * 2 };
        let since = Instant::now();
        let pieces = vec![Bytes::from(vec![b'u'; size / 4]); 4];
        let pieces = pieces
            .into_iter()
            .map(|piece| Ok::<_, io::Error>(Frame::data(piece)));
        let body = StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync();
        let request = Request::post(scene.url("/upload/x")).body(body);
        let ended = call(&client, request.expect("a good request")).await;
        judge(&scene, "upload", service, since, ended, |answer| {
            answer.status == 200 && answer.body == received(size)
        });
    }
}

/// Streams of five messages in half a second, which come back, with the status in the trailers.
pub(crate) async fn grpc(scene: Arc<Scene>) {
    const MESSAGE: &[u8] = b"\0\0\0\0\x05hello";
    let service = scene.service("grpc");
    let client = connections(true);
    while scene.has_traffic() {
        let since = Instant::now();
        let messages = futures_util::stream::unfold(0, |sent| async move {
            if sent == 5 {
                return None;
            }
            sleep(Duration::from_millis(100)).await;
            Some((
                Ok::<_, io::Error>(Frame::data(Bytes::from_static(MESSAGE))),
                sent + 1,
            ))
        });
        let request = Request::builder()
            .method(Method::POST)
            .uri(scene.url("/grpc/soak.Echo"))
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(StreamBody::new(messages).boxed_unsync());
        let ended = call(&client, request.expect("a good request")).await;
        judge(&scene, "grpc", service, since, ended, |answer| {
            answer.status == 200
                && answer.trailers.get("grpc-status").is_some_and(|s| s == "0")
                && answer.body.len() == 5 * MESSAGE.len()
        });
        sleep(Duration::from_millis(50)).await;
    }
}

/// Callers that leave before the answer; one in four stays for it, and gets it.
pub(crate) async fn impatient(scene: Arc<Scene>, http2: bool) {
    let service = scene.service("late");
    let client = connections(http2);
    let mut ticks = interval(Duration::from_millis(100));
    for turn in 0_u64.. {
        ticks.tick().await;
        if !scene.has_traffic() {
            return;
        }
        let since = Instant::now();
        let version = if http2 {
            http::Version::HTTP_2
        } else {
            http::Version::HTTP_11
        };
        let request = Request::get(scene.url("/late/x")).version(version);
        let calling = call(&client, request.body(full("")).expect("a good request"));
        let patience = match turn % 4 {
            0 => PATIENCE * 2,
            part => Duration::from_millis(25 * part),
        };
        match timeout(patience, calling).await {
            Ok(ended) => judge(&scene, "impatient", service, since, ended, |answer| {
                answer.status == 200
            }),
            Err(_) => scene.tally.count("impatient", "left"),
        }
    }
}
