//! A plain client: one request on a connection of its own.

use bytes::Bytes;
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Body;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time;

use crate::PATIENCE;

/// A whole response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailer fields.
    pub trailers: HeaderMap,
}

impl Answer {
    /// The value of a header field; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap_or("not text"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Answers a GET of `url` by HTTP/1.1, on a connection of its own.
///
/// # Panics
/// If there is no whole answer within [`PATIENCE`].
pub async fn get(url: Uri) -> Answer {
    let request = Request::get(&url)
        .body(Empty::<Bytes>::new())
        .expect("a URL makes a request");
    send(request)
        .await
        .unwrap_or_else(|error| panic!("GET {url}: {error}"))
}

/// Sends `request`, by HTTP/2 if its version says so, and reads the answer to its end.
///
/// # Errors
/// What a caller would see: refused, reset, cut off.
pub async fn send<B>(
    request: Request<B>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let http2 = request.version() == http::Version::HTTP_2;
    let client = Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http();
    let answer = async {
        let (head, body) = client.request(request).await?.into_parts();
        let body = body.collect().await?;
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            trailers: body.trailers().cloned().unwrap_or_default(),
            body: body.to_bytes(),
        })
    };
    time::timeout(PATIENCE, answer).await?
}
