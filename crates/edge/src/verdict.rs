//! From the answers to what the proxy is to do.

use std::fmt;

use model::Token;
use schema::caveat::{Bound, ComputeError};

use crate::path::PathError;
use crate::route::{DenialText, Mode, Question, Route};
use crate::rules::Unmatched;
use crate::text::Text;

/// How fresh the answers have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The newest that the node has.
    MinimizeLatency,
    /// At least that of the token.
    AtLeast(Token),
    /// What the store holds when the request arrives.
    Full,
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Allowed,
    /// It may not.
    Denied,
    /// It depends on parameters that have no value.
    Conditional(Vec<String>),
    /// There is none.
    Failed,
}

/// A request whose questions are known.
#[derive(Debug)]
pub struct Asked<'r> {
    pub(crate) route: &'r Route,
    pub(crate) bound: Option<Bound>,
    pub(crate) state: State,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum State {
    /// Nothing is to be asked.
    Open,
    /// It is denied, whatever the answers.
    Refused(Cause),
    /// These are to be answered.
    Asked {
        questions: Vec<Question>,
        freshness: Freshness,
        is_any: bool,
    },
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verdict<'r> {
    /// The route that was found for it.
    pub route: Option<&'r str>,
    /// What it counts as.
    pub outcome: Outcome,
    /// What the proxy is to do.
    pub decision: Decision,
    /// Why it is not allowed, or would not be.
    pub cause: Option<Cause>,
}

/// What a request counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It passes.
    Allowed,
    /// It does not.
    Denied,
    /// It passes, and would not if its route were enforced.
    WouldDeny,
    /// It does not pass: no route is for it.
    Unmatched,
    /// There is no answer.
    Error,
}

impl Outcome {
    /// The word for it in metrics and in files.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::WouldDeny => "would_deny",
            Self::Unmatched => "unmatched",
            Self::Error => "error",
        }
    }
}

/// What the proxy is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Pass the request on.
    Allow(Upstream),
    /// Answer it so.
    Deny(Denial),
    /// Take it that there is no answer: the failure of a check is to be told, and is never a pass.
    Fail,
}

/// What is changed in a request that is passed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Headers that are set, in place of those that there are.
    pub set: Vec<(String, String)>,
    /// Headers that are taken out.
    pub remove: Vec<String>,
}

/// The answer to a request that is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// From 300 to 599.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body, plain text.
    pub body: String,
}

/// Why a request is not allowed. Its text has nothing of the request in it; `detail` may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// No route is for it.
    Unmatched(Unmatched),
    /// It is not known who asks.
    Subject {
        /// The number of the check, from 1.
        check: usize,
        /// Why.
        detail: String,
    },
    /// An expression has no value.
    Expression {
        /// Which one.
        place: String,
        /// Why.
        detail: String,
    },
    /// A parameter stands in the query twice, or it cannot be read.
    Query,
    /// A check denies.
    Denied {
        /// Its number, from 1.
        check: usize,
    },
    /// A check depends on parameters of caveats that the rule gives no value for.
    Conditional {
        /// Its number, from 1.
        check: usize,
        /// The names of the parameters.
        missing: Vec<String>,
    },
    /// A check has no answer.
    Failed {
        /// Its number, from 1.
        check: usize,
    },
}

impl Cause {
    pub(crate) fn expression(place: &str, error: &ComputeError) -> Self {
        Self::Expression {
            place: place.to_owned(),
            detail: error.to_string(),
        }
    }

    /// What may tell of the request: for whoever tests the rules, not for logs.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Subject { detail, .. } | Self::Expression { detail, .. } => Some(detail),
            Self::Unmatched(_)
            | Self::Query
            | Self::Denied { .. }
            | Self::Conditional { .. }
            | Self::Failed { .. } => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmatched(unmatched) => unmatched.fmt(f),
            Self::Subject { check, .. } => write!(f, "check {check} has no subject"),
            Self::Expression { place, .. } => write!(f, "{place} has no value"),
            Self::Query => f.write_str("the query gives a parameter twice, or cannot be read"),
            Self::Denied { check } => write!(f, "check {check} denies"),
            Self::Conditional { check, missing } => {
                let missing = missing.join("`, `");
                write!(f, "check {check} needs a value for `{missing}`")
            }
            Self::Failed { check } => write!(f, "check {check} has no answer"),
        }
    }
}

