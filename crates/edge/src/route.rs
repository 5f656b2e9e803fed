//! One route of the rules, and what it asks for a request.

use std::collections::BTreeMap;

use model::{Context, ObjectRef, SubjectRef, Value};
use schema::caveat::{Bound, Computation, ComputeError, Scope};

use crate::attributes::{
    self, CLAIMS, EXTENSIONS, Fact, Facts, HEADERS, HOST, METHOD, PARAMS, PATH, PEER, QUERY,
    ROUTE_METADATA, USER, User,
};
use crate::reference::Reference;
use crate::text::Text;
use crate::verdict::{Asked, Cause, Freshness, State};

/// What a route does with its verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Lets every request pass and makes no check; what would be asked is recorded.
    Observe,
    /// Makes the checks and lets every request pass; would-be denials are counted.
    Shadow,
    /// Makes the checks, and denies.
    Enforce,
}

/// By which headers a proxy of the kind of nginx, Caddy or Traefik says what it asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedBy {
    /// `X-Forwarded-Method`, `X-Forwarded-Host`, `X-Forwarded-Uri`.
    XForwarded,
    /// `X-Original-Method`, `X-Original-Host`, `X-Original-URI`.
    XOriginal,
}

/// What is to be checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is to be accessed.
    pub resource: ObjectRef,
    /// The permission, which the schema may not have.
    pub permission: String,
    /// Who is to access it.
    pub subject: SubjectRef,
    /// Values for the parameters of caveats.
    pub context: Context,
}

/// As scenarios have it: `todo:1#view@user:ann with {"ip":"10.0.0.1"}`.
impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}@{}", self.resource, self.permission, self.subject)?;
        if !self.context.is_empty() {
            write!(f, " with {}", self.context.to_json())?;
        }
        Ok(())
    }
}

/// A route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) access: Access,
    pub(crate) set: Vec<(String, Text)>,
    pub(crate) remove: Vec<String>,
    pub(crate) denied: DenialText,
    pub(crate) unauthenticated: Option<DenialText>,
}

/// What lets a request pass.
#[derive(Debug)]
pub(crate) enum Access {
    /// Nothing is needed.
    Open,
    /// Checks.
    Checked {
        checks: Vec<Check>,
        /// Whether one that allows is enough.
        is_any: bool,
        consistency: Text,
    },
}

/// A check.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) resource: Reference,
    pub(crate) permission: Text,
    pub(crate) subject: Reference,
    pub(crate) context: Vec<(String, ContextValue)>,
}

/// A value for the parameter of a caveat.
#[derive(Debug)]
pub(crate) enum ContextValue {
    /// As it stands.
    Literal(Value),
    /// The value of an expression, of whatever type.
    Computed(Computation),
    /// A text with expressions in it.
    Text(Text),
}

/// What a denial looks like.
#[derive(Debug, Clone)]
pub(crate) struct DenialText {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Text)>,
    pub(crate) body: Option<String>,
}

/// A route that was found for a request.
#[derive(Debug)]
pub struct Found<'r> {
    pub(crate) route: &'r Route,
    pub(crate) scope: &'r Scope,
    pub(crate) payload: &'r str,
    pub(crate) params: Vec<(&'r str, String)>,
}

impl<'r> Found<'r> {
    /// The name of the route.
    #[must_use]
    pub fn name(&self) -> &'r str {
        &self.route.name
    }

    /// What becomes of its verdicts.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.route.mode
    }

    /// Whether it needs the end user, whose token is to be verified.
    #[must_use]
    pub fn needs_user(&self) -> bool {
        self.route.expressions().any(|it| it.uses(USER))
    }

    /// What is to be checked for the request.
    #[must_use]
    pub fn ask(self, facts: &dyn Facts, user: Option<&User>) -> Asked<'r> {
        let (bound, state) = match self.bind(facts, user) {
            Ok(mut bound) => {
                let state = self.route.state(&mut bound);
                (Some(bound), state)
            }
            Err(cause) => (None, State::Refused(cause)),
        };
        Asked {
            route: self.route,
            bound,
            state,
        }
    }

    /// The values that the expressions of the route name.
    fn bind(&self, facts: &dyn Facts, user: Option<&User>) -> Result<Bound, Cause> {
        let target = facts.target();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let uses = |name: &str| self.route.expressions().any(|it| it.uses(name));
        let mut is_ambiguous = false;
        let bound = self.scope.bind(|name| {
            if !uses(name) {
                return None;
            }
            let text = |text: &str| Some(Value::String(text.to_owned()));
            match name {
                METHOD => text(facts.method()),
                HOST => crate::host::normal(facts.host()).map(Value::String),
                PATH => text(path),
                PARAMS => {
                    let params = self.params.iter();
                    let params =
                        params.map(|(name, it)| ((*name).to_owned(), Value::String(it.clone())));
                    Some(Value::Map(params.collect()))
                }
                QUERY => {
                    let query = attributes::query(query);
                    is_ambiguous = query.is_none();
                    query
                }
                HEADERS => Some(self.headers(facts)),
                PEER => Some(attributes::peer(facts)),
                CLAIMS => facts.fact(Fact::Claims {
                    payload: self.payload,
                }),
                EXTENSIONS => facts.fact(Fact::Extensions),
                ROUTE_METADATA => facts.fact(Fact::RouteMetadata),
                USER => user.map(attributes::user),
                _ => None,
            }
        });
        if is_ambiguous {
            return Err(Cause::Query);
        }
        bound.map_err(|error| Cause::expression("the values of the request", &error))
    }

    /// The headers that the route reads.
    fn headers(&self, facts: &dyn Facts) -> Value {
        let mut headers = BTreeMap::new();
        let read = self
            .route
            .expressions()
            .filter_map(|it| it.keys_read(HEADERS));
        for name in read.flatten() {
            if let Some(value) = facts.header(name) {
                headers.insert(name.to_owned(), Value::String(value));
            }
        }
        Value::Map(headers)
    }
}

