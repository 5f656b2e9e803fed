//! What an engine is asked, whichever way it came by what it holds.

use std::sync::Arc;

use identity::Caller;
use model::{Decision, ObjectRef, RelationshipFilter, SubjectRef, Token};
use ops::check::{self, Answered, Explained, Question};
use ops::held::Held;
use ops::lookup::{self, Page, Resources, Subjects};
use ops::pinned::Pinned;
use ops::read::{self, Reading};
use ops::{Consistency, Error, Node};

use prometheus_client::registry::Registry;

use crate::Context;

/// An engine that answers. A clone shares it.
///
/// Each call takes how fresh its snapshot has to be ([`Consistency`]), and fails with a named error where the engine cannot
/// vouch for one; an error is never an allow.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) node: Arc<Node>,
    pub(crate) caller: Caller,
}

impl Engine {
    pub(crate) fn of(node: Arc<Node>) -> Self {
        Self {
            node,
            // Whoever asks is this program, which holds everything anyway.
            caller: Caller::without_authentication(),
        }
    }

    /// Whether the engine can answer, else why it cannot.
    ///
    /// # Errors
    /// [`ops::Kind::Unavailable`] for one that is too far behind, has not confirmed yet that it is not, or stopped.
    pub fn ready(&self) -> Result<(), Error> {
        self.node.ready()
    }

    /// Adds what can be measured of the engine: its revision, how long ago it was confirmed to have all, what it applied.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.node.register_metrics(registry);
    }

    /// The newest snapshot, to ask many questions of without a wait: the shortest way to an answer.
    ///
    /// # Errors
    /// As [`Self::ready`].
    pub fn pin(&self) -> Result<Pinned, Error> {
        Pinned::newest(&self.node, &self.caller)
    }

    /// The snapshot of that consistency, to ask many questions of.
    ///
    /// # Errors
    /// [`Error`] for a snapshot that is not to be had.
    pub async fn pin_at(&self, consistency: Consistency) -> Result<Pinned, Error> {
        Pinned::at(&self.node, &self.caller, consistency).await
    }

    /// Answers one question.
    ///
    /// # Errors
    /// [`Error`] for names that the schema lacks, a wildcard subject, a context that is too large or of the wrong types, a caveat that
    /// fails, and a snapshot that is not to be had.
    pub async fn check(
        &self,
        consistency: Consistency,
        question: &Question,
    ) -> Result<Answered<Decision>, Error> {
        check::check(&self.node, &self.caller, consistency, question).await
    }

    /// Answers many questions on one snapshot, in their order. One that fails fails alone.
    ///
    /// # Errors
    /// [`Error`] past `bulk_check_items_max` questions, and for a snapshot that is not to be had.
    pub async fn check_bulk(
        &self,
        consistency: Consistency,
        questions: &[Question],
    ) -> Result<Answered<Vec<Result<Decision, Error>>>, Error> {
        check::check_bulk(&self.node, &self.caller, consistency, questions).await
    }

    /// Tells every relation and permission that a subject has on a resource.
    ///
    /// # Errors
    /// As [`Self::check`], but one that cannot be evaluated fails alone.
    pub async fn held(
        &self,
        consistency: Consistency,
        (resource, subject): (&ObjectRef, &SubjectRef),
        context: &Context,
    ) -> Result<Answered<Vec<Held>>, Error> {
        let pair = (resource, subject);
        ops::held::held(&self.node, &self.caller, consistency, pair, context).await
    }

    /// Looks up the resources that a subject has.
    ///
    /// # Errors
    /// As [`Self::check`]; for a cursor of another query, too much work, and too many look-ups at once.
    pub async fn look_up_resources(
        &self,
        consistency: Consistency,
        asked: &Resources,
    ) -> Result<Page, Error> {
        lookup::resources(&self.node, &self.caller, consistency, asked).await
    }

    /// Looks up the subjects that a resource has.
    ///
    /// # Errors
    /// As [`Self::look_up_resources`].
    pub async fn look_up_subjects(
        &self,
        consistency: Consistency,
        asked: &Subjects,
    ) -> Result<Page, Error> {
        lookup::subjects(&self.node, &self.caller, consistency, asked).await
    }

    /// Says why a question is answered as it is.
    ///
    /// # Errors
    /// As [`Self::check`], but a failure of the evaluation itself is part of the explanation.
    pub async fn explain(
        &self,
        consistency: Consistency,
        question: &Question,
    ) -> Result<Answered<Explained>, Error> {
        check::explain(&self.node, &self.caller, consistency, question).await
    }

    /// Reads all relationships, or those that match a pattern, page by page of one snapshot.
    ///
    /// # Errors
    /// [`Error`] for a pattern that does not fit the schema, and a snapshot that is not to be had.
    pub async fn read(
        &self,
        consistency: Consistency,
        filter: Option<RelationshipFilter>,
    ) -> Result<Reading, Error> {
        read::export(&self.node, &self.caller, consistency, filter, 0, None).await
    }

    /// The text of the newest schema that the engine has; empty before the first one.
    #[must_use]
    pub fn schema(&self) -> String {
        self.node.snapshot().schema().to_text()
    }

    /// How many relationships the engine has.
    #[must_use]
    pub fn relationship_count(&self) -> u64 {
        self.node.snapshot().relationship_count() as u64
    }

    /// The token of the newest commit that the engine has.
    ///
    /// # Errors
    /// As [`Self::ready`].
    pub fn newest(&self) -> Result<Token, Error> {
        Ok(self.pin()?.token())
    }
}
