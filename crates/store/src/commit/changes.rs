//! The changes of one commit while it is applied: at most one for each relationship.

use std::collections::HashMap;

use model::{Relationship, RelationshipKey, Revision};

use crate::commit::Change;

/// What a commit did so far, in the order of first application.
///
/// Most commits name each relationship once, so the index by key is only built when one may repeat: when a row is
/// changed that this commit wrote, or one is added after some were deleted.
#[derive(Default)]
pub(crate) struct ChangeSet {
    changes: Vec<Recorded>,
    index: Option<HashMap<RelationshipKey, usize>>,
    has_deletions: bool,
}

struct Recorded {
    change: Change,
    /// The commit that wrote the row before; meaningless where there was none.
    before_revision: Revision,
}

/// A row that a commit found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// What it says.
    pub(crate) relationship: Relationship,
    /// The commit that wrote it.
    pub(crate) revision: Revision,
}

impl ChangeSet {
    /// Notes that `before` became `after`; `at` is the revision of the commit.
    pub(crate) fn record(
        &mut self,
        before: Option<Found>,
        after: Option<Relationship>,
        at: Revision,
    ) {
        let was_written_here = before.as_ref().is_some_and(|found| found.revision == at);
        let may_repeat = was_written_here || (before.is_none() && self.has_deletions);
        self.has_deletions |= after.is_none();
        let (before, before_revision) = match before {
            Some(found) => (Some(found.relationship), found.revision),
            None => (None, at),
        };
        let recorded = Recorded {
            change: Change { before, after },
            before_revision,
        };
        if may_repeat && self.index.is_none() {
            self.index = Some(index(&self.changes));
        }
        let (Some(index), Some(key)) = (
            &mut self.index,
            recorded.change.relationship().map(Relationship::key),
        ) else {
            self.changes.push(recorded);
            return;
        };
        let next = self.changes.len();
        let place = *index.entry(key).or_insert(next);
        match self.changes.get_mut(place) {
            Some(earlier) => earlier.change.after = recorded.change.after,
            None => self.changes.push(recorded),
        }
    }

    /// The changes, and the rows that came back as they were with the commits that wrote them.
    pub(crate) fn finish(self) -> (Vec<Change>, Vec<Found>) {
        let mut changes = Vec::with_capacity(self.changes.len());
        let mut restored = Vec::new();
        for Recorded {
            change,
            before_revision,
        } in self.changes
        {
            if change.before != change.after {
                changes.push(change);
            } else if let Some(relationship) = change.before {
                restored.push(Found {
                    relationship,
                    revision: before_revision,
                });
            }
        }
        (changes, restored)
    }
}

fn index(changes: &[Recorded]) -> HashMap<RelationshipKey, usize> {
    let keyed = changes.iter().enumerate();
    keyed
        .filter_map(|(place, recorded)| Some((recorded.change.relationship()?.key(), place)))
        .collect()
}

/// How many bytes the key of a relationship takes in the log.
pub(crate) fn key_bytes(relationship: &Relationship) -> usize {
    let subject = &relationship.subject;
    let subject_relation = subject.relation.as_ref();
    relationship.resource.definition.as_str().len()
        + relationship.resource.id.as_str().len()
        + relationship.relation.as_str().len()
        + subject.definition.as_str().len()
        + subject.id.as_str().len()
        + subject_relation.map_or(0, |name| name.as_str().len())
}
