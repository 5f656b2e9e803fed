//! What existing relationships forbid a new schema: nothing that is stored may lose its meaning.

use std::sync::Arc;

use engine::graph::Snapshot;
use model::{
    DefinitionName, RelationName, Relationship, RelationshipFilter, SubjectFilter,
    SubjectRelationFilter,
};
use schema::{AllowedSubject, Caveat, Definition, Member, MemberKind, Schema, SubjectKind};

use crate::error::{Error, Reason};

/// One change that is refused.
#[derive(Debug)]
pub struct Break {
    /// The error that a write of it meets.
    pub error: Error,
    /// The first relationship that forbids it, and how many do; none where it is forbidden whatever is stored.
    pub rows: Option<Rows>,
}

/// The relationships that forbid a change.
#[derive(Debug)]
pub struct Rows {
    /// The first one, in the order of the graph.
    pub first: Relationship,
    /// How many there are, counted to a limit.
    pub count: u64,
    /// Whether counting ended at the limit.
    pub is_at_least: bool,
}

/// Checks that `new` keeps a place for every relationship of `snapshot`.
pub(super) fn check(snapshot: &Snapshot, new: &Schema) -> Result<(), Error> {
    match breaks(snapshot, new, 1, 1).pop() {
        Some(first) => Err(first.error),
        None => Ok(()),
    }
}

/// What `new` has no place for, at most `breaks_max`; for each the relationships are counted to `rows_max`.
pub(super) fn breaks(
    snapshot: &Snapshot,
    new: &Schema,
    breaks_max: usize,
    rows_max: u64,
) -> Vec<Break> {
    let mut search = Search {
        snapshot,
        new,
        breaks_max,
        rows_max,
        found: Vec::new(),
    };
    let old = snapshot.schema();
    for (_, caveat) in old.caveats() {
        if let Some(ix) = new.caveat_ix(caveat.name.as_str()) {
            search.caveat(caveat, new.caveat(ix));
        }
    }
    for (_, definition) in old.definitions() {
        search.definition(definition);
    }
    search.found
}

