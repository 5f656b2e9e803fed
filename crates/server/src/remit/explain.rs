//! `remit.v1.ExplainService`: why a decision is what it is.

use std::sync::Arc;

use engine::eval::{Outcome, Step};
use model::Decision;
use ops::Node;
use ops::check::{Answered, Explained};
use remit_proto::remit::v1::explain_service_server::ExplainService;
use remit_proto::remit::v1::{
    ExplainRequest, ExplainResponse, ExplainStep, Outcome as WireOutcome,
};
use tonic::{Request, Response, Status};

use crate::convert;
use crate::{caller, error};

/// The service.
#[derive(Debug)]
pub(crate) struct ExplainApi {
    node: Arc<Node>,
}

impl ExplainApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl ExplainService for ExplainApi {
    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        let caller = caller(&request)?;
        let (consistency, question) = convert::explain(request.into_inner())?;
        let answered = ops::check::explain(&self.node, &caller, consistency, &question).await;
        Ok(Response::new(to_wire(&answered.map_err(error::status)?)))
    }
}

fn to_wire(answered: &Answered<Explained>) -> ExplainResponse {
    let explanation = &answered.answer.explanation;
    let (outcome, missing_context, error) = match &explanation.decision {
        Ok(Decision::Allowed) => (WireOutcome::Yes, Vec::new(), String::new()),
        Ok(Decision::Denied) => (WireOutcome::No, Vec::new(), String::new()),
        Ok(Decision::Conditional { missing }) => {
            (WireOutcome::Conditional, missing.clone(), String::new())
        }
        Err(error) => (WireOutcome::Error, Vec::new(), error.to_string()),
    };
    ExplainResponse {
        explained_at: Some(convert::token_to_wire(answered.at)),
        outcome: outcome.into(),
        missing_context,
        error,
        root: Some(step_to_wire(&explanation.root)),
        witness: answered
            .answer
            .witness
            .iter()
            .map(convert::relationship_to_wire)
            .collect(),
    }
}

fn step_to_wire(step: &Step) -> ExplainStep {
    let outcome = match step.outcome {
        Outcome::Yes => WireOutcome::Yes,
        Outcome::No => WireOutcome::No,
        Outcome::Conditional => WireOutcome::Conditional,
        Outcome::Error => WireOutcome::Error,
    };
    ExplainStep {
        what: step.what.clone(),
        outcome: outcome.into(),
        reason: step.reason.clone().unwrap_or_default(),
        below: step.below.iter().map(step_to_wire).collect(),
    }
}
