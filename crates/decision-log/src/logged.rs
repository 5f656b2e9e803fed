//! Events that were logged, read back: what of them it takes to replay a decision.

use model::{Context, ObjectRef, SubjectRef, Timestamp, Token};
use serde_json::Value;

/// A decision that was logged.
#[derive(Debug, Clone)]
pub struct Logged {
    /// The id of the decision; empty if it has none.
    pub id: String,
    /// The decision, as it was told.
    pub told: Told,
    /// What it takes to replay it, or why it cannot be.
    pub replay: Result<Replay, String>,
}

/// What it takes to replay a decision.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The snapshot.
    pub at: Token,
    /// The instant.
    pub now: Timestamp,
    /// The revision as of which it was known who is locked.
    pub locks_at: u64,
    /// What was to be accessed.
    pub resource: ObjectRef,
    /// The permission.
    pub permission: String,
    /// Who was to access it.
    pub subject: SubjectRef,
    /// Values for the parameters of caveats.
    pub context: Context,
}

/// What an event says was decided, in the words that it says it in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// `allowed`, `denied`, `conditional` or `error`.
    pub decision: String,
    /// The names that a condition lacks, sorted.
    pub missing: Vec<String>,
    /// Whether the subject was locked.
    pub is_locked: bool,
    /// The kind and the reason of an error.
    pub error: (String, String),
}

/// Reads an event.
///
/// # Errors
/// What is wrong with it, for what is no event of a decision of Remit at all.
pub fn read(event: &Value) -> Result<Logged, String> {
    let path = event.get("path").and_then(Value::as_str);
    if path != Some("remit/check") {
        return Err("it is no event of a decision: its `path` is not `remit/check`".to_owned());
    }
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let decision = text("/result/decision").unwrap_or_default().to_owned();
    if !matches!(
        decision.as_str(),
        "allowed" | "denied" | "conditional" | "error"
    ) {
        return Err("its `result.decision` is none".to_owned());
    }
    let missing = event.pointer("/result/missing").and_then(Value::as_array);
    let missing = missing.into_iter().flatten().filter_map(Value::as_str);
    let of_error = |name: &str| {
        text(&format!("/result/error/{name}"))
            .unwrap_or_default()
            .to_owned()
    };
    let told = Told {
        decision,
        missing: missing.map(str::to_owned).collect(),
        is_locked: event.pointer("/result/locked").and_then(Value::as_bool) == Some(true),
        error: (of_error("kind"), of_error("reason")),
    };
    Ok(Logged {
        id: text("/decision_id").unwrap_or_default().to_owned(),
        told,
        replay: replay(event),
    })
}

fn replay(event: &Value) -> Result<Replay, String> {
    let why = event
        .pointer("/custom/replay/why")
        .and_then(Value::as_array);
    let why: Vec<&str> = why
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !why.is_empty() {
        return Err(why.join(", "));
    }
    let text = |pointer: &str| {
        let text = event.pointer(pointer).and_then(Value::as_str);
        text.ok_or_else(|| format!("`{pointer}` is missing"))
    };
    let wrong =
        |pointer: &str, error: &dyn std::fmt::Display| format!("`{pointer}` is wrong: {error}");
    // Whoever else masked it says so as well.
    for list in ["erased", "masked"] {
        let hidden = event.get(list).and_then(Value::as_array);
        let hidden = hidden.into_iter().flatten().filter_map(Value::as_str);
        let parts = [
            "/input/resource",
            "/input/permission",
            "/input/subject",
            "/input/context",
            "/input/now",
            "/bundles",
        ];
        if let Some(part) = hidden
            .into_iter()
            .find(|it| parts.iter().any(|part| it.starts_with(part)))
        {
            return Err(format!("`{part}` is {list}"));
        }
    }
    let at = text("/bundles/remit/revision")?;
    let now = text("/input/now")?;
    let (resource, subject) = (text("/input/resource")?, text("/input/subject")?);
    let context = match event.pointer("/input/context") {
        None => Context::default(),
        Some(context) => Context::from_json(&context.to_string())
            .map_err(|error| wrong("/input/context", &error))?,
    };
    let locks_at = event.pointer("/input/locks_at").and_then(Value::as_u64);
    Ok(Replay {
        at: at
            .parse()
            .map_err(|error| wrong("/bundles/remit/revision", &error))?,
        now: now.parse().map_err(|error| wrong("/input/now", &error))?,
        locks_at: locks_at.unwrap_or(0),
        resource: resource
            .parse()
            .map_err(|error| wrong("/input/resource", &error))?,
        permission: text("/input/permission")?.to_owned(),
        subject: subject
            .parse()
            .map_err(|error| wrong("/input/subject", &error))?,
        context,
    })
}
