//! `remit audit`: what was done, searched, taken out, verified, proven, and erased.

mod export;
mod log;
mod search;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use remit_client::Client;
use remit_client::proto::remit::v1::prove_audit_request::What;
use remit_client::proto::remit::v1::{
    EraseFromAuditRequest, GetAuditStateRequest, ProveAuditRequest, ReadAuditEntriesRequest,
};
use serde_json::json;
use server::convert;
use store::audit::proof::Proof;
use store::audit::{Entry, Hash, SigningKey, VerifyingKey, note};

use crate::arguments::{AuditCommand, AuditErase, AuditKey, AuditProve};
use crate::client;
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(command: AuditCommand) -> anyhow::Result<Outcome> {
    match command {
        AuditCommand::Search(arguments) => search::run(arguments).await,
        AuditCommand::Export(arguments) => export::run(&arguments).await,
        AuditCommand::Verify(arguments) => verify::run(arguments).await,
        AuditCommand::Prove(arguments) => prove(&arguments).await,
        AuditCommand::Erase(arguments) => erase(arguments).await,
        AuditCommand::Key(arguments) => key(&arguments),
    }
}

async fn prove(arguments: &AuditProve) -> anyhow::Result<Outcome> {
    if let Some(file) = &arguments.check {
        return check(file, &keys(&arguments.key)?, arguments.connection.json);
    }
    let client = client::connect(&arguments.connection).await?;
    let index = match (arguments.index, arguments.revision) {
        (Some(index), _) => index,
        (None, Some(revision)) => {
            let begin = state(&client).await?.begin;
            revision
                .checked_sub(begin.saturating_add(1))
                .with_context(|| format!("the audit log begins after revision {begin}"))?
        }
        (None, None) => bail!("say which entry: an index, or `--revision`"),
    };
    let request = ProveAuditRequest {
        size: 0,
        what: Some(What::Index(index)),
    };
    let proof = client.audit().prove_audit(request).await;
    let proof = proof
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let entry = entries(&client, index, 1).await?.into_iter().next();
    let hashes = proof.hashes.iter().map(|hash| hash_of(hash));
    let proof = Proof {
        entry: entry.with_context(|| format!("the audit log has no entry {index}"))?,
        path: hashes.collect::<Result<_, _>>()?,
        checkpoint: proof.checkpoint,
    };
    output::text(&proof.to_text()?)?;
    Ok(Outcome::Success)
}

/// Checks a proof without asking anybody.
fn check(file: &Path, keys: &[VerifyingKey], is_json: bool) -> anyhow::Result<Outcome> {
    let text = read(file)?;
    let checked = Proof::parse(&text).and_then(|proof| {
        let checkpoint = proof.check(keys)?;
        Ok((proof, checkpoint))
    });
    let (proof, checkpoint) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            let error = anyhow::Error::from(error);
            let why = format!("{error:#}");
            if is_json {
                output::json(&json!({ "is_proven": false, "why": why }))?;
            } else {
                output::line(&format!("not proven: {why}"))?;
            }
            return Ok(Outcome::Negative);
        }
    };
    let (header, body) = (proof.entry.header()?, proof.entry.body()?);
    let parts = body.parts().map(|(_, part)| search::shown(part));
    let parts: Vec<String> = parts.flatten().collect();
    if is_json {
        output::json(&json!({
            "is_proven": true,
            "index": header.index,
            "revision": header.revision.0,
            "time": header.time.to_string(),
            "parts": parts,
            "log": checkpoint.origin,
            "size": checkpoint.size,
        }))?;
        return Ok(Outcome::Success);
    }
    output::line(&format!(
        "proven: entry {} of {}, revision {} at {}, is in the log as it was signed with {} entries",
        header.index, checkpoint.origin, header.revision, header.time, checkpoint.size
    ))?;
    for part in parts {
        // Whoever wrote it may have meant to control a terminal.
        output::line(&format!("  {}", part.escape_debug()))?;
    }
    Ok(Outcome::Success)
}

async fn erase(arguments: AuditErase) -> anyhow::Result<Outcome> {
    let client = client::connect(&arguments.connection).await?;
    let request = EraseFromAuditRequest {
        subject: Some(convert::object_to_wire(&arguments.subject)),
        text: arguments.text.unwrap_or_default(),
        reason: arguments.reason,
        dry_run: !arguments.yes,
    };
    let erased = client.audit().erase_from_audit(request).await;
    let erased = erased
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let (entries, parts) = (erased.entry_count, erased.part_count);
    if arguments.connection.json {
        output::json(&json!({
            "is_done": arguments.yes,
            "entries": entries,
            "parts": parts,
            "erased_at": erased.erased_at.map(|token| token.token),
            "held": erased.held,
        }))?;
        return Ok(Outcome::Success);
    }
    if arguments.yes {
        output::line(&format!("erased {parts} parts of {entries} entries"))?;
        return Ok(Outcome::Success);
    }
    output::line(&format!(
        "{parts} parts of {entries} entries name `{}`; `--yes` erases them",
        arguments.subject
    ))?;
    for held in erased.held {
        output::line(&format!("delete first: {held}"))?;
    }
    Ok(Outcome::Success)
}

fn key(arguments: &AuditKey) -> anyhow::Result<Outcome> {
    match &arguments.public {
        Some(file) => {
            for key in keys(std::slice::from_ref(file))? {
                output::line(&key.to_string())?;
            }
        }
        None => output::line(&SigningKey::fresh_line(&arguments.name)?)?,
    }
    Ok(Outcome::Success)
}

/// The keys of files, public or not.
fn keys(files: &[PathBuf]) -> anyhow::Result<Vec<VerifyingKey>> {
    let mut keys = Vec::new();
    for file in files {
        let read = note::verifying_keys(&read(file)?);
        keys.extend(
            read.with_context(|| format!("`{}` is no file of audit keys", file.display()))?,
        );
    }
    Ok(keys)
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))
}

async fn state(
    client: &Client,
) -> anyhow::Result<remit_client::proto::remit::v1::GetAuditStateResponse> {
    let state = client
        .audit()
        .get_audit_state(GetAuditStateRequest {})
        .await;
    Ok(state
        .map_err(|status| client::refused(&status))?
        .into_inner())
}

/// The next entries from an index on; none past the end.
async fn entries(client: &Client, from: u64, entries_max: u32) -> anyhow::Result<Vec<Entry>> {
    let request = ReadAuditEntriesRequest { from, entries_max };
    let stream = client.audit().read_audit_entries(request).await;
    let mut stream = stream
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let mut entries: Vec<Entry> = Vec::new();
    let mut is_continued = false;
    while let Some(piece) = stream
        .message()
        .await
        .map_err(|status| client::refused(&status))?
    {
        match entries.last_mut() {
            Some(last) if is_continued && last.index == piece.index => last.body.extend(piece.body),
            Some(_) | None => entries.push(Entry {
                index: piece.index,
                header: piece.header,
                leaf: hash_of(&piece.leaf)?,
                body: piece.body,
            }),
        }
        is_continued = piece.is_continued;
    }
    if is_continued {
        bail!("an entry of the audit log came in part");
    }
    Ok(entries)
}

fn hash_of(bytes: &[u8]) -> anyhow::Result<Hash> {
    Ok(Hash(
        bytes.try_into().context("a hash does not have 32 bytes")?,
    ))
}
