//! The documents of a file, and the items of lists.

use serde_json::{Map, Value};

use super::kind::{self, Header};
use super::{FILE_BYTES_MAX, Fault, FaultKind, MANIFESTS_MAX, Manifests, Place};

/// The version of RBAC's API.
pub(super) const API_VERSION: &str = "rbac.authorization.k8s.io/v1";
const API_GROUP: &str = "rbac.authorization.k8s.io/";
/// How deep lists may be nested.
pub(super) const LISTS_MAX: usize = 4;

pub(super) fn read(into: &mut Manifests, file: &str, text: &str, namespace: Option<&str>) {
    let place = |document| Place {
        file: file.to_owned(),
        document,
        item: None,
    };
    if text.len() > FILE_BYTES_MAX {
        into.fault(place(1), FaultKind::FileTooLarge);
        return;
    }
    for (ix, part) in documents(text).enumerate() {
        let place = place(ix + 1);
        match parse(&part) {
            Ok(Value::Null) => {}
            Ok(Value::Object(object)) => into.object(&place, object, namespace, 0),
            Ok(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                into.fault(place, FaultKind::NoManifest);
            }
            Err(fault) => into.fault(place, fault),
        }
    }
}

/// A document of a file.
struct Part<'a> {
    text: &'a str,
    /// The lines of the file before it.
    lines_before: usize,
}

/// The documents of a file: what stands between lines that begin with `---`, which nothing else in YAML can.
fn documents(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut parts = Vec::new();
    let (mut start, mut at, mut lines_before) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        // What is before the first marker is a document only if it says anything.
        if is_marker {
            let before = text.get(start..at).unwrap_or_default();
            if !parts.is_empty() || says_anything(before) {
                parts.push(Part {
                    text: before,
                    lines_before,
                });
            }
            (start, lines_before) = (at + 3, number);
        }
        at += line.len();
    }
    parts.push(Part {
        text: text.get(start..).unwrap_or_default(),
        lines_before,
    });
    parts.into_iter()
}

fn says_anything(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.any(|line| !line.is_empty() && !line.starts_with(['#', '%']))
}

fn parse(part: &Part<'_>) -> Result<Value, FaultKind> {
    if !says_anything(part.text) {
        return Ok(Value::Null);
    }
    if part.text.trim_start().starts_with('{')
        && let Ok(object) = model::json::object(part.text.as_bytes())
    {
        return Ok(Value::Object(object));
    }
    let parsed = serde_saphyr::from_str(part.text);
    parsed.map_err(|error: serde_saphyr::Error| {
        let line = error.location().map_or(1, |at| at.line() as usize);
        FaultKind::Unreadable {
            line: part.lines_before + line,
            message: first_line(&error.without_snippet().to_string()),
        }
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl Manifests {
    fn fault(&mut self, place: Place, fault: FaultKind) {
        self.faults.push(Fault { place, fault });
    }

    /// Takes a manifest in, or what it lists.
    fn object(
        &mut self,
        place: &Place,
        object: Map<String, Value>,
        namespace: Option<&str>,
        depth: usize,
    ) {
        let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(version), Some(kind)) = (text("apiVersion"), text("kind")) else {
            return self.fault(place.clone(), FaultKind::NoManifest);
        };
        let items = object.get("items").and_then(Value::as_array);
        if let (Some(of), Some(items)) = (kind.strip_suffix("List"), items) {
            if depth == LISTS_MAX {
                return self.fault(place.clone(), FaultKind::ListsTooDeep);
            }
            return self.list(place, (&version, of), items, namespace, depth);
        }
        if !version.starts_with(API_GROUP) || !kind::is_of_rbac(&kind) {
            *self.skipped.entry(kind).or_default() += 1;
            return;
        }
        if version != API_VERSION {
            return self.fault(place.clone(), FaultKind::Version { version });
        }
        if self.found.len() >= MANIFESTS_MAX {
            if self
                .faults
                .last()
                .is_none_or(|last| last.fault != FaultKind::TooMany)
            {
                self.fault(place.clone(), FaultKind::TooMany);
            }
            return;
        }
        let header = Header {
            kind: &kind,
            namespace,
        };
        match kind::read(&header, object) {
            Ok(manifest) => self.take(place.clone(), manifest),
            Err(fault) => self.fault(place.clone(), fault),
        }
    }

    /// Takes in what a list holds; in lists of one kind the items need not say of which they are.
    fn list(
        &mut self,
        place: &Place,
        (version, of): (&str, &str),
        items: &[Value],
        namespace: Option<&str>,
        depth: usize,
    ) {
        for (ix, item) in items.iter().enumerate() {
            let place = Place {
                item: Some(ix + 1),
                ..place.clone()
            };
            let Value::Object(item) = item else {
                self.fault(place, FaultKind::NoManifest);
                continue;
            };
            let mut item = item.clone();
            if !of.is_empty() {
                item.entry("kind").or_insert_with(|| of.into());
                item.entry("apiVersion").or_insert_with(|| version.into());
            }
            self.object(&place, item, namespace, depth + 1);
        }
    }
}
