//! `authzed.api.v1.SchemaService`.

use std::sync::Arc;

use ops::Node;
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::schema_service_server::SchemaService;
use tonic::{Request, Response, Status};

use crate::convert::{self, reflection};
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
            read_at: Some(convert::token_to_wire(read.at)),
        }))
    }

    async fn write_schema(
        &self,
        request: Request<wire::WriteSchemaRequest>,
    ) -> Result<Response<wire::WriteSchemaResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
        let schema = request.into_inner().schema;
        let at = ops::schema::write(&self.node, &caller, &schema)
            .await
            .map_err(error::status)?;
        Ok(Response::new(wire::WriteSchemaResponse {
            written_at: Some(convert::token_to_wire(at)),
        }))
    }

    async fn reflect_schema(
        &self,
        request: Request<wire::ReflectSchemaRequest>,
    ) -> Result<Response<wire::ReflectSchemaResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let consistency = convert::consistency(request.consistency)?;
        let filters = request.optional_filters.into_iter();
        let selectors: Vec<_> = filters.map(reflection::selector).collect();
        let reflected = ops::schema::reflect::reflect(&self.node, &caller, consistency, &selectors)
            .await
            .map_err(error::status)?;
        let (schema, found) = (&reflected.schema, &reflected.found);
        let definitions = found.definitions.iter();
        let caveats = found.caveats.iter();
        Ok(Response::new(wire::ReflectSchemaResponse {
            definitions: definitions
                .map(|each| reflection::definition(schema, each))
                .collect(),
            caveats: caveats.map(|ix| reflection::caveat(schema, *ix)).collect(),
            read_at: Some(convert::token_to_wire(reflected.at)),
        }))
    }

    async fn computable_permissions(
        &self,
        request: Request<wire::ComputablePermissionsRequest>,
    ) -> Result<Response<wire::ComputablePermissionsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let consistency = convert::consistency(request.consistency)?;
        let of = (&*request.definition_name, &*request.relation_name);
        let prefix = &request.optional_definition_name_filter;
        let reflected =
            ops::schema::reflect::computable(&self.node, &caller, consistency, of, prefix)
                .await
                .map_err(error::status)?;
        Ok(Response::new(wire::ComputablePermissionsResponse {
            permissions: reflection::references(&reflected.schema, &reflected.found),
            read_at: Some(convert::token_to_wire(reflected.at)),
        }))
    }

    async fn dependent_relations(
        &self,
        request: Request<wire::DependentRelationsRequest>,
    ) -> Result<Response<wire::DependentRelationsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let consistency = convert::consistency(request.consistency)?;
        let of = (&*request.definition_name, &*request.permission_name);
        let reflected = ops::schema::reflect::dependent(&self.node, &caller, consistency, of)
            .await
            .map_err(error::status)?;
        Ok(Response::new(wire::DependentRelationsResponse {
            relations: reflection::references(&reflected.schema, &reflected.found),
            read_at: Some(convert::token_to_wire(reflected.at)),
        }))
    }

    async fn diff_schema(
        &self,
        request: Request<wire::DiffSchemaRequest>,
    ) -> Result<Response<wire::DiffSchemaResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let consistency = convert::consistency(request.consistency)?;
        let text = &request.comparison_schema;
        let reflected = ops::schema::reflect::diff(&self.node, &caller, consistency, text)
            .await
            .map_err(error::status)?;
        Ok(Response::new(wire::DiffSchemaResponse {
            diffs: reflection::difference(&reflected),
            read_at: Some(convert::token_to_wire(reflected.at)),
        }))
    }
}
