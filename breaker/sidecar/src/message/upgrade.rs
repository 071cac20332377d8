//! After a protocol switch: bytes both ways until either side ends, neither says anything for too
//! long, or the drain's grace period ends.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::time::{Instant, timeout_at};
use tokio_util::io::InspectReader;

use super::headers::list;

use crate::sockets::Stream;

/// A connection that has left HTTP, and what was read from it beyond the last HTTP byte.
pub(crate) struct Upgraded {
    pub(crate) stream: Stream,
    pub(crate) ahead: Bytes,
}

/// Carries bytes between two connections until both directions have ended, or neither side has sent
/// any for `idle`.
pub(crate) async fn tunnel(
    mut client: Upgraded,
    mut upstream: Upgraded,
    idle: Option<Duration>,
) -> io::Result<()> {
    let last = Cell::new(Instant::now());
    let carry = async {
        upstream.stream.write_all(&client.ahead).await?;
        client.stream.write_all(&upstream.ahead).await?;
        let heard = |_: &[u8]| last.set(Instant::now());
        let mut ours = InspectReader::new(&mut client.stream, heard);
        let mut theirs = InspectReader::new(&mut upstream.stream, heard);
        copy_bidirectional(&mut ours, &mut theirs).await.map(drop)
    };
    let Some(idle) = idle else {
        return carry.await;
    };
    let mut carry = pin!(carry);
    loop {
        let until = last.get() + idle;
        if let Ok(ended) = timeout_at(until, &mut carry).await {
            return ended;
        }
        if last.get() + idle <= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// The protocols that a request offers to switch to, in one value.
pub(crate) fn offered(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(UPGRADE).iter();
    match (values.next(), values.next()) {
        (first, None) => first.cloned(),
        _ => {
            let values: Vec<_> = headers.get_all(UPGRADE).iter().collect();
            let values: Vec<_> = values.into_iter().map(HeaderValue::as_bytes).collect();
            HeaderValue::from_bytes(&values.join(&b", "[..])).ok()
        }
    }
}

/// Whether an upstream switches to what was offered, and says to what (RFC 9110, 7.8).
pub(crate) fn is_offered(answer: &HeaderMap, offered: &HeaderValue) -> bool {
    let mut chosen = answer.get_all(UPGRADE).iter().flat_map(list).peekable();
    let is_offered = |chosen: &str| list(offered).any(|one| one.eq_ignore_ascii_case(chosen));
    chosen.peek().is_some() && chosen.all(is_offered)
}
