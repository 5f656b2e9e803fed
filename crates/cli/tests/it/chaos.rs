//! What goes wrong around a server while it is asked: its disk, its certificate, and its clock. Checks go on, writes fail aloud or wait,
//! and what was acknowledged is there afterwards.

mod certificate;
mod clock;
mod disk;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::asking::{Plain, eventually};

/// One client after the other's answer, on one connection, until it is over: whether `doc:there` may be seen, which it may, and
/// `doc:elsewhere`, which it may not.
struct Traffic {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    asking: JoinHandle<()>,
}

impl Traffic {
    fn start(mut client: Plain) -> Self {
        let (is_over, answered) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let (until, counted) = (Arc::clone(&is_over), Arc::clone(&answered));
        let asking = tokio::spawn(async move {
            while !until.load(Ordering::Relaxed) {
                assert!(client.is_allowed("there").await.unwrap());
                assert!(!client.is_allowed("elsewhere").await.unwrap());
                counted.fetch_add(2, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Self {
            is_over,
            answered,
            asking,
        }
    }

    /// Waits for some more answers: none may have failed.
    async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("checks go on", async || {
            assert!(!self.asking.is_finished(), "a check failed");
            self.answered.load(Ordering::Relaxed) > before + 20
        })
        .await;
    }

    async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.asking.await.unwrap();
    }
}
