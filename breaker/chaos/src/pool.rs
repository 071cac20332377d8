//! The capacity of a service: so many workers, and a queue before them.
//!
//! As in most servers, work that was taken on is done to its end, though its caller may have given
//! up long ago: that is what keeps an overloaded service overloaded.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

/// Workers, and places for those who wait for one.
#[derive(Debug)]
pub(crate) struct Pool {
    workers: Arc<Semaphore>,
    /// One for each worker, and one for each place in the queue.
    places: Arc<Semaphore>,
}

/// The queue is full.
#[derive(Debug)]
pub(crate) struct Full;

impl Pool {
    pub(crate) fn new(workers: usize, queue: usize) -> Self {
        Self {
            workers: Arc::new(Semaphore::new(workers)),
            places: Arc::new(Semaphore::new(workers + queue)),
        }
    }

    /// Does `work` when its turn comes, whether or not somebody waits for it.
    pub(crate) fn enqueue<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Full> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_none| Full)?;
        let workers = self.workers.clone();
        let (done, result) = oneshot::channel();
        tokio::spawn(async move {
            let worker = workers.acquire_owned().await;
            let result = work.await;
            // Who has the result can have the place.
            drop((worker, place));
            // The caller may be gone.
            let _ = done.send(result);
        });
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn workers_are_as_many_as_they_are_and_the_queue_as_long() {
        let pool = Pool::new(2, 3);
        let began = Instant::now();
        let work = || async { sleep(Duration::from_secs(1)).await };
        let waiting: Vec<_> = (0..5).map(|_| pool.enqueue(work()).unwrap()).collect();
        assert!(pool.enqueue(work()).is_err());
        let mut ended = Vec::new();
        for result in waiting {
            result.await.unwrap();
            ended.push(began.elapsed().as_secs());
        }
        assert_eq!(ended, [1, 1, 2, 2, 3]);
        assert!(pool.enqueue(work()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_done_though_its_caller_is_gone() {
        let pool = Pool::new(1, 1);
        let began = Instant::now();
        let work = async { sleep(Duration::from_secs(1)).await };
        drop(pool.enqueue(work).unwrap());
        let next = pool.enqueue(async move { began.elapsed() }).unwrap();
        assert_eq!(next.await.unwrap(), Duration::from_secs(1));
    }
}
