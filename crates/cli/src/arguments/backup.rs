//! The arguments of `remit backup` and `remit restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  remit backup monday.db --store sqlite:/var/lib/remit/remit.db
  remit backup monday.db --store postgres://remit@db.example.com/remit
  remit backup key backup.key                                     prints what to encrypt to; keep the file elsewhere
  remit backup monday.db.age --encrypt-to backup.recipients
  remit backup verify monday.db.age --identity-file backup.key

The copy is one file, of a history of its own, for `remit restore`. It is read again before it gets its name: its log from the first entry
on, and that it holds what the store did at that revision. An encrypted one is of the format of age (age-encryption.org). While it is made
there is a copy in the clear beside it, FILE.copy, which only its owner can read, and which is removed, by SIGTERM and Ctrl-C too; one that a
crash left behind is removed by the next backup to the same name."
)]
pub(crate) struct Backup {
    #[command(subcommand)]
    pub(crate) command: Option<BackupCommand>,
    /// The file to write; it must not exist.
    #[arg(required = true)]
    pub(crate) file: Option<PathBuf>,
    /// The store to copy, which may be in use: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
    #[arg(
        long,
        env = "REMIT_STORE",
        hide_env_values = true,
        default_value = "sqlite:remit.db",
        value_name = "STORE"
    )]
    pub(crate) store: String,
    /// Do not read the copy again.
    #[arg(long, env = "REMIT_NO_VERIFY")]
    pub(crate) no_verify: bool,
    /// Encrypt to the recipients in this file, one a line, as `remit backup key` prints them.
    #[arg(long, env = "REMIT_ENCRYPT_TO", value_name = "FILE")]
    pub(crate) encrypt_to: Option<PathBuf>,
    /// Encrypt with the passphrase in this file.
    #[arg(
        long,
        env = "REMIT_PASSPHRASE_FILE",
        value_name = "FILE",
        conflicts_with = "encrypt_to"
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Read a backup as a whole, and say what it holds, or what is wrong with it.
    Verify(BackupVerify),
    /// Make a key for backups: the secret goes to a file, what to encrypt to is printed.
    Key {
        /// The file to write; it must not exist. Whoever has it can read the backups.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BackupVerify {
    /// The backup.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) key: Unsealing,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit restore monday.db --store sqlite:/var/lib/remit/remit.db
  remit restore monday.db.age --identity-file backup.key --store postgres://owner@db.example.com/remit

The backup is read as a whole before anything is written. A file must not be there; a database must have been migrated and hold nothing.
What is restored is a history of its own: callers drop their tokens.")]
pub(crate) struct Restore {
    /// The backup.
    pub(crate) file: PathBuf,
    /// Where to: a file that is not there, or a database, as the role that owns it.
    #[arg(
        long,
        env = "REMIT_STORE",
        hide_env_values = true,
        default_value = "sqlite:remit.db",
        value_name = "STORE"
    )]
    pub(crate) store: String,
    #[command(flatten)]
    pub(crate) key: Unsealing,
}

/// What an encrypted backup is opened with.
#[derive(Debug, Clone, Args)]
pub(crate) struct Unsealing {
    /// The secret keys in this file, of which one opens the backup.
    #[arg(long, env = "REMIT_IDENTITY_FILE", value_name = "FILE")]
    pub(crate) identity_file: Option<PathBuf>,
    /// The passphrase in this file.
    #[arg(
        long,
        env = "REMIT_PASSPHRASE_FILE",
        value_name = "FILE",
        conflicts_with = "identity_file"
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
}
