//! What one caller may do, at one instant.

use std::collections::HashSet;
use std::sync::Arc;

use engine::eval::{self, Environment, Query};
use engine::graph::Snapshot;
use identity::{Caller, Credential};
use model::{
    Context, Decision, DefinitionName, ObjectRef, RelationName, RelationshipFilter,
    RelationshipUpdate, SubjectId, SubjectRef, Timestamp,
};
use schema::Schema;

use super::grant::is_built_in;
use super::reach::{leads_to, shown_by};
use super::roles::{ADMINISTRATOR, Action, GROUP, MANAGER, MEMBER, PREFIX, SYSTEM_ID, Scope};
use super::target::{Target, object, objects, of_relation, relation_object, unnameable};
use crate::consistency::{Consistency, View};
use crate::error::{Error, Kind};
use crate::node::{Node, Published};
use crate::stages;

/// What one caller may do: judged by the newest that the node knows, whatever snapshot the caller asks for, so that what was
/// taken away stays so.
pub(crate) struct Permit<'a> {
    node: &'a Node,
    caller: &'a Caller,
    current: Arc<Published>,
    now: Timestamp,
    /// As whom the graph knows the caller; nobody where it need not be asked.
    actor: Vec<SubjectRef>,
}

impl<'a> Permit<'a> {
    /// The permit of a caller.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] for a caller that is locked, [`Kind::Unauthenticated`] for one whose credential has run out, or
    /// rests on what was withdrawn.
    pub(crate) fn of(node: &'a Node, caller: &'a Caller) -> Result<Self, Error> {
        Self::at(node, caller, node.current.load_full())
    }

    /// A view, and the permit of whoever asks for it. The view comes first, and may have to be waited for: what was taken from the
    /// caller up to then is not to be had.
    ///
    /// # Errors
    /// As [`Node::view`] and [`Self::of`].
    pub(crate) async fn with_view(
        node: &'a Node,
        caller: &'a Caller,
        consistency: Consistency,
    ) -> Result<(View, Self), Error> {
        let stage = stages::begin("wait for a snapshot");
        let view = node.view(consistency).await?;
        drop(stage);
        stages::note_revision(view.snapshot.revision());
        Ok((view, Self::of(node, caller)?))
    }

    /// As [`Self::of`], judged by what was published then.
    pub(crate) fn at(
        node: &'a Node,
        caller: &'a Caller,
        current: Arc<Published>,
    ) -> Result<Self, Error> {
        let now = node.now().max(current.snapshot.time());
        if caller.valid_until().is_some_and(|until| now >= until) {
            let message = "the credential of the call has run out; get a new one";
            return Err(Error::new(Kind::Unauthenticated, message));
        }
        if caller.is_withdrawn() {
            let message =
                "what the credential of the call rests on is no longer there; come with another";
            return Err(Error::new(Kind::Unauthenticated, message));
        }
        let locks = &current.records.access.locks;
        let mut subjects = std::iter::once(caller.subject())
            .chain(caller.groups())
            .chain(caller.principal());
        // It could not be unlocked by anybody who asks nobody who they are.
        let is_anybody = matches!(caller.credential(), Credential::None);
        let locked = subjects.find(|subject| !is_anybody && locks.contains_key(subject));
        if let Some(locked) = locked {
            node.metrics().note_forbidden("locked");
            return Err(Error::new(Kind::Forbidden, format!("`{locked}` is locked")));
        }
        let mut permit = Self {
            node,
            caller,
            current,
            now,
            actor: Vec::new(),
        };
        if !permit.actor_is_free() {
            permit.actor = known(caller, &permit.current.snapshot)?;
        }
        permit.require_to_act_for()?;
        Ok(permit)
    }

    /// Lets a caller through that asks in the name of another.
    fn require_to_act_for(&self) -> Result<(), Error> {
        let Some(principal) = self.caller.principal() else {
            return Ok(());
        };
        let of = Target::User(principal.id.as_str());
        let is_user = principal.definition.as_str() == Scope::User.definition();
        if is_user && self.leaves(Action::ActFor, of, self.now) {
            for object in objects(Action::ActFor, of) {
                if self.actor_has(&object?, Action::ActFor.permission(), self.now)? {
                    return Ok(());
                }
            }
        }
        self.node
            .metrics()
            .note_forbidden(Action::ActFor.permission());
        let message = format!(
            "`{}` may not ask in the name of `{principal}`: that takes `{}` on it or on the system, and the name of a `{}`",
            self.caller.subject(),
            Action::ActFor.role(),
            Scope::User.definition()
        );
        Err(Error::new(Kind::Forbidden, message))
    }

    /// Whether the caller may do everything: it is open to it, and nothing that it came with narrows it.
    pub(crate) fn is_free(&self) -> bool {
        self.is_open() && self.caller.narrowing().is_none()
    }

