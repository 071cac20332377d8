//! The future of a response.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breaker_core::{Rejected, Verdict};
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
            awaited: Option<Awaited<C>>,
        },
        Rejected {
            answer: Option<A>,
        },
    }
}

/// What is known of a request whose answer is awaited.
struct Awaited<C> {
    request: InFlight,
    classifier: C,
    /// The answer is all head: nobody will read its body to the end.
    bodiless: bool,
}

impl<F, C, R, B, RB, E> ResponseFuture<F, C, R, B, RB, E>
where
    R: OnReject<B, RB, E>,
{
    pub(crate) const fn admitted(
        future: F,
        request: InFlight,
        classifier: C,
        bodiless: bool,
    ) -> Self {
        Self {
            state: State::Admitted {
                future,
                awaited: Some(Awaited {
                    request,
                    classifier,
                    bodiless,
                }),
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
            StateProj::Admitted { future, awaited } => {
                let request = &mut awaited.as_mut().expect(POLLED_AFTER_READY).request;
                let result = ready!(request.failing_on_panic(|| future.poll(cx)));
                let awaited = awaited.take().expect(POLLED_AFTER_READY);
                Poll::Ready(match result {
                    Ok(response) => Ok(awaited.answered(response)),
                    Err(error) => {
                        let verdict = awaited.classifier.error(&error);
                        awaited.request.finish(verdict, None);
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

impl<C: Classify> Awaited<C> {
    /// Classifies the head of `response`, and lets its body report the end.
    fn answered<RB: Body>(mut self, response: Response<RB>) -> Response<BreakerBody<RB, C>> {
        let head = if response.extensions().get::<Rejected>().is_some() {
            Classified::Head(Verdict::Ignored.into())
        } else {
            let rules = self.request.policy().failure();
            self.classifier
                .head(rules, response.status(), response.headers())
        };
        if let Classified::Head(ending) = head
            && (self.bodiless || response.body().is_end_stream())
        {
            self.request.finish(ending.verdict, ending.retry_after);
            return response.map(BreakerBody::unobserved);
        }
        self.request.responded(match head {
            Classified::Head(ending) => ending.verdict,
            Classified::AtTrailers => Verdict::Success,
        });
        response.map(|body| BreakerBody::new(body, self.request, head, self.classifier))
    }
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
