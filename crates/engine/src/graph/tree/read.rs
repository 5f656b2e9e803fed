//! Reading a tree: one edge, the values of a key, everything.

use smallvec::SmallVec;

use super::leaf::{Leaf, LeafView};
use super::{Branch, Children, EdgeRef, EdgeTree, edge_of, key_of, value_of};
use crate::graph::Annotation;

/// The values of one key, ascending. See [`EdgeTree::values`].
#[derive(Debug, Clone)]
pub struct Values<'t> {
    root: Option<&'t Branch>,
    key: u32,
    leaf: LeafView<'t>,
    at: usize,
    end: usize,
    /// The first edge of the leaf after this one, if it is of the same key.
    next_leaf: Option<u64>,
}

/// The keys of a tree, ascending, each once. See [`EdgeTree::keys`].
#[derive(Debug, Clone)]
pub struct Keys<'t> {
    root: Option<&'t Branch>,
    leaf: LeafView<'t>,
    key_ix: usize,
    before: Option<u32>,
    next_leaf: Option<u64>,
}

/// Every edge of a tree, ascending. See [`EdgeTree::iter`].
#[derive(Debug, Clone)]
pub struct Edges<'t> {
    root: Option<&'t Branch>,
    leaf: LeafView<'t>,
    key_ix: usize,
    at: usize,
    next_leaf: Option<u64>,
}

impl EdgeTree {
    /// The edge from `key` to `value`, if it is there.
    ///
    /// # Cost
    /// O(log edges).
    #[must_use]
    pub fn get(&self, key: u32, value: u32) -> Option<EdgeRef<'_>> {
        let (leaf, _) = self.root.as_deref()?.leaf_of(edge_of(key, value));
        let group = leaf.group_of(key);
        let end = group.end;
        let place = leaf.lower_bound(group, value);
        if place >= end || leaf.value(place) != value {
            return None;
        }
        Some(EdgeRef {
            annotation: leaf.annotation(place),
        })
    }

    /// Brings into the cache what a search for each of `edges`, by key and value, reads in its tree. One level of all
    /// trees is looked at before the next, so that the misses of all searches are waited for together.
    pub(crate) fn fetch<'t>(edges: impl Iterator<Item = (&'t Self, u32, u32)>) {
        const AT_ONCE: usize = 256;
        let begun = edges
            .filter_map(|(tree, key, value)| Some((tree.root.as_deref()?, edge_of(key, value))));
        let mut open: SmallVec<[(&Branch, u64); AT_ONCE]> = begun.collect();
        let mut leaves: SmallVec<[&Leaf; AT_ONCE]> = SmallVec::new();
        while !open.is_empty() {
            open.retain(|(branch, edge)| {
                let child_ix = branch.child_ix(*edge);
                match &branch.children {
                    Children::Leaves(below) => {
                        leaves.extend(below.get(child_ix));
                        false
                    }
                    Children::Branches(below) => below.get(child_ix).is_some_and(|child| {
                        *branch = child;
                        true
                    }),
                }
            });
        }
        for leaf in leaves {
            leaf.fetch();
        }
    }

    /// The values of `key`.
    #[must_use]
    pub fn values(&self, key: u32) -> Values<'_> {
        let mut values = Values {
            root: self.root.as_deref(),
            key,
            leaf: LeafView::EMPTY,
            at: 0,
            end: 0,
            next_leaf: None,
        };
        values.descend(0);
        values
    }

    /// Whether `key` has a value.
    #[must_use]
    pub fn contains_key(&self, key: u32) -> bool {
        !self.values(key).is_empty()
    }

    /// Every key that has a value.
    ///
    /// # Cost
    /// O(keys and leaves).
    #[must_use]
    pub fn keys(&self) -> Keys<'_> {
        Keys {
            root: self.root.as_deref(),
            leaf: LeafView::EMPTY,
            key_ix: 0,
            before: None,
            next_leaf: self.root.is_some().then_some(0),
        }
    }

    /// Every edge.
    #[must_use]
    pub fn iter(&self) -> Edges<'_> {
        Edges {
            root: self.root.as_deref(),
            leaf: LeafView::EMPTY,
            key_ix: 0,
            at: 0,
            next_leaf: self.root.is_some().then_some(0),
        }
    }
}

impl<'t> IntoIterator for &'t EdgeTree {
    type Item = (u32, u32, Option<&'t Annotation>);
    type IntoIter = Edges<'t>;

    fn into_iter(self) -> Edges<'t> {
        self.iter()
    }
}

impl<'t> Values<'t> {
    /// How many values are left.
    ///
    /// # Cost
    /// O(1) within a leaf, else O(log edges).
    #[must_use]
    pub fn len(&self) -> usize {
        let here = self.end - self.at;
        let (Some(root), Some(next)) = (self.root, self.next_leaf) else {
            return here;
        };
        let end = match self.key.checked_add(1) {
            Some(key) => root.rank(edge_of(key, 0)),
            None => root.edge_count(),
        };
        here + end - root.rank(next)
    }

