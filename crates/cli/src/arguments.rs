//! The command line: every flag is also an environment variable `REMIT_*` and a key of the configuration file.

mod access;
mod audit;
mod audit_signing;
mod backup;
mod bulk_check;
mod config;
mod decision_log;
mod doctor;
mod edge;
mod kubernetes;
mod lookup;
mod node;
mod overload;
mod replay;
mod serve;
mod store;
mod token;
mod traces;

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use model::{ObjectRef, Relationship, SubjectRef};

pub(crate) use self::audit_signing::AuditSigning;
pub(crate) use self::edge::{EdgeCheck, EdgeCommand, EdgeTest};
pub(crate) use access::{
    AccessCommand, Explain as AccessExplain, Grant, KeyCommand, List as AccessList, On, Revoke,
};
pub(crate) use audit::{
    AuditCommand, AuditErase, AuditExport, AuditKey, AuditProve, AuditSearch, AuditVerify,
};
pub(crate) use backup::{Backup, BackupCommand, BackupVerify, Restore, Unsealing};
pub(crate) use bulk_check::{Answer, BulkCheck};
pub(crate) use config::{ConfigCheck, ConfigCommand, ConfigReference, ConfigShow};
pub(crate) use doctor::Doctor;
pub(crate) use kubernetes::{KubernetesCommand, KubernetesImport, WhoCan};
pub(crate) use lookup::{Lookup, LookupOptions, LookupResources, LookupSubjects};
pub(crate) use node::{NodeCommand, NodeDigest};
pub(crate) use overload::Overload;
pub(crate) use replay::Replay;
pub(crate) use serve::{LogFormat, OptionalAddr, Serve};
pub(crate) use store::{Copy, Migrate, RenewHistory, Status, StoreCommand};
pub(crate) use token::{Left, TokenCommand, TokenMint, TokenNarrow, TokenShow};

/// The parser, to which the configuration file adds its defaults.
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}

/// Remit decides who may do what, and keeps everybody within their remit.
#[derive(Debug, Parser)]
#[command(name = "remit", version, propagate_version = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A configuration file (TOML) with the names of the flags as keys; `remit.toml` is read if it is there.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "Examples:
  remit serve --demo --insecure-no-auth
  remit --help schema
  remit check document:handbook view user:ana-ruiz --insecure
  remit explain document:handbook view user:ana-ruiz --insecure
  remit watch --insecure

Exit codes:
  0  done, or allowed
  1  denied, or a validation found something
  2  wrong usage
  3  the decision depends on missing context
  4  failed";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(Box<Serve>),
    /// Ask whether a subject has a permission on a resource.
    Check(Check),
    /// Check what a node depends on, and say what to do.
    Doctor(Box<Doctor>),
    /// Ask many questions of a file.
    BulkCheck(BulkCheck),
    /// Say why a subject has a permission or not.
    Explain(Question),
    /// Decide once more what a decision log says was decided, and tell what is different.
    Replay(Replay),
    /// List what a subject may access, or who may access a resource.
    #[command(subcommand)]
    Lookup(Lookup),
    /// Show who has a permission, as the schema writes it.
    Expand(Expand),
    /// Read, write, validate, format and compare schemas.
    #[command(subcommand)]
    Schema(Schema),
    /// Write, read and delete relationships.
    #[command(subcommand)]
    Relationship(RelationshipCommand),
    /// Print changes as they happen.
    Watch(Watch),
    /// Load relationships from files.
    Import(Import),
    /// Write all relationships, or some, to a file.
    Export(Export),
    /// Run validation files offline: no server needed.
    Validate(Validate),
    /// Check the rules for proxies, and test them offline.
    #[command(subcommand)]
    Edge(EdgeCommand),
    /// Say what callers may do with Remit itself: roles, locks, keys.
    #[command(subcommand)]
    Access(AccessCommand),
    /// Search, export, verify and prove what was done; erase somebody from it.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Answer for Kubernetes: its definitions, its RBAC manifests, who may do what.
    #[command(subcommand)]
    Kubernetes(KubernetesCommand),
    /// Ask one node about itself.
    #[command(subcommand)]
    Node(NodeCommand),
    /// Mint tokens that are good for less, narrow them, and see what they say.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Copy a store to a file while it is in use, encrypted if that is asked for, and verify copies.
    Backup(Backup),
    /// Make a store from a backup.
    Restore(Restore),
    /// Migrate a database, and see what a store is.
    #[command(subcommand)]
    Store(StoreCommand),
    /// See what a server would be set to, and what is wrong with that.
    #[command(subcommand)]
    Config(Box<ConfigCommand>),
    /// Print a completion script for a shell.
    Completions(Completions),
}

