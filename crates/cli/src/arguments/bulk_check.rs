//! The arguments of `remit bulk-check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Connection, Format, Freshness};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit bulk-check questions.txt
  remit bulk-check questions.jsonl.gz --only denied,conditional --json
  echo 'document:handbook#view@user:ana-ruiz with {\"ip\": \"10.0.0.1\"}' | remit bulk-check -

The file:
  as text, a question a line:  document:handbook#view@user:ana-ruiz with {\"ip\": \"10.0.0.1\"}
  as JSON lines:               {\"resource\": \"document:handbook\", \"permission\": \"view\",
                                \"subject\": \"user:ana-ruiz\", \"context\": {\"ip\": \"10.0.0.1\"}}

Exit codes:
  0  all are allowed
  1  some are denied
  3  none is denied, but some depend on missing context
  4  some failed")]
pub(crate) struct BulkCheck {
    /// The file of questions; a name that ends in `.gz` is decompressed. `-` for the standard input.
    pub(crate) file: PathBuf,
    /// The form, text or JSON lines; by default from the file's name, else text.
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// Questions in one request.
    #[arg(long, default_value_t = 1_000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: u32,
    /// Print only questions with these answers.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ANSWER")]
    pub(crate) only: Vec<Answer>,
    /// Answer a line that is no question with an error, rather than send nothing; also, read as it goes.
    #[arg(long)]
    pub(crate) keep_going: bool,
    #[command(flatten)]
    pub(crate) freshness: Freshness,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Answer {
    /// The subject has the permission.
    Allowed,
    /// It has not.
    Denied,
    /// It depends on missing context.
    Conditional,
    /// It could not be answered.
    Error,
}

impl Answer {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Conditional => "conditional",
            Self::Error => "error",
        }
    }
}
