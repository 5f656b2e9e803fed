//! The store: whether it is there, whole and of this version, and the disk below it.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::Revision;
use store::SqliteSource;

use super::{Finding, postgres};
use crate::arguments::Doctor;
use crate::place::Place;

const DEFAULT_STORE: &str = "remit.db";
/// How often a file is synced to see what that takes.
const SYNCS: usize = 8;
/// No disk that keeps its word is quicker. What is, answers from a memory that may be lost with the power.
const SYNC_MIN: Duration = Duration::from_micros(20);
/// Slower, and writes are felt to be slow.
const SYNC_SLOW: Duration = Duration::from_millis(50);

/// What was found, and what other groups need of it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) findings: Vec<Finding>,
    pub(super) relationships: Option<u64>,
    pub(super) head: Option<Revision>,
    /// How far the clock of the store is ahead of this one, in microseconds, and how far off that may be.
    pub(super) clock: Option<(i64, Duration)>,
}

/// The store to look at; an error of its text is told as one. None where none is named and there is none by the usual name.
pub(super) fn place(arguments: &Doctor) -> Option<anyhow::Result<Place>> {
    match &arguments.serve.store {
        Some(text) => Some(text.parse()),
        None => {
            let path = PathBuf::from(DEFAULT_STORE);
            path.exists().then_some(Ok(Place::Sqlite(path)))
        }
    }
}

pub(super) fn look(place: &anyhow::Result<Place>) -> State {
    let mut state = State::default();
    match place {
        Err(error) => {
            let advice = "`sqlite:PATH` or `postgres://USER@HOST/DATABASE`";
            state.findings.push(Finding::failed("store", error, advice));
        }
        Ok(Place::Memory) => {
            let found = "in memory: all of it is gone when the server stops";
            let advice = "for trying out; `--store sqlite:PATH` keeps it";
            state.findings.push(Finding::warn("store", found, advice));
        }
        Ok(Place::Sqlite(path)) => sqlite(path, &mut state),
        Ok(Place::Postgres(config)) => postgres::look(config, &mut state),
    }
    state
}

fn sqlite(path: &Path, state: &mut State) {
    const CHECK: &str = "store";
    let shown = path.display();
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if path.exists() {
        let found = state_of(path);
        if let Ok((head, count)) = &found {
            state.head = Some(*head);
            state.relationships = Some(*count);
        }
        state.findings.push(whole(path, found));
        state
            .findings
            .push(super::files::permissions("store, permissions", path));
        state
            .findings
            .push(match OpenOptions::new().read(true).write(true).open(path) {
                Ok(_) => Finding::ok("store, writable", format!("`{shown}`")),
                Err(error) => {
                    let advice = "run this as the user that serves; that user has to own the file";
                    Finding::fail("store, writable", format!("`{shown}`: {error}"), advice)
                }
            });
    } else {
        let found = format!("`{shown}` is not there");
        let advice = "`remit serve` makes a new, empty one: is that the place that you mean?";
        state.findings.push(Finding::warn(CHECK, found, advice));
    }
    state.findings.push(room(path, folder));
    state.findings.push(syncing(folder));
}

fn state_of(path: &Path) -> anyhow::Result<(Revision, u64)> {
    let source = SqliteSource::open(path)?;
    Ok((source.head()?.revision, source.relationship_count()?))
}

/// Whether the file is a store, and the end of its log as it was written.
fn whole(path: &Path, state: anyhow::Result<(Revision, u64)>) -> Finding {
    match state {
        Ok((head, count)) => {
            let shown = path.display();
            let found = format!("`{shown}` is whole at revision {head}, {count} relationships");
            Finding::ok("store", found)
        }
        Err(error) => {
            let advice = "a damaged file: restore the newest backup (docs/operating.md); one of a later version: run that version";
            Finding::failed("store", &error, advice)
        }
    }
}

/// Whether there is room on the disk for the store to grow, and for a copy of it.
fn room(path: &Path, folder: &Path) -> Finding {
    const CHECK: &str = "disk, room";
    let found = rustix::fs::statvfs(folder);
    let free = match found {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Finding::skipped(CHECK, format!("`{}`: {error}", folder.display())),
    };
    let size = |path: PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let log = PathBuf::from(format!("{}-wal", path.display()));
    of_room(free, size(path.to_owned()).saturating_add(size(log)))
}

fn of_room(free: u64, used: u64) -> Finding {
    const CHECK: &str = "disk, room";
    /// As much as a week of a busy log takes.
    const FREE_MIN: u64 = 1 << 30;
    let found = format!(
        "{} MiB are free, the store takes {} MiB",
        free >> 20,
        used >> 20
    );
    let advice = "make room: writes are refused once the disk is full, and a copy takes as much as the store";
    if free < used / 10 || free < FREE_MIN / 10 {
        Finding::fail(CHECK, found, advice)
    } else if free < used || free < FREE_MIN {
        Finding::warn(CHECK, found, advice)
    } else {
        Finding::ok(CHECK, found)
    }
}

/// What it takes to have something on the disk: a commit takes as long at least.
fn syncing(folder: &Path) -> Finding {
    match synced(folder) {
        Ok(took) => of_sync(took),
        Err(error) => {
            let found = format!("a file in `{}`: {error}", folder.display());
            let advice = "the user that serves has to be able to write in the folder of the store";
            Finding::fail("disk, sync", found, advice)
        }
    }
}

fn of_sync(took: Duration) -> Finding {
    const CHECK: &str = "disk, sync";
    let found = format!("{:.3} ms", took.as_secs_f64() * 1e3);
    if took < SYNC_MIN {
        let found = format!("{found}: it may not wait for the disk");
        let advice = "what was acknowledged can be lost with the power: use a file system that syncs (no tmpfs, no `nobarrier`)";
        Finding::warn(CHECK, found, advice)
    } else if took > SYNC_SLOW {
        let advice = "each group of commits takes that long: use a quicker disk";
        Finding::warn(CHECK, found, advice)
    } else {
        Finding::ok(CHECK, found)
    }
}

/// The middle of what some syncs took, of a file that is gone afterwards.
fn synced(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join(format!(".remit-doctor-{}", std::process::id()));
    let took = sync_in(&path);
    // It was ours; what is left of it harms nobody.
    let _removed = fs::remove_file(&path);
    took
}

fn sync_in(path: &Path) -> std::io::Result<Duration> {
    let mut file = File::create_new(path)?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took.get(SYNCS / 2).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_disk_that_fills_up_is_told() {
        let gib = 1 << 30;
        for (free, used, verdict) in [
            (2 * gib, gib, Verdict::Ok),
            (2 * gib, 3 * gib, Verdict::Warn),
            (gib / 2, 1, Verdict::Warn),
            (2 * gib, 30 * gib, Verdict::Fail),
            (1, 1, Verdict::Fail),
        ] {
            assert_eq!(of_room(free, used).verdict, verdict, "{free} {used}");
        }
    }

    #[test]
    fn a_sync_takes_its_time() {
        for (micros, verdict) in [
            (1, Verdict::Warn),
            (300, Verdict::Ok),
            (100_000, Verdict::Warn),
        ] {
            assert_eq!(of_sync(Duration::from_micros(micros)).verdict, verdict);
        }
    }
}
