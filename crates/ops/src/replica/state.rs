//! All that a node holds at one revision, in parts that another process can load.
//!
//! It is told from the snapshot, which does not change, so that a slow reader holds up neither the store nor the node. The parts are
//! those of the wire and of a copy on disk alike.

use std::ops::ControlFlow;
use std::sync::Arc;

use identity::Caller;
use model::{Relationship, RelationshipFilter};
use store::commit::canonical;
use store::{Change, Digest, Head, RecordChange, RecordKey, StoreIdentity, StoredSchema};

use super::admit;
use crate::error::Error;
use crate::node::{Node, Published};
use crate::streaming::Streaming;

/// Parts that may wait for a reader.
const PARTS_WAITING_MAX: usize = 2;
/// A block is closed once it has so many bytes, as estimated.
const BLOCK_BYTES: usize = 256 << 10;
/// What a relationship takes in a block beside its ids and its context, as estimated.
const ROW_BYTES: usize = 64;

/// What a node holds at one revision. A clone is cheap.
#[derive(Debug, Clone)]
pub struct State {
    identity: StoreIdentity,
    published: Arc<Published>,
}

/// What a state is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The store and its history.
    pub identity: StoreIdentity,
    /// The commit.
    pub head: Head,
    /// Its schema.
    pub schema: Option<StoredSchema>,
}

/// A part of a state: a header, blocks, an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// What it is of.
    Header(Header),
    /// Records, then relationships, as [`canonical`] has the changes that add them.
    Block(Vec<u8>),
    /// That it is whole.
    End {
        /// Of all relationships.
        digest: Digest,
        /// How many records there are.
        record_count: u64,
    },
}

impl Published {
    /// The commit.
    pub(super) fn head(&self) -> Head {
        Head {
            revision: self.snapshot.revision(),
            time: self.snapshot.time(),
            hash: self.hash,
            schema_revision: self.schema_revision,
        }
    }
}

impl State {
    /// The newest that the node has, which need not be the head.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`] for a caller that may not replicate, [`crate::Kind::Unavailable`] from a node that does not answer.
    pub fn newest(node: &Node, caller: &Caller) -> Result<Self, Error> {
        admit(node, caller)?;
        Ok(Self::of(node, node.current.load_full()))
    }

    fn of(node: &Node, published: Arc<Published>) -> Self {
        Self {
            identity: node.identity(),
            published,
        }
    }

    /// What it is of.
    #[must_use]
    pub fn header(&self) -> Header {
        let head = self.published.head();
        let text = self.published.snapshot.schema().to_text();
        Header {
            identity: self.identity,
            head,
            schema: (!text.is_empty()).then_some(StoredSchema {
                revision: head.schema_revision,
                text,
            }),
        }
    }

    /// Tells the parts, until `sink` breaks.
    ///
    /// # Cost
    /// A walk over all relationships, under a microsecond each; one block is in memory at a time.
    pub fn tell(&self, sink: &mut dyn FnMut(Part) -> ControlFlow<()>) -> ControlFlow<()> {
        sink(Part::Header(self.header()))?;
        let mut records = Vec::new();
        let mut bytes = 0;
        for (key, value) in self.published.records.stored() {
            bytes += value.len() + ROW_BYTES;
            records.push(added_record(key, value));
            if bytes >= BLOCK_BYTES {
                bytes = 0;
                sink(Part::Block(canonical::encode_changes(
                    &[],
                    &std::mem::take(&mut records),
                )))?;
            }
        }
        if !records.is_empty() {
            sink(Part::Block(canonical::encode_changes(&[], &records)))?;
        }
        let mut digest = Digest::default();
        let mut rows = Vec::new();
        bytes = 0;
        let all = RelationshipFilter::default();
        for relationship in self.published.snapshot.relationships(&all) {
            digest.add(&relationship);
            bytes += row_bytes(&relationship);
            rows.push(Change {
                before: None,
                after: Some(relationship),
            });
            if bytes >= BLOCK_BYTES {
                bytes = 0;
                sink(Part::Block(canonical::encode_changes(&rows, &[])))?;
                rows.clear();
            }
        }
        if !rows.is_empty() {
            sink(Part::Block(canonical::encode_changes(&rows, &[])))?;
        }
        let record_count = self.published.records.stored().len() as u64;
        sink(Part::End {
            digest,
            record_count,
        })
    }
}

fn added_record(key: &RecordKey, value: &[u8]) -> RecordChange {
    RecordChange {
        key: key.clone(),
        before: None,
        after: Some(value.to_vec()),
    }
}

fn row_bytes(relationship: &Relationship) -> usize {
    let context = relationship.caveat.as_ref();
    let context = context.map_or(0, |caveat| caveat.context.to_json().len());
    let ids = relationship.resource.id.as_str().len() + relationship.subject.id.as_str().len();
    ROW_BYTES + ids + context
}

/// The state at the head of the store, or a later one.
///
/// # Errors
/// [`crate::Kind::Forbidden`] for a caller that may not, also later; [`crate::Kind::Overloaded`] past the loads that a node may have at once, and for
/// a reader that is too slow; [`crate::Kind::Unavailable`] if the store cannot be asked for its head.
/// # Cost
/// As [`State::tell`], on a thread of its own.
pub async fn state(node: &Arc<Node>, caller: &Caller) -> Result<Streaming<Part>, Error> {
    admit(node, caller)?;
    let place = node.replicas().load()?;
    let state = State::of(node, node.at_head().await?);
    let (feeding, parts) = Streaming::new(PARTS_WAITING_MAX, node.replicas().settings.stall_max);
    let (node, caller) = (Arc::clone(node), caller.clone());
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut failed = None;
        let _is_whole = state.tell(&mut |part| {
            let sent = admit(&node, &caller).and_then(|()| runtime.block_on(feeding.send(part)));
            match sent {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        if let Some(error) = failed {
            feeding.fail(error);
        }
    });
    Ok(parts)
}
