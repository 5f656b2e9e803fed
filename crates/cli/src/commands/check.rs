//! `remit check`: may this subject do this to that resource?

use remit_client::proto::authzed::api::v1::check_permission_response::Permissionship;
use remit_client::proto::authzed::api::v1::{CheckPermissionRequest, CheckPermissionResponse};
use serde_json::json;
use server::convert;

use crate::arguments::{Check, Question};
use crate::client;
use crate::commands::explain;
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(check: Check) -> anyhow::Result<Outcome> {
    let question = check.question;
    if check.explain {
        return explain::below_answer(&question).await;
    }
    let context = client::context(question.context.as_deref())?;
    let client = client::connect(&question.connection).await?;
    let request = CheckPermissionRequest {
        consistency: Some(question.freshness.consistency.clone()),
        resource: Some(convert::object_to_wire(&question.resource)),
        permission: question.permission.clone(),
        subject: Some(convert::subject_to_wire(&question.subject)),
        context: (!context.is_empty()).then(|| convert::context_to_wire(&context)),
        with_tracing: false,
    };
    let response = client.permissions().check_permission(request).await;
    let response = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    tell(&question, &response)
}

fn tell(question: &Question, response: &CheckPermissionResponse) -> anyhow::Result<Outcome> {
    let missing = response
        .partial_caveat_info
        .as_ref()
        .map(|info| info.missing_required_context.clone());
    let missing = missing.unwrap_or_default();
    let (outcome, word) = match response.permissionship() {
        Permissionship::HasPermission => (Outcome::Success, "allowed"),
        Permissionship::ConditionalPermission => (Outcome::Conditional, "conditional"),
        Permissionship::NoPermission | Permissionship::Unspecified => (Outcome::Negative, "denied"),
    };
    if question.connection.json {
        let token = response.checked_at.as_ref().map(|at| at.token.as_str());
        output::json(&json!({ "decision": word, "missing": missing, "checked_at": token }))?;
    } else if missing.is_empty() {
        output::line(word)?;
    } else {
        output::line(&format!("{word}: the context lacks {}", missing.join(", ")))?;
    }
    Ok(outcome)
}
