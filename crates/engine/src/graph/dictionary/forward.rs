//! From number to packed id: a persistent vector that only grows, in leaves of 64 ids.
//!
//! A full leaf is one allocation: a byte that tells how wide its offsets are, where each id ends, the ids. Where all
//! ids are equally long, as UUIDs are, the width is 0 and there are no offsets. The ids after the last full leaf are in
//! a tail that is changed in place where no other version holds it.

use std::sync::Arc;

use crate::graph::packed::{self, Packed};
use crate::graph::tree::allocated;

const LEAF_IDS: usize = 64;
const FANOUT_BITS: u32 = 5;
const FANOUT: usize = 1 << FANOUT_BITS;

/// The packed ids, by number.
#[derive(Debug, Clone, Default)]
pub(super) struct Forward {
    root: Option<Arc<Node>>,
    /// Levels of nodes above the leaves.
    height: u32,
    leaf_count: usize,
    tail: Arc<Tail>,
}

#[derive(Debug, Clone)]
enum Node {
    Leaves(Vec<Arc<[u8]>>),
    Branches(Vec<Arc<Node>>),
}

#[derive(Debug, Clone, Default)]
struct Tail {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Forward {
    pub(super) fn len(&self) -> usize {
        self.leaf_count * LEAF_IDS + self.tail.ends.len()
    }

    /// The id of that number.
    pub(super) fn get(&self, ix: u32) -> Option<&[u8]> {
        let (leaf_ix, place) = (ix as usize / LEAF_IDS, ix as usize % LEAF_IDS);
        if leaf_ix < self.leaf_count {
            return id_in_leaf(self.leaf(leaf_ix)?, place);
        }
        let place = (ix as usize).checked_sub(self.leaf_count * LEAF_IDS)?;
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
        self.push_leaf(leaf);
    }

    /// The bytes of all allocations.
    pub(super) fn resident_bytes(&self) -> usize {
        let tail = allocated(16 + size_of::<Tail>())
            + allocated(self.tail.ends.capacity() * 4)
            + allocated(self.tail.bytes.capacity());
        tail + self.root.as_deref().map_or(0, Node::resident_bytes)
    }

    fn leaf(&self, leaf_ix: usize) -> Option<&[u8]> {
        let mut node = self.root.as_deref()?;
        let mut height = self.height;
        loop {
            height = height.saturating_sub(1);
            let slot = slot(leaf_ix, height);
            match node {
                Node::Leaves(leaves) => return leaves.get(slot).map(|leaf| &**leaf),
                Node::Branches(branches) => node = branches.get(slot)?,
            }
        }
    }

    fn push_leaf(&mut self, leaf: Arc<[u8]>) {
        let leaf_ix = self.leaf_count;
        self.leaf_count += 1;
        let is_full = leaf_ix >> (FANOUT_BITS * self.height) > 0;
        let root = match self.root.take() {
            None => Node::chain(leaf, 1),
            Some(root) if is_full => {
                let beside = Node::chain(leaf, self.height);
                Arc::new(Node::Branches(vec![root, beside]))
            }
            Some(mut root) => {
                Node::push(&mut root, leaf_ix, self.height, leaf);
                self.root = Some(root);
                return;
            }
        };
        self.height += 1;
        self.root = Some(root);
    }
}

impl Node {
    /// A node of that height with one leaf beneath it.
    fn chain(leaf: Arc<[u8]>, height: u32) -> Arc<Self> {
        let mut node = Arc::new(Self::Leaves(vec![leaf]));
        for _ in 1..height {
            node = Arc::new(Self::Branches(vec![node]));
        }
        node
    }

    fn push(node: &mut Arc<Self>, leaf_ix: usize, height: u32, leaf: Arc<[u8]>) {
        match Arc::make_mut(node) {
            Self::Leaves(leaves) => leaves.push(leaf),
            Self::Branches(branches) => {
                match branches.get_mut(slot(leaf_ix, height.saturating_sub(1))) {
                    Some(child) => Self::push(child, leaf_ix, height - 1, leaf),
                    None => branches.push(Self::chain(leaf, height - 1)),
                }
            }
        }
    }

    fn resident_bytes(&self) -> usize {
        let beneath = match self {
            Self::Leaves(leaves) => {
                let leaf_bytes: usize = leaves.iter().map(|leaf| allocated(16 + leaf.len())).sum();
                allocated(leaves.capacity() * size_of::<Arc<[u8]>>()) + leaf_bytes
            }
            Self::Branches(branches) => {
                let node_bytes: usize = branches.iter().map(|node| node.resident_bytes()).sum();
                allocated(branches.capacity() * size_of::<Arc<Self>>()) + node_bytes
            }
        };
        allocated(16 + size_of::<Self>()) + beneath
    }
}

impl Tail {
    fn pack(&self) -> Arc<[u8]> {
        let id_bytes = self.bytes.len() as u32 / self.ends.len().max(1) as u32;
        let is_even = (1..)
            .zip(&self.ends)
            .all(|(count, end)| count * id_bytes == *end);
        let width = match is_even {
            true => 0,
            false => packed::width_of(self.bytes.len() as u32),
        };
        let ends_bytes = self.ends.len() * usize::from(width);
        let mut leaf = Vec::with_capacity(1 + ends_bytes + self.bytes.len());
        leaf.push(width);
        for end in self.ends.iter().filter(|_| !is_even) {
            packed::push(&mut leaf, *end, width);
        }
        leaf.extend_from_slice(&self.bytes);
        Arc::from(leaf)
    }
}

fn slot(leaf_ix: usize, height: u32) -> usize {
    (leaf_ix >> (FANOUT_BITS * height)) % FANOUT
}

fn id_in_leaf(leaf: &[u8], place: usize) -> Option<&[u8]> {
    // With a constant for each width, the offset is fetched without waiting for the byte that tells the width.
    match leaf.first()? {
        0 => {
            let id_bytes = leaf.len() / LEAF_IDS;
            leaf.get(1..)?.get(place * id_bytes..(place + 1) * id_bytes)
        }
        1 => id_at::<1>(leaf, place),
        2 => id_at::<2>(leaf, place),
        3 => id_at::<3>(leaf, place),
        _ => id_at::<4>(leaf, place),
    }
}

fn id_at<const WIDTH: usize>(leaf: &[u8], place: usize) -> Option<&[u8]> {
    let (ends, ids) = leaf.get(1..)?.split_at_checked(LEAF_IDS * WIDTH)?;
    let ends = Packed::new(ends, WIDTH as u8);
    let start = place.checked_sub(1).map_or(0, |before| ends.get(before));
    ids.get(start as usize..ends.get(place) as usize)
}
