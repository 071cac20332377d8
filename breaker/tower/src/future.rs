//! The future of a response.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breaker_core::Rejected;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::body::BreakerBody;
use crate::classify::Classify;
use crate::exchange::Exchange;
use crate::observer::Witness;
use crate::reject::OnReject;
use crate::timeout::Timeout;

pin_project! {
    /// The future of [`BreakerService`](crate::BreakerService). If it is dropped before it is
    /// ready, it reports that the caller went away.
    pub struct ResponseFuture<F, C, R, B, RB, E, W = ()>
    where
        R: OnReject<B, RB, E>,
        W: Witness,
    {
        #[pin]
        state: State<F, C, W, R::Future>,
        types: PhantomData<fn(B, RB, E)>,
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
            timeout: Option<Box<Timeout>>,
            #[pin]
            future: F,
        },
        Rejected {
            rejected: Option<Rejected>,
            #[pin]
            answer: A,
        },
    }
}

impl<F, C, R, B, RB, E, W> ResponseFuture<F, C, R, B, RB, E, W>
where
    R: OnReject<B, RB, E>,
    W: Witness,
{
    pub(crate) const fn admitted(
        future: F,
        exchange: Exchange<C, W>,
        timeout: Option<Box<Timeout>>,
    ) -> Self {
        Self {
            state: State::Admitted {
                future,
                exchange: Some(exchange),
                timeout,
            },
            types: PhantomData,
        }
    }

    pub(crate) const fn rejected(rejected: Rejected, answer: R::Future) -> Self {
        Self {
            state: State::Rejected {
                rejected: Some(rejected),
                answer,
            },
            types: PhantomData,
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
                timeout,
            } => {
                let exchange = held.as_mut().expect(POLLED_AFTER_READY);
                match exchange.request.failing_on_panic(|| future.poll(cx)) {
                    Poll::Pending => {
                        let Some(timeout) = timeout else {
                            return Poll::Pending;
                        };
                        ready!(timeout.poll_elapsed(exchange.request.request(), cx));
                        exchange.timed_out();
                        *held = None;
                        let answer = R::on_timeout(timeout.is_grpc);
                        Poll::Ready(answer.map(|answer| answer.map(BreakerBody::unobserved)))
                    }
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
            StateProj::Rejected { rejected, answer } => {
                let answer = ready!(answer.poll(cx));
                Poll::Ready(answer.map(|mut response| {
                    let rejected = rejected.take().expect(POLLED_AFTER_READY);
                    response.extensions_mut().insert(rejected);
                    response.map(BreakerBody::unobserved)
                }))
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
