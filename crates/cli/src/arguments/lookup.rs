//! The arguments of `remit lookup`.

use clap::{Args, Subcommand};
use model::{ObjectRef, SubjectRef};

use super::{Connection, Freshness};

#[derive(Debug, Subcommand)]
pub(crate) enum Lookup {
    /// List the resources on which a subject has a permission.
    Resources(LookupResources),
    /// List the subjects that have a permission on a resource.
    Subjects(LookupSubjects),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit lookup resources document view user:ana-ruiz
  remit lookup resources document view user:ana-ruiz --context '{\"ip\": \"10.0.0.1\"}' --json
  remit lookup resources document view user:ana-ruiz --limit 100               tells the cursor to go on from
  remit lookup resources document view user:ana-ruiz --limit 100 --cursor CURSOR
  remit lookup resources document view user:ana-ruiz --limit 3 --explain")]
pub(crate) struct LookupResources {
    /// The definition of the resources: `document`.
    #[arg(value_name = "TYPE")]
    pub(crate) definition: String,
    /// The permission or relation: `view`.
    pub(crate) permission: String,
    /// Who is to access them: `user:ana-ruiz` or `team:platform#member`.
    pub(crate) subject: SubjectRef,
    #[command(flatten)]
    pub(crate) options: LookupOptions,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit lookup subjects document:handbook view user
  remit lookup subjects document:handbook view team#member
  remit lookup subjects document:handbook view user --without-everybody --limit 100 --all")]
pub(crate) struct LookupSubjects {
    /// What is to be accessed: `document:handbook`.
    pub(crate) resource: ObjectRef,
    /// The permission or relation: `view`.
    pub(crate) permission: String,
    /// The definition of the subjects, `user`; or of the objects of subject sets, `team#member`.
    #[arg(value_name = "TYPE[#RELATION]", value_parser = subject_type)]
    pub(crate) subjects: (String, Option<String>),
    /// Leave out the line that tells of everybody, where a wildcard grants.
    #[arg(long)]
    pub(crate) without_everybody: bool,
    #[command(flatten)]
    pub(crate) options: LookupOptions,
}

/// How much of a look-up to print, and in what circumstances it is asked.
#[derive(Debug, Args)]
pub(crate) struct LookupOptions {
    /// Values for the parameters of caveats, as a JSON object.
    #[arg(long, value_name = "JSON")]
    pub(crate) context: Option<String>,
    /// Print so many, and the cursor to go on from; without it everything is printed as it comes.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Go on from this cursor, which the same look-up with the same limit has told.
    #[arg(long, value_name = "CURSOR", requires = "limit")]
    pub(crate) cursor: Option<String>,
    /// Go on by itself, page after page of the limit.
    #[arg(long, requires = "limit")]
    pub(crate) all: bool,
    /// Say why, below each of the first 20.
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) freshness: Freshness,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

impl Lookup {
    pub(crate) fn options(&self) -> &LookupOptions {
        match self {
            Self::Resources(asked) => &asked.options,
            Self::Subjects(asked) => &asked.options,
        }
    }
}

fn subject_type(text: &str) -> Result<(String, Option<String>), String> {
    match text.split_once('#') {
        None => Ok((text.to_owned(), None)),
        Some((_, "")) => Err("nothing follows `#`".to_owned()),
        Some((definition, relation)) => Ok((definition.to_owned(), Some(relation.to_owned()))),
    }
}
