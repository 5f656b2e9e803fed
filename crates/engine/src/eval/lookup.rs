//! Look-ups: all resources that a subject has something on, and all subjects that have something on a resource.
//!
//! They are set algebra over the plans that a check uses, on the neighbour lists of the graph, and never a check for each
//! candidate; with one exception. Where a permission depends on its own absence, where conditions go in a circle or
//! where the depth limit may decide, it takes equations to be exact, and those are solved for the candidates that the
//! sets leave. A look-up answers what a check would, object by object.

mod beyond;
mod found;
mod recursion;
mod resources;
mod set;
mod subjects;
#[cfg(test)]
mod tests;
mod work;

use model::{Decision, ObjectId, ObjectRef, SubjectId, SubjectRef};
use schema::{DefinitionIx, MemberIx};

use self::found::StandIn;
use self::resources::Stop;
use self::set::Set;
use self::subjects::{Kind, Reached};
use super::memo::NodeKey;
use super::query::{self, Query, QueryError, Subject, UNKNOWN_RESOURCE, UNKNOWN_SUBJECT};
use super::value::{EvalError, Flags, Value};
use super::{Environment, solve};
use crate::graph::{ObjectIx, Snapshot};

pub use found::{Found, Membership};
use work::Work;

pub use work::Interrupt;

/// On which objects of a definition does a subject have a relation or permission? Only good for its snapshot.
#[derive(Debug, Clone)]
pub struct ResourcesQuery {
    definition: DefinitionIx,
    member: MemberIx,
    subject: Subject,
    subject_id: ObjectId,
}

/// Which subjects of a kind have a relation or permission on an object? Only good for its snapshot.
#[derive(Debug, Clone)]
pub struct SubjectsQuery {
    definition: DefinitionIx,
    resource: ObjectIx,
    resource_id: ObjectId,
    member: MemberIx,
    kind: Kind,
}

/// Candidates whose equations are solved together: more share more, and take more memory.
const CANDIDATES_PER_SYSTEM: usize = 1_000;

impl ResourcesQuery {
    /// Resolves a question.
    ///
    /// # Errors
    /// [`QueryError`] where the schema lacks a name, or the subject is a wildcard.
    pub fn resolve(
        snapshot: &Snapshot,
        definition: &str,
        member: &str,
        subject: &SubjectRef,
    ) -> Result<Self, QueryError> {
        let SubjectId::Object(subject_id) = &subject.id else {
            return Err(QueryError::WildcardSubject);
        };
        let schema = snapshot.schema();
        let definition = query::definition_ix(schema, definition)?;
        let member = query::member_ix(schema, definition, member)?;
        let subject_definition = query::definition_ix(schema, subject.definition.as_str())?;
        let set = match &subject.relation {
            Some(relation) => Some(query::member_ix(
                schema,
                subject_definition,
                relation.as_str(),
            )?),
            None => None,
        };
        let object = snapshot.object_ix(subject_definition, subject_id.as_str());
        Ok(Self {
            definition,
            member,
            subject: Subject {
                definition: subject_definition,
                object: object.unwrap_or(UNKNOWN_SUBJECT),
                set,
            },
            subject_id: subject_id.clone(),
        })
    }

    /// The definition of the resources that are asked for.
    #[must_use]
    pub fn definition(&self) -> DefinitionIx {
        self.definition
    }
}

impl SubjectsQuery {
    /// Resolves a question. `subject_relation` asks for subject sets of that relation instead of objects.
    ///
    /// # Errors
    /// [`QueryError`] where the schema lacks a name.
    pub fn resolve(
        snapshot: &Snapshot,
        resource: &ObjectRef,
        member: &str,
        subject_definition: &str,
        subject_relation: Option<&str>,
    ) -> Result<Self, QueryError> {
        let schema = snapshot.schema();
        let definition = query::definition_ix(schema, resource.definition.as_str())?;
        let member = query::member_ix(schema, definition, member)?;
        let subject_definition = query::definition_ix(schema, subject_definition)?;
        let set = match subject_relation {
            Some(relation) => Some(query::member_ix(schema, subject_definition, relation)?),
            None => None,
        };
        let object = snapshot.object_ix(definition, resource.id.as_str());
        Ok(Self {
            definition,
            resource: object.unwrap_or(UNKNOWN_RESOURCE),
            resource_id: resource.id.clone(),
            member,
            kind: Kind {
                definition: subject_definition,
                set,
            },
        })
    }
}

