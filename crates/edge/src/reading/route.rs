//! The routes of the file.

use std::collections::HashMap;

use model::Value as Json;

use super::reader::{Entries, Reader};
use super::tree::{Node, Value};
use crate::attributes::PARAMS;
use crate::fault::Position;
use crate::host::HostPattern;
use crate::reference::Reference;
use crate::route::{Access, Check, ContextValue, DenialText, Mode, Route};
use crate::rules::Entry;
use crate::template::Template;
use crate::text::Text;
use crate::trust;
use crate::verdict::{Freshness, is_header_value};

const KEYS: [&str; 13] = [
    "allow",
    "any",
    "checks",
    "consistency",
    "denied",
    "host",
    "methods",
    "mode",
    "name",
    "path",
    "reason",
    "unauthenticated",
    "upstream",
];
/// Most checks of a route.
const CHECKS_MAX: usize = 16;
/// Most entries of a list or a map of a route.
const ENTRIES_MAX: usize = 64;
/// Longest body of a denial, in bytes.
const BODY_BYTES_MAX: usize = 4_096;

/// What holds for a route that says nothing else.
pub(super) struct Defaults {
    pub(super) mode: Mode,
    pub(super) strips: Vec<String>,
    pub(super) consistency: Text,
    pub(super) denied: DenialText,
    pub(super) unauthenticated: Option<DenialText>,
}

/// A route, and the requests that it is for.
pub(super) struct Read {
    at: Position,
    route: Route,
    hosts: Vec<HostPattern>,
    path: (Position, Template),
    methods: Option<Vec<String>>,
}

/// What a route is for, and where that is said.
pub(super) struct Matched {
    pub(super) at: Position,
    pub(super) entry: Entry,
}

/// The routes by number, with what each is for; two of one name are a fault.
pub(super) fn numbered(read: Vec<Read>, reader: &mut Reader) -> (Vec<Route>, Vec<Matched>) {
    let mut lines: HashMap<String, u64> = HashMap::new();
    let mut routes = Vec::with_capacity(read.len());
    let mut matches = Vec::with_capacity(read.len());
    for it in read {
        let name = &it.route.name;
        if let Some(line) = lines.insert(name.clone(), it.at.line) {
            reader.fault(it.at, format!("there is a route `{name}` in line {line}"));
        }
        for host in it.hosts {
            matches.push(Matched {
                at: it.path.0,
                entry: Entry {
                    host,
                    path: it.path.1.clone(),
                    methods: it.methods.clone(),
                    route: routes.len(),
                },
            });
        }
        routes.push(it.route);
    }
    (routes, matches)
}

pub(super) fn read(node: &Node, defaults: &Defaults, reader: &mut Reader) -> Option<Read> {
    let entries = reader.entries(node, "a route", &KEYS)?;
    let name = name(&entries, reader);
    let path = entries
        .need(reader, "path")
        .and_then(|node| path(node, reader));
    let hosts = hosts(entries.get("host"), reader);
    let methods = entries.get("methods").map(|node| methods(node, reader));
    let mode = self::mode(entries.get("mode"), reader).unwrap_or(defaults.mode);
    let access = access(&entries, defaults, reader);
    let (set, remove) = upstream(entries.get("upstream"), reader);
    let denied = entries
        .get("denied")
        .and_then(|node| denial(node, 403, reader));
    let unauthenticated = entries.get("unauthenticated");
    let unauthenticated = unauthenticated.and_then(|node| denial(node, 401, reader));
    let route = Route {
        name: name?,
        mode,
        access: access?,
        set,
        remove,
        denied: denied.unwrap_or_else(|| defaults.denied.clone()),
        unauthenticated: unauthenticated.or_else(|| defaults.unauthenticated.clone()),
    };
    let path = path?;
    refuse_untrusted(&route, &path.1, (node.at, defaults), reader);
    Some(Read {
        at: node.at,
        route,
        hosts,
        path,
        methods,
    })
}

fn name(entries: &Entries<'_>, reader: &mut Reader) -> Option<String> {
    let node = entries.need(reader, "name")?;
    let name = reader.text(node, "`name`")?;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if !(1..=64).contains(&name.len()) || !name.bytes().all(is_letter) {
        reader.fault(
            node.at,
            "a name has 1 to 64 letters, digits, `_`, `.` or `-`",
        );
        return None;
    }
    Some(name.to_owned())
}

