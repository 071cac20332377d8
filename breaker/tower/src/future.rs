//! The future of a response.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breaker_core::{Attribution, Rejected, Verdict};
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::body::{Answered, BreakerBody};
use crate::classify::{Classified, Classify, Ending};
use crate::deadline::CallerDeadline;
use crate::observer::{Watched, Witness};
use crate::reject::OnReject;

pin_project! {
    /// The future of [`BreakerService`](crate::BreakerService). Dropped before it is ready, it reports that the caller went away.
    pub struct ResponseFuture<F, C, R, B, RB, E, W = ()>
    where
        R: OnReject<B, RB, E>,
        W: Witness,
    {
        #[pin]
        state: State<F, C, W, Result<Response<RB>, R::Error>>,
        request_body: PhantomData<fn(B)>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, C, W, A>
    where
        W: Witness,
    {
        Admitted {
            #[pin]
            future: F,
            // Taken when the future is ready.
            awaited: Option<Awaited<C, W>>,
        },
        Rejected {
            answer: Option<A>,
        },
    }
}

/// What is known of a request whose answer is awaited.
pub(crate) struct Awaited<C, W: Witness> {
    pub(crate) request: Watched<W>,
    pub(crate) classifier: C,
    pub(crate) deadline: CallerDeadline,
    /// The answer is all head: nobody will read its body to the end.
    pub(crate) bodiless: bool,
}

impl<F, C, R, B, RB, E, W> ResponseFuture<F, C, R, B, RB, E, W>
where
    R: OnReject<B, RB, E>,
    W: Witness,
{
    pub(crate) const fn admitted(future: F, awaited: Awaited<C, W>) -> Self {
        Self {
            state: State::Admitted {
                future,
                awaited: Some(awaited),
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

impl<F, C, R, B, RB, E, W> Future for ResponseFuture<F, C, R, B, RB, E, W>
where
    F: Future<Output = Result<Response<RB>, E>>,
    C: Classify,
    R: OnReject<B, RB, E>,
    RB: Body,
    E: 'static,
    W: Witness,
{
    type Output = Result<Response<BreakerBody<RB, C, W>>, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Admitted { future, awaited } => {
                let request = &mut awaited.as_mut().expect(POLLED_AFTER_READY).request;
                let result = ready!(request.failing_on_panic(|| future.poll(cx)));
                let awaited = awaited.take().expect(POLLED_AFTER_READY);
                Poll::Ready(match result {
                    Ok(response) => Ok(awaited.answered(response)),
                    Err(error) => {
                        let ending = awaited.deadline.or_error(&awaited.classifier, &error);
                        awaited.request.finish(ending);
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

impl<C: Classify, W: Witness> Awaited<C, W> {
    /// Classifies the head of `response`, and lets its body report the end.
    fn answered<RB: Body>(mut self, response: Response<RB>) -> Response<BreakerBody<RB, C, W>> {
        let status = response.status();
        self.request.answered(status);
        let head = if response.extensions().get::<Rejected>().is_some() {
            Classified::Head(Ending::caused_by(Attribution::InnerBreaker))
        } else if self.deadline.forced_head(status, response.headers()) {
            Classified::Head(Ending::caused_by(Attribution::Caller))
        } else {
            let rules = self.request.request().policy().failure();
            self.classifier.head(rules, status, response.headers())
        };
        if let Classified::Head(ending) = head
            && (self.bodiless || response.body().is_end_stream())
        {
            self.request.finish(ending);
            return response.map(BreakerBody::unobserved);
        }
        let verdict = match head {
            Classified::Head(ending) => Some(ending.verdict),
            Classified::AtTrailers => None,
        };
        self.request.request().responded(verdict);
        let answered = Answered {
            request: self.request,
            head,
            classifier: self.classifier,
            deadline: self.deadline,
            begun: verdict == Some(Verdict::Success),
        };
        response.map(|body| BreakerBody::new(body, answered))
    }
}

impl<F, C, R, B, RB, E, W> fmt::Debug for ResponseFuture<F, C, R, B, RB, E, W>
where
    R: OnReject<B, RB, E>,
    W: Witness,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

const POLLED_AFTER_READY: &str = "a future is not polled after it was ready";