impl Route {
    /// Every expression of the route.
    pub(crate) fn expressions(&self) -> Box<dyn Iterator<Item = &Computation> + '_> {
        let denials = std::iter::once(&self.denied).chain(&self.unauthenticated);
        let denials = denials.flat_map(|it| it.headers.iter());
        let headers = self.set.iter().chain(denials);
        let headers = headers.flat_map(|(_, text)| text.expressions());
        match &self.access {
            Access::Open => Box::new(headers),
            Access::Checked {
                checks,
                consistency,
                ..
            } => {
                let checks = checks.iter().flat_map(Check::expressions);
                Box::new(headers.chain(checks).chain(consistency.expressions()))
            }
        }
    }

    fn state(&self, bound: &mut Bound) -> State {
        let Access::Checked {
            checks,
            is_any,
            consistency,
        } = &self.access
        else {
            return State::Open;
        };
        let mut questions = Vec::with_capacity(checks.len());
        for (ix, check) in checks.iter().enumerate() {
            match check.question(ix + 1, bound) {
                Ok(question) => questions.push(question),
                Err(cause) => return State::Refused(cause),
            }
        }
        let freshness = consistency.compute(bound).and_then(|text| {
            Freshness::read(&text)
                .ok_or_else(|| ComputeError::Failed("it is no consistency".to_owned()))
        });
        match freshness {
            Ok(freshness) => State::Asked {
                questions,
                freshness,
                is_any: *is_any,
            },
            Err(error) => State::Refused(Cause::expression("`consistency`", &error)),
        }
    }
}

impl Check {
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Computation> {
        let context = self
            .context
            .iter()
            .flat_map(|(_, value)| value.expressions());
        let references = self.resource.expressions().into_iter();
        let references = references.chain(self.subject.expressions());
        references
            .chain(self.permission.expressions())
            .chain(context)
    }

    fn question(&self, number: usize, bound: &mut Bound) -> Result<Question, Cause> {
        let subject = self.subject.subject(bound);
        let subject = subject.map_err(|error| Cause::Subject {
            check: number,
            detail: error.to_string(),
        })?;
        let failed = |what: &str, error: ComputeError| {
            Cause::expression(&format!("`{what}` of check {number}"), &error)
        };
        let resource = self.resource.object(bound);
        let permission = self.permission.compute(bound);
        let mut context = BTreeMap::new();
        for (name, value) in &self.context {
            let value = value
                .compute(bound)
                .map_err(|error| failed("context", error))?;
            context.insert(name.clone(), value);
        }
        Ok(Question {
            resource: resource.map_err(|error| failed("resource", error))?,
            permission: permission.map_err(|error| failed("permission", error))?,
            subject,
            context: Context::new(context),
        })
    }
}

impl ContextValue {
    pub(crate) fn expressions(&self) -> Box<dyn Iterator<Item = &Computation> + '_> {
        match self {
            Self::Literal(_) => Box::new(std::iter::empty()),
            Self::Computed(computation) => Box::new(std::iter::once(computation)),
            Self::Text(text) => Box::new(text.expressions()),
        }
    }

    fn compute(&self, bound: &mut Bound) -> Result<Value, ComputeError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Computed(computation) => computation.compute(bound),
            Self::Text(text) => text.compute(bound).map(Value::String),
        }
    }
}