fn path(node: &Node, reader: &mut Reader) -> Option<(Position, Template)> {
    let text = reader.text(node, "`path`")?;
    match Template::read(text) {
        Ok(template) => Some((node.at, template)),
        Err(error) => {
            reader.fault(node.at, error.to_string());
            None
        }
    }
}

/// One host, or several; any where none is said.
fn hosts(node: Option<&Node>, reader: &mut Reader) -> Vec<HostPattern> {
    let Some(node) = node else {
        return vec![HostPattern::Any];
    };
    let one = std::slice::from_ref(node);
    let listed = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => one,
    };
    if listed.is_empty() || listed.len() > ENTRIES_MAX {
        reader.fault(node.at, format!("expected 1 to {ENTRIES_MAX} hosts"));
    }
    let mut hosts = Vec::new();
    for node in listed.iter().take(ENTRIES_MAX) {
        let Some(text) = reader.text(node, "`host`") else {
            continue;
        };
        match HostPattern::read(text) {
            Some(host) if !hosts.contains(&host) => hosts.push(host),
            Some(_) => reader.fault(node.at, format!("host `{text}` stands twice")),
            None => reader.fault(
                node.at,
                format!("`{text}` is no host: expected a name in lower case without a port, or `*.` before one"),
            ),
        }
    }
    hosts
}

fn methods(node: &Node, reader: &mut Reader) -> Vec<String> {
    let listed = reader.list(node, "`methods`").unwrap_or_default();
    if listed.is_empty() || listed.len() > ENTRIES_MAX {
        reader.fault(
            node.at,
            "expected at least one method; leave `methods` out for any",
        );
    }
    let mut methods = Vec::new();
    for node in listed.iter().take(ENTRIES_MAX) {
        let Some(text) = reader.text(node, "a method") else {
            continue;
        };
        let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
        if text.is_empty() || !text.bytes().all(is_letter) {
            reader.fault(node.at, format!("`{text}` is no method such as `GET`"));
        }
        methods.push(text.to_owned());
    }
    methods.sort();
    methods.dedup();
    methods
}

pub(super) fn mode(node: Option<&Node>, reader: &mut Reader) -> Option<Mode> {
    let words = [
        ("observe", Mode::Observe),
        ("shadow", Mode::Shadow),
        ("enforce", Mode::Enforce),
    ];
    node.and_then(|node| reader.word(node, "mode", &words))
}

fn access(entries: &Entries<'_>, defaults: &Defaults, reader: &mut Reader) -> Option<Access> {
    let given = ["allow", "checks", "any"].map(|name| entries.get(name));
    let consistency = entries.get("consistency");
    match given {
        [Some(allow), None, None] => open(allow, entries, reader),
        [None, Some(node), None] | [None, None, Some(node)] => {
            if let Some(reason) = entries.get("reason") {
                reader.fault(reason.at, "`reason` is for a route with `allow: true`");
            }
            let checks = checks(node, reader);
            let consistency = consistency.and_then(|node| self::consistency(node, reader));
            Some(Access::Checked {
                checks: checks?,
                is_any: given.last().is_some_and(Option::is_some),
                consistency: consistency.unwrap_or_else(|| defaults.consistency.clone()),
            })
        }
        [..] => {
            reader.fault(
                entries.at(),
                "a route has one of `checks`, `any` and `allow`",
            );
            None
        }
    }
}

/// A route that anybody may take, which is said aloud.
fn open(allow: &Node, entries: &Entries<'_>, reader: &mut Reader) -> Option<Access> {
    if !matches!(allow.value, Value::Bool(true)) {
        reader.fault(
            allow.at,
            "`allow` can only be `true`; without a route nothing is allowed",
        );
        return None;
    }
    if let Some(node) = entries.get("consistency") {
        reader.fault(node.at, "`consistency` is for a route with checks");
    }
    let Some(reason) = entries.get("reason") else {
        reader.fault(allow.at, "say as `reason` why anybody may pass");
        return None;
    };
    let reason_text = reader.text(reason, "`reason`")?;
    if reason_text.trim().is_empty() {
        reader.fault(reason.at, "`reason` is empty");
    }
    Some(Access::Open)
}

fn checks(node: &Node, reader: &mut Reader) -> Option<Vec<Check>> {
    let listed = reader.list(node, "the checks")?;
    if listed.is_empty() || listed.len() > CHECKS_MAX {
        let count = listed.len();
        reader.fault(
            node.at,
            format!("there are {count} checks: expected 1 to {CHECKS_MAX}"),
        );
        return None;
    }
    let read: Vec<_> = listed
        .iter()
        .filter_map(|node| check(node, reader))
        .collect();
    (read.len() == listed.len()).then_some(read)
}

