//! An ordered set of edges, each a pair of `u32`, some with an annotation: a persistent B+-tree with packed leaves.
//!
//! A clone shares everything. [`EdgeTree::apply`] is the one way to change a tree, from one edge to a bulk load: it
//! rebuilds the nodes on the way to each change, in place where no other version holds them. Reads allocate nothing:
//! a reader that comes to the end of a leaf descends again from the root, once in some hundred edges.
//!
//! INVARIANT: the order is that of (key, value); `firsts` holds the first edge of each child exactly; all leaves are
//! equally deep; a branch has 1 to [`FANOUT`] children, and a root without a branch beneath it is a branch of leaves.

mod apply;
mod diff;
mod leaf;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use diff::{Diff, EdgeDiff};
pub use read::{Edges, Keys, Values};

use smallvec::SmallVec;

use self::leaf::Leaf;
use crate::graph::Annotation;

/// The most children that a branch has.
const FANOUT: usize = 32;

/// A set of edges.
#[derive(Debug, Clone, Default)]
pub struct EdgeTree {
    root: Option<Arc<Branch>>,
    len: usize,
    annotated_count: usize,
}

/// An edge that is present.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeRef<'t> {
    annotation: Option<&'t Annotation>,
}

/// What to do with the edge from `key` to `value`.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeChange {
    /// The end that the tree is ordered by.
    pub key: u32,
    /// The other end.
    pub value: u32,
    /// What to do.
    pub action: EdgeAction,
}

/// A change of one edge.
#[derive(Debug, Clone, PartialEq)]
pub enum EdgeAction {
    /// Adds the edge, or replaces its annotation.
    Insert(Option<Annotation>),
    /// Removes the edge if it is there.
    Remove,
}

#[derive(Debug, Clone)]
struct Branch {
    /// The first edge of each child; inline, since every descent searches it.
    firsts: SmallVec<[u64; FANOUT]>,
    /// How many edges each child has.
    counts: Vec<usize>,
    children: Children,
}

#[derive(Debug, Clone)]
enum Children {
    Leaves(Vec<Leaf>),
    Branches(Vec<Arc<Branch>>),
}

fn edge_of(key: u32, value: u32) -> u64 {
    (u64::from(key) << 32) | u64::from(value)
}

fn key_of(edge: u64) -> u32 {
    (edge >> 32) as u32
}

fn value_of(edge: u64) -> u32 {
    edge as u32
}

impl EdgeTree {
    /// The set without an edge.
    pub const EMPTY: Self = Self {
        root: None,
        len: 0,
        annotated_count: 0,
    };

    /// How many edges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no edge.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many edges carry an annotation.
    #[must_use]
    pub fn annotated_count(&self) -> usize {
        self.annotated_count
    }

    /// The bytes that the tree takes with all that it refers to, shared or not, but for what annotations hold.
    ///
    /// # Cost
    /// Walks every leaf.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        self.root.as_deref().map_or(0, Branch::resident_bytes)
    }

    /// As [`Self::resident_bytes`], without what is shared with `before`: what was copied to make this tree of that. A
    /// tree that has become higher or lower counts whole.
    ///
    /// # Cost
    /// Walks the nodes that are not shared, and their neighbours.
    #[must_use]
    pub fn copied_bytes(&self, before: &Self) -> usize {
        match (&self.root, &before.root) {
            (None, _) => 0,
            (Some(root), None) => root.resident_bytes(),
            (Some(root), Some(old)) if Arc::ptr_eq(root, old) => 0,
            (Some(root), Some(old)) => root.copied_bytes(&[old]),
        }
    }
}

impl<'t> EdgeRef<'t> {
    /// The caveat and expiration of the edge.
    #[must_use]
    pub fn annotation(self) -> Option<&'t Annotation> {
        self.annotation
    }
}

impl EdgeChange {
    pub(crate) fn edge(&self) -> u64 {
        edge_of(self.key, self.value)
    }
}

impl Branch {
    /// Which child holds `edge`, if any does.
    fn child_ix(&self, edge: u64) -> usize {
        // The first edges a cache line apart, then those of one line: counted, not halved, so that no step waits for
        // the one before it and the misses of all lines overlap.
        const LINE: usize = 8;
        let is_up_to = |first: &&u64| **first <= edge;
        let lines = self.firsts.iter().step_by(LINE).filter(is_up_to).count();
        let begin = lines.saturating_sub(1) * LINE;
        let line = self.firsts.iter().skip(begin).take(LINE);
        (begin + line.filter(is_up_to).count()).saturating_sub(1)
    }

    fn edge_count(&self) -> usize {
        self.counts.iter().sum()
    }

    fn resident_bytes(&self) -> usize {
        let beneath: usize = match &self.children {
            Children::Leaves(leaves) => leaves.iter().map(Leaf::resident_bytes).sum(),
            Children::Branches(branches) => {
                branches.iter().map(|branch| branch.resident_bytes()).sum()
            }
        };
        self.own_bytes() + beneath
    }

    /// What the branch takes itself.
    fn own_bytes(&self) -> usize {
        let children = match &self.children {
            Children::Leaves(leaves) => leaves.capacity() * size_of::<Leaf>(),
            Children::Branches(branches) => branches.capacity() * size_of::<Arc<Self>>(),
        };
        let counts = self.counts.capacity() * size_of::<usize>();
        allocated(16 + size_of::<Self>()) + allocated(counts) + allocated(children)
    }

    /// What is beneath and is not beneath one of `before`, which are as high.
    fn copied_bytes(&self, before: &[&Self]) -> usize {
        let copied: usize = match &self.children {
            Children::Leaves(leaves) => {
                let is_shared = |leaf: &Leaf| {
                    let mut all = before.iter().flat_map(|branch| branch.leaves());
                    all.any(|old| old.ptr_eq(leaf))
                };
                let copied = leaves.iter().filter(|leaf| !is_shared(leaf));
                copied.map(Leaf::resident_bytes).sum()
            }
            Children::Branches(branches) => {
                let is_among =
                    |one: &Self, all: &[&Self]| all.iter().any(|it| std::ptr::eq(*it, one));
                let new: Vec<&Self> = self.branches().collect();
                let old: Vec<&Self> = before.iter().flat_map(|branch| branch.branches()).collect();
                // Those that are shared have nothing beneath them to look for.
                let gone = old.iter().copied().filter(|branch| !is_among(branch, &new));
                let gone: Vec<&Self> = gone.collect();
                let copied = branches.iter().filter(|branch| !is_among(branch, &old));
                copied.map(|branch| branch.copied_bytes(&gone)).sum()
            }
        };
        self.own_bytes() + copied
    }

    fn leaves(&self) -> &[Leaf] {
        match &self.children {
            Children::Leaves(leaves) => leaves,
            Children::Branches(_) => &[],
        }
    }

    fn branches(&self) -> impl Iterator<Item = &Self> {
        let branches: &[Arc<Self>] = match &self.children {
            Children::Leaves(_) => &[],
            Children::Branches(branches) => branches,
        };
        branches.iter().map(|branch| &**branch)
    }
}

/// What an allocation of `bytes` takes of the memory: a word of the allocator's own, in steps of 16.
pub(crate) fn allocated(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    (bytes + size_of::<usize>()).next_multiple_of(16)
}
