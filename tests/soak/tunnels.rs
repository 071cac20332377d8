//! WebSocket-like upgrades: a service that echoes what comes after its 101, and its callers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::callers::PATIENCE;
use crate::scene::Scene;
use crate::tally::Trouble;

/// The service.
#[derive(Debug)]
pub(crate) struct Tunnels {
    address: SocketAddr,
    broken: Arc<AtomicBool>,
    accepting: AbortHandle,
    pub(crate) trouble: Trouble,
}

impl Tunnels {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let broken = Arc::new(AtomicBool::new(false));
        let broken_too = Arc::clone(&broken);
        let accepting = tokio::spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let broken = Arc::clone(&broken_too);
                tunnels.spawn(async move {
                    // How it ends is for the other side to see.
                    let _ = echo(stream, &broken).await;
                });
                while tunnels.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            broken,
            accepting: accepting.abort_handle(),
            trouble: Trouble::default(),
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections that come or say something, or no longer does.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

async fn echo(mut stream: TcpStream, broken: &AtomicBool) -> std::io::Result<()> {
    let mut buffer = vec![0; 4096];
    head(&mut stream).await?;
    if broken.load(Ordering::Relaxed) {
        return Ok(());
    }
    stream.write_all(SWITCH).await?;
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 || broken.load(Ordering::Relaxed) {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

/// Reads to the end of a head.
pub(crate) async fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Opens tunnels one after the other, says something in each and hears it again.
pub(crate) async fn talk(scene: Arc<Scene>, index: u64) {
    let kind = "tunnel";
    let trouble = &scene.tunnels.trouble;
    while scene.has_traffic() {
        let since = Instant::now();
        let ended = timeout(PATIENCE, conversation(&scene, index)).await;
        let ended = ended.unwrap_or_else(|_| Err("no end in time".into()));
        match ended {
            Ok(()) => scene.tally.count(kind, "echoed"),
            Err(how) if how.contains("destination_unavailable") => {
                if trouble.explains_rejection(since) {
                    scene.tally.count(kind, "rejected");
                } else {
                    scene.tally.lose(kind, &how);
                }
            }
            Err(how) if how == "no end in time" || !trouble.explains(since) => {
                scene.tally.lose(kind, &how);
            }
            Err(_) => scene.tally.count(kind, "failed by a fault"),
        }
        sleep(Duration::from_millis(300)).await;
    }
}

async fn conversation(scene: &Scene, index: u64) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(scene.listen).await.map_err(told)?;
    let ask = "GET /tunnel/x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
               sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.map_err(told)?;
    let head = head(&mut stream).await.map_err(told)?;
    if !head.starts_with("HTTP/1.1 101") {
        return Err(head);
    }
    for message in 0..10_u64 {
        let said = (index * 1000 + message).to_be_bytes();
        stream.write_all(&said).await.map_err(told)?;
        let mut heard = [0; 8];
        stream.read_exact(&mut heard).await.map_err(told)?;
        if heard != said {
            return Err("another echo".into());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
