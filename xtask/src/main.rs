//! The project's chores; `cargo xtask check` is what CI runs.

use std::path::Path;
use std::process::ExitCode;

use xtask::{bench, check, codegen, deploy, fuzz, mutants, release, supply, upgrade};

const USAGE: &str = "usage: cargo xtask <command>

commands:
  check    set up what the tests need and run them all, with the lints
  clients  only the tests with stock clients
  deploy   only the check of the chart, the compose file and the units
  peer     only the comparison with the peer; PEER_CASES and PEER_SEED say with which cases
  upgrade  only the upgrade of nodes and stores of the version before, which is built once a commit; UPGRADE_FROM names another commit
  fix      format, and mend what the lints can mend
  mutants  put known faults into a copy of the evaluator; the corpus has to catch each
  fuzz     inputs that nobody thought of; FUZZ_SECONDS says how long for each target, FUZZ_TARGET which one
  supply   only what Remit is made of, held to deny.toml
  release  the binary as it is handed out, its bill of materials and their sums, in target/dist; `release twice` builds it in two
           folders and compares
  bench    make seeded workloads and measure them; `cargo xtask bench --help`
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
    let (command, rest) = match arguments {
        [command] => (command, &[][..]),
        [command, rest @ ..] if command == "bench" || command == "release" => (command, rest),
        _ => anyhow::bail!("one command is expected\n\n{USAGE}"),
    };
    match command.as_str() {
        "check" => check::check(),
        "peer" => check::peer(),
        "clients" => check::clients(),
        "deploy" => deploy::deploy(),
        "mutants" => mutants::mutants(),
        "bench" => bench::bench(rest),
        "fuzz" => fuzz::fuzz(),
        "upgrade" => upgrade::upgrade(),
        "supply" => supply::supply(),
        "release" => match rest {
            [] => release::release(false),
            [twice] if twice == "twice" => release::release(true),
            _ => anyhow::bail!("`release` takes `twice` or nothing\n\n{USAGE}"),
        },
        "fix" => check::fix(),
        "codegen" => codegen::generate(Path::new(codegen::COMMITTED_DIR)),
        "--help" | "help" => {
            eprint!("{USAGE}");
            Ok(())
        }
        unknown => anyhow::bail!("no command `{unknown}`\n\n{USAGE}"),
    }
}
