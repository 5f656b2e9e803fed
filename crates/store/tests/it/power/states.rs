//! What may be on a disk once the power is back.

use std::collections::BTreeMap;

use super::disk::{Change, ChangeKind, Disk, FileOnDisk, SHARED_INDEX};

/// What a disk writes whole or not at all, as most do.
const SECTOR_BYTES: usize = 512;

/// The files of a folder, by name.
pub(super) type State = BTreeMap<String, Vec<u8>>;

/// What became of that which no sync had made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// None of it survived.
    Lost,
    /// All of it did.
    Kept,
    /// It did up to some write, and that one in part.
    Torn,
    /// Some writes did, in whatever order.
    Some,
    /// Some writes did; of all others the length of the file did, and zeros where it grew.
    Grown,
    /// Each write in its own way: whole, not at all, up to some byte, by some of its sectors, by its length.
    Mixed,
}

pub(super) fn draw(disk: &Disk, fate: Fate, dice: &mut Dice) -> State {
    let mut names = disk.durable_names.clone();
    let kept_first = dice.below(disk.pending_names.len() + 1);
    for (at, change) in disk.pending_names.iter().enumerate() {
        let is_kept = match fate {
            Fate::Lost => false,
            Fate::Kept => true,
            Fate::Torn => at < kept_first,
            Fate::Some | Fate::Grown | Fate::Mixed => dice.coin(),
        };
        if is_kept {
            change.kind.apply(&mut names);
        }
    }
    let mut state: State = names
        .into_iter()
        .filter(|(name, _)| !name.ends_with(SHARED_INDEX))
        .map(|(name, file)| (name, content(&disk.files[file], fate, dice)))
        .collect();
    if dice.coin() {
        let garbage = (0..64).flat_map(|_| [dice.next().to_be_bytes(); 64]);
        state.insert(
            format!("{}{SHARED_INDEX}", super::STORE),
            garbage.flatten().collect(),
        );
    }
    state
}

fn content(file: &FileOnDisk, fate: Fate, dice: &mut Dice) -> Vec<u8> {
    let mut content = file.durable.clone();
    let torn = dice.below(file.pending.len() + 1);
    for (at, Change { kind, .. }) in file.pending.iter().enumerate() {
        match fate {
            Fate::Lost => {}
            Fate::Kept => kind.apply(&mut content),
            Fate::Torn if at < torn => kind.apply(&mut content),
            Fate::Torn if at == torn => tear(kind, &mut content, dice),
            Fate::Torn => {}
            Fate::Some if dice.coin() => kind.apply(&mut content),
            Fate::Some => {}
            Fate::Grown if dice.coin() => kind.apply(&mut content),
            Fate::Grown => kind.apply_length(&mut content),
            Fate::Mixed => match dice.below(5) {
                0 => {}
                1 => kind.apply_length(&mut content),
                2 => tear(kind, &mut content, dice),
                _ => kind.apply(&mut content),
            },
        }
    }
    content
}

/// Writes a beginning, or some sectors.
fn tear(kind: &ChangeKind, content: &mut Vec<u8>, dice: &mut Dice) {
    let ChangeKind::Write { at, bytes } = kind else {
        return;
    };
    if dice.coin() {
        return kind.apply_part(content, 0..dice.below(bytes.len()));
    }
    let mut start = 0;
    while start < bytes.len() {
        let in_sector = (usize::try_from(*at).unwrap() + start) % SECTOR_BYTES;
        let end = bytes.len().min(start + SECTOR_BYTES - in_sector);
        if dice.coin() {
            kind.apply_part(content, start..end);
        }
        start = end;
    }
}

/// Numbers that are the same for the same seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }
}
