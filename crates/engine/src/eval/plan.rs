//! A schema, compiled for evaluation: operations over edge classes, with what can be known before any data is seen.
//!
//! For each relation and permission: which kinds of subjects it can ever hold (the others are denied at once), whether
//! it can come back to itself through data, and its operands in the order of their estimated cost.

use schema::{
    Arrow, DefinitionIx, Expression, MemberIx, MemberKind, Quantifier, Schema, SubjectKind,
};

use super::components::components;
use super::query::Subject;
use crate::graph::{ClassIx, Layout};

/// The compiled form of a schema.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    members: Vec<MemberPlan>,
}

/// The compiled form of a relation or permission.
#[derive(Debug, Clone)]
pub(super) struct MemberPlan {
    pub(super) steps: Steps,
    /// Whether relationships can lead from an object with this member to another with it.
    pub(super) is_recursive: bool,
    /// The members that can lead to each other share a number; what a member leads to otherwise has a smaller one.
    pub(super) component: u32,
    reach: Reach,
}

#[derive(Debug, Clone)]
pub(super) enum Steps {
    Relation(RelationSteps),
    Permission(Node),
}

/// The edge classes of a relation.
#[derive(Debug, Clone, Default)]
pub(super) struct RelationSteps {
    pub(super) objects: Vec<(DefinitionIx, ClassIx)>,
    pub(super) wildcards: Vec<(DefinitionIx, ClassIx)>,
    pub(super) sets: Vec<SetStep>,
}

/// An edge class whose subjects are sets: the holders of `member` on the object at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct SetStep {
    pub(super) class: ClassIx,
    pub(super) member: MemberIx,
}

/// A permission's expression.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Nil,
    /// The object itself, which is of this definition.
    SelfObject(DefinitionIx),
    Member(MemberIx),
    Arrow(Quantifier, Vec<ArrowStep>),
    Union(Vec<Node>),
    Intersection(Vec<Node>),
    Exclusion(Box<Node>, Box<Node>),
}

/// An edge class that an arrow walks, and what it asks at the other end; nothing where that definition lacks it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ArrowStep {
    pub(super) class: ClassIx,
    pub(super) target: Option<MemberIx>,
}

/// The subjects that a member can hold, as a bitmap over definitions (objects) and then members (sets).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Reach {
    words: Vec<u64>,
}

/// Past this many bits in all, reach is not worked out and nothing is denied at once.
const REACH_BITS_MAX: usize = 64 << 20;

impl Plan {
    /// Compiles `schema`, whose classes are laid out by `layout`.
    ///
    /// # Cost
    /// About the square of the number of relations and permissions, in bits.
    #[must_use]
    pub fn of(schema: &Schema, layout: &Layout) -> Self {
        let mut members: Vec<MemberPlan> = schema
            .members()
            .map(|(ix, member)| MemberPlan {
                steps: match &member.kind {
                    MemberKind::Relation(_) => Steps::Relation(relation(ix, layout)),
                    MemberKind::Permission(expression) => {
                        Steps::Permission(node(schema, layout, member.definition, expression))
                    }
                },
                is_recursive: false,
                component: 0,
                reach: Reach::default(),
            })
            .collect();
        mark_recursive(&mut members);
        order_by_cost(&mut members);
        work_out_reach(schema, &mut members);
        Self { members }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a plan has one entry for each member of its schema"
    )]
    pub(super) fn member(&self, ix: MemberIx) -> &MemberPlan {
        // PANIC: an index comes from the schema that the plan was made of.
        &self.members[ix.0 as usize]
    }
}

impl MemberPlan {
    /// Whether there can be data that makes `subject` hold this member.
    pub(super) fn may_hold(&self, subject: Subject, definition_count: usize) -> bool {
        let bit = match subject.set {
            None => subject.definition.0 as usize,
            Some(member) => definition_count + member.0 as usize,
        };
        self.reach.has(bit)
    }
}

fn relation(ix: MemberIx, layout: &Layout) -> RelationSteps {
    let mut steps = RelationSteps::default();
    for class in layout.classes_of(ix).iter().copied() {
        let key = layout.key(class);
        match key.kind {
            SubjectKind::Object => steps.objects.push((key.definition, class)),
            SubjectKind::Wildcard => steps.wildcards.push((key.definition, class)),
            SubjectKind::Set(member) => steps.sets.push(SetStep { class, member }),
        }
    }
    steps
}

