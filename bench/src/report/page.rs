//! The page: a section for each command, with its table and plots.

use super::draw::{self, Drawing};
use super::{PLOTS, Report};
use crate::beside::by_peer;
use crate::served::{Comparison, Latencies, Wanted};

/// The page, with the plots that there are.
pub(super) fn page(report: &Report, drawings: &[Drawing]) -> String {
    let machine = report
        .machine
        .as_ref()
        .map(|machine| format!("On: {machine}.\n"));
    let sections = [
        Some(
            "# Benchmarks\n\nMade by `cargo xtask bench report` from results of `cargo xtask bench all`; bench/README.md says what is measured and how. \
             The client shares the machine with the server, so that a ratio to an empty call on the same gRPC library says more than a time.\n"
                .to_owned(),
        ),
        machine,
        in_process(report, drawings),
        commits(report, drawings),
        served(report, drawings),
        look_ups(report, drawings),
        writes(report),
        mixed(report),
        adversarial(report),
        peers(report),
    ];
    sections
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("\n")
}

fn in_process(report: &Report, drawings: &[Drawing]) -> Option<String> {
    let rows = report.in_process.iter().map(|of| {
        vec![
            of.workload.clone(),
            count(of.relationships as u64),
            number(of.load_relationships_per_second),
            number(of.edge_bytes_per_relationship),
            number(of.resident_bytes_per_relationship),
            number(of.allowed_nanoseconds),
            number(of.other_nanoseconds),
            count(of.p50_nanoseconds),
            count(of.p99_nanoseconds),
            count(of.p999_nanoseconds),
        ]
    });
    section(
        "Checks and memory in the process",
        "in-process --workload W --size N",
        "One core, ids as text, nothing cached between questions. Means by answer; quantiles of single checks.",
        &[
            "workload",
            "relationships",
            "loaded a second",
            "graph, bytes a relationship",
            "resident, bytes a relationship",
            "allowed, ns",
            "others, ns",
            "p50, ns",
            "p99, ns",
            "p99.9, ns",
        ],
        rows.collect(),
        &images(drawings, &[draw::CHECKS, draw::MEMORY]),
    )
}

fn commits(report: &Report, drawings: &[Drawing]) -> Option<String> {
    let rows = report.commits.iter().map(|of| {
        vec![
            of.workload.clone(),
            of.relation.clone(),
            format!("{:.1}%", of.resources_share * 100.0),
            count(of.relationships as u64),
            number(of.nanoseconds),
            number(of.bytes),
        ]
    });
    section(
        "A commit of one relationship, in the graph",
        "in-process --workload W --size N",
        "To a snapshot that stays, without the store. Bytes are what the new snapshot does not share with the one before.",
        &[
            "workload",
            "relation",
            "resources that have it",
            "relationships",
            "ns",
            "bytes",
        ],
        rows.collect(),
        &images(drawings, &[draw::COMMIT_TIME, draw::COMMIT_BYTES]),
    )
}

fn served(report: &Report, drawings: &[Drawing]) -> Option<String> {
    let rows = report.served.iter().map(|of| {
        let calls = match of.rate {
            None => "closed".to_owned(),
            Some(rate) => format!("open, {} a second", count(rate.into())),
        };
        let mut row = vec![
            of.workload.clone(),
            count(of.relationships),
            of.items_per_call.to_string(),
            of.in_flight.to_string(),
            calls,
        ];
        row.extend(latencies(&of.comparison.remit.latencies));
        row.push(number(of.comparison.remit.server_resident_mebibytes));
        row.extend(compared(&of.comparison));
        row.push(
            of.cold
                .map_or_else(String::new, |cold| number(cold.latencies.p50_microseconds)),
        );
        row
    });
    let headings = [
        &["workload", "relationships", "items", "under way", "loop"],
        LATENCIES,
        &["resident, MiB"],
        COMPARED,
        &["cold p50, µs"],
    ];
    section(
        "Checks over gRPC",
        "served --workload W --size N [--bulk 100] [--direct] [--rate R] [--cold]",
        "Latencies are of calls, which have so many items. Cold is the first round after a start on a store that was there.",
        &headings.concat(),
        rows.collect(),
        &images(drawings, &[draw::CPU, draw::QUANTILES]),
    )
}

