//! `bench report`: a page of tables and plots, which is a function of what the other commands have printed and nothing else.

mod draw;
mod page;
mod plot;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::adversarial::Adversarial;
use crate::beside::Beside;
use crate::in_process::{Commits, InProcess};
use crate::machine::Machine;
use crate::results::Entry;
use crate::served::{LookUps, Mixed, ServedChecks, Writes};

/// The page's name in its folder, and that of the folder of its plots.
const PAGE: &str = "benchmarks.md";
const PLOTS: &str = "benchmarks";

/// All results, by the command that they are of.
#[derive(Debug, Default)]
struct Report {
    machine: Option<Machine>,
    in_process: Vec<InProcess>,
    commits: Vec<Commits>,
    served: Vec<ServedChecks>,
    look_ups: Vec<LookUps>,
    writes: Vec<Writes>,
    mixed: Vec<Mixed>,
    adversarial: Vec<Adversarial>,
    peers: Vec<Beside>,
}

/// Reads the lines of `files`, and writes the page and its plots in `folder`.
///
/// # Errors
/// When a line is no result, or a file cannot be read or written.
pub(crate) fn write(files: &[PathBuf], folder: &Path) -> anyhow::Result<()> {
    let mut report = Report::default();
    for file in files {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let read = report.read(&text);
        read.with_context(|| format!("{} holds something else", file.display()))?;
    }
    report.sort();
    let plots = folder.join(PLOTS);
    fs::create_dir_all(&plots)?;
    let drawings = draw::all(&report);
    for drawing in &drawings {
        fs::write(plots.join(drawing.file()), drawing.plot.svg())?;
    }
    fs::write(folder.join(PAGE), page::page(&report, &drawings))?;
    Ok(())
}

impl Report {
    fn read(&mut self, lines: &str) -> anyhow::Result<()> {
        let lines = lines.lines().enumerate();
        for (ix, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let entry = serde_json::from_str(line);
            match entry.with_context(|| format!("line {} is no result", ix + 1))? {
                Entry::Machine(machine) => self.machine = Some(machine),
                Entry::InProcess(result) => self.in_process.push(result),
                Entry::Commits(result) => self.commits.push(result),
                Entry::Served(result) => self.served.push(result),
                Entry::LookUps(result) => self.look_ups.push(result),
                Entry::Writes(result) => self.writes.push(result),
                Entry::Mixed(result) => self.mixed.push(result),
                // Told where the protocols are described.
                Entry::Standards(_)
                | Entry::Observed(_)
                | Entry::DecisionLog(_)
                | Entry::Overload(_) => {}
                Entry::Adversarial(result) => self.adversarial.push(result),
                Entry::Peers(result) => self.peers.push(result),
            }
        }
        Ok(())
    }

    /// By workload, and then from small to large.
    fn sort(&mut self) {
        fn key(workload: &str, size: u64, and: u64) -> (String, u64, u64) {
            (workload.to_owned(), size, and)
        }
        self.in_process
            .sort_by_key(|of| key(&of.workload, of.relationships as u64, 0));
        self.commits.sort_by_key(|of| {
            let line = format!("{} {}", of.workload, of.relation);
            key(&line, of.relationships as u64, 0)
        });
        self.served.sort_by_key(|of| {
            let calls = (u64::from(of.items_per_call) << 16) | u64::from(of.in_flight);
            key(&of.workload, of.relationships, calls)
        });
        self.look_ups.sort_by_key(|of| {
            let key = key(&of.workload, of.relationships, of.results_about);
            (of.wanted, key)
        });
        self.writes
            .sort_by_key(|of| key(&of.workload, of.relationships, of.writers.into()));
        self.mixed
            .sort_by_key(|of| key(&of.workload, of.relationships, 0));
        self.peers.sort_by_key(|of| {
            let asked = (of.size, of.checks_per_call);
            (of.peer.clone(), asked, of.workload.clone())
        });
    }
}

#[cfg(test)]
mod tests;
