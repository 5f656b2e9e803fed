//! What is known of a request, and the names that expressions have for it.

use std::collections::BTreeMap;

use model::{ObjectRef, Value};
use schema::caveat::{CompileError, Parameter, ParameterType, Scope};

/// What a proxy says of a request. The path and the headers are the client's word; the rest is the proxy's.
pub trait Facts {
    /// The method.
    fn method(&self) -> &str;
    /// The host that was asked for, with or without a port.
    fn host(&self) -> &str;
    /// The path and the query, as sent.
    fn target(&self) -> &str;
    /// The values of a header, joined by `,`; `name` is in lower case.
    fn header(&self, name: &str) -> Option<String>;
    /// Something else, if the proxy told it.
    fn fact(&self, of: Fact<'_>) -> Option<Value>;
}

/// What not every proxy tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact<'a> {
    /// The address of the client's end of the connection, a text.
    Address,
    /// Whom the client's certificate is of, a text.
    Principal,
    /// The claims of a token that the proxy verified, a map.
    Claims {
        /// Under which name it keeps them.
        payload: &'a str,
    },
    /// What the route of the proxy adds, a map of texts.
    Extensions,
    /// What the route of the proxy says of itself, by filter; a map.
    RouteMetadata,
}

/// The end user, whose token was verified by Remit itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who it is.
    pub subject: ObjectRef,
    /// The groups that the token names.
    pub groups: Vec<ObjectRef>,
}

pub(crate) const METHOD: &str = "method";
pub(crate) const HOST: &str = "host";
pub(crate) const PATH: &str = "path";
pub(crate) const PARAMS: &str = "params";
pub(crate) const QUERY: &str = "query";
pub(crate) const HEADERS: &str = "headers";
pub(crate) const PEER: &str = "peer";
pub(crate) const CLAIMS: &str = "claims";
pub(crate) const EXTENSIONS: &str = "extensions";
pub(crate) const ROUTE_METADATA: &str = "route_metadata";
pub(crate) const USER: &str = "user";

/// What the client alone says: it proves nothing about who it is.
pub(crate) const OF_CLIENT: [&str; 5] = [METHOD, HOST, PATH, PARAMS, QUERY];

/// Most parameters of a query that is read.
const QUERY_PARAMETERS_MAX: usize = 256;

/// The names, with their types.
pub(crate) fn scope() -> Result<Scope, CompileError> {
    let texts = || ParameterType::Map(Box::new(ParameterType::String));
    let values = || ParameterType::Map(Box::new(ParameterType::Any));
    let names = [
        (METHOD, ParameterType::String),
        (HOST, ParameterType::String),
        (PATH, ParameterType::String),
        (PARAMS, texts()),
        (QUERY, texts()),
        (HEADERS, texts()),
        (PEER, texts()),
        (CLAIMS, values()),
        (EXTENSIONS, texts()),
        (ROUTE_METADATA, values()),
        (USER, values()),
    ];
    let parameters = names.map(|(name, ty)| Parameter {
        name: name.to_owned(),
        ty,
    });
    Scope::new(parameters.into())
}

/// The end of the connection: `address`, `principal`, and `workload` where the principal is a SPIFFE ID, without its scheme.
pub(crate) fn peer(facts: &dyn Facts) -> Value {
    let mut peer = BTreeMap::new();
    for (name, of) in [("address", Fact::Address), ("principal", Fact::Principal)] {
        if let Some(value @ Value::String(_)) = facts.fact(of) {
            peer.insert(name.to_owned(), value);
        }
    }
    if let Some(Value::String(principal)) = peer.get("principal")
        && let Some(workload) = principal.strip_prefix("spiffe://")
    {
        let workload = Value::String(workload.to_owned());
        peer.insert("workload".to_owned(), workload);
    }
    Value::Map(peer)
}

/// The user as expressions have it: `subject` and `groups`, as texts.
pub(crate) fn user(user: &User) -> Value {
    let text = |object: &ObjectRef| Value::String(object.to_string());
    let groups = user.groups.iter().map(text).collect();
    Value::Map(BTreeMap::from([
        ("subject".to_owned(), text(&user.subject)),
        ("groups".to_owned(), Value::List(groups)),
    ]))
}

/// The parameters of a query. None if it cannot be read, or gives one twice: programs differ in which one they take.
pub(crate) fn query(written: &str) -> Option<Value> {
    let mut parameters = BTreeMap::new();
    for pair in written.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let read = |text: &str| crate::path::decoded(&text.replace('+', " ")).ok();
        let is_repeated = parameters.insert(read(name)?, Value::String(read(value)?));
        if is_repeated.is_some() || parameters.len() > QUERY_PARAMETERS_MAX {
            return None;
        }
    }
    Some(Value::Map(parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_each_parameter_once() {
        let text = |text: &str| Value::String(text.to_owned());
        let Some(Value::Map(read)) = query("a=1&b=x%20y+z&&c") else {
            panic!("it can be read");
        };
        let read: Vec<_> = read.into_iter().collect();
        let expected = [("a", "1"), ("b", "x y z"), ("c", "")];
        assert_eq!(
            read,
            expected.map(|(name, value)| (name.to_owned(), text(value)))
        );
        for wrong in ["a=1&a=2", "a=1&%61=2", "a=%zz", "a=%ff"] {
            assert_eq!(query(wrong), None, "{wrong}");
        }
        let many: Vec<String> = (0..300).map(|n| format!("p{n}=")).collect();
        assert_eq!(query(&many.join("&")), None);
    }

    #[test]
    fn the_names_are_a_scope() {
        let scope = scope().unwrap();
        for name in OF_CLIENT {
            assert!(scope.names().any(|other| other == name));
        }
    }
}
