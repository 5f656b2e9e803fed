//! What is hidden of an event, and what stands in its place.

use serde_json::Value;

use crate::rules::Treatment;

/// What hashes are salted with: the same text has the same hash under one salt, and nobody without it can try texts.
#[derive(Clone)]
pub(crate) struct Salt {
    key: [u8; 32],
    is_given: bool,
}

/// Stands in the place of what is hidden without a trace.
pub(crate) const STARS: &str = "***";

impl Salt {
    /// From the content of a file.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            key: blake3::derive_key("remit decision log, salt of masks", bytes),
            is_given: true,
        }
    }

    /// This one, if it was given, or the one before it.
    pub(crate) fn succeeding(self, old: &Self) -> Self {
        if self.is_given { self } else { old.clone() }
    }

    /// One that nobody knows, for as long as the process runs.
    pub(crate) fn of_process() -> Self {
        let mut bytes = [0; 32];
        if getrandom::fill(&mut bytes).is_err() {
            // Two numbers that differ with each process are better than none; masks are then no secret from who guesses them.
            let random = || {
                let state = std::hash::RandomState::new();
                std::hash::BuildHasher::hash_one(&state, 0_u8)
            };
            bytes = blake3::hash(&[random().to_be_bytes(), random().to_be_bytes()].concat()).into();
        }
        Self {
            key: bytes,
            is_given: false,
        }
    }

    /// A number that depends on `text` and the salt.
    pub(crate) fn number(&self, text: &[u8]) -> u64 {
        let hash = blake3::keyed_hash(&self.key, text);
        let (chunks, _) = hash.as_bytes().as_chunks::<8>();
        chunks.first().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// What stands in the place of `text`.
    fn hash(&self, text: &str) -> String {
        let hash = blake3::keyed_hash(&self.key, text.as_bytes()).to_hex();
        format!("~{}", hash.get(..32).unwrap_or_default())
    }

    /// What stands in the place of `text`; none for what stays as it is or is left out.
    pub(crate) fn instead(&self, text: &str, treatment: Treatment) -> Option<String> {
        match treatment {
            Treatment::Keep | Treatment::Erase => None,
            Treatment::Hash => Some(self.hash(text)),
            Treatment::Stars => Some(STARS.to_owned()),
        }
    }
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt")
    }
}

/// The pointers of what was left out, and of what something else stands for.
#[derive(Debug, Default)]
pub(crate) struct Hidden {
    pub(crate) erased: Vec<String>,
    pub(crate) masked: Vec<String>,
    /// Texts that must not show anywhere else.
    texts: Vec<String>,
}

impl Hidden {
    /// Notes that the part at `pointer` is hidden, and that its texts are.
    pub(crate) fn note(&mut self, pointer: &str, treatment: Treatment, texts: &[&str]) {
        match treatment {
            Treatment::Keep => return,
            Treatment::Erase => self.erased.push(pointer.to_owned()),
            Treatment::Hash | Treatment::Stars => self.masked.push(pointer.to_owned()),
        }
        self.hide(texts);
    }

    fn hide(&mut self, texts: &[&str]) {
        // What stands for something hidden may show: it may be below what is hidden after it.
        let new = texts.iter().filter(|it| !it.is_empty() && **it != STARS);
        self.texts.extend(new.map(|text| (*text).to_owned()));
    }

    /// Whether `text` shows what is hidden.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.texts
            .iter()
            .any(|hidden| text.contains(hidden.as_str()))
    }

    /// Hides the part of a context that `names` lead to; the whole of a list that one of them is no index of, since what they mean
    /// may be in any of its items.
    pub(crate) fn context(
        &mut self,
        context: &mut Value,
        (names, treatment): (&[String], Treatment),
        salt: &Salt,
    ) {
        let Some(names) = reached(context, names) else {
            return;
        };
        let below = pointer_of(names);
        let Some(value) = context.pointer_mut(&below) else {
            return;
        };
        let mut texts = Vec::new();
        leaves(value, &mut texts);
        self.hide(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let pointer = format!("/input/context{below}");
        match salt.instead(&value.to_string(), treatment) {
            Some(instead) => {
                *value = Value::String(instead);
                self.masked.push(pointer);
            }
            None => {
                erase(context, names);
                self.erased.push(pointer);
            }
        }
    }

    /// Whether any text of `value`, or the name of one, shows what is hidden.
    pub(crate) fn shows_in(&self, value: &Value) -> bool {
        if self.texts.is_empty() {
            return false;
        }
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
            Value::String(text) => self.shows(text),
            Value::Array(items) => items.iter().any(|item| self.shows_in(item)),
            Value::Object(members) => members
                .iter()
                .any(|(name, value)| self.shows(name) || self.shows_in(value)),
        }
    }
}

/// The texts in a value.
pub(crate) fn leaves(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, texts)),
        Value::Object(members) => {
            for (name, value) in members {
                texts.push(name.clone());
                leaves(value, texts);
            }
        }
    }
}

/// Those of `names` that lead to what is to be hidden; none where nothing is there.
fn reached<'n>(context: &Value, names: &'n [String]) -> Option<&'n [String]> {
    let mut at = context;
    for (count, name) in names.iter().enumerate() {
        at = match at {
            Value::Object(members) => members.get(name)?,
            Value::Array(items) => match index(name).and_then(|index| items.get(index)) {
                Some(item) => item,
                None => return names.get(..count),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    Some(names)
}

/// Leaves out what `names` lead to. Of a list it is null in its place, so that the items after it keep theirs.
fn erase(context: &mut Value, names: &[String]) {
    let Some((last, before)) = names.split_last() else {
        *context = Value::Null;
        return;
    };
    match context.pointer_mut(&pointer_of(before)) {
        Some(Value::Object(members)) => {
            members.remove(last);
        }
        Some(Value::Array(items)) => {
            let item = index(last).and_then(|index| items.get_mut(index));
            item.into_iter().for_each(|item| *item = Value::Null);
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
    }
}

/// The index that a name in a JSON pointer is.
///
/// SOURCE: RFC 6901, section 4: digits without a leading zero.
fn index(name: &str) -> Option<usize> {
    let is_index =
        name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    is_index.then(|| name.parse().ok()).flatten()
}

/// The JSON pointer below a context that `names` are.
fn pointer_of(names: &[String]) -> String {
    let mut pointer = String::new();
    for name in names {
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
    }
    pointer
}
