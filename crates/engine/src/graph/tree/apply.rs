//! Changing a tree: one algorithm for one edge, for a commit and for a bulk load.
//!
//! Each branch hands its children their part of the ascending changes and gets back what became of them: none, one or
//! many. A node that no other version holds is taken apart and put together again; a shared one is copied.

use std::sync::Arc;

use smallvec::SmallVec;

use super::leaf::{self, Edge, Leaf};
use super::{Branch, Children, EdgeAction, EdgeChange, EdgeTree, FANOUT};

/// Branches with fewer children than this are merged with a neighbour, if both together have at most the other.
const CHILDREN_SMALL: usize = 8;
const CHILDREN_MERGED_MAX: usize = 24;

/// Edges that are renumbered before they are put into the new tree: enough that its branches come out full.
const RENUMBERED_AT_ONCE: usize = 1 << 16;

/// A node with what its parent keeps of it.
struct Entry<C> {
    first: u64,
    count: usize,
    child: C,
}

/// Room that is used for one leaf after the other.
#[derive(Default)]
struct Writer {
    edges: Vec<Edge>,
    bytes: Vec<u8>,
    annotated_added: usize,
    annotated_removed: usize,
}

impl EdgeTree {
    /// Makes `changes`, which are strictly ascending by (key, value).
    ///
    /// # Cost
    /// O(leaves touched); a tree that shares nodes with this one is not affected.
    pub fn apply(&mut self, changes: &[EdgeChange]) {
        debug_assert!(changes.is_sorted_by(|a, b| a.edge() < b.edge()));
        if changes.is_empty() {
            return;
        }
        let mut writer = Writer::default();
        let mut roots = match self.root.take() {
            Some(root) => writer.branch(root, changes),
            None => group(writer.fresh_leaves(changes), Children::Leaves),
        };
        while roots.len() > 1 {
            roots = group(roots, Children::Branches);
        }
        let root = roots.pop();
        self.len = root.as_ref().map_or(0, |root| root.count);
        self.annotated_count += writer.annotated_added;
        self.annotated_count -= writer.annotated_removed;
        self.root = root.map(|root| without_single_branches(root.child));
    }

    /// The same edges with other numbers, which are in the same order as those before.
    ///
    /// # Cost
    /// O(edges), with little more memory than the tree that comes of it.
    pub(crate) fn renumbered(&self, key: impl Fn(u32) -> u32, value: impl Fn(u32) -> u32) -> Self {
        let mut tree = Self::EMPTY;
        let mut edges = self
            .iter()
            .map(|(old_key, old_value, annotation)| EdgeChange {
                key: key(old_key),
                value: value(old_value),
                action: EdgeAction::Insert(annotation.cloned()),
            });
        let mut part = Vec::new();
        loop {
            part.extend(edges.by_ref().take(RENUMBERED_AT_ONCE));
            if part.is_empty() {
                return tree;
            }
            tree.apply(&part);
            part.clear();
        }
    }
}

/// The topmost node with more than one child, or the lowest branch.
fn without_single_branches(mut root: Arc<Branch>) -> Arc<Branch> {
    loop {
        let only = match &root.children {
            Children::Branches(branches) => match branches.as_slice() {
                [only] => Arc::clone(only),
                _ => return root,
            },
            Children::Leaves(_) => return root,
        };
        root = only;
    }
}

impl Writer {
    fn fresh_leaves(&mut self, changes: &[EdgeChange]) -> Vec<Entry<Leaf>> {
        self.edges.clear();
        for change in changes {
            leaf::insert(change, &mut self.edges);
        }
        let mut leaves = Vec::new();
        self.pack_leaves(&mut leaves);
        leaves
    }

    fn branch(&mut self, branch: Arc<Branch>, changes: &[EdgeChange]) -> Vec<Entry<Arc<Branch>>> {
        let branch = Arc::unwrap_or_clone(branch);
        let keys = (branch.firsts, branch.counts);
        match branch.children {
            Children::Leaves(leaves) => {
                let changed = each(keys, leaves, changes, |child, changes, out| {
                    self.leaf(child, changes, out);
                });
                group(
                    merge_small(changed, |a, b| self.join_leaves(a, b)),
                    Children::Leaves,
                )
            }
            Children::Branches(branches) => {
                let changed = each(keys, branches, changes, |child, changes, out| {
                    out.extend(self.branch(child.child, changes));
                });
                group(merge_small(changed, join_branches), Children::Branches)
            }
        }
    }

    fn leaf(&mut self, entry: Entry<Leaf>, changes: &[EdgeChange], out: &mut Vec<Entry<Leaf>>) {
        self.edges.clear();
        if !leaf::merge(&entry.child, changes, &mut self.edges) {
            out.push(entry);
            return;
        }
        self.annotated_removed += entry.child.annotated_count();
        drop(entry);
        self.pack_leaves(out);
    }

