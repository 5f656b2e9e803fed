//! The canonical bytes of commits: what the hash chain covers, and what the log keeps as its block of changes.
//!
//! Every store computes the same hash for the same commit, so a token stays good when a history moves to another kind
//! of store. The bytes:
//!
//! ```text
//! entry     = "remit.commit.1" previous:32 revision:u64be time:i64be kind:u8 actor:str reason:opt metadata:opt
//!             schema:opt changes                       kind 0 ordinary, 1 housekeeping; schema is the text after
//! hash      = BLAKE3-256(entry)
//! changes   = version:u8 (1, with records 2) count:varint change* (count:varint record*)?
//! change    = sides:u8 (1 before, 2 after, 3 both) key before:traits? after:traits?
//! key       = resource definition, resource id, relation, subject definition, subject id, subject relation: 6 x str
//!             ("*" for the wildcard, "" for no subject relation)
//! traits    = flags:u8 (1 caveat, 2 expiration) (name:str context:str)? expires_at:i64be?
//! record    = sides:u8 (1 before, 2 after, 3 both) kind:str key:str before:bytes? after:bytes?
//! bytes     = length:varint bytes
//! opt       = 0:u8 | 1:u8 str
//! str       = length:varint UTF-8 bytes                context: compact JSON with sorted keys
//! varint    = unsigned LEB128, shortest form           times: microseconds since 1970-01-01T00:00:00Z
//! ```
//!
//! A later form of the block takes another version number, so that an older node refuses it rather than misreads it.

use model::{
    CaveatName, CaveatRef, CommitHash, Context, DefinitionName, ObjectId, ObjectRef, Operation,
    Precondition, RelationName, Relationship, RelationshipFilter, ResourceIdFilter, Revision,
    SubjectFilter, SubjectId, SubjectRef, SubjectRelationFilter, Timestamp,
};

use crate::audit::Part;

use super::{Change, ChangeRequest, CommitRequest, Provenance, RecordChange, RecordKey};

const ENTRY_DOMAIN: &[u8] = b"remit.commit.1";
const REQUEST_DOMAIN: &[u8] = b"remit.request.1";
/// The form of a block without records, and that of one with them.
const CHANGES_VERSION: u8 = 1;
const RECORDS_VERSION: u8 = 2;
const FILTER_VERSION: u8 = 1;

/// The fewest bytes that a change takes; bounds what a damaged count can make a reader allocate.
const CHANGE_BYTES_MIN: usize = 12;

/// Everything of an entry but its changes.
#[derive(Debug, Clone, Copy)]
pub struct EntryHeader<'a> {
    /// The hash of the commit before it.
    pub previous: CommitHash,
    /// The revision of the commit.
    pub revision: Revision,
    /// The time of the commit.
    pub time: Timestamp,
    /// Whether it only removed expired rows.
    pub housekeeping: bool,
    /// Who made it, and why.
    pub provenance: &'a Provenance,
    /// The schema's text after the commit, if it changed.
    pub schema: Option<&'a str>,
}

/// Why bytes are no block of changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The block has a form that this version does not know.
    #[error("the changes have format {version}, this version reads up to {RECORDS_VERSION}")]
    Version {
        /// The format's number.
        version: u8,
    },
    /// The bytes are damaged.
    #[error("the changes are damaged: {detail}")]
    Damaged {
        /// What is wrong.
        detail: String,
    },
}

impl EntryHeader<'_> {
    /// The hash of the entry with this block of changes.
    #[must_use]
    pub fn hash(&self, changes: &[u8]) -> CommitHash {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(ENTRY_DOMAIN);
        bytes.extend(self.previous.0);
        bytes.extend(self.revision.0.to_be_bytes());
        bytes.extend(self.time.as_micros().to_be_bytes());
        bytes.push(u8::from(self.housekeeping));
        push_str(&mut bytes, &self.provenance.actor);
        push_opt(&mut bytes, self.provenance.reason.as_deref());
        push_opt(&mut bytes, self.provenance.metadata.as_deref());
        push_opt(&mut bytes, self.schema);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes);
        hasher.update(changes);
        CommitHash(*hasher.finalize().as_bytes())
    }
}

/// What a block holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Block {
    /// What changed of the relationships.
    pub changes: Vec<Change>,
    /// What changed of the records.
    pub records: Vec<RecordChange>,
}

