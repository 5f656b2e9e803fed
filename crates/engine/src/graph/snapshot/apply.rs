//! From one snapshot to the next: a commit of relationships, or a new schema.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Relationship, RelationshipKey, Revision, SubjectId, SubjectRef, Timestamp};
use schema::{DefinitionIx, MemberKind, Schema, SubjectKind};

use super::Snapshot;
use crate::graph::dictionary::{DictionaryFull, DictionaryWriter};
use crate::graph::tree::{EdgeAction, EdgeChange};
use crate::graph::{Annotation, Class, ClassIx, ClassKey, Dictionary, Layout, ObjectIx};

/// One change of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The relationship is there from now on, with this caveat and expiration.
    Put(Relationship),
    /// The relationship is gone, if it was there.
    Remove(RelationshipKey),
}

/// Why a commit cannot follow a snapshot. Nothing of it was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The schema has no such definition.
    #[error("definition `{definition}` is not in the schema")]
    UnknownDefinition {
        /// The definition.
        definition: String,
    },
    /// The definition has no such relation.
    #[error("relation `{relation}` is not in definition `{definition}`")]
    UnknownRelation {
        /// The definition of the resource.
        definition: String,
        /// The relation.
        relation: String,
    },
    /// The relation takes no such subjects.
    #[error("relation `{relation}` of definition `{definition}` takes no subject `{subject}`")]
    UnknownSubject {
        /// The definition of the resource.
        definition: String,
        /// The relation.
        relation: String,
        /// The kind of subject, for example `group#member` or `user:*`.
        subject: String,
    },
    /// An id is none.
    #[error(transparent)]
    ObjectId(#[from] model::NameError),
    /// A definition has too many ids.
    #[error(transparent)]
    DictionaryFull(#[from] DictionaryFull),
    /// The new schema has no place for relationships that are there.
    #[error(
        "the schema no longer lets relation `{relation}` of definition `{definition}` take subject `{subject}`, of \
         which {edge_count} relationships are left"
    )]
    ClassInUse {
        /// The definition of the resource.
        definition: String,
        /// The relation.
        relation: String,
        /// The kind of subject, for example `group#member` or `user:*`.
        subject: String,
        /// How many relationships there are.
        edge_count: usize,
    },
}

/// Which subjects a relationship has, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::graph) enum KindName<'a> {
    Object,
    Wildcard,
    Set(&'a str),
}

/// What tells the edge class of a relationship, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::graph) struct Names<'a> {
    pub(in crate::graph) resource: &'a str,
    pub(in crate::graph) relation: &'a str,
    pub(in crate::graph) subject: &'a str,
    pub(in crate::graph) kind: KindName<'a>,
}

/// Where the edge of a relationship belongs.
#[derive(Debug, Clone, Copy)]
pub(in crate::graph) struct Address {
    pub(in crate::graph) class: ClassIx,
    pub(in crate::graph) resource: DefinitionIx,
    pub(in crate::graph) subject: DefinitionIx,
    pub(in crate::graph) is_wildcard: bool,
}

impl Snapshot {
    /// The snapshot after a commit of these changes; a later one wins over an earlier one of the same relationship.
    ///
    /// # Errors
    /// [`ApplyError`] naming what the schema does not know.
    /// # Cost
    /// O(changes), and the nodes on their paths are copied.
    pub fn apply(
        &self,
        revision: Revision,
        time: Timestamp,
        changes: &[Change],
    ) -> Result<Self, ApplyError> {
        let mut writers = BTreeMap::new();
        let mut rows = Vec::with_capacity(changes.len());
        for change in changes {
            let address = Names::of(change).resolve(&self.schema, &self.layout)?;
            rows.extend(self.row(change, address, &mut writers)?);
        }
        let mut next = self.clone();
        (next.revision, next.time) = (revision, time);
        for (definition, writer) in writers {
            next.replace_dictionary(definition, writer.finish());
        }
        // Of the changes of one edge the last is to stay, and `dedup` keeps the first.
        rows.reverse();
        rows.sort_by_key(|(class, change)| (*class, change.edge()));
        rows.dedup_by_key(|(class, change)| (*class, change.edge()));
        let mut rows = rows.into_iter().peekable();
        while let Some((class, change)) = rows.next() {
            let mut of_class = vec![change];
            while let Some((_, change)) = rows.next_if(|(other, _)| *other == class) {
                of_class.push(change);
            }
            next.apply_to_class(class, &of_class);
        }
        Ok(next)
    }

