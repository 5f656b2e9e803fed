//! Losses of power: after each, the store must come up with everything that it acknowledged.
//!
//! A process that writes is recorded, call by call. Up to any of its calls a disk holds what was synced, and of the rest
//! whatever it likes: all, nothing, some of it in another order, the half of a write, a length without its data, a name
//! without its file. Such states are drawn from the record by the thousand, and a store is opened on each.
//!
//! The test binary runs itself as that process, as in `crash`. Whether this finds anything is tested as well, with disks
//! that do not sync when they are told to.

mod check;
mod child;
mod disk;
mod examine;
mod record;
mod said;
mod states;
mod trace;

use std::path::Path;

use check::FaultKind;
use child::Workload;
use examine::Found;
use record::Record;
use states::{Dice, Fate};

const ARGUMENT: &str = "workload-to-record=";
const STORE: &str = "remit.db";

#[test]
fn what_was_acknowledged_survives_the_power() {
    let Some(record) = Record::of(Workload::Commits) else {
        return;
    };
    assert!(record.logs_begun() > 5);
    let found = record.examine(honest, if is_slow() { 20_000 } else { 1_000 }, 1);
    found.must_be_sound();
    assert!(found.states > 1_500, "{found}");
    assert!(found.between > 800, "{found}");
    assert!(found.kept > 100 && found.lost > 100, "{found}");
}

#[test]
fn a_large_write_ahead_log_survives_the_power() {
    let Some(record) = Record::of(Workload::Bulk) else {
        return;
    };
    assert!(record.logs_begun() > 2);
    let found = record.examine(honest, if is_slow() { 100 } else { 12 }, 2);
    found.must_be_sound();
}

#[test]
fn a_copy_is_whole_or_not_there() {
    let Some(record) = Record::of(Workload::Copies) else {
        return;
    };
    let found = record.examine(honest, if is_slow() { 5_000 } else { 100 }, 3);
    found.must_be_sound();
}

/// What a store shows when it comes up again is durable, also if its process was killed and the kernel had not written
/// everything yet.
#[test]
fn the_power_goes_again_while_a_store_comes_up() {
    let Some(record) = Record::of(Workload::Commits) else {
        return;
    };
    let (losses, count) = if is_slow() { (60, 60) } else { (8, 25) };
    let mut dice = Dice(4);
    let mut found = Found::default();
    for (number, point) in record.points(losses, &mut dice).into_iter().enumerate() {
        let fate = [Fate::Kept, Fate::Torn, Fate::Mixed][number % 3];
        let Some(record) = record.after(point, fate, &mut dice) else {
            return;
        };
        found = found.with(record.examine(honest, count, dice.next()));
    }
    found.must_be_sound();
    assert!(found.between > 100, "{found}");
}

/// The checks above see what a sync is for: without it they fail.
#[test]
fn a_disk_that_does_not_sync_is_found_out() {
    let Some(record) = Record::of(Workload::Commits) else {
        return;
    };
    let log = record.examine(|name| !name.ends_with("-wal"), 40, 5);
    assert!(log.count(FaultKind::Lost) > 20, "{log}");
    let folder = record.examine(|name| !name.is_empty(), 40, 6);
    assert!(folder.count(FaultKind::Lost) > 20, "{folder}");
    // What a checkpoint believes to be in the file is in no log any more.
    let file = record.examine(|name| name != STORE, 40, 7);
    assert!(file.faults.len() > 20, "{file}");
}

/// Does nothing unless it was started for a [`Record`].
#[test]
fn the_process_that_is_recorded() {
    let argument =
        std::env::args().find_map(|argument| argument.strip_prefix(ARGUMENT).map(str::to_owned));
    let Some(argument) = argument else {
        return;
    };
    let (name, folder) = argument.split_once(':').unwrap();
    let mut workloads = Workload::ALL.into_iter();
    let workload = workloads.find(|workload| format!("{workload:?}") == name);
    child::write(workload.unwrap(), Path::new(folder));
}

fn honest(_: &str) -> bool {
    true
}

fn is_slow() -> bool {
    std::env::var_os("RUN_SLOW_TESTS").is_some()
}
