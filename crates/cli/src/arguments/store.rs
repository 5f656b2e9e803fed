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
