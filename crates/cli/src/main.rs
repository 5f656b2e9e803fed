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

use std::process::ExitCode;

use clap::FromArgMatches as _;

use crate::arguments::{Arguments, Command};
use crate::exit::Outcome;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The stack of a worker thread, in bytes: the deepest evaluation takes a fraction of it.
const STACK_BYTES: usize = 8 << 20;

fn main() -> ExitCode {
    let arguments = match read_arguments() {
        Ok(arguments) => arguments,
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
    match runtime.block_on(run(arguments)) {
        Ok(outcome) => outcome.into(),
        Err(error) => exit::failed(&error),
    }
}

fn read_arguments() -> anyhow::Result<Arguments> {
    let command =
        configuration::with_defaults_from_file(arguments::command(), std::env::args_os())?;
    let matches = command.get_matches();
    Ok(Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
}

async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    match arguments.command {
        Command::Serve(serve) => commands::serve::run(serve).await,
        Command::Check(check) => commands::check::run(check).await,
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
        Command::Access(command) => commands::access::run(command).await,
        Command::Kubernetes(command) => commands::kubernetes::run(command).await,
        Command::Node(command) => commands::node::run(command).await,
        Command::Token(command) => commands::token::run(command).await,
        Command::Backup(backup) => commands::backup::run(&backup),
        Command::Store(command) => commands::store::run(command).await,
        Command::Completions(completions) => commands::completions::run(&completions),
    }
}
