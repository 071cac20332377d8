//! Tasks of the proxy are counted, and end with what they are for.

use breaker_tests::{Script, Setup, Sidecar, Upstream, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const KINDS: [&str; 5] = ["worker", "client", "stream", "upload", "upstream"];

async fn tasks(sidecar: &Sidecar) -> [f64; 5] {
    let metrics = sidecar.metrics().await;
    KINDS.map(|kind| {
        let count = metrics.sum("breaker_proxy_tasks", &[("breaker_task_kind", kind)]);
        count.unwrap_or(f64::NAN)
    })
}

/// A connection on which `request` was sent.
async fn sent(sidecar: &Sidecar, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(sidecar.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

/// An HTTP/2 connection with so many GETs, by RFC 9113 and the static table of RFC 7541.
fn http2(requests: u8) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for index in 0..requests {
        // GET, http, /, and a literal `:authority: a`.
        let block = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
        bytes.extend([0, 0, block.len() as u8, 1, 5, 0, 0, 0, 2 * index + 1]);
        bytes.extend(block);
    }
    bytes
}

#[tokio::test]
async fn tasks_rise_with_traffic_and_fall_to_what_they_were() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Hang);
    let sidecar = Setup::of(upstream.address()).start().await;
    let before = tasks(&sidecar).await;
    let [workers, rest @ ..] = before;
    assert!(workers >= 1.0, "{before:?}");
    assert_eq!(rest, [0.0; 4], "nobody is there yet");

    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(sent(&sidecar, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await);
    }
    let streams = sent(&sidecar, &http2(4)).await;
    let mut now;
    eventually!(
        {
            now = tasks(&sidecar).await;
            now == [workers, 4.0, 4.0, 0.0, 0.0]
        },
        "3 connections of HTTP/1, 1 of HTTP/2 with 4 requests: {now:?}"
    );

    drop(streams);
    eventually!(
        {
            now = tasks(&sidecar).await;
            now == [workers, 3.0, 0.0, 0.0, 0.0]
        },
        "{now:?}"
    );
    drop(clients);
    eventually!(
        {
            now = tasks(&sidecar).await;
            now == before
        },
        "{now:?}"
    );
}

#[tokio::test]
async fn an_upload_that_outlives_its_answer_is_counted_until_it_ends() {
    let upstream = early().await;
    let sidecar = Setup::of(upstream).start().await;
    let before = tasks(&sidecar).await;
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nbegun";
    let mut client = sent(&sidecar, head).await;
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut now;
    eventually!(
        {
            now = tasks(&sidecar).await;
            now[3] == before[3] + 1.0
        },
        "{now:?}"
    );
    drop(client);
    eventually!(
        {
            now = tasks(&sidecar).await;
            now == before
        },
        "{now:?}"
    );
}

/// An upstream that begins its answer before the upload ends, and goes on with it.
async fn early() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).await.is_ok() {
                    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun";
                    let _ = stream.write_all(head).await;
                }
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}
