//! Who has a relation or permission, as its schema writes it: a tree of set operations over leaves of subjects.
//!
//! The tree follows computed permissions and arrows. Subject sets in a leaf stay what they are, caveats and wildcards are
//! not resolved, and expired relationships are not there. The set that the tree comes to, with the subject sets of its
//! leaves resolved, is that of a check to which every caveat holds.
//!
//! A permission that is met again below itself adds nothing, as in a check, so an empty leaf stands for it. Through the
//! right side of an exclusion that would grant too much, so such a tree is refused.

use model::{ObjectRef, RelationName, SubjectId, SubjectRef};
use schema::{Arrow, Expression, MemberIx, MemberKind, Quantifier};

use super::memo::NodeKey;
use super::query::{self, UNKNOWN_RESOURCE};
use super::value::EvalError;
use super::{Environment, QueryError, TreeLimits};
use crate::graph::{ClassIx, ObjectIx, Snapshot};

/// A relation or permission of an object, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The object.
    pub object: ObjectRef,
    /// The relation or permission that this is, or is a part of.
    pub member: RelationName,
    /// Who has it.
    pub content: TreeContent,
}

/// Who has a relation or permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeContent {
    /// These subjects: objects themselves first, then subject sets; each by definition and id.
    Leaf(Vec<SubjectRef>),
    /// Those that remain of these.
    Operation(SetOperation, Vec<Tree>),
}

/// How sets make a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOperation {
    /// Who is in one of them.
    Union,
    /// Who is in each of them.
    Intersection,
    /// Who is in the first and not in the second.
    Exclusion,
}

/// Why there is no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// The schema lacks a name.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// As in a check.
    #[error(transparent)]
    Evaluation(#[from] EvalError),
    /// The tree would be too deep.
    #[error("the tree has more than {levels_max} levels")]
    TooManyLevels {
        /// The limit, in nodes below each other.
        levels_max: u16,
    },
    /// The tree would be too large.
    #[error("the tree takes more than {bytes_max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        bytes_max: usize,
    },
}

/// What a node takes in a message besides its names, at most, in bytes.
const NODE_BYTES: usize = 24;
/// What a subject takes in a message besides its names, at most, in bytes.
const SUBJECT_BYTES: usize = 16;

pub(super) fn expand(
    snapshot: &Snapshot,
    resource: &ObjectRef,
    member: &str,
    environment: Environment<'_>,
    limits: TreeLimits,
) -> Result<Tree, ExpandError> {
    let schema = snapshot.schema();
    let definition = query::definition_ix(schema, resource.definition.as_str())?;
    let member = query::member_ix(schema, definition, member)?;
    let object = snapshot
        .object_ix(definition, resource.id.as_str())
        .unwrap_or(UNKNOWN_RESOURCE);
    let mut walk = Walk {
        snapshot,
        environment,
        limits,
        edges_visited: 0,
        bytes: 0,
        path: Vec::new(),
        exclusions: 0,
    };
    let place = Place {
        object,
        name: resource,
        member,
        level: 1,
    };
    walk.member(place, 1)
}

/// Where in the tree a node is made, and of what it is a part.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    object: ObjectIx,
    name: &'a ObjectRef,
    member: MemberIx,
    level: u16,
}

/// A permission that is being expanded, and how many right sides of exclusions lie above it.
struct Open {
    key: NodeKey,
    exclusions: u32,
}

struct Walk<'a> {
    snapshot: &'a Snapshot,
    environment: Environment<'a>,
    limits: TreeLimits,
    edges_visited: u64,
    bytes: usize,
    path: Vec<Open>,
    exclusions: u32,
}