/// The block of these changes.
#[must_use]
pub fn encode_changes(changes: &[Change], records: &[RecordChange]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + changes.len() * 64);
    bytes.push(if records.is_empty() {
        CHANGES_VERSION
    } else {
        RECORDS_VERSION
    });
    push_len(&mut bytes, changes.len());
    for change in changes {
        let Some(relationship) = change.relationship() else {
            continue;
        };
        bytes.push(u8::from(change.before.is_some()) | u8::from(change.after.is_some()) << 1);
        push_key(&mut bytes, relationship);
        for side in [&change.before, &change.after].into_iter().flatten() {
            push_traits(&mut bytes, side);
        }
    }
    if !records.is_empty() {
        push_len(&mut bytes, records.len());
    }
    for RecordChange { key, before, after } in records {
        bytes.push(u8::from(before.is_some()) | u8::from(after.is_some()) << 1);
        push_str(&mut bytes, key.kind());
        push_str(&mut bytes, key.key());
        for side in [before, after].into_iter().flatten() {
            push_bytes(&mut bytes, side);
        }
    }
    bytes
}

/// The changes of a block.
///
/// # Errors
/// [`BlockError`] if the block has a later form, or is damaged.
pub fn decode_changes(block: &[u8]) -> Result<Block, BlockError> {
    let mut reader = Reader { rest: block };
    let version = reader.byte()?;
    if ![CHANGES_VERSION, RECORDS_VERSION].contains(&version) {
        return Err(BlockError::Version { version });
    }
    let count = reader.len()?;
    let mut changes = Vec::with_capacity(count.min(block.len() / CHANGE_BYTES_MIN));
    for _ in 0..count {
        changes.push(reader.change()?);
    }
    let mut records = Vec::new();
    if version == RECORDS_VERSION {
        for _ in 0..reader.len()? {
            records.push(reader.record()?);
        }
        if records.is_empty() {
            return Err(damaged("a form for records without any"));
        }
    }
    if !reader.rest.is_empty() {
        return Err(damaged("bytes after the last change"));
    }
    Ok(Block { changes, records })
}

/// The bytes of a pattern of relationships, for records that hold one.
#[must_use]
pub fn encode_filter(filter: &RelationshipFilter) -> Vec<u8> {
    let mut bytes = vec![FILTER_VERSION];
    push_filter(&mut bytes, filter);
    bytes
}

/// The pattern of such bytes.
///
/// # Errors
/// [`BlockError`] if they have a later form, or are damaged.
pub fn decode_filter(bytes: &[u8]) -> Result<RelationshipFilter, BlockError> {
    let mut reader = Reader { rest: bytes };
    let version = reader.byte()?;
    if version != FILTER_VERSION {
        return Err(BlockError::Version { version });
    }
    let filter = reader.filter()?;
    if !reader.rest.is_empty() {
        return Err(damaged("bytes after a pattern"));
    }
    Ok(filter)
}

/// A digest of what a request asks for, which tells a repetition from another use of the same idempotency key. Base,
/// reason, metadata and `now` are not part of it: a caller who asks again may rightly send others.
#[must_use]
pub fn request_digest(request: &CommitRequest) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(64 + request.changes.len() * 64);
    bytes.extend(REQUEST_DOMAIN);
    push_str(&mut bytes, &request.provenance.actor);
    push_len(&mut bytes, request.preconditions.len());
    for precondition in &request.preconditions {
        bytes.push(match precondition {
            Precondition::MustMatch(_) => 0,
            Precondition::MustNotMatch(_) => 1,
        });
        push_filter(&mut bytes, precondition.filter());
    }
    for change in &request.changes {
        push_change_request(&mut bytes, change);
    }
    *blake3::hash(&bytes).as_bytes()
}

