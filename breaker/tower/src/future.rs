//! The future of a response.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breaker_core::Verdict;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::body::BreakerBody;
use crate::classify::{Classified, Classify};
use crate::reject::OnReject;
use crate::request::InFlight;

pin_project! {
    /// The future of [`BreakerService`](crate::BreakerService). Dropped before it is ready, it reports that the caller went away.
    pub struct ResponseFuture<F, C, R, B, RB, E>
    where
        R: OnReject<B, RB, E>,
    {
        #[pin]
        state: State<F, C, Result<Response<RB>, R::Error>>,
        request_body: PhantomData<fn(B)>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, C, A> {
        Admitted {
            #[pin]
            future: F,
            // Taken when the future is ready.
            request: Option<(InFlight, C)>,
        },
        Rejected {
            answer: Option<A>,
        },
    }
}

impl<F, C, R, B, RB, E> ResponseFuture<F, C, R, B, RB, E>
where
    R: OnReject<B, RB, E>,
{
    pub(crate) const fn admitted(future: F, request: InFlight, classifier: C) -> Self {
        Self {
            state: State::Admitted {
                future,
                request: Some((request, classifier)),
            },
            request_body: PhantomData,
        }
    }

    pub(crate) const fn rejected(answer: Result<Response<RB>, R::Error>) -> Self {
        Self {
            state: State::Rejected {
                answer: Some(answer),
            },
            request_body: PhantomData,
        }
    }
}

impl<F, C, R, B, RB, E> Future for ResponseFuture<F, C, R, B, RB, E>
where
    F: Future<Output = Result<Response<RB>, E>>,
    C: Classify,
    R: OnReject<B, RB, E>,
    RB: Body,
    E: 'static,
{
    type Output = Result<Response<BreakerBody<RB, C>>, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Admitted { future, request } => {
                let result = ready!(future.poll(cx));
                let (request, classifier) = request.take().expect(POLLED_AFTER_READY);
                Poll::Ready(match result {
                    Ok(response) => Ok(observe(response, request, classifier)),
                    Err(error) => {
                        request.finish(classifier.error(&error), None);
                        Err(R::inner_error(error))
                    }
                })
            }
            StateProj::Rejected { answer } => {
                let answer = answer.take().expect(POLLED_AFTER_READY);
                Poll::Ready(answer.map(|response| response.map(BreakerBody::unobserved)))
            }
        }
    }
}

/// Classifies the head of `response`, and lets its body report the end.
fn observe<RB: Body, C: Classify>(
    response: Response<RB>,
    mut request: InFlight,
    classifier: C,
) -> Response<BreakerBody<RB, C>> {
    let rules = request.policy().clone();
    let head = classifier.head(rules.failure(), response.status(), response.headers());
    request.responded(match head {
        Classified::Head(ending) => ending.verdict,
        Classified::AtTrailers => Verdict::Success,
    });
    response.map(|body| BreakerBody::new(body, request, head, classifier))
}

impl<F, C, R, B, RB, E> fmt::Debug for ResponseFuture<F, C, R, B, RB, E>
where
    R: OnReject<B, RB, E>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

const POLLED_AFTER_READY: &str = "a future is not polled after it was ready";
