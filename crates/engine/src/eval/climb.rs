//! Walking from the subject upwards: which groups is it in, and is one of them among those that grant?
//!
//! A resource may grant to thousands of groups while a subject is in few. Where a walk downwards would ask each of many
//! groups, this finds the sets that hold the subject, once for a check, and intersects. It only stands in for the walk
//! where it says the same: for a relation that takes the subject itself and sets of that same relation, whose edges
//! are plainly there or not. Levels are kept, so that depth is that of the shortest way either way.

use hashbrown::HashMap;
use schema::MemberIx;
use smallvec::SmallVec;

use super::check::{Stop, Walk};
use super::plan::RelationSteps;
use super::value::Value;
use crate::graph::{ClassIx, ObjectIx, Values};

/// Fewer subjects than these are asked one by one.
const SUBJECTS_MIN: usize = 8;
/// Sets of the subject for each one that the walk downwards would ask, beyond which climbing is not worth it.
const SETS_PER_SUBJECT_MAX: usize = 2;

/// The climbs of one check, by the relation that was climbed.
#[derive(Default)]
pub(super) struct Climbs {
    known: SmallVec<[(MemberIx, Climb); 2]>,
}

/// The objects on which a relation holds the subject, with the length of the shortest derivation; none if the climb
/// would not be exact.
type Climb = Option<HashMap<ObjectIx, u16, foldhash::fast::FixedState>>;

/// What one attempt to climb came to.
enum Attempt {
    Done(Climb),
    /// Too many sets for this question; a wider one may still want them.
    TooWide,
}

impl Walk<'_> {
    /// Answers by climbing whether one of `subjects` has the subject in `target`; none if it is not to be climbed.
    pub(super) fn climb(
        &mut self,
        class: ClassIx,
        target: MemberIx,
        object: ObjectIx,
        subjects: &Values<'_>,
        depth: u16,
    ) -> Result<Option<Value>, Stop> {
        let Some(steps) = self.relation_steps(target) else {
            return Ok(None);
        };
        let subject_count = subjects.len();
        if subject_count < SUBJECTS_MIN || !self.climbs_to_the_top(target, steps) {
            return Ok(None);
        }
        let place = match self
            .climbs
            .known
            .iter()
            .position(|(member, _)| *member == target)
        {
            Some(place) => place,
            None => match self.attempt(target, steps, subject_count)? {
                Attempt::TooWide => return Ok(None),
                Attempt::Done(climb) => {
                    self.climbs.known.push((target, climb));
                    self.climbs.known.len() - 1
                }
            },
        };
        // Taken out for the walk over it, and put back: the walk needs all of `self`.
        let Some(sets) = self
            .climbs
            .known
            .get_mut(place)
            .and_then(|(_, climb)| climb.take())
        else {
            return Ok(None);
        };
        let value = self.meet(class, object, subjects, &sets, depth);
        if let Some((_, climb)) = self.climbs.known.get_mut(place) {
            *climb = Some(sets);
        }
        value.map(Some)
    }

    /// Whether no set but the relation's own can bring the subject into it.
    fn climbs_to_the_top(&self, target: MemberIx, steps: &RelationSteps) -> bool {
        steps.wildcards.is_empty()
            && steps
                .sets
                .iter()
                .all(|set| set.member == target || !self.may_hold(set.member))
    }

    fn attempt(
        &mut self,
        target: MemberIx,
        steps: &RelationSteps,
        subject_count: usize,
    ) -> Result<Attempt, Stop> {
        let sets_max = subject_count.saturating_mul(SETS_PER_SUBJECT_MAX);
        let mut found = HashMap::with_hasher(foldhash::fast::FixedState::default());
        let mut frontier = Vec::new();
        if self.subject.set == Some(target) {
            found.insert(self.subject.object, 1);
            frontier.push(self.subject.object);
        }
        if self.subject.set.is_none() {
            for (definition, class) in &steps.objects {
                if *definition != self.subject.definition {
                    continue;
                }
                if self
                    .snapshot
                    .class(*class)
                    .resources(self.subject.object)
                    .len()
                    > sets_max
                {
                    return Ok(Attempt::TooWide);
                }
                if !self.holders(*class, self.subject.object, 1, &mut found, &mut frontier)? {
                    return Ok(Attempt::Done(None));
                }
            }
        }
        let mut level = 1;
        while !frontier.is_empty() {
            level += 1;
            let mut next = Vec::new();
            for set in steps.sets.iter().filter(|set| set.member == target) {
                for held in &frontier {
                    if !self.holders(set.class, *held, level, &mut found, &mut next)? {
                        return Ok(Attempt::Done(None));
                    }
                    if found.len() > sets_max {
                        return Ok(Attempt::TooWide);
                    }
                }
            }
            frontier = next;
        }
        Ok(Attempt::Done(Some(found)))
    }

    /// Adds the objects that hold `end` in `class`; false if one of them does so on a condition.
    fn holders(
        &mut self,
        class: ClassIx,
        end: ObjectIx,
        level: u16,
        found: &mut HashMap<ObjectIx, u16, foldhash::fast::FixedState>,
        next: &mut Vec<ObjectIx>,
    ) -> Result<bool, Stop> {
        let edges = self.snapshot.class(class);
        let is_plain = edges.annotated_count() == 0;
        for (resource, _) in edges.resources(end) {
            self.visit()?;
            let resource = ObjectIx(resource);
            let value = if is_plain {
                Value::Yes
            } else {
                self.edge(class, resource, end)?
            };
            match value {
                Value::No => continue,
                Value::Undecided(_) => return Ok(false),
                Value::Yes => {}
            }
            if !found.contains_key(&resource) {
                found.insert(resource, level);
                next.push(resource);
            }
        }
        Ok(true)
    }

    /// The union of the edges of `object` in `class` that end at one of `sets`, from the shorter list.
    fn meet(
        &mut self,
        class: ClassIx,
        object: ObjectIx,
        subjects: &Values<'_>,
        sets: &HashMap<ObjectIx, u16, foldhash::fast::FixedState>,
        depth: u16,
    ) -> Result<Value, Stop> {
        let mut met = Met {
            value: Value::No,
            is_too_deep: false,
        };
        if sets.len() < subjects.len() {
            for (set, level) in sets {
                let value = self.edge(class, object, *set)?;
                self.note(&mut met, value, depth.saturating_add(*level));
            }
        } else {
            for (subject, annotation) in subjects.clone() {
                if let Some(level) = sets.get(&ObjectIx(subject)) {
                    let value = self.edge_value(annotation)?;
                    self.note(&mut met, value, depth.saturating_add(*level));
                } else {
                    self.visit()?;
                }
            }
        }
        if met.is_too_deep && met.value != Value::Yes {
            return Err(Stop::Solve);
        }
        Ok(met.value)
    }

    fn note(&mut self, met: &mut Met, value: Value, deepest: u16) {
        if value == Value::No {
            return;
        }
        if deepest > self.environment.depth_max {
            met.is_too_deep = true;
            return;
        }
        self.note_depth(deepest);
        met.value = std::mem::replace(&mut met.value, Value::No).or(value);
    }
}

struct Met {
    value: Value,
    is_too_deep: bool,
}
