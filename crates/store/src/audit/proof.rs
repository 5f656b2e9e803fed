//! One entry, proven: a file for somebody who has nothing but the public key, in the manner of C2SP's tlog-proof.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra BASE64           the line of the entry, as an export has it
//! index 7
//! BASE64                 the hashes of the path, one a line
//!
//! CHECKPOINT             a signed note
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::entry::{Entry, leaf};
use super::export::{Line, LineError};
use super::note::{Checkpoint, NoteError, SignedNote, VerifyingKey};
use super::tree::{Hash, includes};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// An entry with what proves that it is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The entry.
    pub entry: Entry,
    /// The hashes from its leaf up to the root.
    pub path: Vec<Hash>,
    /// The checkpoint whose root that is.
    pub checkpoint: String,
}

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// It has not the form of one.
    #[error("it is no proof: {0}")]
    Form(&'static str),
    /// The entry cannot be read.
    #[error("its entry cannot be read")]
    Entry(#[from] LineError),
    /// The entry is damaged.
    #[error("its entry is damaged")]
    Damaged(#[from] super::EntryError),
    /// The checkpoint cannot be read.
    #[error("its checkpoint cannot be read")]
    Note(#[from] NoteError),
    /// The entry is not what its leaf says.
    #[error("what the entry says is not what its leaf was made of")]
    Leaf,
    /// The path does not lead to the root.
    #[error("the entry is not in the log that the checkpoint is of")]
    Path,
    /// None of the keys signed the checkpoint.
    #[error("none of the given keys signed the checkpoint")]
    Unsigned,
}

impl Proof {
    /// The text of a file.
    ///
    /// # Errors
    /// [`ProofError`] if the entry cannot be written down.
    pub fn to_text(&self) -> Result<String, ProofError> {
        let line = Line::entry(&self.entry)?.to_text()?;
        let mut text = format!(
            "{FIRST_LINE}\nextra {}\nindex {}\n",
            STANDARD.encode(line),
            self.entry.index
        );
        for hash in &self.path {
            text.push_str(&STANDARD.encode(hash.0));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        Ok(text)
    }

    /// The proof of a file's text.
    ///
    /// # Errors
    /// [`ProofError`]
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        let form = ProofError::Form;
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(form("no empty line parts the path and the checkpoint"))?;
        let mut lines = head.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(form("it begins with another line"));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let extra = extra.and_then(|text| STANDARD.decode(text).ok());
        let extra = extra.and_then(|bytes| String::from_utf8(bytes).ok());
        let line = Line::parse(&extra.ok_or(form("it has no entry"))?)?;
        let Line::Entry(entry) = line else {
            return Err(form("it has no entry"));
        };
        let entry = entry.to_entry()?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        if index != Some(entry.index.to_string().as_str()) {
            return Err(form("its index is not that of the entry"));
        }
        let hash = |line: &str| {
            let bytes = STANDARD.decode(line).ok()?;
            Some(Hash(bytes.try_into().ok()?))
        };
        let path: Option<Vec<Hash>> = lines.map(hash).collect();
        Ok(Self {
            entry,
            path: path.ok_or(form("its path is none"))?,
            checkpoint: checkpoint.to_owned(),
        })
    }

    /// Checks that the entry is in the log whose checkpoint one of `keys` signed, and gives that.
    ///
    /// # Errors
    /// [`ProofError`]
    pub fn check(&self, keys: &[VerifyingKey]) -> Result<Checkpoint, ProofError> {
        let note = SignedNote::parse(&self.checkpoint)?;
        let checkpoint = Checkpoint::parse(&note.text)?;
        let (header, body) = (self.entry.header()?, self.entry.body()?);
        if leaf(&self.entry.header, &body) != self.entry.leaf || header.index != self.entry.index {
            return Err(ProofError::Leaf);
        }
        let tree = (checkpoint.size, checkpoint.root);
        if !includes(self.entry.index, self.entry.leaf, &self.path, tree) {
            return Err(ProofError::Path);
        }
        match note.signer(keys) {
            Some(_) => Ok(checkpoint),
            None => Err(ProofError::Unsigned),
        }
    }
}
