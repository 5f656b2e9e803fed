//! The file of rules: YAML, read whole with every fault that it has, or not at all.

mod case;
mod overlap;
mod reader;
mod route;
mod tree;

use crate::attributes::scope;
use crate::cases::Cases;
use crate::fault::{Fault, Position};
use crate::route::{DenialText, ForwardedBy, Mode};
use crate::rules::{FILE_BYTES_MAX, ROUTES_MAX, Rules};
use crate::text::{Piece, Text};
use reader::Reader;
use route::Defaults;
use tree::Node;

const KEYS: [&str; 8] = [
    "consistency",
    "denied",
    "forward_auth",
    "jwt_payload",
    "mode",
    "routes",
    "strips",
    "unauthenticated",
];

/// Reads the rules; every fault otherwise.
pub(crate) fn rules(text: &str) -> Result<Rules, Vec<Fault>> {
    read(text, document_of)
}

/// Reads cases; every fault otherwise.
pub(crate) fn cases(text: &str) -> Result<Cases, Vec<Fault>> {
    read(text, case::read)
}

fn read<T>(text: &str, of: impl FnOnce(&Node, &mut Reader) -> Option<T>) -> Result<T, Vec<Fault>> {
    let start = |message: String| {
        let position = Position { line: 1, column: 1 };
        vec![Fault { position, message }]
    };
    if text.len() > FILE_BYTES_MAX {
        let bytes = text.len();
        return Err(start(format!(
            "the file has {bytes} bytes, at most {FILE_BYTES_MAX} are read"
        )));
    }
    let document = tree::read(text).map_err(|fault| vec![fault])?;
    let scope = scope().map_err(|error| start(error.to_string()))?;
    let mut reader = Reader::new(scope);
    match of(&document, &mut reader) {
        Some(read) if reader.is_faultless() => Ok(read),
        Some(_) | None => Err(reader.into_faults()),
    }
}

fn document_of(document: &Node, reader: &mut Reader) -> Option<Rules> {
    let entries = reader.entries(document, "the rules", &KEYS)?;
    let forwarded_by = entries.get("forward_auth").and_then(|node| {
        let words = [
            ("x-forwarded", ForwardedBy::XForwarded),
            ("x-original", ForwardedBy::XOriginal),
        ];
        reader.word(node, "`forward_auth`", &words)
    });
    let payload = entries.get("jwt_payload");
    let payload = payload.and_then(|node| reader.text(node, "`jwt_payload`"));
    let consistency = entries.get("consistency");
    let strips = entries.get("strips");
    let denied = entries.get("denied");
    let unauthenticated = entries.get("unauthenticated");
    let defaults = Defaults {
        mode: route::mode(entries.get("mode"), reader).unwrap_or(Mode::Enforce),
        strips: strips.map_or_else(Vec::new, |node| {
            route::header_names(node, "`strips`", reader)
        }),
        consistency: consistency
            .and_then(|node| route::consistency(node, reader))
            .unwrap_or_else(|| literal("minimize-latency")),
        denied: denied
            .and_then(|node| route::denial(node, 403, reader))
            .unwrap_or_else(|| plain(403)),
        unauthenticated: unauthenticated.and_then(|node| route::denial(node, 401, reader)),
    };
    let listed = entries.need(reader, "routes")?;
    let listed_at = listed.at;
    let listed = reader.list(listed, "`routes`")?;
    if listed.is_empty() || listed.len() > ROUTES_MAX {
        let count = listed.len();
        reader.fault(
            listed_at,
            format!("there are {count} routes: expected 1 to {ROUTES_MAX}"),
        );
        return None;
    }
    let read: Vec<_> = listed
        .iter()
        .filter_map(|node| route::read(node, &defaults, reader))
        .collect();
    let (routes, mut matches) = route::numbered(read, reader);
    overlap::refuse(&matches, &routes, reader);
    matches.sort_by_key(|matched| matched.entry.rank());
    Some(Rules {
        scope: reader.scope.clone(),
        forwarded_by: forwarded_by.unwrap_or(ForwardedBy::XForwarded),
        payload: payload.unwrap_or("jwt_payload").to_owned(),
        routes,
        entries: matches.into_iter().map(|matched| matched.entry).collect(),
    })
}

fn literal(text: &str) -> Text {
    Text(vec![Piece::Literal(text.to_owned())])
}

fn plain(status: u16) -> DenialText {
    DenialText {
        status,
        headers: Vec::new(),
        body: None,
    }
}
