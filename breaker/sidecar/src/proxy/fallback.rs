//! What answers requests that a route's breaker rejects: another upstream, or a fixed answer.
//!
//! It is not sent what the upstream failed to answer: that had its chance, and may have had an
//! effect. What comes of the other upstream counts for its endpoints, and never for the route.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use breaker_tower::Rejected;
use breaker_tower::core::Attribution;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use tower_service::Service;

use super::body::ResponseBody;
use super::deadline::{Deadlined, DeadlinedBody};
use super::forward::Forward;
use super::respond::{self, Form};
use crate::findings::Findings;
use crate::message::decision::{Decided, Held};
use crate::message::error::ProxyError;
use crate::upstream::Upstream;

/// What answers in the place of a route's upstream while the breaker rejects.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the configuration makes it")]
pub enum Fallback {
    /// Another upstream.
    Upstream(Arc<Upstream>),
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
    Upstream(Rc<str>, RefCell<Deadlined<Forward>>),
    Answer(FixedAnswer),
}

/// What a fallback makes of a request.
pub(crate) enum Substituted {
    /// It is answered.
    Now(Box<Response<ResponseBody>>),
    /// It is sent to the other upstream.
    Later(Later),
}

/// The answer of another upstream.
pub(crate) type Later = Pin<Box<dyn Future<Output = Answer>>>;
type Answer = Result<Response<DeadlinedBody>, ProxyError>;

impl Fallback {
    /// The upstream that answers, if one does.
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        match self {
            Self::Upstream(upstream) => Some(upstream),
            Self::Answer(_) => None,
        }
    }
}

/// In a few words: `upstream replica`, `status 200`.
impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(upstream) => write!(f, "upstream {}", upstream.name),
            Self::Answer(answer) => write!(f, "status {}", answer.status.as_u16()),
        }
    }
}

// === impl Substitute ===

impl Substitute {
    pub(crate) fn upstream(
        name: &str,
        forward: Deadlined<Forward>,
        findings: Arc<Findings>,
    ) -> Self {
        Self {
            by: By::Upstream(name.into(), RefCell::new(forward)),
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
    fn answered(&self, answer: Answer) -> Answer {
        match answer {
            Ok(mut response) => {
                self.findings.fell_back();
                self.decided.falls_back();
                respond::fell_back(response.headers_mut(), &self.name, &self.rejected);
                Ok(response)
            }
            Err(error) if error.attribution() == Attribution::Caller => Err(error),
            Err(error) => {
                let Self { form, rejected, .. } = self;
                let (breaker, name) = (&self.breaker, &self.name);
                let response =
                    respond::rejected_twice(*form, breaker, rejected, name, error.kind());
                Ok(response.map(DeadlinedBody::from))
            }
        }
    }
}