    /// Packs the edges at hand.
    fn pack_leaves(&mut self, out: &mut Vec<Entry<Leaf>>) {
        leaf::pack_all(&self.edges, &mut self.bytes, |edges, child| {
            self.annotated_added += child.annotated_count();
            let first = edges.first().map_or(0, |(edge, _)| *edge);
            out.push(Entry {
                first,
                count: edges.len(),
                child,
            });
        });
    }

    /// Both in one leaf, if one of them is small and they fit.
    fn join_leaves(&mut self, left: &Entry<Leaf>, right: &Entry<Leaf>) -> Option<Entry<Leaf>> {
        if !left.child.may_merge(&right.child) {
            return None;
        }
        self.edges.clear();
        for leaf in [&left.child, &right.child] {
            let edges = leaf.view().edges();
            self.edges
                .extend(edges.map(|(edge, annotation)| (edge, annotation.cloned())));
        }
        let mut joined = None;
        leaf::pack_all(&self.edges, &mut self.bytes, |edges, child| {
            joined = Some(Entry {
                first: left.first,
                count: edges.len(),
                child,
            });
        });
        joined.filter(|joined| joined.count == left.count + right.count)
    }
}

/// Both in one branch, if one of them is small and they fit.
fn join_branches(
    left: &Entry<Arc<Branch>>,
    right: &Entry<Arc<Branch>>,
) -> Option<Entry<Arc<Branch>>> {
    let (lefts, rights) = (left.child.firsts.len(), right.child.firsts.len());
    if lefts.min(rights) >= CHILDREN_SMALL || lefts + rights > CHILDREN_MERGED_MAX {
        return None;
    }
    let mut joined = Branch::clone(&left.child);
    match (&mut joined.children, &right.child.children) {
        (Children::Leaves(into), Children::Leaves(from)) => into.extend(from.iter().cloned()),
        (Children::Branches(into), Children::Branches(from)) => into.extend(from.iter().cloned()),
        // Neighbours are equally deep.
        (Children::Leaves(_), Children::Branches(_))
        | (Children::Branches(_), Children::Leaves(_)) => {
            return None;
        }
    }
    joined.firsts.extend_from_slice(&right.child.firsts);
    joined.counts.extend(&right.child.counts);
    Some(Entry {
        first: left.first,
        count: left.count + right.count,
        child: Arc::new(joined),
    })
}

/// What becomes of children to which `change` makes their part of `changes`.
fn each<C>(
    (firsts, counts): (SmallVec<[u64; FANOUT]>, Vec<usize>),
    children: Vec<C>,
    mut changes: &[EdgeChange],
    mut change: impl FnMut(Entry<C>, &[EdgeChange], &mut Vec<Entry<C>>),
) -> Vec<Entry<C>> {
    let mut out = Vec::with_capacity(children.len() + 1);
    let mut ends = firsts.iter().skip(1).copied().map(Some).chain([None]);
    for ((first, count), child) in firsts.iter().copied().zip(counts).zip(children) {
        let own = match ends.next().flatten() {
            Some(end) => changes.partition_point(|change| change.edge() < end),
            None => changes.len(),
        };
        let (part, rest) = changes.split_at(own);
        changes = rest;
        let entry = Entry {
            first,
            count,
            child,
        };
        if part.is_empty() {
            out.push(entry);
        } else {
            change(entry, part, &mut out);
        }
    }
    out
}

/// The same nodes, small ones joined with the neighbour before them where `join` agrees.
fn merge_small<C>(
    entries: Vec<Entry<C>>,
    mut join: impl FnMut(&Entry<C>, &Entry<C>) -> Option<Entry<C>>,
) -> Vec<Entry<C>> {
    let mut merged: Vec<Entry<C>> = Vec::with_capacity(entries.len());
    for entry in entries {
        match merged.last().and_then(|last| join(last, &entry)) {
            Some(joined) => {
                merged.pop();
                merged.push(joined);
            }
            None => merged.push(entry),
        }
    }
    merged
}

/// Branches over these nodes: as few as hold them, alike in size.
fn group<C>(entries: Vec<Entry<C>>, children: fn(Vec<C>) -> Children) -> Vec<Entry<Arc<Branch>>> {
    let branch_count = entries.len().div_ceil(FANOUT);
    let mut left = entries.len();
    let mut entries = entries.into_iter();
    (0..branch_count)
        .map(|at| {
            let len = left.div_ceil(branch_count - at);
            left -= len;
            let mut keys = (SmallVec::new(), Vec::with_capacity(len));
            let mut nodes = Vec::with_capacity(len);
            for entry in entries.by_ref().take(len) {
                keys.0.push(entry.first);
                keys.1.push(entry.count);
                nodes.push(entry.child);
            }
            Entry {
                first: keys.0.first().copied().unwrap_or_default(),
                count: keys.1.iter().sum(),
                child: Arc::new(Branch {
                    firsts: keys.0,
                    counts: keys.1,
                    children: children(nodes),
                }),
            }
        })
        .collect()
}
