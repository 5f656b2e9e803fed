//! From what a proxy says to a verdict: the route, the end user, the checks on one snapshot.

use std::sync::Arc;

use edge::{Answer, Asked, Decision, Denial, Facts, Freshness, Mode, Outcome, Question, Upstream};
use edge::{User, Verdict};
use identity::{AuthenticateError, Authorization, Caller, Credential, Presented};
use model::Decision as Checked;
use ops::{Consistency, Node};
use tonic::{Code, Status};

use super::Edge;
use crate::config::Authentication;
use crate::error;

/// What judges requests.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    node: Arc<Node>,
    edge: Option<Arc<Edge>>,
    authentication: Authentication,
}

/// Who asks, and about which request.
pub(crate) struct Asking<'a> {
    /// The proxy.
    pub(crate) caller: &'a Caller,
    /// The id of the call, for the log.
    pub(crate) id: &'a str,
    /// What the client presented to the proxy.
    pub(crate) end_user: Authorization<'a>,
}

/// A verdict, as the proxy is told it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) told: Told,
    pub(crate) route: String,
    pub(crate) outcome: Outcome,
}

/// What the proxy is to do.
#[derive(Debug)]
pub(crate) enum Told {
    Pass(Upstream),
    Deny(Denial),
}

impl Judge {
    pub(crate) fn new(
        node: Arc<Node>,
        edge: Option<Arc<Edge>>,
        authentication: Authentication,
    ) -> Self {
        Self {
            node,
            edge,
            authentication,
        }
    }

    /// The rules that are in force, and their counters.
    ///
    /// # Errors
    /// Unimplemented where the server has no rules.
    pub(crate) fn edge(&self) -> Result<&Edge, Status> {
        self.edge.as_deref().ok_or_else(|| {
            Status::unimplemented(
                "this server has no rules for proxies: start it with `--edge-rules`",
            )
        })
    }

    /// The verdict on a request.
    ///
    /// # Errors
    /// The failure of a check, which is no pass; Unavailable where the end user's token cannot be verified now.
    pub(crate) async fn judge(
        &self,
        asking: &Asking<'_>,
        facts: &(dyn Facts + Sync),
    ) -> Result<Judged, Status> {
        let edge = self.edge()?;
        let rules = edge.rules.load_full();
        let found = match rules.find(facts) {
            Ok(found) => found,
            Err(unmatched) => return told(edge, asking, Verdict::unmatched(unmatched), None),
        };
        let (name, mode) = (found.name(), found.mode());
        let user = match found.needs_user() {
            true => self.user(asking.end_user).await,
            false => Ok(None),
        };
        let user = match (user, mode) {
            (Ok(user), _) => user,
            (Err(_), Mode::Observe | Mode::Shadow) => None,
            (Err(status), Mode::Enforce) => {
                edge.counters.note(Some(name), Outcome::Error);
                return Err(status);
            }
        };
        let asked = found.ask(facts, user.as_ref());
        record(&asked, asking, mode);
        let (answers, failure) = match asked.to_answer() {
            Some((questions, freshness)) => self.answers(asking.caller, questions, freshness).await,
            None => (Vec::new(), None),
        };
        told(edge, asking, asked.verdict(&answers), failure)
    }

    /// The end user, by a token of an issuer or a trust domain of this server: neither a key nor a token that was narrowed is one of a
    /// person at a proxy. None for a credential that is not good.
    async fn user(&self, authorization: Authorization<'_>) -> Result<Option<User>, Status> {
        let Authentication::Required(authenticator) = &self.authentication else {
            return Ok(None);
        };
        let presented = Presented {
            authorization,
            certificate: None,
        };
        match authenticator.authenticate(&presented).await {
            Ok(caller) => Ok(user_of(&caller)),
            Err(error @ AuthenticateError::KeysUnavailable { .. }) => {
                Err(Status::unavailable(error.to_string()))
            }
            Err(
                AuthenticateError::Missing
                | AuthenticateError::Malformed
                | AuthenticateError::Dpop
                | AuthenticateError::UnknownKey
                | AuthenticateError::Unrecognized
                | AuthenticateError::Token(_)
                | AuthenticateError::Minted(_)
                | AuthenticateError::Certificate(_)
                | AuthenticateError::InsufficientScope { .. },
            ) => Ok(None),
        }
    }

