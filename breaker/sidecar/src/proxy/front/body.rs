//! The body of an answer, on its way to the client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use super::log::RequestLog;
use crate::message::error::ProxyError;
use crate::proxy::body::ResponseBody;
use crate::proxy::fallback::{LaterBody, SubstituteBody};
use crate::proxy::stack::RouteBody;
use crate::proxy::stream;

/// The body of a response, and the account of its request.
pub(crate) struct FrontBody {
    pub(super) content: Content,
    /// Over HTTP/2: what is left of a piece that is handed on in smaller ones.
    pub(super) rest: Bytes,
    pub(super) account: RequestLog,
}

pub(super) enum Content {
    Route(RouteBody),
    Substitute(Box<SubstituteBody>),
    Local(ResponseBody),
}

// === impl FrontBody ===

impl Body for FrontBody {
    type Data = Bytes;
    type Error = ProxyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        let this = self.get_mut();
        stream::is_asked();
        let mut polled = if this.rest.is_empty() {
            match &mut this.content {
                Content::Route(body) => Pin::new(body).poll_frame(cx),
                Content::Substitute(body) => Pin::new(body).poll_frame(cx),
                Content::Local(body) => Pin::new(body).poll_frame(cx),
            }
        } else {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest)))))
        };
        if polled.is_ready() {
            stream::hands_on();
        }
        if this.account.version == Version::HTTP_2
            && let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(data) = frame.data_mut()
        {
            this.rest = stream::split(data);
        }
        match &polled {
            Poll::Ready(None) => this.account.is_complete = true,
            Poll::Ready(Some(Ok(_))) if this.is_end_stream() => this.account.is_complete = true,
            Poll::Ready(Some(Err(error))) => this.account.error = Some(error.kind()),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.content.size_hint();
        let rest = self.rest.len() as u64;
        match hint.exact() {
            Some(exact) => SizeHint::with_exact(exact + rest),
            None => hint,
        }
    }
}

impl Content {
    pub(super) fn local(body: ResponseBody) -> Self {
        Self::Local(body)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Route(body) => body.size_hint(),
            Self::Substitute(body) => body.size_hint(),
            Self::Local(body) => body.size_hint(),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Route(body) => body.is_end_stream(),
            Self::Substitute(body) => body.is_end_stream(),
            Self::Local(body) => body.is_end_stream(),
        }
    }
}

impl From<LaterBody> for Content {
    fn from(body: LaterBody) -> Self {
        match body {
            LaterBody::Upstream(body) => Self::Substitute(body),
            LaterBody::Local(body) => Self::Local(*body),
        }
    }
}
