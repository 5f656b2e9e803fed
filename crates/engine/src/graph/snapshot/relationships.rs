//! Listing relationships in the order of the wire: by the texts of resource, relation and subject.
//!
//! That is the order of [`RelationshipKey`], so a page begins after the key that ended the one before it. Numbers say
//! nothing of the order of texts; hence each step either sorts the few objects that are there, or walks the sorted ids
//! of the definition and asks for each whether it is there, whichever costs less ([`Snapshot::walk`]).

use std::sync::Arc;

use model::{
    DefinitionName, ObjectId, Relationship, RelationshipFilter, RelationshipKey, ResourceIdFilter,
    SubjectFilter, SubjectId, SubjectRelationFilter,
};
use schema::{DefinitionIx, MemberIx, SubjectKind};

use super::Snapshot;
use crate::graph::{Class, ClassIx, ObjectIx};

/// Fewer objects than this are always sorted: a definition's sorted ids are not worth building for them.
const SORTED_MIN: usize = 1_024;
/// Walking all ids of a definition pays off from one in so many on.
const WALK_DENSITY: usize = 256;

/// What is asked for.
struct Query<'s> {
    snapshot: &'s Snapshot,
    filter: RelationshipFilter,
    after: Option<RelationshipKey>,
}

/// The edge classes of one relation that lead to one definition.
struct Group {
    relation: MemberIx,
    subject: DefinitionIx,
    wildcard: Option<ClassIx>,
    /// Those of objects and subject sets, by the name of the set.
    classes: Vec<ClassIx>,
}

/// Objects of one definition in the order of their ids.
enum Walk {
    Sorted(std::vec::IntoIter<ObjectIx>),
    All { ids: Arc<[u32]>, at: usize },
}

impl Snapshot {
    /// The relationships that `filter` matches, in the order of their keys, expired ones included.
    ///
    /// # Cost
    /// What is not taken from the iterator is not looked up; a definition's sorted ids are built when first needed.
    pub fn relationships(
        &self,
        filter: &RelationshipFilter,
    ) -> impl Iterator<Item = Relationship> + use<'_> {
        self.relationships_after(filter, None)
    }

    /// As [`Self::relationships`], without those up to `after`, which need not be there itself.
    pub fn relationships_after(
        &self,
        filter: &RelationshipFilter,
        after: Option<&RelationshipKey>,
    ) -> impl Iterator<Item = Relationship> + use<'_> {
        let query = Arc::new(Query {
            snapshot: self,
            filter: filter.clone(),
            after: after.cloned(),
        });
        let after = after.cloned();
        query
            .definitions()
            .into_iter()
            .flat_map(move |definition| of_definition(&query, definition))
            // The steps above begin close to the key; this makes it exact.
            .skip_while(move |relationship| {
                after.as_ref().is_some_and(|after| {
                    key_parts(relationship) <= (&after.resource, &after.relation, &after.subject)
                })
            })
    }

    fn definition_name(&self, definition: DefinitionIx) -> &DefinitionName {
        &self.schema.definition(definition).name
    }

    /// The objects of `definition` that `members` counts and lists, in the order of their ids, from `from` on; or more
    /// objects, if that is cheaper.
    fn walk(
        &self,
        definition: DefinitionIx,
        from: Option<&str>,
        member_count: usize,
        members: impl FnOnce() -> Vec<ObjectIx>,
    ) -> Walk {
        let dictionary = self.dictionary(definition);
        if member_count >= SORTED_MIN && member_count >= dictionary.len() / WALK_DENSITY {
            let ids = dictionary.sorted();
            return Walk::All {
                at: from.map_or(0, |from| dictionary.lower_bound(&ids, from)),
                ids,
            };
        }
        let mut members = members();
        members.sort_unstable();
        members.dedup();
        if let Some(from) = from {
            members.retain(|object| dictionary.id(*object).is_some_and(|id| id.as_str() >= from));
        }
        dictionary.sort(&mut members);
        Walk::Sorted(members.into_iter())
    }
}

