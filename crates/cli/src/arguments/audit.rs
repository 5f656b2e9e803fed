//! The arguments of `remit audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use model::ObjectRef;

use super::Connection;

/// What was done, by whom, and why: searched, taken out, verified, proven.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Search the audit log of a server.
    Search(AuditSearch),
    /// Write the whole audit log to a file that verifies by itself.
    Export(AuditExport),
    /// Verify an audit log: of a file, of a store, or of a server. Exits with 1 if it was tampered with.
    Verify(AuditVerify),
    /// Write a proof of one entry for somebody who has nothing but the public key, or check one.
    Prove(AuditProve),
    /// Erase somebody from the audit log. Says what would go unless `--yes` is given.
    Erase(AuditErase),
    /// Print a new audit key, or the public lines of a file of keys.
    Key(AuditKey),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit audit search --object document:handbook
  remit audit search --actor remit/user:ann --from 2027-01-01T00:00:00Z --kind administration
  remit audit search --object remit/system:main --relation administrator --json")]
pub(crate) struct AuditSearch {
    /// Only what this caller did, by the name on record.
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only what names this object.
    #[arg(long, value_name = "TYPE:ID")]
    pub(crate) object: Option<ObjectRef>,
    /// Only changes of relationships of this relation.
    #[arg(long, value_name = "NAME")]
    pub(crate) relation: Option<String>,
    /// Only this kind of act: `relationships`, `schema`, `administration`, `housekeeping` or `erasure`.
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Only what holds this text as its reason, or in what the caller said besides.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Only from this instant on.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<jiff::Timestamp>,
    /// Only before this instant.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<jiff::Timestamp>,
    /// Only from this revision on.
    #[arg(long, value_name = "REVISION", default_value_t = 0)]
    pub(crate) first_revision: u64,
    /// Only up to this revision.
    #[arg(long, value_name = "REVISION", default_value_t = 0)]
    pub(crate) last_revision: u64,
    /// The oldest first.
    #[arg(long)]
    pub(crate) oldest_first: bool,
    /// How many entries at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  remit audit export audit.jsonl && remit audit verify audit.jsonl --key audit.pub")]
pub(crate) struct AuditExport {
    /// The file, one line of JSON an entry.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit audit verify audit.jsonl --key audit.pub
  remit audit verify --store sqlite:/var/lib/remit/remit.db --key audit.pub --checkpoint kept.note
  remit audit verify --endpoint 10.0.0.1:50051 --tls-ca ca.pem --key audit.pub

A store is verified together with its log of commits, as far as that is kept. Give the public lines of every key that ever signed, and a
checkpoint that was kept elsewhere: without the one no signature is verified, and without the other a log that was cut off cannot be told.")]
pub(crate) struct AuditVerify {
    /// An export; without one a store or a server is asked.
    #[arg(conflicts_with = "store")]
    pub(crate) file: Option<PathBuf>,
    /// The store, which may be in use.
    #[arg(
        long,
        env = "REMIT_STORE",
        hide_env_values = true,
        value_name = "STORE"
    )]
    pub(crate) store: Option<String>,
    /// A file of audit keys, public or not. Repeat for several.
    #[arg(long, env = "REMIT_AUDIT_PUBLIC_KEY_FILE", value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    /// A checkpoint that was kept elsewhere, or a proof. Repeat for several.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit audit prove 812 > entry.proof
  remit audit prove --revision 900 > entry.proof
  remit audit prove --check entry.proof --key audit.pub")]
pub(crate) struct AuditProve {
    /// The index of the entry.
    #[arg(required_unless_present_any = ["revision", "check"], conflicts_with_all = ["revision", "check"])]
    pub(crate) index: Option<u64>,
    /// The entry of this revision.
    #[arg(long, conflicts_with = "check")]
    pub(crate) revision: Option<u64>,
    /// Check this proof, with no server.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) check: Option<PathBuf>,
    /// A file of audit keys, public or not, for `--check`. Repeat for several.
    #[arg(long, env = "REMIT_AUDIT_PUBLIC_KEY_FILE", value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit audit erase --subject user:ann --reason TICKET-7          says what would go
  remit audit erase --subject user:ann --text 'Ann Lee' --reason TICKET-7 --yes

What names it still, such as a relationship, has to be deleted first. The log of commits keeps it until it is trimmed
(`--log-retained-seconds` of `remit serve`), and backups for as long as they are kept.")]
pub(crate) struct AuditErase {
    /// Whom: `user:ann`.
    #[arg(long, value_name = "TYPE:ID")]
    pub(crate) subject: ObjectRef,
    /// A text that names it as well; every part that holds it goes.
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Why. It stays on record, and may not name it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Do it.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit audit key audit.example.com > audit.key        keep it secret; every node gets it as `--audit-key-file`
  remit audit key --public audit.key > audit.pub       give that to auditors")]
pub(crate) struct AuditKey {
    /// The name of the key, without spaces and `+`.
    #[arg(default_value = "remit-audit", conflicts_with = "public")]
    pub(crate) name: String,
    /// Print the public lines of this file of keys.
    #[arg(long, value_name = "FILE")]
    pub(crate) public: Option<PathBuf>,
}
