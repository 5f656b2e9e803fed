//! Cases of the rules: requests, and what has to become of them. They are run without a server.
//!
//! ```yaml
//! scenario: todo.yaml            # optional: a validation file, whose data answers the checks
//! cases:
//!   - name: a viewer reads
//!     request: {method: GET, host: api.example.org, path: /todos/1, claims: {sub: ann}}
//!     answers: {"todo:1#view@user:ann": allowed}
//!     expect: {verdict: allowed, route: read-todo, checks: ["todo:1#view@user:ann"], set: {x-user: ann}}
//! ```

use std::collections::BTreeMap;

use model::Value as Json;

use crate::attributes::{Fact, Facts, User};
use crate::fault::{Faults, Position};
use crate::reading;
use crate::route::Question;
use crate::rules::Rules;
use crate::verdict::{Answer, Decision, Verdict};

/// The cases of a file.
#[derive(Debug)]
pub struct Cases {
    /// The validation file that answers the checks, as written; its path begins where the cases are.
    pub scenario: Option<String>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// A request, and what is expected.
#[derive(Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub position: Position,
    pub(crate) request: Described,
    /// Answers to the questions that have these texts.
    pub(crate) answers: BTreeMap<String, Answer>,
    pub(crate) expected: Expected,
}

/// A request as it is written down.
#[derive(Debug, Default)]
pub(crate) struct Described {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) address: Option<String>,
    pub(crate) principal: Option<String>,
    pub(crate) claims: Option<Json>,
    pub(crate) extensions: Option<Json>,
    pub(crate) route_metadata: Option<Json>,
    pub(crate) user: Option<User>,
}

/// What has to become of it; what is not said may be anything.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) verdict: String,
    pub(crate) route: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) checks: Option<Vec<String>>,
    pub(crate) set: Option<BTreeMap<String, String>>,
}

impl Cases {
    /// Reads the text of the file called `file`.
    ///
    /// # Errors
    /// [`Faults`], with every fault that there is and its place.
    pub fn read(file: &str, text: &str) -> Result<Self, Faults> {
        reading::cases(text).map_err(|faults| Faults {
            file: file.to_owned(),
            faults,
        })
    }
}

impl Case {
    /// What is not as expected; `decide` answers the questions that the case has no answer for.
    pub fn failures(
        &self,
        rules: &Rules,
        decide: impl Fn(&Question) -> Option<Answer>,
    ) -> Vec<String> {
        let found = match rules.find(&self.request) {
            Ok(found) => found,
            Err(unmatched) => return self.compared(&Verdict::unmatched(unmatched), &[]),
        };
        let asked = found.ask(&self.request, self.request.user.as_ref());
        let mut texts = Vec::new();
        let mut answers = Vec::new();
        let mut failures = Vec::new();
        let is_answered = asked.to_answer().is_some();
        for question in asked.questions() {
            let text = question.to_string();
            let answer = self.answers.get(&text).cloned();
            let answer = answer.or_else(|| decide(question));
            if answer.is_none() && is_answered {
                failures.push(format!(
                    "nothing answers `{text}`: give an answer, or a scenario"
                ));
            }
            answers.push(answer.unwrap_or(Answer::Failed));
            texts.push(text);
        }
        let verdict = asked.verdict(&answers);
        failures.extend(self.compared(&verdict, &texts));
        failures
    }

    fn compared(&self, verdict: &Verdict<'_>, checks: &[String]) -> Vec<String> {
        let mut failures = Vec::new();
        let expected = &self.expected;
        let found = verdict.outcome.text();
        if expected.verdict != found {
            let cause = verdict.cause.as_ref().map_or_else(String::new, |cause| {
                let detail = cause
                    .detail()
                    .map_or_else(String::new, |it| format!(" ({it})"));
                format!(": {cause}{detail}")
            });
            let wanted = &expected.verdict;
            failures.push(format!(
                "expected the verdict `{wanted}`, got `{found}`{cause}"
            ));
        }
        if let Some(route) = &expected.route {
            let found = verdict.route.unwrap_or("none");
            if route != found {
                failures.push(format!("expected the route `{route}`, got `{found}`"));
            }
        }
        if let Some(status) = expected.status {
            let found = match &verdict.decision {
                Decision::Allow(_) => 200,
                Decision::Deny(denial) => denial.status,
                Decision::Fail => 503,
            };
            if status != found {
                failures.push(format!("expected the status {status}, got {found}"));
            }
        }
        if let Some(wanted) = &expected.checks
            && wanted != checks
        {
            let (wanted, found) = (wanted.join("`, `"), checks.join("`, `"));
            failures.push(format!("expected the checks `{wanted}`, got `{found}`"));
        }
        if let Some(wanted) = &expected.set {
            let found: BTreeMap<String, String> = match &verdict.decision {
                Decision::Allow(upstream) => upstream.set.iter().cloned().collect(),
                Decision::Deny(_) | Decision::Fail => BTreeMap::new(),
            };
            if *wanted != found {
                failures.push(format!("expected the headers {wanted:?}, got {found:?}"));
            }
        }
        failures
    }
}

impl Facts for Described {
    fn method(&self) -> &str {
        &self.method
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn target(&self) -> &str {
        &self.path
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).cloned()
    }

    fn fact(&self, of: Fact<'_>) -> Option<Json> {
        let text = |text: &Option<String>| text.clone().map(Json::String);
        match of {
            Fact::Address => text(&self.address),
            Fact::Principal => text(&self.principal),
            Fact::Claims { .. } => self.claims.clone(),
            Fact::Extensions => self.extensions.clone(),
            Fact::RouteMetadata => self.route_metadata.clone(),
        }
    }
}
