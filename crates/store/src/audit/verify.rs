//! Whether a log is whole. Entries are told one after the other, in any number; what is kept of them is small.
//!
//! An entry is worked out from its parts: every commitment, its leaf, the tree. Each checkpoint has to be the root at its size, so all are
//! consistent with each other. A part that is gone has to be one that a later entry says was erased.

use std::collections::{BTreeMap, BTreeSet};

use model::{HistoryId, Revision, StoreId};

use super::entry::{Body, Entry, Header, leaf};
use super::erasures::{Erasures, StillErasing};
use super::note::{Checkpoint, SignedNote, VerifyingKey};
use super::tree::{Frontier, Hash, Place};

mod source;

pub use source::verify_store;

/// Findings that are told; more are counted.
const FINDINGS_MAX: usize = 100;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: an entry, a checkpoint.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

/// What was found of a log.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many entries it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The revisions of the first and the last entry.
    pub revisions: Option<(Revision, Revision)>,
    /// The histories, each with the entry that it begins with.
    pub histories: Vec<(HistoryId, u64)>,
    /// Parts that were erased.
    pub erased_count: u64,
    /// Checkpoints that one of the keys signed.
    pub signed_count: u64,
    /// Checkpoints that none of the keys signed, by the names that they say.
    pub unknown_keys: BTreeMap<String, u64>,
    /// How many entries the largest checkpoint covers that one of the keys signed.
    pub signed_size: u64,
    /// What is wrong, as far as it is told.
    pub findings: Vec<Finding>,
    /// How much is wrong.
    pub finding_count: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.finding_count == 0
    }
}

/// A log that is being verified.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<VerifyingKey>,
    frontier: Frontier,
    /// Roots that have to come out, by size, with what they are called.
    expected: BTreeMap<u64, Vec<(String, Hash)>>,
    last: Option<(Header, Revision)>,
    store: Option<StoreId>,
    erasures: Erasures,
    report: Report,
}

impl Verifier {
    /// Begins. The keys are those that checkpoints may be signed by.
    #[must_use]
    pub fn new(keys: Vec<VerifyingKey>) -> Self {
        Self {
            keys,
            frontier: Frontier::default(),
            expected: BTreeMap::new(),
            last: None,
            store: None,
            erasures: Erasures::default(),
            report: Report {
                size: 0,
                root: Hash::of_nothing(),
                revisions: None,
                histories: Vec::new(),
                erased_count: 0,
                signed_count: 0,
                unknown_keys: BTreeMap::new(),
                signed_size: 0,
                findings: Vec::new(),
                finding_count: 0,
            },
        }
    }

