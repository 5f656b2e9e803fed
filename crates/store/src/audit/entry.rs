//! One entry: a header without personal data, and parts that can be removed one by one.
//!
//! The bytes, in the notation of [`crate::commit::canonical`]:
//!
//! ```text
//! header     = "remit.audit.1" index:u64be revision:u64be time:i64be store:8 history:8 kind:u8 parts:u32be     58 bytes
//! part       = 0 actor:str | 1 reason:opt | 2 metadata:opt | 3 origin:opt | 4 before:opt after:str (schema)
//!            | 5 kind:str key:str before:value after:value (record) | 6 before:opt after:opt (relationship, as text)
//!            | 7 count:varint (index:varint count:varint part:varint*)* (what was erased)
//! value      = 0 | 1 str | 2 length:varint                         what is no text is told by its length alone
//! salt       = HMAC-SHA-256(seed, "remit.audit.salt.1" number:u32be)
//! commitment = SHA-256(salt part)
//! leaf       = SHA-256(0x00 header SHA-256(commitment*))           the leaf hash of RFC 6962
//! body       = 1 seed:32 (length:varint part)*                     as it was written
//!            | 2 (0 commitment:32 | 1 salt:32 length:varint part)* where parts were removed
//! ```
//!
//! Actor, reason, metadata and origin come first, whether or not there is one, so that a part is known by its number. A seed is
//! random and of one entry; where a part is removed it goes too, so that what was removed cannot be guessed. The hash of the
//! commit is no part: it is an unsalted hash of the same contents, by which they could be.

use model::{HistoryId, Relationship, Revision, StoreId, Timestamp};

use super::tree::Hash;
use crate::commit::canonical::{BlockError, Reader, push_len, push_opt, push_str};
use crate::commit::{LogEntry, RecordChange};

mod body;

pub use body::{Body, Piece, leaf};

const HEADER_DOMAIN: &[u8; 13] = b"remit.audit.1";
/// The bytes of a header.
pub const HEADER_BYTES: usize = 58;

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log.
    pub index: u64,
    /// The bytes of its header.
    pub header: Vec<u8>,
    /// The hash of its leaf.
    pub leaf: Hash,
    /// The bytes of its parts.
    pub body: Vec<u8>,
}

/// What an entry says that names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its place in the log, from 0 on.
    pub index: u64,
    /// The revision of the commit.
    pub revision: Revision,
    /// The time of the commit.
    pub time: Timestamp,
    /// The store that it was made in.
    pub store: StoreId,
    /// The history that it was made in; another than that of the entry before it after a restore.
    pub history: HistoryId,
    /// What kind of act it was.
    pub kind: Kind,
    /// How many parts it has.
    pub part_count: u32,
}

/// What kind of act a commit was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Relationships were written or deleted.
    Relationships,
    /// Expired relationships were removed, which changes no answer.
    Housekeeping,
    /// The schema was changed, and maybe more.
    Schema,
    /// Records were changed: keys of access, locks, whether rights are enforced, counters.
    Administration,
    /// Parts of this log were erased.
    Erasure,
}

/// One part of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Who.
    Actor(String),
    /// Why.
    Reason(Option<String>),
    /// What the caller said besides, a JSON object.
    Metadata(Option<String>),
    /// From where, and by what the caller was known.
    Origin(Option<String>),
    /// The schema.
    Schema {
        /// Its text before; none for the first.
        before: Option<String>,
        /// Its text after.
        after: String,
    },
    /// A record.
    Record {
        /// Its kind.
        kind: String,
        /// Its key.
        key: String,
        /// What it was before.
        before: Option<RecordValue>,
        /// What it is after.
        after: Option<RecordValue>,
    },
    /// A relationship, as text.
    Relationship {
        /// What it was before.
        before: Option<String>,
        /// What it is after.
        after: Option<String>,
    },
    /// What was erased from earlier entries.
    Erased(Vec<ErasedParts>),
}

/// What a record said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordValue {
    /// A text.
    Text(String),
    /// So many bytes that are none: a hash of a key, for one, which is told to nobody.
    Bytes(u64),
}