    /// The snapshot after a commit of another schema. Definitions and edge classes keep their content by name.
    ///
    /// # Errors
    /// [`ApplyError::ClassInUse`] if an edge class that has edges is not in the new schema.
    /// # Cost
    /// O(edge classes).
    pub fn with_schema(
        &self,
        revision: Revision,
        time: Timestamp,
        schema: Arc<Schema>,
    ) -> Result<Self, ApplyError> {
        let mut next = Self::empty(schema);
        (next.revision, next.time) = (revision, time);
        for (definition_ix, definition) in self.schema.definitions() {
            let renumbered = next.schema.definition_ix(definition.name.as_str());
            let slot = renumbered.and_then(|ix| next.dictionaries.get_mut(ix.0 as usize));
            if let (Some(slot), Some(ids)) = (slot, self.dictionaries.get(definition_ix.0 as usize))
            {
                *slot = Arc::clone(ids);
            }
        }
        for ((class_ix, key), class) in self.layout.classes().zip(&self.classes) {
            match self.counterpart(key, &next) {
                Some(ix) => {
                    if let Some(slot) = next.classes.get_mut(ix.0 as usize) {
                        *slot = Arc::clone(class);
                    }
                }
                None if class.is_empty() => {}
                None => return Err(self.class_in_use(class_ix)),
            }
        }
        Ok(next)
    }

    /// The class of `other` that goes by the same names as the class `key` of this snapshot.
    pub(super) fn counterpart(&self, key: ClassKey, other: &Self) -> Option<ClassIx> {
        let names = Names::of_class(&self.schema, key);
        let address = names.resolve(&other.schema, &other.layout);
        address.ok().map(|address| address.class)
    }

    /// The edge that `change` changes; none if it removes one that cannot be there.
    fn row(
        &self,
        change: &Change,
        address: Address,
        writers: &mut BTreeMap<DefinitionIx, DictionaryWriter>,
    ) -> Result<Option<(ClassIx, EdgeChange)>, ApplyError> {
        let mut object = |definition: DefinitionIx, id: &str, add: bool| {
            let writer = writers
                .entry(definition)
                .or_insert_with(|| self.dictionary(definition).clone().into_writer());
            if add {
                return writer.insert(id).map(Some);
            }
            Ok(writer.lookup(id))
        };
        let (resource, subject, add) = match change {
            Change::Put(relationship) => (&relationship.resource, &relationship.subject, true),
            Change::Remove(key) => (&key.resource, &key.subject, false),
        };
        let resource = object(address.resource, resource.id.as_str(), add)?;
        let subject = match &subject.id {
            SubjectId::Wildcard => Some(ObjectIx::WILDCARD_SUBJECT),
            SubjectId::Object(id) => object(address.subject, id.as_str(), add)?,
        };
        let action = match change {
            Change::Put(relationship) => EdgeAction::Insert(Annotation::new(
                relationship.caveat.clone(),
                relationship.expires_at,
            )),
            Change::Remove(_) => EdgeAction::Remove,
        };
        Ok(resource.zip(subject).map(|(resource, subject)| {
            let change = EdgeChange {
                key: resource.0,
                value: subject.0,
                action,
            };
            (address.class, change)
        }))
    }

    fn replace_dictionary(&mut self, definition: DefinitionIx, ids: Dictionary) {
        if let Some(slot) = self.dictionaries.get_mut(definition.0 as usize)
            && slot.len() != ids.len()
        {
            *slot = Arc::new(ids);
        }
    }

