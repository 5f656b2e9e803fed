//! The clock of one process, which runs off when it is told to. The other clocks of the process, by which it waits, go on.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A clock; the process that has it asks a file how far it is off, each time that it looks.
pub(crate) struct Clock {
    folder: TempDir,
    library: PathBuf,
}

impl Clock {
    /// A right clock; none where there is no libfaketime.
    pub(crate) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let clock = Self {
            folder,
            library: library()?,
        };
        clock.set(0);
        Some(clock)
    }

    /// Whether there can be clocks; says so if not.
    pub(crate) fn is_there() -> bool {
        let is_there = library().is_some();
        if !is_there {
            // Not by a macro, whose output a test that passes keeps to itself.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: clocks that run off need libfaketime (apt-get install faketime)"
            );
        }
        is_there
    }

    /// Has a process that is about to be started go by this clock.
    pub(crate) fn give_to(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    /// Sets the clock so far off the right time.
    pub(crate) fn set(&self, millis: i64) {
        let new = self.folder.path().join("new");
        let seconds = millis as f64 / 1e3;
        fs::write(&new, format!("{seconds:+.3}\n")).unwrap();
        // Never read half-written.
        fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}

/// Where Debian has the library for programs of several threads.
fn library() -> Option<PathBuf> {
    let machines = fs::read_dir("/usr/lib").ok()?;
    let mut libraries = machines
        .filter_map(|machine| Some(machine.ok()?.path().join("faketime/libfaketimeMT.so.1")));
    libraries.find(|library| library.is_file())
}
