//! `remit.v1.ExplainService`: why a decision is what it is, and what was decided once more.

use std::sync::Arc;

use engine::eval::{Outcome, Step};
use model::Decision;
use ops::Node;
use ops::check::{Answered, Explained};
use ops::replay::Replayed;
use remit_proto::remit::v1::explain_service_server::ExplainService;
use remit_proto::remit::v1::{
    ExplainRequest, ExplainResponse, ExplainStep, Outcome as WireOutcome, ReplayRequest,
    ReplayResponse,
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

    async fn replay(
        &self,
        request: Request<ReplayRequest>,
    ) -> Result<Response<ReplayResponse>, Status> {
        let caller = caller(&request)?;
        let replay = convert::remit::replay(request.into_inner())?;
        let answered = ops::replay::replay(&self.node, &caller, &replay).await;
        let answered = answered.map_err(error::status)?;
        Ok(Response::new(replayed_to_wire(answered)))
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

fn replayed_to_wire(answered: Answered<Replayed>) -> ReplayResponse {
    let mut response = ReplayResponse {
        replayed_at: Some(convert::token_to_wire(answered.at)),
        locked: answered.answer.is_locked,
        ..ReplayResponse::default()
    };
    let outcome = match answered.answer.decision {
        Ok(Decision::Allowed) => WireOutcome::Yes,
        Ok(Decision::Denied) => WireOutcome::No,
        Ok(Decision::Conditional { missing }) => {
            response.missing_context = missing;
            WireOutcome::Conditional
        }
        Err(error) => {
            response.error_kind = format!("{:?}", error.kind);
            let reason = error.reason.map(|reason| format!("{reason:?}"));
            response.error_reason = reason.unwrap_or_default();
            response.error = error.message;
            WireOutcome::Error
        }
    };
    response.outcome = outcome.into();
    response
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
