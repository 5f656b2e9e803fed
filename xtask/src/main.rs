//! The project's chores: `cargo xtask codegen` regenerates the wire types.

use std::path::Path;
use std::process::ExitCode;

use xtask::codegen;

const USAGE: &str = "usage: cargo xtask <command>

commands:
  codegen  generate crates/remit-proto/src/generated from proto/
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<()> {
    match arguments {
        [command] if command == "codegen" => codegen::generate(Path::new(codegen::COMMITTED_DIR)),
        [] => anyhow::bail!("a command is missing\n\n{USAGE}"),
        [command] => anyhow::bail!("no command `{command}`\n\n{USAGE}"),
        [command, ..] => anyhow::bail!("`{command}` takes no arguments\n\n{USAGE}"),
    }
}