impl<'a> Walk<'a> {
    /// The whole of a relation or permission, which is the `depth`th of those below each other.
    fn member(&mut self, place: Place<'_>, depth: u16) -> Result<Tree, ExpandError> {
        let depth_max = self.environment.depth_max;
        let snapshot: &'a Snapshot = self.snapshot;
        let expression = match &snapshot.schema().member(place.member).kind {
            MemberKind::Relation(_) if depth <= depth_max => return self.relation(place),
            MemberKind::Permission(expression) => expression,
            MemberKind::Relation(_) => return Err(EvalError::DepthExceeded { depth_max }.into()),
        };
        let key = NodeKey {
            member: place.member,
            object: place.object,
        };
        if let Some(open) = self.path.iter().find(|open| open.key == key) {
            if open.exclusions != self.exclusions {
                return Err(EvalError::CyclicExclusion.into());
            }
            return self.leaf(place, Vec::new());
        }
        if depth > depth_max {
            return Err(EvalError::DepthExceeded { depth_max }.into());
        }
        self.path.push(Open {
            key,
            exclusions: self.exclusions,
        });
        let tree = match expression {
            Expression::Union(_) | Expression::Intersection(_) | Expression::Exclusion(..) => {
                self.part(place, expression, depth)?
            }
            // A permission is an operation, if only over one operand.
            Expression::Nil
            | Expression::SelfObject
            | Expression::Member(_)
            | Expression::Arrow(_) => {
                let only = self.part(place.below(), expression, depth)?;
                self.operation(place, SetOperation::Union, vec![only])?
            }
        };
        self.path.pop();
        Ok(tree)
    }

    fn part(
        &mut self,
        place: Place<'_>,
        expression: &Expression,
        depth: u16,
    ) -> Result<Tree, ExpandError> {
        self.level(place.level)?;
        let mut parts = |operands: &[Expression]| -> Result<Vec<Tree>, ExpandError> {
            operands
                .iter()
                .map(|operand| self.part(place.below(), operand, depth))
                .collect()
        };
        match expression {
            Expression::Nil => self.leaf(place, Vec::new()),
            Expression::SelfObject => self.leaf(place, vec![place.name.clone().into()]),
            Expression::Member(member) => {
                let member = *member;
                self.member(Place { member, ..place }, depth + 1)
            }
            Expression::Arrow(arrow) => self.arrow(place, arrow, depth),
            Expression::Union(operands) => {
                let parts = parts(operands)?;
                self.operation(place, SetOperation::Union, parts)
            }
            Expression::Intersection(operands) => {
                let parts = parts(operands)?;
                self.operation(place, SetOperation::Intersection, parts)
            }
            Expression::Exclusion(left, right) => {
                let left = self.part(place.below(), left, depth)?;
                self.exclusions += 1;
                let right = self.part(place.below(), right, depth);
                self.exclusions -= 1;
                self.operation(place, SetOperation::Exclusion, vec![left, right?])
            }
        }
    }

    fn arrow(&mut self, place: Place<'_>, arrow: &Arrow, depth: u16) -> Result<Tree, ExpandError> {
        let schema = self.snapshot.schema();
        let mut steps = Vec::new();
        for (class, end, subject) in self.subjects(arrow.relation, place.object)? {
            let definition = self.snapshot.layout().key(class).definition;
            steps.push((
                end,
                subject,
                schema.member_ix(definition, arrow.target.as_str()),
            ));
        }
        steps.sort_by(|(_, left, _), (_, right, _)| left.cmp(right));
        let mut parts = Vec::with_capacity(steps.len());
        for (end, subject, target) in steps {
            // What the object at the other end lacks, nobody has.
            let (Some(member), SubjectId::Object(id)) = (target, subject.id) else {
                parts.push(self.leaf(place.below(), Vec::new())?);
                continue;
            };
            let name = ObjectRef {
                definition: subject.definition,
                id,
            };
            let below = Place {
                object: end,
                name: &name,
                member,
                level: place.level + 1,
            };
            parts.push(self.member(below, depth + 1)?);
        }
        let operation = match arrow.quantifier {
            Quantifier::Any => SetOperation::Union,
            Quantifier::All => {
                if parts.is_empty() {
                    // An intersection of nothing could be read as everybody.
                    parts.push(self.leaf(place.below(), Vec::new())?);
                }
                SetOperation::Intersection
            }
        };
        self.operation(place, operation, parts)
    }

