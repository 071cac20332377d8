//! The future of a response.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::body::BreakerBody;
use crate::classify::Classify;
use crate::exchange::Exchange;
use crate::observer::Witness;
use crate::reject::OnReject;

pin_project! {
    /// The future of [`BreakerService`](crate::BreakerService). If it is dropped before it is
    /// ready, it reports that the caller went away.
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
            // Taken when the future is ready. Dropped before the future: a caller that went away
            // while it was still sending has not completed its request, though the upload ends with
            // the future.
            exchange: Option<Exchange<C, W>>,
            #[pin]
            future: F,
        },
        Rejected {
            answer: Option<A>,
        },
    }
}

impl<F, C, R, B, RB, E, W> ResponseFuture<F, C, R, B, RB, E, W>
where
    R: OnReject<B, RB, E>,
    W: Witness,
{
    pub(crate) const fn admitted(future: F, exchange: Exchange<C, W>) -> Self {
        Self {
            state: State::Admitted {
                future,
                exchange: Some(exchange),
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
            StateProj::Admitted {
                future,
                exchange: held,
            } => {
                let exchange = held.as_mut().expect(POLLED_AFTER_READY);
                match exchange.request.failing_on_panic(|| future.poll(cx)) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Ok(response)) => {
                        exchange.answered(&response);
                        // Responses and exchanges are large: each is moved once here.
                        let (head, body) = response.into_parts();
                        let body = BreakerBody::new(body, held.take());
                        Poll::Ready(Ok(Response::from_parts(head, body)))
                    }
                    Poll::Ready(Err(error)) => {
                        exchange.failed(&error);
                        *held = None;
                        Poll::Ready(Err(R::inner_error(error)))
                    }
                }
            }
            StateProj::Rejected { answer } => {
                let answer = answer.take().expect(POLLED_AFTER_READY);
                Poll::Ready(answer.map(|response| response.map(BreakerBody::unobserved)))
            }
        }
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