/// Parts of one entry that were erased, or are to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErasedParts {
    /// The entry.
    pub index: u64,
    /// The numbers of its parts.
    pub parts: Vec<u32>,
}

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A later version made it.
    #[error("it has a form that this version does not know")]
    Version,
    /// It is damaged.
    #[error("{0}")]
    Damaged(String),
    /// A part is named that it does not have.
    #[error("it has no part {0}")]
    NoSuchPart(u32),
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Relationships,
        Self::Housekeeping,
        Self::Schema,
        Self::Administration,
        Self::Erasure,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Relationships => "relationships",
            Self::Housekeeping => "housekeeping",
            Self::Schema => "schema",
            Self::Administration => "administration",
            Self::Erasure => "erasure",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn number(self) -> u8 {
        match self {
            Self::Relationships => 0,
            Self::Housekeeping => 1,
            Self::Schema => 2,
            Self::Administration => 3,
            Self::Erasure => 4,
        }
    }
}

impl Header {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(HEADER_DOMAIN);
        bytes.extend(self.index.to_be_bytes());
        bytes.extend(self.revision.0.to_be_bytes());
        bytes.extend(self.time.as_micros().to_be_bytes());
        bytes.extend(self.store.0);
        bytes.extend(self.history.0);
        bytes.push(self.kind.number());
        bytes.extend(self.part_count.to_be_bytes());
        bytes
    }

    /// The header of these bytes.
    ///
    /// # Errors
    /// [`EntryError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut reader = Reader { rest: bytes };
        if reader.array::<13>()? != *HEADER_DOMAIN {
            return Err(EntryError::Version);
        }
        let index = u64::from_be_bytes(reader.array()?);
        let revision = Revision(u64::from_be_bytes(reader.array()?));
        let time = Timestamp::from_micros(i64::from_be_bytes(reader.array()?));
        let (store, history) = (StoreId(reader.array()?), HistoryId(reader.array()?));
        let kind = reader.byte()?;
        let kind = Kind::ALL.into_iter().find(|known| known.number() == kind);
        let header = Self {
            index,
            revision,
            time: time.map_err(damaged)?,
            store,
            history,
            kind: kind.ok_or(EntryError::Version)?,
            part_count: u32::from_be_bytes(reader.array()?),
        };
        if reader.rest.is_empty() {
            Ok(header)
        } else {
            Err(damaged("bytes after the header"))
        }
    }
}

impl Part {
    fn push(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Actor(actor) => {
                bytes.push(0);
                push_str(bytes, actor);
            }
            Self::Reason(text) => push_text(bytes, 1, text.as_deref()),
            Self::Metadata(text) => push_text(bytes, 2, text.as_deref()),
            Self::Origin(text) => push_text(bytes, 3, text.as_deref()),
            Self::Schema { before, after } => {
                push_text(bytes, 4, before.as_deref());
                push_str(bytes, after);
            }
            Self::Record {
                kind,
                key,
                before,
                after,
            } => {
                bytes.push(5);
                push_str(bytes, kind);
                push_str(bytes, key);
                push_value(bytes, before.as_ref());
                push_value(bytes, after.as_ref());
            }
            Self::Relationship { before, after } => {
                push_text(bytes, 6, before.as_deref());
                push_opt(bytes, after.as_deref());
            }
            Self::Erased(erased) => {
                bytes.push(7);
                push_len(bytes, erased.len());
                for of_entry in erased {
                    push_number(bytes, of_entry.index);
                    push_len(bytes, of_entry.parts.len());
                    for part in &of_entry.parts {
                        push_number(bytes, u64::from(*part));
                    }
                }
            }
        }
    }

    /// The bytes that are committed to.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.push(&mut bytes);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut reader = Reader { rest: bytes };
        let part = match reader.byte()? {
            0 => Self::Actor(text(&mut reader)?),
            1 => Self::Reason(text_opt(&mut reader)?),
            2 => Self::Metadata(text_opt(&mut reader)?),
            3 => Self::Origin(text_opt(&mut reader)?),
            4 => Self::Schema {
                before: text_opt(&mut reader)?,
                after: text(&mut reader)?,
            },
            5 => Self::Record {
                kind: text(&mut reader)?,
                key: text(&mut reader)?,
                before: value(&mut reader)?,
                after: value(&mut reader)?,
            },
            6 => Self::Relationship {
                before: text_opt(&mut reader)?,
                after: text_opt(&mut reader)?,
            },
            7 => Self::Erased(erased(&mut reader)?),
            _ => return Err(EntryError::Version),
        };
        if reader.rest.is_empty() {
            Ok(part)
        } else {
            Err(damaged("bytes after a part"))
        }
    }

    /// The part that is a change of a record.
    pub(crate) fn of_record(change: &RecordChange) -> Self {
        Self::Record {
            kind: change.key.kind().to_owned(),
            key: change.key.key().to_owned(),
            before: change.before.as_deref().map(RecordValue::of),
            after: change.after.as_deref().map(RecordValue::of),
        }
    }

    /// The part that is a change of a relationship.
    pub(crate) fn of_change(change: &crate::commit::Change) -> Self {
        let text = |side: &Option<Relationship>| side.as_ref().map(ToString::to_string);
        Self::Relationship {
            before: text(&change.before),
            after: text(&change.after),
        }
    }
}