    fn relation(&mut self, place: Place<'_>) -> Result<Tree, ExpandError> {
        let found = self.subjects(place.member, place.object)?;
        let mut subjects: Vec<SubjectRef> =
            found.into_iter().map(|(_, _, subject)| subject).collect();
        subjects.sort_by(|left, right| {
            let by_set = left.relation.cmp(&right.relation);
            by_set.then_with(|| left.cmp(right))
        });
        self.leaf(place, subjects)
    }

    /// The subjects of a relation that have not expired.
    fn subjects(
        &mut self,
        relation: MemberIx,
        object: ObjectIx,
    ) -> Result<Vec<(ClassIx, ObjectIx, SubjectRef)>, ExpandError> {
        let snapshot: &'a Snapshot = self.snapshot;
        let mut found = Vec::new();
        for class in snapshot.layout().classes_of(relation).iter().copied() {
            for (subject, annotation) in snapshot.class(class).subjects(object) {
                self.edges_visited += 1;
                let edges_visited_max = self.environment.edges_visited_max;
                if self.edges_visited > edges_visited_max {
                    return Err(EvalError::WorkExceeded { edges_visited_max }.into());
                }
                if annotation.is_some_and(|it| it.is_expired(self.environment.now)) {
                    continue;
                }
                let end = ObjectIx(subject);
                if let Some(row) = snapshot.relationship(class, object, end, None) {
                    found.push((class, end, row.subject));
                }
                // Each of them takes at least that.
                self.room(SUBJECT_BYTES.saturating_mul(found.len()))?;
            }
        }
        Ok(found)
    }

    fn leaf(&mut self, place: Place<'_>, subjects: Vec<SubjectRef>) -> Result<Tree, ExpandError> {
        let each = subjects.iter().map(|subject| {
            let set = subject.relation.as_ref().map_or("", RelationName::as_str);
            SUBJECT_BYTES
                + subject.definition.as_str().len()
                + subject.id.as_str().len()
                + set.len()
        });
        self.bytes = self.bytes.saturating_add(each.sum());
        self.tree(place, TreeContent::Leaf(subjects))
    }

    fn operation(
        &mut self,
        place: Place<'_>,
        operation: SetOperation,
        parts: Vec<Tree>,
    ) -> Result<Tree, ExpandError> {
        self.tree(place, TreeContent::Operation(operation, parts))
    }

    fn tree(&mut self, place: Place<'_>, content: TreeContent) -> Result<Tree, ExpandError> {
        self.level(place.level)?;
        let member = self.snapshot.schema().member(place.member).name.clone();
        let names = [
            place.name.definition.as_str(),
            place.name.id.as_str(),
            member.as_str(),
        ];
        let names_bytes: usize = names.iter().map(|name| name.len()).sum();
        self.bytes = self.bytes.saturating_add(NODE_BYTES + names_bytes);
        self.room(0)?;
        Ok(Tree {
            object: place.name.clone(),
            member,
            content,
        })
    }

    fn room(&self, bytes: usize) -> Result<(), ExpandError> {
        let bytes_max = self.limits.bytes_max;
        if self.bytes.saturating_add(bytes) > bytes_max {
            return Err(ExpandError::TooLarge { bytes_max });
        }
        Ok(())
    }

    fn level(&self, level: u16) -> Result<(), ExpandError> {
        let levels_max = self.limits.levels_max;
        if level > levels_max {
            return Err(ExpandError::TooManyLevels { levels_max });
        }
        Ok(())
    }
}

impl Place<'_> {
    /// A part of the same member, one level down.
    fn below(self) -> Self {
        Self {
            level: self.level + 1,
            ..self
        }
    }
}
