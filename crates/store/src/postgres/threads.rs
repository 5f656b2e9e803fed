//! The threads of a store.

use std::sync::mpsc;

use tokio::runtime::Runtime;

use super::open::PostgresOpenError;
use crate::error::StoreError;
use crate::store::StoreFuture;

const THREADS: usize = 2;

/// They have ended early.
pub(super) fn ended() -> PostgresOpenError {
    PostgresOpenError::Threads(std::io::ErrorKind::BrokenPipe.into())
}

/// The threads of a store, with their runtime. They end with it, wherever it is dropped.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    pub(super) fn start() -> Result<Self, PostgresOpenError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("store-postgres")
            .enable_all()
            .build();
        runtime
            .map(|runtime| Self(Some(runtime)))
            .map_err(PostgresOpenError::Threads)
    }

    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> StoreFuture<'static, Result<T, StoreError>> {
        let task = self.0.as_ref().map(|runtime| runtime.spawn(work));
        Box::pin(async move {
            match task {
                Some(task) => task.await.map_err(|_| StoreError::Closed),
                None => Err(StoreError::Closed),
            }
        })
    }

    /// Blocks until `work` is done: also where the caller is a thread of another runtime. None if the threads end before.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = mpsc::channel();
        drop(self.spawn(async move {
            // Nobody waits any more: there is nobody to tell.
            let _ = answer.send(work.await);
        }));
        answered.recv().ok()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // In the background: the caller may be a thread of another runtime, which must not wait.
            runtime.shutdown_background();
        }
    }
}
