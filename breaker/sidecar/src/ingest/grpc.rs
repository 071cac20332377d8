//! OTLP/gRPC: one method for each signal, each unary.
//!
//! The framing is ours: a gRPC library decompresses and decodes before it hands out anything, and
//! we forward what came.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, Method, Version};
use http_body::Body;

use super::batch::{PREFIX, Signal};
use super::decode::{Bounds, Coding, collect};
use super::overload::BatchSlot;
use super::refusal::Refusal;
use super::settings::Limits;

/// What a request's head tells.
pub(super) fn route(head: &Parts) -> Result<(Signal, Option<Coding>), Refusal> {
    if head.version != Version::HTTP_2 {
        return Err(Refusal::NotHttp2);
    }
    if head.method != Method::POST {
        return Err(Refusal::NotPost);
    }
    let media_type = head.headers.get(CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default();
    let message = media_type.split(';').next().unwrap_or_default().trim_end();
    let is_ours = |known: &&str| message.eq_ignore_ascii_case(known);
    if !["application/grpc", "application/grpc+proto"]
        .iter()
        .any(is_ours)
    {
        return Err(Refusal::UnknownType);
    }
    let signal = Signal::ALL
        .into_iter()
        .find(|signal| signal.grpc_path() == head.uri.path())
        .ok_or(Refusal::UnknownMethod)?;
    Ok((signal, Coding::of(&head.headers, &GRPC_ENCODING)?))
}

/// Reads the one message of a request, with its prefix, and whether it is compressed.
pub(super) async fn read<B>(
    body: B,
    limits: &Limits,
    place: &mut BatchSlot,
) -> Result<(Bytes, bool), Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let bounds = Bounds::new(limits, PREFIX);
    let check = |so_far: &[u8]| match Prefix::of(so_far)? {
        // Refused at its first bytes, not at its last.
        Some(prefix) if prefix.length > limits.batch => Err(Refusal::TooLarge {
            limit: limits.batch,
        }),
        Some(prefix) if prefix.length < so_far.len() - PREFIX => {
            Err(malformed("more than one message"))
        }
        _ => Ok(()),
    };
    let frame = collect(body, Vec::new(), &bounds, place, check).await?;
    match Prefix::of(&frame)? {
        Some(prefix) if prefix.length == frame.len() - PREFIX => {
            Ok((frame.into_boxed_slice().into(), prefix.compressed))
        }
        Some(_) => Err(malformed("the message is shorter than its prefix says")),
        None => Err(malformed("no message")),
    }
}

/// A message's prefix, as it is sent.
pub(super) fn prefix(compressed: bool, length: usize) -> Option<[u8; PREFIX]> {
    let [a, b, c, d] = u32::try_from(length).ok()?.to_be_bytes();
    Some([u8::from(compressed), a, b, c, d])
}

struct Prefix {
    compressed: bool,
    length: usize,
}

impl Prefix {
    /// The prefix, once it is complete.
    fn of(frame: &[u8]) -> Result<Option<Self>, Refusal> {
        let Some(&[flag, a, b, c, d]) = frame.first_chunk() else {
            return Ok(None);
        };
        if flag > 1 {
            return Err(malformed("no such compression flag"));
        }
        Ok(Some(Self {
            compressed: flag == 1,
            length: u32::from_be_bytes([a, b, c, d]) as usize,
        }))
    }
}

fn malformed(what: &str) -> Refusal {
    Refusal::Malformed(what.to_owned())
}

pub(super) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
