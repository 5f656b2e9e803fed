//! What replicas are told.

use ops::replica::{Header, Page, Part};
use remit_proto::remit::v1 as wire;
use remit_proto::remit::v1::read_log_response::Part as LogPart;
use remit_proto::remit::v1::read_state_response::Part as StatePart;
use remit_proto::remit::v1::verify_token_response::Verdict;
use store::commit::canonical;
use store::{Head, LogEntry, StoreIdentity, TokenRefused, TokenVerdict};
use tonic::Status;

/// Bytes of one message of changes.
const BLOCK_BYTES: usize = 1 << 20;

pub(crate) fn identity_to_wire(identity: StoreIdentity) -> wire::StoreIdentity {
    wire::StoreIdentity {
        store_id: identity.store.0.to_vec(),
        history_id: identity.history.0.to_vec(),
    }
}

pub(crate) fn head_to_wire(head: &Head) -> wire::Commit {
    wire::Commit {
        revision: head.revision.0,
        hash: head.hash.0.to_vec(),
        time_micros: head.time.as_micros(),
        schema_revision: head.schema_revision.0,
    }
}

pub(crate) fn part_to_wire(part: Part) -> wire::ReadStateResponse {
    let part = match part {
        Part::Header(header) => StatePart::Header(header_to_wire(header)),
        Part::Block(bytes) => StatePart::Block(bytes),
        Part::End {
            digest,
            record_count,
        } => StatePart::End(wire::StateEnd {
            relationship_count: digest.count(),
            digest: digest.to_string(),
            record_count,
        }),
    };
    wire::ReadStateResponse { part: Some(part) }
}

fn header_to_wire(header: Header) -> wire::StateHeader {
    wire::StateHeader {
        identity: Some(identity_to_wire(header.identity)),
        head: Some(head_to_wire(&header.head)),
        schema: header.schema.map(|schema| schema.text),
    }
}

/// The messages of a page. Those of an entry are made when the one before it was taken.
pub(crate) fn page_to_wire(
    identity: StoreIdentity,
    page: Page,
) -> impl Iterator<Item = wire::ReadLogResponse> + Send + 'static {
    let (entries, trimmed_before, beyond_head) = match page {
        Page::Entries(entries) => (entries, None, None),
        Page::Trimmed { oldest } => (Vec::new(), Some(oldest.0), None),
        Page::BeyondHead { head } => (Vec::new(), None, Some(head.0)),
    };
    let beginning = LogPart::Beginning(wire::LogBeginning {
        identity: Some(identity_to_wire(identity)),
        entry_count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        trimmed_before,
        beyond_head,
    });
    let entries = entries.into_iter().flat_map(entry_to_wire);
    std::iter::once(beginning)
        .chain(entries)
        .map(|part| wire::ReadLogResponse { part: Some(part) })
}

fn entry_to_wire(entry: LogEntry) -> impl Iterator<Item = LogPart> + Send {
    let block = canonical::encode_changes(&entry.changes, &entry.records);
    let (before, after) = match entry.schema {
        Some(schema) => (schema.before, Some(schema.after)),
        None => (None, None),
    };
    let header = LogPart::Entry(wire::LogEntry {
        commit: Some(wire::Commit {
            revision: entry.revision.0,
            hash: entry.hash.0.to_vec(),
            time_micros: entry.time.as_micros(),
            schema_revision: 0,
        }),
        previous: entry.previous.0.to_vec(),
        housekeeping: entry.housekeeping,
        actor: entry.provenance.actor,
        reason: entry.provenance.reason,
        metadata: entry.provenance.metadata,
        schema_after: after,
        schema_before: before,
        block_bytes: block.len() as u64,
    });
    let mut begin = 0;
    let blocks = std::iter::from_fn(move || {
        let end = block.len().min(begin + BLOCK_BYTES);
        let piece = block.get(begin..end).filter(|piece| !piece.is_empty())?;
        begin = end;
        Some(LogPart::Block(piece.to_vec()))
    });
    std::iter::once(header).chain(blocks)
}

/// What the log says of a token.
///
/// # Errors
/// Unavailable if it says nothing.
pub(crate) fn verdict_to_wire(
    identity: StoreIdentity,
    verdict: &Result<TokenVerdict, TokenRefused>,
) -> Result<wire::VerifyTokenResponse, Status> {
    let mut head = 0;
    let verdict = match verdict {
        Ok(TokenVerdict::Known(_)) => Verdict::Known,
        Ok(TokenVerdict::Old(_)) => Verdict::Old,
        Err(TokenRefused::OtherStore) => Verdict::OtherStore,
        Err(TokenRefused::OtherHistory) => Verdict::OtherHistory,
        Err(TokenRefused::BeyondHead { head: beyond }) => {
            head = beyond.0;
            Verdict::BeyondHead
        }
        Err(TokenRefused::HashMismatch { .. }) => Verdict::HashMismatch,
        Err(TokenRefused::Store(_)) => {
            return Err(Status::unavailable(
                "the store cannot be asked about the token",
            ));
        }
    };
    Ok(wire::VerifyTokenResponse {
        identity: Some(identity_to_wire(identity)),
        verdict: verdict.into(),
        head,
    })
}
