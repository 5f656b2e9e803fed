//! What the recorded process says, and what that promises.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use model::Revision;
use store::{Digest, LogEntry, Store};

use super::trace::Event;

/// What was said up to some moment. By the end it is the whole truth; before, it is what must not be lost.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    /// The identity of the store, once it was open.
    pub(super) identity: Option<String>,
    /// The hash of each acknowledged commit.
    pub(super) hashes: BTreeMap<Revision, String>,
    /// What the store held after each commit.
    pub(super) held: BTreeMap<Revision, String>,
    /// The newest commit when the store came up after a loss: whoever saw it may not lose it again.
    pub(super) shown: Revision,
    /// Where the log begins, once it was trimmed.
    pub(super) oldest: Revision,
    /// The revision that each copy is of.
    pub(super) copies: BTreeMap<String, Revision>,
}

impl Said {
    pub(super) fn hear_event(&mut self, event: &Event) {
        if let Event::Said(line) = event {
            self.hear(line);
        }
    }

    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let revision = |text: &str| Revision(text.parse().unwrap());
        match *words.as_slice() {
            ["opened", identity] => {
                let before = self.identity.replace(identity.to_owned());
                assert!(before.is_none_or(|before| before == identity), "{line}");
            }
            // After a loss: what was written and is not shown never was.
            ["showed", at] => {
                self.shown = revision(at);
                self.hashes.retain(|at, _| *at <= self.shown);
                self.held.retain(|at, _| *at <= self.shown);
            }
            ["acknowledged", at, hash] => {
                let before = self.hashes.insert(revision(at), hash.to_owned());
                assert!(before.is_none(), "{line}");
            }
            ["held", at, ref held @ ..] => {
                self.held.insert(revision(at), held.join(" "));
            }
            ["trimmed", oldest] => self.oldest = revision(oldest),
            ["published", name, at] => {
                self.copies.insert(name.to_owned(), revision(at));
            }
            // The process may end with a panic, which is for people to read.
            _ => panic!("the recorded process said `{line}`"),
        }
    }

    /// The newest commit that was acknowledged or shown; the others before it are durable with it.
    pub(super) fn newest(&self) -> Revision {
        let acknowledged = self.hashes.last_key_value();
        acknowledged.map_or(self.shown, |(at, _)| self.shown.max(*at))
    }
}

/// What a store holds: its relationships, its records and its schema.
#[derive(Default)]
pub(super) struct Holdings {
    rows: Digest,
    records: BTreeMap<String, Vec<u8>>,
    schema: Option<String>,
}

impl Holdings {
    /// What is there after an entry of the log as well.
    pub(super) fn apply(&mut self, entry: &LogEntry) {
        for change in &entry.changes {
            if let Some(before) = &change.before {
                self.rows.remove(before);
            }
            if let Some(after) = &change.after {
                self.rows.add(after);
            }
        }
        for change in &entry.records {
            let key = change.key.to_string();
            match &change.after {
                Some(value) => self.records.insert(key, value.clone()),
                None => self.records.remove(&key),
            };
        }
        if let Some(schema) = &entry.schema {
            self.schema = Some(schema.after.clone());
        }
    }

    /// What is there.
    pub(super) fn of(store: &dyn Store) -> Result<Self, store::StoreError> {
        let mut rows = Digest::default();
        let header = store.scan(&mut |_, row| {
            rows.add_row(&row);
            ControlFlow::Continue(())
        })?;
        let records = header.records.into_iter();
        Ok(Self {
            rows,
            records: records
                .map(|record| (record.key.to_string(), record.value))
                .collect(),
            schema: header.schema.map(|schema| schema.text),
        })
    }
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = format!("{:?} {:?}", self.records, self.schema);
        write!(
            f,
            "{} {} {}",
            self.rows.count(),
            self.rows,
            blake3::hash(others.as_bytes())
        )
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
