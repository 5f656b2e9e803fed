//! The configuration file: the same names as the flags, and weaker than the environment and the flags themselves.
//!
//! Its values become the defaults of the flags of the same names, so they are judged by the parser of flags, and a fault is told with the
//! line of the file that has it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};
use toml::de::{DeTable, DeValue};

/// The file that is read if it is there and none is named.
const DEFAULT_FILE: &str = "remit.toml";

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigurationError(pub(crate) String);

/// A configuration file that was read.
#[derive(Debug, Clone)]
pub(crate) struct ConfigurationFile {
    path: PathBuf,
    values: BTreeMap<String, FileValue>,
}

/// One value of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileValue {
    texts: Vec<String>,
    is_list: bool,
    line: usize,
}

impl ConfigurationFile {
    /// Reads the file that `arguments` name, or the one that is there.
    ///
    /// # Errors
    /// [`ConfigurationError`] if it cannot be read, is no TOML, or has a table.
    pub(crate) fn of(
        arguments: impl Iterator<Item = OsString>,
    ) -> Result<Option<Self>, ConfigurationError> {
        match named(arguments) {
            Some(path) => Self::read(&path).map(Some),
            None => {
                let path = PathBuf::from(DEFAULT_FILE);
                if path.is_file() {
                    Self::read(&path).map(Some)
                } else {
                    Ok(None)
                }
            }
        }
    }

    /// # Errors
    /// [`ConfigurationError`]
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigurationError> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            ConfigurationError(format!(
                "cannot read the configuration file `{shown}`: {error}"
            ))
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigurationError> {
        let shown = path.display();
        let table = DeTable::parse(text).map_err(|error| {
            // Never with the line itself, as the error shows it: there may be a key in it, and this goes to the log.
            let line = line_of(text, error.span().unwrap_or_default().start);
            let why = error.message();
            ConfigurationError(format!("`{shown}` is no TOML: line {line}: {why}"))
        })?;
        let mut values = BTreeMap::new();
        for (key, value) in table.get_ref() {
            let line = line_of(text, key.span().start);
            let value = value.get_ref();
            let (texts, is_list) = match value.as_array() {
                Some(items) => (
                    items.iter().map(|item| plain(item.get_ref())).collect(),
                    true,
                ),
                None => (plain(value).map(|text| vec![text]), false),
            };
            let texts = texts.ok_or_else(|| {
                let name = key.get_ref();
                ConfigurationError(format!(
                    "`{shown}`, line {line}: `{name}` is a table, and the file has names and values alone"
                ))
            })?;
            let value = FileValue {
                texts,
                is_list,
                line,
            };
            values.insert(key.get_ref().to_string(), value);
        }
        Ok(Self {
            path: path.to_owned(),
            values,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a name is set: the file and the line.
    pub(crate) fn place(&self, name: &str) -> Option<String> {
        let value = self.values.get(name)?;
        Some(format!("{}:{}", self.path.display(), value.line))
    }

    /// Makes the values the defaults of the flags of the same names.
    ///
    /// # Errors
    /// [`ConfigurationError`] for a name that no command has as a flag, and a list for a flag that is given once.
    pub(crate) fn apply(&self, command: Command) -> Result<Command, ConfigurationError> {
        let mut unknown: BTreeMap<&str, &FileValue> = self
            .values
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        let mut fault = None;
        let command = self.with_defaults(command, &mut unknown, &mut fault);
        if let Some(fault) = fault {
            return Err(fault);
        }
        if let Some((name, value)) = unknown.first_key_value() {
            return Err(self.fault(value.line, format!("`{name}` is no flag of any command")));
        }
        Ok(command)
    }

    fn with_defaults(
        &self,
        command: Command,
        unknown: &mut BTreeMap<&str, &FileValue>,
        fault: &mut Option<ConfigurationError>,
    ) -> Command {
        let command = command.mut_args(|argument| {
            let name = argument.get_long().map(str::to_owned).unwrap_or_default();
            let Some(value) = self.values.get(&name) else {
                return argument;
            };
            unknown.remove(name.as_str());
            if value.is_list && !takes_many(&argument) {
                let what = format!("`{name}` is a list, and one value is expected");
                *fault = Some(self.fault(value.line, what));
                return argument;
            }
            argument.default_values(value.texts.clone())
        });
        command.mut_subcommands(|subcommand| self.with_defaults(subcommand, unknown, fault))
    }

    fn fault(&self, line: usize, what: String) -> ConfigurationError {
        ConfigurationError(format!("`{}`, line {line}: {what}", self.path.display()))
    }

    /// What the parser of flags has against a value of this file; none if what it refused came from elsewhere.
    pub(crate) fn blamed(
        &self,
        error: &clap::Error,
        arguments: impl Iterator<Item = OsString>,
        command: &Command,
    ) -> Option<ConfigurationError> {
        let text = |kind| {
            let value = error.get(kind)?;
            if let ContextValue::Strings(texts) = value {
                return texts.first().cloned();
            }
            Some(value.to_string())
        };
        let flag = text(ContextKind::InvalidArg)?;
        let name = flag.trim_start_matches('-').split([' ', '=']).next()?;
        let refused = text(ContextKind::InvalidValue)?;
        let value = self.values.get(name)?;
        let typed = arguments.map(|it| it.to_string_lossy().into_owned());
        let is_typed = typed
            .into_iter()
            .any(|it| it.split('=').next() == Some(&format!("--{name}")));
        if is_typed || is_in_environment(command, name) || !value.texts.contains(&refused) {
            return None;
        }
        let why = std::error::Error::source(error).map(|why| format!(": {why}"));
        let allowed = match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(texts)) => Some(format!(": one of {}", texts.join(", "))),
            _ => None,
        };
        let why = why.or(allowed).unwrap_or_default();
        Some(self.fault(
            value.line,
            format!("`{refused}` is no value of `{name}`{why}"),
        ))
    }
}

/// Whether a flag of that name is set by the environment.
fn is_in_environment(command: &Command, name: &str) -> bool {
    let own = command
        .get_arguments()
        .filter(|argument| argument.get_long() == Some(name));
    let set = own
        .filter_map(Arg::get_env)
        .any(|variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty()));
    set || command
        .get_subcommands()
        .any(|subcommand| is_in_environment(subcommand, name))
}

