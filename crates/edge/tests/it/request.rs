//! Requests for tests.

use std::collections::BTreeMap;

use edge::{Fact, Facts};
use model::{Context, Value};

/// A request, and what the proxy says beside it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) principal: Option<String>,
    pub(crate) claims: Option<Value>,
    pub(crate) extensions: Option<Value>,
}

/// `GET /todos/1`, to `api.example.org`.
pub(crate) fn request(line: &str) -> Request {
    let (method, target) = line.split_once(' ').unwrap();
    Request {
        method: method.to_owned(),
        host: "api.example.org".to_owned(),
        target: target.to_owned(),
        ..Request::default()
    }
}

pub(crate) fn map(json: &str) -> Value {
    let context = Context::from_json(json).unwrap();
    let values = context.iter();
    Value::Map(
        values
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect(),
    )
}

impl Request {
    pub(crate) fn claims(mut self, json: &str) -> Self {
        self.claims = Some(map(json));
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Facts for Request {
    fn method(&self) -> &str {
        &self.method
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).cloned()
    }

    fn fact(&self, of: Fact<'_>) -> Option<Value> {
        match of {
            Fact::Address => Some(Value::String("10.0.0.1".to_owned())),
            Fact::Principal => self.principal.clone().map(Value::String),
            Fact::Claims { payload } => self.claims.clone().filter(|_| payload == "jwt_payload"),
            Fact::Extensions => self.extensions.clone(),
            Fact::RouteMetadata => None,
        }
    }
}
