//! `remit access`: what callers may do with Remit itself.

use anyhow::Context as _;
use jiff::Timestamp;
use model::{Context, ObjectRef, Relationship, SubjectRef};
use ops::access::Scope;
use remit_client::proto::authzed::api::v1::relationship_update::Operation;
use remit_client::proto::authzed::api::v1::{
    ReadRelationshipsRequest, RelationshipFilter, RelationshipUpdate, SubjectFilter,
    WriteRelationshipsRequest, ZedToken, subject_filter,
};
use remit_client::proto::remit::v1::{
    CreateKeyRequest, ListKeysRequest, ListLocksRequest, LockRequest, RevokeKeyRequest,
    UnlockRequest,
};
use serde_json::json;
use server::convert;

use crate::arguments::{
    AccessCommand, AccessExplain, AccessList, Connection, Grant, KeyCommand, On, Question, Revoke,
};
use crate::client;
use crate::commands::explain;
use crate::exit::Outcome;
use crate::output;

const GROUP: &str = "remit/group";

pub(crate) async fn run(command: AccessCommand) -> anyhow::Result<Outcome> {
    match command {
        AccessCommand::Grant(arguments) => grant(arguments).await?,
        AccessCommand::Revoke(arguments) => revoke(arguments).await?,
        AccessCommand::List(arguments) => list(arguments).await?,
        AccessCommand::Explain(arguments) => return explained(*arguments).await,
        AccessCommand::Lock(arguments) => {
            let request = LockRequest {
                subject: Some(convert::object_to_wire(&arguments.subject)),
                reason: arguments.reason,
            };
            let client = client::connect(&arguments.connection).await?;
            let locked = client.access().lock(request).await;
            let locked = locked.map_err(|status| client::refused(&status))?;
            say(
                &arguments.connection,
                "locked_at",
                locked.into_inner().locked_at,
            )?;
        }
        AccessCommand::Unlock {
            subject,
            connection,
        } => {
            let request = UnlockRequest {
                subject: Some(convert::object_to_wire(&subject)),
            };
            let client = client::connect(&connection).await?;
            let unlocked = client.access().unlock(request).await;
            let unlocked = unlocked.map_err(|status| client::refused(&status))?;
            say(
                &connection,
                "unlocked_at",
                unlocked.into_inner().unlocked_at,
            )?;
        }
        AccessCommand::Locks {
            freshness,
            connection,
        } => {
            let request = ListLocksRequest {
                consistency: Some(freshness.consistency),
            };
            locks(request, &connection).await?;
        }
        AccessCommand::Key(command) => key(command).await?,
        AccessCommand::Schema => output::text(ops::access::built_in_text())?,
    }
    Ok(Outcome::Success)
}

async fn grant(arguments: Grant) -> anyhow::Result<()> {
    let mut relationship = relationship(
        &arguments.right.on,
        &arguments.right.role,
        &arguments.right.subject,
    )?;
    if let Some(duration) = arguments.duration {
        let until = Timestamp::now()
            .checked_add(duration)
            .context("that is too far away")?;
        let until = model::Timestamp::from_micros(until.as_microsecond());
        relationship.expires_at = Some(until.context("that is too far away")?);
    }
    let reason = arguments.reason.as_deref();
    change(
        &relationship,
        Operation::Touch,
        reason,
        &arguments.connection,
    )
    .await
}

async fn revoke(arguments: Revoke) -> anyhow::Result<()> {
    let relationship = relationship(
        &arguments.right.on,
        &arguments.right.role,
        &arguments.right.subject,
    )?;
    let reason = arguments.reason.as_deref();
    change(
        &relationship,
        Operation::Delete,
        reason,
        &arguments.connection,
    )
    .await
}

async fn change(
    relationship: &Relationship,
    operation: Operation,
    reason: Option<&str>,
    connection: &Connection,
) -> anyhow::Result<()> {
    let client = client::connect(connection).await?;
    let metadata =
        reason.map(|reason| Context::from_json(&json!({ "reason": reason }).to_string()));
    let metadata = metadata.transpose()?;
    let request = WriteRelationshipsRequest {
        updates: vec![RelationshipUpdate {
            operation: operation.into(),
            relationship: Some(convert::relationship_to_wire(relationship)),
        }],
        optional_transaction_metadata: metadata.as_ref().map(convert::context_to_wire),
        ..Default::default()
    };
    let written = client.permissions().write_relationships(request).await;
    let written = written.map_err(|status| client::refused(&status))?;
    say(connection, "written_at", written.into_inner().written_at)
}

/// What a role on something is written as.
fn relationship(on: &On, role: &str, subject: &SubjectRef) -> anyhow::Result<Relationship> {
    let object = object(on)?;
    let text = format!("{object}#{role}@{subject}");
    text.parse()
        .with_context(|| format!("`{text}` is no right"))
}

