//! `remit audit verify`: whether a log is whole, be it in a file, in a store or on a server.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use indicatif::ProgressBar;
use serde_json::json;
use store::audit::export::Line;
use store::audit::proof::Proof;
use store::audit::verify::{Report, Verifier, verify_store};

use super::log::Log;
use super::{keys, read};
use crate::arguments::AuditVerify;
use crate::client;
use crate::commands::store::source;
use crate::exit::Outcome;
use crate::output;
use crate::place::Place;

/// The longest line of an export, in bytes.
const LINE_BYTES_MAX: u64 = 2 << 30;

pub(super) async fn run(arguments: AuditVerify) -> anyhow::Result<Outcome> {
    let keys = keys(&arguments.key)?;
    let has_keys = !keys.is_empty();
    let mut verifier = Verifier::new(keys);
    for file in &arguments.checkpoint {
        let text = read(file)?;
        // A proof holds one.
        let note = Proof::parse(&text).map_or(text, |proof| proof.checkpoint);
        verifier.checkpoint(&format!("`{}`", file.display()), None, &note);
    }
    let progress = ProgressBar::new_spinner();
    let tell = |size: u64| {
        progress.set_message(format!("{size} entries"));
        progress.tick();
    };
    let report = match (&arguments.file, &arguments.store) {
        (Some(file), _) => of_file(file, verifier, &tell)?,
        (None, Some(place)) => {
            let place: Place = place.parse()?;
            let shown = progress.clone();
            let verifying = tokio::task::spawn_blocking(move || {
                let source = source(&place)?;
                let report = verify_store(&*source, verifier, &mut |size| {
                    shown.set_message(format!("{size} entries"));
                    shown.tick();
                });
                report.context("the store cannot be read")
            });
            verifying.await.context("verifying was given up")??
        }
        (None, None) => {
            let client = client::connect(&arguments.connection).await?;
            of_server(&client, verifier, &tell).await?
        }
    };
    progress.finish_and_clear();
    say(&report, has_keys, arguments.connection.json)?;
    Ok(if report.is_whole() {
        Outcome::Success
    } else {
        Outcome::Negative
    })
}

pub(super) fn of_file(
    path: &Path,
    mut verifier: Verifier,
    tell: &dyn Fn(u64),
) -> anyhow::Result<Report> {
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut file = BufReader::new(file);
    let mut expected = None;
    let mut found = 0_u64;
    for number in 1.. {
        let mut line = Vec::new();
        let mut limited = std::io::Read::take(&mut file, LINE_BYTES_MAX);
        let count = limited.read_until(b'\n', &mut line);
        if count.with_context(|| format!("cannot read `{}`", path.display()))? == 0 {
            break;
        }
        let place = format!("line {number}");
        let text = line
            .strip_suffix(b"\n")
            .and_then(|line| std::str::from_utf8(line).ok());
        let Some(text) = text else {
            verifier.find(place, "it is no whole line of text");
            continue;
        };
        match Line::parse(text) {
            Ok(Line::RemitAudit(opening)) if number == 1 => {
                verifier.root("the first line", opening.size, opening.root()?);
                expected = Some(opening.checkpoints);
            }
            Ok(Line::RemitAudit(_)) => verifier.find(place, "an export begins within another"),
            Ok(Line::Checkpoint(note)) => {
                found += 1;
                verifier.checkpoint(&place, None, &note);
            }
            Ok(Line::Entry(line)) => match line.to_entry() {
                Ok(entry) => verifier.entry(&entry, |_, _| {}),
                Err(error) => verifier.find(place, error.to_string()),
            },
            Err(error) => verifier.find(place, format!("{:#}", anyhow!(error))),
        }
        tell(verifier.size());
    }
    if expected != Some(found) {
        let told = match expected {
            None => "it does not say of what it is".to_owned(),
            Some(expected) => format!("it says that {expected} checkpoints follow, and {found} do"),
        };
        verifier.find("line 1", told);
    }
    Ok(verifier.finish())
}

/// Verifies the log of a server, which may be in use.
pub(super) async fn of_server(
    log: &impl Log,
    mut verifier: Verifier,
    tell: &dyn Fn(u64),
) -> anyhow::Result<Report> {
    let (mut size, mut root) = log.state().await?;
    for kept in log.checkpoints(size).await? {
        let called = format!("checkpoint of {} entries", kept.size);
        verifier.checkpoint(&called, Some(kept.size), &kept.note);
    }
    loop {
        verifier.root("the root that the server tells", size, root);
        while verifier.size() < size {
            let before = verifier.size();
            let page = log.entries(before, 0).await?;
            for entry in page.iter().filter(|entry| entry.index < size) {
                verifier.entry(entry, |_, _| {});
            }
            if verifier.size() == before {
                break;
            }
            tell(verifier.size());
        }
        for index in verifier.to_read_again() {
            if let Some(entry) = log.entry(index).await? {
                verifier.entry_again(&entry);
            }
        }
        if !verifier.reads_on()? {
            return Ok(verifier.finish());
        }
        (size, root) = log.state().await?;
    }
}

fn say(report: &Report, has_keys: bool, is_json: bool) -> anyhow::Result<()> {
    let findings = report.findings.iter();
    if is_json {
        let revisions = report.revisions.map(|(first, last)| [first.0, last.0]);
        let findings = findings.map(|it| json!({ "place": it.place, "what": it.what }));
        return output::json(&json!({
            "is_whole": report.is_whole(),
            "size": report.size,
            "root": report.root.to_string(),
            "revisions": revisions,
            "histories": report.histories.len(),
            "erased_parts": report.erased_count,
            "signed_checkpoints": report.signed_count,
            "signed_size": report.signed_size,
            "findings": findings.collect::<Vec<_>>(),
            "finding_count": report.finding_count,
        }));
    }
    for finding in findings {
        output::line(&format!("{}: {}", finding.place, finding.what))?;
    }
    let more = report.finding_count - report.findings.len() as u64;
    if more > 0 {
        output::line(&format!("and {more} more"))?;
    }
    let verdict = if report.is_whole() {
        "whole"
    } else {
        "TAMPERED WITH"
    };
    let revisions = report.revisions.map_or_else(String::new, |(first, last)| {
        format!(", revisions {first} to {last}")
    });
    output::line(&format!(
        "{verdict}: {} entries{revisions}, root {}",
        report.size, report.root
    ))?;
    for (history, index) in report.histories.iter().skip(1) {
        let id: String = history.0.iter().map(|byte| format!("{byte:02x}")).collect();
        output::line(&format!(
            "history {id} begins with entry {index}: a restore, or a copy"
        ))?;
    }
    if report.erased_count > 0 {
        output::line(&format!(
            "{} parts were erased, as the log says",
            report.erased_count
        ))?;
    }
    let unsigned = report.size.saturating_sub(report.signed_size);
    let unknown: u64 = report.unknown_keys.values().sum();
    let signed = report.signed_count;
    output::line(&match (signed, has_keys) {
        (0, false) if unknown > 0 => {
            format!(
                "no signature was verified: {unknown} checkpoints are signed, give their keys with `--key`"
            )
        }
        (0, _) => "no checkpoint is signed: whoever writes to the store can make another log of it"
            .to_owned(),
        (_, _) => format!(
            "{signed} checkpoints are signed; the last {unsigned} entries are not covered yet"
        ),
    })
}
