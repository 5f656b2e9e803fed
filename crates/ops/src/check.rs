//! May this subject do this to that resource?

use std::collections::HashSet;
use std::time::Instant;

use engine::eval::{self, Environment, Explanation, Outcome, Query, Step};
use identity::Caller;
use model::{Context, Decision, ObjectRef, Relationship, SubjectRef, Token};

use crate::access::{Action, Permit};
use crate::consistency::{Consistency, View};
use crate::decisions::{LockSeen, Noting};
use crate::error::{Error, Kind, Reason};
use crate::node::Node;
use crate::stages;

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is to be accessed.
    pub resource: ObjectRef,
    /// The permission (or relation) of its definition; any text, since it may well be unknown.
    pub permission: String,
    /// Who is to access it.
    pub subject: SubjectRef,
    /// Values for the parameters of caveats.
    pub context: Context,
}

/// An answer, and the snapshot that it holds for.
#[derive(Debug)]
pub struct Answered<T> {
    /// The answer.
    pub answer: T,
    /// The token of the snapshot.
    pub at: Token,
}

/// A decision with the relationships that alone reproduce it.
#[derive(Debug)]
pub struct Explained {
    /// Why, in words.
    pub explanation: Explanation,
    /// The relationships that made the decision; empty where nothing was decided.
    pub witness: Vec<Relationship>,
}

/// Answers one question.
///
/// # Errors
/// [`Error`] for names that the schema lacks, a wildcard subject, a context that is too large or of the wrong types, a
/// caveat that fails, and a snapshot that is not to be had. An error is never an allow.
pub async fn check(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    question: &Question,
) -> Result<Answered<Decision>, Error> {
    let noting = Noting::of(node, caller, consistency);
    let started = noting.started();
    let admitted = Permit::with_view(node, caller, consistency).await;
    let admitted = admitted.and_then(|(view, permit)| admit(&permit, question).map(|()| view));
    let view = admitted.inspect_err(|error| noting.refused([question.into()], error, started))?;
    let _stage = stages::begin("evaluate");
    Ok(Answered {
        answer: decide(node, &view, question, (&noting, started))?,
        at: view.token,
    })
}

/// Answers many questions on one snapshot, in their order. One that fails fails alone.
///
/// # Errors
/// [`Error`] past `bulk_check_items_max` questions, and for a snapshot that is not to be had.
pub async fn check_bulk(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    questions: &[Question],
) -> Result<Answered<Vec<Result<Decision, Error>>>, Error> {
    check_count(node, questions)?;
    let noting = Noting::of(node, caller, consistency);
    let started = noting.started();
    let (view, permit) = Permit::with_view(node, caller, consistency)
        .await
        .inspect_err(|error| noting.refused(questions.iter().map(Into::into), error, started))?;
    let mut admission = Admission::of(permit);
    each(view, questions, |view, questions| {
        decide_all((node, view), &mut admission, &noting, questions)
    })
    .await
}

/// Lets a question through.
pub(crate) fn admit(permit: &Permit<'_>, question: &Question) -> Result<(), Error> {
    let resource = (
        question.resource.definition.as_str(),
        question.permission.as_str(),
    );
    permit.require_question(
        Action::Check,
        resource,
        question.subject.definition.as_str(),
    )
}

/// Lets the questions of one call through; what was let through once need not be judged again.
struct Admission<'a> {
    permit: Permit<'a>,
    /// Definitions of resources, permissions, and definitions of subjects.
    admitted: HashSet<(&'a str, &'a str, &'a str)>,
}

impl<'a> Admission<'a> {
    fn of(permit: Permit<'a>) -> Self {
        Self {
            permit,
            admitted: HashSet::new(),
        }
    }

    fn admit(&mut self, question: &'a Question) -> Result<(), Error> {
        if self.permit.is_free() {
            return Ok(());
        }
        let kind = (
            question.resource.definition.as_str(),
            question.permission.as_str(),
            question.subject.definition.as_str(),
        );
        if self.admitted.contains(&kind) {
            return Ok(());
        }
        admit(&self.permit, question)?;
        self.admitted.insert(kind);
        Ok(())
    }
}

/// Answers many questions on one snapshot with `answer`, in their order, some dozens at once.
pub(crate) async fn each<'q, T>(
    view: View,
    questions: &'q [Question],
    mut answer: impl FnMut(&View, &'q [Question]) -> Vec<T>,
) -> Result<Answered<Vec<T>>, Error> {
    /// Questions answered before other tasks of the node get their turn; what they read fits the cache of a core.
    const QUESTIONS_PER_TURN: usize = 64;
    let mut answers = Vec::with_capacity(questions.len());
    for turn in questions.chunks(QUESTIONS_PER_TURN) {
        let _stage = stages::begin("evaluate");
        answers.extend(answer(&view, turn));
        tokio::task::yield_now().await;
    }
    Ok(Answered {
        answer: answers,
        at: view.token,
    })
}

/// Refuses more questions than one call may have.
pub(crate) fn check_count(node: &Node, questions: &[Question]) -> Result<(), Error> {
    let items_max = node.settings().limits.bulk_check_items_max;
    let count = questions.len();
    if count <= items_max {
        return Ok(());
    }
    let message = format!("check count of {count} is greater than maximum allowed of {items_max}");
    Err(Error::invalid(Reason::Unspecified, message)
        .with("check_count", count)
        .with("maximum_checks_allowed", items_max))
}

