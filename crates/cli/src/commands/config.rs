//! `remit config`: what a server would be set to, where that comes from, and what is wrong with it.

mod reference;

use anyhow::Context as _;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::arguments::{self, ConfigCheck, ConfigCommand, ConfigReference, ConfigShow, Serve};
use crate::commands::serve;
use crate::commands::serve::credentials;
use crate::configuration::{ConfigurationError, ConfigurationFile};
use crate::exit::Outcome;
use crate::output;
use crate::place::Place;

/// In place of what is secret.
const SECRET: &str = "(set, and not shown)";

/// The command line as it was read.
pub(crate) struct Effective {
    pub(crate) command: Command,
    pub(crate) matches: ArgMatches,
    pub(crate) file: Option<ConfigurationFile>,
}

/// What one flag is set to.
struct Setting {
    name: String,
    value: String,
    source: String,
}

pub(crate) fn run(command: &ConfigCommand, effective: &Effective) -> anyhow::Result<Outcome> {
    match command {
        ConfigCommand::Show(arguments) => show(arguments, effective),
        ConfigCommand::Check(arguments) => check(arguments, effective),
        ConfigCommand::Reference(ConfigReference { example: false }) => {
            output::text(&reference::page(&arguments::command()))?;
            Ok(Outcome::Success)
        }
        ConfigCommand::Reference(ConfigReference { example: true }) => {
            output::text(&reference::example(&arguments::command()))?;
            Ok(Outcome::Success)
        }
    }
}

fn show(arguments: &ConfigShow, effective: &Effective) -> anyhow::Result<Outcome> {
    let settings = settings(effective, "show")?;
    if arguments.json {
        let shown: Vec<_> = settings
            .iter()
            .map(|it| json!({ "name": it.name, "value": it.value, "source": it.source }))
            .collect();
        output::json(&json!({ "settings": shown }))?;
    } else {
        let rows = settings
            .into_iter()
            .map(|it| vec![it.name, it.value, it.source]);
        output::table(&["name", "value", "from"], rows)?;
    }
    Ok(Outcome::Success)
}

/// Refuses what `remit serve` would, and what it would find out later.
fn check(arguments: &ConfigCheck, effective: &Effective) -> anyhow::Result<Outcome> {
    let mut faults = Vec::new();
    let mut note = |what: &str, result: anyhow::Result<()>| {
        if let Err(error) = result {
            faults.push(format!("{what}: {error:#}"));
        }
    };
    let serve = &arguments.serve;
    note("store", place(serve));
    note(
        "log",
        EnvFilter::try_new(&serve.log)
            .map(drop)
            .context("it is no log filter"),
    );
    note("addresses", serve::exposure::check(serve));
    for (what, result) in credentials::look(serve) {
        note(what, result);
    }
    if !faults.is_empty() {
        return Err(ConfigurationError(faults.join("\nerror: ")).into());
    }
    let count = settings(effective, "check")?
        .iter()
        .filter(|setting| setting.source != "default")
        .count();
    let file = effective.file.as_ref();
    let file = file.map_or_else(
        || "no configuration file is read".to_owned(),
        |file| format!("`{}` is read", file.path().display()),
    );
    output::line(&format!(
        "good: {file}, {count} values differ from the defaults"
    ))?;
    Ok(Outcome::Success)
}

fn place(serve: &Serve) -> anyhow::Result<()> {
    let place = serve.store.as_deref().map(str::parse::<Place>);
    place.transpose().map(drop)
}

/// Every flag of `remit serve`, as it was given to the command `name` of `remit config`.
fn settings(effective: &Effective, name: &str) -> anyhow::Result<Vec<Setting>> {
    let matches = effective.matches.subcommand_matches("config");
    let matches = matches.and_then(|matches| matches.subcommand_matches(name));
    let serve = effective.command.find_subcommand("serve");
    let (matches, serve) = matches.zip(serve).context("there is no such command")?;
    let of_serve = serve.get_arguments().filter(|it| it.get_long().is_some());
    Ok(of_serve
        .filter(|argument| argument.get_id() != "config")
        .map(|argument| setting(argument, matches, effective.file.as_ref()))
        .collect())
}

fn setting(argument: &Arg, matches: &ArgMatches, file: Option<&ConfigurationFile>) -> Setting {
    let id = argument.get_id().as_str();
    let name = argument.get_long().unwrap_or(id);
    let values = matches.get_raw(id).map(|values| {
        let values: Vec<_> = values.map(|it| it.to_string_lossy().into_owned()).collect();
        values.join(", ")
    });
    let source = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => format!("--{name}"),
        Some(ValueSource::EnvVariable) => {
            let variable = argument.get_env().unwrap_or_default();
            variable.to_string_lossy().into_owned()
        }
        Some(_) | None => file
            .and_then(|file| file.place(name))
            .unwrap_or_else(|| "default".to_owned()),
    };
    let value = match values {
        Some(_) if argument.is_hide_env_values_set() => SECRET.to_owned(),
        Some(values) => values,
        None => "(none)".to_owned(),
    };
    Setting {
        name: name.to_owned(),
        value,
        source,
    }
}
