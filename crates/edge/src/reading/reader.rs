//! Reading on past a fault, so that all are told at once.

use schema::caveat::Scope;
use schema::diagnostic::did_you_mean;

use super::tree::{Node, Value};
use crate::fault::{Fault, Position};
use crate::text::Text;

/// Most faults that are told.
const FAULTS_MAX: usize = 100;

/// What reads, and the faults that it has found.
pub(super) struct Reader {
    pub(super) scope: Scope,
    faults: Vec<Fault>,
}

/// The entries of a map, by the names that it may have.
pub(super) struct Entries<'n> {
    at: Position,
    what: String,
    entries: Vec<(&'n str, &'n Node)>,
}

impl Reader {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            faults: Vec::new(),
        }
    }

    pub(super) fn fault(&mut self, position: Position, message: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault {
                position,
                message: message.into(),
            });
        }
    }

    /// The faults in the order of the file.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort();
        self.faults.dedup();
        self.faults
    }

    pub(super) fn is_faultless(&self) -> bool {
        self.faults.is_empty()
    }

    /// A map with no other keys than `keys`.
    pub(super) fn entries<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: &[&str],
    ) -> Option<Entries<'n>> {
        let pairs = self.pairs(node, what)?;
        let mut entries = Vec::with_capacity(pairs.len());
        for (at, name, value) in pairs {
            if keys.contains(&name) {
                entries.push((name, value));
                continue;
            }
            let hint = did_you_mean(name, keys.iter().copied());
            let hint = hint.unwrap_or_else(|| format!("it has `{}`", keys.join("`, `")));
            self.fault(at, format!("unknown key `{name}` of {what}; {hint}"));
        }
        Some(Entries {
            at: node.at,
            what: what.to_owned(),
            entries,
        })
    }

    /// A map from whatever names, with their places.
    pub(super) fn pairs<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
    ) -> Option<Vec<(Position, &'n str, &'n Node)>> {
        let Value::Map(pairs) = &node.value else {
            self.misfit(node, what, "a map");
            return None;
        };
        let mut named = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            match &key.value {
                Value::Text(name) => named.push((key.at, name.as_str(), value)),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::List(_)
                | Value::Map(_) => self.misfit(key, "a key", "a text"),
            }
        }
        Some(named)
    }

    pub(super) fn misfit(&mut self, node: &Node, what: &str, wanted: &str) {
        let found = node.value.kind();
        self.fault(
            node.at,
            format!("expected {wanted} for {what}, found {found}"),
        );
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                self.misfit(node, what, "a text");
                None
            }
        }
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                self.misfit(node, what, "a list");
                None
            }
        }
    }

    /// A text with expressions in it.
    pub(super) fn with_expressions(&mut self, node: &Node, what: &str) -> Option<Text> {
        let written = self.text(node, what)?;
        match Text::read(written, &self.scope) {
            Ok(text) => Some(text),
            Err(message) => {
                self.fault(node.at, message);
                None
            }
        }
    }

    /// One of the words that there are.
    pub(super) fn word<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(node, what)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("`{text}` is no {what}; expected `{}`", names.join("` or `"));
        self.fault(node.at, message);
        None
    }
}

impl<'n> Entries<'n> {
    pub(super) fn at(&self) -> Position {
        self.at
    }

    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        let found = self.entries.iter().find(|(other, _)| *other == name);
        found.map(|(_, node)| *node)
    }

    /// What has to be there.
    pub(super) fn need(&self, reader: &mut Reader, name: &str) -> Option<&'n Node> {
        let found = self.get(name);
        if found.is_none() {
            reader.fault(self.at, format!("{} has no `{name}`", self.what));
        }
        found
    }
}