impl<'r> Verdict<'r> {
    /// A request that no route is for.
    pub fn unmatched(unmatched: Unmatched) -> Self {
        let is_malformed = matches!(unmatched, Unmatched::Path(_));
        Self {
            route: None,
            outcome: Outcome::Unmatched,
            decision: Decision::Deny(Denial {
                status: 403,
                headers: Vec::new(),
                body: match is_malformed {
                    true => format!("denied: {unmatched}\n"),
                    false => "denied\n".to_owned(),
                },
            }),
            cause: Some(Cause::Unmatched(unmatched)),
        }
    }

    /// Whether the request passes.
    #[must_use]
    pub fn allows(&self) -> bool {
        matches!(self.decision, Decision::Allow(_))
    }
}

impl From<PathError> for Unmatched {
    fn from(error: PathError) -> Self {
        Self::Path(error)
    }
}

impl<'r> Asked<'r> {
    /// The name of the route.
    #[must_use]
    pub fn route(&self) -> &'r str {
        &self.route.name
    }

    /// What is asked about the request, whether or not it is to be answered.
    #[must_use]
    pub fn questions(&self) -> &[Question] {
        match &self.state {
            State::Asked { questions, .. } => questions,
            State::Open | State::Refused(_) => &[],
        }
    }

    /// The questions that are to be answered, and how fresh; none if the verdict needs no answer.
    #[must_use]
    pub fn to_answer(&self) -> Option<(&[Question], Freshness)> {
        match (&self.state, self.route.mode) {
            (_, Mode::Observe) | (State::Open | State::Refused(_), _) => None,
            (
                State::Asked {
                    questions,
                    freshness,
                    ..
                },
                Mode::Shadow | Mode::Enforce,
            ) => Some((questions, *freshness)),
        }
    }

    /// What becomes of the request with these answers, one for each question in its order. An answer that is not there is none.
    pub fn verdict(mut self, answers: &[Answer]) -> Verdict<'r> {
        let cause = match (&self.state, self.route.mode) {
            (State::Open, _) | (State::Asked { .. }, Mode::Observe) => None,
            (State::Refused(cause), _) => Some(cause.clone()),
            (
                State::Asked {
                    questions, is_any, ..
                },
                Mode::Shadow | Mode::Enforce,
            ) => judged(questions.len(), answers, *is_any),
        };
        match self.route.mode {
            Mode::Enforce => self.enforced(cause),
            Mode::Shadow | Mode::Observe => self.passed(cause),
        }
    }

    fn enforced(&mut self, cause: Option<Cause>) -> Verdict<'r> {
        let Some(cause) = cause else {
            return match self.upstream() {
                Ok(upstream) => self.told(Outcome::Allowed, Decision::Allow(upstream), None),
                Err(cause) => {
                    let denial = self.denial(&cause);
                    self.told(Outcome::Denied, Decision::Deny(denial), Some(cause))
                }
            };
        };
        if matches!(cause, Cause::Failed { .. }) {
            return self.told(Outcome::Error, Decision::Fail, Some(cause));
        }
        let denial = self.denial(&cause);
        self.told(Outcome::Denied, Decision::Deny(denial), Some(cause))
    }

    /// A request that passes whatever is found. Headers that cannot be set are taken out: none of a client's stands for one of ours.
    fn passed(&mut self, cause: Option<Cause>) -> Verdict<'r> {
        let (upstream, fault) = match self.upstream() {
            Ok(upstream) => (upstream, None),
            Err(fault) => {
                let set = self.route.set.iter().map(|(name, _)| name.clone());
                let remove = self.route.remove.iter().cloned().chain(set).collect();
                let set = Vec::new();
                (Upstream { set, remove }, Some(fault))
            }
        };
        let cause = cause.or(fault);
        let outcome = match (&cause, self.route.mode) {
            (None, _) => Outcome::Allowed,
            (Some(Cause::Failed { .. }), _) => Outcome::Error,
            (Some(_), _) => Outcome::WouldDeny,
        };
        self.told(outcome, Decision::Allow(upstream), cause)
    }

    fn told(&self, outcome: Outcome, decision: Decision, cause: Option<Cause>) -> Verdict<'r> {
        Verdict {
            route: Some(&self.route.name),
            outcome,
            decision,
            cause,
        }
    }

    fn upstream(&mut self) -> Result<Upstream, Cause> {
        let Some(bound) = &mut self.bound else {
            return Err(Cause::Expression {
                place: "the values of the request".to_owned(),
                detail: String::new(),
            });
        };
        Ok(Upstream {
            set: headers(&self.route.set, bound)?,
            remove: self.route.remove.clone(),
        })
    }

    /// The answer of a denial. What it says of its own headers may fail, and is left out then: a denial it stays.
    fn denial(&mut self, cause: &Cause) -> Denial {
        let unauthenticated = self.route.unauthenticated.as_ref();
        let unauthenticated = unauthenticated.filter(|_| matches!(cause, Cause::Subject { .. }));
        let DenialText {
            status,
            headers: texts,
            body,
        } = unauthenticated.unwrap_or(&self.route.denied);
        let headers = match &mut self.bound {
            Some(bound) => headers(texts, bound).unwrap_or_default(),
            None => Vec::new(),
        };
        let body = body.clone().unwrap_or_else(|| match cause {
            Cause::Conditional { missing, .. } => {
                format!("denied: no value for `{}`\n", missing.join("`, `"))
            }
            Cause::Unmatched(_)
            | Cause::Subject { .. }
            | Cause::Expression { .. }
            | Cause::Query
            | Cause::Denied { .. }
            | Cause::Failed { .. } => "denied\n".to_owned(),
        });
        Denial {
            status: *status,
            headers,
            body,
        }
    }
}

