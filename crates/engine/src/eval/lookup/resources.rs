//! From a subject upwards: for each relation and permission that the answer rests on, the set of all objects on which the
//! subject has it, from the members that lead to nothing else up to the one that is asked.
//!
//! Nothing grants by absence, so every set here has a no for its default. Members that lead back to themselves through
//! data are solved together ([`super::recursion`]).

use std::rc::Rc;

use hashbrown::{HashMap, HashSet};
use schema::{DefinitionIx, MemberIx, Quantifier};

use super::set::Set;
use super::work::Work;
use crate::eval::plan::{ArrowStep, Node, RelationSteps, Steps};
use crate::eval::query::Subject;
use crate::eval::value::{EvalError, Value};
use crate::graph::{ClassIx, ObjectIx, Snapshot};

/// Why a set cannot be worked out this way.
pub(super) enum Stop {
    /// The look-up ends.
    Failed(EvalError),
    /// A permission depends on its own absence: which objects have it takes the equations of each of them.
    Equations,
}

impl From<EvalError> for Stop {
    fn from(error: EvalError) -> Self {
        Self::Failed(error)
    }
}

/// How much longer a list must be than the set that it meets for a probe of each object to be cheaper.
const PROBE_RATIO: u64 = 4;

pub(super) struct Search<'a, 'w> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) subject: Subject,
    pub(super) work: &'w mut Work<'a>,
    pub(super) sets: HashMap<MemberIx, Rc<Set>>,
    /// Whether exclusions take nothing away: what is found then is all that there can be.
    pub(super) is_generous: bool,
    /// The greatest height among what was asked one by one since this was last reset.
    height_seen: u16,
}

/// The objects on which `subject` has `member`, before the depth limit is applied.
///
/// # Errors
/// [`Stop`]; never [`Stop::Equations`] for a generous search.
pub(super) fn search<'a>(
    snapshot: &'a Snapshot,
    member: MemberIx,
    subject: Subject,
    work: &mut Work<'a>,
    is_generous: bool,
) -> Result<Set, Stop> {
    let mut search = Search {
        snapshot,
        subject,
        work,
        sets: HashMap::new(),
        is_generous,
        height_seen: 0,
    };
    // Of the set that is looked for, the list is the set itself: known from the start, whoever asks for an object of it.
    if let Some(list) = subject.set.filter(|set| search.list_of(*set).is_some()) {
        search.set(list)?;
    }
    for component in search.components(member) {
        search.solve_component(&component)?;
    }
    Ok(Rc::unwrap_or_clone(search.set(member)?))
}

