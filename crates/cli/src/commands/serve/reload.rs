//! The configuration file, read again while a server runs: what can change does, what cannot is told, and a faulty file changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::{ArgMatches, Command as Parser, FromArgMatches as _};
use ops::Node;
use tracing_subscriber::EnvFilter;

use super::log::SetLog;
use crate::arguments::{self, Arguments, Command, Serve};
use crate::configuration::ConfigurationFile;

/// What takes effect while a server runs. Whatever else changes takes a restart.
pub(crate) const APPLIED: [&str; 9] = [
    "log",
    "staleness-seconds-max",
    "depth-max",
    "edges-visited-max",
    "look-up-edges-visited-max",
    "updates-max",
    "bulk-check-items-max",
    "import-relationships-max",
    "answer-bytes-max",
];

/// What a server is set to, as the file and all else that it was started with say.
pub(super) struct Configured {
    path: PathBuf,
    /// By name, as it was given.
    values: BTreeMap<String, String>,
}

/// What is set anew when the file changes.
pub(super) struct Reload {
    configured: Configured,
    node: Arc<Node>,
    set_log: SetLog,
}

impl Configured {
    /// As the process was started; none if it has no configuration file.
    pub(super) fn begin() -> anyhow::Result<Option<Self>> {
        let Some(file) = ConfigurationFile::of(std::env::args_os())? else {
            return Ok(None);
        };
        let path = file.path().to_owned();
        let (values, _) = read(&file)?;
        Ok(Some(Self { path, values }))
    }

    pub(super) fn reload(self, node: Arc<Node>, set_log: SetLog) -> Reload {
        Reload {
            configured: self,
            node,
            set_log,
        }
    }
}

impl Reload {
    pub(super) fn path(&self) -> &PathBuf {
        &self.configured.path
    }

    /// Takes in what changed.
    ///
    /// # Errors
    /// If the file cannot be read or is wrong; then nothing changed.
    pub(super) fn read_again(&mut self) -> anyhow::Result<()> {
        let file = ConfigurationFile::read(Path::new(&self.configured.path))?;
        let (values, serve) = read(&file)?;
        let changed = changed(&self.configured.values, &values);
        if changed.is_empty() {
            return Ok(());
        }
        let filter = EnvFilter::try_new(&serve.log)
            .with_context(|| format!("`{}` is no log filter", serve.log))?;
        let settings = super::settings(&serve);
        // Each of them is right by now.
        self.node
            .change_settings(settings.limits, settings.staleness_max)?;
        (self.set_log)(filter)?;
        for name in changed {
            if APPLIED.contains(&name.as_str()) {
                tracing::info!(name, "changed in the configuration file, and in effect");
            } else {
                tracing::warn!(
                    name,
                    "changed in the configuration file, and takes a restart"
                );
            }
        }
        self.configured.values = values;
        Ok(())
    }
}

/// The names whose values are not alike.
fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let names = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)));
    names
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect()
}

/// What the process would be set to if it were started now, with `file`.
fn read(file: &ConfigurationFile) -> anyhow::Result<(BTreeMap<String, String>, Box<Serve>)> {
    let parser = file.apply(arguments::command())?;
    let matches = parser.clone().try_get_matches_from(std::env::args_os());
    let matches = matches.map_err(|error| {
        let blamed = file.blamed(&error, std::env::args_os(), &parser);
        blamed.map_or_else(|| anyhow!("{}", error.kind()), anyhow::Error::from)
    })?;
    let values = values(&parser, &matches);
    let arguments = Arguments::from_arg_matches(&matches)?;
    let Command::Serve(serve) = arguments.command else {
        bail!("this process is no server");
    };
    super::exposure::check(&serve)?;
    Ok((values, serve))
}

/// The flags of `remit serve`, by name.
fn values(parser: &Parser, matches: &ArgMatches) -> BTreeMap<String, String> {
    let serve = parser.find_subcommand("serve");
    let flags = serve.iter().flat_map(|serve| serve.get_arguments());
    let Some(matches) = matches.subcommand_matches("serve") else {
        return BTreeMap::new();
    };
    flags
        .filter_map(|flag| {
            let raw = matches.get_raw(flag.get_id().as_str())?;
            let texts: Vec<_> = raw.map(|it| it.to_string_lossy().into_owned()).collect();
            Some((flag.get_long()?.to_owned(), texts.join("\n")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_applied_is_there() {
        let command = arguments::command();
        let serve = command.find_subcommand("serve").unwrap();
        let names: Vec<_> = serve
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .collect();
        for name in APPLIED {
            assert!(names.contains(&name), "{name}");
        }
    }

    #[test]
    fn what_comes_goes_or_is_another_has_changed() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            pairs.collect::<BTreeMap<_, _>>()
        };
        let before = of(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let after = of(&[("a", "1"), ("b", "4"), ("d", "5")]);
        assert_eq!(changed(&before, &after), ["b", "c", "d"]);
    }
}
