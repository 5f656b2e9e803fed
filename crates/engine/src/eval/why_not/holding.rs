//! The objects on which the subject already has something: what a new relationship may lead to.

use std::collections::HashMap;
use std::rc::Rc;

use schema::MemberIx;

use super::may_hold;
use super::rows::Asked;
use crate::eval::lookup::{Interrupt, Membership, ResourcesQuery, lookup_resources};
use crate::eval::value::EvalError;
use crate::graph::ObjectIx;

pub(super) struct Holding<'a> {
    asked: Asked<'a>,
    interrupt: &'a Interrupt,
    /// At most so many of each; 0 where none is wanted.
    objects_max: usize,
    known: HashMap<MemberIx, Rc<[ObjectIx]>>,
    pub(super) is_truncated: bool,
}

impl<'a> Holding<'a> {
    pub(super) fn new(asked: Asked<'a>, interrupt: &'a Interrupt, objects_max: usize) -> Self {
        Self {
            asked,
            interrupt,
            objects_max,
            known: HashMap::new(),
            is_truncated: false,
        }
    }

    /// The objects on which the subject has `member` for certain, in the order of their ids.
    ///
    /// # Errors
    /// [`EvalError::Interrupted`].
    pub(super) fn objects(&mut self, member: MemberIx) -> Result<Rc<[ObjectIx]>, EvalError> {
        if self.objects_max == 0 || !may_hold(&self.asked, member) {
            return Ok(Rc::default());
        }
        if let Some(known) = self.known.get(&member) {
            return Ok(Rc::clone(known));
        }
        let found: Rc<[ObjectIx]> = self.look_up(member)?.into();
        self.known.insert(member, Rc::clone(&found));
        Ok(found)
    }

    fn look_up(&mut self, member: MemberIx) -> Result<Vec<ObjectIx>, EvalError> {
        let snapshot = self.asked.snapshot;
        let schema = snapshot.schema();
        let definition = schema.member(member).definition;
        let query = ResourcesQuery::resolve(
            snapshot,
            schema.definition(definition).name.as_str(),
            schema.member(member).name.as_str(),
            self.asked.subject,
        );
        let Ok(query) = query else {
            return Ok(Vec::new());
        };
        let found = match lookup_resources(snapshot, &query, self.asked.environment, self.interrupt)
        {
            Ok(found) => found,
            Err(EvalError::Interrupted) => return Err(EvalError::Interrupted),
            Err(_) => {
                self.is_truncated = true;
                return Ok(Vec::new());
            }
        };
        self.is_truncated |= found.error().is_some();
        let certain = found
            .members(snapshot)
            .filter(|(_, membership)| *membership == Membership::Certain);
        let mut known = certain.filter_map(|(id, _)| snapshot.object_ix(definition, id.as_str()));
        let objects: Vec<ObjectIx> = known.by_ref().take(self.objects_max).collect();
        self.is_truncated |= known.next().is_some();
        Ok(objects)
    }
}
