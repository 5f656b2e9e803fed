//! A log as lines of JSON: all that it takes to verify it, and to read it without this program.
//!
//! The first line says of which store it is, how many entries follow and what their root is. Then comes a line for each checkpoint, and a line
//! for each entry. A line has one form: what says the same in other bytes is refused, so that no byte can change unseen.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{HistoryId, Revision, StoreId, Timestamp};
use serde::{Deserialize, Serialize};

use super::entry::{Body, Entry, ErasedParts, Header, Kind, Part, Piece, RecordValue};
use super::tree::Hash;

/// The form of the lines.
const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// The first one.
    RemitAudit(Opening),
    /// A checkpoint, as it was signed.
    Checkpoint(String),
    /// An entry.
    Entry(Box<EntryLine>),
}

/// What the first line says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The form of the lines.
    pub format: u32,
    /// How many entries follow.
    pub size: u64,
    /// The root over them, in hexadecimal.
    pub root: String,
    /// How many checkpoints follow.
    pub checkpoints: u64,
}

/// What the line of an entry says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryLine {
    index: u64,
    revision: u64,
    /// RFC 3339, for people; `time_micros` counts.
    time: String,
    time_micros: i64,
    store: String,
    history: String,
    kind: String,
    leaf: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<String>,
    parts: Vec<PartLine>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PartLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(flatten)]
    says: Says,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Says {
    /// The commitment to what is gone.
    Gone(String),
    Actor(String),
    Reason(Option<String>),
    Metadata(Option<String>),
    Origin(Option<String>),
    Schema(Sides<String>),
    Record(RecordLine),
    Relationship(Sides<String>),
    Erased(Vec<ErasedLine>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sides<T> {
    before: Option<T>,
    after: Option<T>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordLine {
    kind: String,
    key: String,
    before: Option<ValueLine>,
    after: Option<ValueLine>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ValueLine {
    Text(String),
    Bytes(u64),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErasedLine {
    index: u64,
    parts: Vec<u32>,
}

/// Why a line is none of a log.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is no line of this form.
    #[error("it is no line of an export of an audit log")]
    Json(#[source] serde_json::Error),
    /// It says something in other bytes than it has to.
    #[error("it is not written as an export writes it")]
    Form,
    /// It is of a later form.
    #[error("it has form {0}, this version knows form {FORMAT}")]
    Version(u32),
    /// One of its values is none.
    #[error("its `{0}` is none")]
    Value(&'static str),
}

impl Line {
    /// The first line of a log.
    #[must_use]
    pub fn opening(size: u64, root: Hash, checkpoints: u64) -> Self {
        Self::RemitAudit(Opening {
            format: FORMAT,
            size,
            root: root.to_string(),
            checkpoints,
        })
    }

    /// The line of an entry.
    ///
    /// # Errors
    /// [`super::EntryError`] if it cannot be read.
    pub fn entry(entry: &Entry) -> Result<Self, super::EntryError> {
        Ok(Self::Entry(Box::new(EntryLine::of(entry)?)))
    }

    /// Its text, without a line break.
    ///
    /// # Errors
    /// [`LineError::Json`] never, as all of it has a form in JSON.
    pub fn to_text(&self) -> Result<String, LineError> {
        serde_json::to_string(self).map_err(LineError::Json)
    }

    /// The line of a text, without a line break.
    ///
    /// # Errors
    /// [`LineError`]
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let line: Self = serde_json::from_str(text).map_err(LineError::Json)?;
        if line.to_text()? != text {
            return Err(LineError::Form);
        }
        match &line {
            Self::RemitAudit(opening) if opening.format != FORMAT => {
                Err(LineError::Version(opening.format))
            }
            Self::RemitAudit(_) | Self::Checkpoint(_) | Self::Entry(_) => Ok(line),
        }
    }
}

impl Opening {
    /// The root that it says.
    ///
    /// # Errors
    /// [`LineError::Value`]
    pub fn root(&self) -> Result<Hash, LineError> {
        of_hex(&self.root).map(Hash).ok_or(LineError::Value("root"))
    }
}

impl EntryLine {
    fn of(entry: &Entry) -> Result<Self, super::EntryError> {
        let header = entry.header()?;
        let (seed, parts) = match entry.body()? {
            Body::Whole { seed, parts } => {
                let plain = |part| PartLine {
                    salt: None,
                    says: Says::of(part),
                };
                let parts = parts.into_iter().map(plain).collect();
                (Some(STANDARD.encode(seed)), parts)
            }
            Body::Piecewise(pieces) => (None, pieces.into_iter().map(PartLine::of).collect()),
        };
        Ok(Self {
            index: header.index,
            revision: header.revision.0,
            time: header.time.to_string(),
            time_micros: header.time.as_micros(),
            store: hex(&header.store.0),
            history: hex(&header.history.0),
            kind: header.kind.name().to_owned(),
            leaf: entry.leaf.to_string(),
            seed,
            parts,
        })
    }

    /// The entry that it is of.
    ///
    /// # Errors
    /// [`LineError::Value`]
    pub fn to_entry(&self) -> Result<Entry, LineError> {
        let wrong = LineError::Value;
        let time = Timestamp::from_micros(self.time_micros).map_err(|_| wrong("time_micros"))?;
        if time.to_string() != self.time {
            return Err(wrong("time"));
        }
        let parts = self.parts.iter();
        let body = match &self.seed {
            Some(seed) => {
                let seed = of_base64(seed).ok_or(wrong("seed"))?;
                let parts = parts.map(|part| match (&part.salt, part.says.to_part()) {
                    (None, Some(part)) => Ok(part),
                    (Some(_), _) | (None, None) => Err(wrong("parts")),
                });
                Body::Whole {
                    seed,
                    parts: parts.collect::<Result<_, _>>()?,
                }
            }
            None => Body::Piecewise(parts.map(PartLine::to_piece).collect::<Result<_, _>>()?),
        };
        let header = Header {
            index: self.index,
            revision: Revision(self.revision),
            time,
            store: StoreId(of_hex(&self.store).ok_or(wrong("store"))?),
            history: HistoryId(of_hex(&self.history).ok_or(wrong("history"))?),
            kind: Kind::of_name(&self.kind).ok_or(wrong("kind"))?,
            part_count: u32::try_from(self.parts.len()).map_err(|_| wrong("parts"))?,
        };
        Ok(Entry {
            index: self.index,
            header: header.encode(),
            leaf: Hash(of_hex(&self.leaf).ok_or(wrong("leaf"))?),
            body: body.encode(),
        })
    }
}

impl PartLine {
    fn of(piece: Piece) -> Self {
        match piece {
            Piece::Erased(commitment) => Self {
                salt: None,
                says: Says::Gone(STANDARD.encode(commitment.0)),
            },
            Piece::Kept { salt, part } => Self {
                salt: Some(STANDARD.encode(salt)),
                says: Says::of(part),
            },
        }
    }

    fn to_piece(&self) -> Result<Piece, LineError> {
        match (&self.salt, &self.says, self.says.to_part()) {
            (None, Says::Gone(commitment), _) => {
                let hash = of_base64(commitment).ok_or(LineError::Value("gone"))?;
                Ok(Piece::Erased(Hash(hash)))
            }
            (Some(salt), _, Some(part)) => Ok(Piece::Kept {
                salt: of_base64(salt).ok_or(LineError::Value("salt"))?,
                part,
            }),
            (None | Some(_), _, _) => Err(LineError::Value("parts")),
        }
    }
}

impl Says {
    fn of(part: Part) -> Self {
        match part {
            Part::Actor(actor) => Self::Actor(actor),
            Part::Reason(text) => Self::Reason(text),
            Part::Metadata(text) => Self::Metadata(text),
            Part::Origin(text) => Self::Origin(text),
            Part::Schema { before, after } => Self::Schema(Sides {
                before,
                after: Some(after),
            }),
            Part::Record {
                kind,
                key,
                before,
                after,
            } => Self::Record(RecordLine {
                kind,
                key,
                before: before.map(ValueLine::of),
                after: after.map(ValueLine::of),
            }),
            Part::Relationship { before, after } => Self::Relationship(Sides { before, after }),
            Part::Erased(erased) => {
                let line = |ErasedParts { index, parts }| ErasedLine { index, parts };
                Self::Erased(erased.into_iter().map(line).collect())
            }
        }
    }

    /// The part; none for one that is gone, or says too little.
    fn to_part(&self) -> Option<Part> {
        Some(match self.clone() {
            Self::Gone(_) => return None,
            Self::Actor(actor) => Part::Actor(actor),
            Self::Reason(text) => Part::Reason(text),
            Self::Metadata(text) => Part::Metadata(text),
            Self::Origin(text) => Part::Origin(text),
            Self::Schema(Sides { before, after }) => Part::Schema {
                before,
                after: after?,
            },
            Self::Record(record) => Part::Record {
                kind: record.kind,
                key: record.key,
                before: record.before.map(ValueLine::value),
                after: record.after.map(ValueLine::value),
            },
            Self::Relationship(Sides { before, after }) => Part::Relationship { before, after },
            Self::Erased(erased) => {
                let parts = |ErasedLine { index, parts }| ErasedParts { index, parts };
                Part::Erased(erased.into_iter().map(parts).collect())
            }
        })
    }
}

impl ValueLine {
    fn of(value: RecordValue) -> Self {
        match value {
            RecordValue::Text(text) => Self::Text(text),
            RecordValue::Bytes(count) => Self::Bytes(count),
        }
    }

    fn value(self) -> RecordValue {
        match self {
            Self::Text(text) => RecordValue::Text(text),
            Self::Bytes(count) => RecordValue::Bytes(count),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    (hex(&bytes) == text).then_some(bytes)
}

fn of_base64<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