    /// Notes that something is wrong.
    pub fn find(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.report.finding_count += 1;
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding {
                place: place.into(),
                what: what.into(),
            });
        }
    }

    /// Takes in a checkpoint, of `size` entries as whoever kept it says. It has to come before the entries that it is of.
    pub fn checkpoint(&mut self, called: &str, size: Option<u64>, note: &str) {
        let parsed = SignedNote::parse(note);
        let parsed = parsed.and_then(|note| Ok((Checkpoint::parse(&note.text)?, note)));
        let (checkpoint, note) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return self.find(called, error.to_string()),
        };
        if size.is_some_and(|size| size != checkpoint.size) {
            self.find(called, "it is kept as one of another size");
        }
        if note.signer(&self.keys).is_some() {
            self.report.signed_count += 1;
            self.report.signed_size = self.report.signed_size.max(checkpoint.size);
        } else if note.is_forged(&self.keys) {
            self.find(called, "its signature is not that of the key that it names");
        } else {
            let names = note.signatures.iter();
            let names: Vec<&str> = names.map(|signature| signature.name.as_str()).collect();
            if !self.keys.is_empty() {
                let names = names.join(", ");
                self.find(
                    called,
                    format!(
                        "none of the given keys signed it, but {names} as it says; give the public lines of all keys there were"
                    ),
                );
            }
            for name in names {
                *self.report.unknown_keys.entry(name.to_owned()).or_default() += 1;
            }
        }
        self.root(called, checkpoint.size, checkpoint.root);
    }

    /// Takes in a root that has to come out at a size, which was not reached yet.
    pub fn root(&mut self, called: &str, size: u64, root: Hash) {
        if size < self.frontier.size() {
            return self.find(called, "it came after the entries that it is of");
        }
        let expected = self.expected.entry(size).or_default();
        expected.push((called.to_owned(), root));
        if size == self.frontier.size() {
            self.meet_roots();
        }
    }

    /// Takes in the next entry. Tells each hash of the tree that is kept and is complete by it.
    pub fn entry(&mut self, entry: &Entry, complete: impl FnMut(Place, Hash)) {
        let index = self.frontier.size();
        let place = format!("entry {index}");
        if entry.index != index {
            self.find(&place, format!("entry {} is in its place", entry.index));
        }
        let leaf = match (entry.header(), entry.body()) {
            (Ok(header), Ok(body)) => {
                self.header(&place, &header);
                self.body(&place, (index, &header), &body);
                if body.encode() != entry.body {
                    self.find(&place, "its parts are not written as they have to be");
                }
                leaf(&entry.header, &body)
            }
            (Err(error), _) => {
                self.find(&place, format!("its header: {error}"));
                entry.leaf
            }
            (_, Err(error)) => {
                self.find(&place, format!("its parts: {error}"));
                entry.leaf
            }
        };
        if leaf != entry.leaf {
            self.find(
                &place,
                "what it says is not what its leaf was made of: header, parts or leaf were altered",
            );
        }
        // The leaf as it is stored: what was altered in one entry is not to show in all that follow.
        self.frontier.push(entry.leaf, complete);
        self.meet_roots();
    }

    fn header(&mut self, place: &str, header: &Header) {
        let index = self.frontier.size();
        if header.index != index {
            self.find(place, format!("it says that it is entry {}", header.index));
        }
        if *self.store.get_or_insert(header.store) != header.store {
            self.find(place, "it is of another store than the first one");
        }
        let last = self.last;
        if let Some((last, _)) = last {
            if header.revision != last.revision.next() {
                let (found, expected) = (header.revision, last.revision.next());
                self.find(place, format!("it is of revision {found}, not {expected}"));
            }
            if header.time < last.time {
                self.find(place, "it is earlier than the one before it");
            }
        }
        if last.is_none_or(|(last, _)| last.history != header.history) {
            self.report.histories.push((header.history, index));
        }
        let first = last.map_or(header.revision, |(_, first)| first);
        self.report.revisions = Some((first, header.revision));
        self.last = Some((*header, first));
    }

    fn body(&mut self, place: &str, (index, header): (u64, &Header), body: &Body) {
        if usize::try_from(header.part_count).ok() != Some(body.count()) {
            let (says, has) = (header.part_count, body.count());
            self.find(
                place,
                format!("it says that it has {says} parts and has {has}"),
            );
        }
        self.erasures.meet(index, body);
    }

    /// Whether entries that came meanwhile are to be taken in too, up to the end of the log as it is now: they may say who erased
    /// what is gone. For a log that is in use; not asked of a file.
    ///
    /// # Errors
    /// [`StillErasing`] if that was so too often.
    pub fn reads_on(&mut self) -> Result<bool, StillErasing> {
        self.erasures.read_on()
    }

    /// The entries that [`Self::entry_again`] is to be told, if the log is in use: what is said to be erased from them was there, and
    /// may have been erased since they were read.
    #[must_use]
    pub fn to_read_again(&self) -> BTreeSet<u64> {
        self.erasures.to_read_again()
    }

    /// Takes in an entry that was taken in before, as it is now.
    pub fn entry_again(&mut self, entry: &Entry) {
        // What cannot be read now leaves the finding that it was read again for.
        let (Ok(header), Ok(body)) = (entry.header(), entry.body()) else {
            return;
        };
        let index = entry.index;
        if header.index != index || leaf(&entry.header, &body) != entry.leaf {
            self.find(
                format!("entry {index}"),
                "what it says was altered while the log was verified",
            );
        }
        self.erasures.meet_again(index, &body);
    }

    fn meet_roots(&mut self) {
        let Some(expected) = self.expected.remove(&self.frontier.size()) else {
            return;
        };
        let root = self.frontier.root();
        for (called, hash) in expected {
            if hash != root {
                let size = self.frontier.size();
                self.find(
                    called,
                    format!(
                        "the root over the first {size} entries is another: the log was altered or forked before its entry {size}"
                    ),
                );
            }
        }
    }

    /// How many entries there were so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Ends: there are no more entries.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let size = self.frontier.size();
        for (at, expected) in std::mem::take(&mut self.expected) {
            for (called, _) in expected {
                self.find(
                    called,
                    format!(
                        "it is of {at} entries, and the log has {size}: the others were cut off"
                    ),
                );
            }
        }
        let erasures = std::mem::take(&mut self.erasures);
        for (index, part) in erasures.unexplained() {
            self.find(
                format!("entry {index}"),
                format!("part {part} is gone, and no entry says that it was erased"),
            );
        }
        for ((index, part), by) in erasures.contradicted() {
            self.find(
                format!("entry {index}"),
                format!("part {part} is there, and entry {by} says that it was erased"),
            );
        }
        if size > 0 && !self.keys.is_empty() && self.report.signed_count == 0 {
            self.find(
                "the signatures",
                format!(
                    "no checkpoint is signed by one of the given keys, though there are {size} entries: the log was never signed, or its checkpoints were removed"
                ),
            );
        }
        self.report.erased_count = erasures.gone();
        self.report.size = size;
        self.report.root = self.frontier.root();
        self.report
    }

    /// The revision of the first entry.
    #[must_use]
    pub fn first_revision(&self) -> Option<Revision> {
        self.last.map(|(_, first)| first)
    }
}
