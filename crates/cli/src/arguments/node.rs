//! The arguments of `remit node`.

use clap::{Args, Subcommand};

use super::{Connection, Freshness};

/// What one node says of itself.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Ask whether the node answers: exit code 0 if so, 1 if it says that it does not. No key is needed.
    Health(Connection),
    /// Digest all relationships that the node has, to compare them with those of another node or of its store.
    Digest(NodeDigest),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit node digest --endpoint 10.0.0.1:50051
  remit node digest --endpoint 10.0.0.2:50051 --consistency exactly:TOKEN    (with the token that the first one told)

Two nodes, or a node and its store (`remit store digest`), that tell different digests of the same revision are not both
right. A node compares itself with its store once a day (`--compare-hours` of `remit serve`).")]
pub(crate) struct NodeDigest {
    #[command(flatten)]
    pub(crate) freshness: Freshness,
    #[command(flatten)]
    pub(crate) connection: Connection,
}
