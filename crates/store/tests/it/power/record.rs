//! A process that writes, recorded.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;
use std::process::Command;

use super::child::Workload;
use super::disk::Disk;
use super::said::Said;
use super::states::{Dice, Fate, draw};
use super::trace::{self, Event};
use super::{ARGUMENT, honest};

/// What a process did.
pub(super) struct Record {
    /// The disk before it.
    pub(super) start: Disk,
    /// What was promised before it.
    pub(super) said: Said,
    pub(super) events: Vec<Event>,
    /// All that was said by its end.
    pub(super) all: Said,
}

impl Record {
    /// Records a process that begins with nothing; none where that is not allowed.
    pub(super) fn of(workload: Workload) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let events = record(workload, &path)?;
        let start = Disk::new(&path);
        Some(Self::with(start, Said::default(), Said::default(), events))
    }

    /// Records the process that comes after this one, which ended with the event `point`: it was killed if everything was
    /// kept, for the kernel has it still; or else the power went.
    pub(super) fn after(&self, point: usize, fate: Fate, dice: &mut Dice) -> Option<Self> {
        let (mut disk, said) = self.until(point);
        let state = draw(&disk, fate, dice);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        for (name, content) in &state {
            std::fs::write(path.join(name), content).unwrap();
        }
        let events = record(Workload::Recovery, &path)?;
        if fate == Fate::Kept {
            disk.restart(&path);
        } else {
            disk = Disk::holding(&path, state);
        }
        // A store that was never open may be made again, as another.
        let all = match &said.identity {
            Some(_) => self.all.clone(),
            None => Said::default(),
        };
        Some(Self::with(disk, said, all, events))
    }

    fn with(start: Disk, said: Said, mut all: Said, events: Vec<Event>) -> Self {
        events.iter().for_each(|event| all.hear_event(event));
        assert!(all.hashes.keys().eq(all.held.keys()));
        Self {
            start,
            said,
            events,
            all,
        }
    }

    /// The disk, and what was promised, before an event.
    fn until(&self, point: usize) -> (Disk, Said) {
        let (mut disk, mut said) = (self.start.clone(), self.said.clone());
        for event in &self.events[..point] {
            disk.apply(event, honest);
            said.hear_event(event);
        }
        (disk, said)
    }

    /// Moments to lose the power: before syncs, when most is pending, more often where another file is synced than before
    /// or after; after promises; and anywhere.
    pub(super) fn points(&self, count: usize, dice: &mut Dice) -> BTreeSet<usize> {
        let events = || self.events.iter().enumerate();
        let syncs: Vec<(usize, u32)> = events()
            .filter_map(|(at, event)| Some((at, event.synced()?)))
            .collect();
        let mut turns = Vec::new();
        for pair in syncs.windows(2) {
            if pair[0].1 != pair[1].1 {
                turns.extend([pair[0].0, pair[0].0 + 1, pair[1].0]);
            }
        }
        let promises = events()
            .filter(|(_, event)| matches!(event, Event::Said(line) if !line.starts_with("held")));
        let mut telling: Vec<usize> = promises.map(|(at, _)| at + 1).collect();
        telling.extend(syncs.iter().map(|(at, _)| *at));
        let first = syncs[0].0;
        let drawn = (0..count).map(|number| match number % 4 {
            0 => first + dice.below(self.events.len() - first),
            1 => turns[dice.below(turns.len())],
            _ => telling[dice.below(telling.len())],
        });
        drawn.collect()
    }

    /// How often a write-ahead log was begun, the first time and anew.
    pub(super) fn logs_begun(&self) -> usize {
        const MAGIC: &[u8] = &[0x37, 0x7f, 0x06];
        let is_header = |event: &&Event| matches!(event, Event::Write { at: 0, bytes, .. } if bytes.starts_with(MAGIC));
        self.events.iter().filter(is_header).count()
    }
}

/// Runs a process of this program in a folder; none where recording is not allowed.
fn record(workload: Workload, folder: &Path) -> Option<Vec<Event>> {
    let scratch = tempfile::tempdir().unwrap();
    let trace = scratch.path().join("trace");
    let strace = || {
        let mut strace = Command::new("strace");
        strace.args(["-f", "--seccomp-bpf", "-a", "1", "-xx", "-s", "1048576"]);
        // Not every machine has them all.
        let calls = trace::CALLS.replace(',', ",?");
        strace.args(["-e", &format!("trace=?{calls}")]);
        strace.arg("-o").arg(&trace);
        strace
    };
    let tried = strace().arg("true").output();
    if !tried.as_ref().is_ok_and(|tried| tried.status.success()) {
        // Not by a macro, whose output a test that passes keeps to itself.
        let reason = "losses of power need strace, and the right to use it";
        let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}: {tried:?}");
        return None;
    }
    let recorded = strace()
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "power::the_process_that_is_recorded",
        ])
        .arg(format!("{ARGUMENT}{workload:?}:{}", folder.display()))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&recorded.stderr);
    assert!(recorded.status.success(), "{error}");
    let trace = File::open(&trace).unwrap();
    Some(trace::read(BufReader::new(trace)))
}
