//! Running a scenario: its data on a graph of its own, its assertions and lists asked of the evaluator.

use std::fmt;
use std::sync::Arc;

use model::{Context, Decision, Limits, RelationName, Revision, SubjectId, SubjectRef, Timestamp};
use schema::{Schema, SchemaError};

use super::{
    Assertion, Expected, ExpectedError, ExpectedSubject, Position, Question, Scenario, Validation,
};
use crate::eval::{self, Environment, EvalError, Query, QueryError};
use crate::graph::{ApplyError, Change, ObjectIx, Snapshot};

/// Something that is not as the scenario says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where the scenario says it.
    pub position: Position,
    /// What is different, and why.
    pub message: String,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its schema is wrong.
    #[error("the schema is wrong: {0}")]
    Schema(#[from] Box<SchemaError>),
    /// Its data does not fit its schema.
    #[error("a relationship does not fit the schema: {0}")]
    Data(#[from] ApplyError),
}

/// A scenario with its data on a graph.
#[derive(Debug)]
pub struct Stage<'a> {
    scenario: &'a Scenario,
    snapshot: Snapshot,
    now: Timestamp,
    limits: Limits,
}

impl<'a> Stage<'a> {
    /// Compiles the schema and puts the data on a graph. `now` is the instant for a scenario that names none.
    ///
    /// # Errors
    /// [`RunError`] if the schema is wrong or the data does not fit it.
    pub fn of(scenario: &'a Scenario, now: Timestamp) -> Result<Self, RunError> {
        let schema = Schema::compile(&scenario.schema.text).map_err(Box::new)?;
        let rows = scenario
            .relationships
            .iter()
            .map(|row| Change::Put(row.value.clone()));
        let changes: Vec<Change> = rows.collect();
        let snapshot =
            Snapshot::empty(Arc::new(schema)).apply(Revision(1), Timestamp::EPOCH, &changes)?;
        Ok(Self::on(scenario, snapshot, now))
    }

    /// Takes a graph that has the data already.
    #[must_use]
    pub fn on(scenario: &'a Scenario, snapshot: Snapshot, now: Timestamp) -> Self {
        Self {
            scenario,
            snapshot,
            now: scenario.now.unwrap_or(now),
            limits: Limits::default(),
        }
    }

    /// Everything that is not as the scenario says, in its order.
    #[must_use]
    pub fn run(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        for assertion in &self.scenario.assertions {
            let message = self.assertion(&assertion.value);
            failures.extend(message.map(|message| Failure {
                position: assertion.position,
                message,
            }));
        }
        for validation in &self.scenario.validations {
            for expected in &validation.value.subjects {
                let message = self.listed(&validation.value, &expected.value);
                failures.extend(message.map(|message| Failure {
                    position: expected.position,
                    message,
                }));
            }
            let messages = self.unlisted(&validation.value);
            failures.extend(messages.into_iter().map(|message| Failure {
                position: validation.position,
                message,
            }));
        }
        failures
    }

    /// The decision on a question; the text of why there is none.
    ///
    /// # Errors
    /// For names that the schema lacks, and an evaluation that fails.
    pub fn decide(&self, question: &Question) -> Result<Decision, String> {
        self.ask(question).map_err(|error| error.to_string())
    }

    fn assertion(&self, assertion: &Assertion) -> Option<String> {
        let answer = self.ask(&assertion.question);
        let is_right = match (&answer, assertion.expected) {
            (Ok(Decision::Allowed), Expected::Allowed)
            | (Ok(Decision::Denied), Expected::Denied)
            | (Ok(Decision::Conditional { .. }), Expected::Conditional) => true,
            (Err(Failed::Eval(error)), Expected::Error(expected)) => expected.is_of(error),
            _ => false,
        };
        (!is_right).then(|| {
            let question = &assertion.question;
            format!(
                "{question}: expected {}, got {}{}",
                assertion.expected,
                told(&answer),
                self.why(question)
            )
        })
    }

    /// Whether one who is listed has the permission as the list says.
    fn listed(&self, validation: &Validation, expected: &ExpectedSubject) -> Option<String> {
        let subject = match expected.subject.id {
            // A wildcard stands for everybody, also for those that nobody has heard of.
            SubjectId::Wildcard => self.stranger(&expected.subject)?,
            SubjectId::Object(_) => expected.subject.clone(),
        };
        let answer = self.ask(&question(validation, subject));
        let is_right = match &answer {
            Ok(Decision::Allowed) => !expected.is_conditional,
            Ok(Decision::Conditional { .. }) => expected.is_conditional,
            Ok(Decision::Denied) | Err(_) => false,
        };
        let (resource, member, subject) =
            (&validation.resource, &validation.member, &expected.subject);
        (!is_right).then(|| {
            format!(
                "{resource}#{member}: {subject} is listed, but got {}",
                told(&answer)
            )
        })
    }

