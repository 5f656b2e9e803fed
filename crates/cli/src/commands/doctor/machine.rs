//! The clock of this machine: against that of the store, and whether something keeps it right.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Finding;
use super::store::State;

/// Beyond this a node answers nothing.
const OFFSET_MAX: Duration = Duration::from_millis(500);
/// From here on it is worth a look.
const OFFSET_WARN: Duration = Duration::from_millis(200);
/// Where systemd-timesyncd notes that it has the time.
const TIMESYNC: &str = "/run/systemd/timesync/synchronized";

pub(super) fn look(state: &State) -> Vec<Finding> {
    let offset = state.clock.map(|(micros, off_by)| offset(micros, off_by));
    offset.into_iter().chain([synchronized()]).collect()
}

fn offset(micros: i64, off_by: Duration) -> Finding {
    const CHECK: &str = "clock, store";
    let apart = Duration::from_micros(micros.unsigned_abs());
    // What no delay explains.
    let least = apart.saturating_sub(off_by);
    let side = if micros >= 0 { "behind" } else { "ahead of" };
    let found = format!(
        "this machine is {} ms {side} the store (to {} ms)",
        apart.as_millis(),
        off_by.as_millis()
    );
    let advice = "keep both on NTP; a node answers nothing while it is off by over 500 ms";
    if least > OFFSET_MAX {
        Finding::fail(CHECK, found, advice)
    } else if least > OFFSET_WARN {
        Finding::warn(CHECK, found, advice)
    } else {
        Finding::ok(CHECK, found)
    }
}

/// Whether the clock is kept right, as far as this machine tells.
fn synchronized() -> Finding {
    const CHECK: &str = "clock, synchronization";
    if Path::new(TIMESYNC).exists() {
        return Finding::ok(CHECK, "systemd-timesyncd has the time");
    }
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .output();
    let Some(asked) = asked.ok().filter(|asked| asked.status.success()) else {
        let found = "nothing here tells (a container has the clock of its host)";
        return Finding::skipped(CHECK, found);
    };
    if asked.stdout.starts_with(b"yes") {
        return Finding::ok(CHECK, "NTP has the time");
    }
    let advice = "run systemd-timesyncd or chrony: what expires does so by this clock";
    Finding::warn(CHECK, "NTP does not have the time", advice)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn an_offset_counts_as_far_as_no_delay_explains_it() {
        let millis = Duration::from_millis;
        for (micros, off_by, verdict) in [
            (100_000, millis(1), Verdict::Ok),
            (-300_000, millis(1), Verdict::Warn),
            (300_000, millis(200), Verdict::Ok),
            (-900_000, millis(1), Verdict::Fail),
            (900_000, millis(500), Verdict::Warn),
        ] {
            assert_eq!(offset(micros, off_by).verdict, verdict, "{micros}");
        }
        let told = offset(-900_000, millis(1)).found;
        assert_eq!(told, "this machine is 900 ms ahead of the store (to 1 ms)");
    }
}
