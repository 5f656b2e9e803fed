//! The edges of one class, from either end.
//!
//! INVARIANT: `reverse` holds each edge of `forward` with its ends exchanged and without annotation. In the class of a
//! wildcard it is empty: every edge has the one subject [`ObjectIx::WILDCARD_SUBJECT`].

use crate::graph::ObjectIx;
use crate::graph::tree::{EdgeAction, EdgeChange, EdgeRef, EdgeTree, Values};

/// The edges of one class.
#[derive(Debug, Clone, Default)]
pub struct Class {
    forward: EdgeTree,
    reverse: EdgeTree,
}

impl Class {
    /// The edge from `resource` to `subject`, if there is one.
    #[must_use]
    pub fn edge(&self, resource: ObjectIx, subject: ObjectIx) -> Option<EdgeRef<'_>> {
        self.forward.get(resource.0, subject.0)
    }

    /// The subjects of `resource`, ascending, with the annotations of the edges.
    #[must_use]
    pub fn subjects(&self, resource: ObjectIx) -> Values<'_> {
        self.forward.values(resource.0)
    }

    /// The resources of `subject`, ascending, without annotations: [`Self::edge`] has those. Empty for a wildcard.
    #[must_use]
    pub fn resources(&self, subject: ObjectIx) -> Values<'_> {
        self.reverse.values(subject.0)
    }

    /// Every edge from resource to subject, in that order.
    #[must_use]
    pub fn forward(&self) -> &EdgeTree {
        &self.forward
    }

    /// Every edge from subject to resource, in that order.
    #[must_use]
    pub fn reverse(&self) -> &EdgeTree {
        &self.reverse
    }

    /// How many edges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.forward.len()
    }

    /// Whether there is no edge.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forward.is_empty()
    }

    /// What was copied to make this of `before`, in bytes.
    pub(crate) fn copied_bytes(&self, before: &Self) -> usize {
        let forward = self.forward.copied_bytes(&before.forward);
        forward + self.reverse.copied_bytes(&before.reverse)
    }

    /// How many edges carry an annotation. While it is 0, [`Self::resources`] tells all there is to know.
    #[must_use]
    pub fn annotated_count(&self) -> usize {
        self.forward.annotated_count()
    }

    /// The class with other numbers at both ends, which are in the same order as those before.
    pub(crate) fn renumbered(
        &self,
        resource: impl Fn(u32) -> u32,
        subject: impl Fn(u32) -> u32,
    ) -> Self {
        Self {
            forward: self.forward.renumbered(&resource, &subject),
            reverse: self.reverse.renumbered(&subject, &resource),
        }
    }

    /// Changes edges; `changes` are strictly ascending from resource to subject.
    pub(crate) fn apply(&mut self, changes: &[EdgeChange], is_wildcard: bool) {
        self.forward.apply(changes);
        if is_wildcard {
            return;
        }
        let mut reversed: Vec<EdgeChange> = changes
            .iter()
            .map(|change| EdgeChange {
                key: change.value,
                value: change.key,
                action: match change.action {
                    EdgeAction::Insert(_) => EdgeAction::Insert(None),
                    EdgeAction::Remove => EdgeAction::Remove,
                },
            })
            .collect();
        reversed.sort_unstable_by_key(EdgeChange::edge);
        self.reverse.apply(&reversed);
    }
}
