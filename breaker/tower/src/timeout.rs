//! How long the head of an answer is waited for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::handle::InFlight;

/// The timeout of one request. It is the service's: the time in which its caller is waited for does
/// not count.
pub(crate) struct Timeout {
    sleep: Pin<Box<Sleep>>,
    period: Duration,
    pub(crate) is_grpc: bool,
}

impl Timeout {
    pub(crate) fn new(period: Duration, is_grpc: bool) -> Self {
        Self {
            sleep: Box::pin(sleep(period)),
            period,
            is_grpc,
        }
    }

    pub(crate) fn poll_elapsed(
        &mut self,
        request: &mut InFlight,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let waited = request.waited().unwrap_or_default();
            let left = self.period.saturating_sub(waited);
            if left.is_zero() {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(Instant::now() + left);
        }
    }
}
