//! `authzed.api.v1.PermissionsService`: checks, relationships, import and export.

use std::sync::Arc;

use futures_util::StreamExt as _;
use identity::Caller;
use model::Decision;
use ops::bulk::Import;
use ops::check::Question;
use ops::trace::Traced;
use ops::{Kind, Node};
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::check_permission_response::Permissionship;
use remit_proto::authzed::api::v1::delete_relationships_response::DeletionProgress;
use remit_proto::authzed::api::v1::permissions_service_server::PermissionsService;
use tonic::{Request, Response, Status, Streaming};

use super::answers::{self, Answers};
use crate::{caller, convert, error};

/// The service.
#[derive(Debug)]
pub(crate) struct PermissionsApi {
    node: Arc<Node>,
    trace_source: convert::TraceSource,
}

impl PermissionsApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            trace_source: convert::TraceSource::new(),
        }
    }
}

/// A decision and how it came about, if that was asked for.
type Answer = (Decision, Option<wire::DebugInformation>);

impl PermissionsApi {
    fn traced(&self, traced: Traced, question: &Question) -> Result<Answer, ops::Error> {
        let subject = &question.subject;
        let debug = convert::debug_information(&traced, subject, &self.trace_source);
        match traced.decision {
            Ok(decision) => Ok((decision, debug)),
            // What lies in the data is told with what led to it.
            Err(error) if error.kind == Kind::FailedPrecondition => Err(match &traced.trace {
                Some(trace) => {
                    let text = convert::debug_text(trace, subject);
                    error.with("debug_trace_proto_text", text)
                }
                None => error,
            }),
            Err(error) => Err(error),
        }
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

/// Whether the answer is to come with its trace: asked for in the request, or by the header of older clients.
fn is_traced<T>(request: &Request<T>, with_tracing: bool) -> bool {
    with_tracing
        || request
            .metadata()
            .contains_key("io.spicedb.requestdebuginfo")
}

fn pair(
    item: wire::CheckBulkPermissionsRequestItem,
    answer: Result<Answer, Status>,
) -> wire::CheckBulkPermissionsPair {
    use wire::check_bulk_permissions_pair::Response as Wire;
    let response = match answer {
        Ok((answer, debug_trace)) => {
            let (permissionship, partial_caveat_info) = decision(answer);
            Wire::Item(wire::CheckBulkPermissionsResponseItem {
                permissionship: permissionship.into(),
                partial_caveat_info,
                debug_trace,
            })
        }
        Err(status) => Wire::Error(error::to_rpc(&status)),
    };
    wire::CheckBulkPermissionsPair {
        request: Some(item),
        response: Some(response),
    }
}

#[tonic::async_trait]
impl PermissionsService for PermissionsApi {
    type ReadRelationshipsStream = Answers<wire::ReadRelationshipsResponse>;
    type ExportBulkRelationshipsStream = Answers<wire::ExportBulkRelationshipsResponse>;
    type LookupResourcesStream = Answers<wire::LookupResourcesResponse>;
    type LookupSubjectsStream = Answers<wire::LookupSubjectsResponse>;

    async fn check_permission(
        &self,
        request: Request<wire::CheckPermissionRequest>,
    ) -> Result<Response<wire::CheckPermissionResponse>, Status> {
        let caller = caller(&request)?;
        let is_traced = is_traced(&request, request.get_ref().with_tracing);
        let (consistency, question) = convert::check(request.into_inner())?;
        let (answer, at) = if is_traced {
            let traced = ops::trace::check(&self.node, &caller, consistency, &question).await;
            let traced = traced.map_err(error::status)?;
            (self.traced(traced.answer, &question), traced.at)
        } else {
            let checked = ops::check::check(&self.node, &caller, consistency, &question).await;
            let checked = checked.map_err(error::status)?;
            (Ok((checked.answer, None)), checked.at)
        };
        let (answer, debug_trace) = answer.map_err(error::status)?;
        let (permissionship, partial_caveat_info) = decision(answer);
        Ok(Response::new(wire::CheckPermissionResponse {
            checked_at: Some(convert::token_to_wire(at)),
            permissionship: permissionship.into(),
            partial_caveat_info,
            debug_trace,
            optional_expires_at: None,
        }))
    }

    async fn check_bulk_permissions(
        &self,
        request: Request<wire::CheckBulkPermissionsRequest>,
    ) -> Result<Response<wire::CheckBulkPermissionsResponse>, Status> {
        let caller = caller(&request)?;
        let is_traced = is_traced(&request, request.get_ref().with_tracing);
        let request = request.into_inner();
        let items = request.items;
        let (consistency, parsed) = convert::check_bulk(request.consistency, &items)?;
        let (mut questions, mut refused) = (Vec::with_capacity(items.len()), Vec::new());
        for question in parsed {
            refused.push(question.map(|question| questions.push(question)).err());
        }
        let (answers, at) = if is_traced {
            let traced = ops::trace::check_bulk(&self.node, &caller, consistency, &questions);
            let traced = traced.await.map_err(error::status)?;
            let each = traced.answer.into_iter().zip(&questions);
            let each = each.map(|(traced, question)| self.traced(traced?, question));
            (each.collect(), traced.at)
        } else {
            let checked = ops::check::check_bulk(&self.node, &caller, consistency, &questions);
            let checked = checked.await.map_err(error::status)?;
            let each = checked.answer.into_iter();
            let each = each.map(|answer| answer.map(|decision| (decision, None)));
            (each.collect::<Vec<_>>(), checked.at)
        };
        let mut answers = answers.into_iter();
        let pairs = items.into_iter().zip(refused).map(|(item, refused)| {
            let answer = match refused {
                Some(status) => Err(status),
                None => match answers.next() {
                    Some(answer) => answer.map_err(error::status),
                    None => Err(Status::internal("a question has no answer")),
                },
            };
            pair(item, answer)
        });
        let pairs = pairs.collect();
        Ok(Response::new(wire::CheckBulkPermissionsResponse {
            checked_at: Some(convert::token_to_wire(at)),
            pairs,
        }))
    }

    async fn write_relationships(
        &self,
        request: Request<wire::WriteRelationshipsRequest>,
    ) -> Result<Response<wire::WriteRelationshipsResponse>, Status> {
        let caller = caller(&request)?;
        let idempotency_key = convert::idempotency_key(request.metadata())?;
        let write = ops::write::Write {
            idempotency_key,
            ..convert::write(request.into_inner())?
        };
        let at = ops::write::write(&self.node, &caller, write)
            .await
            .map_err(error::status)?;
        Ok(Response::new(wire::WriteRelationshipsResponse {
            written_at: Some(convert::token_to_wire(at)),
        }))
    }

    async fn delete_relationships(
        &self,
        request: Request<wire::DeleteRelationshipsRequest>,
    ) -> Result<Response<wire::DeleteRelationshipsResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
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
            deleted_at: Some(convert::token_to_wire(deleted.at)),
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
        Ok(Response::new(answers::rows(reading, limit as usize)))
    }

    async fn import_bulk_relationships(
        &self,
        request: Request<Streaming<wire::ImportBulkRelationshipsRequest>>,
    ) -> Result<Response<wire::ImportBulkRelationshipsResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
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
        Ok(Response::new(answers::pages(reading, page_size as usize)))
    }