type KeyParts<'r> = (
    &'r model::ObjectRef,
    &'r model::RelationName,
    &'r model::SubjectRef,
);

fn key_parts(relationship: &Relationship) -> KeyParts<'_> {
    (
        &relationship.resource,
        &relationship.relation,
        &relationship.subject,
    )
}

fn of_definition<'s>(
    query: &Arc<Query<'s>>,
    definition: DefinitionIx,
) -> impl Iterator<Item = Relationship> + use<'s> {
    let groups = Arc::new(query.groups(definition));
    let resources = query.resources(definition, &groups);
    let query = Arc::clone(query);
    resources.flat_map(move |resource| of_resource(&query, &groups, definition, resource))
}

fn of_resource<'s>(
    query: &Arc<Query<'s>>,
    groups: &Arc<Vec<Group>>,
    definition: DefinitionIx,
    resource: ObjectIx,
) -> impl Iterator<Item = Relationship> + use<'s> {
    let after = query.after_within(definition, resource);
    let first = after.map_or(0, |after| query.first_group(groups, after));
    let (query, groups) = (Arc::clone(query), Arc::clone(groups));
    (first..groups.len()).flat_map(move |group_ix| {
        let from = query.after_within(definition, resource).cloned();
        of_group(&query, &groups, group_ix, (resource, from))
    })
}

/// The relationships of one resource in one group; `after` is the key to go on from if it is of that resource.
fn of_group<'s>(
    query: &Arc<Query<'s>>,
    groups: &Arc<Vec<Group>>,
    group_ix: usize,
    (resource, after): (ObjectIx, Option<RelationshipKey>),
) -> impl Iterator<Item = Relationship> + use<'s> {
    let snapshot = query.snapshot;
    let group = groups.get(group_ix);
    let wildcard = group.and_then(|group| group.wildcard);
    let subjects = group.map(|group| query.subjects(group, resource, after.as_ref()));
    let classes = group.map(|group| group.classes.clone()).unwrap_or_default();
    let everybody = wildcard
        .into_iter()
        .map(|class| (class, ObjectIx::WILDCARD_SUBJECT));
    let objects = subjects.into_iter().flatten().flat_map(move |subject| {
        let classes = classes.clone();
        classes.into_iter().map(move |class| (class, subject))
    });
    everybody
        .chain(objects)
        .filter_map(move |(class, subject)| {
            let edge = snapshot.class(class).edge(resource, subject)?;
            snapshot.relationship(class, resource, subject, edge.annotation())
        })
}

impl<'s> Query<'s> {
    /// The definitions of matching resources, by name.
    fn definitions(&self) -> Vec<DefinitionIx> {
        let after = self.after.as_ref().map(|after| &after.resource.definition);
        let mut definitions: Vec<(&DefinitionName, DefinitionIx)> = self
            .snapshot
            .schema
            .definitions()
            .map(|(ix, definition)| (&definition.name, ix))
            .filter(|(name, _)| {
                self.filter
                    .definition
                    .as_ref()
                    .is_none_or(|only| only == *name)
            })
            .filter(|(name, _)| after.is_none_or(|after| *name >= after))
            .collect();
        definitions.sort_unstable();
        definitions.into_iter().map(|(_, ix)| ix).collect()
    }

    /// The matching edge classes of a definition that have edges, by the names of relation and subject definition.
    fn groups(&self, definition: DefinitionIx) -> Vec<Group> {
        let schema = &self.snapshot.schema;
        let mut groups: Vec<Group> = Vec::new();
        for &relation in &schema.definition(definition).members {
            let name = &schema.member(relation).name;
            if self
                .filter
                .relation
                .as_ref()
                .is_some_and(|only| only != name)
            {
                continue;
            }
            for &class in self.snapshot.layout.classes_of(relation) {
                self.add_to_groups(&mut groups, relation, class);
            }
        }
        for group in &mut groups {
            group.classes.sort_by_key(|class| self.set_name(*class));
        }
        groups.sort_by_key(|group| self.group_names(group));
        groups
    }

