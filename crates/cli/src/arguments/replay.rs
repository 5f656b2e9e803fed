//! The arguments of `remit replay`.

use std::path::PathBuf;

use clap::Args;

use super::Connection;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit replay decisions.jsonl
  remit replay decisions.jsonl.gz --against-current     what is decided otherwise by now
  jq -c 'select(.result.decision == \"denied\")' decisions.jsonl | remit replay - --json

A decision can be replayed while its revision is retained (`--snapshots-retained-seconds` of the server) and if
nothing that it rests on was masked. It takes the rights of `remit explain`.

Exit codes:
  0  every decision that was replayed is the same
  1  some are different
  3  none could be replayed
  4  it failed")]
pub(crate) struct Replay {
    /// A file of events, as lines of JSON or as arrays; one that is compressed is decompressed. `-` for the standard input.
    pub(crate) file: PathBuf,
    /// Ask what would be decided now, with the newest schema and relationships, rather than on the snapshot of the decision.
    #[arg(long)]
    pub(crate) against_current: bool,
    /// Decisions that are replayed at the same time.
    #[arg(long, default_value_t = 16, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) in_flight: u16,
    /// Print every decision, not only those that are different.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}
