//! The tree of RFC 6962 over the leaves of a log: roots, proofs and what a reader needs of them. Pure: hashes come in by place.
//!
//! Hashes are kept at every eighth height alone (those of leaves, of 256 leaves, of 65,536, ..), which are the entries of the tiles of
//! C2SP's tlog-tiles; what lies between is worked out. So a root or a proof of ten million entries takes some hundred hashes.

use std::collections::HashMap;
use std::fmt;

use ring::digest::{Context, SHA256};

/// A hash of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

/// Heights between two that are kept.
const HEIGHTS: u32 = 8;
/// Hashes in a full tile.
pub const TILE_HASHES: u64 = 1 << HEIGHTS;
/// Levels that a tree can have: 2^64 leaves.
const LEVELS: u8 = 8;

/// The place of a hash that is kept: that of the leaves from `index * 256^level` on, `256^level` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The level of its tile; 0 for leaves.
    pub level: u8,
    /// Its number within the level.
    pub index: u64,
}

/// What is asked of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The root over the first so many leaves.
    Root(u64),
    /// That a leaf is among the first so many.
    Inclusion {
        /// The leaf.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// That the tree of `new` leaves begins with that of `old`.
    Consistency {
        /// The smaller size.
        old: u64,
        /// The larger size.
        new: u64,
    },
}

impl Hash {
    /// The root of a tree without leaves.
    #[must_use]
    pub fn of_nothing() -> Self {
        sha256(&[])
    }

    /// The hash of a leaf with this entry.
    #[must_use]
    pub fn of_leaf(entry: &[u8]) -> Self {
        sha256(&[&[0], entry])
    }

    /// The hash of a node with these children.
    #[must_use]
    pub fn of_node(left: Self, right: Self) -> Self {
        sha256(&[&[1], &left.0, &right.0])
    }
}

/// The hash of these bytes, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Hash(hash)
}

impl Question {
    /// Every place whose hash the answer takes.
    #[must_use]
    pub fn places(self) -> Vec<Place> {
        let mut places = Vec::new();
        self.work_out(&mut |place| {
            places.push(place);
            Hash([0; 32])
        });
        places
    }

    /// The answer, from the hashes at [`Self::places`] in that order: a root, or the hashes of a proof. None if they are too few.
    #[must_use]
    pub fn answer(self, hashes: &[Hash]) -> Option<Vec<Hash>> {
        let places = self.places();
        if places.len() != hashes.len() {
            return None;
        }
        let known: HashMap<Place, Hash> = places.into_iter().zip(hashes.iter().copied()).collect();
        // Every place that is asked for is known, since they are those that were told.
        Some(self.work_out(&mut |place| known.get(&place).copied().unwrap_or(Hash([0; 32]))))
    }

