//! The difference of two trees, without looking into what they share.
//!
//! Both are walked in order. Where the two walks stand before nodes that are the same allocation, both step over it;
//! else the one that begins earlier, or reaches higher, is opened. Equal edges stand at equal places of the order, so
//! the walks meet again at each shared node, however differently the trees above are shaped.

use std::cmp::Ordering;
use std::sync::Arc;

use super::leaf::{Leaf, LeafView};
use super::{Branch, Children, EdgeRef, EdgeTree, edge_of, key_of, value_of};
use crate::graph::Annotation;

/// One edge that is not the same in two trees. At least one of `before` and `after` is present.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeDiff<'t> {
    /// The end that the trees are ordered by.
    pub key: u32,
    /// The other end.
    pub value: u32,
    /// The edge in the old tree.
    pub before: Option<EdgeRef<'t>>,
    /// The edge in the new tree.
    pub after: Option<EdgeRef<'t>>,
}

/// The differences of two trees, ascending. See [`EdgeTree::diff`].
#[derive(Debug, Clone)]
pub struct Diff<'t> {
    old: Walk<'t>,
    new: Walk<'t>,
}

impl EdgeTree {
    /// The edges that were added, removed or annotated otherwise between `self` and `new`.
    ///
    /// # Cost
    /// O(nodes that the trees do not share).
    #[must_use]
    pub fn diff<'t>(&'t self, new: &'t Self) -> Diff<'t> {
        Diff {
            old: Walk::of(self),
            new: Walk::of(new),
        }
    }
}

impl<'t> Iterator for Diff<'t> {
    type Item = EdgeDiff<'t>;

    fn next(&mut self) -> Option<EdgeDiff<'t>> {
        loop {
            match (self.old.front(), self.new.front()) {
                (None, None) => return None,
                (Some((first, 0)), None) => return Some(self.old.take(first).removed()),
                (None, Some((first, 0))) => return Some(self.new.take(first).added()),
                (Some(_), None) => self.old.open(),
                (None, Some(_)) => self.new.open(),
                (Some(old), Some(new)) => {
                    if let Some(diff) = self.compare(old, new) {
                        return Some(diff);
                    }
                }
            }
        }
    }
}

impl<'t> Diff<'t> {
    /// One step with something left on both sides, each told by its first edge and its height.
    fn compare(&mut self, old: (u64, u8), new: (u64, u8)) -> Option<EdgeDiff<'t>> {
        if self.old.shares_front(&self.new) {
            self.old.skip();
            self.new.skip();
            return None;
        }
        match (old.0.cmp(&new.0), old.1, new.1) {
            (Ordering::Less, 0, _) => Some(self.old.take(old.0).removed()),
            (Ordering::Greater, _, 0) => Some(self.new.take(new.0).added()),
            (Ordering::Less, 1.., _) => self.old.open_and_go_on(),
            (Ordering::Greater, _, 1..) => self.new.open_and_go_on(),
            (Ordering::Equal, 0, 0) => {
                let (before, after) = (self.old.take(old.0), self.new.take(new.0));
                before.changed_to(after)
            }
            (Ordering::Equal, old, new) if old > new => self.old.open_and_go_on(),
            (Ordering::Equal, old, new) if old < new => self.new.open_and_go_on(),
            (Ordering::Equal, _, _) => {
                self.old.open();
                self.new.open_and_go_on()
            }
        }
    }
}

/// An edge met by a walk.
struct Met<'t> {
    edge: u64,
    annotation: Option<&'t Annotation>,
}

impl<'t> Met<'t> {
    fn removed(self) -> EdgeDiff<'t> {
        self.diff(Some(self.annotation), None)
    }

    fn added(self) -> EdgeDiff<'t> {
        self.diff(None, Some(self.annotation))
    }

    fn changed_to(self, after: Self) -> Option<EdgeDiff<'t>> {
        let same = match (self.annotation, after.annotation) {
            (Some(before), Some(after)) => before.ptr_eq(after) || before == after,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        (!same).then(|| self.diff(Some(self.annotation), Some(after.annotation)))
    }

    fn diff(
        &self,
        before: Option<Option<&'t Annotation>>,
        after: Option<Option<&'t Annotation>>,
    ) -> EdgeDiff<'t> {
        EdgeDiff {
            key: key_of(self.edge),
            value: value_of(self.edge),
            before: before.map(|annotation| EdgeRef { annotation }),
            after: after.map(|annotation| EdgeRef { annotation }),
        }
    }
}

