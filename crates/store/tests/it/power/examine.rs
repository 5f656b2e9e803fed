//! Many losses of power in one record.

use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;

use super::check::{Fault, FaultKind, check};
use super::disk::{Disk, SHARED_INDEX};
use super::is_slow;
use super::record::Record;
use super::said::Said;
use super::states::{Dice, Fate, State, draw};

/// Drawn at each point of a record, again and again where there is time, after [`Fate::Kept`] and [`Fate::Lost`].
const FATES: [Fate; 8] = [
    Fate::Torn,
    Fate::Torn,
    Fate::Torn,
    Fate::Some,
    Fate::Some,
    Fate::Grown,
    Fate::Mixed,
    Fate::Mixed,
];

impl Record {
    /// Loses the power at about `count` points of the record, on a disk that honours some syncs.
    pub(super) fn examine(&self, honours: fn(&str) -> bool, count: usize, seed: u64) -> Found {
        let points = self.points(count, &mut Dice(seed));
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let found = std::thread::scope(|scope| {
            let work = |worker| {
                let own = points.iter().skip(worker).step_by(workers).copied();
                let own: Vec<usize> = own.collect();
                scope.spawn(move || self.examine_at(&own, honours, seed))
            };
            let working: Vec<_> = (0..workers).map(work).collect();
            let found = working.into_iter().map(|worker| worker.join().unwrap());
            found.fold(Found::default(), Found::with)
        });
        eprintln!("{found}");
        found
    }

    fn examine_at(&self, points: &[usize], honours: fn(&str) -> bool, seed: u64) -> Found {
        let (mut disk, mut said) = (self.start.clone(), self.said.clone());
        let mut found = Found::default();
        let mut done = 0;
        for point in points {
            for event in &self.events[done..*point] {
                disk.apply(event, honours);
                said.hear_event(event);
            }
            done = *point;
            found.points += 1;
            let mut dice = Dice(seed ^ (*point as u64) << 8);
            self.examine_states(&disk, &said, *point, &mut dice, &mut found);
        }
        found
    }

    fn examine_states(
        &self,
        disk: &Disk,
        said: &Said,
        point: usize,
        dice: &mut Dice,
        found: &mut Found,
    ) {
        let (mut seen, mut newest) = (BTreeSet::new(), None);
        let rounds = if is_slow() { 8 } else { 1 };
        let drawn = std::iter::repeat_n(FATES, rounds).flatten();
        for fate in [Fate::Kept, Fate::Lost].into_iter().chain(drawn) {
            let state = draw(disk, fate, dice);
            if !seen.insert(digest(&state)) {
                continue;
            }
            found.states += 1;
            found.between += usize::from(!matches!(fate, Fate::Lost | Fate::Kept));
            let scratch = scratch(&state);
            match check(&state, said, &self.all, scratch.path()) {
                Ok(head) => {
                    let newest = *newest.get_or_insert(head);
                    found.kept += usize::from(head > said.newest());
                    found.lost += usize::from(head < newest);
                }
                Err(fault) => {
                    found.first_faulty.get_or_insert(state);
                    let at = format!("{fate:?} at event {point}");
                    found.faults.push((at, fault));
                }
            }
        }
    }
}

/// In memory where there is such a place: the states are many, and their syncs are of no use. The large ones are few, and
/// that place may be small.
fn scratch(state: &State) -> TempDir {
    const SMALL_BYTES: usize = 4 << 20;
    let memory = Path::new("/dev/shm");
    let bytes: usize = state.values().map(Vec::len).sum();
    if memory.is_dir() && bytes < SMALL_BYTES {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// Of all but the index, which is built anew whatever it is.
fn digest(state: &State) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for (name, content) in state {
        if !name.ends_with(SHARED_INDEX) {
            hasher.update(blake3::hash(name.as_bytes()).as_bytes());
            hasher.update(blake3::hash(content).as_bytes());
        }
    }
    *hasher.finalize().as_bytes()
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Found {
    points: usize,
    pub(super) states: usize,
    /// States in which some of what was pending survived, and some did not.
    pub(super) between: usize,
    /// States that had a commit which nobody was told of yet.
    pub(super) kept: usize,
    /// States that lacked one.
    pub(super) lost: usize,
    pub(super) faults: Vec<(String, Fault)>,
    first_faulty: Option<State>,
}

impl Found {
    pub(super) fn with(mut self, mut other: Self) -> Self {
        self.points += other.points;
        self.states += other.states;
        self.between += other.between;
        self.kept += other.kept;
        self.lost += other.lost;
        self.faults.append(&mut other.faults);
        self.first_faulty = self.first_faulty.or(other.first_faulty);
        self
    }

    pub(super) fn count(&self, kind: FaultKind) -> usize {
        let faults = self.faults.iter();
        faults.filter(|(_, fault)| fault.kind == kind).count()
    }

    /// Fails if there is a fault, and leaves a folder to look into.
    pub(super) fn must_be_sound(&self) {
        let Some(state) = &self.first_faulty else {
            return;
        };
        let left = tempfile::tempdir().unwrap().keep();
        for (name, content) in state {
            std::fs::write(left.join(name), content).unwrap();
        }
        let faults = self.faults.iter().take(3);
        let faults: Vec<String> = faults
            .map(|(at, fault)| format!("{at}: {:?}, {}", fault.kind, fault.detail))
            .collect();
        panic!(
            "{self}; the folder `{}` is one of them: {faults:#?}",
            left.display()
        );
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} states at {} points, {} between; a commit that nobody was told of survived in {}, and did not in {}; \
             {} lost something, {} did not come up, {} were wrong",
            self.states,
            self.points,
            self.between,
            self.kept,
            self.lost,
            self.count(FaultKind::Lost),
            self.count(FaultKind::Down),
            self.count(FaultKind::Wrong),
        )
    }
}