    /// Whether the caller may do everything that what it came with leaves to it.
    fn is_open(&self) -> bool {
        self.caller.principal().is_none() && self.actor_is_free()
    }

    /// Whether whoever calls asks nobody who it is, or has a key while nothing is enforced.
    fn actor_is_free(&self) -> bool {
        self.is_free_with(self.caller.credential())
    }

    fn is_free_with(&self, credential: &Credential) -> bool {
        match credential {
            Credential::None => true,
            Credential::PresharedKey { .. } => !self.current.records.access.is_enforced,
            Credential::Minted { rests_on, .. } => self.is_free_with(rests_on),
            Credential::Token { .. } | Credential::JwtSvid { .. } | Credential::X509Svid { .. } => {
                false
            }
        }
    }

    /// Whether what the caller came with leaves that to it. It is asked before anything that allows.
    fn leaves(&self, action: Action, target: Target<'_>, instant: Timestamp) -> bool {
        self.caller.narrowing().is_none_or(|narrowing| {
            narrowing.allows_at(instant)
                && narrowing.allows_action(action.permission())
                && narrowing.allows_definition(target.definition())
        })
    }

    /// The schema that names are looked up in.
    pub(crate) fn schema(&self) -> &Arc<Schema> {
        self.current.snapshot.schema()
    }

    /// Lets the action through, or says why not: as if the definition were not there to a caller without any right on it.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], or that of a definition that is not there.
    pub(crate) fn require(&self, action: Action, target: Target<'_>) -> Result<(), Error> {
        if self.may(action, target)? {
            return Ok(());
        }
        match target {
            Target::Definition(definition) | Target::Member(definition, _)
                if !self.sees(definition)? =>
            {
                self.node.metrics().note_forbidden(action.permission());
                Err(Error::unknown_definition(definition))
            }
            Target::System | Target::Definition(_) | Target::Member(..) | Target::User(_) => {
                Err(self.forbidden(action, target))
            }
        }
    }

    /// Whether the caller may name `subject` as a subject of `definition`: it sees it, or relationships of `definition` lead
    /// to it.
    ///
    /// # Errors
    /// That of a definition that is not there.
    pub(crate) fn require_subject(&self, definition: &str, subject: &str) -> Result<(), Error> {
        if self.is_free() || leads_to(self.schema(), definition, subject) || self.sees(subject)? {
            return Ok(());
        }
        Err(Error::unknown_definition(subject))
    }

    /// Lets what a filter matches through.
    ///
    /// # Errors
    /// As [`Self::require`] and [`Self::require_subject`]; a filter that names no definition takes the right on all of them.
    pub(crate) fn require_filter(
        &self,
        action: Action,
        filter: &RelationshipFilter,
    ) -> Result<(), Error> {
        if self.is_free() {
            return Ok(());
        }
        let definition = filter.definition.as_ref().map(DefinitionName::as_str);
        let relation = filter.relation.as_ref().map(RelationName::as_str);
        let Some(definition) = definition else {
            return self.require(action, Target::System);
        };
        self.require(action, of_relation(definition, relation))?;
        match &filter.subject {
            Some(subject) => self.require_subject(definition, subject.definition.as_str()),
            None => Ok(()),
        }
    }

    /// Lets a precondition through: whether it holds is told to whoever writes there or reads there.
    ///
    /// # Errors
    /// As [`Self::require_filter`].
    pub(crate) fn require_precondition(&self, filter: &RelationshipFilter) -> Result<(), Error> {
        match self.require_filter(Action::Write, filter) {
            Ok(()) => Ok(()),
            Err(_) => self.require_filter(Action::Read, filter),
        }
    }

    /// Lets updates through, but for those of what is built in, which [`super::check_changes`] judges. What is alike is judged
    /// once.
    ///
    /// # Errors
    /// As [`Self::require`] and [`Self::require_subject`].
    pub(crate) fn require_updates(
        &self,
        action: Action,
        updates: &[RelationshipUpdate],
    ) -> Result<(), Error> {
        if self.is_free() {
            return Ok(());
        }
        let mut judged = HashSet::new();
        for update in updates {
            let relationship = &update.relationship;
            let definition = relationship.resource.definition.as_str();
            let (relation, subject) = (
                relationship.relation.as_str(),
                relationship.subject.definition.as_str(),
            );
            if !is_built_in(definition) && judged.insert((definition, relation, subject)) {
                self.require(action, Target::Member(definition, relation))?;
                self.require_subject(definition, subject)?;
            }
        }
        Ok(())
    }

