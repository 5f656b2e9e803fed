//! The latest answers that are read in pages, and turns for those who want one worked out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use engine::eval::Found;
use engine::graph::Snapshot;
use model::{Timestamp, Token};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access;
use crate::consistency::View;
use crate::error::{Error, Kind};

/// Objects in all of the kept answers together, at some four bytes each; the latest answer is kept at any size.
const OBJECTS_MAX: usize = 8_000_000;
/// Kept answers: each also keeps what its sets hold.
const ANSWERS_MAX: usize = 64;
/// Look-ups that wait for their turn.
const WAITING_MAX: usize = 1_024;

/// The latest answers that have more pages to come.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    answers: Mutex<VecDeque<Answer>>,
}

/// What was found has to be read with the snapshot that it was found on: another one of the same revision may number
/// its ids in another way.
#[derive(Debug)]
struct Answer {
    key: Key,
    snapshot: Arc<Snapshot>,
    found: Arc<Found>,
    /// Who was locked before it was worked out.
    access: Arc<access::State>,
}

/// Everything that an answer depends on: the snapshot, the instant and the query with its context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    token: Token,
    now: Timestamp,
    query: [u8; 16],
}

impl Key {
    fn of(view: &View, query: [u8; 16]) -> Self {
        Self {
            token: view.token,
            now: view.now,
            query,
        }
    }
}

impl Kept {
    /// Lets go of the answers whose first page is older: their cursors are good no more.
    pub(crate) fn drop_before(&self, instant: Timestamp) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|answer| answer.key.now >= instant);
    }

    /// The answer for the same locks, with a view of the snapshot that it was found on.
    pub(crate) fn get(
        &self,
        view: &View,
        query: [u8; 16],
        access: &Arc<access::State>,
    ) -> Option<(View, Arc<Found>)> {
        let key = Key::of(view, query);
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = answers.iter();
        let answer =
            answers.find(|answer| answer.key == key && Arc::ptr_eq(&answer.access, access))?;
        let view = View {
            snapshot: Arc::clone(&answer.snapshot),
            ..*view
        };
        Some((view, Arc::clone(&answer.found)))
    }

    pub(crate) fn keep(
        &self,
        view: &View,
        query: [u8; 16],
        (found, access): (&Arc<Found>, Arc<access::State>),
    ) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push_back(Answer {
            key: Key::of(view, query),
            snapshot: Arc::clone(&view.snapshot),
            found: Arc::clone(found),
            access,
        });
        let mut objects: usize = answers.iter().map(|answer| answer.found.count()).sum();
        while answers.len() > 1 && (answers.len() > ANSWERS_MAX || objects > OBJECTS_MAX) {
            if let Some(oldest) = answers.pop_front() {
                objects -= oldest.found.count();
            }
        }
    }
}

/// Turns to work a look-up out: as many at once as there are processors, so that checks keep their share.
#[derive(Debug)]
pub(crate) struct Turns {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

/// A turn; it ends when this is dropped.
pub(crate) struct Turn {
    _running: OwnedSemaphorePermit,
    _admitted: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            running: Arc::new(Semaphore::new(processors)),
            admitted: Arc::new(Semaphore::new(processors + WAITING_MAX)),
        }
    }
}

impl Turns {
    /// How many look-ups run, and how many wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let running = processors.saturating_sub(self.running.available_permits());
        let admitted = (processors + WAITING_MAX).saturating_sub(self.admitted.available_permits());
        (running, admitted.saturating_sub(running))
    }

    /// A turn, once it comes.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] if too many wait already.
    pub(crate) async fn take(&self) -> Result<Turn, Error> {
        let overloaded = || {
            let message =
                format!("more than {WAITING_MAX} look-ups wait for their turn; try again later");
            Error::new(Kind::Overloaded, message)
        };
        let admitted = Arc::clone(&self.admitted).try_acquire_owned();
        let admitted = admitted.map_err(|_| overloaded())?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        Ok(Turn {
            _running: running.map_err(|_| overloaded())?,
            _admitted: admitted,
        })
    }
}
