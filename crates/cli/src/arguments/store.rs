//! The arguments of `remit store`.

use clap::{Args, Subcommand};

use crate::place::Place;

/// What is done to a store itself, with no server.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Bring a database of PostgreSQL to the form that this version serves.
    Migrate(Migrate),
    /// Show what a store is, how far it is, and whether this version can serve it.
    Status(Status),
    /// Move to another store, while the first is in use.
    Copy(Copy),
    /// Digest all relationships of a store, to compare it with another, or with a node.
    Digest(Status),
    /// Give a database that was restored from a backup a history of its own.
    RenewHistory(RenewHistory),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  createdb remit
  remit store migrate --store postgres://owner@localhost/remit --serving-role remit
  remit serve --store postgres://remit@localhost/remit

The role that migrates owns the tables. The one that serves gets the right to read and to commit, and no more.")]
pub(crate) struct Migrate {
    #[command(flatten)]
    pub(crate) store: StorePlace,
    /// A role of the database that is to serve.
    #[arg(long, env = "REMIT_SERVING_ROLE", value_name = "ROLE")]
    pub(crate) serving_role: Option<String>,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) store: StorePlace,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit store renew-history --store postgres://owner@localhost/remit_restored

For a database that was restored and whose original may still be in use, or went on after the backup: tokens, cursors and
positions of watches from before are refused by it afterwards, rather than taken for its own. Stop the nodes on it first. A copy
that `remit backup` or `remit store copy` made has a history of its own already.")]
pub(crate) struct RenewHistory {
    #[command(flatten)]
    pub(crate) store: StorePlace,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit store migrate --store postgres://owner@localhost/remit --serving-role remit
  remit store copy --from sqlite:remit.db --to postgres://owner@localhost/remit --follow

The copy has everything but idempotency keys: relationships, records, schemas, the log as far as it is kept. It is the same store
in a history of its own, so tokens of the original are not good for it.

With --follow it takes along what is written meanwhile. When it has caught up, stop the servers of the original, interrupt
this command (Ctrl-C), which then takes along the rest and finishes, and start servers on the copy.")]
pub(crate) struct Copy {
    /// The store to copy: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`. It may be in use.
    #[arg(long, value_name = "STORE")]
    pub(crate) from: String,
    /// Where to: a file that is not there, or a database that was migrated and holds nothing, as the role that owns it.
    #[arg(long, value_name = "STORE")]
    pub(crate) to: String,
    /// Go on with what is written meanwhile, until interrupted.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct StorePlace {
    /// The store: `postgres://USER@HOST/DATABASE` or `sqlite:PATH`.
    #[arg(
        long = "store",
        env = "REMIT_STORE",
        hide_env_values = true,
        value_name = "STORE",
        default_value = "sqlite:remit.db"
    )]
    place: String,
}

impl StorePlace {
    /// Where it is. Read here, and not by the parser of arguments, whose errors repeat what was given: it may hold a password.
    pub(crate) fn place(&self) -> anyhow::Result<Place> {
        self.place.parse()
    }
}