fn look_ups(report: &Report, drawings: &[Drawing]) -> Option<String> {
    let rows = report.look_ups.iter().map(|of| {
        let wanted = match of.wanted {
            Wanted::Resources => "resources",
            Wanted::Subjects => "subjects",
        };
        let remit = &of.comparison.remit;
        let mut row = vec![
            of.workload.clone(),
            count(of.relationships),
            wanted.to_owned(),
            number(of.results_mean),
            number(of.in_process_milliseconds * 1e3),
        ];
        row.extend(latencies(&remit.latencies));
        row.push(number(remit.results_per_second));
        row.extend(compared(&of.comparison));
        row
    });
    let headings = [
        &[
            "workload",
            "relationships",
            "of",
            "results",
            "in the process, µs",
        ],
        LATENCIES,
        &["results a second"],
        COMPARED,
    ];
    section(
        "Look-ups",
        "look-ups --workload W --size N",
        "Until the last result has come. Beside an empty stream of as many equal messages.",
        &headings.concat(),
        rows.collect(),
        &images(drawings, &[draw::RESOURCES, draw::SUBJECTS]),
    )
}

fn writes(report: &Report) -> Option<String> {
    let rows = report.writes.iter().map(|of| {
        let mut row = vec![
            of.workload.clone(),
            count(of.relationships),
            of.writers.to_string(),
        ];
        row.extend(latencies(&of.measured.latencies));
        row.push(number(of.measured.server_cpu_microseconds));
        row
    });
    let headings = [
        &["workload", "relationships", "writers"],
        LATENCIES,
        &["server CPU, µs"],
    ];
    section(
        "Writes",
        "writes --workload W --size N",
        "One relationship a call, written and then deleted; every call is a commit of its own.",
        &headings.concat(),
        rows.collect(),
        "",
    )
}

fn mixed(report: &Report) -> Option<String> {
    let rows = report.mixed.iter().flat_map(|of| {
        let open = &of.open;
        let begun = format!(
            "open, {} checks/s",
            count(of.checks_per_second_begun.into())
        );
        let commits = count(of.commits_per_second_begun.into());
        let beside = format!("{begun} beside {commits} commits/s");
        let closed = "closed, 1% writes";
        let each = [
            (closed, "checks", of.closed.checks, None),
            (closed, "writes", of.closed.writes, None),
            (&begun, "checks", open.quiet, None),
            (&beside, "checks", open.beside_commits, open.p99_ratio),
            (&beside, "writes", open.commits, None),
        ];
        each.map(|(load, what, measured, ratio)| {
            let mut row = vec![
                of.workload.clone(),
                count(of.relationships),
                load.to_owned(),
                what.to_owned(),
            ];
            row.extend(latencies(&measured));
            row.push(times(ratio));
            row
        })
    });
    let headings = [
        &["workload", "relationships", "load", "calls"],
        LATENCIES,
        &["p99 against quiet"],
    ];
    section(
        "Checks while others write",
        "mixed --workload W --size N",
        "An open loop measures from the instant at which a call was to begin.",
        &headings.concat(),
        rows.collect(),
        "",
    )
}

fn adversarial(report: &Report) -> Option<String> {
    let rows = report.adversarial.iter().map(|of| {
        vec![
            of.case.clone(),
            count(of.relationships as u64),
            of.question.clone(),
            of.outcome.clone(),
            number(of.milliseconds),
        ]
    });
    section(
        "Data that is made to be hard",
        "adversarial",
        "In the process, with the limits of a node. The command fails if an outcome is another.",
        &["case", "relationships", "question", "outcome", "ms"],
        rows.collect(),
        "",
    )
}

