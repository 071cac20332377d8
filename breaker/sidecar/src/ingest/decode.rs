//! Bodies: read to their end, decompressed, and nothing beyond the limits.
//!
//! What comes in is kept as it came, for forwarding; so decompression is ours to do, and not that
//! of a framework, which would hand out only its result.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, HeaderName};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::overload::BatchSlot;
use super::refusal::Refusal;
use super::settings::Limits;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Deflate,
    Gzip,
    Zstd,
}

/// The bounds for a body.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Bytes of the batch.
    pub(super) batch: usize,
    /// Bytes of the buffer that are not the batch's.
    pub(super) before: usize,
    /// Between two pieces.
    pub(super) pause: Duration,
    /// For all of it.
    pub(super) whole: Duration,
}

// === impl Coding ===

impl Coding {
    /// The compression that the field `name` tells; `None` for none.
    pub(super) fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Refusal> {
        let mut values = headers.get_all(name).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let known = match value.to_str().map(str::trim) {
            _ if values.next().is_some() => None,
            Ok("" | "identity") => Some(None),
            Ok("zstd") => Some(Some(Self::Zstd)),
            // RFC 9110, 8.4.1.3: both names, in any case.
            Ok(name) if name.eq_ignore_ascii_case("gzip") => Some(Some(Self::Gzip)),
            Ok(name) if name.eq_ignore_ascii_case("x-gzip") => Some(Some(Self::Gzip)),
            Ok(name) if name.eq_ignore_ascii_case("deflate") => Some(Some(Self::Deflate)),
            _ => None,
        };
        known.ok_or(Refusal::UnknownCoding)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Deflate => "deflate",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

// === impl Bounds ===

impl Bounds {
    pub(super) const fn new(limits: &Limits, before: usize) -> Self {
        Self {
            batch: limits.batch,
            before,
            pause: limits.body_pause,
            whole: limits.body,
        }
    }
}

/// Appends a body to `buffer`; `check` sees the whole after each piece, and can end the reading.
pub(super) async fn collect<B>(
    mut body: B,
    mut buffer: Vec<u8>,
    bounds: &Bounds,
    place: &mut BatchSlot,
    mut check: impl FnMut(&[u8]) -> Result<(), Refusal>,
) -> Result<Vec<u8>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let most = bounds.batch + bounds.before;
    let end = Instant::now() + bounds.whole;
    loop {
        let next = end.min(Instant::now() + bounds.pause);
        let frame = match timeout_at(next, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return Ok(buffer),
            Ok(Some(Err(_))) => return Err(Refusal::Cut),
            Err(_) => return Err(Refusal::Slow),
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let size = buffer.len() + data.len();
        if size > most {
            let limit = bounds.batch;
            return Err(Refusal::TooLarge { limit });
        }
        if size > buffer.capacity() {
            let room = size.max(2 * buffer.capacity()).min(most);
            place.grow(room - buffer.capacity())?;
            buffer.reserve_exact(room - buffer.len());
        }
        buffer.extend_from_slice(&data);
        check(&buffer)?;
    }
}

/// The message without its compression.
pub(super) fn decompress(
    coding: Coding,
    message: &[u8],
    limit: usize,
    place: &mut BatchSlot,
) -> Result<Vec<u8>, Refusal> {
    match coding {
        // RFC 9110, 8.4.1.2: zlib's format, and some send what is within it alone.
        Coding::Deflate if is_zlib(message) => read(ZlibDecoder::new(message), limit, place),
        Coding::Deflate => read(DeflateDecoder::new(message), limit, place),
        Coding::Gzip => read(MultiGzDecoder::new(message), limit, place),
        Coding::Zstd => {
            let decoder = zstd::Decoder::with_buffer(message).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Ok(decoder)
            });
            read(decoder.map_err(|_| Refusal::Internal)?, limit, place)
        }
    }
}

/// Whether the message begins as RFC 1950 says: by deflate, with a window of at most 32 KiB, and
/// with a check that fits.
fn is_zlib(message: &[u8]) -> bool {
    let Some(&[method, flags]) = message.first_chunk() else {
        return false;
    };
    method & 0x0f == 8 && method >> 4 <= 7 && u16::from_be_bytes([method, flags]) % 31 == 0
}

fn read(mut decoder: impl Read, limit: usize, place: &mut BatchSlot) -> Result<Vec<u8>, Refusal> {
    let broken =
        |error: io::Error| Refusal::Malformed(format!("the compression is broken: {error}"));
    let mut decoded = Vec::new();
    loop {
        // Room first, then no more than fits: a reader of a whole stream would choose how much to
        // allocate.
        let room = (2 * decoded.capacity()).clamp(FIRST_ROOM, FIRST_ROOM.max(limit));
        place.grow(room.saturating_sub(decoded.capacity()))?;
        decoded.reserve_exact(room - decoded.len());
        let free = (decoded.capacity() - decoded.len()) as u64;
        let mut piece = decoder.by_ref().take(free);
        let got = piece.read_to_end(&mut decoded).map_err(broken)?;
        if (got as u64) < free {
            break;
        }
        if decoded.len() >= limit {
            if decoder.read(&mut [0]).map_err(broken)? > 0 {
                return Err(Refusal::TooLarge { limit });
            }
            break;
        }
    }
    if decoded.len() > limit {
        return Err(Refusal::TooLarge { limit });
    }
    Ok(decoded)
}

/// The largest window of zstd over HTTP (RFC 9659): 8 MiB, held by a decoder beside what it
/// decodes.
const ZSTD_WINDOW_LOG: u32 = 23;
const FIRST_ROOM: usize = 16 * 1024;

#[cfg(test)]
mod tests;