/// How to reach the server.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connection {
    /// Host and port of the server.
    #[arg(
        long,
        env = "REMIT_ENDPOINT",
        default_value = "127.0.0.1:50051",
        value_name = "HOST:PORT"
    )]
    pub(crate) endpoint: String,
    /// The preshared key, or a token. Better given by environment or configuration file than typed.
    #[arg(long, env = "REMIT_TOKEN", hide_env_values = true, value_name = "KEY")]
    pub(crate) token: Option<String>,
    /// Connect without TLS.
    #[arg(long, env = "REMIT_INSECURE")]
    pub(crate) insecure: bool,
    /// Trust the authorities in this file (PEM).
    #[arg(
        long,
        env = "REMIT_TLS_CA",
        value_name = "FILE",
        conflicts_with = "insecure"
    )]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}

/// How fresh an answer has to be.
#[derive(Debug, Clone, Args)]
pub(crate) struct Freshness {
    /// `minimize-latency`, `fully-consistent`, `at-least:TOKEN` or `exactly:TOKEN`.
    #[arg(long, env = "REMIT_CONSISTENCY", default_value = "minimize-latency", value_parser = crate::client::consistency)]
    pub(crate) consistency: remit_client::proto::authzed::api::v1::Consistency,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) question: Question,
    /// Say why, below the answer.
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit check document:handbook view user:ana-ruiz
  remit check document:handbook view user:ana-ruiz --context '{\"ip\": \"10.0.0.1\"}' --json")]
