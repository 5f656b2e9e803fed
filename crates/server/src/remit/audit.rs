//! `remit.v1.AuditService`: the audit log, read, proven, and erased from.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, stream};
use ops::{Node, audit};
use remit_proto::remit::v1 as wire;
use remit_proto::remit::v1::audit_service_server::AuditService;
use store::audit::tree::Question;
use tonic::{Request, Response, Status};

use crate::convert::audit as convert;
use crate::{caller, error};

/// The service.
#[derive(Debug)]
pub(crate) struct AuditApi {
    node: Arc<Node>,
}

impl AuditApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

type Entries = Pin<Box<dyn Stream<Item = Result<wire::ReadAuditEntriesResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AuditService for AuditApi {
    type ReadAuditEntriesStream = Entries;

    async fn get_audit_state(
        &self,
        request: Request<wire::GetAuditStateRequest>,
    ) -> Result<Response<wire::GetAuditStateResponse>, Status> {
        let state = audit::state(&self.node, &caller(&request)?).await;
        let state = state.map_err(error::status)?;
        Ok(Response::new(wire::GetAuditStateResponse {
            begin: state.begin,
            size: state.size,
            root: state.root.0.to_vec(),
            checkpoint: state.checkpoint.map(|kept| kept.note).unwrap_or_default(),
        }))
    }

    async fn search_audit(
        &self,
        request: Request<wire::SearchAuditRequest>,
    ) -> Result<Response<wire::SearchAuditResponse>, Status> {
        let caller = caller(&request)?;
        let query = convert::query(request.into_inner())?;
        let page = audit::search(&self.node, &caller, &query).await;
        let page = page.map_err(error::status)?;
        let entries = page.entries.iter();
        Ok(Response::new(wire::SearchAuditResponse {
            entries: entries
                .map(|(_, header, body)| convert::entry_to_wire(header, body))
                .collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn read_audit_entries(
        &self,
        request: Request<wire::ReadAuditEntriesRequest>,
    ) -> Result<Response<Entries>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let entries_max = request.entries_max as usize;
        let entries = audit::entries(&self.node, &caller, request.from, entries_max).await;
        let entries = entries.map_err(error::status)?;
        let pieces = entries.into_iter().flat_map(convert::pieces).map(Ok);
        Ok(Response::new(Box::pin(stream::iter(pieces))))
    }

    async fn list_audit_checkpoints(
        &self,
        request: Request<wire::ListAuditCheckpointsRequest>,
    ) -> Result<Response<wire::ListAuditCheckpointsResponse>, Status> {
        let caller = caller(&request)?;
        let checkpoints = audit::checkpoints(&self.node, &caller, request.into_inner().after).await;
        let checkpoints = checkpoints.map_err(error::status)?;
        let checkpoints = checkpoints.into_iter().map(|kept| wire::AuditCheckpoint {
            size: kept.size,
            note: kept.note,
        });
        Ok(Response::new(wire::ListAuditCheckpointsResponse {
            checkpoints: checkpoints.collect(),
        }))
    }

    async fn prove_audit(
        &self,
        request: Request<wire::ProveAuditRequest>,
    ) -> Result<Response<wire::ProveAuditResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wanted = match request.size {
            0 => {
                let state = audit::state(&self.node, &caller).await;
                let kept = state.map_err(error::status)?.checkpoint;
                let kept = kept.ok_or_else(|| {
                    Status::failed_precondition(
                        "there is no signed checkpoint yet: give the server `--audit-key-file`, or name a size",
                    )
                })?;
                kept.size
            }
            size => size,
        };
        let question = convert::question(request.what, wanted)?;
        let hashes = audit::prove(&self.node, &caller, question).await;
        let hashes = hashes.map_err(error::status)?;
        let root = audit::prove(&self.node, &caller, Question::Root(wanted)).await;
        let root = root.map_err(error::status)?;
        let kept = audit::checkpoints(&self.node, &caller, wanted.saturating_sub(1)).await;
        let kept = kept.map_err(error::status)?.into_iter().next();
        let kept = kept.filter(|kept| kept.size == wanted);
        Ok(Response::new(wire::ProveAuditResponse {
            size: wanted,
            hashes: hashes.iter().map(|hash| hash.0.to_vec()).collect(),
            root: root.first().map(|root| root.0.to_vec()).unwrap_or_default(),
            checkpoint: kept.map(|kept| kept.note).unwrap_or_default(),
        }))
    }

    async fn erase_from_audit(
        &self,
        request: Request<wire::EraseFromAuditRequest>,
    ) -> Result<Response<wire::EraseFromAuditResponse>, Status> {
        let caller = caller(&request)?;
        crate::convert::no_idempotency_key(request.metadata())?;
        let request = request.into_inner();
        let is_dry_run = request.dry_run;
        let erasure = convert::erasure(request)?;
        if is_dry_run {
            let found = audit::find(&self.node, &caller, &erasure).await;
            let found = found.map_err(error::status)?;
            return Ok(Response::new(wire::EraseFromAuditResponse {
                entry_count: found.entries,
                part_count: found.parts,
                erased_at: None,
                held: found.held,
            }));
        }
        let erased = audit::erase(&self.node, &caller, &erasure).await;
        let erased = erased.map_err(error::status)?;
        Ok(Response::new(wire::EraseFromAuditResponse {
            entry_count: erased.entries,
            part_count: erased.parts,
            erased_at: erased.at.map(crate::convert::token_to_wire),
            held: Vec::new(),
        }))
    }
}
