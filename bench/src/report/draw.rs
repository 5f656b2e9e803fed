//! Which plots the page has, and what of the results is in each.

use super::Report;
use super::plot::{Axis, Line, Plot, Scale};
use crate::in_process::{Commits, InProcess};
use crate::served::{LookUps, Measured, ServedChecks, Wanted};

/// Calls under way in the plot of quantiles, or as near as there is.
const IN_FLIGHT: u16 = 16;

/// A plot with the name of its file.
pub(super) struct Drawing {
    pub(super) name: &'static str,
    pub(super) plot: Plot,
}

impl Drawing {
    pub(super) fn file(&self) -> String {
        format!("{}.svg", self.name)
    }
}

/// The plots that there are results for.
pub(super) fn all(report: &Report) -> Vec<Drawing> {
    let looked_up = |wanted| -> Vec<&LookUps> {
        let all = report.look_ups.iter();
        largest(all.filter(|of| of.wanted == wanted), |of| {
            (&of.workload, of.relationships)
        })
    };
    let checks = report.served.iter();
    let checks = checks.filter(|of| of.items_per_call == 1 && of.rate.is_none());
    let checks = largest(checks, |of| (&of.workload, of.relationships));
    let drawings = [
        (CHECKS, check_latency(&report.in_process)),
        (MEMORY, memory(&report.in_process)),
        (
            COMMIT_TIME,
            commits("time", Scale::Time, &report.commits, |of| {
                of.nanoseconds / 1e9
            }),
        ),
        (
            COMMIT_BYTES,
            commits("bytes", Scale::Logarithmic, &report.commits, |of| of.bytes),
        ),
        (CPU, cpu_ratio(&checks)),
        (QUANTILES, quantiles(&checks)),
        (
            RESOURCES,
            look_ups("Look-ups of resources", &looked_up(Wanted::Resources)),
        ),
        (
            SUBJECTS,
            look_ups("Look-ups of subjects", &looked_up(Wanted::Subjects)),
        ),
    ];
    let drawings = drawings
        .into_iter()
        .map(|(name, plot)| Drawing { name, plot });
    drawings
        .filter(|drawing| !drawing.plot.lines.is_empty())
        .collect()
}

pub(super) const CHECKS: &str = "check-latency";
pub(super) const MEMORY: &str = "memory";
pub(super) const COMMIT_TIME: &str = "commit-time";
pub(super) const COMMIT_BYTES: &str = "commit-bytes";
pub(super) const CPU: &str = "served-cpu";
pub(super) const QUANTILES: &str = "served-latency";
pub(super) const RESOURCES: &str = "look-ups-of-resources";
pub(super) const SUBJECTS: &str = "look-ups-of-subjects";

fn check_latency(results: &[InProcess]) -> Plot {
    type Quantile = fn(&InProcess) -> u64;
    let quantiles: [(&str, bool, Quantile); 2] = [
        ("p50", false, |of| of.p50_nanoseconds),
        ("p99", true, |of| of.p99_nanoseconds),
    ];
    Plot {
        title: "A check in the process, by size of the data".to_owned(),
        x: axis("relationships", Scale::Logarithmic),
        y: axis("latency", Scale::Time),
        lines: lines(
            results,
            |of| &of.workload,
            &quantiles,
            |of, quantile| (of.relationships as f64, quantile(of) as f64 / 1e9),
        ),
    }
}

fn memory(results: &[InProcess]) -> Plot {
    let of_kernel: [(&str, bool, ()); 1] = [("", false, ())];
    Plot {
        title: "Memory, by size of the data".to_owned(),
        x: axis("relationships", Scale::Logarithmic),
        y: axis("resident bytes a relationship", Scale::Logarithmic),
        lines: lines(
            results,
            |of| &of.workload,
            &of_kernel,
            |of, ()| (of.relationships as f64, of.resident_bytes_per_relationship),
        ),
    }
}

fn commits(
    label: &'static str,
    scale: Scale,
    results: &[Commits],
    value: fn(&Commits) -> f64,
) -> Plot {
    let named: Vec<(String, &Commits)> = results
        .iter()
        .map(|of| (format!("{}, {}", of.workload, of.relation), of))
        .collect();
    Plot {
        title: format!("A commit of one relationship in the graph: {label}, by size of the data"),
        x: axis("relationships", Scale::Logarithmic),
        y: axis(label, scale),
        lines: lines(
            &named,
            |(name, _)| name,
            &[("", false, ())],
            |(_, of), ()| (of.relationships as f64, value(of)),
        ),
    }
}

