//! Seeded workloads, and what they cost: `bench <command> --help`. Built and run in release by `cargo xtask bench`.

mod adversarial;
mod all;
mod beside;
mod in_process;
mod machine;
#[cfg(feature = "peers")]
mod peers;
mod report;
mod results;
mod served;
mod workload;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::all::AllArguments;
use crate::machine::Machine;
use crate::results::Entry;
use crate::served::{
    CheckArguments, DecisionLogArguments, LookUpArguments, MixedArguments, ObservedArguments,
    OverloadArguments, StandardArguments, WriteArguments,
};
use crate::workload::{Kind, Popularity, write_rows};

/// As the server has it: where nodes lie decides how often a check misses the cache.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeded workloads, and what they cost.
///
/// Results are JSON, one object a line, on the standard output. Close other programs: on a machine of few cores they show.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    after_help = "Examples:
  cargo xtask bench in-process --workload documents --size 10000000
  cargo xtask bench served --workload code-hosting --size 1000000 --in-flight 64
  cargo xtask bench served --workload microservices --bulk 100 --in-flight 16
  cargo xtask bench served --workload documents --rate 5000 --in-flight 256
  cargo xtask bench look-ups --workload documents --size 1000000
  cargo xtask bench observed --workload documents --size 100000 --with 'all calls traced=--otlp-endpoint {otlp} --trace-ratio 1'
  cargo xtask bench peers --size 10000
  cargo xtask bench all --out results.jsonl --sizes 10000,100000 --served-sizes 100000"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the relationships of a workload as lines of text, for `remit import`.
    Rows(Data),
    /// Print the schema of a workload.
    Schema(Data),
    /// Load a workload into this process and measure checks and commits.
    InProcess {
        #[command(flatten)]
        data: Data,
        /// Which resources and subjects are asked about.
        #[arg(long, value_enum, default_value = "uniform")]
        popularity: Popularity,
    },
    /// Serve a workload with Remit, and measure checks over gRPC beside an empty call.
    Served {
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        arguments: CheckArguments,
    },
    /// Serve a workload with Remit, and measure look-ups by number of results beside an empty stream of as many.
    LookUps {
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        arguments: LookUpArguments,
    },
    /// Serve a workload with Remit, and measure writes of one relationship.
    Writes {
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        arguments: WriteArguments,
    },
    /// Serve a workload with Remit, and measure checks while others write.
    Mixed {
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        arguments: MixedArguments,
    },
    /// Serve a workload with Remit, and ask more than it can answer: its goodput, and what a storm does to another caller.
    Overload {
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        arguments: OverloadArguments,
    },
    /// Serve a workload with Remit, and measure checks by the protocols of standards beside the same over gRPC.
    Standards {
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        arguments: StandardArguments,
    },
    /// Serve a workload with Remit, and measure checks of servers that tell of themselves (traces) beside one that does not.
    Observed {
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        arguments: ObservedArguments,
    },
    /// Serve a workload with Remit, and measure what logging its decisions costs checks over gRPC.
    DecisionLog {
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        arguments: DecisionLogArguments,
    },
    /// Ask about data that is made to be hard: huge groups, long chains, dense circles.
    Adversarial {
        /// Divides the sizes, for a machine with less memory than the 2 GB that they take.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        divisor: u64,
    },
    /// Measure Remit beside SpiceDB, Cerbos, Cedar and Casbin, in turn.
    #[cfg(feature = "peers")]
    Peers(peers::Peers),
    /// Tell what this machine is.
    Machine,
    /// Run all of the above but `peers` for all workloads, collect the results in a file, and report.
    All(AllArguments),
    /// Write docs/benchmarks.md and its plots from files of results.
    Report {
        /// Files with the lines that the other commands print.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The folder of the page.
        #[arg(long, default_value = "docs")]
        folder: PathBuf,
    },
    /// Serve empty calls; started by other commands.
    #[command(hide = true)]
    Floor,
    /// Call as told on the standard input; started by other commands.
    #[command(hide = true)]
    Caller,
}

/// Which data.
#[derive(Debug, Clone, Copy, Args)]
struct Data {
    /// The kind of company.
    #[arg(long, value_enum)]
    workload: Kind,
    /// About how many relationships, from a thousand to a billion.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    size: u64,
    /// The same seed makes the same data and questions.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Data {
    fn workload(self) -> Box<dyn workload::Workload> {
        self.workload.of_size(self.size, self.seed)
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let command = Arguments::parse().command;
    let mut results = |entry: Entry| -> anyhow::Result<()> {
        writeln!(out, "{}", serde_json::to_string(&entry)?)?;
        Ok(())
    };
    match command {
        Command::Schema(data) => write!(out, "{}", data.workload().schema())?,
        Command::Rows(data) => {
            write_rows(data.workload().as_ref(), out).context("cannot write the rows")?;
        }
        Command::InProcess { data, popularity } => {
            let workload = data.workload();
            in_process::run(workload.as_ref(), popularity, data.seed, &mut results)?;
        }
        Command::Served { data, arguments } => {
            let workload = data.workload();
            let running = served::checks(workload.as_ref(), data.seed, &arguments, &mut results);
            runtime()?.block_on(running)?;
        }
        Command::LookUps { data, arguments } => {
            let workload = data.workload();
            let running = served::look_ups(workload.as_ref(), data.seed, &arguments, &mut results);
            runtime()?.block_on(running)?;
        }
        Command::Writes { data, arguments } => {
            let workload = data.workload();
            let running = served::writes(workload.as_ref(), data.seed, &arguments, &mut results);
            runtime()?.block_on(running)?;
        }
        Command::Mixed { data, arguments } => {
            let workload = data.workload();
            let running = served::mixed(workload.as_ref(), data.seed, &arguments, &mut results);
            runtime()?.block_on(running)?;
        }
        Command::Overload { data, arguments } => {
            let workload = data.workload();
            let running = served::overload(workload.as_ref(), data.seed, &arguments, &mut results);
            runtime()?.block_on(running)?;
        }
        Command::Standards { data, arguments } => {
            let workload = data.workload();
            let running = served::standards(workload.as_ref(), data.seed, &arguments, &mut results);
            runtime()?.block_on(running)?;
        }
        Command::Observed { data, arguments } => {
            let workload = data.workload();
            let running = served::observed(workload.as_ref(), data.seed, &arguments, &mut results);
            runtime()?.block_on(running)?;
        }
        Command::DecisionLog { data, arguments } => {
            let workload = data.workload();
            let run = served::decision_log(workload.as_ref(), data.seed, &arguments, &mut results);
            runtime()?.block_on(run)?;
        }
        Command::Adversarial { divisor } => adversarial::run(divisor, &mut results)?,
        #[cfg(feature = "peers")]
        Command::Peers(asked) => {
            let running = peers::run(&asked, &mut results);
            runtime()?.block_on(running)?;
        }
        Command::Machine => results(Entry::Machine(Machine::own()))?,
        Command::All(arguments) => all::run(&arguments)?,
        Command::Report { files, folder } => report::write(&files, &folder)?,
        Command::Floor => serve_empty(out)?,
        Command::Caller => call(out)?,
    }
    Ok(())
}

/// Calls as told on the standard input, and tells what became of it.
fn call(mut out: impl std::io::Write) -> anyhow::Result<()> {
    let told = runtime()?.block_on(served::caller())?;
    writeln!(out, "{}", serde_json::to_string(&told)?)?;
    Ok(())
}

/// Serves empty calls until it is killed.
fn serve_empty(out: impl std::io::Write) -> anyhow::Result<()> {
    drop(out);
    runtime()?.block_on(served::serve_floor())
}