/// The resources that `query` asks for.
///
/// # Errors
/// [`EvalError::WorkExceeded`] past the edges of `environment`, [`EvalError::Interrupted`] once `interrupt` is set. What
/// fails for single resources is told by [`Found::error`].
/// # Cost
/// O(edges to what the subject reaches), however many resources there are.
pub fn lookup_resources(
    snapshot: &Snapshot,
    query: &ResourcesQuery,
    environment: Environment<'_>,
    interrupt: &Interrupt,
) -> Result<Found, EvalError> {
    let mut work = Work::new(environment, interrupt);
    let (member, subject) = (query.member, query.subject);
    let set = match resources::search(snapshot, member, subject, &mut work, false) {
        Ok(set) if set.deepest() <= environment.depth_max => set,
        Ok(set) => exact_resources(snapshot, query, &set, &mut work)?,
        Err(Stop::Failed(error)) => return Err(error),
        Err(Stop::Equations) => {
            let candidates = resources::search(snapshot, member, subject, &mut work, true);
            match candidates {
                Ok(candidates) => exact_resources(snapshot, query, &candidates, &mut work)?,
                Err(Stop::Failed(error)) => return Err(error),
                // A generous search has no exclusion to stop at.
                Err(Stop::Equations) => Set::default(),
            }
        }
    };
    let stand_in = StandIn {
        object: UNKNOWN_SUBJECT,
        id: query.subject_id.clone(),
    };
    Ok(Found::new(snapshot, query.definition, set, &stand_in))
}

/// The subjects that `query` asks for. A wildcard counts for objects that no relationship names, too.
///
/// # Errors
/// As [`lookup_resources`].
/// # Cost
/// O(edges that the resource reaches), with one operation on sets for each.
pub fn lookup_subjects(
    snapshot: &Snapshot,
    query: &SubjectsQuery,
    environment: Environment<'_>,
    interrupt: &Interrupt,
) -> Result<Found, EvalError> {
    let root = NodeKey {
        member: query.member,
        object: query.resource,
    };
    let mut work = Work::new(environment, interrupt);
    let reached = Reached::from(snapshot, root, query.kind, &mut work)?;
    let set = match reached.solve(&work) {
        Ok(set) if set.deepest() <= environment.depth_max => set,
        Err(Stop::Failed(error)) => return Err(error),
        Ok(_) | Err(Stop::Equations) => {
            exact_subjects(snapshot, query, reached.named(), &mut work)?
        }
    };
    let stand_in = StandIn {
        object: UNKNOWN_RESOURCE,
        id: query.resource_id.clone(),
    };
    Ok(Found::new(snapshot, query.kind.definition, set, &stand_in))
}

/// Decides each object of `candidates` by its equations.
fn exact_resources(
    snapshot: &Snapshot,
    query: &ResourcesQuery,
    candidates: &Set,
    work: &mut Work<'_>,
) -> Result<Set, EvalError> {
    let objects: Vec<u32> = candidates
        .yes
        .iter()
        .chain(candidates.other.keys().copied())
        .collect();
    let mut set = Set::default();
    for objects in objects.chunks(CANDIDATES_PER_SYSTEM) {
        work.look()?;
        let asked: Vec<NodeKey> = objects
            .iter()
            .map(|object| NodeKey {
                member: query.member,
                object: ObjectIx(*object),
            })
            .collect();
        let part = work.part();
        let solution = solve::solve_all(snapshot, &asked, query.subject, part);
        // One that failed has visited more than it might; if that was all that was left, the whole has.
        let edges_visited = match &solution {
            Ok(solution) => solution.edges_visited(),
            Err(_) => part.edges_visited_max.saturating_add(1),
        };
        work.spend(edges_visited)?;
        let solution = solution?;
        for (node, object) in objects.iter().enumerate() {
            set.insert(*object, value(solution.decision_of(node as u32)), 0);
        }
    }
    Ok(set)
}

/// Decides each of the subjects that are `named`, and one that is not, on its own.
fn exact_subjects(
    snapshot: &Snapshot,
    query: &SubjectsQuery,
    named: roaring::RoaringBitmap,
    work: &mut Work<'_>,
) -> Result<Set, EvalError> {
    let mut decide = |object| -> Result<Value, EvalError> {
        work.look()?;
        let query = Query {
            definition: query.definition,
            resource: query.resource,
            member: query.member,
            subject: Subject {
                definition: query.kind.definition,
                object,
                set: query.kind.set,
            },
        };
        let (decided, edges_visited) = super::counted_check(snapshot, &query, work.part());
        work.spend(edges_visited)?;
        match decided {
            Err(error @ EvalError::WorkExceeded { .. }) => Err(error),
            decided => Ok(value(decided)),
        }
    };
    let mut set = Set {
        default: decide(UNKNOWN_SUBJECT)?,
        ..Set::default()
    };
    for object in named {
        set.place(object, decide(ObjectIx(object))?, true, 0);
    }
    Ok(set)
}

fn value(decided: Result<Decision, EvalError>) -> Value {
    match decided {
        Ok(Decision::Allowed) => Value::Yes,
        Ok(Decision::Denied) => Value::No,
        Ok(Decision::Conditional { missing }) => Value::missing(missing),
        Err(error) => Value::Undecided(Box::new(Flags {
            errors: [error].into(),
            ..Flags::default()
        })),
    }
}
