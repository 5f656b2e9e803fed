//! Reading on past a fault, so that all are told at once; and where each part stands, for faults that show later.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schema::diagnostic::did_you_mean;

use super::tree::{Node, Value};
use crate::fault::{Fault, Position};

/// Most faults that are told.
const FAULTS_MAX: usize = 100;
/// Most entries of a list.
pub(super) const LIST_MAX: usize = 64;

/// What reads, and the faults that it has found.
#[derive(Default)]
pub(super) struct Reader {
    faults: Vec<Fault>,
    /// Where the parts of the entitlement stand that is being read.
    places: BTreeMap<String, Position>,
}

/// A part of the file, and the way to it: `steps/0/approvers`.
pub(super) struct Part<'n> {
    pub(super) node: &'n Node,
    pub(super) path: String,
}

/// The entries of a map, by the names that it may have.
pub(super) struct Entries<'n> {
    at: Position,
    path: String,
    entries: Vec<(&'n str, &'n Node)>,
}

impl Reader {
    pub(super) fn fault(&mut self, position: Position, message: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            let message = message.into();
            self.faults.push(Fault { position, message });
        }
    }

    /// The faults in the order of the file.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort();
        self.faults.dedup();
        self.faults
    }

    pub(super) fn fault_count(&self) -> usize {
        self.faults.len()
    }

    /// Forgets where the parts of the last entitlement stand.
    pub(super) fn begin(&mut self, at: Position) {
        self.places.clear();
        self.places.insert(String::new(), at);
    }

    /// A fault of a part of the entitlement, told where the part stands, or else what it is in.
    pub(super) fn fault_of(&mut self, part: &str, message: String) {
        let mut known = part;
        loop {
            if let Some(position) = self.places.get(known) {
                return self.fault(*position, message);
            }
            known = known.rsplit_once('/').map_or("", |(whole, _)| whole);
        }
    }

    /// A map with no other keys than `keys`.
    pub(super) fn entries<'n>(&mut self, part: &Part<'n>, keys: &[&str]) -> Option<Entries<'n>> {
        let Value::Map(pairs) = &part.node.value else {
            self.misfit(part, "a map");
            return None;
        };
        let mut entries: Vec<(&str, &Node)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let Value::Text(name) = &key.value else {
                self.fault(
                    key.at,
                    format!("expected a text for a key, found {}", key.value.kind()),
                );
                continue;
            };
            if keys.contains(&name.as_str()) {
                entries.push((name, value));
                continue;
            }
            let hint = did_you_mean(name, keys.iter().copied());
            let hint = hint.unwrap_or_else(|| format!("it has `{}`", keys.join("`, `")));
            self.fault(
                key.at,
                format!("unknown key `{name}` of {}; {hint}", part.what()),
            );
        }
        Some(Entries {
            at: part.node.at,
            path: part.path.clone(),
            entries,
        })
    }

    fn misfit(&mut self, part: &Part<'_>, wanted: &str) {
        let found = part.node.value.kind();
        self.fault(
            part.node.at,
            format!("expected {wanted} for {}, found {found}", part.what()),
        );
    }

    pub(super) fn text<'n>(&mut self, part: &Part<'n>) -> Option<&'n str> {
        match &part.node.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                self.misfit(part, "a text");
                None
            }
        }
    }

    pub(super) fn truth(&mut self, part: &Part<'_>) -> Option<bool> {
        match &part.node.value {
            Value::Bool(truth) => Some(*truth),
            Value::Null | Value::Text(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                self.misfit(part, "`true` or `false`");
                None
            }
        }
    }

    /// A whole number from 0 to 65,535.
    pub(super) fn count(&mut self, part: &Part<'_>) -> Option<u16> {
        match &part.node.value {
            Value::Number(number) if number.fract() == 0.0 && (0.0..=65_535.0).contains(number) => {
                Some(*number as u16)
            }
            Value::Null
            | Value::Bool(_)
            | Value::Text(_)
            | Value::Number(_)
            | Value::List(_)
            | Value::Map(_) => {
                self.misfit(part, "a whole number");
                None
            }
        }
    }

    /// The parts of a list.
    pub(super) fn list<'n>(&mut self, part: &Part<'n>) -> Option<Vec<Part<'n>>> {
        let Value::List(items) = &part.node.value else {
            self.misfit(part, "a list");
            return None;
        };
        let parts = items.iter().enumerate().map(|(ix, node)| {
            let path = format!("{}/{ix}", part.path);
            self.places.insert(path.clone(), node.at);
            Part { node, path }
        });
        Some(parts.collect())
    }

    /// Something that has a text form.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, part: &Part<'_>) -> Option<T> {
        let text = self.text(part)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(part.node.at, format!("{}: {error}", part.what()));
                None
            }
        }
    }

    /// A list of such, in their order.
    pub(super) fn all<T: FromStr<Err: fmt::Display>>(&mut self, part: &Part<'_>) -> Vec<T> {
        let parts = self.list(part).unwrap_or_default();
        if parts.len() > LIST_MAX {
            let count = parts.len();
            self.fault(
                part.node.at,
                format!(
                    "{} has {count} entries, at most {LIST_MAX} are allowed",
                    part.what()
                ),
            );
        }
        let read = parts
            .iter()
            .take(LIST_MAX)
            .filter_map(|part| self.parsed(part));
        read.collect()
    }

    /// A list of such, each once. Parts are then found under their text.
    pub(super) fn set<T>(&mut self, part: &Part<'_>) -> BTreeSet<T>
    where
        T: FromStr<Err: fmt::Display> + Ord + fmt::Display,
    {
        let parts = self.list(part).unwrap_or_default();
        if parts.len() > LIST_MAX {
            let count = parts.len();
            self.fault(
                part.node.at,
                format!(
                    "{} has {count} entries, at most {LIST_MAX} are allowed",
                    part.what()
                ),
            );
        }
        let mut set = BTreeSet::new();
        for item in parts.iter().take(LIST_MAX) {
            let Some(value) = self.parsed::<T>(item) else {
                continue;
            };
            let text = value.to_string();
            self.places
                .insert(format!("{}/{text}", part.path), item.node.at);
            if !set.insert(value) {
                self.fault(
                    item.node.at,
                    format!("`{text}` stands twice in {}", part.what()),
                );
            }
        }
        set
    }

    /// One of the words that there are.
    pub(super) fn word<T: Copy>(&mut self, part: &Part<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(part)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!(
            "`{text}` is no {}; expected `{}`",
            part.what(),
            names.join("` or `")
        );
        self.fault(part.node.at, message);
        None
    }
}

