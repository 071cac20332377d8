//! Callers that read slowly or not at all, and callers that go away in the middle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::callers::PATIENCE;
use crate::scene::{HUGE, LARGE, Scene};
use crate::tunnels::head;

const ASK: &[u8] = b"GET /large/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const ASK_MORE: &[u8] = b"GET /large/huge HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A connection that takes little at a time.
async fn narrow(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(16 * 1024)?;
    socket.connect(address).await
}

/// Reads a large body in two to three seconds, again and again: it must be whole.
pub(crate) async fn slow(scene: Arc<Scene>) {
    while scene.has_traffic() {
        let read = timeout(PATIENCE * 2, read_slowly(scene.listen)).await;
        match read {
            Ok(Ok(LARGE)) => scene.tally.count("slow", "whole"),
            Ok(other) => scene
                .tally
                .lose("slow", &format!("{other:?} of {LARGE} bytes")),
            Err(_) => scene.tally.lose("slow", "no end in time"),
        }
    }
}

async fn read_slowly(address: SocketAddr) -> Result<usize, String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = narrow(address).await.map_err(told)?;
    stream.write_all(ASK).await.map_err(told)?;
    let head = head(&mut stream).await.map_err(told)?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(head);
    }
    let mut buffer = vec![0; 32 * 1024];
    let mut read = 0;
    loop {
        match stream.read(&mut buffer).await.map_err(told)? {
            0 => return Ok(read),
            more => read += more,
        }
        sleep(Duration::from_millis(30)).await;
    }
}

/// Asks for a large body and takes none of it for longer than `write_timeout`.
pub(crate) async fn stopped(scene: Arc<Scene>) {
    while scene.has_traffic() {
        let ended = async {
            let mut stream = narrow(scene.listen).await?;
            stream.write_all(ASK_MORE).await?;
            head(&mut stream).await?;
            sleep(Duration::from_secs(5)).await;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await
        };
        let result = match timeout(PATIENCE, ended).await {
            Ok(Ok(HUGE)) => "whole: the kernel held it",
            Ok(_) => "cut by write_timeout",
            Err(_) => {
                scene
                    .tally
                    .lose("stopped", "held for longer than the limit");
                continue;
            }
        };
        scene.tally.count("stopped", result);
    }
}

/// Goes away in the middle of a head, a body, an answer, or of HTTP/2.
pub(crate) async fn abort(scene: Arc<Scene>) {
    const MIDDLES: [&[u8]; 5] = [
        b"GET /plain/x HTT",
        b"POST /upload/x HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nbegun",
        b"POST /upload/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n",
        b"GET /late/x HTTP/1.1\r\nhost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ];
    for turn in 0_usize.. {
        if !scene.has_traffic() {
            return;
        }
        let middle = MIDDLES[turn % MIDDLES.len()];
        let reset = turn % 2 == 0;
        let gone = async {
            let mut stream = TcpStream::connect(scene.listen).await?;
            stream.write_all(middle).await?;
            sleep(Duration::from_millis(20)).await;
            if reset {
                stream.set_zero_linger()?;
            }
            std::io::Result::Ok(())
        };
        match timeout(PATIENCE, gone).await {
            Ok(Ok(())) if reset => scene.tally.count("abort", "reset"),
            Ok(Ok(())) => scene.tally.count("abort", "closed"),
            other => scene.tally.lose("abort", &format!("not taken: {other:?}")),
        }
        sleep(Duration::from_millis(100)).await;
    }
}
