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
        let counts = allocated(self.counts.capacity() * 8);
        let node = allocated(16 + size_of::<Self>());
        let children = match &self.children {
            Children::Leaves(leaves) => {
                let beneath: usize = leaves
                    .iter()
                    .flat_map(Leaf::allocations)
                    .map(allocated)
                    .sum();
                allocated(leaves.capacity() * size_of::<Leaf>()) + beneath
            }
            Children::Branches(branches) => {
                let beneath: usize = branches.iter().map(|branch| branch.resident_bytes()).sum();
                allocated(branches.capacity() * size_of::<Arc<Self>>()) + beneath
            }
        };
        counts + node + children
    }
}

/// What an allocation of `bytes` takes of the memory: a word of the allocator's own, in steps of 16.
pub(crate) fn allocated(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    (bytes + size_of::<usize>()).next_multiple_of(16)
}