fn object(on: &On) -> anyhow::Result<ObjectRef> {
    let one = &on.one;
    let (definition, id) = match (&one.definition, &on.member, &one.user, &one.group) {
        (Some(name), Some(member), _, _) => {
            (Scope::Relation.definition(), format!("{name}/{member}"))
        }
        (Some(name), None, _, _) => (Scope::Definition.definition(), name.clone()),
        (None, _, Some(user), _) => (Scope::User.definition(), user.clone()),
        (None, _, None, Some(group)) => (GROUP, group.clone()),
        (None, _, None, None) => (Scope::System.definition(), "main".to_owned()),
    };
    let text = format!("{definition}:{id}");
    text.parse()
        .with_context(|| format!("`{text}` names nothing that a role can be held on"))
}

async fn list(arguments: AccessList) -> anyhow::Result<()> {
    let client = client::connect(&arguments.connection).await?;
    let subject = arguments.subject.as_ref().map(|subject| {
        let subject = convert::subject_to_wire(subject);
        let object = subject.object.unwrap_or_default();
        SubjectFilter {
            subject_type: object.object_type,
            optional_subject_id: object.object_id,
            optional_relation: Some(subject_filter::RelationFilter {
                relation: subject.optional_relation,
            }),
        }
    });
    let scopes = Scope::ALL.map(Scope::definition);
    let mut rows = Vec::new();
    for definition in scopes.into_iter().chain([GROUP]) {
        let request = ReadRelationshipsRequest {
            consistency: Some(arguments.freshness.consistency.clone()),
            relationship_filter: Some(RelationshipFilter {
                resource_type: definition.to_owned(),
                optional_subject_filter: subject.clone(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let read = client.permissions().read_relationships(request).await;
        let mut read = read
            .map_err(|status| client::refused(&status))?
            .into_inner();
        while let Some(row) = read
            .message()
            .await
            .map_err(|status| client::refused(&status))?
        {
            let row = row
                .relationship
                .context("the server told no relationship")?;
            let relationship = convert::relationship_from_wire(row);
            rows.push(relationship.map_err(|status| client::refused(&status))?);
        }
    }
    if arguments.connection.json {
        return rows.iter().try_for_each(|row| {
            output::json(&json!({
                "subject": row.subject.to_string(),
                "role": row.relation.as_str(),
                "on": row.resource.to_string(),
                "until": row.expires_at.map(|until| until.to_string()),
            }))
        });
    }
    let rows = rows.into_iter().map(|row| {
        vec![
            row.subject.to_string(),
            row.relation.to_string(),
            row.resource.to_string(),
            row.expires_at
                .map(|until| until.to_string())
                .unwrap_or_default(),
        ]
    });
    output::table(&["caller", "role", "on", "until"], rows)
}

async fn explained(arguments: AccessExplain) -> anyhow::Result<Outcome> {
    explain::run(Question {
        resource: object(&arguments.on)?,
        permission: arguments.action,
        subject: arguments.subject,
        context: None,
        freshness: arguments.freshness,
        connection: arguments.connection,
    })
    .await
}

async fn locks(request: ListLocksRequest, connection: &Connection) -> anyhow::Result<()> {
    let client = client::connect(connection).await?;
    let listed = client.access().list_locks(request).await;
    let listed = listed
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let mut rows = Vec::new();
    for lock in listed.locks {
        let subject = lock.subject.unwrap_or_default();
        let subject = format!("{}:{}", subject.object_type, subject.object_id);
        if connection.json {
            output::json(&json!({ "subject": subject, "reason": lock.reason }))?;
        }
        rows.push(vec![subject, lock.reason]);
    }
    if connection.json {
        return Ok(());
    }
    output::table(&["locked", "why"], rows)
}

async fn key(command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Create(arguments) => {
            let client = client::connect(&arguments.connection).await?;
            let request = CreateKeyRequest {
                name: arguments.name,
            };
            let created = client.access().create_key(request).await;
            let created = created
                .map_err(|status| client::refused(&status))?
                .into_inner();
            if arguments.connection.json {
                let at = created.created_at.map(|at| at.token);
                return output::json(&json!({ "key": created.key, "created_at": at }));
            }
            output::line(&created.key)
        }
        KeyCommand::Revoke(arguments) => {
            let client = client::connect(&arguments.connection).await?;
            let request = RevokeKeyRequest {
                name: arguments.name,
            };
            let revoked = client.access().revoke_key(request).await;
            let revoked = revoked.map_err(|status| client::refused(&status))?;
            say(
                &arguments.connection,
                "revoked_at",
                revoked.into_inner().revoked_at,
            )
        }
        KeyCommand::List(connection) => {
            let client = client::connect(&connection).await?;
            let listed = client.access().list_keys(ListKeysRequest {}).await;
            let names = listed
                .map_err(|status| client::refused(&status))?
                .into_inner()
                .names;
            if connection.json {
                return output::json(&json!({ "names": names }));
            }
            names.iter().try_for_each(|name| output::line(name))
        }
    }
}

/// Tells the token of a commit.
fn say(connection: &Connection, name: &str, at: Option<ZedToken>) -> anyhow::Result<()> {
    let token = at.map(|at| at.token).unwrap_or_default();
    if connection.json {
        return output::json(&json!({ name: token }));
    }
    output::line(&token)
}
