//! What a connection's end says of the request that it lost. Nothing is awaited between what the
//! upstream does and what we do, so that each order of the two is certain.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::rc::Rc;
use std::task::Poll;

use http::{Method, Response};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::*;
use crate::message::Trusted;
use crate::message::client::Client;
use crate::message::headers::Fields;

type Peer = std::net::TcpStream;

/// A POST without content, larger by so much.
fn post(padding: usize) -> Request<RequestBody> {
    let peer = crate::sockets::Peer::Unix;
    let client = Rc::new(Client::new(peer, &Trusted::default()));
    let body = RequestBody::new(client, Fields::default(), "all".into(), Instant::now());
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    let padding = "x".repeat(padding).try_into().unwrap();
    request.headers_mut().insert("x-padding", padding);
    request
}

/// A connection that has served a request, and the upstream's end of it.
async fn used() -> (Exchange, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap());
    let stream = stream.await.unwrap().into();
    let (mut peer, _) = listener.accept().unwrap();
    let mut exchange = Exchange::open(stream, HeadLimits::default()).await.unwrap();
    let sent = exchange.send(post(0));
    exchange.drive(&mut Context::from_waker(Waker::noop()));
    read_some(&mut peer);
    peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    lost_or_answered(&mut exchange, sent).await.unwrap();
    assert!(exchange.is_usable());
    (exchange, peer)
}

fn read_some(peer: &mut Peer) {
    assert!(peer.read(&mut [0; 64 * 1024]).unwrap() > 0);
}

async fn lost_or_answered<F>(exchange: &mut Exchange, sent: F) -> Option<Response<Incoming>>
where
    F: Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
{
    let mut sent = std::pin::pin!(sent);
    poll_fn(|cx| {
        exchange.drive(cx);
        match sent.as_mut().poll(cx) {
            Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
            Poll::Ready(Err(mut failed)) => {
                assert!(failed.take_message().is_none(), "it was sent");
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Loses a second request, `before` and `after` whose sending the upstream does something.
async fn was_closed_before(
    padding: usize,
    before: impl FnOnce(&mut Peer),
    after: impl FnOnce(Peer),
) -> bool {
    let (mut exchange, mut peer) = used().await;
    before(&mut peer);
    let sent = exchange.send(post(padding));
    exchange.drive(&mut Context::from_waker(Waker::noop()));
    after(peer);
    assert!(lost_or_answered(&mut exchange, sent).await.is_none());
    assert!(!exchange.has_read());
    exchange.was_closed_before().await
}

fn reset(peer: &Peer) {
    SockRef::from(peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[tokio::test]
async fn what_comes_after_the_close_was_not_received() {
    // As a server that closes does: at once, or its sending side first.
    for padding in [0, 2000, 10_000] {
        let (mut exchange, peer) = used().await;
        drop(peer);
        let sent = exchange.send(post(padding));
        assert!(lost_or_answered(&mut exchange, sent).await.is_none());
        assert!(exchange.was_closed_before().await, "{padding}");
        let (mut exchange, peer) = used().await;
        peer.shutdown(Shutdown::Write).unwrap();
        drop(peer);
        let sent = exchange.send(post(padding));
        assert!(lost_or_answered(&mut exchange, sent).await.is_none());
        assert!(exchange.was_closed_before().await, "{padding}");
    }
}

#[tokio::test]
async fn what_came_before_the_end_may_have_had_an_effect() {
    let nothing = |_: &mut Peer| {};
    let reads_all = |mut peer: Peer| read_some(&mut peer);
    assert!(!was_closed_before(0, nothing, reads_all).await);
    let reads_a_part = |mut peer: Peer| assert_eq!(peer.read(&mut [0; 10]).unwrap(), 10);
    assert!(!was_closed_before(0, nothing, reads_a_part).await);
    let reads_nothing = drop;
    assert!(!was_closed_before(0, nothing, reads_nothing).await);
    let resets = |mut peer: Peer| {
        read_some(&mut peer);
        reset(&peer);
    };
    assert!(!was_closed_before(0, nothing, resets).await);
    // It says first that it will send nothing.
    let half_closes = |peer: &mut Peer| peer.shutdown(Shutdown::Write).unwrap();
    assert!(!was_closed_before(0, half_closes, reads_all).await);
}

#[tokio::test]
async fn of_a_request_in_pieces_the_first_may_have_been_read() {
    let (mut exchange, peer) = used().await;
    drop(peer);
    let sent = exchange.send(post(40_000));
    assert!(lost_or_answered(&mut exchange, sent).await.is_none());
    assert!(!exchange.was_closed_before().await);
}

#[tokio::test]
async fn what_was_never_written_was_not_received() {
    let (mut exchange, peer) = used().await;
    reset(&peer);
    drop(peer);
    let sent = exchange.send(post(0));
    assert!(lost_or_answered(&mut exchange, sent).await.is_none());
    assert!(exchange.was_closed_before().await);
}
