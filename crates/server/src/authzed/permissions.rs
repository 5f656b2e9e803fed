//! `authzed.api.v1.PermissionsService`: checks, relationships, import and export.

use std::sync::Arc;

use futures_util::StreamExt as _;
use identity::Caller;
use model::Decision;
use ops::Node;
use ops::bulk::Import;
use ops::read::Reading;
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::check_permission_response::Permissionship;
use remit_proto::authzed::api::v1::delete_relationships_response::DeletionProgress;
use remit_proto::authzed::api::v1::permissions_service_server::PermissionsService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::zed_token;
use crate::convert;
use crate::{caller, error};

/// Messages that may wait for a slow reader.
const STREAM_BUFFER: usize = 16;
/// Relationships read at once for a stream of single ones.
const READ_PAGE: usize = 256;

/// The service.
#[derive(Debug)]
pub(crate) struct PermissionsApi {
    node: Arc<Node>,
}

type Stream<T> = ReceiverStream<Result<T, Status>>;

impl PermissionsApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Imports messages as they come, from whichever call.
    pub(super) async fn import(
        &self,
        caller: &Caller,
        mut messages: impl futures_util::Stream<
            Item = Result<wire::ImportBulkRelationshipsRequest, Status>,
        > + Unpin,
    ) -> Result<Response<wire::ImportBulkRelationshipsResponse>, Status> {
        let mut import = Import::default();
        while let Some(message) = messages.next().await {
            import
                .add(&self.node, convert::import(message?)?)
                .map_err(error::status)?;
        }
        let num_loaded = import
            .commit(&self.node, caller)
            .await
            .map_err(error::status)?;
        Ok(Response::new(wire::ImportBulkRelationshipsResponse {
            num_loaded,
        }))
    }
}

#[tonic::async_trait]
impl PermissionsService for PermissionsApi {
    type ReadRelationshipsStream = Stream<wire::ReadRelationshipsResponse>;
    type ExportBulkRelationshipsStream = Stream<wire::ExportBulkRelationshipsResponse>;
    type LookupResourcesStream = Stream<wire::LookupResourcesResponse>;
    type LookupSubjectsStream = Stream<wire::LookupSubjectsResponse>;

    async fn check_permission(
        &self,
        request: Request<wire::CheckPermissionRequest>,
    ) -> Result<Response<wire::CheckPermissionResponse>, Status> {
        let caller = caller(&request)?;
        let (consistency, question) = convert::check(request.into_inner())?;
        let answered = ops::check::check(&self.node, &caller, consistency, &question).await;
        let answered = answered.map_err(error::status)?;
        let (permissionship, partial_caveat_info) = decision(answered.answer);
        Ok(Response::new(wire::CheckPermissionResponse {
            checked_at: zed_token(answered.at),
            permissionship: permissionship.into(),
            partial_caveat_info,
            debug_trace: None,
            optional_expires_at: None,
        }))
    }

    async fn check_bulk_permissions(
        &self,
        request: Request<wire::CheckBulkPermissionsRequest>,
    ) -> Result<Response<wire::CheckBulkPermissionsResponse>, Status> {
        use wire::check_bulk_permissions_pair::Response as Answer;
        let caller = caller(&request)?;
        let request = request.into_inner();
        let items = request.items;
        let (consistency, parsed) = convert::check_bulk(request.consistency, items.clone())?;
        let questions: Vec<_> = parsed
            .iter()
            .filter_map(|question| question.as_ref().ok().cloned())
            .collect();
        let answered = ops::check::check_bulk(&self.node, &caller, consistency, &questions).await;
        let answered = answered.map_err(error::status)?;
        let mut answers = answered.answer.into_iter();
        let pairs = items.into_iter().zip(parsed).map(|(item, parsed)| {
            let answer = match parsed {
                Err(status) => Err(status),
                Ok(_) => match answers.next() {
                    Some(answer) => answer.map_err(error::status),
                    None => Err(Status::internal("a question has no answer")),
                },
            };
            let response = match answer {
                Ok(answer) => {
                    let (permissionship, partial_caveat_info) = decision(answer);
                    Answer::Item(wire::CheckBulkPermissionsResponseItem {
                        permissionship: permissionship.into(),
                        partial_caveat_info,
                        debug_trace: None,
                    })
                }
                Err(status) => Answer::Error(error::to_rpc(&status)),
            };
            wire::CheckBulkPermissionsPair {
                request: Some(item),
                response: Some(response),
            }
        });
        let pairs = pairs.collect();
        Ok(Response::new(wire::CheckBulkPermissionsResponse {
            checked_at: zed_token(answered.at),
            pairs,
        }))
    }

    async fn write_relationships(
        &self,
        request: Request<wire::WriteRelationshipsRequest>,
    ) -> Result<Response<wire::WriteRelationshipsResponse>, Status> {
        let caller = caller(&request)?;
        let write = convert::write(request.into_inner())?;
        let at = ops::write::write(&self.node, &caller, write)
            .await
            .map_err(error::status)?;
        Ok(Response::new(wire::WriteRelationshipsResponse {
            written_at: zed_token(at),
        }))
    }

