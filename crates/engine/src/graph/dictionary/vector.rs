//! A persistent vector: it grows at its end, and a change copies the nodes on its path that another version holds.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::graph::tree::allocated;

const FANOUT_BITS: u32 = 6;
const FANOUT: usize = 1 << FANOUT_BITS;

/// Items by number. A clone shares everything.
#[derive(Debug, Clone)]
pub(super) struct Vector<T> {
    root: Option<Arc<Node<T>>>,
    /// Levels of nodes.
    height: u32,
    len: usize,
}

/// A node has what is beneath it inline: a search touches one allocation a level.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "both hold a whole node, and there is one of branches for sixty-four of items"
)]
enum Node<T> {
    Items(SmallVec<[T; FANOUT]>),
    Branches(SmallVec<[Arc<Node<T>>; FANOUT]>),
}

impl<T> Default for Vector<T> {
    fn default() -> Self {
        Self {
            root: None,
            height: 0,
            len: 0,
        }
    }
}

impl<T> Vector<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, ix: usize) -> Option<&T> {
        let mut node = self.root.as_deref()?;
        let mut height = self.height;
        loop {
            height = height.saturating_sub(1);
            match node {
                Node::Items(items) if ix < self.len => return items.get(slot(ix, 0)),
                Node::Items(_) => return None,
                Node::Branches(branches) => node = branches.get(slot(ix, height))?,
            }
        }
    }

    /// The bytes of all nodes and, by `item_bytes`, of what the items refer to.
    pub(super) fn resident_bytes(&self, item_bytes: impl Fn(&T) -> usize) -> usize {
        let root = self.root.as_deref();
        root.map_or(0, |root| root.resident_bytes(&item_bytes))
    }
}

impl<T: Clone> Vector<T> {
    /// The item to be changed in this version alone.
    pub(super) fn get_mut(&mut self, ix: usize) -> Option<&mut T> {
        if ix >= self.len {
            return None;
        }
        let mut node = Arc::make_mut(self.root.as_mut()?);
        let mut height = self.height;
        loop {
            height = height.saturating_sub(1);
            match node {
                Node::Items(items) => return items.get_mut(slot(ix, 0)),
                Node::Branches(branches) => {
                    node = Arc::make_mut(branches.get_mut(slot(ix, height))?);
                }
            }
        }
    }

    pub(super) fn push(&mut self, item: T) {
        let ix = self.len;
        self.len += 1;
        let is_full = ix >> (FANOUT_BITS * self.height) > 0;
        let root = match self.root.take() {
            None => Node::chain(item, 1),
            Some(root) if is_full => {
                let beside = Node::chain(item, self.height);
                Arc::new(Node::Branches(SmallVec::from_iter([root, beside])))
            }
            Some(mut root) => {
                Node::push(&mut root, ix, self.height, item);
                self.root = Some(root);
                return;
            }
        };
        self.height += 1;
        self.root = Some(root);
    }
}

impl<T> Node<T> {
    /// A node of that height with one item beneath it.
    fn chain(item: T, height: u32) -> Arc<Self> {
        let mut node = Arc::new(Self::Items(SmallVec::from_iter([item])));
        for _ in 1..height {
            node = Arc::new(Self::Branches(SmallVec::from_iter([node])));
        }
        node
    }

    fn resident_bytes(&self, item_bytes: &impl Fn(&T) -> usize) -> usize {
        let beneath: usize = match self {
            Self::Items(items) => items.iter().map(item_bytes).sum(),
            Self::Branches(branches) => branches
                .iter()
                .map(|node| node.resident_bytes(item_bytes))
                .sum(),
        };
        allocated(16 + size_of::<Self>()) + beneath
    }
}

impl<T: Clone> Node<T> {
    fn push(node: &mut Arc<Self>, ix: usize, height: u32, item: T) {
        match Arc::make_mut(node) {
            Self::Items(items) => items.push(item),
            Self::Branches(branches) => {
                match branches.get_mut(slot(ix, height.saturating_sub(1))) {
                    Some(child) => Self::push(child, ix, height - 1, item),
                    None => branches.push(Self::chain(item, height - 1)),
                }
            }
        }
    }
}

fn slot(ix: usize, height: u32) -> usize {
    (ix >> (FANOUT_BITS * height)) % FANOUT
}