    /// Whether no value is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// Skips every value below `value`.
    ///
    /// # Cost
    /// O(log distance) within a leaf, else O(log edges).
    pub fn seek(&mut self, value: u32) {
        if self.next_leaf.is_some_and(|first| value_of(first) <= value) {
            self.descend(value);
            return;
        }
        let mut step = 1;
        while self.at + step < self.end && self.leaf.value(self.at + step) < value {
            self.at += step;
            step *= 2;
        }
        let to = self.end.min(self.at + step);
        self.at = self.leaf.lower_bound(self.at..to, value);
        self.pass_end();
    }

    /// Goes to the first value that is at least `value`.
    fn descend(&mut self, value: u32) {
        let Some(root) = self.root else { return };
        let (leaf, next) = root.leaf_of(edge_of(self.key, value));
        let group = leaf.group_of(self.key);
        self.end = group.end;
        self.at = leaf.lower_bound(group, value);
        self.leaf = leaf;
        self.next_leaf = next.filter(|first| key_of(*first) == self.key);
        self.pass_end();
    }

    /// Goes to the next leaf from the end of this one, if it has values of the key.
    fn pass_end(&mut self) {
        let (Some(root), Some(first)) = (self.root, self.next_leaf) else {
            return;
        };
        if self.at < self.end {
            return;
        }
        let (leaf, next) = root.leaf_of(first);
        let group = leaf.group_of(self.key);
        (self.at, self.end) = (group.start, group.end);
        self.leaf = leaf;
        self.next_leaf = next.filter(|first| key_of(*first) == self.key);
    }
}

impl<'t> Iterator for Values<'t> {
    type Item = (u32, Option<&'t Annotation>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let item = (self.leaf.value(self.at), self.leaf.annotation(self.at));
        self.at += 1;
        self.pass_end();
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let here = self.end - self.at;
        (here, self.next_leaf.is_none().then_some(here))
    }
}

impl Iterator for Keys<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            while self.key_ix >= self.leaf.key_count() {
                let (leaf, next) = self.root?.leaf_of(self.next_leaf?);
                (self.leaf, self.next_leaf) = (leaf, next);
                self.key_ix = 0;
            }
            let key = self.leaf.key(self.key_ix);
            self.key_ix += 1;
            // The values of one key may go on in the next leaf.
            if self.before.replace(key) != Some(key) {
                return Some(key);
            }
        }
    }
}

impl<'t> Iterator for Edges<'t> {
    type Item = (u32, u32, Option<&'t Annotation>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.key_ix >= self.leaf.key_count() {
            let (leaf, next) = self.root?.leaf_of(self.next_leaf?);
            (self.leaf, self.next_leaf) = (leaf, next);
            (self.key_ix, self.at) = (0, 0);
        }
        let item = (
            self.leaf.key(self.key_ix),
            self.leaf.value(self.at),
            self.leaf.annotation(self.at),
        );
        self.at += 1;
        if self.at >= self.leaf.group(self.key_ix).end {
            self.key_ix += 1;
        }
        Some(item)
    }
}

impl Branch {
    /// The leaf that holds `edge` if any does, and the first edge of the leaf after it.
    fn leaf_of(&self, edge: u64) -> (LeafView<'_>, Option<u64>) {
        let mut branch = self;
        let mut next = None;
        loop {
            let child_ix = branch.child_ix(edge);
            next = branch.firsts.get(child_ix + 1).copied().or(next);
            match &branch.children {
                Children::Leaves(leaves) => {
                    let leaf = leaves.get(child_ix);
                    return (leaf.map_or(LeafView::EMPTY, Leaf::fetched), next);
                }
                Children::Branches(branches) => match branches.get(child_ix) {
                    Some(child) => branch = child,
                    None => return (LeafView::EMPTY, None),
                },
            }
        }
    }

    /// How many edges are before `edge`.
    fn rank(&self, edge: u64) -> usize {
        let mut branch = self;
        let mut rank = 0;
        loop {
            let child_ix = branch.child_ix(edge);
            rank += branch.counts.iter().take(child_ix).sum::<usize>();
            match &branch.children {
                Children::Leaves(leaves) => {
                    let Some(leaf) = leaves.get(child_ix) else {
                        return rank;
                    };
                    let view = leaf.view();
                    let group = view.group_of(key_of(edge));
                    return rank + view.lower_bound(group, value_of(edge));
                }
                Children::Branches(branches) => match branches.get(child_ix) {
                    Some(child) => branch = child,
                    None => return rank,
                },
            }
        }
    }
}
