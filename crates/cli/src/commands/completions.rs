//! `remit completions`: a completion script for a shell.

use crate::arguments::{self, Completions};
use crate::exit::Outcome;
use crate::output;

pub(crate) fn run(completions: &Completions) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(
        completions.shell,
        &mut arguments::command(),
        "remit",
        &mut script,
    );
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Success)
}
