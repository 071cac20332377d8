//! The ways in which a service answers, or doesn't.

use std::fmt;
use std::future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::Semaphore;
use tokio::time;

use super::Seen;
use super::wire::Fault;

/// A function from a request to its answer.
type Answer = dyn Fn(&Seen) -> Response<Bytes> + Send + Sync;

type Reply = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// What happens to a request. Where not said otherwise its body is read first.
#[derive(Clone)]
#[non_exhaustive]
pub enum Script {
    /// Answers at once with this status.
    Status(u16),
    /// Answers with 200 after this time.
    Delay(Duration),
    /// Answers with 200, one request after the other, each after this time.
    InTurn(Arc<Semaphore>, Duration),
    /// Never answers.
    Hang,
    /// Resets the TCP connection instead of an answer.
    Reset,
    /// Announces 100 bytes, sends 10, and closes.
    CloseMidBody,
    /// Sends bytes that are no HTTP, and closes.
    Garbage,
    /// Answers with the request's body while it comes, its trailers too.
    Echo,
    /// Echoes messages of a gRPC stream while they come, and ends it with the status OK.
    Grpc,
    /// Answers as the function says.
    Answer(Arc<Answer>),
    /// Answers as the function says after this time.
    Late(Duration, Arc<Answer>),
}

impl Script {
    /// Answers as `answer` says.
    pub fn answer(answer: impl Fn(&Seen) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        Self::Answer(Arc::new(answer))
    }

    /// Answers as `answer` says, after `delay`.
    pub fn late(
        delay: Duration,
        answer: impl Fn(&Seen) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self::Late(delay, Arc::new(answer))
    }

    /// Answers with 200, one request after the other, each after `time`.
    pub fn in_turn(time: Duration) -> Self {
        Self::InTurn(Arc::new(Semaphore::new(1)), time)
    }

    pub(super) async fn perform(
        self,
        request: Request<Incoming>,
        fault: &Fault,
        record: impl FnOnce(Seen),
    ) -> Result<Reply, hyper::Error> {
        let (head, body) = request.into_parts();
        let mut seen = Seen {
            method: head.method,
            uri: head.uri,
            version: head.version,
            headers: head.headers,
            body: Bytes::new(),
        };
        if let Self::Echo = self {
            record(seen);
            return Ok(Response::new(body.map_err(io::Error::other).boxed_unsync()));
        }
        if let Self::Grpc = self {
            record(seen);
            let body = Messages(body).with_trailers(async {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Some(Ok(trailers))
            });
            let mut reply = Response::new(body.boxed_unsync());
            let grpc = HeaderValue::from_static("application/grpc");
            reply.headers_mut().insert(CONTENT_TYPE, grpc);
            return Ok(reply);
        }
        seen.body = body.collect().await?.to_bytes();
        record(seen.clone());
        match self {
            Self::Delay(delay) | Self::Late(delay, _) => time::sleep(delay).await,
            Self::InTurn(ref turn, delay) => {
                let _turn = turn.acquire().await;
                time::sleep(delay).await;
            }
            Self::Hang => future::pending().await,
            Self::Reset => fault.reset(),
            Self::Garbage => fault.garbage(),
            _ => {}
        }
        Ok(match self {
            Self::Status(status) => reply(status, Full::from("as told\n")),
            Self::CloseMidBody => reply(200, CutOff::default()),
            Self::Answer(answer) | Self::Late(_, answer) => {
                answer(&seen).map(|body| box_up(Full::new(body)))
            }
            _ => reply(200, Full::from("as told\n")),
        })
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "Status({status})"),
            Self::Delay(delay) => write!(f, "Delay({delay:?})"),
            Self::InTurn(_, delay) => write!(f, "InTurn(.., {delay:?})"),
            Self::Hang => f.write_str("Hang"),
            Self::Reset => f.write_str("Reset"),
            Self::CloseMidBody => f.write_str("CloseMidBody"),
            Self::Garbage => f.write_str("Garbage"),
            Self::Echo => f.write_str("Echo"),
            Self::Grpc => f.write_str("Grpc"),
            Self::Answer(_) => f.write_str("Answer(..)"),
            Self::Late(delay, _) => write!(f, "Late({delay:?}, ..)"),
        }
    }
}

fn reply<B>(status: u16, body: B) -> Reply
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut reply = Response::new(box_up(body));
    *reply.status_mut() = StatusCode::from_u16(status).expect("the script names a status");
    reply
}

fn box_up<B>(body: B) -> UnsyncBoxBody<Bytes, io::Error>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    body.map_err(io::Error::other).boxed_unsync()
}

/// A body without its trailers and empty pieces. One is what a request without a length ends by;
/// sent on before trailers it would be an empty frame that isn't the last, of which h2 takes 100 in
/// the whole life of a connection.
struct Messages(Incoming);

impl Body for Messages {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
                Some(Ok(frame)) if frame.data_ref().is_none_or(Bytes::is_empty) => {}
                frame => return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other))),
            }
        }
    }
}

/// Ten bytes of a hundred, then an error, at which hyper closes the connection.
#[derive(Default)]
struct CutOff {
    polls: u8,
}

impl Body for CutOff {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.polls += 1;
        match self.polls {
            1 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"0123456789"))))),
            2 => {
                // hyper sends what it holds only when it must wait; an error at once would discard
                // it.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(100)
    }
}