    /// The answers to all questions, of one snapshot, and the failure of the first that has none.
    async fn answers(
        &self,
        caller: &Caller,
        questions: &[Question],
        freshness: Freshness,
    ) -> (Vec<Answer>, Option<Status>) {
        let consistency = match freshness {
            Freshness::MinimizeLatency => Consistency::MinimizeLatency,
            Freshness::AtLeast(token) => Consistency::AtLeastAsFresh(token),
            Freshness::Full => Consistency::FullyConsistent,
        };
        let questions: Vec<_> = questions.iter().map(question).collect();
        let checked = match questions.as_slice() {
            [question] => {
                let checked = ops::check::check(&self.node, caller, consistency, question).await;
                checked.map(|answered| vec![Ok(answered.answer)])
            }
            questions => {
                let checked = ops::check::check_bulk(&self.node, caller, consistency, questions);
                checked.await.map(|answered| answered.answer)
            }
        };
        let checked = match checked {
            Ok(checked) => checked,
            Err(error) => return (Vec::new(), Some(error::status(error))),
        };
        let mut failure = None;
        let answers = checked.into_iter().map(|checked| match checked {
            Ok(Checked::Allowed) => Answer::Allowed,
            Ok(Checked::Denied) => Answer::Denied,
            Ok(Checked::Conditional { missing }) => Answer::Conditional(missing),
            Err(error) => {
                failure.get_or_insert(error::status(error));
                Answer::Failed
            }
        });
        (answers.collect(), failure)
    }
}

fn user_of(caller: &Caller) -> Option<User> {
    match caller.credential() {
        Credential::Token { .. } | Credential::JwtSvid { .. } => Some(User {
            subject: caller.subject().clone(),
            groups: caller.groups().to_vec(),
        }),
        Credential::None
        | Credential::PresharedKey { .. }
        | Credential::X509Svid { .. }
        | Credential::Minted { .. } => None,
    }
}

fn question(asked: &Question) -> ops::check::Question {
    ops::check::Question {
        resource: asked.resource.clone(),
        permission: asked.permission.clone(),
        subject: asked.subject.clone(),
        context: asked.context.clone(),
    }
}

/// Writes down who asked for what, where the rules ask for that.
fn record(asked: &Asked<'_>, asking: &Asking<'_>, mode: Mode) {
    if mode != Mode::Observe {
        return;
    }
    let (route, request) = (asked.route(), asking.id);
    for question in asked.questions() {
        let (resource, subject) = (&question.resource, &question.subject);
        let permission = question.permission.as_str();
        tracing::info!(target: "edge_observed", route, request, %resource, permission, %subject, "observed");
    }
}

/// Counts a verdict, and tells it. What is logged has nothing of the request in it but its id.
fn told(
    edge: &Edge,
    asking: &Asking<'_>,
    verdict: Verdict<'_>,
    failure: Option<Status>,
) -> Result<Judged, Status> {
    let (route, outcome) = (verdict.route, verdict.outcome);
    edge.counters.note(route, outcome);
    if let Some(cause) = &verdict.cause {
        let (request, caller) = (asking.id, asking.caller.name());
        let route = route.unwrap_or_default();
        match outcome {
            Outcome::Error => {
                let why = failure.as_ref().map_or("", |status| status.message());
                tracing::warn!(route, request, caller, %cause, why, "no verdict on a request");
            }
            Outcome::WouldDeny => {
                tracing::info!(route, request, caller, %cause, "would deny a request")
            }
            Outcome::Denied | Outcome::Unmatched => {
                tracing::debug!(route, request, caller, %cause, "denied a request");
            }
            Outcome::Allowed => {}
        }
    }
    let told = match verdict.decision {
        Decision::Allow(upstream) => Told::Pass(upstream),
        Decision::Deny(denial) => Told::Deny(denial),
        Decision::Fail => {
            // Why is in the log: what a failure tells of the schema is not for whoever asked the proxy.
            let code = failure.map_or(Code::Internal, |status| status.code());
            return Err(Status::new(
                code,
                "a check has no answer; the log of the server says why",
            ));
        }
    };
    Ok(Judged {
        told,
        route: route.unwrap_or_default().to_owned(),
        outcome,
    })
}
