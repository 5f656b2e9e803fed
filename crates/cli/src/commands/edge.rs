//! `remit edge`: rules for proxies, checked and tested without a server.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use edge::{Answer, Cases, Faults, Question, Rules};
use engine::scenario::{self, Scenario, Stage};
use model::{Clock as _, Decision, RelationName, SystemClock};
use serde_json::json;

use crate::arguments::{EdgeCheck, EdgeCommand, EdgeTest};
use crate::exit::Outcome;
use crate::output;

pub(crate) fn run(command: &EdgeCommand) -> anyhow::Result<Outcome> {
    match command {
        EdgeCommand::Check(arguments) => check(arguments),
        EdgeCommand::Test(arguments) => test(arguments),
    }
}

fn check(arguments: &EdgeCheck) -> anyhow::Result<Outcome> {
    let name = arguments.rules.display().to_string();
    match Rules::read(&name, &read(&arguments.rules)?) {
        Ok(rules) if arguments.json => {
            let routes: Vec<&str> = rules.names().collect();
            output::json(&json!({ "file": name, "routes": routes, "faults": [] }))?;
            Ok(Outcome::Success)
        }
        Ok(rules) => {
            output::line(&format!("ok: {name}: {} routes", rules.names().count()))?;
            Ok(Outcome::Success)
        }
        Err(faults) => told(&faults, arguments.json),
    }
}

fn told(faults: &Faults, is_json: bool) -> anyhow::Result<Outcome> {
    if is_json {
        let told: Vec<_> = faults.faults.iter().map(|fault| {
            json!({ "line": fault.position.line, "column": fault.position.column, "message": fault.message })
        }).collect();
        output::json(&json!({ "file": faults.file, "faults": told }))?;
    } else {
        output::line(&faults.to_string())?;
    }
    Ok(Outcome::Negative)
}

fn test(arguments: &EdgeTest) -> anyhow::Result<Outcome> {
    let name = |path: &Path| path.display().to_string();
    let rules = match Rules::read(&name(&arguments.rules), &read(&arguments.rules)?) {
        Ok(rules) => rules,
        Err(faults) => return told(&faults, arguments.json),
    };
    let file = name(&arguments.cases);
    let cases = match Cases::read(&file, &read(&arguments.cases)?) {
        Ok(cases) => cases,
        Err(faults) => return told(&faults, arguments.json),
    };
    let scenario = cases.scenario.as_deref();
    let scenario = scenario.map(|named| scenario_of(&arguments.cases, named));
    let scenario = scenario.transpose()?;
    let stage = scenario.as_ref().map(|it| Stage::of(it, SystemClock.now()));
    let stage = stage
        .transpose()
        .context("the scenario of the cases cannot be used")?;
    let mut results = Vec::with_capacity(cases.cases.len());
    for case in &cases.cases {
        let decide = |question: &Question| stage.as_ref().map(|stage| decided(stage, question));
        results.push((case, case.failures(&rules, decide)));
    }
    let failed = results.iter().filter(|(_, failures)| !failures.is_empty());
    let failed = failed.count();
    if arguments.json {
        let told: Vec<_> = results
            .iter()
            .map(|(case, failures)| {
                json!({ "name": case.name, "line": case.position.line, "failures": failures })
            })
            .collect();
        output::json(&json!({ "file": file, "cases": told, "failed": failed }))?;
    } else {
        for (case, failures) in &results {
            for failure in failures {
                let line = case.position.line;
                output::line(&format!("{file}:{line}: `{}`: {failure}", case.name))?;
            }
        }
        let word = if failed == 0 { "ok" } else { "FAILED" };
        let count = results.len();
        output::line(&format!("{word}: {file}: {count} cases, {failed} failed"))?;
    }
    Ok(match failed {
        0 => Outcome::Success,
        _ => Outcome::Negative,
    })
}

/// The data that answers the checks of cases.
fn scenario_of(cases: &Path, named: &str) -> anyhow::Result<Scenario> {
    let path = cases.parent().unwrap_or(Path::new("")).join(named);
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let text = read(&path)?;
    let load =
        |file: &str| fs::read_to_string(folder.join(file)).map_err(|error| error.to_string());
    Scenario::read(&path.display().to_string(), &text, load).map_err(|error| anyhow!("{error}"))
}

fn decided(stage: &Stage<'_>, question: &Question) -> Answer {
    let Ok(member) = RelationName::new(&question.permission) else {
        return Answer::Failed;
    };
    let asked = scenario::Question {
        resource: question.resource.clone(),
        member,
        subject: question.subject.clone(),
        context: question.context.clone(),
    };
    match stage.decide(&asked) {
        Ok(Decision::Allowed) => Answer::Allowed,
        Ok(Decision::Denied) => Answer::Denied,
        Ok(Decision::Conditional { missing }) => Answer::Conditional(missing),
        Err(_) => Answer::Failed,
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}
