//! A part of the sidecar on a thread of its own: whatever holds it up holds up nothing else.

use std::future::Future;
use std::io;
use std::pin::pin;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// A part that runs. Dropped, it ends soon.
#[derive(Debug)]
pub(super) struct Part<T> {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Option<T>>,
}

impl<T: Send + 'static> Part<T> {
    /// Starts a thread called `name`, with a runtime that runs what `work` makes.
    ///
    /// # Errors
    /// When the thread or its runtime can't be started.
    pub(super) fn start<F>(
        name: &str,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = T>,
    {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, mut stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let run = move || {
            let result = runtime.block_on(async {
                let mut work = pin!(work());
                tokio::select! {
                    biased;
                    result = &mut work => return Some(result),
                    // A sender that is gone says the same.
                    _ = &mut stopped => {}
                }
                // What was told to its tasks before is still heard.
                for _ in 0..LAST_TURNS {
                    tokio::task::yield_now().await;
                }
                None
            });
            // Its other tasks end here; a disk that hangs is not waited for.
            runtime.shutdown_background();
            // Nobody may wait for it.
            let _ = end.send(result);
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)?;
        Ok(Self { stop, ended })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it panicked.
    pub(super) async fn ended(self) -> io::Result<T> {
        let Self { stop: _stop, ended } = self;
        let result = ended.await.ok().flatten();
        result.ok_or_else(|| io::Error::other("a thread panicked"))
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        drop(self.stop);
        // It may have ended before.
        let _ = self.ended.await;
    }
}

/// Turns that its tasks have at the end.
const LAST_TURNS: u32 = 16;

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_part_ends_by_itself_by_a_panic_or_when_it_is_told_to() {
        let part = Part::start("test", || async { 7 });
        assert_eq!(part.unwrap().ended().await.unwrap(), 7);
        let part = Part::start("test", || async { panic!("as the test wants") });
        let ended: io::Result<()> = part.unwrap().ended().await;
        assert!(ended.is_err());
        Part::start("test", pending::<()>).unwrap().stop().await;
    }

    #[tokio::test]
    async fn what_was_told_before_the_end_is_heard() {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let (hear, heard) = std::sync::mpsc::channel();
        let part = Part::start("test", || async {
            let hearing = tokio::spawn(async move {
                while let Some(number) = told.recv().await {
                    hear.send(number).unwrap();
                }
            });
            hearing.await.unwrap();
        });
        (0..100).for_each(|number| tell.send(number).unwrap());
        part.unwrap().stop().await;
        assert_eq!(heard.iter().count(), 100);
    }

    #[tokio::test]
    async fn a_part_that_hangs_holds_up_nobody() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let part = Part::start("test", move || async move { wait.recv() }).unwrap();
        let other = Part::start("test", || async { 7 }).unwrap();
        assert_eq!(other.ended().await.unwrap(), 7);
        go.send(()).unwrap();
        part.ended().await.unwrap().unwrap();
    }
}
