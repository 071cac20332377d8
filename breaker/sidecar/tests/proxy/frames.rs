//! An upstream that speaks HTTP/2 frame by frame, as no library would.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::Origin;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// `:path: /` by HPACK.
const ROOT: u8 = 0x84;

/// What an upstream does when a request has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Send(Vec<u8>),
    /// Reads so many bytes of what comes next.
    Read(usize),
    /// Closes in order.
    Close,
    /// Resets the connection.
    Reset,
}

/// A request that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    /// Among all, from 1.
    pub(crate) request: usize,
    /// The connection that it came by, from 1.
    pub(crate) connection: usize,
    pub(crate) stream: u32,
    /// Whether its path is `/`, an entry of HPACK's static table.
    pub(crate) is_for_root: bool,
}

/// What came to an upstream.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    requests: Arc<AtomicUsize>,
    /// The kinds of all frames.
    frames: Arc<Mutex<Vec<u8>>>,
    /// The content that came by each connection.
    content: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

impl Seen {
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn frames(&self, kind: u8) -> usize {
        let frames = self.frames.lock().unwrap();
        frames.iter().filter(|frame| **frame == kind).count()
    }

    /// The content that came by the connection of that number.
    pub(crate) fn content(&self, connection: usize) -> String {
        let content = self.content.lock().unwrap();
        content.get(connection - 1).cloned().unwrap_or_default()
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A whole answer of 200.
pub(crate) fn ok(stream: u32) -> Vec<u8> {
    let end = frame(DATA, END_STREAM, stream, b"ok");
    [begin(stream), end].concat()
}

/// The head of an answer of 200.
pub(crate) fn begin(stream: u32) -> Vec<u8> {
    // An entry of HPACK's static table.
    frame(HEADERS, END_HEADERS, stream, &[0x88])
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// No streams above `last` are taken.
pub(crate) fn goaway(last: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), [0; 4]].concat();
    frame(GOAWAY, 0, 0, &payload)
}

/// The setting of a number of streams.
pub(crate) fn streams(most: u32) -> Vec<u8> {
    [&[0, 3][..], &most.to_be_bytes()].concat()
}

/// An upstream with these settings that acts so at each request.
pub(crate) async fn origin<F>(settings: Vec<u8>, acts: F) -> (Origin, Seen)
where
    F: Fn(Begun) -> Vec<Act> + Send + Sync + 'static,
{
    let (seen, acts) = (Seen::default(), Arc::new(acts));
    let connections = Arc::new(AtomicUsize::new(1));
    let log = seen.clone();
    let origin = Origin::raw(move |stream| {
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        let (settings, acts, seen) = (settings.clone(), acts.clone(), log.clone());
        async move {
            seen.open.fetch_add(1, Ordering::SeqCst);
            seen.content.lock().unwrap().push(String::new());
            let told = |stream, is_for_root| {
                let request = seen.requests.fetch_add(1, Ordering::SeqCst) + 1;
                acts(Begun {
                    request,
                    connection,
                    stream,
                    is_for_root,
                })
            };
            // It ends with the connection.
            let _ = serve(stream, &settings, &seen, connection, told).await;
            seen.open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    (origin, seen)
}

async fn serve(
    mut socket: TcpStream,
    settings: &[u8],
    seen: &Seen,
    connection: usize,
    told: impl Fn(u32, bool) -> Vec<Act>,
) -> std::io::Result<()> {
    socket.read_exact(&mut [0; 24]).await?;
    socket.write_all(&frame(SETTINGS, 0, 0, settings)).await?;
    loop {
        let mut header = [0; 9];
        socket.read_exact(&mut header).await?;
        let [a, b, c, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        socket.read_exact(&mut payload).await?;
        seen.frames.lock().unwrap().push(kind);
        match kind {
            SETTINGS if flags & ACK == 0 => socket.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
            PING if flags & ACK == 0 => socket.write_all(&frame(PING, ACK, 0, &payload)).await?,
            DATA => {
                let text = String::from_utf8_lossy(&payload);
                seen.content.lock().unwrap()[connection - 1].push_str(&text);
            }
            HEADERS => {
                // The pseudo-fields come first, and this one takes a byte; no length is like it.
                let is_for_root = payload.iter().take(16).any(|byte| *byte == ROOT);
                for act in told(u32::from_be_bytes(stream), is_for_root) {
                    match act {
                        Act::Send(bytes) => socket.write_all(&bytes).await?,
                        Act::Read(size) => {
                            socket.read_exact(&mut vec![0; size]).await?;
                        }
                        Act::Close => return Ok(()),
                        Act::Reset => return socket.set_zero_linger(),
                    }
                }
            }
            _ => {}
        }
    }
}
