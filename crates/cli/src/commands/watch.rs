//! `remit watch`: changes as they happen, line by line, also across the server's absences.
//!
//! Checkpoints are asked for whether they are printed or not: they keep the token fresh from which a new connection goes
//! on, however seldom something matches.

use std::error::Error as _;
use std::time::Duration;

use anyhow::Context as _;
use model::Relationship;
use remit_client::Client;
use remit_client::proto::authzed::api::v1::relationship_update::Operation;
use remit_client::proto::authzed::api::v1::subject_filter::RelationFilter;
use remit_client::proto::authzed::api::v1::{
    RelationshipFilter, SubjectFilter, WatchKind, WatchRequest, WatchResponse, ZedToken,
};
use serde_json::{Value as Json, json};
use server::convert;
use tonic::{Code, Request, Status, Streaming};

use crate::arguments::Watch;
use crate::client;
use crate::exit::Outcome;
use crate::output;

/// The pause before the first try to connect again; it doubles with each that fails.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

pub(crate) async fn run(arguments: Watch) -> anyhow::Result<Outcome> {
    tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("the interruption cannot be listened for")?;
            Ok(Outcome::Success)
        }
        ended = follow(&arguments) => ended,
    }
}

/// Prints until something is wrong that time does not mend. The first connection has to succeed.
async fn follow(arguments: &Watch) -> anyhow::Result<Outcome> {
    let mut from = arguments.from.clone();
    let client = client::connect(&arguments.connection).await?;
    let mut stream = open(&client, arguments, &from)
        .await
        .map_err(|status| client::refused(&status))?;
    let mut pause = PAUSE_MIN;
    loop {
        let ended = loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    pause = PAUSE_MIN;
                    print(arguments, &message)?;
                    let told = message.changes_through.unwrap_or_default().token;
                    if from == "oldest" {
                        eprintln!("what the server still has begins after {told}");
                    }
                    from = told;
                }
                Ok(None) => break Status::unavailable("the stream ended"),
                Err(status) => break status,
            }
        };
        stream = reopen(arguments, &from, ended, &mut pause).await?;
    }
}

/// Connects again, with growing pauses, for as long as that may help.
async fn reopen(
    arguments: &Watch,
    from: &str,
    mut ended: Status,
    pause: &mut Duration,
) -> anyhow::Result<Streaming<WatchResponse>> {
    if from == "now" {
        eprintln!("disconnected before anything was told; what changes meanwhile is not printed");
    }
    loop {
        if !is_passing(&ended) {
            return Err(client::refused(&ended));
        }
        eprintln!("{}; connecting again in {pause:?}", ended.message());
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(PAUSE_MAX);
        let opened = match client::connect(&arguments.connection).await {
            Ok(client) => open(&client, arguments, from).await,
            Err(error) => Err(Status::unavailable(error.to_string())),
        };
        match opened {
            Ok(stream) => return Ok(stream),
            Err(status) => ended = status,
        }
    }
}

/// Whether trying again may help: the server is away, or full, or let go of a reader that was too slow. A status with a
/// source is none of the server's, but the connection's.
fn is_passing(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted)
        || status.source().is_some()
}

async fn open(
    client: &Client,
    arguments: &Watch,
    from: &str,
) -> Result<Streaming<WatchResponse>, Status> {
    let mut kinds = vec![
        WatchKind::IncludeRelationshipUpdates.into(),
        WatchKind::IncludeCheckpoints.into(),
    ];
    if arguments.schema {
        kinds.push(WatchKind::IncludeSchemaUpdates.into());
    }
    let is_token = from != "now" && from != "oldest";
    let mut request = Request::new(WatchRequest {
        optional_object_types: arguments.object_type.clone(),
        optional_start_cursor: is_token.then(|| ZedToken {
            token: from.to_owned(),
        }),
        optional_relationship_filters: arguments.filter.clone(),
        optional_update_kinds: kinds,
    });
    if from == "oldest" {
        let oldest = tonic::metadata::MetadataValue::from_static("oldest");
        request.metadata_mut().insert(convert::WATCH_FROM, oldest);
    }
    Ok(client.watch().watch(request).await?.into_inner())
}

