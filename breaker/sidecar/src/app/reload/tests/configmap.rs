//! Reloads under load, of a directory like those in which Kubernetes puts a `ConfigMap`: files are
//! links through `..data`, a link to the directory of the moment, which is replaced.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::bench::{Bench, PATIENCE, eventually, serve};

const RELOADS: u64 = 1_000;

/// Puts `text` and a policy in the place of what is in `folder`.
fn swap(folder: &Path, version: u64, text: &str) {
    let name = format!("..{version}");
    fs::create_dir(folder.join(&name)).unwrap();
    fs::write(folder.join(&name).join("breaker.yaml"), text).unwrap();
    let policy = format!(
        "name: mine\nbase: sensitive\nmin_requests: {}\n",
        20 + version % 3
    );
    fs::write(folder.join(&name).join("mine.yaml"), policy).unwrap();
    let before = fs::read_link(folder.join("..data")).ok();
    symlink(&name, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    if let Some(before) = before {
        fs::remove_dir_all(folder.join(before)).unwrap();
    }
}

/// Another configuration each time: settings of the route and of its upstream change, a route comes
/// and goes.
fn text(service: SocketAddr, version: u64) -> String {
    let idle = 4 + version / 10 % 2;
    let timeout = 10 + version % 7;
    let other = if version.is_multiple_of(2) {
        "  - { name: other, upstream: app, match: { path: /other } }\n"
    } else {
        ""
    };
    format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 2\npolicies: [mine.yaml]\n\
         upstreams: {{ app: {{ endpoints: ['http://{service}'], idle_timeout: {idle}s }} }}\n\
         routes:\n{other}  - {{ name: pay, upstream: app, policy: mine, timeout: {timeout}s }}\n"
    )
}

async fn start() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let service = serve().await;
    swap(folder.path(), 0, &text(service.0, 0));
    for file in ["breaker.yaml", "mine.yaml"] {
        symlink(format!("..data/{file}"), folder.path().join(file)).unwrap();
    }
    Bench::of(folder, String::new(), service)
}

/// Sends requests on one connection, one after the other, until it is `over`; returns how many were
/// answered well.
async fn load(address: SocketAddr, http2: bool, over: Arc<AtomicBool>) -> u64 {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let mut done = 0;
    macro_rules! run {
        ($sender:ident) => {
            while !over.load(Ordering::Relaxed) {
                $sender.ready().await.expect("the connection lives");
                let request = Request::get("http://localhost/pay").header("host", "localhost");
                let request = request.body(Empty::<Bytes>::new()).unwrap();
                let answer = timeout(PATIENCE, $sender.send_request(request)).await;
                let answer = answer.expect("an answer in time").expect("an answer");
                assert_eq!(answer.status(), 200);
                assert_eq!(
                    answer.into_body().collect().await.unwrap().to_bytes(),
                    "done"
                );
                done += 1;
            }
        };
    }
    if http2 {
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        run!(sender);
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        run!(sender);
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_under_load_lose_no_request_no_connection_and_no_permit() {
    let bench = start().await;
    let over = Arc::<AtomicBool>::default();
    let clients: Vec<_> = [false, false, true, true]
        .map(|http2| tokio::spawn(load(bench.address, http2, over.clone())))
        .into();
    for version in 1..=RELOADS {
        swap(bench.folder.path(), version, &text(bench.service, version));
        // Beside the watch, which may come first.
        bench.reload().await;
    }
    over.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for client in clients {
        answered += client.await.expect("a client without an error");
    }
    assert_eq!(
        bench.results()[2],
        0,
        "{:?}",
        bench.reloader.configuration()
    );
    assert!(bench.results()[0] >= RELOADS, "{:?}", bench.results());
    let breaker = bench.breaker("pay");
    eventually("end", || breaker.snapshot().in_flight == 0).await;
    let totals = breaker.snapshot().totals;
    assert_eq!(totals.success, answered);
    assert_eq!((totals.failure, totals.ignored, totals.rejected), (0, 0, 0));
    assert!(answered > 0);
    bench.stop().await;
}

#[tokio::test]
async fn a_swap_of_the_directory_is_seen() {
    let bench = start().await;
    for version in 1..=3 {
        swap(bench.folder.path(), version, &text(bench.service, version));
        eventually("reload", || bench.results()[0] == version).await;
    }
    assert_eq!(bench.results()[2], 0);
}
