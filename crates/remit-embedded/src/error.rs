//! Why an engine could not be started, in terms that say what to do.

use std::path::PathBuf;

/// Why an engine with a store of its own could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store cannot be opened; the cause names the file.
    #[error("the store cannot be opened")]
    Store(#[from] store::OpenError),
    /// The store was opened and cannot be loaded.
    #[error("{0}")]
    Load(#[source] ops::Error),
    /// The task that opens the store failed.
    #[error("the task that opens the store failed")]
    Task,
}

/// Why a replica could not be started.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The endpoint is no host and port.
    #[error("`{endpoint}` is not a host and port such as `127.0.0.1:50051`")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// The key has characters that cannot be sent.
    #[error("the key has characters that a header cannot carry")]
    Key,
    /// The certificates that are to be trusted cannot be used.
    #[error("the certificates that are to be trusted cannot be used")]
    Tls(#[source] tonic::transport::Error),
    /// The server refuses to be replicated by this caller.
    #[error("`{endpoint}` refuses to be replicated: {message}")]
    Refused {
        /// The server.
        endpoint: String,
        /// What it says.
        message: String,
    },
    /// The server could not be asked, and there was no cache to begin with.
    #[error("`{endpoint}` could not be replicated within {seconds} s: {message}")]
    Unreachable {
        /// The server.
        endpoint: String,
        /// How long it was tried.
        seconds: u64,
        /// The last thing that went wrong.
        message: String,
    },
    /// The cache is that of another replica that runs.
    #[error("the cache `{path}` is in use by another replica; give each its own")]
    CacheInUse {
        /// The file.
        path: PathBuf,
    },
    /// The cache cannot be read or written.
    #[error("the cache `{path}` cannot be used")]
    Cache {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// What the server holds cannot be loaded by this version.
    #[error("{0}")]
    Load(#[source] ops::Error),
}
