//! One commit as watches tell it: made once for each node and shared by all of them.

use std::collections::HashSet;
use std::sync::Arc;

use model::{DefinitionName, Operation, RelationshipUpdate, Timestamp, Token, Value};
use store::{Change, LogEntry, StoreIdentity};

use super::{Filter, Rows};

/// Bytes of updates in one event, as estimated from above. With the metadata of the largest transaction, twice, it stays
/// well under the 4 MiB that clients accept.
const PART_BYTES_MAX: usize = 1 << 20;

/// What a commit changed, with the tokens of it and of the commit before it.
#[derive(Debug)]
pub(crate) struct Commit {
    token: Token,
    before: Token,
    time: Timestamp,
    is_schema_changed: bool,
    metadata: Option<Arc<str>>,
    updates: Vec<RelationshipUpdate>,
    /// The definitions of the resources: most watches want other ones, and need not look at every update to know.
    definitions: HashSet<DefinitionName>,
    bytes: usize,
}

impl Commit {
    /// # Cost
    /// O(changes); moves the relationships and copies none.
    pub(crate) fn new(identity: StoreIdentity, entry: LogEntry) -> Self {
        let mut before = identity.token(entry.revision, &entry.previous);
        before.revision.0 = before.revision.0.saturating_sub(1);
        let time = entry.time;
        let updates = entry.changes.into_iter().filter_map(|change| {
            let Change { before, after } = change;
            match (before, after) {
                (_, Some(relationship)) => Some(RelationshipUpdate {
                    operation: Operation::Touch,
                    relationship,
                }),
                // That an expired row goes is news to nobody.
                (Some(gone), None) if gone.is_expired(time) => None,
                (Some(relationship), None) => Some(RelationshipUpdate {
                    operation: Operation::Delete,
                    relationship,
                }),
                (None, None) => None,
            }
        });
        let updates: Vec<_> = if entry.housekeeping {
            Vec::new()
        } else {
            updates.collect()
        };
        Self {
            token: identity.token(entry.revision, &entry.hash),
            before,
            time,
            is_schema_changed: entry.schema.is_some(),
            metadata: entry.provenance.metadata.map(Arc::from),
            bytes: updates.iter().map(message_bytes).sum(),
            definitions: definitions(&updates),
            updates,
        }
    }

    /// When it was made.
    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    /// Its token.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// The token of the commit before it.
    pub(super) fn before(&self) -> Token {
        self.before
    }

    pub(super) fn is_schema_changed(&self) -> bool {
        self.is_schema_changed
    }

    pub(super) fn metadata(&self) -> Option<Arc<str>> {
        self.metadata.clone()
    }

    pub(super) fn updates(&self) -> &[RelationshipUpdate] {
        &self.updates
    }

    /// What it takes in memory, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let metadata = self.metadata.as_ref().map_or(0, |metadata| metadata.len());
        size_of::<Self>()
            + self.bytes
            + self.updates.len() * size_of::<RelationshipUpdate>()
            + metadata
    }
}

fn definitions(updates: &[RelationshipUpdate]) -> HashSet<DefinitionName> {
    let names = updates
        .iter()
        .map(|update| &update.relationship.resource.definition);
    let mut found = HashSet::new();
    let mut last = None;
    for name in names {
        // They come in runs.
        if last != Some(name) && !found.contains(name) {
            found.insert(name.clone());
        }
        last = Some(name);
    }
    found
}

impl Filter {
    /// Whether a watch has to look at `commit`; a large one may still hold nothing that matches.
    pub(super) fn wants(&self, commit: &Commit) -> bool {
        /// Updates that are looked at while the other watches wait.
        const LOOKED_AT_MAX: usize = 64;
        match self {
            Self::All => !commit.updates.is_empty(),
            Self::Definitions(names) => commit.definitions.iter().any(|name| names.contains(name)),
            Self::Relationships(filters) => {
                let is_near = filters.iter().any(|filter| {
                    let name = filter.definition.as_ref();
                    name.is_none_or(|name| commit.definitions.contains(name))
                });
                is_near
                    && (commit.updates.len() > LOOKED_AT_MAX
                        || commit
                            .updates
                            .iter()
                            .any(|update| self.matches(&update.relationship)))
            }
        }
    }
}

/// Goes through the updates of a commit that match a filter, cut into parts of bounded size.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    commit: &'a Arc<Commit>,
    filter: &'a Filter,
    next: usize,
}

impl<'a> Parts<'a> {
    pub(super) fn new(commit: &'a Arc<Commit>, filter: &'a Filter) -> Self {
        Self {
            commit,
            filter,
            next: 0,
        }
    }

    /// The next part and whether it is the last; nothing if nothing matches any more.
    pub(super) fn next(&mut self) -> Option<(Rows, bool)> {
        let is_whole = matches!(self.filter, Filter::All) && self.commit.bytes <= PART_BYTES_MAX;
        if is_whole {
            let is_told = self.next > 0 || self.commit.updates.is_empty();
            self.next = self.commit.updates.len();
            return (!is_told).then(|| (Rows::Whole(Arc::clone(self.commit)), true));
        }
        let mut chosen = Vec::new();
        let mut bytes = 0;
        for update in self.commit.updates.get(self.next..).unwrap_or_default() {
            if self.filter.matches(&update.relationship) {
                bytes += message_bytes(update);
                if bytes > PART_BYTES_MAX && !chosen.is_empty() {
                    return Some((Rows::Chosen(chosen), false));
                }
                chosen.push(update.clone());
            }
            self.next += 1;
        }
        (!chosen.is_empty()).then_some((Rows::Chosen(chosen), true))
    }
}

/// What an update takes in a message, from above.
fn message_bytes(update: &RelationshipUpdate) -> usize {
    /// Tags and lengths of the fields, and an expiration.
    const FRAME: usize = 64;
    let relationship = &update.relationship;
    let (resource, subject) = (&relationship.resource, &relationship.subject);
    let subject_id = match &subject.id {
        model::SubjectId::Object(id) => id.as_str().len(),
        model::SubjectId::Wildcard => 1,
    };
    let subject_relation = subject
        .relation
        .as_ref()
        .map_or(0, |name| name.as_str().len());
    let caveat = relationship.caveat.as_ref().map_or(0, |caveat| {
        let values = caveat.context.iter();
        FRAME + caveat.name.as_str().len() + values.map(entry_bytes).sum::<usize>()
    });
    FRAME
        + resource.definition.as_str().len()
        + resource.id.as_str().len()
        + relationship.relation.as_str().len()
        + subject.definition.as_str().len()
        + subject_id
        + subject_relation
        + caveat
}

/// Tags and lengths around one value of a context.
const VALUE_FRAME: usize = 16;

fn entry_bytes((name, value): (&str, &Value)) -> usize {
    VALUE_FRAME + name.len() + value_bytes(value)
}

/// As deep as contexts nest, which is bounded where they are read.
fn value_bytes(value: &Value) -> usize {
    VALUE_FRAME
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::List(items) => items.iter().map(value_bytes).sum(),
            Value::Map(map) => map
                .iter()
                .map(|(name, value)| entry_bytes((name, value)))
                .sum(),
        }
}
