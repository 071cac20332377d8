//! The service of the demo: it does what the script says.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::script::Fate;
use crate::accept::Acceptor;

/// Starts the service on a free port. It ends with the runtime.
pub(super) async fn start(began: Instant) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut connections = Acceptor::new(&listener, "demo");
        loop {
            let (socket, _) = connections.next().await;
            let answer = service_fn(move |request| answer(request, began));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
        }
    });
    Ok(address)
}

async fn answer(
    request: Request<Incoming>,
    began: Instant,
) -> Result<Response<String>, Infallible> {
    let number = request
        .headers()
        .get(NUMBER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let fate = Fate::of(number.unwrap_or_default(), began.elapsed());
    sleep(fate.takes).await;
    let mut response = Response::new("done\n".to_owned());
    if fate.fails {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}

/// The header with a request's number, from which its fate follows.
pub(super) const NUMBER: &str = "x-demo-request";
