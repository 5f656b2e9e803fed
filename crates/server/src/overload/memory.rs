//! The memory of the process, looked at some times a second: short of it, what takes much is refused, and checks go on.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use super::class::Class;

const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Marks, in hundredths of what the process may have. A state ends some hundredths below the mark at which it begins.
const LOW_MARK: u64 = 85;
const CRITICAL_MARK: u64 = 95;
const BELOW: u64 = 3;
/// What a process may have of a machine that is its own, in hundredths.
const OF_MACHINE: u64 = 90;

/// Tells how many bytes of memory the process has; none if that cannot be known.
pub type Gauge = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// How much memory there may be, and how it is measured.
#[derive(Clone)]
pub struct MemorySettings {
    /// Bytes; none for what the process is given by its control group, or 90% of the machine's; 0 for no guard.
    pub bytes_max: Option<u64>,
    /// Tells how much there is.
    pub gauge: Gauge,
}

/// Whether there is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Enough,
    /// No look-ups, large batches, reads, new streams and imports.
    Low,
    /// Nothing but checks, and what is never refused.
    Critical,
}

/// The guard.
#[derive(Debug)]
pub(super) struct Memory {
    settings: MemorySettings,
    bytes_max: u64,
    used: AtomicU64,
    state: AtomicU8,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            bytes_max: None,
            gauge: Arc::new(resident_bytes),
        }
    }
}

impl fmt::Debug for MemorySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MemorySettings");
        shown.field("bytes_max", &self.bytes_max);
        shown.finish_non_exhaustive()
    }
}

impl State {
    /// The state after `self` with `used` of `max` bytes.
    fn next(self, used: u64, max: u64) -> Self {
        let is_past = |mark: u64, held: bool| {
            let mark = if held { mark - BELOW } else { mark };
            u128::from(used) * 100 >= u128::from(max) * u128::from(mark)
        };
        if is_past(CRITICAL_MARK, self == Self::Critical) {
            return Self::Critical;
        }
        if is_past(LOW_MARK, self != Self::Enough) {
            return Self::Low;
        }
        Self::Enough
    }

    const fn number(self) -> u8 {
        match self {
            Self::Enough => 0,
            Self::Low => 1,
            Self::Critical => 2,
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Enough,
            1 => Self::Low,
            _ => Self::Critical,
        }
    }

    /// Whether there is memory for a call of `class`, which may be an import.
    pub(super) const fn admits(self, class: Class, is_import: bool) -> bool {
        match (self, class) {
            (Self::Enough, _) | (_, Class::Check) => true,
            (Self::Low, Class::Write) => !is_import,
            (Self::Low, Class::Bulk | Class::Stream)
            | (Self::Critical, Class::Write | Class::Bulk | Class::Stream) => false,
        }
    }
}

impl Memory {
    pub(super) fn new(settings: MemorySettings) -> Self {
        let bytes_max = settings.bytes_max.or_else(allowed_bytes).unwrap_or(0);
        Self {
            settings,
            bytes_max,
            used: AtomicU64::new(0),
            state: AtomicU8::new(0),
        }
    }

    pub(super) fn state(&self) -> State {
        State::of(self.state.load(Ordering::Relaxed))
    }

    /// Bytes that the process has, and may have; 0 for what is not known.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.used.load(Ordering::Relaxed), self.bytes_max)
    }

    /// Looks again and again.
    pub(super) async fn watch(&self) {
        if self.bytes_max == 0 {
            tracing::info!("memory is not watched: no limit of it is set or known");
            return;
        }
        loop {
            self.look();
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn look(&self) {
        let Some(used) = (self.settings.gauge)() else {
            return;
        };
        self.used.store(used, Ordering::Relaxed);
        let before = self.state();
        let state = before.next(used, self.bytes_max);
        if state == before {
            return;
        }
        self.state.store(state.number(), Ordering::Relaxed);
        let (used_mib, max_mib) = (used >> 20, self.bytes_max >> 20);
        match state {
            State::Enough => tracing::info!(used_mib, max_mib, "there is enough memory again"),
            State::Low => tracing::warn!(
                used_mib,
                max_mib,
                "memory is low: look-ups, large batches, reads, imports and new streams are refused"
            ),
            State::Critical => tracing::error!(
                used_mib,
                max_mib,
                "memory is nearly used up: all but checks is refused"
            ),
        }
    }
}

/// What the process has in memory.
fn resident_bytes() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The bytes of memory that the process may have: by its control group, or most of the machine; none where the system does not tell.
#[must_use]
pub fn allowed_bytes() -> Option<u64> {
    let of_machine = fs::read_to_string("/proc/meminfo").ok();
    let of_machine = of_machine.and_then(|text| kibibytes(&text, "MemTotal:"));
    let of_machine = of_machine.map(|bytes| bytes / 100 * OF_MACHINE);
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::"));
    let files = [
        format!("/sys/fs/cgroup{}/memory.max", group.unwrap_or_default()),
        "/sys/fs/cgroup/memory.max".to_owned(),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned(),
    ];
    let of_group = files.iter().find_map(|file| {
        let text = fs::read_to_string(Path::new(file)).ok()?;
        text.trim().parse::<u64>().ok()
    });
    match (of_group, of_machine) {
        // No limit is written as a number larger than any machine.
        (Some(group), Some(machine)) => Some(group.min(machine)),
        (group, machine) => group.or(machine),
    }
}

/// The number of KiB behind `name`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.trim().strip_suffix("kB")?.trim().parse::<u64>();
    number.ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_begin_at_their_marks_and_end_below_them() {
        let mut state = State::Enough;
        let states = [84, 85, 83, 82, 81, 95, 93, 92, 91, 81, 99].map(|used| {
            state = state.next(used, 100);
            state.number()
        });
        assert_eq!(states, [0, 1, 1, 1, 0, 2, 2, 2, 1, 0, 2]);
    }

    #[test]
    fn checks_are_never_refused_for_memory() {
        for state in [State::Enough, State::Low, State::Critical] {
            assert!(state.admits(Class::Check, false));
        }
        assert!(State::Low.admits(Class::Write, false));
        assert!(!State::Low.admits(Class::Write, true));
        assert!(!State::Low.admits(Class::Bulk, false));
        assert!(!State::Critical.admits(Class::Write, false));
    }

    #[test]
    fn the_process_knows_what_it_has_and_may_have() {
        let (has, may) = (resident_bytes().unwrap(), allowed_bytes().unwrap());
        assert!(has > 1 << 20 && has < may, "{has} of {may}");
        assert_eq!(kibibytes("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12_288));
        assert_eq!(kibibytes("VmRSS:\t  12 MB\n", "VmRSS:"), None);
    }

    #[test]
    fn a_gauge_moves_the_state() {
        let used = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&used);
        let memory = Memory::new(MemorySettings {
            bytes_max: Some(1_000),
            gauge: Arc::new(move || Some(told.load(Ordering::Relaxed))),
        });
        for (bytes, state) in [
            (0, State::Enough),
            (900, State::Low),
            (990, State::Critical),
            (1, State::Enough),
        ] {
            used.store(bytes, Ordering::Relaxed);
            memory.look();
            assert_eq!(memory.state(), state, "{bytes}");
            assert_eq!(memory.bytes(), (bytes, 1_000));
        }
    }
}