    /// Lets a question about one permission through.
    ///
    /// # Errors
    /// As [`Self::require`] and [`Self::require_subject`].
    pub(crate) fn require_question(
        &self,
        action: Action,
        (definition, permission): (&str, &str),
        subject: &str,
    ) -> Result<(), Error> {
        if self.is_free() {
            return Ok(());
        }
        self.require(action, Target::Member(definition, permission))?;
        self.require_subject(definition, subject)
    }

    /// Lets an explanation of a permission through, which shows relationships of all that it rests on in the schema that it is of.
    ///
    /// # Errors
    /// As [`Self::require`].
    pub(crate) fn require_explanation(
        &self,
        schema: &Schema,
        definition: &str,
        permission: &str,
    ) -> Result<(), Error> {
        if self.is_free() || self.may(Action::Read, Target::System)? {
            return Ok(());
        }
        self.require(Action::Read, Target::Definition(definition))?;
        let member = schema
            .definition_ix(definition)
            .and_then(|definition| schema.member_ix(definition, permission));
        // What is not there rests on nothing, and is refused as such.
        for shown in member
            .map(|member| shown_by(schema, member))
            .unwrap_or_default()
        {
            let name = schema.definition(shown).name.as_str();
            if !self.may(Action::Read, Target::Definition(name))? {
                let message = format!(
                    "`{}` may not see what `{permission}` of `{definition}` rests on: that takes `{}` on each definition \
                     that it leads to",
                    self.caller.subject(),
                    Action::Read.role()
                );
                self.node
                    .metrics()
                    .note_forbidden(Action::Read.permission());
                return Err(Error::new(Kind::Forbidden, message));
            }
        }
        Ok(())
    }

    /// Whether the caller may do that.
    ///
    /// # Errors
    /// [`Error`] if it cannot be told, which is no yes.
    /// # Cost
    /// One to three checks in a small part of the graph, times the groups that the caller's token names and the graph knows.
    pub(crate) fn may(&self, action: Action, target: Target<'_>) -> Result<bool, Error> {
        self.may_until(action, target, self.now)
    }

