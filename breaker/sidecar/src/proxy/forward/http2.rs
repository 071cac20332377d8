//! Sending over the HTTP/2 connections that requests share.

use std::rc::Rc;

use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;

use super::pending::Pending;
use super::spare::Spare;
use super::{Answer, form};
use crate::message::RequestBody;
use crate::message::body::Upload;
use crate::message::error::{ErrorKind, ProxyError};
use crate::proxy::body::response::Source;
use crate::upstream::HeadLimits;
use crate::upstream::connections::Connections;
use crate::upstream::multiplex::{Loss, StreamSlot};

/// A request that has no answer, and perhaps what to send again.
struct Lost {
    error: ProxyError,
    request: Option<Box<Request<RequestBody>>>,
    /// Whether another connection to the same endpoint may take it.
    is_other_connection_better: bool,
    /// Whether it was lost with a connection that had answered before, and is sent again. As over
    /// HTTP/1.1, one that ends its connections may be about to stop: that says nothing of it.
    is_excused: bool,
}

/// Waits for an answer. Dropped before there is one, the caller has left.
struct Asked {
    place: Rc<StreamSlot>,
    upload: Option<Rc<Upload>>,
    is_over: bool,
}

impl Pending {
    /// Sends over a connection that others share. What an endpoint certainly has not processed is
    /// sent again, whatever its method is: to each other endpoint once, or once more over another
    /// connection if there is no other endpoint.
    pub(super) async fn multiplex(
        mut self,
        first: Rc<Connections>,
        mut request: Request<RequestBody>,
    ) -> Answer {
        form::for_http2(&mut request, &first).map_err(|error| self.attempt.failed(error))?;
        let mut connections = first;
        let mut tried = Vec::new();
        loop {
            if connections.chose_http1() && !self.is_grpc {
                // What another endpoint chose, or this one before, is not what this one speaks.
                form::for_http1(&mut request, &connections);
                return Box::pin(self.open(connections, request)).await;
            }
            let lost = match self.ask(&connections, request).await {
                Ok((response, place)) => return self.stream(response, Source::Http2(place)),
                Err(lost) => lost,
            };
            if connections.chose_http1()
                && !self.is_grpc
                && let Some(again) = lost.request
            {
                request = *again;
                continue;
            }
            tried.push(connections.id());
            let Some(again) = lost.request else {
                return Err(self.attempt.failed(lost.error));
            };
            match self.shared.pool.pick(&tried) {
                Some(next) => {
                    connections = next.connections.clone();
                    let failed = match lost.is_excused {
                        true => ErrorKind::Unreceived,
                        false => lost.error.kind(),
                    };
                    self.attempt.again(failed, next);
                }
                None if tried.len() == 1 && lost.is_other_connection_better => {
                    self.attempt.again_there(lost.error.kind());
                }
                None => return Err(self.attempt.failed(lost.error)),
            }
            request = *again;
        }
    }

    async fn ask(
        &mut self,
        connections: &Rc<Connections>,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Rc<StreamSlot>), Lost> {
        let opening = connections.place();
        let opened = self.wait.within(ErrorKind::ConnectTimeout, opening).await;
        let place = match opened {
            Ok(place) => Rc::new(place),
            Err(error) => {
                // Nothing was sent yet, whatever ended the connection.
                return Err(Lost {
                    error,
                    request: Some(Box::new(request)),
                    is_other_connection_better: false,
                    is_excused: false,
                });
            }
        };
        self.passes_on(&mut request).map_err(Lost::for_good)?;
        if !place.takes(&request) {
            return Err(Lost::for_good(ErrorKind::RequestHeadTooLarge));
        }
        let spare = Spare::of(&request);
        let mut asked = Asked {
            place: place.clone(),
            upload: self.wait.upload().cloned(),
            is_over: false,
        };
        let sent = place.send(request);
        let sent = async { Ok(sent.await) };
        let sent = self.wait.within(ErrorKind::ResponseTimeout, sent).await;
        asked.is_over = true;
        let mut failed = match sent {
            Ok(Ok(response)) => {
                place.answered();
                if is_over(&response, connections.head()) {
                    return Err(Lost::for_good(ErrorKind::ResponseHeadTooLarge));
                }
                connections.answered_http2();
                return Ok((response, place));
            }
            Ok(Err(failed)) => failed,
            Err(late) => {
                place.is_late();
                return Err(Lost::for_good(late));
            }
        };
        let unsent = failed.take_message();
        let error = failed.into_error();
        if let Some(alert) = place.refusal() {
            return Err(Lost {
                error: ProxyError::refused_by(alert, error),
                request: unsent.map(Box::new).or_else(|| spare.whole()),
                is_other_connection_better: false,
                is_excused: false,
            });
        }
        let loss = Loss::of(&error);
        let error = connections.http2_error(self.wait.error(error));
        let has_answered = place.has_answered();
        // As over HTTP/1.1: a connection that was used before may end at any time.
        let is_lost = has_answered && error.kind() == ErrorKind::Terminated;
        if let Some(unsent) = unsent {
            return Err(Lost::unsent(error, has_answered, Some(Box::new(unsent))));
        }
        Err(match loss {
            Some(Loss::Refused) => {
                let refused = ProxyError::caused_by(ErrorKind::Refused, error);
                Lost {
                    error: refused,
                    request: spare.whole(),
                    is_other_connection_better: true,
                    is_excused: false,
                }
            }
            Some(Loss::Above) => Lost::unsent(error, has_answered, spare.whole()),
            Some(Loss::TooManyFrames) => {
                Lost::for_good(ProxyError::caused_by(ErrorKind::TooManyFrames, error))
            }
            None => Lost {
                error,
                request: spare.if_idempotent().filter(|_| is_lost && self.is_first),
                is_other_connection_better: true,
                is_excused: is_lost,
            },
        })
    }
}

// === impl Lost ===

impl Lost {
    fn for_good(error: impl Into<ProxyError>) -> Self {
        Self {
            error: error.into(),
            request: None,
            is_other_connection_better: false,
            is_excused: false,
        }
    }

    /// One whose connection was ended before its turn. That is how servers close a connection that
    /// is in use, and says nothing of them; but not if it never did anything else.
    fn unsent(
        error: ProxyError,
        has_answered: bool,
        request: Option<Box<Request<RequestBody>>>,
    ) -> Self {
        let error = match (error.kind(), has_answered) {
            (ErrorKind::Terminated | ErrorKind::Protocol, true) => {
                ProxyError::caused_by(ErrorKind::Unreceived, error)
            }
            (ErrorKind::Protocol, false) => ProxyError::caused_by(ErrorKind::Terminated, error),
            _ => error,
        };
        Self {
            error,
            request,
            is_other_connection_better: true,
            is_excused: false,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let upload = self.upload.as_ref();
        // One that is still uploading has no answer to wait for.
        let is_uploaded = upload.is_none_or(|upload| upload.ended().is_some());
        if !self.is_over && is_uploaded {
            self.place.is_left();
        }
    }
}

/// Whether a response's head is over the limits. HTTP/1.1 is read within them, HTTP/2 within its
/// own.
fn is_over(response: &Response<Incoming>, limits: HeadLimits) -> bool {
    let headers = response.headers();
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    headers.len() > limits.fields || headers.iter().map(size).sum::<usize>() > limits.bytes
}
