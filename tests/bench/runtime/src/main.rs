//! `runtime-bench per-core|shared|upstream LISTEN [UPSTREAM]`: the least reverse proxy in hyper, on
//! either kind of runtime; `upstream` answers 64 bytes itself. `tests/bench/runtime/run` measures
//! both.
//!
//! * `per-core`: a thread with a current-thread runtime per core, each with a listening socket
//!   (SO_REUSEPORT) and a connection pool of its own.
//! * `shared`: one multi-thread runtime with as many threads, one listening socket, and one pool
//!   for all.
//!
//! Both run the same code with the same client, so what differs is the runtime and what is shared.

use std::env;
use std::net::SocketAddr;
use std::thread;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

// As the sidecar has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Body = Either<Incoming, Full<Bytes>>;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let address = |index: usize| arguments.get(index)?.parse::<SocketAddr>().ok();
    let (Some(kind), Some(listen)) = (arguments.first(), address(1)) else {
        panic!("usage: runtime-bench per-core|shared|upstream LISTEN [UPSTREAM]");
    };
    let upstream = address(2);
    let cores = thread::available_parallelism()
        .expect("a number of cores")
        .get();
    let kind = kind.as_str();
    if kind == "per-core" {
        let start = |_| {
            thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build();
                runtime
                    .expect("a runtime")
                    .block_on(serve(listen, upstream));
            })
        };
        let threads: Vec<_> = (0..cores).map(start).collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("it runs"));
    } else {
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        // Spawned: what `block_on` polls is no worker, and connections accepted there would all be
        // sent across threads.
        let serving = runtime.spawn(serve(listen, upstream));
        runtime.block_on(serving).expect("it runs");
    }
}

/// Serves connections, by one client to `upstream`, or by itself if there is none.
async fn serve(listen: SocketAddr, upstream: Option<SocketAddr>) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let listener = bind(listen);
    loop {
        let (stream, _) = listener.accept().await.expect("a listening socket accepts");
        let _ = stream.set_nodelay(true);
        let client = client.clone();
        let service = service_fn(move |request| answer(client.clone(), upstream, request));
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // How a connection ends is the load's business.
            let _ = connection.await;
        });
    }
}

async fn answer(
    client: Client<HttpConnector, Incoming>,
    upstream: Option<SocketAddr>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Error> {
    let Some(upstream) = upstream else {
        return Ok(Response::new(Either::Right(Full::from(&[b'x'; 64][..]))));
    };
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let uri = Uri::builder()
        .scheme("http")
        .authority(upstream.to_string());
    *request.uri_mut() = uri
        .path_and_query(path)
        .build()
        .expect("parts of a good URI");
    Ok(client.request(request).await?.map(Either::Left))
}

fn bind(listen: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::for_address(listen), Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.set_reuse_port(true).expect("an option");
    socket.set_nonblocking(true).expect("an option");
    socket.bind(&listen.into()).expect("a free address");
    socket.listen(1024).expect("a bound socket");
    TcpListener::from_std(socket.into()).expect("within a runtime")
}
