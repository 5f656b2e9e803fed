//! The configuration file: the same names as the flags, and weaker than the environment and the flags themselves.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Command;
use toml::{Table, Value};

/// The file that is read if it is there and none is named.
const DEFAULT_FILE: &str = "remit.toml";

/// Makes the values of the configuration file the defaults of the flags of the same names.
///
/// # Errors
/// If a named file cannot be read, is no TOML, or holds a name that no command has as a flag.
pub(crate) fn with_defaults_from_file(
    command: Command,
    arguments: impl Iterator<Item = OsString>,
) -> anyhow::Result<Command> {
    let Some((path, text)) = read(arguments)? else {
        return Ok(command);
    };
    let table: Table = text
        .parse()
        .with_context(|| format!("`{}` is no TOML", path.display()))?;
    let mut unknown: Vec<String> = table.keys().cloned().collect();
    let command = with_defaults(command, &table, &mut unknown);
    if let Some(name) = unknown.first() {
        bail!(
            "`{}` sets `{name}`, which is no flag of any command",
            path.display()
        );
    }
    Ok(command)
}

fn read(arguments: impl Iterator<Item = OsString>) -> anyhow::Result<Option<(PathBuf, String)>> {
    let mut arguments = arguments.skip(1);
    while let Some(argument) = arguments.next() {
        let argument = argument.to_string_lossy().into_owned();
        let path = match argument.strip_prefix("--config") {
            Some("") => arguments.next().map(PathBuf::from),
            Some(rest) => rest.strip_prefix('=').map(PathBuf::from),
            None => None,
        };
        if let Some(path) = path {
            let text = fs::read_to_string(&path).with_context(|| {
                format!("cannot read the configuration file `{}`", path.display())
            })?;
            return Ok(Some((path, text)));
        }
    }
    let path = PathBuf::from(DEFAULT_FILE);
    Ok(fs::read_to_string(&path).ok().map(|text| (path, text)))
}

fn with_defaults(command: Command, table: &Table, unknown: &mut Vec<String>) -> Command {
    let command = command.mut_args(|argument| {
        let Some(value) = argument.get_long().and_then(|name| table.get(name)) else {
            return argument;
        };
        unknown.retain(|name| argument.get_long() != Some(name.as_str()));
        match value {
            Value::Array(values) => {
                argument.default_values(values.iter().map(text).collect::<Vec<_>>())
            }
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Table(_) => argument.default_value(text(value)),
        }
    });
    command.mut_subcommands(|subcommand| with_defaults(subcommand, table, unknown))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => value.to_string(),
    }
}