impl RecordValue {
    fn of(bytes: &[u8]) -> Self {
        let is_shown = |text: &&str| !text.chars().any(char::is_control);
        match std::str::from_utf8(bytes).ok().filter(is_shown) {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(bytes.len() as u64),
        }
    }
}

/// The parts that the audit log has of an entry of the log of commits, as far as that has them: not where it came from, and not what
/// was erased by it.
#[must_use]
pub fn parts_of(entry: &LogEntry) -> Vec<Part> {
    let provenance = &entry.provenance;
    let mut parts = vec![
        Part::Actor(provenance.actor.clone()),
        Part::Reason(provenance.reason.clone()),
        Part::Metadata(provenance.metadata.clone()),
    ];
    parts.extend(entry.schema.as_ref().map(|schema| Part::Schema {
        before: schema.before.clone(),
        after: schema.after.clone(),
    }));
    parts.extend(entry.records.iter().map(Part::of_record));
    parts.extend(entry.changes.iter().map(Part::of_change));
    parts
}

impl Entry {
    /// The entry with this header, but for how many parts it has, and these parts.
    #[must_use]
    pub fn new(mut header: Header, body: &Body) -> Self {
        header.part_count = u32::try_from(body.count()).unwrap_or(u32::MAX);
        let index = header.index;
        let header = header.encode();
        Self {
            index,
            leaf: leaf(&header, body),
            header,
            body: body.encode(),
        }
    }

    /// Its header.
    ///
    /// # Errors
    /// [`EntryError`]
    pub fn header(&self) -> Result<Header, EntryError> {
        Header::decode(&self.header)
    }

    /// Its parts.
    ///
    /// # Errors
    /// [`EntryError`]
    pub fn body(&self) -> Result<Body, EntryError> {
        Body::decode(&self.body)
    }
}

fn push_text(bytes: &mut Vec<u8>, kind: u8, text: Option<&str>) {
    bytes.push(kind);
    push_opt(bytes, text);
}

fn push_value(bytes: &mut Vec<u8>, value: Option<&RecordValue>) {
    match value {
        None => bytes.push(0),
        Some(RecordValue::Text(text)) => {
            bytes.push(1);
            push_str(bytes, text);
        }
        Some(RecordValue::Bytes(count)) => {
            bytes.push(2);
            push_number(bytes, *count);
        }
    }
}

fn push_number(bytes: &mut Vec<u8>, number: u64) {
    push_len(bytes, usize::try_from(number).unwrap_or(usize::MAX));
}

fn text(reader: &mut Reader<'_>) -> Result<String, EntryError> {
    Ok(reader.str()?.to_owned())
}

fn text_opt(reader: &mut Reader<'_>) -> Result<Option<String>, EntryError> {
    match reader.byte()? {
        0 => Ok(None),
        1 => text(reader).map(Some),
        _ => Err(damaged("a text that is neither there nor not")),
    }
}

fn value(reader: &mut Reader<'_>) -> Result<Option<RecordValue>, EntryError> {
    Ok(match reader.byte()? {
        0 => None,
        1 => Some(RecordValue::Text(text(reader)?)),
        2 => Some(RecordValue::Bytes(reader.len()? as u64)),
        _ => return Err(EntryError::Version),
    })
}

fn erased(reader: &mut Reader<'_>) -> Result<Vec<ErasedParts>, EntryError> {
    let mut erased = Vec::new();
    for _ in 0..reader.len()? {
        let index = reader.len()? as u64;
        let mut parts = Vec::new();
        for _ in 0..reader.len()? {
            parts.push(u32::try_from(reader.len()?).map_err(damaged)?);
        }
        erased.push(ErasedParts { index, parts });
    }
    Ok(erased)
}

fn damaged(detail: impl ToString) -> EntryError {
    EntryError::Damaged(detail.to_string())
}

impl From<BlockError> for EntryError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Version { .. } => Self::Version,
            BlockError::Damaged { detail } => Self::Damaged(detail),
        }
    }
}

#[cfg(test)]
mod tests;
