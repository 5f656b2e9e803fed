//! What to watch, and what a watch tells.

use std::collections::HashSet;

use model::{Context, DefinitionName, Operation, RelationshipUpdate, Token};
use ops::watch::{Event, Filter, Request, Start, Updates};
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::relationship_update::Operation as WireOperation;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::rules::Rules;
use super::value::context_to_wire;
use super::violation::Path;
use super::{filter, invalid, relationship_to_wire, token_to_wire};

/// The request header that says where a watch without a cursor begins: `now`, or `oldest` for all that is kept.
pub const WATCH_FROM: &str = "remit-watch-from";

/// A watch: its fields first, then the filters, then where it begins.
pub(crate) fn watch(request: wire::WatchRequest, headers: &MetadataMap) -> Result<Request, Status> {
    let mut rules = Rules::default();
    for (ix, name) in request.optional_object_types.iter().enumerate() {
        let path = Path::string(None, 1, "optional_object_types").at(ix);
        rules.watched_definition(&path, name);
    }
    if let Some(cursor) = &request.optional_start_cursor {
        let path = Path::message(None, 2, "optional_start_cursor");
        rules.token(&path, cursor);
    }
    for (ix, filter) in request.optional_relationship_filters.iter().enumerate() {
        let path = Path::message(None, 3, "optional_relationship_filters").at(ix);
        rules.filter(&path, Some(filter));
    }
    rules.end()?;
    let has = |kind: wire::WatchKind| request.optional_update_kinds.contains(&kind.into());
    let (has_schema_updates, has_checkpoints) = (
        has(wire::WatchKind::IncludeSchemaUpdates),
        has(wire::WatchKind::IncludeCheckpoints),
    );
    let filter = watched(
        &request.optional_object_types,
        request.optional_relationship_filters,
    )?;
    Ok(Request {
        start: start(request.optional_start_cursor, headers)?,
        filter,
        has_schema_updates,
        has_checkpoints,
    })
}

fn watched(names: &[String], filters: Vec<wire::RelationshipFilter>) -> Result<Filter, Status> {
    match (names, filters.as_slice()) {
        ([], []) => Ok(Filter::All),
        ([], _) => {
            let filters = filters.into_iter().map(filter);
            Ok(Filter::Relationships(filters.collect::<Result<_, _>>()?))
        }
        (_, []) => {
            let names = names.iter().map(|name| DefinitionName::new(name));
            let names = names.collect::<Result<HashSet<_>, _>>();
            Ok(Filter::Definitions(names.map_err(invalid)?))
        }
        (_, _) => Err(Status::invalid_argument(
            "cannot specify both object types and relationship filters",
        )),
    }
}

fn start(cursor: Option<wire::ZedToken>, headers: &MetadataMap) -> Result<Start, Status> {
    let from = headers.get(WATCH_FROM).map(|from| from.as_bytes());
    match (cursor, from) {
        (None, None | Some(b"now")) => Ok(Start::Now),
        (None, Some(b"oldest")) => Ok(Start::Oldest),
        (Some(cursor), None) => {
            let token = cursor.token.parse::<Token>().map_err(|error| {
                let message =
                    format!("failed to decode start revision: error decoding zedtoken: {error}");
                Status::invalid_argument(message)
            })?;
            Ok(Start::After(token))
        }
        (Some(_), Some(_)) => Err(Status::invalid_argument(format!(
            "cannot specify both a start cursor and the header `{WATCH_FROM}`"
        ))),
        (None, Some(_)) => Err(Status::invalid_argument(format!(
            "the header `{WATCH_FROM}` has to be `now` or `oldest`"
        ))),
    }
}

/// A message of a watch.
///
/// # Errors
/// If the log holds metadata that is none.
pub(crate) fn watched_to_wire(event: &Event) -> Result<wire::WatchResponse, Status> {
    let changes_through = Some(token_to_wire(event.through()));
    let bare = wire::WatchResponse {
        changes_through,
        ..Default::default()
    };
    match event {
        Event::Updates(updates) => updates_to_wire(updates, bare),
        Event::SchemaUpdated { .. } => Ok(wire::WatchResponse {
            schema_updated: true,
            ..bare
        }),
        Event::Checkpoint { .. } => Ok(wire::WatchResponse {
            is_checkpoint: true,
            ..bare
        }),
    }
}

fn updates_to_wire(
    updates: &Updates,
    bare: wire::WatchResponse,
) -> Result<wire::WatchResponse, Status> {
    let metadata = updates.metadata().map(Context::from_json).transpose();
    let metadata = metadata
        .map_err(|error| Status::internal(format!("the metadata of a commit: {error}")))?
        .map(|metadata| context_to_wire(&metadata));
    Ok(wire::WatchResponse {
        updates: updates.updates().iter().map(update_to_wire).collect(),
        full_revision_metadata: metadata.iter().cloned().collect(),
        optional_transaction_metadata: metadata,
        ..bare
    })
}

fn update_to_wire(update: &RelationshipUpdate) -> wire::RelationshipUpdate {
    let operation = match update.operation {
        Operation::Create => WireOperation::Create,
        Operation::Touch => WireOperation::Touch,
        Operation::Delete => WireOperation::Delete,
    };
    wire::RelationshipUpdate {
        operation: operation.into(),
        relationship: Some(relationship_to_wire(&update.relationship)),
    }
}
