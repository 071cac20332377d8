//! Tasks that stay on the worker's thread. Each belongs to a kind, whose end condition is known and
//! whose number is counted.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::rt::Executor;

/// Spawns onto the worker's own runtime; a panic ends the task and nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor(pub(crate) Kind);

/// What a task is for, and what ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Kind {
    /// A worker's own; ends with it.
    Worker,
    /// A client's connection; ends with it, and `max_connections` bounds them.
    Client,
    /// A request on a client's HTTP/2 connection; ends with it, and `max_streams` bounds them.
    Stream,
    /// An upload that goes on after its answer has begun; ends with either, or soon after the
    /// answer.
    Upload,
    /// An HTTP/2 connection to an upstream, its opening and its requests; ends with them, and
    /// there are at most 8 connections for each endpoint and worker, besides those that finish.
    Upstream,
    /// A name of an upstream that is kept resolved; ends when no upstream has it.
    Name,
}

/// Counts a task for as long as it lives.
pub(crate) struct Counted(Kind);

static COUNTS: [AtomicUsize; Kind::ALL.len()] = [const { AtomicUsize::new(0) }; Kind::ALL.len()];

impl Kind {
    /// All kinds, in the order of their numbers.
    pub(crate) const ALL: [Self; 6] = [
        Self::Worker,
        Self::Client,
        Self::Stream,
        Self::Upload,
        Self::Upstream,
        Self::Name,
    ];

    /// Its word in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Client => "client",
            Self::Stream => "stream",
            Self::Upload => "upload",
            Self::Upstream => "upstream",
            Self::Name => "name",
        }
    }

    /// Counts a task of this kind for as long as what is returned lives.
    pub(crate) fn counted(self) -> Counted {
        COUNTS[self as usize].fetch_add(1, Ordering::Relaxed);
        Counted(self)
    }

    /// Returns how many tasks of this kind there are, on all workers.
    pub(crate) fn count(self) -> usize {
        COUNTS[self as usize].load(Ordering::Relaxed)
    }
}

impl LocalExecutor {
    pub(crate) fn spawn<F>(kind: Kind, future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        Self(kind).execute(future);
    }
}

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        let counted = self.0.counted();
        drop(tokio::task::spawn_local(async move {
            let _counted = counted;
            future.await;
        }));
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        COUNTS[self.0 as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn tasks_are_counted_until_they_end_or_panic() {
        let local = LocalSet::new();
        let before = Kind::Upload.count();
        let (end, ended) = oneshot::channel::<()>();
        local
            .run_until(async {
                LocalExecutor::spawn(Kind::Upload, async move { drop(ended.await) });
                LocalExecutor::spawn(Kind::Upload, async { panic!("counted too") });
                assert_eq!(Kind::Upload.count(), before + 2);
                drop(end);
            })
            .await;
        local.await;
        assert_eq!(Kind::Upload.count(), before);
    }
}
