//! What the watches of a node share: the commits that it applied last, places, turns at the log, and the end.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use model::{Revision, Token};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};

use super::{Commit, Settings};
use crate::error::{Error, Kind};

/// The shared part of all watches.
#[derive(Debug)]
pub(crate) struct Watches {
    settings: Settings,
    recent: RwLock<Recent>,
    places: Arc<Semaphore>,
    turns: Semaphore,
    ending: watch::Sender<bool>,
    news: Arc<watch::Sender<()>>,
}

/// What comes after a commit.
#[derive(Debug)]
pub(super) enum Next {
    /// This commit, of those that a watch may want the first.
    Commit(Arc<Commit>),
    /// Nothing of interest up to here, and perhaps more after it.
    Passed(Token),
    /// Nothing that this node has applied.
    Nothing,
    /// Commits that are only in the log of the store.
    InLog,
    /// A commit that does not follow the one asked about.
    Broken(Revision),
}

/// The newest commits, oldest first and without a gap.
#[derive(Debug)]
struct Recent {
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    /// The newest revision that was applied.
    head: Revision,
}

impl Watches {
    /// How many go on.
    pub(crate) fn count(&self) -> usize {
        let max = self.settings.watches_max;
        max.saturating_sub(self.places.available_permits())
    }

    pub(crate) fn new(settings: Settings, head: Revision) -> Self {
        Self {
            recent: RwLock::new(Recent {
                commits: VecDeque::new(),
                bytes: 0,
                head,
            }),
            places: Arc::new(Semaphore::new(settings.watches_max)),
            turns: Semaphore::new(settings.catching_up_max),
            ending: watch::Sender::new(false),
            news: Arc::new(watch::Sender::new(())),
            settings,
        }
    }

    /// Wakes the watches whenever `applied` changes, for as long as it can: one after the other where nothing else goes on,
    /// for many commits at once where much does, so that thousands of watches do not cost each commit its time.
    pub(crate) fn announce(&self, mut applied: watch::Receiver<Revision>) {
        /// Between two wake-ups.
        const PAUSE: Duration = Duration::from_millis(5);
        let news = Arc::clone(&self.news);
        tokio::spawn(async move {
            while applied.changed().await.is_ok() {
                news.send_replace(());
                tokio::time::sleep(PAUSE).await;
            }
        });
    }

    /// Changes after the node has applied commits, or has stopped doing so.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Takes the commits that the node has just applied. The newest one stays for a while, however large it is, so that
    /// those who follow it need not each read it from the log.
    pub(crate) fn push(&self, commits: Vec<Arc<Commit>>) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        for commit in commits {
            recent.bytes += commit.memory_bytes();
            recent.head = commit.token().revision;
            recent.commits.push_back(commit);
        }
        recent.shed(&self.settings, 1);
    }

    /// Lets go of a large newest commit as well: whoever was waiting for it has it by now.
    pub(crate) fn settle(&self) {
        let is_settled = {
            let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
            recent.bytes <= self.settings.recent_bytes_max
        };
        if !is_settled {
            let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
            recent.shed(&self.settings, 0);
        }
    }

    /// Ends all watches and lets none begin.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Done when all watches end.
    pub(crate) fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// A place for one more watch.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        if *self.ending.borrow() {
            return Err(stopping());
        }
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let watches_max = self.settings.watches_max;
            let message = format!("this node has {watches_max} watches, which is all it may have");
            Error::new(Kind::Overloaded, message)
        })
    }

    /// A turn at reading the log, once it comes.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        let turn = tokio::time::timeout(self.settings.stall_max, self.turns.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            let message =
                "too many watches read the log of the store; resume from the last token later";
            Error::new(Kind::Overloaded, message)
        })
    }

    /// What comes after `at`, but for commits that are not `wanted`. Most watches want few
    /// commits.
    pub(super) fn next(&self, at: Token, wanted: impl Fn(&Commit) -> bool) -> Next {
        /// Commits that are looked at in one turn.
        const PASSED_MAX: usize = 64;
        // Taken out of the lock: a filter may take its time over a large commit, and the next one must not wait for it.
        let commits: Vec<Arc<Commit>> = {
            let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
            let Some(place) = recent.place_after(at.revision) else {
                return Next::InLog;
            };
            let rest = recent.commits.range(place..);
            rest.take(PASSED_MAX).cloned().collect()
        };
        let mut passed = at;
        for commit in commits {
            if commit.before() != passed {
                return Next::Broken(commit.token().revision);
            }
            if wanted(&commit) {
                return Next::Commit(commit);
            }
            passed = commit.token();
        }
        if passed == at {
            Next::Nothing
        } else {
            Next::Passed(passed)
        }
    }

    /// Whether what follows `revision` is here, or is still to come.
    pub(super) fn reaches(&self, revision: Revision) -> bool {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        recent.place_after(revision).is_some()
    }
}

impl Recent {
    /// The place of the commit after `revision`, the end for one that is still to come; none if it is here no more.
    fn place_after(&self, revision: Revision) -> Option<usize> {
        let back = self.head.0.saturating_sub(revision.0);
        self.commits.len().checked_sub(usize::try_from(back).ok()?)
    }

    /// Lets go of the oldest commits until the rest is within bounds, but keeps the `kept` newest.
    fn shed(&mut self, settings: &Settings, kept: usize) {
        while self.commits.len() > kept
            && (self.bytes > settings.recent_bytes_max
                || self.commits.len() > settings.recent_commits_max)
        {
            let Some(oldest) = self.commits.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(oldest.memory_bytes());
        }
    }
}

/// Why a watch ends with its node.
pub(super) fn stopping() -> Error {
    Error::new(
        Kind::Unavailable,
        "the server is stopping; resume from the last token",
    )
}
