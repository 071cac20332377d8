//! What is needed to send a request again.

use http::Request;

use crate::message::RequestBody;

/// A copy of a request whose connection may lose it. While there is one, what is sent of the
/// request's content is kept, as far as there is room.
pub(super) struct Spare(Box<Request<RequestBody>>);

impl Spare {
    pub(super) fn of(request: &Request<RequestBody>) -> Self {
        let mut spare = Box::new(Request::new(request.body().twin()));
        *spare.method_mut() = request.method().clone();
        *spare.uri_mut() = request.uri().clone();
        *spare.version_mut() = request.version();
        *spare.headers_mut() = request.headers().clone();
        *spare.extensions_mut() = request.extensions().clone();
        Self(spare)
    }

    /// How many bytes of its content are kept; `None` if it can't be sent again as a whole.
    pub(super) fn kept(&self) -> Option<usize> {
        self.0.body().kept()
    }

    /// The same, if it may have an effect twice.
    pub(super) fn if_idempotent(self) -> Option<Box<Request<RequestBody>>> {
        let is_idempotent = self.0.method().is_idempotent();
        is_idempotent.then(|| self.whole()).flatten()
    }

    /// The request, if all that was taken of its content is kept. What was sent before has no more.
    pub(super) fn whole(self) -> Option<Box<Request<RequestBody>>> {
        self.0.body().rewind().then_some(self.0)
    }
}
