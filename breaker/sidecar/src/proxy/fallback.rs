//! What answers requests that a route's breaker rejects: another upstream, or a fixed answer.
//!
//! It is not sent what the upstream failed to answer: that had its chance, and may have had an
//! effect. What comes of the other upstream counts for its endpoints and for a breaker of its own,
//! and never for the route.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use breaker_tower::breaker_core::Attribution;
use breaker_tower::{BreakerBody, BreakerHandle, BreakerLayer, BreakerService, Rejected, Respond};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::body::ResponseBody;
use super::deadline::{Deadlined, DeadlinedBody};
use super::forward::Forward;
use super::judge::Judge;
use super::respond::{self, Form};
use crate::findings::Findings;
use crate::message::body::RequestBody;
use crate::message::decision::{Decided, Held};
use crate::message::error::ProxyError;
use crate::upstream::Upstream;

/// What answers in the place of a route's upstream while the breaker rejects.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the configuration makes it")]
pub enum Fallback {
    /// Another upstream.
    Upstream {
        /// Where requests go.
        upstream: Arc<Upstream>,
        /// Rejects while that one fails too.
        breaker: BreakerHandle,
    },
    /// Always the same answer. gRPC calls have no use for it, and are rejected.
    Answer(FixedAnswer),
}

/// An answer that is always the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the configuration makes it")]
pub struct FixedAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its content.
    pub body: Bytes,
    /// What its content is.
    pub content_type: Option<HeaderValue>,
}

/// The fallback of one route on one worker.
pub(crate) struct Substitute {
    by: By,
    findings: Arc<Findings>,
}

enum By {
    Upstream(Rc<str>, RefCell<Guarded>),
    Answer(FixedAnswer),
}

/// The other upstream, behind its breaker.
type Guarded = BreakerService<Deadlined<Forward>, BreakerHandle, Judge, Respond<Answering>>;
type Answering = fn(Rejected, Request<RequestBody>) -> Response<DeadlinedBody>;
/// The body of its answers.
pub(crate) type SubstituteBody = BreakerBody<DeadlinedBody, Judge>;

/// What a fallback makes of a request.
pub(crate) enum Substituted {
    /// It is answered.
    Now(Box<Response<ResponseBody>>),
    /// It is sent to the other upstream.
    Later(Later),
}

/// The answer of another upstream, or the rejection if it has none.
pub(crate) type Later = Pin<Box<dyn Future<Output = Result<Response<LaterBody>, ProxyError>>>>;

/// The body of what comes of a request that is sent to another upstream.
pub(crate) enum LaterBody {
    /// The other upstream's.
    Upstream(Box<SubstituteBody>),
    /// That of the rejection.
    Local(Box<ResponseBody>),
}

type Answer = Result<Response<SubstituteBody>, ProxyError>;

impl Fallback {
    /// The upstream that answers, if one does.
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        match self {
            Self::Upstream { upstream, .. } => Some(upstream),
            Self::Answer(_) => None,
        }
    }
}

// === impl Substitute ===

impl Substitute {
    pub(crate) fn upstream(
        name: &str,
        forward: Deadlined<Forward>,
        breaker: BreakerHandle,
        findings: Arc<Findings>,
    ) -> Self {
        let layer = BreakerLayer::new(breaker)
            .classify(Judge::default())
            .respond(refuse as Answering)
            .await_upload();
        Self {
            by: By::Upstream(name.into(), RefCell::new(layer.layer(forward))),
            findings,
        }
    }

    pub(crate) fn answer(answer: FixedAnswer, findings: Arc<Findings>) -> Self {
        Self {
            by: By::Answer(answer),
            findings,
        }
    }

    /// Answers a request that was rejected, or has it answered.
    pub(crate) fn answers(&self, held: Held) -> Substituted {
        let Held { rejected, request } = held;
        let form = Form::of(request.body().fields(), request.version());
        let decided = request.body().decided().cloned().unwrap_or_default();
        let breaker: Rc<str> = request.body().route().into();
        match &self.by {
            By::Answer(answer) => match form {
                Form::Grpc => {
                    let response = respond::rejected(form, &breaker, &rejected);
                    Substituted::Now(Box::new(response))
                }
                Form::Http(_) => {
                    self.findings.fell_back();
                    decided.falls_back();
                    Substituted::Now(Box::new(respond::fixed(answer, &rejected)))
                }
            },
            By::Upstream(name, forward) => {
                let answer = forward.borrow_mut().call(request);
                let attempt = Attempted {
                    form,
                    decided,
                    breaker,
                    name: name.clone(),
                    rejected,
                    findings: self.findings.clone(),
                };
                Substituted::Later(Box::pin(async move { attempt.answered(answer.await) }))
            }
        }
    }
}

/// A request on its way to the other upstream.
struct Attempted {
    form: Form,
    decided: Decided,
    breaker: Rc<str>,
    name: Rc<str>,
    rejected: Rejected,
    findings: Arc<Findings>,
}

impl Attempted {
    /// Without an answer of the other upstream the request is rejected, which says when to come
    /// again. What its caller did is told to the caller.
    fn answered(&self, answer: Answer) -> Result<Response<LaterBody>, ProxyError> {
        let reason = match answer {
            Ok(response) if response.extensions().get::<Rejected>().is_some() => {
                "its breaker rejects".to_owned()
            }
            Ok(mut response) => {
                self.findings.fell_back();
                self.decided.falls_back();
                respond::fell_back(response.headers_mut(), &self.name, &self.rejected);
                return Ok(response.map(|body| LaterBody::Upstream(Box::new(body))));
            }
            Err(error) if error.attribution() == Attribution::Caller => return Err(error),
            Err(error) => error.kind().to_string(),
        };
        let Self { form, rejected, .. } = self;
        let (breaker, name) = (&self.breaker, &self.name);
        let response = respond::rejected_twice(*form, breaker, rejected, name, &reason);
        Ok(response.map(|body| LaterBody::Local(Box::new(body))))
    }
}

/// Marks that its breaker rejects. Nobody sees this response: the layer puts the rejection in its
/// extensions.
fn refuse(_: Rejected, _: Request<RequestBody>) -> Response<DeadlinedBody> {
    Response::new(ResponseBody::local("").into())
}
