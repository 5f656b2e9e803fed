//! The arguments of `remit token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use identity::TokenKeys;
use model::DefinitionName;
use ops::access::Action;

use super::Connection;

/// Tokens that are good for less than what they are minted with.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Mint a token with the credential of the call, and print it.
    Mint(TokenMint),
    /// Narrow a token that was minted, and print the narrower one. No server is asked.
    Narrow(TokenNarrow),
    /// Show what a token says. Whether it is good, only the server can tell.
    Show(TokenShow),
    /// Print a line with a fresh key for the file of `remit serve --token-key-file`.
    Key(TokenKey),
}

/// What is left of what the caller may do.
#[derive(Debug, Clone, Args)]
pub(crate) struct Left {
    /// Only this action, such as `check`. Repeat for several; without it all are left.
    #[arg(long, value_name = "ACTION", value_parser = action)]
    pub(crate) action: Vec<Action>,
    /// Only on this definition. Repeat for several; without it all are left, and what is of none.
    #[arg(long, value_name = "NAME")]
    pub(crate) definition: Vec<DefinitionName>,
    /// Only for this long: `90s`, `30m` or `12h`, at most 24 hours.
    #[arg(long, value_name = "TIME", value_parser = life)]
    pub(crate) life: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit token mint --action check --definition document --life 10m
  REMIT_TOKEN=$(remit token mint --action read) remit export rows.txt

The token ends with the credential that it is minted with, if not before; without `--life` it lives for an hour.")]
pub(crate) struct TokenMint {
    #[command(flatten)]
    pub(crate) left: Left,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  remit token mint --life 8h > token
  remit token narrow token --action check --definition document --life 5m

The token that is narrowed stays as it is, and both have one id.")]
pub(crate) struct TokenNarrow {
    /// The file with the token; `-` for the standard input.
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) left: Left,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TokenShow {
    /// The file with the token; `-` for the standard input.
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  remit token key --name 2027-01 >> token-keys

The first line of the file mints, all verify: to replace a key, put the new one first, and remove the old one a day later.")]
pub(crate) struct TokenKey {
    /// The name of the key, which tokens tell.
    #[arg(long, default_value = "key-1", value_name = "NAME", value_parser = key_name)]
    pub(crate) name: String,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}

fn action(text: &str) -> Result<Action, String> {
    Action::of_permission(text).ok_or_else(|| {
        let all = Action::ALL.map(Action::permission).join("`, `");
        format!("there are `{all}`")
    })
}

fn life(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number and `s`, `m` or `h`, such as `30m`".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number = text.strip_suffix(unit).ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err(wrong()),
    };
    let life = Duration::from_secs(u64::from(number) * seconds);
    if life.is_zero() || life > identity::MINTED_LIFE_MAX {
        return Err("a token lives for 1 second to 24 hours".to_owned());
    }
    Ok(life)
}

fn key_name(text: &str) -> Result<String, String> {
    if TokenKeys::is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 letters, digits, `_`, `.` or `-`".to_owned())
    }
}
