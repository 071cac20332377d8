//! After a protocol switch: bytes both ways until either side ends, or the drain's grace period does.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

/// A connection that has left HTTP, and what was read from it beyond the last HTTP byte.
pub(crate) struct Upgraded {
    pub(crate) stream: TcpStream,
    pub(crate) ahead: Bytes,
}

/// Carries bytes between two connections until both directions have ended.
pub(crate) async fn tunnel(mut client: Upgraded, mut upstream: Upgraded) -> io::Result<()> {
    upstream.stream.write_all(&client.ahead).await?;
    client.stream.write_all(&upstream.ahead).await?;
    copy_bidirectional(&mut client.stream, &mut upstream.stream).await?;
    Ok(())
}