fn push_change_request(bytes: &mut Vec<u8>, change: &ChangeRequest) {
    match change {
        ChangeRequest::Relationship(update) => {
            bytes.push(match update.operation {
                Operation::Create => 0,
                Operation::Touch => 1,
                Operation::Delete => 2,
            });
            push_key(bytes, &update.relationship);
            push_traits(bytes, &update.relationship);
        }
        ChangeRequest::DeleteMatching {
            filter,
            limit,
            partial,
        } => {
            bytes.push(3);
            push_filter(bytes, filter);
            bytes.push(u8::from(*partial));
            bytes.extend(limit.map_or(u64::MAX, u64::from).to_be_bytes());
        }
        ChangeRequest::Schema(text) => {
            bytes.push(4);
            push_str(bytes, text);
        }
        ChangeRequest::Record { key, value } => {
            bytes.push(6);
            push_str(bytes, key.kind());
            push_str(bytes, key.key());
            bytes.push(u8::from(value.is_some()));
            push_bytes(bytes, value.as_deref().unwrap_or_default());
        }
        ChangeRequest::Erase(erased) => {
            bytes.push(7);
            bytes.extend(Part::Erased(erased.clone()).encode());
        }
        ChangeRequest::RemoveExpired { before, limit } => {
            bytes.push(5);
            bytes.extend(before.as_micros().to_be_bytes());
            bytes.extend(limit.to_be_bytes());
        }
    }
}

fn push_filter(bytes: &mut Vec<u8>, filter: &RelationshipFilter) {
    push_opt(
        bytes,
        filter.definition.as_ref().map(DefinitionName::as_str),
    );
    let (kind, id) = match &filter.resource_id {
        None => (0, None),
        Some(ResourceIdFilter::Exact(id)) => (1, Some(id)),
        Some(ResourceIdFilter::Prefix(id)) => (2, Some(id)),
    };
    bytes.push(kind);
    push_opt(bytes, id.map(ObjectId::as_str));
    push_opt(bytes, filter.relation.as_ref().map(RelationName::as_str));
    let Some(subject) = &filter.subject else {
        bytes.push(0);
        return;
    };
    bytes.push(1);
    push_str(bytes, subject.definition.as_str());
    push_opt(bytes, subject.id.as_ref().map(SubjectId::as_str));
    match &subject.relation {
        SubjectRelationFilter::Any => bytes.push(0),
        SubjectRelationFilter::None => bytes.push(1),
        SubjectRelationFilter::Relation(name) => {
            bytes.push(2);
            push_str(bytes, name.as_str());
        }
    }
}

fn push_key(bytes: &mut Vec<u8>, relationship: &Relationship) {
    push_str(bytes, relationship.resource.definition.as_str());
    push_str(bytes, relationship.resource.id.as_str());
    push_str(bytes, relationship.relation.as_str());
    push_str(bytes, relationship.subject.definition.as_str());
    push_str(bytes, relationship.subject.id.as_str());
    push_str(
        bytes,
        relationship
            .subject
            .relation
            .as_ref()
            .map_or("", RelationName::as_str),
    );
}

fn push_traits(bytes: &mut Vec<u8>, relationship: &Relationship) {
    let (caveat, expires_at) = (&relationship.caveat, relationship.expires_at);
    bytes.push(u8::from(caveat.is_some()) | u8::from(expires_at.is_some()) << 1);
    if let Some(caveat) = caveat {
        push_str(bytes, caveat.name.as_str());
        push_str(bytes, &caveat.context.to_json());
    }
    if let Some(expires_at) = expires_at {
        bytes.extend(expires_at.as_micros().to_be_bytes());
    }
}

pub(crate) fn push_opt(bytes: &mut Vec<u8>, text: Option<&str>) {
    bytes.push(u8::from(text.is_some()));
    if let Some(text) = text {
        push_str(bytes, text);
    }
}

pub(crate) fn push_str(bytes: &mut Vec<u8>, text: &str) {
    push_bytes(bytes, text.as_bytes());
}

pub(crate) fn push_bytes(bytes: &mut Vec<u8>, value: &[u8]) {
    push_len(bytes, value.len());
    bytes.extend_from_slice(value);
}

pub(crate) fn push_len(bytes: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        // PANIC: masked to seven bits, so nothing is cut.
        bytes.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
}

pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn change(&mut self) -> Result<Change, BlockError> {
        let sides = self.byte()?;
        if !(1..=3).contains(&sides) {
            return Err(damaged("a change without sides"));
        }
        let bare = self.key()?;
        let before = (sides & 1 != 0).then(|| self.side(&bare)).transpose()?;
        let after = (sides & 2 != 0).then(|| self.side(&bare)).transpose()?;
        Ok(Change { before, after })
    }

    fn key(&mut self) -> Result<Relationship, BlockError> {
        let resource = ObjectRef {
            definition: self.name(DefinitionName::new)?,
            id: self.name(ObjectId::new)?,
        };
        let relation = self.name(RelationName::new)?;
        let definition = self.name(DefinitionName::new)?;
        let id = self.subject_id()?;
        let subject_relation = match self.str()? {
            "" => None,
            name => Some(RelationName::new(name).map_err(damaged)?),
        };
        let subject = SubjectRef {
            definition,
            id,
            relation: subject_relation,
        };
        Ok(Relationship::new(resource, relation, subject))
    }

    fn side(&mut self, bare: &Relationship) -> Result<Relationship, BlockError> {
        let mut relationship = bare.clone();
        let flags = self.byte()?;
        if flags & 1 != 0 {
            let name = self.name(CaveatName::new)?;
            let context = Context::from_json(self.str()?).map_err(damaged)?;
            relationship.caveat = Some(CaveatRef { name, context });
        }
        if flags & 2 != 0 {
            let micros = i64::from_be_bytes(self.array()?);
            relationship.expires_at = Some(Timestamp::from_micros(micros).map_err(damaged)?);
        }
        Ok(relationship)
    }

    fn record(&mut self) -> Result<RecordChange, BlockError> {
        let sides = self.byte()?;
        if !(1..=3).contains(&sides) {
            return Err(damaged("a change without sides"));
        }
        let key = RecordKey::new(self.str()?, self.str()?).map_err(damaged)?;
        let before = (sides & 1 != 0).then(|| self.bytes()).transpose()?;
        let after = (sides & 2 != 0).then(|| self.bytes()).transpose()?;
        Ok(RecordChange {
            key,
            before: before.map(<[u8]>::to_vec),
            after: after.map(<[u8]>::to_vec),
        })
    }

    fn filter(&mut self) -> Result<RelationshipFilter, BlockError> {
        let definition = self.opt(DefinitionName::new)?;
        let kind = self.byte()?;
        let id = self.opt(ObjectId::new)?;
        let resource_id = match (kind, id) {
            (0, None) => None,
            (1, Some(id)) => Some(ResourceIdFilter::Exact(id)),
            (2, Some(id)) => Some(ResourceIdFilter::Prefix(id)),
            (_, None | Some(_)) => return Err(damaged("a pattern of ids of no known kind")),
        };
        let relation = self.opt(RelationName::new)?;
        let subject = match self.byte()? {
            0 => None,
            _ => Some(self.subject_filter()?),
        };
        Ok(RelationshipFilter {
            definition,
            resource_id,
            relation,
            subject,
        })
    }

    fn subject_filter(&mut self) -> Result<SubjectFilter, BlockError> {
        let definition = self.name(DefinitionName::new)?;
        let id = match self.byte()? {
            0 => None,
            _ => Some(self.subject_id()?),
        };
        let relation = match self.byte()? {
            0 => SubjectRelationFilter::Any,
            1 => SubjectRelationFilter::None,
            _ => SubjectRelationFilter::Relation(self.name(RelationName::new)?),
        };
        Ok(SubjectFilter {
            definition,
            id,
            relation,
        })
    }

    fn subject_id(&mut self) -> Result<SubjectId, BlockError> {
        Ok(match self.str()? {
            "*" => SubjectId::Wildcard,
            id => SubjectId::Object(ObjectId::new(id).map_err(damaged)?),
        })
    }

    fn opt<T>(
        &mut self,
        parse: fn(&str) -> Result<T, model::NameError>,
    ) -> Result<Option<T>, BlockError> {
        match self.byte()? {
            0 => Ok(None),
            _ => self.name(parse).map(Some),
        }
    }

    fn name<T>(&mut self, parse: fn(&str) -> Result<T, model::NameError>) -> Result<T, BlockError> {
        parse(self.str()?).map_err(damaged)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, BlockError> {
        std::str::from_utf8(self.bytes()?).map_err(damaged)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], BlockError> {
        let len = self.len()?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn len(&mut self) -> Result<usize, BlockError> {
        let mut len = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            len |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(len).map_err(damaged);
            }
        }
        Err(damaged("a length without end"))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, BlockError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], BlockError> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(*array)
    }
}

