//! Where decisions wait to be made into events: shards, each with its own lock, so that no two threads wait for each other.
//!
//! Whoever notes down a decision tries the lock of its thread's shard, then the next one's; a lock is held for the copy of some hundred
//! bytes, or for the exchange of a list. What finds no room is refused, which costs as little.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use crate::rules::{BufferSettings, Rules};

const SHARDS: usize = 16;
/// The largest record, in bytes.
pub(crate) const RECORD_BYTES_MAX: usize = 64 << 10;

/// Records that were noted down while the same rules were in force.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) rules: Arc<Rules>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: usize,
}

/// Why a decision was not noted down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no room.
    Full,
    /// It is larger than [`RECORD_BYTES_MAX`].
    TooLarge,
    /// Every shard was taken.
    Busy,
}

#[derive(Debug)]
pub(crate) struct Buffer {
    shards: Vec<Shard>,
    bytes: AtomicUsize,
    count: AtomicUsize,
    settings: BufferSettings,
}

/// Apart from its neighbours, so that their locks are not in one line of the cache.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Vec<Segment>>);

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
}

impl Buffer {
    pub(crate) fn new(settings: BufferSettings) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            bytes: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            settings,
        }
    }

    /// Notes down what `write` appends.
    ///
    /// # Errors
    /// Why it could not be. The limit of bytes may be passed by one record for each thread.
    pub(crate) fn push(
        &self,
        rules: &Arc<Rules>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Refused> {
        if self.bytes.load(Ordering::Relaxed) >= self.settings.bytes_max {
            return Err(Refused::Full);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.settings.events_max {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Full);
        }
        let pushed = self.push_somewhere(rules, write);
        pushed.inspect_err(|_| {
            self.count.fetch_sub(1, Ordering::Relaxed);
        })
    }

    fn push_somewhere(
        &self,
        rules: &Arc<Rules>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Refused> {
        let first = SHARD.with(Cell::get) % SHARDS;
        let shards = self
            .shards
            .iter()
            .skip(first)
            .chain(self.shards.iter().take(first));
        for shard in shards {
            let mut segments = match shard.0.try_lock() {
                Ok(segments) => segments,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            let is_current = segments
                .last()
                .is_some_and(|it| Arc::ptr_eq(&it.rules, rules));
            if !is_current {
                segments.push(Segment {
                    rules: Arc::clone(rules),
                    bytes: Vec::new(),
                    count: 0,
                });
            }
            let Some(segment) = segments.last_mut() else {
                break;
            };
            let before = segment.bytes.len();
            write(&mut segment.bytes);
            let written = segment.bytes.len().saturating_sub(before);
            if written > RECORD_BYTES_MAX {
                segment.bytes.truncate(before);
                return Err(Refused::TooLarge);
            }
            segment.count += 1;
            // While the lock is held: whoever drains the shard takes off what was added.
            self.bytes.fetch_add(written, Ordering::Relaxed);
            return Ok(());
        }
        Err(Refused::Busy)
    }

    /// Takes all that waits in one shard after the other.
    pub(crate) fn drain(&self) -> Vec<Segment> {
        let mut drained = Vec::new();
        for shard in &self.shards {
            let taken = {
                let mut segments = shard.0.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *segments)
            };
            for segment in taken {
                self.bytes.fetch_sub(segment.bytes.len(), Ordering::Relaxed);
                self.count.fetch_sub(segment.count, Ordering::Relaxed);
                drained.push(segment);
            }
        }
        drained
    }

    /// How much waits.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether half of what may wait does.
    pub(crate) fn is_half_full(&self) -> bool {
        self.bytes() >= self.settings.bytes_max / 2
    }
}
