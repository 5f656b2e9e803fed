//! What a set of changes gives besides: the resources on which the subject has more afterwards, counted from two snapshots.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use model::{DefinitionName, ObjectId, RelationName};
use schema::{MemberIx, MemberKind, SubjectKind};

use super::WhyNotLimits;
use super::rows::Asked;
use crate::eval::lookup::{
    Found, Interrupt, ResourcesQuery, SubjectsQuery, lookup_resources, lookup_subjects,
};
use crate::eval::plan::{Node, Steps};
use crate::eval::query::UNKNOWN_SUBJECT;
use crate::eval::value::EvalError;
use crate::graph::Snapshot;

/// What changes give, at the instant and with the context of the question, besides what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gains {
    /// Permissions of which the subject has more or fewer, by definition and name.
    pub permissions: Vec<Gained>,
    /// What others get.
    pub others: Others,
    /// Whether something was not counted: a limit was met, or not everything could be decided. What is counted is exact.
    pub is_truncated: bool,
}

/// The resources on which the subject has more of one permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gained {
    /// The definition of the resources.
    pub definition: DefinitionName,
    /// The permission; or the relation, if one was asked for.
    pub permission: RelationName,
    /// On how many resources the subject has it now and had it not; without the one that was asked about.
    pub gained_count: u64,
    /// On how many it now has it on a condition, and had it not at all.
    pub conditional_count: u64,
    /// On how many it has it no more.
    pub lost_count: u64,
    /// Some of those gained, in the order of their ids.
    pub examples: Vec<ObjectId>,
}

/// What somebody else gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Others {
    /// Whether anybody but the subject can get anything. If not, that is certain.
    pub may_gain: bool,
    /// How many others, of the kind of the subject, get what was asked for; none if that was not counted.
    pub gaining: Option<OthersGaining>,
}

/// How many others get what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OthersGaining {
    /// So many.
    Count(u64),
    /// Everybody of that kind who is not kept out.
    Everybody,
}

impl Gains {
    /// Pairs of a permission and a resource that the subject gets, surely or on a condition.
    #[must_use]
    pub fn pair_count(&self) -> u64 {
        let of_each = self.permissions.iter();
        of_each
            .map(|gained| gained.gained_count + gained.conditional_count)
            .sum()
    }
}

/// Counts what changes give. What was looked up in the graph as it is serves all of them.
pub(super) struct Counter<'c> {
    asked: Asked<'c>,
    member: &'c str,
    limits: WhyNotLimits,
    interrupt: &'c Interrupt,
    lookups_left: usize,
    before: HashMap<MemberIx, Option<Rc<Found>>>,
    /// The relations that an arrow walks over.
    walked: HashSet<MemberIx>,
}

/// A changed relationship, as far as it matters to whom it gives something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Touched {
    pub(super) relation: MemberIx,
    pub(super) kind: SubjectKind,
    pub(super) is_of_subject: bool,
}

impl<'c> Counter<'c> {
    pub(super) fn new(
        asked: Asked<'c>,
        member: &'c str,
        limits: WhyNotLimits,
        interrupt: &'c Interrupt,
    ) -> Self {
        Self {
            asked,
            member,
            limits,
            interrupt,
            lookups_left: limits.lookups_max,
            before: HashMap::new(),
            walked: walked(asked.snapshot),
        }
    }

    /// What the subject and others have in `after` and had not before.
    ///
    /// # Errors
    /// [`EvalError::Interrupted`].
    pub(super) fn gains(
        &mut self,
        after: &Snapshot,
        touched: &BTreeSet<Touched>,
    ) -> Result<Gains, EvalError> {
        let mut gains = Gains::default();
        let relations: HashSet<MemberIx> = touched.iter().map(|it| it.relation).collect();
        for member in self.affected(&relations) {
            match self.of_member(after, member)? {
                Some((gained, is_truncated)) => {
                    gains.is_truncated |= is_truncated;
                    if gained.gained_count + gained.conditional_count + gained.lost_count > 0 {
                        gains.permissions.push(gained);
                    }
                }
                None => gains.is_truncated = true,
            }
        }
        gains.permissions.sort_by(|one, other| {
            (&one.definition, &one.permission).cmp(&(&other.definition, &other.permission))
        });
        gains.others.may_gain = touched.iter().any(|it| self.reaches_others(*it));
        if gains.others.may_gain {
            gains.others.gaining = self.others(after)?;
            gains.is_truncated |= gains.others.gaining.is_none();
        }
        Ok(gains)
    }

    /// A relationship of an object itself says nothing of anybody else, unless an arrow goes on from that object.
    fn reaches_others(&self, touched: Touched) -> bool {
        let is_plain = touched.kind == SubjectKind::Object && touched.is_of_subject;
        !is_plain || self.walked.contains(&touched.relation)
    }

