//! `remit kubernetes who-can`: look-ups of whom something grants it, less those of whom is banned.

use std::collections::BTreeSet;

use anyhow::Context as _;
use kubernetes::question;
use kubernetes::review::About;
use model::{Context, ObjectRef};
use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::LookupPermissionship;
use serde_json::json;
use server::convert;

use crate::arguments::WhoCan;
use crate::client;
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(arguments: WhoCan) -> anyhow::Result<Outcome> {
    let about = about(&arguments);
    let asked = question::look_ups(&arguments.cluster, &about)?;
    let client = client::connect(&arguments.connection).await?;
    let nothing = Context::default();
    let mut who = BTreeSet::new();
    for definition in asked.definitions {
        let granted = found(&client, &asked.granted, (definition, &asked.context)).await?;
        let banned = found(&client, &asked.banned, (definition, &nothing)).await?;
        who.extend(granted.difference(&banned).cloned());
    }
    tell(&arguments, &who)?;
    Ok(if who.is_empty() {
        Outcome::Negative
    } else {
        Outcome::Success
    })
}

/// `deployments.apps/scale` is a part of a resource of a group, `/metrics` a path.
fn about(arguments: &WhoCan) -> About {
    let (verb, what) = (arguments.verb.clone(), arguments.what.as_str());
    if what.starts_with('/') {
        return About::Url {
            path: what.to_owned(),
            verb,
        };
    }
    let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    About::Resource {
        namespace: arguments.namespace.clone().unwrap_or_default(),
        verb,
        group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        name: arguments.name.clone().unwrap_or_default(),
    }
}

/// Everybody of a definition that one of the permissions certainly holds.
async fn found(
    client: &Client,
    on: &[(ObjectRef, &'static str)],
    (definition, context): (&str, &Context),
) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for (resource, permission) in on {
        let request = wire::LookupSubjectsRequest {
            consistency: Some(wire::Consistency {
                requirement: Some(wire::consistency::Requirement::FullyConsistent(true)),
            }),
            resource: Some(convert::object_to_wire(resource)),
            permission: (*permission).to_owned(),
            subject_object_type: definition.to_owned(),
            context: Some(convert::context_to_wire(context)),
            ..Default::default()
        };
        let stream = client.permissions().lookup_subjects(request).await;
        let mut stream = stream
            .map_err(|status| client::refused(&status))?
            .into_inner();
        while let Some(message) = stream
            .message()
            .await
            .map_err(|status| client::refused(&status))?
        {
            let subject = message.subject.context("a subject is missing")?;
            let permissionship = LookupPermissionship::try_from(subject.permissionship);
            if permissionship == Ok(LookupPermissionship::HasPermission) {
                found.insert(format!("{definition}:{}", subject.subject_object_id));
            }
        }
    }
    Ok(found)
}

fn tell(arguments: &WhoCan, who: &BTreeSet<String>) -> anyhow::Result<()> {
    if arguments.connection.json {
        return output::json(&json!({ "subjects": who }));
    }
    who.iter().try_for_each(|subject| output::line(subject))
}
