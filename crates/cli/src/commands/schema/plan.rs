//! What the server would make of a schema: `write --dry-run`, and `diff` against the schema in force.

use remit_client::proto::authzed::api::v1::Consistency;
use remit_client::proto::authzed::api::v1::consistency::Requirement;
use remit_client::proto::remit::v1::{
    FaultClass, PlanSchemaRequest, PlanSchemaResponse, SchemaBreak,
};
use serde_json::{Value as Json, json};
use tonic::{Code, Status};

use crate::arguments::Connection;
use crate::client;
use crate::exit::Outcome;
use crate::output;

/// Says what a write would change and what would forbid it; negative if something does.
pub(super) async fn dry_run(schema: &str, connection: &Connection) -> anyhow::Result<Outcome> {
    let plan = ask(schema, connection).await?;
    let plan = plan.map_err(|status| client::refused(&status))?;
    let would_fail = !plan.faults.is_empty() || !plan.breaks.is_empty();
    if connection.json {
        output::json(&to_json(&plan))?;
    } else {
        print(&plan)?;
        if plan.faults.is_empty() && plan.changes.is_empty() {
            output::line("nothing would change")?;
        }
    }
    Ok(if would_fail {
        Outcome::Negative
    } else {
        Outcome::Success
    })
}

/// Says what differs from the schema in force and what would forbid it; nothing from a server that cannot plan.
pub(super) async fn diff(schema: &str, connection: &Connection) -> anyhow::Result<Option<Outcome>> {
    let plan = match ask(schema, connection).await? {
        Err(status) if status.code() == Code::Unimplemented => return Ok(None),
        plan => plan.map_err(|status| client::refused(&status))?,
    };
    if connection.json {
        for change in &plan.changes {
            output::json(&json!({ "change": change.summary }))?;
        }
        for found in &plan.breaks {
            output::json(&json!({ "break": break_json(found) }))?;
        }
    } else {
        print(&plan)?;
    }
    let is_same = plan.faults.is_empty() && plan.changes.is_empty();
    Ok(Some(if is_same {
        Outcome::Success
    } else {
        Outcome::Negative
    }))
}

async fn ask(
    schema: &str,
    connection: &Connection,
) -> anyhow::Result<Result<PlanSchemaResponse, Status>> {
    let client = client::connect(connection).await?;
    let request = PlanSchemaRequest {
        consistency: Some(Consistency {
            requirement: Some(Requirement::FullyConsistent(true)),
        }),
        schema: schema.to_owned(),
    };
    let response = client.schema_plan().plan_schema(request).await;
    Ok(response.map(tonic::Response::into_inner))
}

fn print(plan: &PlanSchemaResponse) -> anyhow::Result<()> {
    for fault in &plan.faults {
        output::line(&fault.rendered)?;
    }
    for change in &plan.changes {
        output::line(&change.summary)?;
    }
    for found in &plan.breaks {
        let at_least = if found.is_at_least { "at least " } else { "" };
        let count = match found.relationship_count {
            0 => String::new(),
            1 => " (1 relationship)".to_owned(),
            count => format!(" ({at_least}{count} relationships)"),
        };
        output::line(&format!("! {}{count}", found.message))?;
    }
    Ok(())
}

fn to_json(plan: &PlanSchemaResponse) -> Json {
    let faults = plan.faults.iter().map(|fault| {
        let class = match fault.class() {
            FaultClass::Parse => "parse",
            FaultClass::Type => "type",
            FaultClass::Unspecified => "other",
        };
        json!({
            "class": class,
            "message": fault.message,
            "line": fault.line,
            "column": fault.column,
            "hint": fault.hint,
        })
    });
    json!({
        "planned_at": plan.planned_at.as_ref().map(|at| &at.token),
        "faults": faults.collect::<Vec<_>>(),
        "changes": plan.changes.iter().map(|change| &change.summary).collect::<Vec<_>>(),
        "breaks": plan.breaks.iter().map(break_json).collect::<Vec<_>>(),
    })
}

fn break_json(found: &SchemaBreak) -> Json {
    json!({
        "operation": found.operation,
        "message": found.message,
        "relationship_count": found.relationship_count,
        "is_at_least": found.is_at_least,
    })
}