/// Says why a question is answered as it is.
///
/// # Errors
/// As [`check`], but a failure of the evaluation itself is part of the explanation.
pub async fn explain(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    question: &Question,
) -> Result<Answered<Explained>, Error> {
    let (view, permit) = Permit::with_view(node, caller, consistency).await?;
    admit_explanation(&permit, &view, question)?;
    let query = resolve(node, &view, question)?;
    let environment = environment(node, &view, &question.context);
    let explanation = eval::explain(
        &view.snapshot,
        &query,
        &question.resource,
        &question.subject,
        environment,
    )?;
    note_decision(node, &view, &query, &explanation.decision);
    if let Some(reason) = node.locked(&question.subject) {
        return Ok(Answered {
            answer: Explained {
                explanation: of_locked(question, explanation, &reason),
                witness: Vec::new(),
            },
            at: view.token,
        });
    }
    let witness = match &explanation.decision {
        Ok(_) => eval::witness(&view.snapshot, &query, environment)?.1,
        Err(_) => Vec::new(),
    };
    Ok(Answered {
        answer: Explained {
            explanation,
            witness,
        },
        at: view.token,
    })
}

/// The explanation for a subject that is locked; what would be decided otherwise stands below.
fn of_locked(question: &Question, otherwise: Explanation, reason: &str) -> Explanation {
    Explanation {
        decision: Ok(Decision::Denied),
        root: Step {
            what: otherwise.root.what.clone(),
            outcome: Outcome::No,
            reason: Some(format!("`{}` is locked: {reason}", question.subject)),
            below: vec![otherwise.root],
        },
    }
}

/// Lets a question through whose answer shows how it came about.
pub(crate) fn admit_explanation(
    permit: &Permit<'_>,
    view: &View,
    question: &Question,
) -> Result<(), Error> {
    admit(permit, question)?;
    let definition = question.resource.definition.as_str();
    permit.require_explanation(view.snapshot.schema(), definition, &question.permission)
}

fn decide(
    node: &Node,
    view: &View,
    question: &Question,
    (noting, started): (&Noting<'_>, Option<Instant>),
) -> Result<Decision, Error> {
    let lock = node.lock_seen(&question.subject);
    let query = resolve(node, view, question);
    let decision = query.and_then(|query| decide_resolved(node, view, &query, (question, lock)));
    noting.decided(question.into(), (view, lock), decision.as_ref(), started);
    decision
}

pub(crate) fn decide_resolved(
    node: &Node,
    view: &View,
    query: &Query,
    (question, lock): (&Question, LockSeen),
) -> Result<Decision, Error> {
    let decision = if lock.is_locked {
        Ok(Decision::Denied)
    } else {
        let environment = environment(node, view, &question.context);
        eval::check(&view.snapshot, query, environment)
    };
    note_decision(node, view, query, &decision);
    Ok(decision?)
}

/// Takes in what was decided, for the metrics and for whoever traces the call.
pub(crate) fn note_decision<E>(
    node: &Node,
    view: &View,
    query: &Query,
    decision: &Result<Decision, E>,
) {
    let schema = view.snapshot.schema();
    node.metrics()
        .decisions
        .note(schema, query.member, decision);
    let names = || {
        let definition = schema.definition(query.definition).name.as_str();
        (definition, schema.member(query.member).name.as_str())
    };
    stages::note_decision(names, decision);
}

/// As [`decide`] of each that is let through: what they read is fetched together.
fn decide_all<'q>(
    (node, view): (&Node, &View),
    admission: &mut Admission<'q>,
    noting: &Noting<'_>,
    questions: &'q [Question],
) -> Vec<Result<Decision, Error>> {
    let names = questions
        .iter()
        .map(|question| (&question.resource, &question.subject));
    eval::fetch_names(&view.snapshot, names);
    let queries: Vec<_> = questions
        .iter()
        .map(|question| match admission.admit(question) {
            Ok(()) => Ok(resolve(node, view, question)),
            Err(refused) => Err(refused),
        })
        .collect();
    eval::fetch(&view.snapshot, queries.iter().flatten().flatten());
    let each = queries.into_iter().zip(questions);
    each.map(|(query, question)| {
        let started = noting.started();
        let query = query.inspect_err(|error| noting.refused([question.into()], error, started))?;
        let lock = node.lock_seen(&question.subject);
        let decided = |query| decide_resolved(node, view, &query, (question, lock));
        let decision = query.and_then(decided);
        noting.decided(question.into(), (view, lock), decision.as_ref(), started);
        decision
    })
    .collect()
}

/// Refuses a context that is larger than a request may have.
pub(crate) fn limit_context(node: &Node, context: &Context) -> Result<(), Error> {
    if context.is_empty() {
        return Ok(());
    }
    let bytes_max = node.settings().limits.request_context_bytes_max;
    let bytes = context.to_json().len();
    if bytes > bytes_max {
        let message = format!(
            "request caveat context should have less than {bytes_max} bytes but had {bytes}"
        );
        return Err(Error::new(Kind::InvalidArgument, message));
    }
    Ok(())
}

pub(crate) fn resolve(node: &Node, view: &View, question: &Question) -> Result<Query, Error> {
    let resolve = || {
        limit_context(node, &question.context)?;
        let (resource, subject) = (&question.resource, &question.subject);
        let permission = &question.permission;
        Ok(Query::resolve(
            &view.snapshot,
            resource,
            permission,
            subject,
        )?)
    };
    resolve().inspect_err(|_: &Error| {
        let definition = question.resource.definition.as_str();
        let decisions = &node.metrics().decisions;
        decisions.note_unresolved(definition, &question.permission);
    })
}

pub(crate) fn environment<'a>(node: &Node, view: &View, context: &'a Context) -> Environment<'a> {
    let limits = &node.settings().limits;
    Environment {
        context,
        now: view.now,
        depth_max: limits.depth_max,
        edges_visited_max: limits.edges_visited_max,
    }
}