struct Search<'a> {
    snapshot: &'a Snapshot,
    new: &'a Schema,
    breaks_max: usize,
    rows_max: u64,
    found: Vec<Break>,
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.found.len() >= self.breaks_max
    }

    fn definition(&mut self, definition: &Definition) {
        let old = Arc::clone(self.snapshot.schema());
        let name = &definition.name;
        let kept = self.new.definition_ix(name.as_str());
        let is_refused = kept.is_none()
            && {
                let message = format!(
                    "cannot delete object definition `{name}`, as at least one relationship exists under it"
                );
                let refusal =
                    refusal("delete_object_definition", message).with("resource_type", name);
                self.note(in_definition(name), |_| true, refusal)
            };
        for ix in &definition.members {
            let member = old.member(*ix);
            let MemberKind::Relation(allowed) = &member.kind else {
                continue;
            };
            let kept = kept
                .and_then(|ix| self.new.member_ix(ix, member.name.as_str()))
                .map(|ix| &self.new.member(ix).kind);
            match kept {
                Some(MemberKind::Relation(still)) => self.types(definition, member, allowed, still),
                Some(MemberKind::Permission(_)) | None => {
                    self.deleted(definition, member, is_refused);
                }
            }
        }
    }

    fn caveat(&mut self, old: &Caveat, new: &Caveat) {
        let name = &old.name;
        for parameter in old.program.parameters() {
            if self.is_over() {
                return;
            }
            let mut now = new.program.parameters().iter();
            let (operation, what) = match now.find(|other| other.name == parameter.name) {
                None => ("remove_parameter", "cannot remove parameter"),
                Some(other) if other.ty != parameter.ty => (
                    "change_parameter_type",
                    "cannot change the type of parameter",
                ),
                Some(_) => continue,
            };
            let message = format!("{what} `{}` on caveat `{name}`", parameter.name);
            self.found.push(Break {
                error: refusal(operation, message)
                    .with("caveat_name", name)
                    .with("parameter_name", &parameter.name),
                rows: None,
            });
        }
    }

    /// `is_told` says that what exists under the relation was told of its definition.
    fn deleted(&mut self, definition: &Definition, member: &Member, is_told: bool) {
        let (definition, relation) = (&definition.name, &member.name);
        let as_subject = RelationshipFilter {
            subject: Some(SubjectFilter {
                definition: definition.clone(),
                id: None,
                relation: SubjectRelationFilter::Relation(relation.clone()),
            }),
            ..RelationshipFilter::default()
        };
        let under_it = (in_relation(definition, relation), "exists under it");
        let as_subject = (as_subject, "references it as part of a subject");
        let ways = Some(under_it).filter(|_| !is_told).into_iter();
        for (filter, how) in ways.chain([as_subject]) {
            let message = format!(
                "cannot delete relation `{relation}` in object definition `{definition}`, as at least one relationship \
                 {how}"
            );
            let refusal = refusal("delete_relation", message)
                .with("resource_type", definition)
                .with("relation", relation);
            self.note(filter, |_| true, refusal);
        }
    }

    fn types(
        &mut self,
        definition: &Definition,
        member: &Member,
        old_types: &[AllowedSubject],
        new_types: &[AllowedSubject],
    ) {
        let old = Arc::clone(self.snapshot.schema());
        let kept = new_types.iter().map(|allowed| allowed.named(self.new));
        let kept: Vec<_> = kept.collect();
        for allowed in old_types {
            let ty = allowed.named(&old);
            if kept.contains(&ty) {
                continue;
            }
            let mut filter = in_relation(&definition.name, &member.name);
            filter.subject = Some(subject_filter(&old, allowed));
            let is_of_it = |row: &Relationship| {
                row.caveat.as_ref().map(|caveat| &caveat.name) == ty.caveat.as_ref()
                    && row.expires_at.is_some() == ty.expiration
            };
            let (definition, relation) = (&definition.name, &member.name);
            let message = format!(
                "cannot remove allowed type `{ty}` from relation `{relation}` in object definition `{definition}`, as \
                 a relationship exists with it"
            );
            let refusal = refusal("remove_allowed_type", message)
                .with("resource_type", definition)
                .with("relation", relation)
                .with("allowed_type", &ty);
            self.note(filter, is_of_it, refusal);
        }
    }

    /// Notes the refusal if relationships that match forbid the change; whether they do.
    fn note(
        &mut self,
        filter: RelationshipFilter,
        is_meant: impl Fn(&Relationship) -> bool,
        mut error: Error,
    ) -> bool {
        if self.is_over() {
            return false;
        }
        let mut rows = self.snapshot.relationships(&filter).filter(is_meant);
        let Some(first) = rows.next() else {
            return false;
        };
        // One more than the limit, to know whether there is more.
        let more = rows.take(usize::try_from(self.rows_max).unwrap_or(usize::MAX));
        let count = more.count() as u64 + 1;
        error.message = format!("{}: {first}", error.message);
        self.found.push(Break {
            error: error.with("relationship", &first),
            rows: Some(Rows {
                first,
                count: count.min(self.rows_max),
                is_at_least: count > self.rows_max,
            }),
        });
        true
    }
}

fn in_definition(definition: &DefinitionName) -> RelationshipFilter {
    RelationshipFilter {
        definition: Some(definition.clone()),
        ..RelationshipFilter::default()
    }
}

fn in_relation(definition: &DefinitionName, relation: &RelationName) -> RelationshipFilter {
    RelationshipFilter {
        relation: Some(relation.clone()),
        ..in_definition(definition)
    }
}

fn subject_filter(schema: &Schema, allowed: &AllowedSubject) -> SubjectFilter {
    let (id, relation) = match allowed.kind {
        SubjectKind::Object => (None, SubjectRelationFilter::None),
        SubjectKind::Wildcard => (
            Some(model::SubjectId::Wildcard),
            SubjectRelationFilter::None,
        ),
        SubjectKind::Set(member) => (
            None,
            SubjectRelationFilter::Relation(schema.member(member).name.clone()),
        ),
    };
    SubjectFilter {
        definition: schema.definition(allowed.definition).name.clone(),
        id,
        relation,
    }
}

fn refusal(operation: &'static str, message: String) -> Error {
    Error::invalid(Reason::SchemaTypeError, message).with("operation", operation)
}
