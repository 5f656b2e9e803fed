//! Decisions: one, or many on one snapshot.

use std::sync::Arc;

use model::Decision;
use ops::check::{self, Question};
use ops::{Error, Node, Reason};
use serde::Serialize;
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::entities::{Entities, Invalid, Path, Request};
use super::{Answer, Asked};
use crate::error::{http_code, status};

/// Items that are read before other tasks of the node get their turn.
const ITEMS_PER_TURN: usize = 64;

/// What ends a request for many decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// A decision on the wire.
#[derive(Debug, Serialize)]
struct Told {
    decision: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Value>,
}

/// Many of them.
#[derive(Debug, Serialize)]
struct TheyTold {
    evaluations: Vec<Told>,
}

/// Decides one.
///
/// # Errors
/// [`Status`] for a request that is not understood, and for what is no decision.
pub(super) async fn one(node: &Arc<Node>, asked: &Asked) -> Result<Answer, Status> {
    single(node, asked, &asked.entities.entities()?).await
}

/// Decides many, or one where the request is one.
///
/// # Errors
/// As [`one`], for what is wrong with the whole; a decision that fails, fails alone.
pub(super) async fn many(node: &Arc<Node>, asked: &Asked) -> Result<Answer, Status> {
    let defaults = asked.entities.entities()?;
    let semantic = Semantic::of(&asked.entities)?;
    let items = match asked.entities.member("evaluations") {
        None => None,
        Some(Value::Array(items)) => Some(items),
        Some(_) => {
            return Err(Status::invalid_argument("`evaluations` has to be an array"));
        }
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return single(node, asked, &defaults).await;
    };
    let limits = &node.settings().limits;
    let (count, count_max) = (items.len(), limits.bulk_check_items_max);
    if count > count_max {
        return Err(Invalid::TooMany { count, count_max }.into());
    }
    let bytes_max = limits.request_context_bytes_max;
    let defaults = defaults.limited(bytes_max)?;
    let mut questions = Vec::with_capacity(count);
    let mut read = Vec::with_capacity(count);
    for (number, item) in items.iter().enumerate() {
        read.push(match question(item, &defaults, bytes_max) {
            Ok(Some(question)) => {
                questions.push(question);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(invalid) => Err(invalid),
        });
        if number.is_multiple_of(ITEMS_PER_TURN) {
            tokio::task::yield_now().await;
        }
    }
    let answered = check::check_bulk(node, &asked.caller, asked.consistency, &questions).await;
    let answered = answered.map_err(status)?;
    let mut answers = answered.answer.into_iter();
    let mut evaluations = Vec::with_capacity(items.len());
    for question in read {
        let told = match question {
            Err(invalid) => Told::failed(Code::InvalidArgument, &invalid.to_string()),
            Ok(false) => Told::unknown_type(),
            Ok(true) => Told::of(answers.next()),
        };
        let is_last = semantic.ends_with(told.decision);
        evaluations.push(told);
        if is_last {
            break;
        }
    }
    Ok(Answer::new(&TheyTold { evaluations }, Some(answered.at)))
}

async fn single(node: &Arc<Node>, asked: &Asked, entities: &Entities) -> Result<Answer, Status> {
    let (caller, consistency) = (&asked.caller, asked.consistency);
    let Some(question) = entities.question()? else {
        let at = check::check_bulk(node, caller, consistency, &[]).await;
        let at = at.map_err(status)?.at;
        return Ok(Answer::new(&Told::unknown_type(), Some(at)));
    };
    match check::check(node, caller, consistency, &question).await {
        Ok(answered) => Ok(Answer::new(
            &Told::decided(answered.answer),
            Some(answered.at),
        )),
        Err(error) if is_unknown(&error) => Ok(Answer::new(
            &Told::failed(Code::NotFound, &error.message),
            None,
        )),
        Err(error) => Err(status(error)),
    }
}

fn question(
    item: &Value,
    defaults: &Entities,
    bytes_max: usize,
) -> Result<Option<Question>, Invalid> {
    let given = item.as_object().ok_or(Invalid::WrongType {
        path: Path::of("evaluations"),
        wanted: "an array of objects",
    })?;
    let given = Entities::read(given)?.limited(bytes_max)?;
    given.over(defaults).question()
}

impl Told {
    /// What is said of one of many.
    fn of(answer: Option<Result<Decision, Error>>) -> Self {
        match answer {
            Some(Ok(decision)) => Self::decided(decision),
            Some(Err(error)) if is_unknown(&error) => Self::failed(Code::NotFound, &error.message),
            Some(Err(error)) => {
                let status = status(error);
                Self::failed(status.code(), status.message())
            }
            None => Self::failed(Code::Internal, "the question was not answered"),
        }
    }

    fn decided(decision: Decision) -> Self {
        let (decision, context) = match decision {
            Decision::Allowed => (true, None),
            Decision::Denied => (false, None),
            Decision::Conditional { missing } => {
                let reason = "the decision depends on values that were not given";
                (false, Some(json!({ "reason": reason, "missing": missing })))
            }
        };
        Self { decision, context }
    }

    /// What is no decision is a deny.
    fn failed(code: Code, message: &str) -> Self {
        let error = json!({ "status": http_code(code).as_u16(), "message": message });
        Self {
            decision: false,
            context: Some(json!({ "error": error })),
        }
    }

    fn unknown_type() -> Self {
        let message = "no definition has the type of the subject or of the resource";
        Self::failed(Code::NotFound, message)
    }
}

/// Whether what was asked about is not there, or not for the caller to see.
pub(super) fn is_unknown(error: &Error) -> bool {
    matches!(
        error.reason,
        Some(Reason::UnknownDefinition | Reason::UnknownRelationOrPermission)
    )
}

impl Semantic {
    fn of(request: &Request) -> Result<Self, Invalid> {
        let Some(options) = request.object("options")? else {
            return Ok(Self::ExecuteAll);
        };
        match options.get("evaluations_semantic") {
            None | Some(Value::Null) => Ok(Self::ExecuteAll),
            Some(Value::String(name)) => match name.as_str() {
                "execute_all" => Ok(Self::ExecuteAll),
                "deny_on_first_deny" => Ok(Self::DenyOnFirstDeny),
                "permit_on_first_permit" => Ok(Self::PermitOnFirstPermit),
                _ => Err(Invalid::Semantic),
            },
            Some(_) => Err(Invalid::Semantic),
        }
    }

    /// Whether nothing is told after such a decision.
    fn ends_with(self, is_allowed: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !is_allowed,
            Self::PermitOnFirstPermit => is_allowed,
        }
    }
}
