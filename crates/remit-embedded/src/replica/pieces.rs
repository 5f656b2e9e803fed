//! The pieces that a state comes in, over the wire and from a cache alike, and the rows that they hold.

use std::ops::ControlFlow;

use model::{CommitHash, HistoryId, Relationship, Revision, StoreId, Timestamp};
use ops::replica::{Header, Part};
use remit_proto::remit::v1 as wire;
use remit_proto::remit::v1::read_state_response::Part as Piece;
use store::commit::canonical::{self, BlockError};
use store::{Digest, Head, Record, ScanHeader, ScanRow, StoreIdentity, StoredSchema};

/// Why pieces make no state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PieceError {
    #[error("a message of the server lacks its {0}, or has a wrong one")]
    Field(&'static str),
    #[error("a piece came out of its order")]
    Order,
    #[error("the state has not the records that it should")]
    Records,
    #[error("the state ended before its end")]
    Torn,
    #[error("the state is of another store or history than the one that is followed")]
    OtherStore,
    #[error("the state has {found} relationships with another digest than the {told} it should")]
    Differs { found: u64, told: u64 },
    #[error(transparent)]
    Block(#[from] BlockError),
}

/// Takes the pieces of a state in their order and hands out what they hold.
#[derive(Debug)]
pub(crate) struct Assembly {
    identity: StoreIdentity,
    header: Option<ScanHeader>,
    digest: Digest,
    has_rows: bool,
    is_whole: bool,
}

/// What takes the rows.
pub(crate) type Sink<'s> = dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()> + 's;

impl Assembly {
    /// Of a state that is to be of that store.
    pub(crate) fn of(identity: StoreIdentity) -> Self {
        Self {
            identity,
            header: None,
            digest: Digest::default(),
            has_rows: false,
            is_whole: false,
        }
    }

    /// Takes a piece. Breaks if the sink does, or all is there.
    ///
    /// # Errors
    /// [`PieceError`] for one that does not belong here.
    pub(crate) fn take(
        &mut self,
        piece: wire::ReadStateResponse,
        sink: &mut Sink<'_>,
    ) -> Result<ControlFlow<()>, PieceError> {
        match piece.part.ok_or(PieceError::Field("part"))? {
            Piece::Header(header) => {
                if self.header.is_some() {
                    return Err(PieceError::Order);
                }
                let Header {
                    identity,
                    head,
                    schema,
                } = header_of(header)?;
                if identity != self.identity {
                    return Err(PieceError::OtherStore);
                }
                self.header = Some(ScanHeader {
                    head,
                    schema,
                    records: Vec::new(),
                });
                Ok(ControlFlow::Continue(()))
            }
            Piece::Block(bytes) => self.block(&bytes, sink),
            Piece::End(end) => {
                let record_count = self
                    .header
                    .as_ref()
                    .map(|header| header.records.len() as u64);
                if record_count != Some(end.record_count) {
                    return Err(PieceError::Records);
                }
                let is_same = self.digest.count() == end.relationship_count
                    && self.digest.to_string() == end.digest;
                if !is_same {
                    return Err(PieceError::Differs {
                        found: self.digest.count(),
                        told: end.relationship_count,
                    });
                }
                self.is_whole = true;
                Ok(ControlFlow::Break(()))
            }
        }
    }

    fn block(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<ControlFlow<()>, PieceError> {
        let header = self.header.as_mut().ok_or(PieceError::Order)?;
        let block = canonical::decode_changes(bytes)?;
        // Whoever takes the first row is told all records with it.
        if self.has_rows && !block.records.is_empty() {
            return Err(PieceError::Order);
        }
        for record in block.records {
            header.records.push(Record {
                key: record.key,
                value: record.after.ok_or(PieceError::Field("record"))?,
            });
        }
        for change in block.changes {
            self.has_rows = true;
            let row = change.after.ok_or(PieceError::Field("relationship"))?;
            self.digest.add(&row);
            if give(header, &row, sink).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What the state is of, once all of it was taken, or its sink had enough.
    ///
    /// # Errors
    /// [`PieceError::Torn`] if neither is so.
    pub(crate) fn finish(self, has_enough: bool) -> Result<ScanHeader, PieceError> {
        if !self.is_whole && !has_enough {
            return Err(PieceError::Torn);
        }
        self.header.ok_or(PieceError::Torn)
    }

    /// Whether all of it was taken.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }
}

fn give(header: &ScanHeader, row: &Relationship, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let context = row.caveat.as_ref().map(|caveat| caveat.context.to_json());
    let name = row.caveat.as_ref().map(|caveat| caveat.name.as_str());
    let relation = row.subject.relation.as_ref();
    sink(
        header,
        ScanRow {
            resource_definition: row.resource.definition.as_str(),
            resource_id: row.resource.id.as_str(),
            relation: row.relation.as_str(),
            subject_definition: row.subject.definition.as_str(),
            subject_id: row.subject.id.as_str(),
            subject_relation: relation.map_or("", |relation| relation.as_str()),
            caveat: name.zip(context.as_deref()),
            expires_at: row.expires_at,
            // A graph does not hold which commit wrote a row: it was there at the head.
            revision: header.head.revision,
        },
    )
}

pub(crate) fn header_of(header: wire::StateHeader) -> Result<Header, PieceError> {
    let head = head_of(header.head)?;
    Ok(Header {
        identity: identity_of(header.identity)?,
        head,
        schema: header.schema.map(|text| StoredSchema {
            revision: head.schema_revision,
            text,
        }),
    })
}

pub(crate) fn identity_of(
    identity: Option<wire::StoreIdentity>,
) -> Result<StoreIdentity, PieceError> {
    let identity = identity.ok_or(PieceError::Field("store"))?;
    let id = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).map_err(|_| PieceError::Field("store"));
    Ok(StoreIdentity {
        store: StoreId(id(&identity.store_id)?),
        history: HistoryId(id(&identity.history_id)?),
    })
}

pub(crate) fn head_of(commit: Option<wire::Commit>) -> Result<Head, PieceError> {
    let commit = commit.ok_or(PieceError::Field("commit"))?;
    Ok(Head {
        revision: Revision(commit.revision),
        time: time_of(commit.time_micros)?,
        hash: hash_of(&commit.hash)?,
        schema_revision: Revision(commit.schema_revision),
    })
}

pub(crate) fn hash_of(bytes: &[u8]) -> Result<CommitHash, PieceError> {
    let hash = <[u8; 32]>::try_from(bytes).map_err(|_| PieceError::Field("hash"))?;
    Ok(CommitHash(hash))
}

pub(crate) fn time_of(micros: i64) -> Result<Timestamp, PieceError> {
    Timestamp::from_micros(micros).map_err(|_| PieceError::Field("time"))
}

/// A part of what this process holds, as a piece.
pub(crate) fn piece_of(part: Part) -> wire::ReadStateResponse {
    let piece = match part {
        Part::Header(header) => Piece::Header(wire::StateHeader {
            identity: Some(wire::StoreIdentity {
                store_id: header.identity.store.0.to_vec(),
                history_id: header.identity.history.0.to_vec(),
            }),
            head: Some(wire::Commit {
                revision: header.head.revision.0,
                hash: header.head.hash.0.to_vec(),
                time_micros: header.head.time.as_micros(),
                schema_revision: header.head.schema_revision.0,
            }),
            schema: header.schema.map(|schema| schema.text),
        }),
        Part::Block(bytes) => Piece::Block(bytes),
        Part::End {
            digest,
            record_count,
        } => Piece::End(wire::StateEnd {
            relationship_count: digest.count(),
            digest: digest.to_string(),
            record_count,
        }),
    };
    wire::ReadStateResponse { part: Some(piece) }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;
    use store::{Change, RecordChange, RecordKey};

    use super::*;

    fn identity() -> StoreIdentity {
        StoreIdentity {
            store: StoreId([1; 8]),
            history: HistoryId([2; 8]),
        }
    }

    /// A header, a record, two rows, an end.
    fn whole() -> Vec<wire::ReadStateResponse> {
        let header = Header {
            identity: identity(),
            head: Head {
                revision: Revision(3),
                time: Timestamp::EPOCH,
                hash: CommitHash([3; 32]),
                schema_revision: Revision(0),
            },
            schema: None,
        };
        let rows = ["doc:a#viewer@user:ann", "doc:b#viewer@user:*"];
        let rows = rows.map(|row| Change {
            before: None,
            after: Some(row.parse().unwrap()),
        });
        let record = RecordChange {
            key: RecordKey::new("lock", "user:eve").unwrap(),
            before: None,
            after: Some(b"left".to_vec()),
        };
        let mut digest = Digest::default();
        rows.iter()
            .flat_map(|row| &row.after)
            .for_each(|row| digest.add(row));
        let parts = [
            Part::Header(header),
            Part::Block(canonical::encode_changes(&[], &[record])),
            Part::Block(canonical::encode_changes(&rows, &[])),
            Part::End {
                digest,
                record_count: 1,
            },
        ];
        parts.into_iter().map(piece_of).collect()
    }

    /// What comes of pieces: the rows and the records that were told with the first, or why not.
    fn assembled(pieces: Vec<wire::ReadStateResponse>) -> Result<(usize, usize), PieceError> {
        let mut assembly = Assembly::of(identity());
        let (mut rows, mut records) = (0, 0);
        for piece in pieces {
            let taken = assembly.take(piece, &mut |header, _| {
                rows += 1;
                records = header.records.len();
                ControlFlow::Continue(())
            })?;
            if taken.is_break() {
                break;
            }
        }
        assembly.finish(false).map(|_| (rows, records))
    }

    #[test]
    fn a_state_is_whole_or_it_is_none() {
        assert_eq!(assembled(whole()).unwrap(), (2, 1));
        for missing in 0..4 {
            let mut pieces = whole();
            pieces.remove(missing);
            assert!(assembled(pieces).is_err(), "without {missing}");
        }
        for (one, other) in [(0, 1), (1, 2), (2, 3), (0, 3)] {
            let mut pieces = whole();
            pieces.swap(one, other);
            assert!(assembled(pieces).is_err(), "{one} for {other}");
        }
        for doubled in 0..3 {
            let mut pieces = whole();
            let piece = pieces.get(doubled).unwrap().clone();
            pieces.insert(doubled, piece);
            assert!(assembled(pieces).is_err(), "{doubled} twice");
        }
    }

    #[test]
    fn a_state_of_another_store_is_refused() {
        let mut assembly = Assembly::of(StoreIdentity {
            history: HistoryId([9; 8]),
            ..identity()
        });
        let first = whole().remove(0);
        let refused = assembly.take(first, &mut |_, _| ControlFlow::Continue(()));
        assert!(
            matches!(refused, Err(PieceError::OtherStore)),
            "{refused:?}"
        );
        let empty = wire::ReadStateResponse { part: None };
        assert!(assembled(vec![empty]).is_err());
    }
}