/// Why the answers do not let the request pass; none if they do. A denial decides beside a failure where all have to allow, as an
/// allow does where one is enough.
fn judged(questions: usize, answers: &[Answer], is_any: bool) -> Option<Cause> {
    let mut denied = None;
    let mut failed = None;
    for ix in 0..questions {
        let check = ix + 1;
        match answers.get(ix).unwrap_or(&Answer::Failed) {
            Answer::Allowed if is_any => return None,
            Answer::Allowed => {}
            Answer::Denied => {
                denied.get_or_insert(Cause::Denied { check });
            }
            Answer::Conditional(missing) => {
                let missing = missing.clone();
                denied.get_or_insert(Cause::Conditional { check, missing });
            }
            Answer::Failed => {
                failed.get_or_insert(Cause::Failed { check });
            }
        }
    }
    if is_any {
        return failed.or(denied).or(Some(Cause::Denied { check: 1 }));
    }
    denied.or(failed)
}

fn headers(texts: &[(String, Text)], bound: &mut Bound) -> Result<Vec<(String, String)>, Cause> {
    let mut headers = Vec::with_capacity(texts.len());
    for (name, text) in texts {
        let failed = |error: ComputeError| Cause::expression(&format!("header `{name}`"), &error);
        let value = text.compute(bound).map_err(failed)?;
        if !is_header_value(&value) {
            let detail = "a header holds visible ASCII characters, spaces between them".to_owned();
            return Err(failed(ComputeError::Failed(detail)));
        }
        headers.push((name.clone(), value));
    }
    Ok(headers)
}

pub(crate) fn is_header_value(value: &str) -> bool {
    let is_visible = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_visible && value.trim() == value
}

impl Freshness {
    /// Reads `minimize-latency`, `fully-consistent` or `at-least:TOKEN`. Without a token there is nothing to be as fresh as.
    pub(crate) fn read(text: &str) -> Option<Self> {
        match text {
            "minimize-latency" | "at-least:" => Some(Self::MinimizeLatency),
            "fully-consistent" => Some(Self::Full),
            text => {
                let token = text.strip_prefix("at-least:")?;
                token.parse().ok().map(Self::AtLeast)
            }
        }
    }
}