    fn add_to_groups(&self, groups: &mut Vec<Group>, relation: MemberIx, class: ClassIx) {
        let key = self.snapshot.layout.key(class);
        let is_meant = self
            .filter
            .subject
            .as_ref()
            .is_none_or(|only| self.is_meant(only, class));
        if !is_meant || self.snapshot.class(class).is_empty() {
            return;
        }
        let place = groups
            .iter()
            .position(|group| group.relation == relation && group.subject == key.definition)
            .unwrap_or_else(|| {
                groups.push(Group {
                    relation,
                    subject: key.definition,
                    wildcard: None,
                    classes: Vec::new(),
                });
                groups.len() - 1
            });
        let Some(group) = groups.get_mut(place) else {
            return;
        };
        match key.kind {
            SubjectKind::Wildcard => group.wildcard = Some(class),
            SubjectKind::Object | SubjectKind::Set(_) => group.classes.push(class),
        }
    }

    /// Whether `class` can have subjects that the filter means.
    fn is_meant(&self, only: &SubjectFilter, class: ClassIx) -> bool {
        let key = self.snapshot.layout.key(class);
        let has_id = match (&only.id, key.kind) {
            (None, _) => true,
            (Some(SubjectId::Wildcard), kind) => kind == SubjectKind::Wildcard,
            (Some(SubjectId::Object(_)), kind) => kind != SubjectKind::Wildcard,
        };
        let has_relation = match &only.relation {
            SubjectRelationFilter::Any => true,
            SubjectRelationFilter::None => self.set_name(class).is_none(),
            SubjectRelationFilter::Relation(name) => self.set_name(class) == Some(name.as_str()),
        };
        only.definition == *self.snapshot.definition_name(key.definition) && has_id && has_relation
    }

