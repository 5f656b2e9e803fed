//! `remit.v1.SchemaPlanService`: what writing a schema would do.

use std::sync::Arc;

use ops::Node;
use ops::schema::plan::{Break, Outcome, Plan};
use remit_proto::remit::v1::schema_plan_service_server::SchemaPlanService;
use remit_proto::remit::v1::{
    FaultClass, PlanSchemaRequest, PlanSchemaResponse, PlannedChange, SchemaBreak, SchemaFault,
};
use schema::{SchemaError, SchemaErrorClass};
use tonic::{Request, Response, Status};

use crate::convert::{self, reflection};
use crate::{caller, error};

/// The service.
#[derive(Debug)]
pub(crate) struct SchemaPlanApi {
    node: Arc<Node>,
}

impl SchemaPlanApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl SchemaPlanService for SchemaPlanApi {
    async fn plan_schema(
        &self,
        request: Request<PlanSchemaRequest>,
    ) -> Result<Response<PlanSchemaResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let consistency = convert::consistency(request.consistency)?;
        let text = request.schema.clone();
        let plan = ops::schema::plan::plan(&self.node, &caller, consistency, text).await;
        let plan = plan.map_err(error::status)?;
        Ok(Response::new(to_wire(&plan, &request.schema)))
    }
}

fn to_wire(plan: &Plan, text: &str) -> PlanSchemaResponse {
    let mut response = PlanSchemaResponse {
        planned_at: Some(convert::token_to_wire(plan.at)),
        ..Default::default()
    };
    match &plan.outcome {
        Outcome::Faulty(faults) => {
            response.faults = faults.iter().map(|each| fault(each, text)).collect();
        }
        Outcome::Sound {
            old,
            new,
            changes,
            breaks,
        } => {
            let change = |each| PlannedChange {
                summary: ToString::to_string(each),
                diff: Some(reflection::change(old, new, each)),
            };
            response.changes = changes.iter().map(change).collect();
            response.breaks = breaks.iter().map(schema_break).collect();
        }
    }
    response
}

fn fault(fault: &SchemaError, text: &str) -> SchemaFault {
    let class = match fault.class() {
        SchemaErrorClass::Parse => FaultClass::Parse,
        SchemaErrorClass::Type => FaultClass::Type,
        SchemaErrorClass::Other => FaultClass::Unspecified,
    };
    let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
    let (line, column) = fault.place(text).unwrap_or_default();
    SchemaFault {
        class: class.into(),
        message: fault.wire_message(),
        line: number(line),
        column: number(column),
        hint: fault.hint().unwrap_or_default().to_owned(),
        rendered: fault.render("schema", text),
    }
}

fn schema_break(found: &Break) -> SchemaBreak {
    let metadata = found.error.metadata.iter();
    let metadata = metadata.map(|(name, value)| ((*name).to_owned(), value.clone()));
    let operation = found
        .error
        .metadata
        .iter()
        .find(|each| each.0 == "operation");
    let rows = found.rows.as_ref();
    SchemaBreak {
        operation: operation.map(|each| each.1.clone()).unwrap_or_default(),
        message: found.error.message.clone(),
        metadata: metadata.collect(),
        relationship: rows.map(|rows| convert::relationship_to_wire(&rows.first)),
        relationship_count: rows.map_or(0, |rows| rows.count),
        is_at_least: rows.is_some_and(|rows| rows.is_at_least),
    }
}
