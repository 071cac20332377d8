//! Request bodies, and whether the layer sees how they are sent: what a caller takes to send its
//! request is no latency of the service.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Request;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::handle::{InFlight, Upload};

/// What the inner service gets of a request's body.
pub trait Uploads<B> {
    /// The body of the inner service's requests.
    type Body;

    /// The admitted request for the inner service.
    fn hand_on(&self, request: Request<B>, admitted: &mut InFlight) -> Request<Self::Body>;
}

/// Request bodies go through as they are. The time that callers take to send them counts as
/// latency, except with [`await_upload`](crate::BreakerLayer::await_upload).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AsIs {
    pub(crate) await_upload: bool,
}

/// Request bodies are wrapped in an [`UploadBody`].
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Wrap;

/// Request bodies are wrapped in an [`UploadBody`], of which a closure makes the inner service's
/// type.
#[derive(Clone, Copy)]
pub struct WrapWith<F>(pub(crate) F);

pin_project! {
    /// The body of a request, whose sender is waited for while the service waits for more of it.
    /// Meanwhile the service's time does not run.
    pub struct UploadBody<B> {
        #[pin]
        inner: B,
        upload: Sending,
    }
}

/// The upload, and whether its sender is waited for.
#[derive(Debug)]
struct Sending {
    upload: Option<Upload>,
    is_awaited: bool,
}

impl<B: Body> Uploads<B> for AsIs {
    type Body = B;

    fn hand_on(&self, mut request: Request<B>, admitted: &mut InFlight) -> Request<B> {
        if self.await_upload
            && !request.body().is_end_stream()
            && let Some(upload) = admitted.uploading()
        {
            request.extensions_mut().insert(upload);
        }
        request
    }
}

impl<B: Body> Uploads<B> for Wrap {
    type Body = UploadBody<B>;

    fn hand_on(&self, request: Request<B>, admitted: &mut InFlight) -> Request<UploadBody<B>> {
        request.map(|body| UploadBody::new(body, admitted))
    }
}

impl<B: Body, F, T> Uploads<B> for WrapWith<F>
where
    F: Fn(UploadBody<B>) -> T,
{
    type Body = T;

    fn hand_on(&self, request: Request<B>, admitted: &mut InFlight) -> Request<T> {
        request.map(|body| (self.0)(UploadBody::new(body, admitted)))
    }
}

impl<F> fmt::Debug for WrapWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WrapWith").finish_non_exhaustive()
    }
}

// === impl UploadBody ===

impl<B: Body> UploadBody<B> {
    fn new(inner: B, admitted: &mut InFlight) -> Self {
        let upload = match inner.is_end_stream() {
            true => None,
            false => admitted.shared(),
        };
        Self {
            inner,
            upload: Sending {
                upload,
                is_awaited: false,
            },
        }
    }
}

impl<B> UploadBody<B> {
    /// The inner body.
    pub const fn get_ref(&self) -> &B {
        &self.inner
    }
}

impl<B: Body> Body for UploadBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let polled = this.inner.as_mut().poll_frame(cx);
        match &polled {
            Poll::Pending => this.upload.awaits(true),
            Poll::Ready(Some(Ok(frame))) if frame.is_data() && !this.inner.is_end_stream() => {
                this.upload.awaits(false);
            }
            Poll::Ready(None | Some(Ok(_))) => this.upload.end(),
            Poll::Ready(Some(Err(_))) => this.upload.cut(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: fmt::Debug> fmt::Debug for UploadBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadBody")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

// === impl Sending ===

impl Sending {
    fn awaits(&mut self, is_awaited: bool) {
        if self.is_awaited == is_awaited {
            return;
        }
        self.is_awaited = is_awaited;
        match &self.upload {
            Some(upload) if is_awaited => upload.goes_on(),
            Some(upload) => upload.blocks(),
            None => {}
        }
    }

    fn end(&mut self) {
        match self.upload.take() {
            Some(upload) if !self.is_awaited => upload.cut(),
            upload => drop(upload),
        }
    }

    /// The caller broke off or sent nonsense: what the service does about it is not awaited.
    fn cut(&mut self) {
        if let Some(upload) = self.upload.take() {
            upload.cut();
        }
    }
}

impl Drop for Sending {
    /// The service does not want the rest.
    fn drop(&mut self) {
        self.end();
    }
}
