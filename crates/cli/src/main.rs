//! The one binary, `remit`: the server and every command for it. Flags, environment and configuration file are read here
//! and nowhere else.

mod arguments;
mod client;
mod commands;
mod configuration;
mod exit;
mod output;
mod place;
mod records;
mod sealed;
mod temporary;

use std::process::ExitCode;

use clap::FromArgMatches as _;

use crate::arguments::{Arguments, Command};
use crate::commands::config::Effective;
use crate::configuration::ConfigurationFile;
use crate::exit::Outcome;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The stack of a worker thread, in bytes: the deepest evaluation takes a fraction of it.
const STACK_BYTES: usize = 8 << 20;

fn main() -> ExitCode {
    let (arguments, effective) = match read_arguments() {
        Ok(read) => read,
        Err(error) => return exit::failed(&error),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return exit::failed(&error.into()),
    };
    match runtime.block_on(run(arguments, effective)) {
        Ok(outcome) => outcome.into(),
        Err(error) => exit::failed(&error),
    }
}

/// Reads flags, environment and configuration file; ends the process for `--help` and wrong usage.
fn read_arguments() -> anyhow::Result<(Arguments, Effective)> {
    let file = ConfigurationFile::of(std::env::args_os())?;
    let command = arguments::command();
    let command = match &file {
        Some(file) => file.apply(command)?,
        None => command,
    };
    let matches = match command.clone().try_get_matches_from(std::env::args_os()) {
        Ok(matches) => matches,
        Err(error) => {
            let blamed = file.and_then(|it| it.blamed(&error, std::env::args_os(), &command));
            match blamed {
                Some(blamed) => return Err(blamed.into()),
                None => error.exit(),
            }
        }
    };
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let effective = Effective {
        command,
        matches,
        file,
    };
    Ok((arguments, effective))
}

async fn run(arguments: Arguments, effective: Effective) -> anyhow::Result<Outcome> {
    match arguments.command {
        Command::Serve(serve) => commands::serve::run(serve).await,
        Command::Check(check) => commands::check::run(check).await,
        Command::Doctor(doctor) => commands::doctor::run(*doctor).await,
        Command::BulkCheck(bulk) => commands::bulk_check::run(bulk).await,
        Command::Lookup(lookup) => commands::lookup::run(lookup).await,
        Command::Expand(expand) => commands::expand::run(expand).await,
        Command::Explain(question) => commands::explain::run(question).await,
        Command::Replay(replay) => commands::replay::run(replay).await,
        Command::Schema(schema) => commands::schema::run(schema).await,
        Command::Relationship(relationship) => commands::relationship::run(relationship).await,
        Command::Watch(watch) => commands::watch::run(watch).await,
        Command::Import(import) => commands::import::run(import).await,
        Command::Export(export) => commands::export::run(export).await,
        Command::Validate(validate) => commands::validate::run(&validate),
        Command::Edge(command) => commands::edge::run(&command),
        Command::Audit(command) => commands::audit::run(command).await,
        Command::Access(command) => commands::access::run(command).await,
        Command::Kubernetes(command) => commands::kubernetes::run(command).await,
        Command::Node(command) => commands::node::run(command).await,
        Command::Token(command) => commands::token::run(command).await,
        Command::Backup(backup) => commands::backup::run(backup).await,
        Command::Restore(restore) => commands::restore::run(restore).await,
        Command::Store(command) => commands::store::run(command).await,
        Command::Config(command) => commands::config::run(&command, &effective),
        Command::Completions(completions) => commands::completions::run(&completions),
    }
}
