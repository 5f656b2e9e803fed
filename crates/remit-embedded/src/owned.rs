//! An engine with a store of its own, which takes writes.

use std::ops::Deref;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use model::{ObjectRef, Relationship, SystemClock, Token};
use ops::bulk::Import;
use ops::write::{Deleted, Deletion, Write};
use ops::{Error, Kind, Node, Settings};
use store::{SqliteStore, Store};

use crate::{Engine, OpenError};

/// How long the log's entries are kept unless something else is said.
const LOG_RETAINED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In memory, gone with the engine. Text form `memory:`.
    Memory,
    /// In a SQLite file, which is made if there is none. Text form `sqlite:PATH`.
    Sqlite(PathBuf),
}

/// Why a text is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no store of an engine: expected `memory:` or `sqlite:PATH`")]
pub struct PlaceError;

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(_) | None => Err(PlaceError),
        }
    }
}

/// The store of an engine, and what the engine is set to.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Where it is.
    pub place: Place,
    /// What the engine is set to.
    pub settings: Settings,
    /// How long the log's entries are kept.
    pub log_retained: Duration,
}

impl From<Place> for Storage {
    fn from(place: Place) -> Self {
        Self {
            place,
            settings: Settings::default(),
            log_retained: LOG_RETAINED,
        }
    }
}

/// An engine with a store of its own. It answers as [`Engine`] does, and takes writes. Dropping it leaves what was acknowledged.
pub struct Owned {
    engine: Engine,
    store: Arc<dyn Store>,
}

impl Engine {
    /// Opens a store and loads what it holds. One process has a file at a time.
    ///
    /// # Errors
    /// [`OpenError`] if the store cannot be opened, or holds what this version does not know.
    /// # Cost
    /// One to two seconds for a million relationships.
    pub async fn open(storage: impl Into<Storage>) -> Result<Owned, OpenError> {
        let Storage {
            place,
            settings,
            log_retained,
        } = storage.into();
        let opening = tokio::task::spawn_blocking(move || match place {
            Place::Memory => SqliteStore::memory(),
            Place::Sqlite(path) => SqliteStore::open(&path),
        });
        let store = opening.await.map_err(|_| OpenError::Task)??;
        let store: Arc<dyn Store> = Arc::new(store);
        let node = Node::start(Arc::clone(&store), Arc::new(SystemClock), settings).await;
        let node = node.map_err(OpenError::Load)?;
        tokio::spawn(ops::housekeeping::run(Arc::clone(&node), log_retained));
        Ok(Owned {
            engine: Engine::of(node),
            store,
        })
    }
}

impl Owned {
    /// Replaces the schema.
    ///
    /// # Errors
    /// [`Error`] for a text that is wrong, and for a change that existing relationships forbid. Nothing has changed then.
    pub async fn write_schema(&self, text: &str) -> Result<Token, Error> {
        ops::schema::write(&self.node, &self.caller, text).await
    }

    /// Commits a write. The engine answers from the commit, or a later one, from then on.
    ///
    /// # Errors
    /// [`Error`] for limits, updates that do not fit the schema, preconditions that fail, and a store that cannot commit. A write
    /// that failed changed nothing; but after [`Kind::DeadlineExceeded`] and [`Kind::Unavailable`] the commit may have been made.
    pub async fn write(&self, write: Write) -> Result<Token, Error> {
        ops::write::write(&self.node, &self.caller, write).await
    }

    /// Deletes the relationships that match a pattern, in one commit.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn delete(&self, deletion: Deletion) -> Result<Deleted, Error> {
        ops::write::delete(&self.node, &self.caller, deletion).await
    }

    /// Creates many relationships in one commit, and tells how many.
    ///
    /// # Errors
    /// [`Error`] past `import_relationships_max`, and if one does not fit the schema or exists already. Nothing is stored then.
    pub async fn import(
        &self,
        relationships: impl IntoIterator<Item = Relationship>,
    ) -> Result<u64, Error> {
        let mut import = Import::default();
        import.add(&self.node, relationships)?;
        import.commit(&self.node, &self.caller).await
    }

    /// Locks a subject: from this commit on it has no permission on anything.
    ///
    /// # Errors
    /// [`Error`] for a reason that is empty or too long, and past the locks that there may be.
    pub async fn lock(&self, subject: &ObjectRef, reason: &str) -> Result<Token, Error> {
        ops::lock::lock(&self.node, &self.caller, subject, reason).await
    }

    /// Unlocks a subject.
    ///
    /// # Errors
    /// [`Error`] for one that is not locked.
    pub async fn unlock(&self, subject: &ObjectRef) -> Result<Token, Error> {
        ops::lock::unlock(&self.node, &self.caller, subject).await
    }

    /// Stops the engine and closes its store.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if tidying up fails; what was acknowledged is durable all the same.
    pub async fn close(self) -> Result<(), Error> {
        self.node.stop();
        let closed = self.store.close().await;
        closed.map_err(|error| {
            Error::new(Kind::Unavailable, "the store did not close well").caused_by(error)
        })
    }
}

impl std::fmt::Debug for Owned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owned")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl Deref for Owned {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Clones of the engine answer on, from what it has.
        self.engine.node.stop();
    }
}
