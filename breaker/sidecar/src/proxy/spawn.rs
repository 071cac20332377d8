//! Tasks that stay on the worker's thread.

use std::future::Future;

use hyper::rt::Executor;

/// Spawns onto the worker's own runtime; a panic ends the task and nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl LocalExecutor {
    pub(crate) fn spawn<F>(future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        drop(tokio::task::spawn_local(future));
    }
}

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(future));
    }
}
