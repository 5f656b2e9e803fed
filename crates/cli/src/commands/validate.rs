//! `remit validate`: runs validation files offline, on a graph in memory.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use engine::scenario::{RunError, Scenario, Stage};
use model::{Clock as _, SystemClock};
use serde_json::json;

use crate::arguments::Validate;
use crate::exit::Outcome;
use crate::output;

pub(crate) fn run(arguments: &Validate) -> anyhow::Result<Outcome> {
    let mut failed = 0;
    for path in &arguments.files {
        failed += usize::from(!validate(path, arguments.json)?);
    }
    Ok(if failed == 0 {
        Outcome::Success
    } else {
        Outcome::Negative
    })
}

/// Runs one file and tells what is not as it says; whether all is.
fn validate(path: &Path, as_json: bool) -> anyhow::Result<bool> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{name}`"))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let scenario = Scenario::read(&name, &text, |schema_file| {
        fs::read_to_string(folder.join(schema_file)).map_err(|error| error.to_string())
    })?;
    let stage = Stage::of(&scenario, SystemClock.now()).map_err(|error| match error {
        RunError::Schema(error) => anyhow!(
            "{}",
            error.render(&scenario.schema.file, &scenario.schema.text)
        ),
        RunError::Data(_) => anyhow!("{name}: {error}"),
    })?;
    let failures = stage.run();
    let listed: usize = scenario
        .validations
        .iter()
        .map(|validation| validation.value.subjects.len())
        .sum();
    let (assertions, relationships) = (scenario.assertions.len(), scenario.relationships.len());
    if as_json {
        let failures: Vec<_> = failures
            .iter()
            .map(|f| json!({ "line": f.position.line, "column": f.position.column, "message": f.message }))
            .collect();
        output::json(&json!({
            "file": name, "assertions": assertions, "expected_subjects": listed, "failures": failures,
        }))?;
        return Ok(failures.is_empty());
    }
    for failure in &failures {
        output::line(&format!("{name}:{}: {}", failure.position, failure.message))?;
    }
    let word = if failures.is_empty() { "ok" } else { "FAILED" };
    output::line(&format!(
        "{word}: {name}: {assertions} assertions and {listed} expected subjects over {relationships} relationships, \
         {} failed",
        failures.len()
    ))?;
    Ok(failures.is_empty())
}
