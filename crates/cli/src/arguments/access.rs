//! The arguments of `remit access`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use jiff::SignedDuration;
use model::{ObjectRef, SubjectRef};
use ops::access::{ADMINISTRATOR, Action};

use super::{Connection, Freshness};

/// What callers may do with Remit itself.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessCommand {
    /// Give a caller a role.
    Grant(Grant),
    /// Take a role from a caller.
    Revoke(Revoke),
    /// List who has which role.
    List(List),
    /// Say why a caller may do something, or not.
    Explain(Box<Explain>),
    /// Lock a subject: it has nothing and may not call, until it is unlocked.
    Lock(Lock),
    /// Unlock a subject.
    Unlock {
        /// Who is locked.
        subject: ObjectRef,
        #[command(flatten)]
        connection: Connection,
    },
    /// List who is locked, and why.
    Locks {
        #[command(flatten)]
        freshness: Freshness,
        #[command(flatten)]
        connection: Connection,
    },
    /// Make, revoke and list preshared keys that are on record.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print the definitions that are built in: who can hold what, on what.
    Schema,
}

/// Preshared keys that are on record.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key for a name, and print it, this once. A key of that name is replaced.
    Create(KeyName),
    /// Revoke the key of a name.
    Revoke(KeyName),
    /// List the names.
    List(Connection),
}

#[derive(Debug, Args)]
pub(crate) struct KeyName {
    /// The name: calls with the key are those of `remit/key:NAME`.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

const ROLES: &str = "Roles: administrator, checker, finder, reader, writer, importer, watcher, schema_reader, schema_writer, granter,
locker, operator, delegate, replicator; of a group: member, manager. `remit access schema` says what each allows.
Callers: remit/key:NAME, remit/user:ID, remit/workload:ID, remit/group:ID (its members).";

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  remit access grant remit/key:billing checker --definition invoice
  remit access grant remit/user:ann=40example=2Ecom reader --definition document --for 8h --reason 'ticket 4711'
  remit access grant remit/group:platform administrator --system
  remit access grant remit/key:billing member --group finance

{ROLES}"))]
pub(crate) struct Grant {
    #[command(flatten)]
    pub(crate) right: Right,
    /// For how long, such as `8h` or `30d`; without it until it is revoked.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) duration: Option<SignedDuration>,
    /// Why; kept with the commit.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(crate) right: Right,
    /// Why; kept with the commit.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// A role of a caller on something.
#[derive(Debug, Args)]
pub(crate) struct Right {
    /// Who: `remit/key:billing`, `remit/group:platform`.
    #[arg(value_parser = caller)]
    pub(crate) subject: SubjectRef,
    /// The role.
    #[arg(value_parser = PossibleValuesParser::new(roles()))]
    pub(crate) role: String,
    #[command(flatten)]
    pub(crate) on: On,
}

/// What a role is held on.
#[derive(Debug, Args)]
pub(crate) struct On {
    #[command(flatten)]
    pub(crate) one: One,
    /// One relation or permission of the definition.
    #[arg(long, value_name = "NAME", requires = "definition")]
    pub(crate) member: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct One {
    /// All of Remit.
    #[arg(long)]
    pub(crate) system: bool,
    /// The relationships of a definition.
    #[arg(long, value_name = "NAME")]
    pub(crate) definition: Option<String>,
    /// A caller, for the role `delegate`.
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// A group of callers, for the roles `member` and `manager`.
    #[arg(long, value_name = "ID")]
    pub(crate) group: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only of this caller.
    #[arg(long, value_name = "CALLER", value_parser = caller)]
    pub(crate) subject: Option<SubjectRef>,
    #[command(flatten)]
    pub(crate) freshness: Freshness,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  remit access explain remit/key:billing check --definition invoice")]
pub(crate) struct Explain {
    /// Who.
    #[arg(value_parser = caller)]
    pub(crate) subject: SubjectRef,
    /// What: an action such as `check` or `write`.
    #[arg(value_parser = PossibleValuesParser::new(Action::ALL.map(Action::permission)))]
    pub(crate) action: String,
    #[command(flatten)]
    pub(crate) on: On,
    #[command(flatten)]
    pub(crate) freshness: Freshness,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit access lock user:ann --reason 'lost a laptop'
  remit access lock remit/key:billing --reason 'the key leaked'")]
pub(crate) struct Lock {
    /// Whom: a subject of the schema, or a caller.
    pub(crate) subject: ObjectRef,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

fn roles() -> Vec<&'static str> {
    let mut roles = vec![ADMINISTRATOR, "member", "manager"];
    roles.extend(Action::ALL.map(Action::role));
    roles
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let days = text
        .strip_suffix('d')
        .and_then(|days| days.parse::<i64>().ok());
    let parsed = match days.and_then(|days| days.checked_mul(24)) {
        Some(hours) => {
            SignedDuration::try_from_hours(hours).ok_or_else(|| "too long".to_owned())?
        }
        None => text
            .parse()
            .map_err(|error: jiff::Error| error.to_string())?,
    };
    if parsed.is_positive() {
        Ok(parsed)
    } else {
        Err("not a time in the future".to_owned())
    }
}

/// A caller; a group stands for its members.
fn caller(text: &str) -> Result<SubjectRef, String> {
    let text = if text.starts_with("remit/group:") && !text.contains('#') {
        format!("{text}#member")
    } else {
        text.to_owned()
    };
    if !text.starts_with("remit/") {
        return Err("a caller is `remit/key:NAME`, `remit/user:ID`, `remit/workload:ID` or `remit/group:ID`".to_owned());
    }
    text.parse()
        .map_err(|error: model::TextError| error.to_string())
}