fn node(schema: &Schema, layout: &Layout, own: DefinitionIx, expression: &Expression) -> Node {
    let nodes = |operands: &[Expression]| {
        operands
            .iter()
            .map(|e| node(schema, layout, own, e))
            .collect()
    };
    match expression {
        Expression::Nil => Node::Nil,
        Expression::SelfObject => Node::SelfObject(own),
        Expression::Member(member) => Node::Member(*member),
        Expression::Arrow(arrow) => {
            Node::Arrow(arrow.quantifier, arrow_steps(schema, layout, arrow))
        }
        Expression::Union(operands) => Node::Union(nodes(operands)),
        Expression::Intersection(operands) => Node::Intersection(nodes(operands)),
        Expression::Exclusion(left, right) => Node::Exclusion(
            Box::new(node(schema, layout, own, left)),
            Box::new(node(schema, layout, own, right)),
        ),
    }
}

fn arrow_steps(schema: &Schema, layout: &Layout, arrow: &Arrow) -> Vec<ArrowStep> {
    let classes = layout.classes_of(arrow.relation).iter().copied();
    classes
        .map(|class| ArrowStep {
            class,
            target: schema.member_ix(layout.key(class).definition, arrow.target.as_str()),
        })
        .collect()
}

fn mark_recursive(members: &mut [MemberPlan]) {
    let successors: Vec<Vec<u32>> = members
        .iter()
        .map(|member| member.steps.successors())
        .collect();
    let component = components(&successors);
    let mut sizes = vec![0u32; members.len()];
    for number in &component {
        if let Some(size) = sizes.get_mut(*number as usize) {
            *size += 1;
        }
    }
    for (ix, (member, number)) in members.iter_mut().zip(component).enumerate() {
        let leads_to_itself = successors
            .get(ix)
            .is_some_and(|next| next.contains(&(ix as u32)));
        member.component = number;
        member.is_recursive =
            leads_to_itself || sizes.get(number as usize).is_some_and(|size| *size > 1);
    }
}

impl Steps {
    /// The members that this one is made of.
    pub(super) fn successors(&self) -> Vec<u32> {
        let mut found = Vec::new();
        match self {
            Self::Relation(steps) => found.extend(steps.sets.iter().map(|set| set.member.0)),
            Self::Permission(node) => node.each(&mut |node| match node {
                Node::Member(member) => found.push(member.0),
                Node::Arrow(_, steps) => {
                    found.extend(
                        steps
                            .iter()
                            .filter_map(|step| step.target)
                            .map(|target| target.0),
                    );
                }
                Node::Nil
                | Node::SelfObject(_)
                | Node::Union(_)
                | Node::Intersection(_)
                | Node::Exclusion(..) => {}
            }),
        }
        found
    }
}

impl Node {
    pub(super) fn each(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        match self {
            Self::Nil | Self::SelfObject(_) | Self::Member(_) | Self::Arrow(..) => {}
            Self::Union(operands) | Self::Intersection(operands) => {
                operands.iter().for_each(|operand| operand.each(visit));
            }
            Self::Exclusion(left, right) => {
                left.each(visit);
                right.each(visit);
            }
        }
    }
}

/// Puts cheap operands first. A rough estimate is enough: what matters is that a row is read before a walk is begun.
fn order_by_cost(members: &mut [MemberPlan]) {
    const ROUNDS: usize = 4;
    let mut costs = vec![1u32; members.len()];
    for _ in 0..ROUNDS {
        costs = members
            .iter()
            .map(|member| member.steps.cost(&costs))
            .collect();
    }
    for member in members {
        if let Steps::Permission(node) = &mut member.steps {
            node.order(&costs);
        }
    }
}

const COST_MAX: u32 = 1 << 20;

impl Steps {
    fn cost(&self, costs: &[u32]) -> u32 {
        match self {
            Self::Relation(steps) => {
                let sets = steps
                    .sets
                    .iter()
                    .map(|set| cost_of(costs, set.member))
                    .max();
                1 + sets.map_or(0, |cost| cost.saturating_mul(4).min(COST_MAX))
            }
            Self::Permission(node) => node.cost(costs),
        }
    }
}