pub(crate) struct Question {
    /// What is to be accessed: `document:handbook`.
    pub(crate) resource: ObjectRef,
    /// The permission or relation: `view`.
    pub(crate) permission: String,
    /// Who is to access it: `user:ana-ruiz` or `team:platform#member`.
    pub(crate) subject: SubjectRef,
    /// Values for the parameters of caveats, as a JSON object.
    #[arg(long, value_name = "JSON")]
    pub(crate) context: Option<String>,
    #[command(flatten)]
    pub(crate) freshness: Freshness,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  remit expand document:handbook#view")]
pub(crate) struct Expand {
    /// The permission or relation of an object: `document:handbook#view`.
    #[arg(value_name = "RESOURCE#PERMISSION", value_parser = resource_and_permission)]
    pub(crate) permission: (ObjectRef, String),
    #[command(flatten)]
    pub(crate) freshness: Freshness,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

fn resource_and_permission(text: &str) -> Result<(ObjectRef, String), String> {
    let (resource, permission) = text
        .split_once('#')
        .ok_or("expected `RESOURCE#PERMISSION`, such as `document:handbook#view`")?;
    let resource = resource.parse().map_err(|error| format!("{error}"))?;
    Ok((resource, permission.to_owned()))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Print the server's schema.
    Read {
        #[command(flatten)]
        connection: Connection,
    },
    /// Replace the server's schema with that of a file (`-` for the standard input).
    #[command(after_help = "Example:
  remit schema write schema.zed --dry-run    what would change, and what would forbid it (then it exits with 1)")]
    Write {
        /// The schema file.
        file: PathBuf,
        /// Change nothing; say what would change, and which relationships would forbid it.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show the server's definitions and caveats: relations with their types, permissions, comments.
    #[command(visible_alias = "reflect")]
    Show {
        /// Only definitions whose names begin with this.
        #[arg(long, value_name = "PREFIX")]
        definition: Option<String>,
        #[command(flatten)]
        freshness: Freshness,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the permissions and relations that hold whoever a relation or permission holds.
    #[command(
        visible_alias = "computable",
        after_help = "Examples:
  remit schema used-by document#viewer    what a viewer of a document can get from that
  remit schema used-by user               what users can get at all"
    )]
    UsedBy {
        /// A relation or permission, `document#viewer`; or a definition, for its objects.
        #[arg(value_name = "TYPE[#NAME]")]
        of: String,
        #[command(flatten)]
        freshness: Freshness,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the relations and permissions that a permission rests on.
    #[command(
        visible_alias = "dependent",
        after_help = "Example:
  remit schema rests-on document#view"
    )]
    RestsOn {
        /// The permission, `document#view`.
        #[arg(value_name = "TYPE#PERMISSION")]
        of: String,
        #[command(flatten)]
        freshness: Freshness,
        #[command(flatten)]
        connection: Connection,
    },
    /// Check schema files without a server, and tell every fault; exits with 1 if there is one.
    Validate {
        /// The schema files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print a schema file in the one form, or rewrite it.
    Format {
        /// The schema file.
        file: PathBuf,
        /// Rewrite the file.
        #[arg(long, conflicts_with = "check")]
        write: bool,
        /// Print nothing; exit with 1 if the file is not in form.
        #[arg(long)]
        check: bool,
    },
    /// Say what changes in meaning from one schema to another; the server's stands in for an absent one.
    Diff {
        /// The new schema file, or the old one if two are given.
        first: PathBuf,
        /// The new schema file.
        second: Option<PathBuf>,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RelationshipCommand {
    /// Write relationships: add them, or replace their caveat and expiration.
    #[command(after_help = "Example:
  remit relationship write 'document:handbook#viewer@user:ana-ruiz[expiration:2027-01-31T00:00:00Z]'")]
    Write {
        /// The relationships.
        #[arg(required = true)]
        relationships: Vec<Relationship>,
        /// Fail if one is there already.
        #[arg(long)]
        create: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Print the relationships that match.
    Read {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        freshness: Freshness,
        #[command(flatten)]
        connection: Connection,
    },
    /// Delete relationships, either those named or all that match.
    Delete {
        /// The relationships.
        relationships: Vec<Relationship>,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Which relationships are meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct Filter {
    /// Only resources of this definition.
    #[arg(long, value_name = "NAME")]
    pub(crate) resource_type: Option<String>,
    /// Only this resource id.
    #[arg(long, value_name = "ID")]
    pub(crate) resource_id: Option<String>,
    /// Only resource ids that begin so.
    #[arg(long, value_name = "TEXT", conflicts_with = "resource_id")]
    pub(crate) resource_id_prefix: Option<String>,
    /// Only this relation.
    #[arg(long, value_name = "NAME")]
    pub(crate) relation: Option<String>,
    /// Only subjects of this definition.
    #[arg(long, value_name = "NAME")]
    pub(crate) subject_type: Option<String>,
    /// Only this subject id; `*` for wildcards.
    #[arg(long, value_name = "ID", requires = "subject_type")]
    pub(crate) subject_id: Option<String>,
    /// Only subject sets of this relation; empty for objects themselves.
    #[arg(long, value_name = "NAME", requires = "subject_type")]
    pub(crate) subject_relation: Option<String>,
}

/// The form of a file of relationships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// `document:handbook#viewer@user:ana-ruiz`, one a line.
    Text,
    /// Comma-separated values with a heading.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit import relationships.txt
  remit import relationships.csv.gz --checkpoint import.checkpoint
  remit import examples/authzen/certification.yaml    (a validation file, with its schema, into an empty server)")]
pub(crate) struct Import {
    /// The file; a name that ends in `.gz` is decompressed. `-` for the standard input. One that ends in `.yaml` is a validation
    /// file, whose schema is written as well, where there is none.
    pub(crate) file: PathBuf,
    /// The form; by default from the file's name, else text.
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// Relationships in one commit.
    #[arg(long, env = "REMIT_BATCH", default_value_t = 25_000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) batch: u32,
    /// Replace relationships that are there already, rather than fail.
    #[arg(long)]
    pub(crate) touch: bool,
    /// Note progress in this file, and go on from it after a cut.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file; a name that ends in `.gz` is compressed. `-` for the standard output.
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
    /// The form; by default from the file's name, else text.
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// Note progress in this file, and go on from it after a cut.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    #[command(flatten)]
    pub(crate) freshness: Freshness,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Print changes as they happen, until interrupted; goes on by itself after the server was away.
///
/// Each line ends with the token to go on from. The lines of one very large commit may come a second time after an
/// interruption, since it is told again as a whole.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit watch --insecure
  remit watch --object-type document --object-type folder
  remit watch --filter 'document:handbook#viewer' --filter '@user:ana-ruiz'
  remit watch --from oldest --schema --json
  remit watch --from \"$(cat token)\" --checkpoints")]
pub(crate) struct Watch {
    /// Only resources of this definition. Repeat for several.
    #[arg(long, value_name = "NAME")]
    pub(crate) object_type: Vec<String>,
    /// Only relationships that match, as `type:id#relation@type:id#relation` with parts left out. Repeat for several.
    #[arg(long, value_name = "PATTERN", conflicts_with = "object_type", value_parser = crate::commands::watch::filter)]
    pub(crate) filter: Vec<remit_client::proto::authzed::api::v1::RelationshipFilter>,
    /// `now`, `oldest` for all that the server still has, or the token to go on from.
    #[arg(long, default_value = "now", value_name = "TOKEN")]
    pub(crate) from: String,
    /// Tell of changes of the schema.
    #[arg(long)]
    pub(crate) schema: bool,
    /// Tell of the newest revision after each change and every second.
    #[arg(long)]
    pub(crate) checkpoints: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// The validation files.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}