impl<'a> Search<'a, '_> {
    /// The members that `root` rests on and that may hold the subject, in the order in which they can be solved.
    fn components(&self, root: MemberIx) -> Vec<Vec<MemberIx>> {
        let plan = self.snapshot.plan();
        let mut needed = Vec::new();
        let mut met: HashSet<MemberIx> = HashSet::from_iter([root]);
        let mut open = vec![root];
        while let Some(member) = open.pop() {
            if !self.may_hold(member) {
                continue;
            }
            needed.push((plan.member(member).component, member));
            let next = plan.member(member).steps.successors();
            open.extend(
                next.into_iter()
                    .map(MemberIx)
                    .filter(|next| met.insert(*next)),
            );
        }
        needed.sort_unstable_by_key(|(component, member)| (*component, member.0));
        needed
            .chunk_by(|left, right| left.0 == right.0)
            .map(|same| same.iter().map(|(_, member)| *member).collect())
            .collect()
    }

    pub(super) fn may_hold(&self, member: MemberIx) -> bool {
        let definition_count = self.snapshot.schema().definitions().len();
        let plan = self.snapshot.plan().member(member);
        plan.may_hold(self.subject, definition_count)
    }

    pub(super) fn steps(&self, member: MemberIx) -> &'a Steps {
        &self.snapshot.plan().member(member).steps
    }

    fn solve_component(&mut self, members: &[MemberIx]) -> Result<(), Stop> {
        let plan = self.snapshot.plan();
        match members {
            [member] if !plan.member(*member).is_recursive => {
                // A list of neighbours is only read where a whole one is wanted: see `Search::intersection`.
                if self.list_of(*member).is_none() {
                    let set = self.member_set(*member)?;
                    self.sets.insert(*member, Rc::new(set));
                }
                Ok(())
            }
            _ => self.solve_recursive(members),
        }
    }

    /// The set of a member that has been solved or is a list; empty for one that can never hold the subject.
    pub(super) fn set(&mut self, member: MemberIx) -> Result<Rc<Set>, EvalError> {
        if let Some(set) = self.sets.get(&member) {
            return Ok(Rc::clone(set));
        }
        let set = Rc::new(match self.list_of(member) {
            Some(steps) => self.relation(member, steps)?.raised(),
            None => Set::default(),
        });
        self.sets.insert(member, Rc::clone(&set));
        Ok(set)
    }

    /// The steps of a relation to whose sets the subject itself belongs, and no other set.
    fn list_of(&self, member: MemberIx) -> Option<&'a RelationSteps> {
        match self.steps(member) {
            Steps::Relation(steps) if steps.sets.is_empty() => Some(steps),
            Steps::Relation(_) | Steps::Permission(_) => None,
        }
    }

    pub(super) fn member_set(&mut self, member: MemberIx) -> Result<Set, EvalError> {
        let set = match self.steps(member) {
            Steps::Relation(steps) => self.relation(member, steps)?,
            Steps::Permission(node) => {
                let mut set = self.expression(node)?;
                self.add_itself(member, &mut set);
                set
            }
        };
        Ok(set.raised())
    }

    /// A set is a member of itself.
    fn add_itself(&self, member: MemberIx, set: &mut Set) {
        if self.subject.set == Some(member) {
            set.insert(self.subject.object.0, Value::Yes, 0);
        }
    }

    fn relation(&mut self, member: MemberIx, steps: &RelationSteps) -> Result<Set, EvalError> {
        let mut set = Set::default();
        self.add_itself(member, &mut set);
        if self.subject.set.is_none() {
            for (definition, class) in &steps.objects {
                if *definition == self.subject.definition {
                    self.resources(*class, self.subject.object, (&Value::Yes, 0), &mut set)?;
                }
            }
            for (definition, class) in &steps.wildcards {
                if *definition == self.subject.definition {
                    for (resource, _, annotation) in self.snapshot.class(*class).forward() {
                        let value = self.work.edge(self.snapshot, annotation)?;
                        set.insert(resource, value, 0);
                    }
                }
            }
        }
        for step in &steps.sets {
            self.hop(step.class, step.member, &mut set)?;
        }
        Ok(set)
    }

    fn expression(&mut self, node: &'a Node) -> Result<Set, EvalError> {
        Ok(match node {
            Node::Nil => Set::default(),
            Node::SelfObject(definition) => {
                let is_own = self.subject.set.is_none() && self.subject.definition == *definition;
                if is_own {
                    Set::one(self.subject.object.0)
                } else {
                    Set::default()
                }
            }
            Node::Member(member) => (*self.set(*member)?).clone(),
            Node::Arrow(Quantifier::Any, steps) => {
                let mut set = Set::default();
                for step in steps {
                    if let Some(target) = step.target {
                        self.hop(step.class, target, &mut set)?;
                    }
                }
                set
            }
            Node::Arrow(Quantifier::All, steps) => self.arrow_all(steps)?,
            Node::Union(operands) => {
                let mut set = Set::default();
                for operand in operands {
                    set = set.or(&self.expression(operand)?);
                }
                set
            }
            Node::Intersection(operands) => self.intersection(operands)?,
            Node::Exclusion(left, right) => {
                let left = self.expression(left)?;
                if left.is_empty() || self.is_generous {
                    return Ok(left);
                }
                let right = self.met_by(right, &left)?;
                left.without(&right)
            }
        })
    }

    /// Whole operands first; then each list, as a whole or by a probe of what is left, whichever is cheaper.
    fn intersection(&mut self, operands: &'a [Node]) -> Result<Set, EvalError> {
        let mut lists: Vec<(u64, &Node)> = Vec::new();
        let mut met: Option<Set> = None;
        for operand in operands {
            if let Some(length) = self.length_of_list(operand) {
                lists.push((length, operand));
                continue;
            }
            let set = self.expression(operand)?;
            let all = match met {
                Some(met) => met.and(&set),
                None => set,
            };
            if all.is_empty() {
                return Ok(all);
            }
            met = Some(all);
        }
        lists.sort_by_key(|(length, _)| *length);
        for (_, operand) in lists {
            met = Some(match met {
                Some(met) if met.is_empty() => return Ok(met),
                Some(met) => {
                    let set = self.met_by(operand, &met)?;
                    met.and(&set)
                }
                None => self.expression(operand)?,
            });
        }
        Ok(met.unwrap_or_default())
    }

    /// An operand, at least as far as it meets `others`.
    fn met_by(&mut self, operand: &'a Node, others: &Set) -> Result<Set, EvalError> {
        let is_long = self
            .length_of_list(operand)
            .is_some_and(|length| length / PROBE_RATIO > others.len());
        if !is_long {
            return self.expression(operand);
        }
        let mut set = Set::default();
        for object in others.yes.iter().chain(others.other.keys().copied()) {
            let (value, height) = self.expression_at(operand, ObjectIx(object))?;
            set.insert(object, value, height);
        }
        Ok(set)
    }

    /// The length of the lists that an operand has to be read from; none if it is anything but a list not yet read.
    fn length_of_list(&self, operand: &Node) -> Option<u64> {
        let Node::Member(member) = operand else {
            return None;
        };
        // Of a set, a list holds at most the set itself, which is nothing to read.
        if self.subject.set.is_some() || self.sets.contains_key(member) || !self.may_hold(*member) {
            return None;
        }
        let steps = self.list_of(*member)?;
        let is_of_kind =
            |(definition, _): &&(DefinitionIx, ClassIx)| *definition == self.subject.definition;
        let of_subject = steps.objects.iter().filter(is_of_kind).map(|(_, class)| {
            let class = self.snapshot.class(*class);
            class.resources(self.subject.object).len()
        });
        let of_everybody = steps
            .wildcards
            .iter()
            .filter(is_of_kind)
            .map(|(_, class)| self.snapshot.class(*class).len());
        Some(of_subject.chain(of_everybody).sum::<usize>() as u64)
    }

    /// Adds the resources of `class` that have a subject with `target`.
    fn hop(&mut self, class: ClassIx, target: MemberIx, to: &mut Set) -> Result<(), EvalError> {
        let from = self.set(target)?;
        let edges = self.snapshot.class(class);
        if from.len() > edges.len() as u64 / PROBE_RATIO {
            for (resource, subject, annotation) in edges.forward() {
                let (value, height) = from.at(subject);
                if value == Value::No {
                    self.work.visit()?;
                    continue;
                }
                let edge = self.work.edge(self.snapshot, annotation)?;
                to.insert(resource, edge.and(value), height);
            }
            return Ok(());
        }
        for subject in &from.yes {
            self.resources(class, ObjectIx(subject), (&Value::Yes, from.height), to)?;
        }
        for (subject, undecided) in &from.other {
            let value = Value::Undecided(Box::new(undecided.flags.clone()));
            self.resources(class, ObjectIx(*subject), (&value, undecided.height), to)?;
        }
        Ok(())
    }

    /// Adds the resources of one subject, which has what is asked of it as far as `value` says.
    fn resources(
        &mut self,
        class: ClassIx,
        subject: ObjectIx,
        (value, height): (&Value, u16),
        to: &mut Set,
    ) -> Result<(), EvalError> {
        let edges = self.snapshot.class(class);
        let is_plain = edges.annotated_count() == 0;
        for (resource, _) in edges.resources(subject) {
            if is_plain {
                self.work.visit()?;
                to.insert(resource, value.clone(), height);
                continue;
            }
            let edge = edges.edge(ObjectIx(resource), subject);
            let annotation = edge.as_ref().and_then(|edge| edge.annotation());
            let edge = self.work.edge(self.snapshot, annotation)?;
            to.insert(resource, edge.and(value.clone()), height);
        }
        Ok(())
    }

    /// The resources whose subjects all have the target: found by those of which one has it.
    fn arrow_all(&mut self, steps: &[ArrowStep]) -> Result<Set, EvalError> {
        let mut candidates = Set::default();
        for step in steps {
            if let Some(target) = step.target {
                self.hop(step.class, target, &mut candidates)?;
            }
        }
        let mut set = Set::default();
        for object in candidates
            .yes
            .iter()
            .chain(candidates.other.keys().copied())
        {
            let outer = std::mem::take(&mut self.height_seen);
            let value = self.all_at(steps, ObjectIx(object))?;
            set.insert(object, value, self.height_seen);
            self.height_seen = outer;
        }
        Ok(set)
    }

    /// The value of one node, with the height that bounds its derivation.
    pub(super) fn node_at(
        &mut self,
        member: MemberIx,
        object: ObjectIx,
    ) -> Result<(Value, u16), EvalError> {
        if self.subject.set == Some(member) && self.subject.object == object {
            return Ok((Value::Yes, 1));
        }
        let (value, height) = match self.steps(member) {
            Steps::Relation(steps) => {
                let outer = std::mem::take(&mut self.height_seen);
                let value = self.relation_at(steps, object)?;
                (value, std::mem::replace(&mut self.height_seen, outer))
            }
            Steps::Permission(node) => self.expression_at(node, object)?,
        };
        Ok((value, height.saturating_add(1)))
    }

    fn expression_at(
        &mut self,
        node: &'a Node,
        object: ObjectIx,
    ) -> Result<(Value, u16), EvalError> {
        let outer = std::mem::take(&mut self.height_seen);
        let value = self.part_at(node, object)?;
        Ok((value, std::mem::replace(&mut self.height_seen, outer)))
    }

    fn part_at(&mut self, node: &'a Node, object: ObjectIx) -> Result<Value, EvalError> {
        Ok(match node {
            Node::Nil => Value::No,
            Node::SelfObject(definition) => {
                let itself = Subject {
                    definition: *definition,
                    object,
                    set: None,
                };
                if self.subject == itself {
                    Value::Yes
                } else {
                    Value::No
                }
            }
            Node::Member(member) => match self.list_of(*member) {
                Some(steps) if !self.sets.contains_key(member) => {
                    self.height_seen = self.height_seen.max(1);
                    self.relation_at(steps, object)?
                }
                Some(_) | None => self.known_at(*member, object)?,
            },
            Node::Arrow(Quantifier::Any, steps) => {
                let mut value = Value::No;
                for step in steps {
                    if let Some(target) = step.target {
                        value = value.or(self.any_at(step.class, target, object)?);
                    }
                    if value == Value::Yes {
                        break;
                    }
                }
                value
            }
            Node::Arrow(Quantifier::All, steps) => self.all_at(steps, object)?,
            Node::Union(operands) => {
                let mut value = Value::No;
                for operand in operands {
                    value = value.or(self.part_at(operand, object)?);
                    if value == Value::Yes {
                        break;
                    }
                }
                value
            }
            Node::Intersection(operands) => {
                let mut value = Value::Yes;
                for operand in operands {
                    value = value.and(self.part_at(operand, object)?);
                    if value == Value::No {
                        break;
                    }
                }
                value
            }
            Node::Exclusion(left, right) => {
                let left = self.part_at(left, object)?;
                if left == Value::No || self.is_generous {
                    return Ok(left);
                }
                left.without(self.part_at(right, object)?)
            }
        })
    }

    fn known_at(&mut self, member: MemberIx, object: ObjectIx) -> Result<Value, EvalError> {
        let (value, height) = self.set(member)?.at(object.0);
        self.height_seen = self.height_seen.max(height);
        Ok(value)
    }

    fn relation_at(&mut self, steps: &RelationSteps, object: ObjectIx) -> Result<Value, EvalError> {
        let mut value = Value::No;
        if self.subject.set.is_none() {
            let ends = [
                (&steps.objects, self.subject.object),
                (&steps.wildcards, ObjectIx::WILDCARD_SUBJECT),
            ];
            for (classes, end) in ends {
                for (definition, class) in classes {
                    if *definition == self.subject.definition {
                        value = value.or(self.edge_at(*class, object, end)?);
                    }
                }
            }
        }
        for step in &steps.sets {
            if value == Value::Yes {
                break;
            }
            value = value.or(self.any_at(step.class, step.member, object)?);
        }
        Ok(value)
    }

    fn edge_at(
        &mut self,
        class: ClassIx,
        resource: ObjectIx,
        subject: ObjectIx,
    ) -> Result<Value, EvalError> {
        match self.snapshot.class(class).edge(resource, subject) {
            Some(edge) => self.work.edge(self.snapshot, edge.annotation()),
            None => {
                self.work.visit()?;
                Ok(Value::No)
            }
        }
    }

    /// Whether one of the subjects of `object` has `target`: the shorter of the two lists is walked.
    fn any_at(
        &mut self,
        class: ClassIx,
        target: MemberIx,
        object: ObjectIx,
    ) -> Result<Value, EvalError> {
        let from = self.set(target)?;
        if from.is_empty() {
            return Ok(Value::No);
        }
        let subjects = self.snapshot.class(class).subjects(object);
        let mut value = Value::No;
        if from.len() < subjects.len() as u64 / PROBE_RATIO {
            for subject in from.yes.iter().chain(from.other.keys().copied()) {
                let edge = self.edge_at(class, object, ObjectIx(subject))?;
                if edge != Value::No {
                    let (granted, height) = from.at(subject);
                    self.height_seen = self.height_seen.max(height);
                    value = value.or(edge.and(granted));
                }
            }
            return Ok(value);
        }
        for (subject, annotation) in subjects {
            let (granted, height) = from.at(subject);
            if granted == Value::No {
                self.work.visit()?;
                continue;
            }
            let edge = self.work.edge(self.snapshot, annotation)?;
            self.height_seen = self.height_seen.max(height);
            value = value.or(edge.and(granted));
            if value == Value::Yes {
                break;
            }
        }
        Ok(value)
    }

    fn all_at(&mut self, steps: &[ArrowStep], object: ObjectIx) -> Result<Value, EvalError> {
        let now = self.work.environment.now;
        let mut value = Value::Yes;
        let mut is_empty = true;
        for step in steps {
            for (subject, annotation) in self.snapshot.class(step.class).subjects(object) {
                if annotation.is_some_and(|annotation| annotation.is_expired(now)) {
                    continue;
                }
                is_empty = false;
                let edge = self.work.edge(self.snapshot, annotation)?;
                let granted = match step.target {
                    Some(target) => self.known_at(target, ObjectIx(subject))?,
                    None => Value::No,
                };
                value = value.and(edge.and(granted));
                if value == Value::No {
                    return Ok(value);
                }
            }
        }
        Ok(if is_empty { Value::No } else { value })
    }
}
