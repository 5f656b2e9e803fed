//! Where a store is, as it is written on the command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::bail;
use store::{PostgresConfig, PostgresStore, SqliteStore, Store};

/// The place of a store.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Memory,
    Sqlite(PathBuf),
    Postgres(Box<PostgresConfig>),
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(Box::new(text.parse()?)));
        }
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            // What was given may hold a password, so it is not repeated.
            Some(_) | None => bail!(
                "this is no store: expected `sqlite:PATH`, `memory:` or `postgres://USER@HOST/DATABASE`"
            ),
        }
    }
}

impl Place {
    /// Opens the store. Blocks.
    pub(crate) fn open(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Memory => Arc::new(SqliteStore::memory()?),
            Self::Sqlite(path) => Arc::new(SqliteStore::open(path)?),
            Self::Postgres(config) => Arc::new(PostgresStore::open(config)?),
        })
    }

    /// The database, for a command that is about databases alone.
    pub(crate) fn postgres(&self) -> anyhow::Result<&PostgresConfig> {
        match self {
            Self::Postgres(config) => Ok(config),
            Self::Memory | Self::Sqlite(_) => {
                bail!(
                    "this is for `postgres://...`: a store in SQLite is migrated when it is opened, and each copy of it has a history of its own"
                )
            }
        }
    }
}
