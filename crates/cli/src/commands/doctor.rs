//! `remit doctor`: looks at everything that a node depends on, and says what to do.
//!
//! Each group of checks is a file below and gives [`Finding`]s; to add a check, add it to a group, to add a group, call it in
//! [`examine`]. Nothing is changed, and no secret is told: files of keys are named, and not shown.

mod certificates;
mod files;
mod limits;
mod machine;
mod nodes;
mod postgres;
mod store;

use serde_json::json;

use crate::arguments::Doctor;
use crate::commands::serve;
use crate::exit::Outcome;
use crate::output;

/// How one check went. The order is that of how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// All is well.
    Ok,
    /// It cannot be told from here.
    Skipped,
    /// It works, and may not for long, or not as safely as it should.
    Warn,
    /// A node does not work like this.
    Fail,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// What one check found.
#[derive(Debug)]
pub(crate) struct Finding {
    verdict: Verdict,
    check: String,
    found: String,
    /// What to do; empty where all is well.
    advice: String,
}

impl Finding {
    fn new(verdict: Verdict, check: &str, found: impl Into<String>, advice: &str) -> Self {
        Self {
            verdict,
            check: check.to_owned(),
            found: found.into(),
            advice: advice.to_owned(),
        }
    }

    fn ok(check: &str, found: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, check, found, "")
    }

    fn skipped(check: &str, found: impl Into<String>) -> Self {
        Self::new(Verdict::Skipped, check, found, "")
    }

    fn warn(check: &str, found: impl Into<String>, advice: &str) -> Self {
        Self::new(Verdict::Warn, check, found, advice)
    }

    fn fail(check: &str, found: impl Into<String>, advice: &str) -> Self {
        Self::new(Verdict::Fail, check, found, advice)
    }

    /// With `error` and its causes as what was found.
    fn failed(check: &str, error: &anyhow::Error, advice: &str) -> Self {
        Self::fail(check, format!("{error:#}"), advice)
    }
}

pub(crate) async fn run(arguments: Doctor) -> anyhow::Result<Outcome> {
    let is_json = arguments.json;
    let findings = examine(arguments).await?;
    let worst = findings.iter().map(|finding| finding.verdict).max();
    let worst = worst.unwrap_or(Verdict::Ok);
    if is_json {
        output::json(&as_json(&findings, worst))?;
    } else {
        say(&findings)?;
    }
    Ok(match worst {
        Verdict::Ok | Verdict::Skipped | Verdict::Warn => Outcome::Success,
        Verdict::Fail => Outcome::Negative,
    })
}

/// Every group, one after the other.
async fn examine(arguments: Doctor) -> anyhow::Result<Vec<Finding>> {
    let mut findings = exposure(&arguments);
    findings.extend(files::look(&arguments.serve));
    findings.extend(certificates::look(&arguments));
    let place = store::place(&arguments);
    // The stores' calls block.
    let looked = tokio::task::spawn_blocking(move || place.map(|place| store::look(&place)));
    let mut state = looked.await?.unwrap_or_else(|| {
        let mut state = store::State::default();
        let why = "no store is named, and there is no `remit.db` here";
        state.findings.push(Finding::skipped("store", why));
        state
    });
    findings.append(&mut state.findings);
    findings.extend(machine::look(&state));
    findings.extend(limits::look(&state, &arguments.serve));
    findings.extend(nodes::look(&arguments, &state).await);
    Ok(findings)
}

/// Whom the server would let in, from where.
fn exposure(arguments: &Doctor) -> Vec<Finding> {
    const CHECK: &str = "exposure";
    let serve = &arguments.serve;
    if let Err(error) = serve::exposure::check(serve) {
        let advice = "`remit serve` refuses to start like this";
        return vec![Finding::failed(CHECK, &error, advice)];
    }
    let others = [serve.http_addr.get(), serve.metrics_addr.get()];
    let mut all = std::iter::once(serve.grpc_addr).chain(others.into_iter().flatten());
    if serve.insecure_no_auth {
        let found = "no key is asked for (`--insecure-no-auth`)";
        let advice = "for trying out, on a machine that nobody else uses";
        return vec![Finding::warn(CHECK, found, advice)];
    }
    match all.find(|address| !address.ip().is_loopback()) {
        Some(address) if serve.tls_cert.is_none() => {
            let found = format!("{address} can be reached by others, in plaintext");
            let advice = "give `--tls-cert` and `--tls-key`, unless something before it encrypts";
            vec![Finding::warn(CHECK, found, advice)]
        }
        Some(address) => vec![Finding::ok(CHECK, format!("{address} is under TLS"))],
        None => vec![Finding::ok(CHECK, "this machine alone")],
    }
}

fn as_json(findings: &[Finding], worst: Verdict) -> serde_json::Value {
    let checks: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check,
                "result": finding.verdict.name().to_lowercase(),
                "found": finding.found,
                "advice": finding.advice,
            })
        })
        .collect();
    json!({ "result": worst.name().to_lowercase(), "checks": checks })
}

fn say(findings: &[Finding]) -> anyhow::Result<()> {
    for finding in findings {
        let Finding {
            verdict,
            check,
            found,
            advice,
        } = finding;
        output::line(&format!("{:<8}{check}: {found}", verdict.name()))?;
        if !advice.is_empty() {
            output::line(&format!("{:<8}  {advice}", ""))?;
        }
    }
    let count = |verdict| findings.iter().filter(|it| it.verdict == verdict).count();
    output::line(&format!(
        "{} checks: {} failed, {} warnings, {} skipped",
        findings.len(),
        count(Verdict::Fail),
        count(Verdict::Warn),
        count(Verdict::Skipped)
    ))
}
