//! Signing: once in a while a node signs the root of the log, if there are new entries and the log is the one that was signed before.
//!
//! INVARIANT: nothing is signed that does not continue what was. Whoever cuts the log or changes it gets no signature for that.

use std::sync::Arc;
use std::time::Duration;

use store::audit::tree::Question;
use store::audit::{Checkpoint, Hash, NoteError, SignedNote, SigningKey, StoredCheckpoint};
use store::{AuditLog, StoreError};
use tokio::sync::watch;

use super::{log, unreadable};
use crate::error::{Error, Kind};
use crate::metrics::SigningOutcome;
use crate::node::Node;

/// The keys of a node: the first signs. Empty for a node that signs nothing.
pub type Keys = Arc<Vec<SigningKey>>;

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// There is nothing new.
    Nothing,
    /// There is a checkpoint of that, by this node or another.
    Checkpoint(StoredCheckpoint),
}

/// Why a node does not sign.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The log is not the one that was signed before.
    #[error(
        "the audit log does not continue what was signed: of {signed} entries that were, it has {size} or others; nothing is signed until \
         that is found out: `remit audit verify`"
    )]
    Forked {
        /// How many entries were signed.
        signed: u64,
        /// How many there are.
        size: u64,
    },
    /// The newest checkpoint cannot be read.
    #[error("the newest checkpoint of the audit log cannot be read, and nothing is signed: {0}")]
    Checkpoint(#[from] store::audit::NoteError),
    /// The log cannot be read.
    #[error("the audit log cannot be read or kept: {}", .0.message)]
    Log(Error),
}

/// What a node has signed, or has seen signed.
#[derive(Debug, Default)]
pub struct Signer {
    last: Option<Checkpoint>,
}

/// Signs for as long as the node lives, at most once in `every`.
pub async fn run(node: Arc<Node>, keys: watch::Receiver<Keys>, every: Duration) {
    let mut stopping = node.stopping();
    let mut signer = Signer::default();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = tokio::time::sleep(every) => {}
        }
        let keys = Arc::clone(&keys.borrow());
        let Some(key) = keys.first() else {
            continue;
        };
        let outcome = match signer.sign(&node, key).await {
            Ok(Signed::Nothing) => continue,
            Ok(Signed::Checkpoint(_)) => SigningOutcome::signed,
            Err(error @ (SigningError::Forked { .. } | SigningError::Checkpoint(_))) => {
                tracing::error!(%error, "no checkpoint of the audit log was signed");
                SigningOutcome::refused
            }
            Err(error @ SigningError::Log(_)) => {
                tracing::warn!(%error, "no checkpoint of the audit log was signed");
                SigningOutcome::failed
            }
        };
        node.metrics().note_signing(outcome);
    }
}

impl Signer {
    /// Signs the log as it is, if there is something new and it continues what was signed.
    ///
    /// # Errors
    /// [`SigningError`]
    pub async fn sign(&mut self, node: &Node, key: &SigningKey) -> Result<Signed, SigningError> {
        let log = log(node).map_err(SigningError::Log)?;
        let stored = log.last_checkpoint().await.map_err(failed)?;
        // After the checkpoint, so that it is no smaller than that.
        let size = log.state().await.map_err(failed)?.size;
        let stored = stored.map(|stored| parsed(&stored, key)).transpose()?;
        for signed in stored.iter().chain(&self.last) {
            if signed.size > size || root(log, signed.size).await? != signed.root {
                return Err(SigningError::Forked {
                    signed: signed.size,
                    size,
                });
            }
        }
        let is_newer = |last: &Option<Checkpoint>| last.as_ref().is_none_or(|it| it.size < size);
        if size == 0 || !is_newer(&stored) {
            self.last = stored.or(self.last.take());
            return Ok(Signed::Nothing);
        }
        let checkpoint = Checkpoint::of(node.identity(), size, root(log, size).await?);
        let kept = log.keep_checkpoint(StoredCheckpoint {
            size,
            note: key.sign(&checkpoint.text()).to_string(),
        });
        let kept = kept.await.map_err(failed)?;
        // Another node may have been first: then it has to have signed the same.
        if parsed(&kept, key)?.root != checkpoint.root {
            return Err(SigningError::Forked { signed: size, size });
        }
        self.last = Some(checkpoint);
        Ok(Signed::Checkpoint(kept))
    }
}

/// The checkpoint that is stored. What another key is said to have signed is taken as it is, since keys are rotated and taken away.
fn parsed(stored: &StoredCheckpoint, key: &SigningKey) -> Result<Checkpoint, SigningError> {
    let note = SignedNote::parse(&stored.note)?;
    if note.is_forged(std::slice::from_ref(key.public())) {
        let why = "its signature is not that of the key that it names";
        return Err(SigningError::Checkpoint(NoteError::Note(why)));
    }
    Ok(Checkpoint::parse(&note.text)?)
}

async fn root(log: &dyn AuditLog, size: u64) -> Result<Hash, SigningError> {
    let question = Question::Root(size);
    let hashes = log.hashes(question.places()).await.map_err(failed)?;
    let root = question
        .answer(&hashes)
        .and_then(|root| root.first().copied());
    root.ok_or_else(|| {
        SigningError::Log(Error::new(
            Kind::Internal,
            "the tree of the audit log is not complete",
        ))
    })
}

fn failed(error: StoreError) -> SigningError {
    SigningError::Log(unreadable(error))
}
