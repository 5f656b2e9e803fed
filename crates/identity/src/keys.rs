//! Where the keys of an issuer come from: a file, or the issuer itself, which changes them when it likes.
//!
//! Fetched keys are replaced when they are old, and when a token names one that is not there: at most once in a while however
//! many tokens do, and once for all who wait. What cannot be fetched leaves the keys as they are, for a day.

mod address;
mod fetch;
mod url;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::jose::KeySet;
pub(crate) use fetch::{Authorities, Place, Remote};
pub(crate) use url::Url;
pub use url::UrlError;

/// How long keys are used that could not be fetched again. A key that its issuer withdrew must not live for ever because the
/// issuer cannot be reached.
const STALE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The keys of one issuer.
#[derive(Debug)]
pub(crate) struct KeySource {
    issuer: String,
    origin: Origin,
    held: ArcSwapOption<Held>,
    attempt: Mutex<Attempt>,
}

/// Where keys come from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// The configuration itself.
    File(Arc<KeySet>),
    /// The issuer.
    Remote(Box<Remote>),
}

#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    since: Instant,
}

#[derive(Debug, Default)]
struct Attempt {
    begun: Option<Instant>,
    /// Closed once the attempt ended.
    running: Option<watch::Receiver<()>>,
}

impl KeySource {
    pub(crate) fn new(issuer: &str, origin: Origin) -> Arc<Self> {
        Arc::new(Self {
            issuer: issuer.to_owned(),
            origin,
            held: ArcSwapOption::empty(),
            attempt: Mutex::default(),
        })
    }

    /// These keys as the successors of `old`, if they come from the same place: what was fetched stays, and keys that are gone
    /// from a file are withdrawn.
    pub(crate) fn succeeding(&self, old: &Arc<Self>) -> Option<Arc<Self>> {
        match (&self.origin, &old.origin) {
            (Origin::Remote(ours), Origin::Remote(theirs)) => {
                (ours == theirs).then(|| Arc::clone(old))
            }
            (Origin::File(keys), Origin::File(before)) => {
                let keys = keys.as_ref().clone().succeeding(before);
                Some(Self::new(&self.issuer, Origin::File(Arc::new(keys))))
            }
            (Origin::File(_), Origin::Remote(_)) | (Origin::Remote(_), Origin::File(_)) => None,
        }
    }

    /// The keys, if there are any that are not too old.
    pub(crate) fn keys(&self) -> Option<Arc<KeySet>> {
        match &self.origin {
            Origin::File(keys) => Some(Arc::clone(keys)),
            Origin::Remote(_) => {
                let held = self.held.load();
                let held = held
                    .as_ref()
                    .filter(|held| held.since.elapsed() < STALE_MAX);
                held.map(|held| Arc::clone(&held.keys))
            }
        }
    }

    /// Fetches the keys of an issuer that has not been asked for a while; returns when they are there, or could not be had.
    pub(crate) async fn look_again(self: &Arc<Self>) {
        match &self.origin {
            Origin::File(_) => {}
            Origin::Remote(remote) => self.fetch(remote, remote.refetch).await,
        }
    }

    /// Fetches the keys if they are due to be fetched.
    pub(crate) async fn keep_fresh(self: &Arc<Self>) {
        match &self.origin {
            Origin::File(_) => {}
            Origin::Remote(remote) => {
                let is_there = self.held.load().is_some();
                let pause = if is_there {
                    remote.refresh
                } else {
                    remote.refetch
                };
                self.fetch(remote, pause).await;
            }
        }
    }

    /// Joins the attempt that is under way, or makes one unless the last began within `pause`.
    ///
    /// The attempt is a task of its own, so that a caller who leaves does not end it for the others.
    async fn fetch(self: &Arc<Self>, remote: &Remote, pause: Duration) {
        let mut running = {
            let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
            match attempt.running.take().filter(|it| it.has_changed().is_ok()) {
                Some(running) => attempt.running.insert(running).clone(),
                None if attempt.begun.is_some_and(|it| it.elapsed() < pause) => return,
                None => {
                    let (done, running) = watch::channel(());
                    attempt.begun = Some(Instant::now());
                    let source = Arc::clone(self);
                    let remote = remote.clone();
                    tokio::spawn(async move {
                        source.take(remote.keys().await);
                        drop(done);
                    });
                    attempt.running.insert(running).clone()
                }
            }
        };
        // An error says that the attempt ended, which is all that was waited for.
        let _ended = running.changed().await;
    }

    fn take(&self, fetched: Result<KeySet, fetch::FetchError>) {
        let issuer = self.issuer.as_str();
        match fetched {
            Ok(keys) => {
                let old = self.held.load();
                let keys = match old.as_ref() {
                    Some(old) => keys.succeeding(&old.keys),
                    None => keys,
                };
                self.held.store(Some(Arc::new(Held {
                    keys: Arc::new(keys),
                    since: Instant::now(),
                })));
                tracing::debug!(issuer, "fetched the keys of an issuer");
            }
            Err(error) => {
                let has_old = self.held.load().is_some();
                tracing::warn!(
                    issuer,
                    %error,
                    has_old,
                    "the keys of an issuer could not be fetched; what there is of them stays"
                );
            }
        }
    }
}
