//! `authzed.api.v1.SchemaService`.

use std::sync::Arc;

use ops::Node;
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::schema_service_server::SchemaService;
use tonic::{Request, Response, Status};

use crate::{caller, error};

/// The service.
#[derive(Debug)]
pub(crate) struct SchemaApi {
    node: Arc<Node>,
}

impl SchemaApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl SchemaService for SchemaApi {
    async fn read_schema(
        &self,
        request: Request<wire::ReadSchemaRequest>,
    ) -> Result<Response<wire::ReadSchemaResponse>, Status> {
        let caller = caller(&request)?;
        let read = ops::schema::read(&self.node, &caller)
            .await
            .map_err(error::status)?;
        Ok(Response::new(wire::ReadSchemaResponse {
            schema_text: read.text,
            read_at: Some(wire::ZedToken {
                token: read.at.to_string(),
            }),
        }))
    }

    async fn write_schema(
        &self,
        request: Request<wire::WriteSchemaRequest>,
    ) -> Result<Response<wire::WriteSchemaResponse>, Status> {
        let caller = caller(&request)?;
        let schema = request.into_inner().schema;
        let at = ops::schema::write(&self.node, &caller, &schema)
            .await
            .map_err(error::status)?;
        let written_at = Some(wire::ZedToken {
            token: at.to_string(),
        });
        Ok(Response::new(wire::WriteSchemaResponse { written_at }))
    }

    async fn reflect_schema(
        &self,
        _request: Request<wire::ReflectSchemaRequest>,
    ) -> Result<Response<wire::ReflectSchemaResponse>, Status> {
        Err(Status::unimplemented("ReflectSchema is not served yet"))
    }

    async fn computable_permissions(
        &self,
        _request: Request<wire::ComputablePermissionsRequest>,
    ) -> Result<Response<wire::ComputablePermissionsResponse>, Status> {
        Err(Status::unimplemented(
            "ComputablePermissions is not served yet",
        ))
    }

    async fn dependent_relations(
        &self,
        _request: Request<wire::DependentRelationsRequest>,
    ) -> Result<Response<wire::DependentRelationsResponse>, Status> {
        Err(Status::unimplemented(
            "DependentRelations is not served yet",
        ))
    }

    async fn diff_schema(
        &self,
        _request: Request<wire::DiffSchemaRequest>,
    ) -> Result<Response<wire::DiffSchemaResponse>, Status> {
        Err(Status::unimplemented("DiffSchema is not served yet"))
    }
}
