use http::HeaderMap;

use super::*;
use crate::ingest::batch::{Encoding, PREFIX, Transport};

fn batch(size: usize) -> Batch {
    Batch {
        signal: Signal::Traces,
        encoding: Encoding::Protobuf,
        transport: Transport::Grpc,
        coding: None,
        frame: vec![0; size + PREFIX].into(),
        headers: HeaderMap::new(),
    }
}

/// Room for as many bytes, with what each of `batches` costs beside its message.
fn queue(bytes: usize, batches: usize, max_batches: usize) -> Queue {
    let mut forward = Forward::to_both(None, None);
    forward.queue_bytes = bytes + batches * (BATCH + PREFIX);
    forward.queue_batches = max_batches;
    Queue::new(&forward)
}

fn counted(queue: &Queue) -> (usize, usize) {
    let state = queue.lock();
    let count = state.waiting.len() + usize::from(state.sending.is_some());
    let cost = count * (BATCH + PREFIX);
    (count, state.bytes - cost)
}

async fn next(queue: &Queue) -> usize {
    queue.next().await.unwrap().message().len()
}

#[tokio::test]
async fn the_oldest_make_place_for_the_newest() {
    let queue = queue(100, 3, 3);
    for (size, dropped) in [(40, 0), (30, 0), (30, 0), (35, 1), (100, 2)] {
        assert_eq!(queue.offer(batch(size)), dropped, "{size}");
    }
    assert_eq!(counted(&queue), (2, 135));
    assert_eq!(next(&queue).await, 35);
}

#[tokio::test]
async fn the_batch_being_sent_counts_and_is_not_dropped() {
    let queue = queue(100, 2, 3);
    queue.offer(batch(60));
    assert_eq!(next(&queue).await, 60);
    queue.offer(batch(40));
    // Would not fit even alone: nothing is dropped for it.
    assert_eq!(queue.offer(batch(41)), 1);
    assert_eq!(counted(&queue), (2, 100));
    assert_eq!(queue.offer(batch(40)), 1);
    assert_eq!(counted(&queue), (2, 100));
    queue.done();
    assert_eq!(counted(&queue), (1, 40));
    assert_eq!(queue.offer(batch(41)), 0);
}

#[tokio::test]
async fn a_batch_larger_than_the_queue_drops_nothing_but_itself() {
    let queue = queue(100, 2, 10);
    queue.offer(batch(10));
    assert_eq!(queue.offer(batch(1000)), 1);
    assert_eq!(counted(&queue), (1, 10));
}

#[tokio::test]
async fn a_queue_for_one_has_room_for_the_one_being_sent_only() {
    let queue = queue(100, 1, 1);
    assert_eq!(queue.offer(batch(1)), 0);
    assert_eq!(queue.offer(batch(2)), 1);
    assert_eq!(next(&queue).await, 2);
    assert_eq!(queue.offer(batch(3)), 1);
    queue.done();
    assert_eq!(queue.offer(batch(4)), 0);
}

#[tokio::test]
async fn a_closed_queue_is_emptied_and_takes_no_more() {
    let queue = queue(100, 2, 10);
    queue.offer(batch(1));
    queue.close();
    assert_eq!(queue.offer(batch(2)), 1);
    assert_eq!(next(&queue).await, 1);
    assert_eq!(queue.clear(), 1);
    assert!(queue.next().await.is_none());
    assert_eq!(counted(&queue), (0, 0));
}