fn check(node: &Node, reader: &mut Reader) -> Option<Check> {
    let keys = ["context", "permission", "resource", "subject"];
    let entries = reader.entries(node, "a check", &keys)?;
    let resource = entries.need(reader, "resource");
    let resource = resource.and_then(|node| reference(node, "`resource`", reader));
    if let (Some(node), Some(resource)) = (entries.get("resource"), &resource)
        && resource.names_relation()
    {
        reader.fault(node.at, "a resource is an object, without a `#relation`");
    }
    let permission = entries.need(reader, "permission").and_then(|node| {
        let text = reader.with_expressions(node, "`permission`")?;
        if let Some(Err(error)) = text.as_literal().map(model::RelationName::validate) {
            reader.fault(node.at, error.to_string());
        }
        Some(text)
    });
    let subject = entries.need(reader, "subject");
    let subject = subject.and_then(|node| reference(node, "`subject`", reader));
    let context = entries.get("context").map(|node| context(node, reader));
    Some(Check {
        resource: resource?,
        permission: permission?,
        subject: subject?,
        context: context.unwrap_or_default(),
    })
}

fn reference(node: &Node, what: &str, reader: &mut Reader) -> Option<Reference> {
    let text = reader.text(node, what)?;
    match Reference::read(text, &reader.scope) {
        Ok(reference) => Some(reference),
        Err(message) => {
            reader.fault(node.at, message);
            None
        }
    }
}

fn context(node: &Node, reader: &mut Reader) -> Vec<(String, ContextValue)> {
    let pairs = reader.pairs(node, "`context`").unwrap_or_default();
    if pairs.len() > ENTRIES_MAX {
        reader.fault(
            node.at,
            format!("`context` has more than {ENTRIES_MAX} entries"),
        );
    }
    let mut context = Vec::with_capacity(pairs.len());
    for (_, name, node) in pairs {
        let value = match &node.value {
            Value::Text(_) => {
                reader
                    .with_expressions(node, "a value")
                    .map(|text| match text.as_expression() {
                        Some(computation) => ContextValue::Computed(computation.clone()),
                        None => ContextValue::Text(text),
                    })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                json(node, reader).map(ContextValue::Literal)
            }
        };
        context.extend(value.map(|value| (name.to_owned(), value)));
    }
    context
}

/// A value in which nothing is computed.
pub(super) fn json(node: &Node, reader: &mut Reader) -> Option<Json> {
    match &node.value {
        Value::Null => Some(Json::Null),
        Value::Bool(value) => Some(Json::Bool(*value)),
        Value::Number(number) => Some(Json::Number(*number)),
        Value::Text(text) if text.contains("${") => {
            reader.fault(
                node.at,
                "nothing is computed in a list or a map; make the whole an expression",
            );
            None
        }
        Value::Text(text) => Some(Json::String(text.clone())),
        Value::List(items) => {
            let items = items.iter().map(|node| json(node, reader));
            items.collect::<Option<_>>().map(Json::List)
        }
        Value::Map(_) => {
            let pairs = reader.pairs(node, "a value")?;
            let pairs = pairs.into_iter();
            let pairs = pairs.map(|(_, name, node)| Some((name.to_owned(), json(node, reader)?)));
            pairs.collect::<Option<_>>().map(Json::Map)
        }
    }
}

pub(super) fn consistency(node: &Node, reader: &mut Reader) -> Option<Text> {
    let text = reader.with_expressions(node, "`consistency`")?;
    let is_known = match text.as_literal() {
        Some(literal) => Freshness::read(literal).is_some(),
        None => text.as_expression().is_some() || starts_well(&text),
    };
    if !is_known {
        let expected = "expected `minimize-latency`, `fully-consistent` or `at-least:${..}`";
        reader.fault(node.at, expected);
    }
    Some(text)
}

fn starts_well(text: &Text) -> bool {
    use crate::text::Piece;
    matches!(text.0.as_slice(), [Piece::Literal(word), Piece::Computed(_)] if word == "at-least:")
}

type Headers = Vec<(String, Text)>;

