//! What the process takes of the machine, as Linux tells it, and how its runtime does. Elsewhere than on Linux the former is not told.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::overload::allowed_bytes;

/// Ticks of a second in `/proc`: a constant of the kernel's interface on every architecture that Remit runs on.
const TICKS: f64 = 100.0;

/// Asks the system and the runtime.
#[derive(Debug)]
pub(crate) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        system(&mut encoder)?;
        runtime(&mut encoder)
    }
}

fn system(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(seconds) = processor_seconds(&stat) {
        let help = "Processor time that the process took";
        let unit = Some(&Unit::Seconds);
        let name = "process_cpu";
        let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, f64>(&seconds, None)?;
    }
    if let Some(seconds) = begun_seconds(&stat) {
        let name = "process_start_time";
        let help = "When the process was started, in seconds since 1970";
        of(encoder, (name, Some(&Unit::Seconds)), help, seconds)?;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |key| field(&status, key).map(|value| value * 1024.0);
    let fields = [
        (
            "process_resident_memory",
            Some(&Unit::Bytes),
            "Memory that the process has of the machine's",
            kilobytes("VmRSS:"),
        ),
        (
            "process_virtual_memory",
            Some(&Unit::Bytes),
            "Memory that the process has addresses for",
            kilobytes("VmSize:"),
        ),
        (
            "process_threads",
            None,
            "Threads of the process",
            field(&status, "Threads:"),
        ),
    ];
    for (name, unit, help, value) in fields {
        if let Some(value) = value {
            of(encoder, (name, unit), help, value)?;
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        let help = "Files and connections that the process has open";
        of(
            encoder,
            ("process_open_fds", None),
            help,
            files.count() as f64,
        )?;
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(files) = field(&limits, "Max open files") {
        let help = "Files and connections that the process may have open";
        of(encoder, ("process_max_fds", None), help, files)?;
    }
    if let Some(bytes) = allowed_bytes() {
        let bytes = bytes as f64;
        let help = "Memory that the process may have: by its control group, or most of the machine";
        let name = "remit_memory_limit";
        of(encoder, (name, Some(&Unit::Bytes)), help, bytes)?;
    }
    Ok(())
}

fn runtime(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return Ok(());
    };
    let metrics = runtime.metrics();
    let told = [
        (
            "remit_runtime_workers",
            "Threads that answer calls",
            metrics.num_workers(),
        ),
        (
            "remit_runtime_tasks",
            "Tasks that are not done",
            metrics.num_alive_tasks(),
        ),
        (
            "remit_runtime_queue",
            "Tasks that wait in the queue that all threads share",
            metrics.global_queue_depth(),
        ),
    ];
    for (name, help, value) in told {
        of(encoder, (name, None), help, value as f64)?;
    }
    Ok(())
}

fn of(
    encoder: &mut DescriptorEncoder<'_>,
    (name, unit): (&str, Option<&Unit>),
    help: &str,
    value: f64,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}

/// The first number after `key` in the text of a file under `/proc`.
fn field(text: &str, key: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What comes in `/proc/self/stat` after the name of the program, which may hold anything; the first is the third of all.
fn after_name(stat: &str) -> Option<Vec<&str>> {
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().collect())
}

fn processor_seconds(stat: &str) -> Option<f64> {
    let fields = after_name(stat)?;
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

fn begun_seconds(stat: &str) -> Option<f64> {
    let ticks: f64 = after_name(stat)?.get(19)?.parse().ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    Some(field(&machine, "btime")? + ticks / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_may_hold_anything() {
        let stat = "7 (a) R (b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 4 0 1000 5 6";
        assert_eq!(processor_seconds(stat), Some(2.0));
        assert_eq!(processor_seconds("nonsense"), None);
        assert_eq!(field("Threads:\t12\nX: 1", "Threads:"), Some(12.0));
        assert_eq!(
            field("Max open files unlimited unlimited", "Max open files"),
            None
        );
    }
}
