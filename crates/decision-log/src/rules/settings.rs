//! What sinks and the buffer are set to.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

/// How much may wait to be made into events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BufferSettings {
    pub(crate) bytes_max: usize,
    pub(crate) events_max: usize,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SinkSettings {
    /// What it is called in metrics.
    pub(crate) name: String,
    /// How much may wait for it.
    pub(crate) queue_bytes_max: usize,
    pub(crate) queue_events_max: usize,
    pub(crate) kind: SinkKind,
}

/// Which kind of sink it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SinkKind {
    /// Lines of JSON in a file.
    File {
        path: PathBuf,
        /// From which size on another is begun.
        rotate_bytes: u64,
        /// How many old ones are kept.
        files_max: u32,
        /// Whether each batch is made durable.
        sync: bool,
    },
    /// `POST` of an array of events.
    Http(HttpSettings),
    /// `POST` of log records as OpenTelemetry has them.
    Otlp(HttpSettings),
}

/// A server that is posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpSettings {
    pub(crate) url: Uri,
    /// Read again for each request.
    pub(crate) bearer_token_file: Option<PathBuf>,
    /// Who vouches for the server; the authorities of the system, if none are named.
    pub(crate) ca_file: Option<PathBuf>,
    /// How long a request may take.
    pub(crate) timeout: Duration,
    /// How much is sent at once, and after how long less is.
    pub(crate) batch_bytes_max: usize,
    pub(crate) batch_events_max: usize,
    pub(crate) flush: Duration,
}
