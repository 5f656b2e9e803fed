//! Whether what others rest on still stands: it says so itself, so that nothing has to be searched for what rested on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stands until it is withdrawn; a clone is of the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing(Arc<AtomicBool>);

impl PartialEq for Standing {
    /// Whether they are of the same.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Standing {}

impl Standing {
    pub(crate) fn withdraw(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