    fn apply_to_class(&mut self, class: ClassIx, changes: &[EdgeChange]) {
        let is_wildcard = self.layout.key(class).kind == SubjectKind::Wildcard;
        if let Some(class) = self.classes.get_mut(class.0 as usize) {
            Class::apply(Arc::make_mut(class), changes, is_wildcard);
        }
    }

    fn class_in_use(&self, class: ClassIx) -> ApplyError {
        let names = Names::of_class(&self.schema, self.layout.key(class));
        ApplyError::ClassInUse {
            definition: names.resource.to_owned(),
            relation: names.relation.to_owned(),
            subject: names.subject_text(),
            edge_count: self.class(class).len(),
        }
    }
}

impl<'a> Names<'a> {
    fn of(change: &'a Change) -> Self {
        let (resource, relation, subject) = match change {
            Change::Put(it) => (&it.resource, &it.relation, &it.subject),
            Change::Remove(key) => (&key.resource, &key.relation, &key.subject),
        };
        Self {
            resource: resource.definition.as_str(),
            relation: relation.as_str(),
            subject: subject.definition.as_str(),
            kind: KindName::of(subject),
        }
    }

    fn of_class(schema: &'a Schema, key: ClassKey) -> Self {
        let relation = schema.member(key.relation);
        Self {
            resource: schema.definition(relation.definition).name.as_str(),
            relation: relation.name.as_str(),
            subject: schema.definition(key.definition).name.as_str(),
            kind: match key.kind {
                SubjectKind::Object => KindName::Object,
                SubjectKind::Wildcard => KindName::Wildcard,
                SubjectKind::Set(member) => KindName::Set(schema.member(member).name.as_str()),
            },
        }
    }

    pub(in crate::graph) fn resolve(
        &self,
        schema: &Schema,
        layout: &Layout,
    ) -> Result<Address, ApplyError> {
        let definition = |name: &str| {
            schema
                .definition_ix(name)
                .ok_or_else(|| ApplyError::UnknownDefinition {
                    definition: name.to_owned(),
                })
        };
        let (resource, subject) = (definition(self.resource)?, definition(self.subject)?);
        let relation = schema
            .member_ix(resource, self.relation)
            .filter(|member| matches!(schema.member(*member).kind, MemberKind::Relation(_)))
            .ok_or_else(|| ApplyError::UnknownRelation {
                definition: self.resource.to_owned(),
                relation: self.relation.to_owned(),
            })?;
        let kind = match self.kind {
            KindName::Object => Some(SubjectKind::Object),
            KindName::Wildcard => Some(SubjectKind::Wildcard),
            KindName::Set(name) => schema.member_ix(subject, name).map(SubjectKind::Set),
        };
        let class = kind
            .and_then(|kind| layout.class_ix(relation, subject, kind))
            .ok_or_else(|| ApplyError::UnknownSubject {
                definition: self.resource.to_owned(),
                relation: self.relation.to_owned(),
                subject: self.subject_text(),
            })?;
        Ok(Address {
            class,
            resource,
            subject,
            is_wildcard: self.kind == KindName::Wildcard,
        })
    }

    fn subject_text(&self) -> String {
        match self.kind {
            KindName::Object => self.subject.to_owned(),
            KindName::Wildcard => format!("{}:*", self.subject),
            KindName::Set(relation) => format!("{}#{relation}", self.subject),
        }
    }
}

impl<'a> KindName<'a> {
    fn of(subject: &'a SubjectRef) -> Self {
        match (&subject.id, &subject.relation) {
            (SubjectId::Wildcard, _) => Self::Wildcard,
            (SubjectId::Object(_), None) => Self::Object,
            (SubjectId::Object(_), Some(relation)) => Self::Set(relation.as_str()),
        }
    }

    /// The kind of a subject in parts.
    pub(in crate::graph) fn of_parts(id: &str, relation: Option<&'a str>) -> Self {
        match relation {
            Some(relation) => Self::Set(relation),
            None if id == "*" => Self::Wildcard,
            None => Self::Object,
        }
    }
}