    /// The permissions that changes of `relations` can change for the subject, and the member that was asked for.
    fn affected(&self, relations: &HashSet<MemberIx>) -> Vec<MemberIx> {
        let snapshot = self.asked.snapshot;
        let (plan, layout) = (snapshot.plan(), snapshot.layout());
        let schema = snapshot.schema();
        let mut affected = relations.clone();
        loop {
            let count = affected.len();
            for (member, _) in schema.members() {
                let mut is_affected = false;
                match &plan.member(member).steps {
                    Steps::Relation(steps) => {
                        let mut sets = steps.sets.iter();
                        is_affected = sets.any(|set| affected.contains(&set.member));
                    }
                    Steps::Permission(node) => node.each(&mut |node| {
                        is_affected |= match node {
                            Node::Member(member) => affected.contains(member),
                            Node::Arrow(_, steps) => steps.iter().any(|step| {
                                let is_target = |target: MemberIx| affected.contains(&target);
                                relations.contains(&layout.key(step.class).relation)
                                    || step.target.is_some_and(is_target)
                            }),
                            Node::Nil
                            | Node::SelfObject(_)
                            | Node::Union(_)
                            | Node::Intersection(_)
                            | Node::Exclusion(..) => false,
                        };
                    }),
                }
                if is_affected {
                    affected.insert(member);
                }
            }
            if affected.len() == count {
                break;
            }
        }
        let is_told = |member: &MemberIx, kind: &MemberKind| match kind {
            MemberKind::Permission(_) => true,
            MemberKind::Relation(_) => *member == self.asked.query.member,
        };
        let members = schema.members();
        let told = members.filter(|(member, it)| is_told(member, &it.kind));
        told.map(|(member, _)| member)
            .filter(|member| affected.contains(member) && super::may_hold(&self.asked, *member))
            .collect()
    }

    /// What the subject has more of one permission, and whether something of it is not known; none if it was not looked for.
    fn of_member(
        &mut self,
        after: &Snapshot,
        member: MemberIx,
    ) -> Result<Option<(Gained, bool)>, EvalError> {
        let known = match self.before.get(&member) {
            Some(known) => known.clone(),
            None => {
                let found = self.look_up(self.asked.snapshot, member)?.map(Rc::new);
                self.before.insert(member, found.clone());
                found
            }
        };
        let Some(before) = known else {
            return Ok(None);
        };
        let Some(found) = self.look_up(after, member)? else {
            return Ok(None);
        };
        let schema = after.schema();
        let definition = schema.member(member).definition;
        let subject = self.asked.query.subject;
        let is_new = subject.object == UNKNOWN_SUBJECT && subject.definition == definition;
        let renumbered = is_new
            .then(|| after.object_ix(definition, self.asked.subject.id.as_str()))
            .flatten();
        let mut beyond = found.beyond(&before, renumbered);
        if member == self.asked.query.member {
            let resource = after.object_ix(definition, self.asked.resource.id.as_str());
            if let Some(resource) = resource {
                beyond.certain.remove(resource.0);
                beyond.conditional.remove(resource.0);
            }
        }
        let examples = beyond.examples(after, definition, self.limits.examples_max);
        let gained = Gained {
            definition: schema.definition(definition).name.clone(),
            permission: schema.member(member).name.clone(),
            gained_count: beyond.certain.len(),
            conditional_count: beyond.conditional.len(),
            lost_count: beyond.lost.len(),
            examples,
        };
        let is_truncated = before.error().is_some() || found.error().is_some();
        Ok(Some((gained, is_truncated)))
    }

    /// The resources on which the subject has `member`; none past a limit.
    fn look_up(
        &mut self,
        snapshot: &Snapshot,
        member: MemberIx,
    ) -> Result<Option<Found>, EvalError> {
        let schema = snapshot.schema();
        let definition = schema.definition(schema.member(member).definition);
        let name = schema.member(member).name.as_str();
        let query =
            ResourcesQuery::resolve(snapshot, definition.name.as_str(), name, self.asked.subject);
        let Some(query) = query.ok().filter(|_| self.may_look_up()) else {
            return Ok(None);
        };
        let environment = self.asked.environment;
        told(lookup_resources(
            snapshot,
            &query,
            environment,
            self.interrupt,
        ))
    }

    /// How many others get what was asked for; none past a limit.
    fn others(&mut self, after: &Snapshot) -> Result<Option<OthersGaining>, EvalError> {
        let (before, snapshot) = (self.asked.snapshot, after);
        let mut find = |snapshot: &Snapshot| {
            let query = SubjectsQuery::resolve(
                snapshot,
                self.asked.resource,
                self.member,
                self.asked.subject.definition.as_str(),
                None,
            );
            let Some(query) = query.ok().filter(|_| self.may_look_up()) else {
                return Ok(None);
            };
            let environment = self.asked.environment;
            told(lookup_subjects(
                snapshot,
                &query,
                environment,
                self.interrupt,
            ))
        };
        let (Some(before), Some(found)) = (find(before)?, find(snapshot)?) else {
            return Ok(None);
        };
        if before.error().is_some() || found.error().is_some() {
            return Ok(None);
        }
        let mut beyond = found.beyond(&before, None);
        if beyond.everybody {
            return Ok(Some(OthersGaining::Everybody));
        }
        let subject = self.asked.query.subject;
        let id = self.asked.subject.id.as_str();
        let asked = after.object_ix(subject.definition, id);
        if let Some(asked) = asked.filter(|_| subject.set.is_none()) {
            beyond.certain.remove(asked.0);
        }
        Ok(Some(OthersGaining::Count(beyond.certain.len())))
    }

    fn may_look_up(&mut self) -> bool {
        match self.lookups_left.checked_sub(1) {
            Some(left) => {
                self.lookups_left = left;
                true
            }
            None => false,
        }
    }
}

fn told(found: Result<Found, EvalError>) -> Result<Option<Found>, EvalError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(EvalError::Interrupted) => Err(EvalError::Interrupted),
        Err(_) => Ok(None),
    }
}

fn walked(snapshot: &Snapshot) -> HashSet<MemberIx> {
    let mut walked = HashSet::new();
    for (member, _) in snapshot.schema().members() {
        if let Steps::Permission(node) = &snapshot.plan().member(member).steps {
            node.each(&mut |node| {
                if let Node::Arrow(_, steps) = node {
                    let steps = steps.iter();
                    walked.extend(steps.map(|step| snapshot.layout().key(step.class).relation));
                }
            });
        }
    }
    walked
}