/// A walk over a tree that stands before a node, or before an edge of an opened leaf.
#[derive(Debug, Clone)]
struct Walk<'t> {
    /// What is to come, the next last.
    nodes: Vec<(u64, Node<'t>)>,
    /// The leaf that is open, the key and the place in it.
    leaf: LeafView<'t>,
    key_ix: usize,
    at: usize,
}

#[derive(Debug, Clone, Copy)]
enum Node<'t> {
    /// A branch with its height, 2 or more.
    Branch(u8, &'t Arc<Branch>),
    Leaf(&'t Leaf),
}

impl<'t> Walk<'t> {
    fn of(tree: &'t EdgeTree) -> Self {
        let root = tree.root.as_ref();
        let first = root.and_then(|root| root.firsts.first()).copied();
        Self {
            nodes: first
                .zip(root)
                .map(|(first, root)| (first, Node::Branch(root.height(), root)))
                .into_iter()
                .collect(),
            leaf: LeafView::EMPTY,
            key_ix: 0,
            at: 0,
        }
    }

    /// The first edge of what comes next, and its height: 0 for an edge, 1 for a leaf, more for a branch.
    fn front(&self) -> Option<(u64, u8)> {
        if self.key_ix < self.leaf.key_count() {
            let edge = edge_of(self.leaf.key(self.key_ix), self.leaf.value(self.at));
            return Some((edge, 0));
        }
        self.nodes.last().map(|(first, node)| match node {
            Node::Branch(height, _) => (*first, *height),
            Node::Leaf(_) => (*first, 1),
        })
    }

    fn shares_front(&self, other: &Self) -> bool {
        let within = |walk: &Self| walk.key_ix < walk.leaf.key_count();
        if within(self) || within(other) {
            return false;
        }
        match (self.nodes.last(), other.nodes.last()) {
            (Some((_, Node::Branch(_, left))), Some((_, Node::Branch(_, right)))) => {
                Arc::ptr_eq(left, right)
            }
            (Some((_, Node::Leaf(left))), Some((_, Node::Leaf(right)))) => left.ptr_eq(right),
            _ => false,
        }
    }

    /// Steps over the node that comes next.
    fn skip(&mut self) {
        self.nodes.pop();
    }

    /// Puts the children of the node that comes next in its place.
    fn open(&mut self) {
        match self.nodes.pop() {
            Some((_, Node::Leaf(leaf))) => {
                (self.leaf, self.key_ix, self.at) = (leaf.view(), 0, 0);
            }
            Some((_, Node::Branch(height, branch))) => {
                let firsts = branch.firsts.iter().copied();
                match &branch.children {
                    Children::Leaves(leaves) => self
                        .nodes
                        .extend(firsts.zip(leaves.iter().map(Node::Leaf)).rev()),
                    Children::Branches(branches) => {
                        let nodes = branches.iter().map(|child| Node::Branch(height - 1, child));
                        self.nodes.extend(firsts.zip(nodes).rev());
                    }
                }
            }
            None => {}
        }
    }

    fn open_and_go_on<T>(&mut self) -> Option<T> {
        self.open();
        None
    }

    /// Takes `edge`, the one that comes next in the open leaf.
    fn take(&mut self, edge: u64) -> Met<'t> {
        let annotation = self.leaf.annotation(self.at);
        self.at += 1;
        if self.at >= self.leaf.group(self.key_ix).end {
            self.key_ix += 1;
        }
        Met { edge, annotation }
    }
}

impl Branch {
    /// 2 for a branch of leaves, one more for each level above.
    fn height(&self) -> u8 {
        let mut height = 2;
        let mut branch = self;
        while let Children::Branches(branches) = &branch.children
            && let Some(child) = branches.first()
        {
            branch = child;
            height += 1;
        }
        height
    }
}
