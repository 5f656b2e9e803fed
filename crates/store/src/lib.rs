//! Durable truth: one ordered log of commits, and the relationships that it leaves.
//!
//! A [`Store`] makes commits durable in one total order, refuses those whose base has moved, and gives the log and the
//! present rows back. It answers no question about access: a node loads the graph with [`Store::scan`], follows
//! [`Store::log`], and answers from memory.
//!
//! | module | holds |
//! |---|---|
//! | [`store`] | the trait, and what its calls give back |
//! | [`audit`] | the log of every commit that cannot be changed unseen: entries, tree, checkpoints, verifying |
//! | [`commit`] | what goes into a commit, what comes out, and the log's entries |
//! | [`commit::canonical`] | the bytes that the hash of a commit covers, the same in every store |
//! | [`copy`] | moving to another store while the first is in use |
//! | [`digest`] | whether two stores hold the same |
//! | [`error`] | why a call failed |
//! | [`postgres`] | the store in PostgreSQL, which many nodes share |
//! | [`sqlite`] | the store in one SQLite file, or in memory |
//! | [`contract`] | the suite that every store must pass |
//!
//! INVARIANT: what was acknowledged survives the process and the power; what was refused left no trace.

pub mod audit;
pub mod commit;
pub mod contract;
pub mod copy;
pub mod digest;
pub mod error;
mod log;
pub mod postgres;
mod sql;
pub mod sqlite;
pub mod store;

pub use audit::AuditLog;
pub use commit::{
    Base, Change, ChangeRequest, CommitRequest, Committed, IdempotencyKey, IdempotencyKeyError,
    LogEntry, Position, Provenance, Record, RecordChange, RecordKey, RecordKeyError, SchemaChange,
};
pub use copy::{Copied, CopyError, CopyProgress};
pub use digest::Digest;
pub use error::{BackupError, CommitError, LogError, ScanRowError, StoreError, TokenRefused};
pub use postgres::{
    PostgresConfig, PostgresConfigError, PostgresFormat, PostgresOpenError, PostgresReport,
    PostgresStandby, PostgresStore, PostgresTarget,
};
pub use sqlite::{
    OpenError, RestoreError, SqliteSource, SqliteStore, SqliteTarget, Verified, VerifyError,
};
pub use store::{
    BackupProgress, Head, LogQuery, ScanHeader, ScanRow, Store, StoreFuture, StoreIdentity,
    StoredSchema, TokenVerdict, Trimmed,
};
