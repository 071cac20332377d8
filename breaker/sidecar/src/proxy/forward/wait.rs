//! Waiting for an upstream, and for how long.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::causes;
use crate::message::body::{PAUSE, Upload};
use crate::message::client::Client;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::timers::{Deadline, Timers};
use crate::proxy::interim::Interim;
use crate::upstream::exchange::Exchange;

/// The wait for the head of a response; the time of the caller's upload is not the upstream's.
pub(super) struct Wait {
    limit: Option<(Duration, Deadline)>,
    upload: Option<Rc<Upload>>,
    /// When to look whether the upload is blocked, while it goes on.
    looks: Option<Deadline>,
    timers: Rc<Timers>,
}

impl Wait {
    /// Makes a wait of so long, until then at the soonest.
    pub(super) fn new(
        limit: Option<(Duration, Deadline)>,
        upload: Option<Rc<Upload>>,
        timers: &Rc<Timers>,
    ) -> Self {
        Self {
            limit,
            upload,
            looks: None,
            timers: timers.clone(),
        }
    }

    /// Waits for `future`; being late is an error of `kind`.
    pub(super) async fn within<T>(
        &mut self,
        kind: ErrorKind,
        future: impl Future<Output = Result<T, ProxyError>>,
    ) -> Result<T, ProxyError> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => self.poll_late(cx).map(|()| Err(kind.into())),
        })
        .await
    }

    /// Waits for what is `sent`, while driving the exchange that it goes over.
    pub(super) async fn driving<F: Future>(
        &mut self,
        exchange: &mut Exchange,
        interim: Option<&(Interim, Rc<Client>)>,
        sent: F,
    ) -> Result<F::Output, ProxyError> {
        let mut sent = pin!(sent);
        poll_fn(|cx| {
            // First the exchange: what it reads is there when the response is asked for.
            exchange.drive(cx);
            if exchange.has_read()
                && let Some((interim, client)) = interim
                && let Some(written) = interim.take()
            {
                client.offer_interim(&written);
            }
            match sent.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(Ok(done)),
                Poll::Pending => self
                    .poll_late(cx)
                    .map(|()| Err(ErrorKind::ResponseTimeout.into())),
            }
        })
        .await
    }

    /// The upload that goes on meanwhile.
    pub(super) fn upload(&self) -> Option<&Rc<Upload>> {
        self.upload.as_ref()
    }

    /// The same, when the wait is over.
    pub(super) fn into_upload(self) -> Option<Rc<Upload>> {
        self.upload
    }

    /// What an error of the connection comes from: the upstream, or the caller's body.
    pub(super) fn error(&self, error: hyper::Error) -> ProxyError {
        let fault = self.upload.as_ref().and_then(|upload| upload.fault());
        let kind = fault.unwrap_or_else(|| match (kind_of(&error), &self.upload) {
            // The upstream has waited long enough for the caller.
            (ErrorKind::Terminated, Some(upload)) if upload.is_paused() => {
                ErrorKind::RequestBodyTimeout
            }
            (kind, _) => kind,
        });
        ProxyError::caused_by(kind, error)
    }

    /// Looks now and then whether the upload is blocked by the upstream, while it goes on.
    fn poll_looks(&mut self, cx: &mut Context<'_>) {
        let Some(upload) = self
            .upload
            .as_ref()
            .filter(|upload| upload.ended().is_none())
        else {
            return;
        };
        let (timers, timeout) = (
            &self.timers,
            self.limit.as_ref().map(|(timeout, _)| *timeout),
        );
        let pause = timeout.map_or(PAUSE, |timeout| PAUSE.min(timeout / 2));
        let looks = self
            .looks
            .get_or_insert_with(|| Deadline::new(Instant::now() + pause, timers));
        while looks.poll(cx).is_ready() {
            upload.look(pause);
            looks.set(Instant::now() + pause);
        }
    }

    /// The time begins with the end of the upload. An upload of which the upstream takes nothing
    /// for so long has hung.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_looks(cx);
        let Some((timeout, deadline)) = &mut self.limit else {
            return Poll::Pending;
        };
        loop {
            ready!(deadline.poll(cx));
            let Some(upload) = &self.upload else {
                return Poll::Ready(());
            };
            let since = upload.ended().or_else(|| upload.untaken_since());
            let since = since.unwrap_or_else(Instant::now);
            if since + *timeout <= deadline.at() {
                return Poll::Ready(());
            }
            deadline.set(since + *timeout);
        }
    }
}

/// What went wrong, by what hyper tells of it.
fn kind_of(error: &hyper::Error) -> ErrorKind {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return ErrorKind::Terminated;
    }
    if error.is_parse_too_large() {
        return ErrorKind::ResponseHeadTooLarge;
    }
    if error.is_parse() {
        return ErrorKind::Protocol;
    }
    match causes::chain(error).any(|cause| cause.is::<io::Error>()) {
        true => ErrorKind::Terminated,
        false => ErrorKind::Protocol,
    }
}