fn cpu_ratio(checks: &[&ServedChecks]) -> Plot {
    let mut in_flight: Vec<u16> = checks.iter().map(|of| of.in_flight).collect();
    in_flight.sort_unstable();
    in_flight.dedup();
    let measured: Vec<(&ServedChecks, f64)> = checks
        .iter()
        .filter_map(|of| Some((*of, of.comparison.cpu_ratio?)))
        .collect();
    let place = |of: &ServedChecks| {
        in_flight
            .iter()
            .take_while(|at| **at < of.in_flight)
            .count()
    };
    Plot {
        title: "Server processor time of a check, against an empty call".to_owned(),
        x: axis(
            "calls under way",
            Scale::Named(in_flight.iter().map(u16::to_string).collect()),
        ),
        y: axis("times that of an empty call", Scale::Linear),
        lines: lines(
            &measured,
            |(of, _)| &of.workload,
            &[("", false, ())],
            |(of, ratio), ()| (place(of) as f64, *ratio),
        ),
    }
}

fn quantiles(checks: &[&ServedChecks]) -> Plot {
    const NAMES: [&str; 4] = ["p50", "p99", "p99.9", "p99.99"];
    type Server = fn(&ServedChecks) -> &Measured;
    let nearest = checks.iter().map(|of| of.in_flight);
    let nearest = nearest.min_by_key(|in_flight| in_flight.abs_diff(IN_FLIGHT));
    let of_servers: [(&str, bool, Server); 2] = [
        ("", false, |of| &of.comparison.remit),
        ("empty", true, |of| &of.comparison.floor),
    ];
    let each: Vec<(&ServedChecks, usize)> = checks
        .iter()
        .filter(|of| Some(of.in_flight) == nearest)
        .flat_map(|of| (0..NAMES.len()).map(|ix| (*of, ix)))
        .collect();
    Plot {
        title: format!(
            "A check over gRPC, {} calls under way",
            nearest.unwrap_or_default()
        ),
        x: axis("quantile", Scale::Named(NAMES.map(str::to_owned).to_vec())),
        y: axis("latency", Scale::Time),
        lines: lines(
            &each,
            |(of, _)| &of.workload,
            &of_servers,
            |(of, ix), server| {
                let of = server(of).latencies;
                let quantiles = [
                    of.p50_microseconds,
                    of.p99_microseconds,
                    of.p999_microseconds,
                    of.p9999_microseconds,
                ];
                let microseconds = quantiles.get(*ix).copied().unwrap_or_default();
                (*ix as f64, microseconds / 1e6)
            },
        ),
    }
}

fn look_ups(title: &str, results: &[&LookUps]) -> Plot {
    type Server = fn(&LookUps) -> &Measured;
    let of_servers: [(&str, bool, Server); 2] = [
        ("", false, |of| &of.comparison.remit),
        ("empty", true, |of| &of.comparison.floor),
    ];
    Plot {
        title: format!("{title} over gRPC, by number of results"),
        x: axis("results", Scale::Logarithmic),
        y: axis("p50 latency", Scale::Time),
        lines: lines(
            results,
            |of| &of.workload,
            &of_servers,
            |of, server| (of.results_mean, server(of).latencies.p50_microseconds / 1e6),
        ),
    }
}

fn axis(label: &'static str, scale: Scale) -> Axis {
    Axis { label, scale }
}

/// A line for each workload and each of `parts`, which are a name, whether it is dashed, and what to make its points with.
fn lines<T, P: Copy>(
    results: &[T],
    workload: impl Fn(&T) -> &String,
    parts: &[(&str, bool, P)],
    point: impl Fn(&T, P) -> (f64, f64),
) -> Vec<Line> {
    let mut workloads: Vec<&String> = results.iter().map(&workload).collect();
    workloads.dedup();
    let mut lines = Vec::new();
    for (colour, name) in workloads.into_iter().enumerate() {
        for (part, is_dashed, with) in parts {
            let own = results.iter().filter(|of| workload(of) == name);
            lines.push(Line {
                name: if part.is_empty() {
                    name.clone()
                } else {
                    format!("{name}, {part}")
                },
                colour,
                is_dashed: *is_dashed,
                points: own.map(|of| point(of, *with)).collect(),
            });
        }
    }
    lines
}

/// Of each workload those with the most relationships.
fn largest<'a, T>(
    results: impl Iterator<Item = &'a T>,
    of: impl Fn(&T) -> (&String, u64),
) -> Vec<&'a T> {
    let results: Vec<&T> = results.collect();
    let is_largest = |one: &T| {
        let (workload, size) = of(one);
        let mut same = results.iter().map(|other| of(other));
        same.all(|(other, other_size)| other != workload || other_size <= size)
    };
    let largest = results.iter().filter(|one| is_largest(one));
    largest.copied().collect()
}