fn peers(report: &Report) -> Option<String> {
    let mut rows = Vec::new();
    let mut notes = String::from("How each is run:\n");
    let mut told = None;
    for of_peer in by_peer(&report.peers) {
        let mut row = |workload: &str, relationships: String, asked: String, ratios: [f64; 3]| {
            let mut row = vec![of_peer.peer.to_owned(), workload.to_owned(), relationships];
            row.extend([count(of_peer.checks_per_call.into()), asked]);
            row.extend(ratios.map(number));
            rows.push(row);
        };
        for of in &of_peer.results {
            let asked = format!("{:.0}%", of.asked_share * 100.0);
            let ratios = [of.cpu_ratio, of.throughput_ratio, of.p50_ratio];
            row(&of.workload, count(of.relationships), asked, ratios);
        }
        let means = [
            of_peer.mean(|of| of.cpu_ratio),
            of_peer.mean(|of| of.throughput_ratio),
            of_peer.mean(|of| of.p50_ratio),
        ];
        row("geometric mean", String::new(), String::new(), means);
        if told.replace(of_peer.peer) != Some(of_peer.peer) {
            notes.push_str(&format!("- {}: {}.\n", of_peer.peer, of_peer.how));
        }
    }
    section(
        "Beside others",
        "peers --size N [--bulk 100]",
        "Remit against each: checks a second of the processor time of the process that answers, checks a second, and the other's \
         median latency in Remit's. More is better for Remit. Each peer first gave Remit's answers.",
        &[
            "peer",
            "workload",
            "relationships",
            "checks a call",
            "questions asked",
            "checks a CPU second, ratio",
            "checks a second, ratio",
            "p50, ratio",
        ],
        rows,
        &format!("{notes}\n"),
    )
}

const LATENCIES: &[&str] = &[
    "calls a second",
    "p50, µs",
    "p99, µs",
    "p99.9, µs",
    "p99.99, µs",
    "failed",
];

fn latencies(of: &Latencies) -> [String; 6] {
    [
        number(of.calls_per_second),
        number(of.p50_microseconds),
        number(of.p99_microseconds),
        number(of.p999_microseconds),
        number(of.p9999_microseconds),
        count(of.errors),
    ]
}

const COMPARED: &[&str] = &["server CPU, µs", "empty, µs", "CPU ratio", "p50 ratio"];

fn compared(of: &Comparison) -> [String; 4] {
    [
        number(of.remit.server_cpu_microseconds),
        number(of.floor.server_cpu_microseconds),
        times(of.cpu_ratio),
        times(of.p50_ratio),
    ]
}

/// A section, if it has a row.
fn section(
    heading: &str,
    command: &str,
    note: &str,
    columns: &[&str],
    rows: Vec<Vec<String>>,
    images: &str,
) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let names: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    let ruled: Vec<String> = (0..columns.len())
        .map(|ix| if ix == 0 { "---" } else { "---:" }.to_owned())
        .collect();
    let body: String = rows.iter().map(|row| line(row)).collect();
    Some(format!(
        "## {heading}\n\n```sh\ncargo xtask bench {command}\n```\n\n{note}\n\n{images}{}{}{body}",
        line(&names),
        line(&ruled),
    ))
}

fn images(drawings: &[Drawing], names: &[&str]) -> String {
    let own = drawings
        .iter()
        .filter(|drawing| names.contains(&drawing.name));
    own.map(|drawing| format!("![{}]({PLOTS}/{})\n\n", drawing.plot.title, drawing.file()))
        .collect()
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
}

/// A measure, with three digits that count.
fn number(value: f64) -> String {
    match value {
        value if value >= 99.95 => count(value.round() as u64),
        value if value >= 9.995 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// A whole number in groups of three.
fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (ix, digit) in digits.chars().enumerate() {
        if ix > 0 && (digits.len() - ix).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