fn upstream(node: Option<&Node>, reader: &mut Reader) -> (Headers, Vec<String>) {
    let entries = node.and_then(|node| reader.entries(node, "`upstream`", &["remove", "set"]));
    let Some(entries) = entries else {
        return (Vec::new(), Vec::new());
    };
    let set = entries.get("set").map(|node| headers(node, reader));
    let remove = entries.get("remove");
    let remove = remove.map(|node| header_names(node, "`remove`", reader));
    (set.unwrap_or_default(), remove.unwrap_or_default())
}

pub(super) fn denial(node: &Node, status: u16, reader: &mut Reader) -> Option<DenialText> {
    let entries = reader.entries(node, "a denial", &["body", "headers", "status"])?;
    let status = match entries.get("status") {
        None => status,
        Some(node) => status_of(node).unwrap_or_else(|| {
            let expected = "expected a status from 300 to 599: a denial is no success";
            reader.fault(node.at, expected);
            status
        }),
    };
    let headers = entries.get("headers").map(|node| headers(node, reader));
    let body = entries.get("body").and_then(|node| {
        let body = reader.text(node, "`body`")?;
        if body.len() > BODY_BYTES_MAX {
            reader.fault(
                node.at,
                format!("`body` has more than {BODY_BYTES_MAX} bytes"),
            );
        }
        Some(body.to_owned())
    });
    Some(DenialText {
        status,
        headers: headers.unwrap_or_default(),
        body,
    })
}

fn status_of(node: &Node) -> Option<u16> {
    if let Value::Number(number) = node.value
        && (300.0..600.0).contains(&number)
        && number.fract() == 0.0
    {
        return Some(number as u16);
    }
    None
}

fn headers(node: &Node, reader: &mut Reader) -> Headers {
    let pairs = reader.pairs(node, "the headers").unwrap_or_default();
    if pairs.len() > ENTRIES_MAX {
        reader.fault(
            node.at,
            format!("there are more than {ENTRIES_MAX} headers"),
        );
    }
    let mut headers = Vec::with_capacity(pairs.len());
    for (at, name, node) in pairs {
        check_header_name(at, name, reader);
        let Some(text) = reader.with_expressions(node, "a header") else {
            continue;
        };
        if text.as_literal().is_some_and(|it| !is_header_value(it)) {
            reader.fault(
                node.at,
                "a header holds visible ASCII characters, spaces between them",
            );
        }
        headers.push((name.to_owned(), text));
    }
    headers
}

pub(super) fn header_names(node: &Node, what: &str, reader: &mut Reader) -> Vec<String> {
    let listed = reader.list(node, what).unwrap_or_default();
    if listed.len() > ENTRIES_MAX {
        reader.fault(
            node.at,
            format!("{what} has more than {ENTRIES_MAX} entries"),
        );
    }
    let mut names = Vec::with_capacity(listed.len());
    for node in listed {
        if let Some(name) = reader.text(node, "the name of a header") {
            check_header_name(node.at, name, reader);
            names.push(name.to_owned());
        }
    }
    names
}

/// Headers that frame a message are not for rules to change.
fn check_header_name(at: Position, name: &str, reader: &mut Reader) {
    const FRAMING: [&str; 9] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "remit-authorization",
    ];
    let is_letter = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    if name.is_empty() || name.len() > 128 || !name.bytes().all(is_letter) {
        reader.fault(at, format!("`{name}` is no name of a header in lower case"));
    } else if FRAMING.contains(&name) {
        reader.fault(at, format!("header `{name}` is not for rules to change"));
    }
}

/// Tells what rests on what a client says, and what names a parameter that the path has not.
fn refuse_untrusted(
    route: &Route,
    path: &Template,
    (at, defaults): (Position, &Defaults),
    reader: &mut Reader,
) {
    if let Access::Checked { checks, .. } = &route.access {
        for check in checks {
            for computation in check.subject.expressions() {
                let fault = trust::fault(computation, &defaults.strips, true);
                fault
                    .into_iter()
                    .for_each(|fault| reader.fault(at, format!("`subject`: {fault}")));
            }
        }
    }
    let params: Vec<&str> = path.names().collect();
    for computation in route.expressions() {
        if let Some(fault) = trust::fault(computation, &defaults.strips, false) {
            reader.fault(at, fault);
        }
        for name in computation.keys_read(PARAMS).unwrap_or_default() {
            if !params.contains(&name) {
                reader.fault(at, format!("`{path}` has no parameter `{name}`"));
            }
        }
    }
}