    fn set_name(&self, class: ClassIx) -> Option<&'s str> {
        match self.snapshot.layout.key(class).kind {
            SubjectKind::Set(member) => Some(self.snapshot.schema.member(member).name.as_str()),
            SubjectKind::Object | SubjectKind::Wildcard => None,
        }
    }

    fn group_names(&self, group: &Group) -> (&'s str, &'s str) {
        let relation = &self.snapshot.schema.member(group.relation).name;
        (
            relation.as_str(),
            self.snapshot.definition_name(group.subject).as_str(),
        )
    }

    /// The key to go on from, if it is of that resource.
    fn after_within(
        &self,
        definition: DefinitionIx,
        resource: ObjectIx,
    ) -> Option<&RelationshipKey> {
        let after = self.after.as_ref()?;
        let is_it = *self.snapshot.definition_name(definition) == after.resource.definition
            && self.snapshot.object_id(definition, resource).as_ref() == Some(&after.resource.id);
        is_it.then_some(after)
    }

    fn first_group(&self, groups: &[Group], after: &RelationshipKey) -> usize {
        let after = (after.relation.as_str(), after.subject.definition.as_str());
        groups.partition_point(|group| self.group_names(group) < after)
    }

    /// The resources that may have a matching relationship.
    fn resources(
        &self,
        definition: DefinitionIx,
        groups: &[Group],
    ) -> impl Iterator<Item = ObjectIx> + use<'s> {
        let snapshot = self.snapshot;
        let prefix = match &self.filter.resource_id {
            Some(ResourceIdFilter::Prefix(prefix)) => Some(prefix.clone()),
            Some(ResourceIdFilter::Exact(_)) | None => None,
        };
        let after = self.after.as_ref().map(|after| &after.resource);
        let after = after.filter(|after| after.definition == *snapshot.definition_name(definition));
        let from = prefix
            .as_ref()
            .max(after.map(|after| &after.id))
            .map(ObjectId::as_str);
        let walk = match &self.filter.resource_id {
            Some(ResourceIdFilter::Exact(id)) => {
                Walk::one(snapshot.object_ix(definition, id.as_str()))
            }
            Some(ResourceIdFilter::Prefix(_)) | None => match self.subject_id() {
                Some(id) => self.resources_of_subject(definition, groups, id, from),
                None => self.resources_of_any(definition, groups, from),
            },
        };
        // Ids with a prefix stand together, so the first without it ends the walk.
        walk.take_while(move |object| {
            prefix.as_ref().is_none_or(|prefix| {
                let id = snapshot.dictionary(definition).id(*object);
                id.is_some_and(|id| id.as_str().starts_with(prefix.as_str()))
            })
        })
    }

    fn resources_of_subject(
        &self,
        definition: DefinitionIx,
        groups: &[Group],
        id: &ObjectId,
        from: Option<&str>,
    ) -> Walk {
        let lists = || {
            groups.iter().flat_map(|group| {
                let subject = self.snapshot.object_ix(group.subject, id.as_str());
                let classes = group
                    .classes
                    .iter()
                    .map(|class| self.snapshot.class(*class));
                subject.into_iter().flat_map(move |subject| {
                    classes.clone().map(move |class| class.resources(subject))
                })
            })
        };
        let count = lists().map(|list| list.len()).sum();
        self.snapshot.walk(definition, from, count, || {
            lists()
                .flatten()
                .map(|(resource, _)| ObjectIx(resource))
                .collect()
        })
    }

    fn resources_of_any(
        &self,
        definition: DefinitionIx,
        groups: &[Group],
        from: Option<&str>,
    ) -> Walk {
        let classes = || {
            let classes = groups
                .iter()
                .flat_map(|group| group.wildcard.iter().chain(&group.classes));
            classes.map(|class| self.snapshot.class(*class))
        };
        let count = classes().map(Class::len).sum();
        self.snapshot.walk(definition, from, count, || {
            let edges = classes().flat_map(|class| class.forward());
            edges.map(|(resource, _, _)| ObjectIx(resource)).collect()
        })
    }

    /// The subjects, but for the wildcard, that `resource` may have in `group`.
    fn subjects(&self, group: &Group, resource: ObjectIx, after: Option<&RelationshipKey>) -> Walk {
        if group.classes.is_empty() {
            return Walk::one(None);
        }
        if let Some(id) = self.subject_id() {
            return Walk::one(self.snapshot.object_ix(group.subject, id.as_str()));
        }
        let from = after
            .filter(|after| {
                (after.relation.as_str(), after.subject.definition.as_str())
                    == self.group_names(group)
            })
            .map(|after| after.subject.id.as_str());
        let lists = || {
            let classes = group
                .classes
                .iter()
                .map(|class| self.snapshot.class(*class));
            classes.map(|class| class.subjects(resource))
        };
        let count = lists().map(|list| list.len()).sum();
        self.snapshot.walk(group.subject, from, count, || {
            lists()
                .flatten()
                .map(|(subject, _)| ObjectIx(subject))
                .collect()
        })
    }

    /// The one subject id that the filter means, if it means one.
    fn subject_id(&self) -> Option<&ObjectId> {
        match &self.filter.subject.as_ref()?.id {
            Some(SubjectId::Object(id)) => Some(id),
            Some(SubjectId::Wildcard) | None => None,
        }
    }
}

impl Walk {
    fn one(object: Option<ObjectIx>) -> Self {
        Self::Sorted(object.into_iter().collect::<Vec<_>>().into_iter())
    }
}

impl Iterator for Walk {
    type Item = ObjectIx;

    fn next(&mut self) -> Option<ObjectIx> {
        match self {
            Self::Sorted(objects) => objects.next(),
            Self::All { ids, at } => {
                let object = *ids.get(*at)?;
                *at += 1;
                Some(ObjectIx(object))
            }
        }
    }
}