    /// Whether the caller may still do that at a later instant, as far as is known now.
    pub(crate) fn may_until(
        &self,
        action: Action,
        target: Target<'_>,
        instant: Timestamp,
    ) -> Result<bool, Error> {
        if !self.leaves(action, target, instant) {
            return Ok(false);
        }
        if self.is_open() {
            return Ok(true);
        }
        for object in objects(action, target) {
            if self.holds(&object?, action.permission(), instant)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the caller may change who is a member of a group, and what it is a member of: a narrowed one only if it may grant.
    pub(crate) fn manages(&self, group: &ObjectRef, instant: Timestamp) -> Result<bool, Error> {
        Ok(self.leaves(Action::Grant, Target::System, instant)
            && self.holds(group, MANAGER, instant)?)
    }

    /// Whether the caller's subject has a permission, or relation, of an object that is built in, whatever the caller came with.
    fn holds(
        &self,
        object: &ObjectRef,
        permission: &str,
        instant: Timestamp,
    ) -> Result<bool, Error> {
        if !self.actor_has(object, permission, instant)? {
            return Ok(false);
        }
        match self.caller.principal() {
            Some(principal) => self.has(object, permission, instant, &subject_of(principal)),
            None => Ok(true),
        }
    }

    /// Whether whoever calls has it, for itself or for another.
    fn actor_has(
        &self,
        object: &ObjectRef,
        permission: &str,
        instant: Timestamp,
    ) -> Result<bool, Error> {
        if self.actor_is_free() {
            return Ok(true);
        }
        for subject in &self.actor {
            if self.has(object, permission, instant, subject)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has(
        &self,
        object: &ObjectRef,
        permission: &str,
        instant: Timestamp,
        subject: &SubjectRef,
    ) -> Result<bool, Error> {
        let snapshot = &self.current.snapshot;
        let limits = &self.node.settings().limits;
        let context = Context::default();
        let environment = Environment {
            context: &context,
            now: instant,
            depth_max: limits.depth_max,
            edges_visited_max: limits.edges_visited_max,
        };
        let query = Query::resolve(snapshot, object, permission, subject)?;
        Ok(eval::check(snapshot, &query, environment)? == Decision::Allowed)
    }

    /// Whether the caller administers the system until then. Nobody does with what is narrowed, be it by its end alone.
    pub(crate) fn is_administrator(&self, instant: Timestamp) -> Result<bool, Error> {
        if self.caller.narrowing().is_some() {
            return Ok(false);
        }
        Ok(self.is_open()
            || self.holds(&object(Scope::System, SYSTEM_ID)?, ADMINISTRATOR, instant)?)
    }

    /// Whether the caller has any right on a definition.
    pub(crate) fn sees(&self, definition: &str) -> Result<bool, Error> {
        if self.is_free() {
            return Ok(true);
        }
        for action in Scope::Definition.actions() {
            if self.may(*action, Target::Definition(definition))? {
                return Ok(true);
            }
        }
        let schema = self.schema();
        let Some(ix) = schema.definition_ix(definition) else {
            return Ok(false);
        };
        for member in &schema.definition(ix).members {
            let member = schema.member(*member).name.as_str();
            for action in Scope::Relation.actions() {
                let object = relation_object(definition, member)?;
                let target = Target::Member(definition, member);
                if self.leaves(*action, target, self.now)
                    && self.holds(&object, action.permission(), self.now)?
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Lets through what would take from `subject` all that it may do.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] for an administrator, unless the caller is one.
    pub(crate) fn require_power_over(&self, subject: &ObjectRef) -> Result<(), Error> {
        if self.is_administrator(self.now)? || !subject.definition.as_str().starts_with(PREFIX) {
            return Ok(());
        }
        // Whoever comes with a token that names it is locked with it, administrators among them.
        if subject.definition.as_str() == GROUP {
            let message =
                format!("`{subject}` is a group of callers, which only administrators lock");
            return Err(Error::new(Kind::Forbidden, message));
        }
        let system = object(Scope::System, SYSTEM_ID)?;
        if !self.has(&system, ADMINISTRATOR, self.now, &subject_of(subject))? {
            return Ok(());
        }
        let message = format!("`{subject}` is an administrator, whom only administrators lock");
        Err(Error::new(Kind::Forbidden, message))
    }

    /// Lets through what may touch whatever there is.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] for a caller that is no administrator.
    pub(crate) fn require_administrator(&self) -> Result<(), Error> {
        if self.is_administrator(self.now)? {
            return Ok(());
        }
        self.node.metrics().note_forbidden("administer");
        if self.caller.narrowing().is_some() {
            let message = "nobody administers Remit with a token that was minted; come with what it was minted with";
            return Err(Error::new(Kind::Forbidden, message));
        }
        let message = format!(
            "`{}` may not do that without naming a definition: that is for administrators",
            self.caller.subject()
        );
        Err(Error::new(Kind::Forbidden, message))
    }

    pub(crate) fn caller(&self) -> &Caller {
        self.caller
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn forbidden(&self, action: Action, target: Target<'_>) -> Error {
        self.node.metrics().note_forbidden(action.permission());
        let caller = self.caller.subject();
        let (what, scope) = match target {
            Target::System => (String::new(), " --system".to_owned()),
            Target::Definition(definition) => (
                format!(" `{definition}`"),
                format!(" --definition {definition}"),
            ),
            Target::Member(definition, member) => {
                // Not every right can be held on so little.
                let of_member = if Scope::Relation.actions().contains(&action) {
                    format!(" --member {member}")
                } else {
                    String::new()
                };
                (
                    format!(" `{member}` of `{definition}`"),
                    format!(" --definition {definition}{of_member}"),
                )
            }
            Target::User(user) => (format!(" `{user}`"), format!(" --user {user}")),
        };
        let (permission, role) = (action.permission(), action.role());
        if !self.leaves(action, target, self.now) {
            let message = format!(
                "the token of the call leaves no `{permission}`{what} to `{caller}`; it was minted for less"
            );
            return Error::new(Kind::Forbidden, message);
        }
        let message = format!(
            "`{caller}` may not `{permission}`{what}; whoever may grant it allows it with `remit access grant {caller} \
             {role}{scope}`"
        );
        Error::new(Kind::Forbidden, message)
    }
}

/// The caller, and the groups that its credential puts it in, as far as relationships name them.
fn known(caller: &Caller, snapshot: &Snapshot) -> Result<Vec<SubjectRef>, Error> {
    let own = caller.subject();
    let mut subjects = Vec::with_capacity(1);
    // Whom the graph cannot hold has no right in it.
    if own.definition.as_str().starts_with(PREFIX) {
        subjects.push(subject_of(own));
    }
    let Some(group_ix) = snapshot.schema().definition_ix(GROUP) else {
        return Ok(subjects);
    };
    for group in caller.groups() {
        let is_known = group.definition.as_str() == GROUP
            && snapshot.object_ix(group_ix, group.id.as_str()).is_some();
        if is_known {
            subjects.push(SubjectRef {
                definition: group.definition.clone(),
                id: SubjectId::Object(group.id.clone()),
                relation: Some(RelationName::new(MEMBER).map_err(unnameable)?),
            });
        }
    }
    Ok(subjects)
}

fn subject_of(object: &ObjectRef) -> SubjectRef {
    SubjectRef {
        definition: object.definition.clone(),
        id: SubjectId::Object(object.id.clone()),
        relation: None,
    }
}