    async fn delete_relationships(
        &self,
        request: Request<wire::DeleteRelationshipsRequest>,
    ) -> Result<Response<wire::DeleteRelationshipsResponse>, Status> {
        let caller = caller(&request)?;
        let deletion = convert::delete(request.into_inner())?;
        let deleted = ops::write::delete(&self.node, &caller, deletion)
            .await
            .map_err(error::status)?;
        let progress = if deleted.is_complete {
            DeletionProgress::Complete
        } else {
            DeletionProgress::Partial
        };
        Ok(Response::new(wire::DeleteRelationshipsResponse {
            deleted_at: zed_token(deleted.at),
            deletion_progress: progress.into(),
            relationships_deleted_count: deleted.count,
        }))
    }

    async fn read_relationships(
        &self,
        request: Request<wire::ReadRelationshipsRequest>,
    ) -> Result<Response<Self::ReadRelationshipsStream>, Status> {
        let caller = caller(&request)?;
        let read = convert::read(request.into_inner())?;
        let (limit, cursor) = (read.limit, read.cursor.as_deref());
        let reading = ops::read::read(
            &self.node,
            &caller,
            read.consistency,
            read.filter,
            limit,
            cursor,
        )
        .await;
        let reading = reading.map_err(error::status)?;
        let (sender, receiver) = mpsc::channel(READ_PAGE);
        tokio::spawn(send_rows(reading, limit as usize, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn import_bulk_relationships(
        &self,
        request: Request<Streaming<wire::ImportBulkRelationshipsRequest>>,
    ) -> Result<Response<wire::ImportBulkRelationshipsResponse>, Status> {
        let caller = caller(&request)?;
        self.import(&caller, request.into_inner()).await
    }

    async fn export_bulk_relationships(
        &self,
        request: Request<wire::ExportBulkRelationshipsRequest>,
    ) -> Result<Response<Self::ExportBulkRelationshipsStream>, Status> {
        let caller = caller(&request)?;
        let export = convert::export(request.into_inner())?;
        let (size, cursor) = (export.page_size, export.cursor.as_deref());
        let reading = ops::read::export(
            &self.node,
            &caller,
            export.consistency,
            export.filter,
            size,
            cursor,
        )
        .await;
        let reading = reading.map_err(error::status)?;
        let page_size = if size == 0 {
            self.node.settings().limits.export_page_size_max
        } else {
            size
        };
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        tokio::spawn(send_pages(reading, page_size as usize, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn expand_permission_tree(
        &self,
        _request: Request<wire::ExpandPermissionTreeRequest>,
    ) -> Result<Response<wire::ExpandPermissionTreeResponse>, Status> {
        Err(Status::unimplemented(
            "ExpandPermissionTree is not served yet",
        ))
    }

    async fn lookup_resources(
        &self,
        _request: Request<wire::LookupResourcesRequest>,
    ) -> Result<Response<Self::LookupResourcesStream>, Status> {
        Err(Status::unimplemented("LookupResources is not served yet"))
    }

    async fn lookup_subjects(
        &self,
        _request: Request<wire::LookupSubjectsRequest>,
    ) -> Result<Response<Self::LookupSubjectsStream>, Status> {
        Err(Status::unimplemented("LookupSubjects is not served yet"))
    }
}

/// Sends relationships one by one, at most `limit` unless it is 0, until they end or the reader is gone.
async fn send_rows(
    mut reading: Reading,
    limit: usize,
    sender: mpsc::Sender<Result<wire::ReadRelationshipsResponse, Status>>,
) {
    let mut left = if limit == 0 { usize::MAX } else { limit };
    while left > 0 {
        let page = reading.next_page(READ_PAGE.min(left));
        if page.is_empty() {
            return;
        }
        left -= page.len();
        for relationship in page {
            let row = wire::ReadRelationshipsResponse {
                read_at: zed_token(reading.at()),
                after_result_cursor: Some(wire::Cursor {
                    token: reading.cursor_after(&relationship),
                }),
                relationship: Some(convert::relationship_to_wire(&relationship)),
            };
            if sender.send(Ok(row)).await.is_err() {
                return;
            }
        }
    }
}

/// Sends relationships in pages until they end or the reader is gone.
async fn send_pages(
    mut reading: Reading,
    page_size: usize,
    sender: mpsc::Sender<Result<wire::ExportBulkRelationshipsResponse, Status>>,
) {
    loop {
        let page = reading.next_page(page_size);
        let Some(last) = page.last() else {
            return;
        };
        let message = wire::ExportBulkRelationshipsResponse {
            after_result_cursor: Some(wire::Cursor {
                token: reading.cursor_after(last),
            }),
            relationships: page.iter().map(convert::relationship_to_wire).collect(),
        };
        if sender.send(Ok(message)).await.is_err() {
            return;
        }
    }
}

fn decision(decision: Decision) -> (Permissionship, Option<wire::PartialCaveatInfo>) {
    match decision {
        Decision::Allowed => (Permissionship::HasPermission, None),
        Decision::Denied => (Permissionship::NoPermission, None),
        Decision::Conditional { missing } => (
            Permissionship::ConditionalPermission,
            Some(wire::PartialCaveatInfo {
                missing_required_context: missing,
            }),
        ),
    }
}