fn takes_many(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Append)
}

fn named(arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut arguments = arguments.skip(1);
    while let Some(argument) = arguments.next() {
        let argument = argument.to_string_lossy().into_owned();
        let path = match argument.strip_prefix("--config") {
            Some("") => arguments.next().map(PathBuf::from),
            Some(rest) => rest.strip_prefix('=').map(PathBuf::from),
            None => None,
        };
        if path.is_some() {
            return path;
        }
    }
    None
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.matches('\n').count() + 1
}

/// A value as a flag has it; none for one that holds others.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(is) => Some(is.to_string()),
        DeValue::Datetime(at) => Some(at.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let parsed = ConfigurationFile::parse(Path::new("remit.toml"), text);
        let applied = parsed.and_then(|file| file.apply(crate::arguments::command()).map(|_| ()));
        applied.map_or_else(|error| error.to_string(), |()| "good".to_owned())
    }

    #[test]
    fn a_fault_is_told_with_its_line() {
        let good =
            "# a comment\nstore = \"memory:\"\npreshared-key = [\"a:b\", \"c:d\"]\ndepth-max = 7\n";
        assert_eq!(told(good), "good");
        assert_eq!(
            told("store = \"memory:\"\n\nstoer = 1\n"),
            "`remit.toml`, line 3: `stoer` is no flag of any command"
        );
        assert_eq!(
            told("\ndepth-max = [1, 2]\n"),
            "`remit.toml`, line 2: `depth-max` is a list, and one value is expected"
        );
        assert_eq!(
            told("[limits]\ndepth-max = 1\n"),
            "`remit.toml`, line 1: `limits` is a table, and the file has names and values alone"
        );
        let broken = told("store = \n");
        assert!(broken.starts_with("`remit.toml` is no TOML: "), "{broken}");
        assert!(broken.contains("line 1"), "{broken}");
        let secret = told("depth-max = 7\npreshared-key = [\"a:hush\"\n");
        assert!(
            secret.contains("line 2") || secret.contains("line 3"),
            "{secret}"
        );
        assert!(!secret.contains("hush"), "{secret}");
    }

    #[test]
    fn what_the_parser_refuses_is_told_with_its_line() {
        let text = "store = \"memory:\"\ndepth-max = 9999\nlog-format = \"xml\"\n";
        let file = ConfigurationFile::parse(Path::new("remit.toml"), text).unwrap();
        let command = file.apply(crate::arguments::command()).unwrap();
        let refused = |typed: &[&str]| {
            let typed: Vec<OsString> = typed.iter().map(OsString::from).collect();
            let error = command.clone().try_get_matches_from(&typed).unwrap_err();
            let blamed = file.blamed(&error, typed.into_iter(), &command);
            blamed.map(|error| error.to_string())
        };
        assert_eq!(
            refused(&["remit", "serve", "--log-format", "json"]).unwrap(),
            "`remit.toml`, line 2: `9999` is no value of `depth-max`: 9999 is not in 1..=250"
        );
        assert_eq!(
            refused(&["remit", "serve", "--depth-max", "3"]).unwrap(),
            "`remit.toml`, line 3: `xml` is no value of `log-format`: one of text, json"
        );
        // What was typed is no fault of the file.
        let typed = ["remit", "serve", "--log-format=json", "--depth-max=9999"];
        assert_eq!(refused(&typed), None);
    }
}
