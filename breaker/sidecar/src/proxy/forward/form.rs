//! The forms in which upstreams of either protocol get a request.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{HeaderValue, Request, Uri, Version};
use http_body::Body;

use crate::message::body::RequestBody;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::headers::{self, Fields};
use crate::upstream::connections::Connections;

/// Brings a request into the form that HTTP/1.1 upstreams get.
pub(super) fn for_http1(request: &mut Request<RequestBody>, connections: &Connections) {
    let fields = request.body().fields();
    if let Some(host) = request.uri().authority() {
        // It was in the form of HTTP/2 before.
        let host = HeaderValue::from_str(host.as_str());
        let host = host.unwrap_or_else(|_| connections.host());
        request.headers_mut().entry(HOST).or_insert(host);
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    }
    if !fields.has(Fields::HOST) {
        // HTTP/1.0 needs none, HTTP/1.1 does (RFC 9112, 3.2).
        request
            .headers_mut()
            .entry(HOST)
            .or_insert_with(|| connections.host());
    }
    if request.version() == Version::HTTP_2 && fields.has(Fields::COOKIES) {
        headers::join_cookies(request.headers_mut());
    }
    *request.version_mut() = Version::HTTP_11;
    if fields.has(Fields::TRAILERS) && !fields.has(Fields::SWITCH) {
        request
            .headers_mut()
            .insert(TE, HeaderValue::from_static("trailers"));
        request
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("te"));
    }
    let has_content = !request.body().is_end_stream();
    if has_content && !fields.has(Fields::CONTENT_LENGTH) && !fields.has(Fields::TRANSFER_ENCODING)
    {
        // Said here, since hyper would send a GET of unknown length without its body.
        request
            .headers_mut()
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Brings a request into the form that HTTP/2 upstreams get.
pub(super) fn for_http2(
    request: &mut Request<RequestBody>,
    connections: &Connections,
) -> Result<(), ProxyError> {
    let fields = request.body().fields();
    if fields.has(Fields::TRANSFER_ENCODING) {
        request.headers_mut().remove(CONTENT_LENGTH);
    }
    // One that was to go by HTTP/1.1 has them from us.
    request.headers_mut().remove(TRANSFER_ENCODING);
    request.headers_mut().remove(CONNECTION);
    if fields.has(Fields::TRAILERS) {
        request
            .headers_mut()
            .insert(TE, HeaderValue::from_static("trailers"));
    }
    let host = request
        .headers_mut()
        .remove(HOST)
        .unwrap_or_else(|| connections.host());
    let path = request.uri_mut().path_and_query().cloned();
    let scheme = match connections.is_secure() {
        true => Scheme::HTTPS,
        false => Scheme::HTTP,
    };
    let uri = Uri::builder().scheme(scheme).authority(host.as_bytes());
    let uri = uri
        .path_and_query(path.map_or_else(|| "/".to_owned(), |path| path.to_string()))
        .build();
    *request.uri_mut() = uri.map_err(|error| ProxyError::caused_by(ErrorKind::Internal, error))?;
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}
