//! `authzed.api.v1.ExperimentalService`: relationship counters, and older names of calls that other services have.
//!
//! The messages of an older name are those of the newer one under another type: the same fields with the same numbers.
//! So a call is turned into the newer one by its bytes, and there is one implementation.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use ops::Node;
use prost::Message;
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::experimental_service_server::ExperimentalService;
use remit_proto::authzed::api::v1::permissions_service_server::PermissionsService as _;
use remit_proto::authzed::api::v1::schema_service_server::SchemaService as _;
use tonic::{Request, Response, Status, Streaming};

use super::{PermissionsApi, SchemaApi};
use crate::{caller, convert, error};

/// The service.
#[derive(Debug)]
pub(crate) struct ExperimentalApi {
    permissions: PermissionsApi,
    schema: SchemaApi,
    node: Arc<Node>,
}

impl ExperimentalApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            permissions: PermissionsApi::new(Arc::clone(&node)),
            schema: SchemaApi::new(Arc::clone(&node)),
            node,
        }
    }
}

#[tonic::async_trait]
impl ExperimentalService for ExperimentalApi {
    type BulkExportRelationshipsStream =
        Pin<Box<dyn Stream<Item = Result<wire::BulkExportRelationshipsResponse, Status>> + Send>>;

    async fn bulk_import_relationships(
        &self,
        request: Request<Streaming<wire::BulkImportRelationshipsRequest>>,
    ) -> Result<Response<wire::BulkImportRelationshipsResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
        let messages = request.into_inner().map(|message| twin(&message?));
        answer(self.permissions.import(&caller, messages).await?)
    }

    async fn bulk_export_relationships(
        &self,
        request: Request<wire::BulkExportRelationshipsRequest>,
    ) -> Result<Response<Self::BulkExportRelationshipsStream>, Status> {
        let request = question(request)?;
        let response = self.permissions.export_bulk_relationships(request).await?;
        Ok(
            response.map(|pages| -> Self::BulkExportRelationshipsStream {
                Box::pin(pages.map(|page| twin(&page?)))
            }),
        )
    }

    async fn bulk_check_permission(
        &self,
        request: Request<wire::BulkCheckPermissionRequest>,
    ) -> Result<Response<wire::BulkCheckPermissionResponse>, Status> {
        let request = question(request)?;
        answer(self.permissions.check_bulk_permissions(request).await?)
    }

    async fn experimental_reflect_schema(
        &self,
        request: Request<wire::ExperimentalReflectSchemaRequest>,
    ) -> Result<Response<wire::ExperimentalReflectSchemaResponse>, Status> {
        answer(self.schema.reflect_schema(question(request)?).await?)
    }

    async fn experimental_computable_permissions(
        &self,
        request: Request<wire::ExperimentalComputablePermissionsRequest>,
    ) -> Result<Response<wire::ExperimentalComputablePermissionsResponse>, Status> {
        let request = question(request)?;
        answer(self.schema.computable_permissions(request).await?)
    }

    async fn experimental_dependent_relations(
        &self,
        request: Request<wire::ExperimentalDependentRelationsRequest>,
    ) -> Result<Response<wire::ExperimentalDependentRelationsResponse>, Status> {
        answer(self.schema.dependent_relations(question(request)?).await?)
    }

    async fn experimental_diff_schema(
        &self,
        request: Request<wire::ExperimentalDiffSchemaRequest>,
    ) -> Result<Response<wire::ExperimentalDiffSchemaResponse>, Status> {
        answer(self.schema.diff_schema(question(request)?).await?)
    }

    async fn experimental_register_relationship_counter(
        &self,
        request: Request<wire::ExperimentalRegisterRelationshipCounterRequest>,
    ) -> Result<Response<wire::ExperimentalRegisterRelationshipCounterResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
        let (name, filter) = convert::register_counter(request.into_inner())?;
        ops::counter::register(&self.node, &caller, &name, filter)
            .await
            .map_err(error::status)?;
        Ok(Response::new(
            wire::ExperimentalRegisterRelationshipCounterResponse {},
        ))
    }

    async fn experimental_count_relationships(
        &self,
        request: Request<wire::ExperimentalCountRelationshipsRequest>,
    ) -> Result<Response<wire::ExperimentalCountRelationshipsResponse>, Status> {
        use wire::experimental_count_relationships_response::CounterResult;
        let caller = caller(&request)?;
        let name = convert::counter_name(request.into_inner().name)?;
        let counted = ops::counter::count(&self.node, &caller, &name).await;
        let counted = counted.map_err(error::status)?;
        Ok(Response::new(
            wire::ExperimentalCountRelationshipsResponse {
                counter_result: Some(CounterResult::ReadCounterValue(wire::ReadCounterValue {
                    relationship_count: counted.count,
                    read_at: Some(convert::token_to_wire(counted.at)),
                })),
            },
        ))
    }

    async fn experimental_unregister_relationship_counter(
        &self,
        request: Request<wire::ExperimentalUnregisterRelationshipCounterRequest>,
    ) -> Result<Response<wire::ExperimentalUnregisterRelationshipCounterResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
        let name = convert::counter_name(request.into_inner().name)?;
        ops::counter::unregister(&self.node, &caller, &name)
            .await
            .map_err(error::status)?;
        Ok(Response::new(
            wire::ExperimentalUnregisterRelationshipCounterResponse {},
        ))
    }
}

/// The request under its newer name, with whatever came along with it.
fn question<A: Message, B: Message + Default>(request: Request<A>) -> Result<Request<B>, Status> {
    let (metadata, extensions, message) = request.into_parts();
    Ok(Request::from_parts(metadata, extensions, twin(&message)?))
}

/// The answer under the older name of its call.
fn answer<A: Message, B: Message + Default>(response: Response<A>) -> Result<Response<B>, Status> {
    let (metadata, message, extensions) = response.into_parts();
    Ok(Response::from_parts(metadata, twin(&message)?, extensions))
}

/// The message as one of a type with the same fields.
fn twin<A: Message, B: Message + Default>(message: &A) -> Result<B, Status> {
    B::decode(message.encode_to_vec().as_slice())
        .map_err(|error| Status::internal(format!("a message has no twin: {error}")))
}

#[cfg(test)]
mod tests;