    /// Those who have the permission and are not listed.
    fn unlisted(&self, validation: &Validation) -> Vec<String> {
        let mut found = Vec::new();
        for (definition, _) in self.snapshot.schema().definitions() {
            let dictionary = self.snapshot.dictionary(definition);
            for ix in 0..dictionary.len() as u32 {
                let Some(id) = self.snapshot.object_id(definition, ObjectIx(ix)) else {
                    continue;
                };
                let subject = SubjectRef {
                    definition: self.snapshot.schema().definition(definition).name.clone(),
                    id: SubjectId::Object(id),
                    relation: None,
                };
                let answer = self.ask(&question(validation, subject.clone()));
                if answer != Ok(Decision::Denied) && !is_listed(validation, &subject) {
                    let (resource, member) = (&validation.resource, &validation.member);
                    found.push(format!(
                        "{resource}#{member}: {subject} is not listed, but got {}",
                        told(&answer)
                    ));
                }
            }
        }
        found
    }

    fn stranger(&self, wildcard: &SubjectRef) -> Option<SubjectRef> {
        let text = format!("{}:somebody-that-nobody-has-heard-of", wildcard.definition);
        text.parse().ok()
    }

    fn ask(&self, question: &Question) -> Result<Decision, Failed> {
        let query = self.query(question)?;
        Ok(eval::check(
            &self.snapshot,
            &query,
            self.environment(&question.context),
        )?)
    }

    fn query(&self, question: &Question) -> Result<Query, QueryError> {
        Query::resolve(
            &self.snapshot,
            &question.resource,
            question.member.as_str(),
            &question.subject,
        )
    }

    fn why(&self, question: &Question) -> String {
        let Ok(query) = self.query(question) else {
            return String::new();
        };
        let environment = self.environment(&question.context);
        let told = eval::explain(
            &self.snapshot,
            &query,
            &question.resource,
            &question.subject,
            environment,
        );
        told.map_or_else(
            |_| String::new(),
            |told| format!("\n{}", told.to_string().trim_end()),
        )
    }

    fn environment<'e>(&self, context: &'e Context) -> Environment<'e> {
        Environment {
            context,
            now: self.now,
            depth_max: self.limits.depth_max,
            edges_visited_max: self.limits.edges_visited_max,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Eval(#[from] EvalError),
}

impl ExpectedError {
    fn is_of(self, error: &EvalError) -> bool {
        match error {
            EvalError::DepthExceeded { .. } => self == Self::DepthExceeded,
            EvalError::CyclicExclusion => self == Self::CyclicExclusion,
            EvalError::Caveat(_) => self == Self::Caveat,
            EvalError::WorkExceeded { .. } | EvalError::Interrupted => false,
        }
    }
}

fn question(validation: &Validation, subject: SubjectRef) -> Question {
    let member: RelationName = validation.member.clone();
    Question {
        resource: validation.resource.clone(),
        member,
        subject,
        context: Context::default(),
    }
}

/// By its own name, or by a wildcard that does not take it out for certain.
fn is_listed(validation: &Validation, subject: &SubjectRef) -> bool {
    validation.subjects.iter().any(|listed| {
        let listed = &listed.value;
        let is_wildcard = listed.subject.id == SubjectId::Wildcard
            && listed.subject.definition == subject.definition;
        let is_taken_out = listed
            .exceptions
            .iter()
            .any(|exception| exception.subject == *subject && !exception.is_conditional);
        listed.subject == *subject || is_wildcard && !is_taken_out
    })
}

fn told(answer: &Result<Decision, Failed>) -> String {
    match answer {
        Ok(Decision::Allowed) => "allowed".to_owned(),
        Ok(Decision::Denied) => "denied".to_owned(),
        Ok(Decision::Conditional { missing }) => format!("conditional on {}", missing.join(", ")),
        Err(error) => format!("an error: {error}"),
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Conditional => "conditional",
            Self::Error(ExpectedError::DepthExceeded) => "the error `depth exceeded`",
            Self::Error(ExpectedError::CyclicExclusion) => "the error `cyclic exclusion`",
            Self::Error(ExpectedError::Caveat) => "a caveat error",
        })
    }
}