fn print(arguments: &Watch, message: &WatchResponse) -> anyhow::Result<()> {
    if message.is_checkpoint && !arguments.checkpoints {
        return Ok(());
    }
    let through = message.changes_through.as_ref();
    let through = through.map_or("", |at| at.token.as_str());
    let updates = message.updates.iter().map(|update| {
        let relationship = update.relationship.clone().unwrap_or_default();
        let relationship = convert::relationship_from_wire(relationship)?;
        Ok((update.operation(), relationship))
    });
    let updates: Vec<(Operation, Relationship)> = updates.collect::<anyhow::Result<_>>()?;
    if arguments.connection.json {
        return output::json(&to_json(message, &updates, through)?);
    }
    if message.schema_updated {
        output::line(&format!("schema updated  ({through})"))?;
    }
    for (operation, relationship) in &updates {
        let sign = match operation {
            Operation::Delete => '-',
            Operation::Create | Operation::Touch | Operation::Unspecified => '+',
        };
        output::line(&format!("{sign} {relationship}  ({through})"))?;
    }
    if message.is_checkpoint {
        output::line(&format!("checkpoint  ({through})"))?;
    }
    Ok(())
}

fn to_json(
    message: &WatchResponse,
    updates: &[(Operation, Relationship)],
    through: &str,
) -> anyhow::Result<Json> {
    if message.schema_updated {
        return Ok(json!({ "schema_updated": true, "through": through }));
    }
    if message.is_checkpoint {
        return Ok(json!({ "checkpoint": true, "through": through }));
    }
    let updates = updates.iter().map(|(operation, relationship)| {
        let operation = match operation {
            Operation::Delete => "delete",
            Operation::Create | Operation::Touch | Operation::Unspecified => "touch",
        };
        json!({ "operation": operation, "relationship": relationship.to_string() })
    });
    let mut line = json!({ "updates": updates.collect::<Vec<_>>(), "through": through });
    if let (Some(metadata), Some(line)) =
        (&message.optional_transaction_metadata, line.as_object_mut())
    {
        let metadata = convert::context_from_wire(metadata.clone())?.to_json();
        line.insert("metadata".to_owned(), serde_json::from_str(&metadata)?);
    }
    Ok(line)
}

/// Parses `--filter`: `type:id#relation@type:id#relation`, of which any part may be left out.
pub(crate) fn filter(text: &str) -> Result<RelationshipFilter, String> {
    let (resource, subject) = cut(text, '@')?;
    let (resource, relation) = cut(resource, '#')?;
    let (resource_type, resource_id) = cut(resource, ':')?;
    let subject = subject.map(|subject| {
        let (subject, relation) = cut(subject, '#')?;
        let (subject_type, id) = cut(subject, ':')?;
        Ok::<_, String>(SubjectFilter {
            subject_type: subject_type.to_owned(),
            optional_subject_id: id.unwrap_or_default().to_owned(),
            optional_relation: relation.map(|relation| RelationFilter {
                relation: relation.to_owned(),
            }),
        })
    });
    let filter = RelationshipFilter {
        resource_type: resource_type.to_owned(),
        optional_resource_id: resource_id.unwrap_or_default().to_owned(),
        optional_relation: relation.unwrap_or_default().to_owned(),
        optional_subject_filter: subject.transpose()?,
        ..Default::default()
    };
    if filter == RelationshipFilter::default() {
        return Err("expected at least one part of `type:id#relation@type:id#relation`".to_owned());
    }
    Ok(filter)
}

/// What stands before and after `mark`.
fn cut(text: &str, mark: char) -> Result<(&str, Option<&str>), String> {
    match text.split_once(mark) {
        None => Ok((text, None)),
        Some((_, "")) => Err(format!("nothing follows `{mark}`")),
        Some((before, after)) => Ok((before, Some(after))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_any_part_of_a_relationship() {
        let whole = filter("doc:1#viewer@group:g#member").unwrap();
        let subject = whole.optional_subject_filter.clone().unwrap();
        assert_eq!(
            (
                whole.resource_type.as_str(),
                whole.optional_resource_id.as_str(),
                whole.optional_relation.as_str(),
                subject.subject_type.as_str(),
                subject.optional_subject_id.as_str(),
                subject.optional_relation.unwrap().relation.as_str(),
            ),
            ("doc", "1", "viewer", "group", "g", "member")
        );
        for (text, resource, id, relation, subject) in [
            ("doc", "doc", "", "", ""),
            ("doc:1", "doc", "1", "", ""),
            (":1", "", "1", "", ""),
            ("#viewer", "", "", "viewer", ""),
            ("@user", "", "", "", "user"),
            ("doc#viewer@user:tom", "doc", "", "viewer", "user"),
        ] {
            let read = filter(text).unwrap();
            assert_eq!(read.resource_type, resource, "{text}");
            assert_eq!(read.optional_resource_id, id, "{text}");
            assert_eq!(read.optional_relation, relation, "{text}");
            let of = read.optional_subject_filter.unwrap_or_default();
            assert_eq!(of.subject_type, subject, "{text}");
        }
        for text in ["", "doc:", "doc#", "doc@", "doc@user:", "doc@user#"] {
            assert!(filter(text).is_err(), "{text}");
        }
    }
}