fn cut_short() -> BlockError {
    damaged("it ends too early")
}

fn damaged(detail: impl ToString) -> BlockError {
    BlockError::Damaged {
        detail: detail.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: Option<&str>, after: Option<&str>) -> Change {
        let parse = |text: &str| text.parse::<Relationship>().unwrap();
        Change {
            before: before.map(parse),
            after: after.map(parse),
        }
    }

    fn sample() -> Vec<Change> {
        vec![
            change(None, Some("document:readme#viewer@user:ann")),
            change(
                Some("document:readme#viewer@group:eng#member[expiration:2027-01-31T00:00:00Z]"),
                Some(r#"document:readme#viewer@group:eng#member[office_hours:{"zone":"CET"}]"#),
            ),
            change(Some("document:readme#viewer@user:*"), None),
        ]
    }

    fn sample_records() -> Vec<RecordChange> {
        let change = |key, before: Option<&[u8]>, after: Option<&[u8]>| RecordChange {
            key: RecordKey::new("counter", key).unwrap(),
            before: before.map(<[u8]>::to_vec),
            after: after.map(<[u8]>::to_vec),
        };
        vec![
            change("one", None, Some(b"\0\xff")),
            change("two", Some(b""), Some(b"x")),
            change("three", Some(b"y"), None),
        ]
    }

    #[test]
    fn changes_round_trip() {
        for records in [Vec::new(), sample_records()] {
            let block = Block {
                changes: sample(),
                records,
            };
            let encoded = encode_changes(&block.changes, &block.records);
            assert_eq!(decode_changes(&encoded).unwrap(), block);
        }
        let nothing = encode_changes(&[], &[]);
        assert_eq!(decode_changes(&nothing).unwrap(), Block::default());
        assert!(decode_changes(&[2, 0, 0]).is_err());
    }

    #[test]
    fn patterns_round_trip() {
        let all = RelationshipFilter {
            definition: Some("document".parse().unwrap()),
            resource_id: Some(ResourceIdFilter::Prefix(ObjectId::new("re").unwrap())),
            relation: Some("viewer".parse().unwrap()),
            subject: Some(SubjectFilter {
                definition: "group".parse().unwrap(),
                id: Some(SubjectId::Wildcard),
                relation: SubjectRelationFilter::Relation("member".parse().unwrap()),
            }),
        };
        let mut few = all.clone();
        few.resource_id = Some(ResourceIdFilter::Exact(ObjectId::new("a").unwrap()));
        few.subject = None;
        for filter in [all, few, RelationshipFilter::default()] {
            let bytes = encode_filter(&filter);
            assert_eq!(decode_filter(&bytes), Ok(filter));
            for end in 0..bytes.len() {
                assert!(decode_filter(&bytes[..end]).is_err());
            }
        }
        assert_eq!(decode_filter(&[9]), Err(BlockError::Version { version: 9 }));
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let block = encode_changes(&sample(), &sample_records());
        for end in 0..block.len() {
            assert!(decode_changes(&block[..end]).is_err());
        }
        for at in 0..block.len() {
            for bit in 0..8 {
                let mut damaged = block.clone();
                damaged[at] ^= 1 << bit;
                let _ = decode_changes(&damaged);
            }
        }
        assert_eq!(
            decode_changes(&[9, 0]),
            Err(BlockError::Version { version: 9 })
        );
        assert!(
            decode_changes(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_err()
        );
    }

    #[test]
    fn the_hash_is_fixed_for_good() {
        let provenance = Provenance {
            actor: "ann".to_owned(),
            reason: Some("TICKET-1".to_owned()),
            metadata: None,
            origin: None,
        };
        let header = EntryHeader {
            previous: CommitHash::ZERO,
            revision: Revision(1),
            time: Timestamp::EPOCH,
            housekeeping: false,
            provenance: &provenance,
            schema: Some("definition user {}"),
        };
        let hash = blake3::Hash::from_bytes(header.hash(&encode_changes(&sample(), &[])).0)
            .to_hex()
            .to_string();
        assert_eq!(
            hash,
            "455c405ab21eb2d22372c934f7be8b829ea8a945fdbc6741b48e44c1329d2744"
        );
    }
}
