//! From number to packed id: a persistent vector that only grows, in leaves of 64 ids.
//!
//! A full leaf is one allocation: a byte that tells how wide its offsets are, where each id ends, the ids. Where all
//! ids are equally long, as UUIDs are, there is nothing but the ids; the length of the leaf then is a multiple of their
//! number, and of no other leaf, so an id is found without a look at anything else. The ids after the last full leaf are
//! in a tail that is changed in place where no other version holds it.

use std::sync::Arc;

use super::vector::Vector;
use crate::graph::packed::{self, Packed};
use crate::graph::tree::allocated;

const LEAF_IDS: usize = 64;
/// Where ids differ in length, one begins within so many bytes of where it would if they did not, most of the time.
const ABOUT_BYTES: usize = 128;

/// The packed ids, by number.
#[derive(Debug, Clone, Default)]
pub(super) struct Forward {
    leaves: Vector<Arc<[u8]>>,
    tail: Arc<Tail>,
}

#[derive(Debug, Clone, Default)]
struct Tail {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Forward {
    pub(super) fn len(&self) -> usize {
        self.leaves.len() * LEAF_IDS + self.tail.ends.len()
    }

    /// The id of that number.
    pub(super) fn get(&self, ix: u32) -> Option<&[u8]> {
        let (leaf_ix, place) = (ix as usize / LEAF_IDS, ix as usize % LEAF_IDS);
        if let Some(leaf) = self.leaves.get(leaf_ix) {
            return id_in_leaf(leaf, place);
        }
        let place = (ix as usize).checked_sub(self.leaves.len() * LEAF_IDS)?;
        let end = *self.tail.ends.get(place)? as usize;
        let start = match place.checked_sub(1) {
            Some(before) => *self.tail.ends.get(before)? as usize,
            None => 0,
        };
        self.tail.bytes.get(start..end)
    }

    /// Adds an id, whose number is the length so far.
    pub(super) fn push(&mut self, id: &[u8]) {
        let tail = Arc::make_mut(&mut self.tail);
        tail.bytes.extend_from_slice(id);
        tail.ends.push(tail.bytes.len() as u32);
        if tail.ends.len() < LEAF_IDS {
            return;
        }
        let leaf = tail.pack();
        tail.ends.clear();
        tail.bytes.clear();
        self.leaves.push(leaf);
    }

    /// The bytes of all allocations.
    pub(super) fn resident_bytes(&self) -> usize {
        let tail = allocated(16 + size_of::<Tail>())
            + allocated(self.tail.ends.capacity() * 4)
            + allocated(self.tail.bytes.capacity());
        let leaf_bytes = |leaf: &Arc<[u8]>| allocated(16 + leaf.len());
        tail + self.leaves.resident_bytes(leaf_bytes)
    }
}

impl Tail {
    fn pack(&self) -> Arc<[u8]> {
        let id_bytes = self.bytes.len() as u32 / self.ends.len().max(1) as u32;
        let is_even = (1..)
            .zip(&self.ends)
            .all(|(count, end)| count * id_bytes == *end);
        if is_even {
            return Arc::from(self.bytes.as_slice());
        }
        let width = packed::width_of(self.bytes.len() as u32);
        let ends_bytes = self.ends.len() * usize::from(width);
        let mut leaf = Vec::with_capacity(1 + ends_bytes + self.bytes.len() + 1);
        leaf.push(width);
        for end in &self.ends {
            packed::push(&mut leaf, *end, width);
        }
        leaf.extend_from_slice(&self.bytes);
        if leaf.len().is_multiple_of(LEAF_IDS) {
            leaf.push(0);
        }
        Arc::from(leaf)
    }
}

fn id_in_leaf(leaf: &[u8], place: usize) -> Option<&[u8]> {
    if leaf.len().is_multiple_of(LEAF_IDS) {
        let id_bytes = leaf.len() / LEAF_IDS;
        return leaf.get(place * id_bytes..(place + 1) * id_bytes);
    }
    // With a constant for each width, the offset is fetched without waiting for the byte that tells the width.
    match leaf.first()? {
        1 => id_at::<1>(leaf, place),
        2 => id_at::<2>(leaf, place),
        3 => id_at::<3>(leaf, place),
        _ => id_at::<4>(leaf, place),
    }
}

fn id_at<const WIDTH: usize>(leaf: &[u8], place: usize) -> Option<&[u8]> {
    let (ends, ids) = leaf.get(1..)?.split_at_checked(LEAF_IDS * WIDTH)?;
    // Where the id lies is told by the ends; where it lies about is known before.
    let about = (ids.len() * place / LEAF_IDS).saturating_sub(ABOUT_BYTES / 2);
    packed::fetch(ids.get(about..ids.len().min(about + ABOUT_BYTES))?);
    let ends = Packed::new(ends, WIDTH as u8);
    let start = place.checked_sub(1).map_or(0, |before| ends.get(before));
    ids.get(start as usize..ends.get(place) as usize)
}
