//! `bench all`: every measurement for every workload, each in a process of its own, so that memory and caches are its own.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum as _};

use crate::report;
use crate::workload::Kind;

/// What is measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct AllArguments {
    /// Where the results go, one object a line; it is written anew.
    #[arg(long)]
    out: PathBuf,
    /// Relationships of the data in the process. A hundred million take about 10 GB of memory.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "10000,100000,1000000,10000000"
    )]
    sizes: Vec<u64>,
    /// Relationships of the data that is served.
    #[arg(long, value_delimiter = ',', default_value = "1000000")]
    served_sizes: Vec<u64>,
    /// Length of a round on a server, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds on a server.
    #[arg(long, default_value_t = 3)]
    rounds: u16,
    /// The folder of the page.
    #[arg(long, default_value = "docs")]
    folder: PathBuf,
}

/// Runs all steps, and writes the page. A step that fails does not keep the others from running.
///
/// # Errors
/// When a step has failed, or a file cannot be written.
pub(crate) fn run(arguments: &AllArguments) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let mut out = File::create(&arguments.out)
        .with_context(|| format!("cannot write {}", arguments.out.display()))?;
    let steps = steps(arguments);
    let mut failed = 0;
    for (ix, step) in steps.iter().enumerate() {
        eprintln!("{} of {}: {}", ix + 1, steps.len(), step.join(" "));
        let mut command = Command::new(&program);
        let done = command.args(step).stderr(Stdio::inherit()).output()?;
        out.write_all(&done.stdout)?;
        if !done.status.success() {
            eprintln!("failed ({})", done.status);
            failed += 1;
        }
    }
    drop(out);
    report::write(std::slice::from_ref(&arguments.out), &arguments.folder)?;
    ensure!(failed == 0, "{failed} of {} steps have failed", steps.len());
    Ok(())
}

/// The arguments of each step.
fn steps(arguments: &AllArguments) -> Vec<Vec<String>> {
    let mut steps = vec![vec!["machine".to_owned()], vec!["adversarial".to_owned()]];
    let named = |kind: &Kind| Some((*kind, kind.to_possible_value()?));
    for (kind, workload) in Kind::value_variants().iter().filter_map(named) {
        let data = |command: &str, size: &u64| -> Vec<String> {
            let size = size.to_string();
            let words = [command, "--workload", workload.get_name(), "--size", &size];
            words.map(str::to_owned).to_vec()
        };
        let sizes = arguments.sizes.iter();
        steps.extend(sizes.map(|size| data("in-process", size)));
        for size in &arguments.served_sizes {
            let rounds = [
                "--seconds".to_owned(),
                arguments.seconds.to_string(),
                "--rounds".to_owned(),
                arguments.rounds.to_string(),
            ];
            let served: [(&str, &[&str]); 5] = [
                ("served", &["--cold"]),
                ("served", &["--bulk", "100"]),
                ("look-ups", &[]),
                ("writes", &[]),
                ("mixed", &[]),
            ];
            let direct: &[(&str, &[&str])] = match kind {
                Kind::Documents => &[("served", &["--direct"])],
                Kind::CodeHosting | Kind::Microservices => &[],
            };
            for (command, flags) in served.iter().chain(direct) {
                let mut step = data(command, size);
                step.extend(flags.iter().map(|flag| (*flag).to_owned()));
                step.extend_from_slice(&rounds);
                steps.push(step);
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_measured_in_every_way() {
        let steps = steps(&AllArguments {
            out: PathBuf::new(),
            sizes: vec![10_000, 100_000],
            served_sizes: vec![10_000],
            seconds: 1,
            rounds: 2,
            folder: PathBuf::new(),
        });
        // The machine, hard data, of each workload two sizes and five ways to serve it, and direct checks of documents.
        assert_eq!(steps.len(), 2 + 3 * (2 + 5) + 1);
        let step = "served --workload documents --size 10000 --bulk 100 --seconds 1 --rounds 2";
        assert!(steps.iter().any(|own| own.join(" ") == step), "{steps:?}");
    }
}
