//! OTLP/HTTP: one path for each signal.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};
use http_body::Body;

use super::batch::{Encoding, PREFIX, Signal};
use super::decode::{Bounds, Coding, collect};
use super::grpc;
use super::overload::BatchSlot;
use super::refusal::Refusal;
use super::settings::Limits;

/// The encoding that a request says it has; also the one of the answer.
pub(super) fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let media_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/x-protobuf") {
        Some(Encoding::Protobuf)
    } else if media_type.eq_ignore_ascii_case("application/json") {
        Some(Encoding::Json)
    } else {
        None
    }
}

/// What a request's head tells.
pub(super) fn route(head: &Parts) -> Result<(Signal, Encoding, Option<Coding>), Refusal> {
    let signal = Signal::ALL
        .into_iter()
        .find(|signal| signal.http_path() == head.uri.path())
        .ok_or(Refusal::UnknownPath)?;
    if head.method != Method::POST {
        return Err(Refusal::NotPost);
    }
    let encoding = encoding(&head.headers).ok_or(Refusal::UnknownType)?;
    let coding = Coding::of(&head.headers, &CONTENT_ENCODING)?;
    Ok((signal, encoding, coding))
}

/// Reads a body, behind the prefix that gRPC would give it.
pub(super) async fn read<B>(
    body: B,
    compressed: bool,
    limits: &Limits,
    place: &mut BatchSlot,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let bounds = Bounds::new(limits, PREFIX);
    let mut frame = collect(body, vec![0; PREFIX], &bounds, place, |_| Ok(())).await?;
    let prefix = grpc::prefix(compressed, frame.len() - PREFIX).ok_or(Refusal::Internal)?;
    frame[..PREFIX].copy_from_slice(&prefix);
    Ok(frame.into_boxed_slice().into())
}
