//! Checks that tell how their answers came about.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::eval::{self, Trace, TreeLimits};
use identity::Caller;
use model::Decision;

use crate::access::Permit;
use crate::check::{self, Answered, Question};
use crate::consistency::{Consistency, View};
use crate::decisions::{LockSeen, Noting};
use crate::error::Error;
use crate::node::Node;
use crate::schema::Shown;

/// An answer and how it came about.
#[derive(Debug)]
pub struct Traced {
    /// What was decided, or why nothing could be.
    pub decision: Result<Decision, Error>,
    /// How that came about; none where the traces of a request have become too large together.
    pub trace: Option<Trace>,
    /// The text of the schema, if there is room for it.
    pub schema_text: Option<Arc<str>>,
    /// How long it took.
    pub took: Duration,
}

/// Levels of a trace; deeper ones are cut.
///
/// SOURCE: decoders of protobuf refuse more than 100 messages within each other. Each level takes two, what lies around
/// the first four, and the context of a caveat up to sixteen.
const LEVELS_MAX: u16 = 40;

/// Answers one question as [`check::check`] does, with its trace.
///
/// # Errors
/// As [`check::check`], but a failure of the evaluation itself comes with a trace as well.
pub async fn check(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    question: &Question,
) -> Result<Answered<Traced>, Error> {
    let noting = Noting::of(node, caller, consistency);
    let (view, permit) = Permit::with_view(node, caller, consistency)
        .await
        .inspect_err(|error| noting.refused([question.into()], error, None))?;
    let answer = Tracer::new(node, &permit, noting).answer(&view, question)?;
    Ok(Answered {
        answer,
        at: view.token,
    })
}

/// Answers many questions as [`check::check_bulk`] does, with their traces.
///
/// # Errors
/// As [`check::check_bulk`].
pub async fn check_bulk(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    questions: &[Question],
) -> Result<Answered<Vec<Result<Traced, Error>>>, Error> {
    check::check_count(node, questions)?;
    let noting = Noting::of(node, caller, consistency);
    let (view, permit) = Permit::with_view(node, caller, consistency)
        .await
        .inspect_err(|error| noting.refused(questions.iter().map(Into::into), error, None))?;
    let mut tracer = Tracer::new(node, &permit, noting);
    check::each(view, questions, |view, questions| {
        let each = questions.iter();
        each.map(|question| tracer.answer(view, question)).collect()
    })
    .await
}

/// What the traces of one request share.
struct Tracer<'a> {
    node: &'a Node,
    permit: &'a Permit<'a>,
    noting: Noting<'a>,
    bytes_left: usize,
    schema_text: Option<Arc<str>>,
}

impl<'a> Tracer<'a> {
    fn new(node: &'a Node, permit: &'a Permit<'a>, noting: Noting<'a>) -> Self {
        Self {
            node,
            permit,
            noting,
            // The rest is for the answers themselves.
            bytes_left: node.settings().limits.answer_bytes_max / 2,
            schema_text: None,
        }
    }

    fn answer(&mut self, view: &View, question: &Question) -> Result<Traced, Error> {
        let started = Instant::now();
        let noting = self.noting;
        check::admit_explanation(self.permit, view, question)
            .inspect_err(|error| noting.refused([question.into()], error, Some(started)))?;
        let lock = self.node.lock_seen(&question.subject);
        let traced = self.trace(view, (question, lock), started);
        let outcome = traced.as_ref();
        let outcome = outcome.and_then(|traced| traced.decision.as_ref());
        noting.decided(question.into(), (view, lock), outcome, Some(started));
        traced
    }

    fn trace(
        &mut self,
        view: &View,
        (question, lock): (&Question, LockSeen),
        started: Instant,
    ) -> Result<Traced, Error> {
        let query = check::resolve(self.node, view, question)?;
        if self.bytes_left == 0 {
            return Ok(Traced {
                decision: check::decide_resolved(self.node, view, &query, (question, lock)),
                trace: None,
                schema_text: None,
                took: started.elapsed(),
            });
        }
        let environment = check::environment(self.node, view, &question.context);
        let names = (&question.resource, &question.subject);
        let limits = TreeLimits {
            levels_max: LEVELS_MAX,
            bytes_max: self.bytes_left,
        };
        let trace = eval::trace(&view.snapshot, &query, names, environment, limits);
        let took = started.elapsed();
        self.bytes_left = self.bytes_left.saturating_sub(trace.bytes);
        // As a check that is not traced, which evaluates nothing for who is locked.
        let decision = if lock.is_locked {
            Ok(Decision::Denied)
        } else {
            trace.decision.clone()
        };
        check::note_decision(self.node, view, &query, &decision);
        Ok(Traced {
            decision: decision.map_err(Error::from),
            trace: Some(trace),
            schema_text: self.schema_text(view),
            took,
        })
    }

    fn schema_text(&mut self, view: &View) -> Option<Arc<str>> {
        // As much of it as the caller may read.
        let make = || match Shown::text(self.permit, view.snapshot.schema()) {
            Ok(text) => Arc::from(text),
            Err(_) => Arc::from(""),
        };
        let text = Arc::clone(self.schema_text.get_or_insert_with(make));
        self.bytes_left = self.bytes_left.checked_sub(text.len())?;
        Some(text)
    }
}
