//! What a call answered, with everything taken away that does not count: order, tokens, cursors, repetition.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use remit_client::proto::authzed::api::v1 as wire;
use tonic::Code;
use wire::algebraic_subject_set::Operation;
use wire::check_permission_response::Permissionship;
use wire::permission_relationship_tree::TreeType;

use crate::wire::Failure;

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done, and says nothing more.
    Done,
    /// Of a check.
    Decided(Access),
    /// Of a look-up of resources: who is not named has no access.
    Resources(BTreeMap<String, Access>),
    /// Of a look-up of subjects.
    Subjects(Subjects),
    /// Of an expansion.
    Tree(Tree),
    /// It failed; what a stream brought before does not count.
    Failed(Failure),
}

/// What two answers say of the same, where that is not the same.
#[derive(Debug)]
pub(super) struct Differing {
    /// Of which object; none for the question itself, and for everybody.
    pub(super) id: Option<String>,
    pub(super) remit: Access,
    pub(super) peer: Access,
}

/// An id that no case names: what it has is what everybody has.
const SOMEBODY_ELSE: &str = "somebody-else";

impl Differing {
    /// The object, or one that stands for everybody.
    pub(super) fn id_or_other(&self) -> &str {
        self.id.as_deref().unwrap_or(SOMEBODY_ELSE)
    }
}

/// Whether access is given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    Denied,
    /// It depends on what these say.
    Conditional(BTreeSet<String>),
    Allowed,
}

/// Who has access.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Subjects {
    /// Those named.
    pub(super) named: BTreeMap<String, Access>,
    /// What everybody has, if there is a `*`, and for whom it does not count or counts on a condition only.
    pub(super) everybody: Option<(Access, BTreeMap<String, Access>)>,
}

/// An expanded permission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tree {
    Leaf(String, BTreeSet<String>),
    /// The children of a union and of an intersection are sorted.
    Inner(String, &'static str, Vec<Tree>),
}

impl Outcome {
    pub(super) fn done<T>(answer: Result<T, Failure>) -> Self {
        answer.map_or_else(Self::Failed, |_| Self::Done)
    }

    pub(super) fn check(answer: Result<wire::CheckPermissionResponse, Failure>) -> Self {
        answer.map_or_else(Self::Failed, |answer| {
            Self::Decided(Access::checked(
                answer.permissionship(),
                answer.partial_caveat_info,
            ))
        })
    }

    pub(super) fn pair(pair: wire::CheckBulkPermissionsPair) -> Self {
        use wire::check_bulk_permissions_pair::Response;
        match pair.response.unwrap() {
            Response::Item(item) => Self::Decided(Access::checked(
                item.permissionship(),
                item.partial_caveat_info,
            )),
            Response::Error(status) => Self::Failed(Failure::from_item(status)),
        }
    }

    pub(super) fn resources(answers: Vec<wire::LookupResourcesResponse>) -> Self {
        let mut resources = BTreeMap::new();
        for answer in answers {
            let access = Access::looked_up(answer.permissionship(), answer.partial_caveat_info);
            merge(&mut resources, answer.resource_object_id, access);
        }
        Self::Resources(resources)
    }

    pub(super) fn subjects(answers: Vec<wire::LookupSubjectsResponse>) -> Self {
        let mut subjects = Subjects::default();
        for answer in answers {
            let (id, access) = resolved(answer.subject.unwrap());
            if id != "*" {
                merge(&mut subjects.named, id, access);
                continue;
            }
            assert_eq!(subjects.everybody, None, "`*` is told twice");
            let mut excluded = BTreeMap::new();
            for (id, access) in answer.excluded_subjects.into_iter().map(resolved) {
                merge(&mut excluded, id, access);
            }
            subjects.everybody = Some((access, excluded));
        }
        Self::Subjects(subjects)
    }

    pub(super) fn tree(answer: Result<wire::ExpandPermissionTreeResponse, Failure>) -> Self {
        answer.map_or_else(Self::Failed, |answer| {
            Self::Tree(Tree::new(answer.tree_root.unwrap()))
        })
    }

    /// Whether it was not waited for any longer.
    pub(super) fn is_given_up(&self) -> bool {
        let codes = [Code::DeadlineExceeded, Code::Cancelled];
        matches!(self, Self::Failed(failure) if codes.contains(&failure.code))
    }

    /// Whether two servers say the same.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Failed(one), Self::Failed(other)) => {
                let is_told = one.reason.is_some() && other.reason.is_some();
                one.code == other.code && (!is_told || one.reason == other.reason)
            }
            (Self::Subjects(one), Self::Subjects(other)) => one.agrees_with(other),
            _ => self == other,
        }
    }
}

impl Outcome {
    /// What two answers of one kind give where they differ; nothing if they are of different kinds.
    pub(super) fn beside(&self, other: &Self) -> Vec<Differing> {
        let mut pairs = Vec::new();
        match (self, other) {
            (Self::Decided(one), Self::Decided(other)) => {
                pairs.push((None, one.clone(), other.clone()));
            }
            (Self::Resources(one), Self::Resources(other)) => {
                let ids: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
                let of = |found: &BTreeMap<String, Access>, id| {
                    found.get(id).cloned().unwrap_or(Access::Denied)
                };
                pairs.extend(
                    ids.into_iter()
                        .map(|id| (Some(id.clone()), of(one, id), of(other, id))),
                );
            }
            (Self::Subjects(one), Self::Subjects(other)) => {
                let ids: BTreeSet<&String> = one.ids().chain(other.ids()).collect();
                pairs.extend(
                    ids.into_iter()
                        .map(|id| (Some(id.clone()), one.of(id), other.of(id))),
                );
                pairs.push((None, one.of_everybody(), other.of_everybody()));
            }
            _ => {}
        }
        let differing = pairs.into_iter().filter(|(_, remit, peer)| remit != peer);
        differing
            .map(|(id, remit, peer)| Differing { id, remit, peer })
            .collect()
    }
}

