//! The limits that the system sets: memory against what the store holds, open files, processor time.

use std::fs;
use std::path::PathBuf;

use server::overload::allowed_bytes;

use super::Finding;
use super::store::State;
use crate::arguments::Serve;

/// What docs/operating.md says that a node takes.
const MEMORY_BASE: u64 = 512 << 20;
const MEMORY_PER_RELATIONSHIP: u64 = 100;
/// Connections of callers, and a few for the store and files.
const FILES_MIN: u64 = 4_096;
/// What a look-up may take for each relationship that it may look at.
const LOOK_UP_BYTES: u64 = 90;

pub(super) fn look(state: &State, serve: &Serve) -> Vec<Finding> {
    let limits = fs::read_to_string("/proc/self/limits").ok();
    let files = limits.as_deref().and_then(open_files);
    let mut findings = vec![files.map_or_else(
        || Finding::skipped("open files", "this system does not tell"),
        of_files,
    )];
    let memory = allowed_bytes();
    findings.push(match (memory, state.relationships) {
        (Some(memory), Some(count)) => of_memory(memory, count),
        (Some(memory), None) => Finding::skipped(
            "memory",
            format!(
                "{} MiB; the store does not tell how much it needs",
                memory >> 20
            ),
        ),
        (None, _) => Finding::skipped("memory", "this system does not tell"),
    });
    if let Some(memory) = memory {
        findings.extend(of_look_ups(memory, serve.limits.look_up_edges_visited_max));
    }
    if let Some(quota) = own_group("cpu.max").filter(|quota| !quota.starts_with("max")) {
        let found = format!("processor time is limited (cpu.max {})", quota.trim());
        let advice = "give a node no limit of processor time: it is slowed down all at once when it is used up";
        findings.push(Finding::warn("processors", found, advice));
    }
    findings
}

/// The soft limit, which a process has.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    match soft {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

fn of_files(files: u64) -> Finding {
    let found = format!("{files} may be open");
    if files >= FILES_MIN {
        return Finding::ok("open files", found);
    }
    let advice = "raise it (`LimitNOFILE=65536` in a unit, `ulimit -n`): each connection takes one";
    Finding::warn("open files", found, advice)
}

fn of_memory(memory: u64, relationships: u64) -> Finding {
    const CHECK: &str = "memory";
    let needed = MEMORY_BASE.saturating_add(relationships.saturating_mul(MEMORY_PER_RELATIONSHIP));
    let found = format!(
        "{} MiB, {relationships} relationships take up to {} MiB",
        memory >> 20,
        needed >> 20
    );
    let advice = "raise the limit, or use a larger machine: 512 MiB and 100 bytes a relationship";
    if memory < needed / 2 {
        Finding::fail(CHECK, found, advice)
    } else if memory < needed {
        Finding::warn(CHECK, found, advice)
    } else {
        Finding::ok(CHECK, found)
    }
}

/// Whether one look-up can take more memory than there is.
fn of_look_ups(memory: u64, edges_max: u64) -> Option<Finding> {
    let worst = edges_max.saturating_mul(LOOK_UP_BYTES);
    if worst <= memory {
        return None;
    }
    let found = format!(
        "one look-up may take {} MiB (`--look-up-edges-visited-max {edges_max}`)",
        worst >> 20
    );
    let advice = "lower it where callers are not trusted with that, and the graph is that large";
    Some(Finding::warn("memory, look-ups", found, advice))
}

/// A file of the group of this process, in the second form of Linux' control groups.
fn own_group(file: &str) -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let path = PathBuf::from("/sys/fs/cgroup").join(own).join(file);
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn what_the_system_tells_is_read() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(open_files(limits), Some(1_024));
        assert_eq!(of_files(1_024).verdict, Verdict::Warn);
        assert_eq!(of_files(65_536).verdict, Verdict::Ok);
    }

    #[test]
    fn memory_is_held_against_what_the_store_has() {
        let gib = 1 << 30;
        for (memory, count, verdict) in [
            (gib, 1_000_000, Verdict::Ok),
            (gib, 10_000_000, Verdict::Warn),
            (gib, 100_000_000, Verdict::Fail),
        ] {
            assert_eq!(of_memory(memory, count).verdict, verdict, "{count}");
        }
        assert!(of_look_ups(gib, 10_000_000).is_none());
        assert!(of_look_ups(gib, 100_000_000).is_some());
    }
}
