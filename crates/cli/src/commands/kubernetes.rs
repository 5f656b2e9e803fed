//! `remit kubernetes`: its definitions, its manifests, and who may do what in a cluster.

mod import;
mod who_can;

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::Context as _;
use kubernetes::manifest::FILE_BYTES_MAX;

use crate::arguments::KubernetesCommand;
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(command: KubernetesCommand) -> anyhow::Result<Outcome> {
    match command {
        KubernetesCommand::Schema { with } => schema(with.as_deref()),
        KubernetesCommand::Import(arguments) => import::run(arguments).await,
        KubernetesCommand::WhoCan(arguments) => who_can::run(arguments).await,
    }
}

fn schema(company: Option<&Path>) -> anyhow::Result<Outcome> {
    match company {
        None => output::text(kubernetes::schema::TEXT)?,
        Some(file) => {
            let merged = kubernetes::schema::merged(&text_of(file)?);
            let merged = merged.with_context(|| format!("`{}`", file.display()))?;
            output::text(&merged)?;
        }
    }
    Ok(Outcome::Success)
}

/// Reads a text file; `-` is the standard input. One that is too large is read no further than that shows.
fn text_of(file: &Path) -> anyhow::Result<String> {
    let bytes_max = FILE_BYTES_MAX as u64 + 1;
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().take(bytes_max).read_to_string(&mut text)
    } else {
        let opened = fs::File::open(file);
        opened.and_then(|file| file.take(bytes_max).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(text)
}