impl Access {
    fn checked(permissionship: Permissionship, missing: Option<wire::PartialCaveatInfo>) -> Self {
        match permissionship {
            Permissionship::HasPermission => Self::Allowed,
            Permissionship::NoPermission => Self::Denied,
            Permissionship::ConditionalPermission => Self::conditional(missing),
            Permissionship::Unspecified => panic!("a check without an answer"),
        }
    }

    fn looked_up(
        permissionship: wire::LookupPermissionship,
        missing: Option<wire::PartialCaveatInfo>,
    ) -> Self {
        match permissionship {
            wire::LookupPermissionship::HasPermission => Self::Allowed,
            wire::LookupPermissionship::ConditionalPermission => Self::conditional(missing),
            wire::LookupPermissionship::Unspecified => panic!("found without an answer"),
        }
    }

    fn conditional(missing: Option<wire::PartialCaveatInfo>) -> Self {
        let missing = missing.unwrap().missing_required_context;
        Self::Conditional(missing.into_iter().collect())
    }

    /// What two grants give together.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Conditional(mut one), Self::Conditional(other)) => {
                one.extend(other);
                Self::Conditional(one)
            }
            (one, other) => one.max(other),
        }
    }
}

impl Subjects {
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.everybody.is_none()
    }

    /// What `id` has, by its own name and as one of all.
    pub(super) fn of(&self, id: &str) -> Access {
        let named = self.named.get(id).cloned().unwrap_or(Access::Denied);
        let as_one_of_all = match &self.everybody {
            None => Access::Denied,
            Some((access, excluded)) => match excluded.get(id) {
                None => access.clone(),
                Some(Access::Conditional(missing)) => match access {
                    Access::Conditional(also) => {
                        Access::Conditional(missing.union(also).cloned().collect())
                    }
                    Access::Allowed | Access::Denied => Access::Conditional(missing.clone()),
                },
                Some(Access::Allowed | Access::Denied) => Access::Denied,
            },
        };
        named.or(as_one_of_all)
    }

    fn of_everybody(&self) -> Access {
        let access = self.everybody.as_ref().map(|(access, _)| access.clone());
        access.unwrap_or(Access::Denied)
    }

    fn ids(&self) -> impl Iterator<Item = &String> {
        let excluded = self.everybody.iter().flat_map(|(_, excluded)| excluded);
        self.named.keys().chain(excluded.map(|(id, _)| id))
    }

    /// Whether the two give the same to everybody: lists of names and of exclusions may say it in several ways.
    fn agrees_with(&self, other: &Self) -> bool {
        self.of_everybody() == other.of_everybody()
            && self
                .ids()
                .chain(other.ids())
                .all(|id| self.of(id) == other.of(id))
    }
}

impl Tree {
    fn new(tree: wire::PermissionRelationshipTree) -> Self {
        let object = tree.expanded_object.unwrap();
        let name = format!(
            "{}:{}#{}",
            object.object_type, object.object_id, tree.expanded_relation
        );
        match tree.tree_type.unwrap() {
            TreeType::Leaf(leaf) => {
                Self::Leaf(name, leaf.subjects.into_iter().map(subject_text).collect())
            }
            TreeType::Intermediate(set) => {
                let operation = set.operation();
                let mut children: Vec<Self> = set.children.into_iter().map(Self::new).collect();
                let is_empty =
                    |child: &Self| matches!(child, Self::Leaf(_, subjects) if subjects.is_empty());
                if operation == Operation::Intersection && children.iter().all(is_empty) {
                    // Nobody is in any of them, or there are none: Remit says so with a leaf (docs/decisions/0003).
                    children.clear();
                }
                if operation != Operation::Exclusion {
                    children.sort();
                }
                Self::Inner(name, operation.as_str_name(), children)
            }
        }
    }
}

fn subject_text(subject: wire::SubjectReference) -> String {
    let object = subject.object.unwrap();
    format!(
        "{}:{}#{}",
        object.object_type, object.object_id, subject.optional_relation
    )
}

fn resolved(subject: wire::ResolvedSubject) -> (String, Access) {
    let access = Access::looked_up(subject.permissionship(), subject.partial_caveat_info);
    (subject.subject_object_id, access)
}

fn merge(accesses: &mut BTreeMap<String, Access>, id: String, access: Access) {
    let before = accesses.remove(&id).unwrap_or(Access::Denied);
    accesses.insert(id, before.or(access));
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Failed(failure) = self else {
            return write!(f, "{self:?}");
        };
        write!(f, "{:?}: {}", failure.code, failure.message)?;
        let reason = failure.reason.iter();
        for reason in reason.filter(|reason| !reason.name.is_empty()) {
            write!(f, " ({} {:?})", reason.name, reason.metadata)?;
        }
        Ok(())
    }
}