impl Part<'_> {
    /// What it is, for messages: the last name on the way to it.
    fn what(&self) -> String {
        let is_name =
            |name: &&str| !name.is_empty() && !name.bytes().all(|byte| byte.is_ascii_digit());
        let name = self.path.rsplit('/').find(is_name);
        match (
            name,
            self.path.ends_with(|letter: char| letter.is_ascii_digit()),
        ) {
            (None, _) => "an entitlement".to_owned(),
            (Some(name), true) => format!("an entry of `{name}`"),
            (Some(name), false) => format!("`{name}`"),
        }
    }
}

impl<'n> Entries<'n> {
    pub(super) fn get(&self, reader: &mut Reader, name: &str) -> Option<Part<'n>> {
        let (_, node) = self.entries.iter().find(|(other, _)| *other == name)?;
        let path = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.path)
        };
        reader.places.insert(path.clone(), node.at);
        Some(Part { node, path })
    }

    /// What has to be there.
    pub(super) fn need(&self, reader: &mut Reader, name: &str) -> Option<Part<'n>> {
        let found = self.get(reader, name);
        if found.is_none() {
            let path = self.path.clone();
            let whole = Part {
                node: &Node {
                    at: self.at,
                    value: Value::Null,
                },
                path,
            }
            .what();
            reader.fault(self.at, format!("{whole} has no `{name}`"));
        }
        found
    }
}
