//! What the machine says of a process: memory, processor time; and of itself.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Kernel ticks of a second of processor time.
///
/// SOURCE: `USER_HZ` of proc(5), 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that is watched.
#[derive(Debug, Clone)]
pub(crate) struct Process(PathBuf);

impl Process {
    /// This one.
    pub(crate) fn own() -> Self {
        Self(PathBuf::from("/proc/self"))
    }

    /// The one of this number.
    pub(crate) fn of(id: u32) -> Self {
        Self(PathBuf::from(format!("/proc/{id}")))
    }

    /// Bytes of memory it has now.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.status("VmRSS:")
    }

    /// Bytes of memory it had at most.
    pub(crate) fn resident_bytes_max(&self) -> anyhow::Result<u64> {
        self.status("VmHWM:")
    }

    /// Seconds of processor time it has used.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let path = self.0.join("stat");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // The name of the program, which may hold anything, is in parentheses.
        let (_, fields) = text.rsplit_once(')').context("no process status")?;
        let mut fields = fields.split_whitespace().skip(11);
        let user: f64 = fields.next().context("no user time")?.parse()?;
        let system: f64 = fields.next().context("no system time")?.parse()?;
        Ok((user + system) / TICKS_PER_SECOND)
    }

    fn status(&self, key: &str) -> anyhow::Result<u64> {
        let path = self.0.join("status");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let kibibytes: u64 = line
            .and_then(|line| line.split_whitespace().next())
            .with_context(|| format!("no {key} in {}", path.display()))?
            .parse()?;
        Ok(kibibytes * 1024)
    }
}

/// What this machine is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_mebibytes: u64,
    system: String,
}

impl Machine {
    /// The one that this runs on.
    pub(crate) fn own() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let of = |path: &str, key: &str| {
            let text = read(path);
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let memory = of("/proc/meminfo", "MemTotal");
        let kibibytes = memory.split_whitespace().next();
        let kibibytes: Option<u64> = kibibytes.and_then(|count| count.parse().ok());
        Self {
            processor: of("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mebibytes: kibibytes.unwrap_or_default() / 1024,
            system: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} ({} cores), {} MiB of memory, {}",
            self.processor, self.cores, self.memory_mebibytes, self.system
        )
    }
}