    fn work_out(self, at: &mut dyn FnMut(Place) -> Hash) -> Vec<Hash> {
        match self {
            Self::Root(0) => vec![Hash::of_nothing()],
            Self::Root(size) => vec![range(0, size, at)],
            Self::Inclusion { index, size } if index < size => inclusion(index, 0, size, at),
            Self::Consistency { old, new } if 0 < old && old < new => {
                consistency(old, (0, new), true, at)
            }
            Self::Inclusion { .. } | Self::Consistency { .. } => Vec::new(),
        }
    }
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

/// The hash over the leaves from `low` up to `high`, as the tree divides them.
fn range(low: u64, high: u64, at: &mut dyn FnMut(Place) -> Hash) -> Hash {
    let count = high - low;
    if count.is_power_of_two() {
        return perfect(low, count.trailing_zeros(), at);
    }
    let middle = low + split(count);
    let left = range(low, middle, at);
    Hash::of_node(left, range(middle, high, at))
}

/// The hash over `2^height` leaves from `low` on.
fn perfect(low: u64, height: u32, at: &mut dyn FnMut(Place) -> Hash) -> Hash {
    if height.is_multiple_of(HEIGHTS) {
        let level = u8::try_from(height / HEIGHTS).unwrap_or(LEVELS);
        let index = low >> height;
        return at(Place { level, index });
    }
    let left = perfect(low, height - 1, at);
    Hash::of_node(left, perfect(low + (1 << (height - 1)), height - 1, at))
}

fn inclusion(index: u64, low: u64, high: u64, at: &mut dyn FnMut(Place) -> Hash) -> Vec<Hash> {
    if high - low == 1 {
        return Vec::new();
    }
    let middle = low + split(high - low);
    let (mut path, other) = if index < middle {
        (inclusion(index, low, middle, at), range(middle, high, at))
    } else {
        (inclusion(index, middle, high, at), range(low, middle, at))
    };
    path.push(other);
    path
}

fn consistency(
    old: u64,
    (low, high): (u64, u64),
    is_known: bool,
    at: &mut dyn FnMut(Place) -> Hash,
) -> Vec<Hash> {
    let count = high - low;
    if old == count {
        return if is_known {
            Vec::new()
        } else {
            vec![range(low, high, at)]
        };
    }
    let half = split(count);
    let middle = low + half;
    let (mut path, other) = if old <= half {
        let path = consistency(old, (low, middle), is_known, at);
        (path, range(middle, high, at))
    } else {
        let path = consistency(old - half, (middle, high), false, at);
        (path, range(low, middle, at))
    };
    path.push(other);
    path
}

/// Whether `proof` shows that the leaf at `index` is in the tree of `size` leaves with that root (RFC 9162, 2.1.3.2).
#[must_use]
pub fn includes(index: u64, leaf: Hash, proof: &[Hash], (size, root): (u64, Hash)) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = leaf;
    for other in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = Hash::of_node(*other, hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::of_node(hash, *other);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

/// Whether `proof` shows that the tree of `new` begins with that of `old` (RFC 9162, 2.1.4.2). Each is a size and a root.
#[must_use]
pub fn continues(old: (u64, Hash), new: (u64, Hash), proof: &[Hash]) -> bool {
    if old.0 == new.0 {
        return proof.is_empty() && old.1 == new.1;
    }
    if old.0 == 0 || old.0 > new.0 {
        return old.0 == 0 && proof.is_empty() && old.1 == Hash::of_nothing();
    }
    let own = old.0.is_power_of_two().then_some(old.1);
    let mut path = own.into_iter().chain(proof.iter().copied());
    let Some(first) = path.next() else {
        return false;
    };
    let (mut at, mut last) = (old.0 - 1, new.0 - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut of_old, mut of_new) = (first, first);
    for other in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            of_old = Hash::of_node(other, of_old);
            of_new = Hash::of_node(other, of_new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            of_new = Hash::of_node(of_new, other);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && of_old == old.1 && of_new == new.1
}

/// A tree that leaves are added to, of which only the roots of its perfect parts are kept.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    /// Of the perfect trees that it is made of, the largest first, with their heights.
    peaks: Vec<(u32, Hash)>,
}

impl Frontier {
    /// Adds a leaf. Tells each hash that is kept and is complete by it, but for the leaf's own.
    pub fn push(&mut self, leaf: Hash, mut complete: impl FnMut(Place, Hash)) {
        let (mut height, mut hash) = (0, leaf);
        while let Some((_, left)) = self.peaks.pop_if(|(of_peak, _)| *of_peak == height) {
            hash = Hash::of_node(left, hash);
            height += 1;
            if height.is_multiple_of(HEIGHTS) {
                let level = u8::try_from(height / HEIGHTS).unwrap_or(LEVELS);
                let index = self.size >> height;
                complete(Place { level, index }, hash);
            }
        }
        self.peaks.push((height, hash));
        self.size += 1;
    }

    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = peaks.next() else {
            return Hash::of_nothing();
        };
        peaks.fold(last, |right, left| Hash::of_node(left, right))
    }
}

/// The kept places above the leaves that are complete once the tree has `size` leaves, and were not with one fewer: what is to
/// be worked out from the 256 hashes below each.
#[must_use]
pub fn completed_by(size: u64) -> Vec<Place> {
    let mut places = Vec::new();
    let mut count = size;
    for level in 1..LEVELS {
        if count == 0 || !count.is_multiple_of(TILE_HASHES) {
            break;
        }
        count /= TILE_HASHES;
        let index = count - 1;
        places.push(Place { level, index });
    }
    places
}

/// The root of a perfect tree over these hashes, 256 or fewer by a power of two.
#[must_use]
pub fn root_of_tile(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let pairs = row.chunks(2).map(|pair| match pair {
            [left, right] => Hash::of_node(*left, *right),
            [one, ..] => *one,
            [] => Hash::of_nothing(),
        });
        row = pairs.collect();
    }
    row.first().copied().unwrap_or_else(Hash::of_nothing)
}

/// The path of a tile of `width` hashes, as C2SP's tlog-tiles names it: `tile/0/x001/234.p/112`.
#[must_use]
pub fn tile_path(level: u8, number: u64, width: u64) -> String {
    let mut parts = vec![format!("{:03}", number % 1_000)];
    let mut rest = number / 1_000;
    while rest > 0 {
        parts.push(format!("x{:03}", rest % 1_000));
        rest /= 1_000;
    }
    parts.reverse();
    let name = parts.join("/");
    if width == TILE_HASHES {
        format!("tile/{level}/{name}")
    } else {
        format!("tile/{level}/{name}.p/{width}")
    }
}

/// The level, number and width of the tile of such a path, without `tile/`; none if it names none.
#[must_use]
pub fn parse_tile_path(path: &str) -> Option<(u8, u64, u64)> {
    let (level, rest) = path.split_once('/')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (name, width) = match rest.split_once(".p/") {
        Some((name, width)) if is_number(width) => (name, width.parse().ok()?),
        Some(_) => return None,
        None => (rest, TILE_HASHES),
    };
    let mut number = 0_u64;
    for part in name.split('/') {
        let digits = part.trim_start_matches('x');
        if digits.len() != 3 || !is_number(digits) {
            return None;
        }
        number = number
            .checked_mul(1_000)?
            .checked_add(digits.parse().ok()?)?;
    }
    let level = level.parse().ok().filter(|level| *level < LEVELS)?;
    let is_written_so = tile_path(level, number, width) == format!("tile/{path}");
    (is_written_so && (1..=TILE_HASHES).contains(&width)).then_some((level, number, width))
}

/// How many full tiles each level of a tree of `size` leaves has, and how many hashes are in the one after them.
#[must_use]
pub fn tiles(size: u64) -> Vec<(u64, u64)> {
    let mut levels = Vec::new();
    let mut count = size;
    while count > 0 {
        levels.push((count / TILE_HASHES, count % TILE_HASHES));
        count /= TILE_HASHES;
    }
    levels
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests;
