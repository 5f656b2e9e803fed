//! `remit explain`: why a subject has a permission or not.

use model::Relationship;
use remit_client::Client;
use remit_client::proto::remit::v1::{
    ExplainRequest, ExplainResponse, ExplainStep, Outcome as Told,
};
use serde_json::{Value as Json, json};
use server::convert;

use crate::arguments::Question;
use crate::client;
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(question: Question) -> anyhow::Result<Outcome> {
    let client = client::connect(&question.connection).await?;
    let response = ask(&client, &question).await?;
    if question.connection.json {
        output::json(&as_json(&response)?)?;
    } else {
        output::text(&as_text(&question, &response)?)?;
    }
    Ok(outcome(&response))
}

/// As `remit check`, with the reasons below the answer.
pub(crate) async fn below_answer(question: &Question) -> anyhow::Result<Outcome> {
    let client = client::connect(&question.connection).await?;
    let response = ask(&client, question).await?;
    if question.connection.json {
        output::json(&as_json(&response)?)?;
    } else {
        let mut text = word(response.outcome()).to_owned();
        if !response.missing_context.is_empty() {
            let missing = response.missing_context.join(", ");
            text.push_str(&format!(": the context lacks {missing}"));
        }
        text.push('\n');
        tree(&response, "", &mut text);
        output::text(&text)?;
    }
    match response.outcome() {
        Told::Yes | Told::No | Told::Conditional => Ok(outcome(&response)),
        Told::Error | Told::Unspecified => Err(anyhow::anyhow!("{}", response.error)),
    }
}

/// Asks for the reasons, on a connection that may be another's.
pub(crate) async fn ask(client: &Client, question: &Question) -> anyhow::Result<ExplainResponse> {
    let context = client::context(question.context.as_deref())?;
    let request = ExplainRequest {
        consistency: Some(question.freshness.consistency.clone()),
        resource: Some(convert::object_to_wire(&question.resource)),
        permission: question.permission.clone(),
        subject: Some(convert::subject_to_wire(&question.subject)),
        context: (!context.is_empty()).then(|| convert::context_to_wire(&context)),
    };
    let response = client.explain().explain(request).await;
    let response = response.map_err(|status| client::refused(&status))?;
    Ok(response.into_inner())
}

fn outcome(response: &ExplainResponse) -> Outcome {
    match response.outcome() {
        Told::Yes => Outcome::Success,
        Told::Conditional => Outcome::Conditional,
        Told::No | Told::Error | Told::Unspecified => Outcome::Negative,
    }
}

fn as_text(question: &Question, response: &ExplainResponse) -> anyhow::Result<String> {
    let (subject, permission, resource) =
        (&question.subject, &question.permission, &question.resource);
    let missing = response.missing_context.join(", ");
    let mut text = match response.outcome() {
        Told::Yes => format!("allowed: {subject} has `{permission}` on {resource}\n"),
        Told::No => format!("denied: {subject} does not have `{permission}` on {resource}\n"),
        Told::Conditional => format!(
            "conditional: {subject} has `{permission}` on {resource} depending on {missing}\n"
        ),
        Told::Error | Told::Unspecified => format!("error: {}\n", response.error),
    };
    tree(response, "", &mut text);
    let witness = witness(response)?;
    if !witness.is_empty() {
        text.push_str("\nthe relationships that made it:\n");
        for relationship in witness {
            text.push_str(&format!("  {relationship}\n"));
        }
    }
    Ok(text)
}

/// Adds the steps of an explanation to `text`, each on a line that begins with `margin`.
pub(crate) fn tree(response: &ExplainResponse, margin: &str, text: &mut String) {
    if let Some(root) = &response.root {
        branch(root, margin, margin, text);
    }
}

fn branch(step: &ExplainStep, first: &str, rest: &str, text: &mut String) {
    let reason = if step.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", step.reason)
    };
    text.push_str(&format!(
        "{first}{} {}{reason}\n",
        mark(step.outcome()),
        step.what
    ));
    for (place, below) in step.below.iter().enumerate() {
        let is_last = place + 1 == step.below.len();
        let (fork, trunk) = if is_last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        branch(
            below,
            &format!("{rest}{fork}"),
            &format!("{rest}{trunk}"),
            text,
        );
    }
}

fn mark(outcome: Told) -> &'static str {
    match outcome {
        Told::Yes => "✓",
        Told::No => "✗",
        Told::Conditional => "?",
        Told::Error | Told::Unspecified => "!",
    }
}

fn witness(response: &ExplainResponse) -> anyhow::Result<Vec<Relationship>> {
    let rows = response.witness.iter().cloned();
    rows.map(|row| convert::relationship_from_wire(row).map_err(|error| anyhow::anyhow!("{error}")))
        .collect()
}

/// An explanation for programs.
pub(crate) fn as_json(response: &ExplainResponse) -> anyhow::Result<Json> {
    let witness: Vec<String> = witness(response)?.iter().map(ToString::to_string).collect();
    Ok(json!({
        "decision": word(response.outcome()),
        "missing": response.missing_context,
        "error": response.error,
        "explained_at": response.explained_at.as_ref().map(|at| at.token.as_str()),
        "root": response.root.as_ref().map(step_json),
        "witness": witness,
    }))
}

fn step_json(step: &ExplainStep) -> Json {
    let below: Vec<Json> = step.below.iter().map(step_json).collect();
    json!({ "what": step.what, "outcome": word(step.outcome()), "reason": step.reason, "below": below })
}

fn word(outcome: Told) -> &'static str {
    match outcome {
        Told::Yes => "allowed",
        Told::No => "denied",
        Told::Conditional => "conditional",
        Told::Error | Told::Unspecified => "error",
    }
}