    async fn expand_permission_tree(
        &self,
        request: Request<wire::ExpandPermissionTreeRequest>,
    ) -> Result<Response<wire::ExpandPermissionTreeResponse>, Status> {
        let caller = caller(&request)?;
        let convert::Expand {
            consistency,
            resource,
            permission,
        } = convert::expand(request.into_inner())?;
        let expanded =
            ops::expand::expand(&self.node, &caller, consistency, &resource, &permission).await;
        let expanded = expanded.map_err(error::status)?;
        Ok(Response::new(wire::ExpandPermissionTreeResponse {
            expanded_at: Some(convert::token_to_wire(expanded.at)),
            tree_root: Some(convert::tree_to_wire(&expanded.answer)),
        }))
    }

    async fn lookup_resources(
        &self,
        request: Request<wire::LookupResourcesRequest>,
    ) -> Result<Response<Self::LookupResourcesStream>, Status> {
        let caller = caller(&request)?;
        let (consistency, asked) = convert::lookup::resources(request.into_inner())?;
        let page = ops::lookup::resources(&self.node, &caller, consistency, &asked).await;
        let page = page.map_err(error::status)?;
        Ok(Response::new(answers::found(
            page,
            convert::lookup::resource_to_wire,
        )))
    }

    async fn lookup_subjects(
        &self,
        request: Request<wire::LookupSubjectsRequest>,
    ) -> Result<Response<Self::LookupSubjectsStream>, Status> {
        let caller = caller(&request)?;
        let (consistency, asked) = convert::lookup::subjects(request.into_inner())?;
        let page = ops::lookup::subjects(&self.node, &caller, consistency, &asked).await;
        let page = page.map_err(error::status)?;
        Ok(Response::new(answers::found(
            page,
            convert::lookup::subject_to_wire,
        )))
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
