//! Serves HTTP/2, by prior knowledge, on a connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::frames::Budgeted;
use super::front::Front;
use super::socket::Socket;
use super::worker::Worker;
use crate::message::client::Client;
use crate::message::timers::Deadline;

/// Serves requests until the client leaves, is idle for up to twice [`super::Limits::keep_alive`], or the worker drains.
pub(crate) async fn serve(worker: Rc<Worker>, client: Rc<Client>, stream: TcpStream, ahead: Bytes) {
    let socket = Budgeted::new(Socket::new(stream, ahead, client.clone()));
    let front = Front::new(worker.clone(), client.clone());
    let mut connection = pin!(worker.http2.serve_connection(TokioIo::new(socket), front));
    let mut drained = pin!(worker.drained());
    let keep_alive = worker.limits.keep_alive;
    let mut look = Deadline::new(Instant::now() + keep_alive, &worker.timers);
    let mut requests = 0;
    let mut is_ending = false;
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while !is_ending {
            if drained.as_mut().poll(cx).is_ready() {
                is_ending = true;
            } else if look.poll(cx).is_ready() {
                is_ending = client.is_idle() && client.requests() == requests;
                requests = client.requests();
                look.set(Instant::now() + keep_alive);
            } else {
                return Poll::Pending;
            }
            if is_ending {
                connection.as_mut().graceful_shutdown();
                return Pin::new(&mut connection).poll(cx).map(drop);
            }
        }
        Poll::Pending
    })
    .await;
}