impl Node {
    fn cost(&self, costs: &[u32]) -> u32 {
        let sum = |operands: &[Self]| {
            operands
                .iter()
                .map(|o| o.cost(costs))
                .fold(0, u32::saturating_add)
        };
        let cost = match self {
            Self::Nil | Self::SelfObject(_) => 0,
            Self::Member(member) => cost_of(costs, *member),
            Self::Arrow(_, steps) => {
                let targets = steps.iter().filter_map(|step| step.target);
                1 + targets
                    .map(|t| cost_of(costs, t))
                    .max()
                    .unwrap_or(0)
                    .saturating_mul(2)
            }
            Self::Union(operands) | Self::Intersection(operands) => sum(operands),
            Self::Exclusion(left, right) => left.cost(costs).saturating_add(right.cost(costs)),
        };
        cost.min(COST_MAX)
    }

    fn order(&mut self, costs: &[u32]) {
        match self {
            Self::Nil | Self::SelfObject(_) | Self::Member(_) | Self::Arrow(..) => {}
            Self::Union(operands) | Self::Intersection(operands) => {
                operands.iter_mut().for_each(|operand| operand.order(costs));
                operands.sort_by_key(|operand| operand.cost(costs));
            }
            Self::Exclusion(left, right) => {
                left.order(costs);
                right.order(costs);
            }
        }
    }
}

fn cost_of(costs: &[u32], member: MemberIx) -> u32 {
    costs.get(member.0 as usize).copied().unwrap_or(COST_MAX)
}

/// The least fixed point of what each member takes in from those that it is made of.
fn work_out_reach(schema: &Schema, members: &mut [MemberPlan]) {
    let definition_count = schema.definitions().len();
    let bits = definition_count + members.len();
    if bits.saturating_mul(members.len()) > REACH_BITS_MAX {
        return;
    }
    let mut reaches = vec![Reach::none(bits); members.len()];
    loop {
        let mut changed = false;
        for (ix, member) in members.iter().enumerate() {
            let mut reach = member.steps.reach(&reaches, bits);
            reach.add(definition_count + ix);
            if let Some(known) = reaches.get_mut(ix).filter(|known| **known != reach) {
                *known = reach;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    for (member, reach) in members.iter_mut().zip(reaches) {
        member.reach = reach;
    }
}

impl Steps {
    fn reach(&self, reaches: &[Reach], bits: usize) -> Reach {
        match self {
            Self::Relation(steps) => {
                let mut reach = Reach::none(bits);
                for (definition, _) in steps.objects.iter().chain(&steps.wildcards) {
                    reach.add(definition.0 as usize);
                }
                for set in &steps.sets {
                    reach.add_all(reaches.get(set.member.0 as usize));
                }
                reach
            }
            Self::Permission(node) => node.reach(reaches, bits),
        }
    }
}

impl Node {
    fn reach(&self, reaches: &[Reach], bits: usize) -> Reach {
        let mut reach = Reach::none(bits);
        match self {
            Self::Nil => {}
            Self::SelfObject(own) => reach.add(own.0 as usize),
            Self::Member(member) => reach.add_all(reaches.get(member.0 as usize)),
            Self::Arrow(_, steps) => {
                for target in steps.iter().filter_map(|step| step.target) {
                    reach.add_all(reaches.get(target.0 as usize));
                }
            }
            Self::Union(operands) => {
                for operand in operands {
                    reach.add_all(Some(&operand.reach(reaches, bits)));
                }
            }
            Self::Intersection(operands) => {
                let mut each = operands.iter().map(|operand| operand.reach(reaches, bits));
                reach = each.next().unwrap_or(reach);
                each.for_each(|other| reach.keep_common(&other));
            }
            Self::Exclusion(left, _) => return left.reach(reaches, bits),
        }
        reach
    }
}

impl Reach {
    fn none(bits: usize) -> Self {
        Self {
            words: vec![0; bits.div_ceil(64)],
        }
    }

    fn add(&mut self, bit: usize) {
        if let Some(word) = self.words.get_mut(bit / 64) {
            *word |= 1 << (bit % 64);
        }
    }

    fn add_all(&mut self, other: Option<&Self>) {
        for (word, more) in self
            .words
            .iter_mut()
            .zip(other.into_iter().flat_map(|o| &o.words))
        {
            *word |= more;
        }
    }

    fn keep_common(&mut self, other: &Self) {
        for (word, common) in self.words.iter_mut().zip(&other.words) {
            *word &= common;
        }
    }

    /// Whether the bit is set; true for a reach that was not worked out.
    fn has(&self, bit: usize) -> bool {
        self.words.is_empty()
            || self
                .words
                .get(bit / 64)
                .is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }
}
