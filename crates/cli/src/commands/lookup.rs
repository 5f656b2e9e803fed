//! `remit lookup`: what a subject may access, and who may access a resource.

use model::{ObjectRef, SubjectId, SubjectRef};
use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::LookupPermissionship;
use remit_client::proto::authzed::api::v1::lookup_subjects_request::WildcardOption;
use serde_json::{Value as Json, json};
use server::convert;

use super::explain;
use crate::arguments::{Lookup, LookupOptions, LookupResources, LookupSubjects, Question};
use crate::client;
use crate::exit::Outcome;
use crate::output;

/// Explanations that are printed for one look-up.
const EXPLAINED_MAX: usize = 20;

/// One of what was found, as it is printed.
struct Found {
    id: String,
    is_conditional: bool,
    missing: Vec<String>,
    /// For everybody: who is not meant.
    excluded: Vec<Found>,
    cursor: String,
}

pub(crate) async fn run(lookup: Lookup) -> anyhow::Result<Outcome> {
    let client = client::connect(&lookup.options().connection).await?;
    let mut page = Page {
        cursor: lookup.options().cursor.clone(),
        explained: 0,
    };
    loop {
        let count = match &lookup {
            Lookup::Resources(asked) => resources(&client, asked, &mut page).await?,
            Lookup::Subjects(asked) => subjects(&client, asked, &mut page).await?,
        };
        let options = lookup.options();
        let is_full = options.limit.is_some_and(|limit| count >= limit as usize);
        if !is_full {
            return Ok(Outcome::Success);
        }
        if !options.all {
            if let Some(cursor) = &page.cursor {
                eprintln!("go on with --cursor {cursor}");
            }
            return Ok(Outcome::Success);
        }
    }
}

/// Where a look-up has come to.
struct Page {
    cursor: Option<String>,
    explained: usize,
}

impl Page {
    fn cursor(&self) -> Option<wire::Cursor> {
        self.cursor.clone().map(|token| wire::Cursor { token })
    }
}

async fn resources(
    client: &Client,
    asked: &LookupResources,
    page: &mut Page,
) -> anyhow::Result<usize> {
    let options = &asked.options;
    let context = client::context(options.context.as_deref())?;
    let request = wire::LookupResourcesRequest {
        consistency: Some(options.freshness.consistency.clone()),
        resource_object_type: asked.definition.clone(),
        permission: asked.permission.clone(),
        subject: Some(convert::subject_to_wire(&asked.subject)),
        context: (!context.is_empty()).then(|| convert::context_to_wire(&context)),
        optional_limit: options.limit.unwrap_or_default(),
        optional_cursor: page.cursor(),
        ..Default::default()
    };
    let answer = client.permissions().lookup_resources(request).await;
    let mut stream = answer
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let mut count = 0;
    while let Some(message) = stream
        .message()
        .await
        .map_err(|status| client::refused(&status))?
    {
        let is_conditional =
            message.permissionship() == LookupPermissionship::ConditionalPermission;
        let found = Found {
            id: message.resource_object_id,
            is_conditional,
            missing: missing(message.partial_caveat_info),
            excluded: Vec::new(),
            cursor: message.after_result_cursor.unwrap_or_default().token,
        };
        let resource = format!("{}:{}", asked.definition, found.id).parse()?;
        let pair = (resource, asked.subject.clone());
        print(
            client,
            options,
            &asked.permission,
            (&found, Some(pair)),
            page,
        )
        .await?;
        count += 1;
    }
    Ok(count)
}

async fn subjects(
    client: &Client,
    asked: &LookupSubjects,
    page: &mut Page,
) -> anyhow::Result<usize> {
    let options = &asked.options;
    let context = client::context(options.context.as_deref())?;
    let (definition, relation) = &asked.subjects;
    let wildcards = if asked.without_everybody {
        WildcardOption::ExcludeWildcards
    } else {
        WildcardOption::IncludeWildcards
    };
    let request = wire::LookupSubjectsRequest {
        consistency: Some(options.freshness.consistency.clone()),
        resource: Some(convert::object_to_wire(&asked.resource)),
        permission: asked.permission.clone(),
        subject_object_type: definition.clone(),
        optional_subject_relation: relation.clone().unwrap_or_default(),
        context: (!context.is_empty()).then(|| convert::context_to_wire(&context)),
        optional_concrete_limit: options.limit.unwrap_or_default(),
        optional_cursor: page.cursor(),
        wildcard_option: wildcards.into(),
    };
    let answer = client.permissions().lookup_subjects(request).await;
    let mut stream = answer
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let mut count = 0;
    while let Some(message) = stream
        .message()
        .await
        .map_err(|status| client::refused(&status))?
    {
        let excluded = message
            .excluded_subjects
            .into_iter()
            .map(resolved)
            .collect();
        let found = Found {
            excluded,
            cursor: message.after_result_cursor.unwrap_or_default().token,
            ..resolved(message.subject.unwrap_or_default())
        };
        let is_everybody = found.id == "*";
        let pair = if is_everybody {
            None
        } else {
            let object: ObjectRef = format!("{definition}:{}", found.id).parse()?;
            let subject = SubjectRef {
                definition: object.definition,
                id: SubjectId::Object(object.id),
                relation: relation.as_deref().map(str::parse).transpose()?,
            };
            Some((asked.resource.clone(), subject))
        };
        print(client, options, &asked.permission, (&found, pair), page).await?;
        count += usize::from(!is_everybody);
    }
    Ok(count)
}

fn resolved(subject: wire::ResolvedSubject) -> Found {
    Found {
        is_conditional: subject.permissionship() == LookupPermissionship::ConditionalPermission,
        id: subject.subject_object_id,
        missing: missing(subject.partial_caveat_info),
        excluded: Vec::new(),
        cursor: String::new(),
    }
}

fn missing(info: Option<wire::PartialCaveatInfo>) -> Vec<String> {
    info.unwrap_or_default().missing_required_context
}

/// Prints one of what was found, with the reasons below it if they are asked for.
async fn print(
    client: &Client,
    options: &LookupOptions,
    permission: &str,
    (found, pair): (&Found, Option<(ObjectRef, SubjectRef)>),
    page: &mut Page,
) -> anyhow::Result<()> {
    page.cursor = Some(found.cursor.clone());
    let mut explanation = None;
    if let Some((resource, subject)) = pair
        && options.explain
        && page.explained < EXPLAINED_MAX
    {
        page.explained += 1;
        let question = Question {
            resource,
            permission: permission.to_owned(),
            subject,
            context: options.context.clone(),
            freshness: options.freshness.clone(),
            connection: options.connection.clone(),
        };
        explanation = Some(explain::ask(client, &question).await?);
    }
    if options.connection.json {
        let mut told = found.as_json();
        if let (Some(explanation), Json::Object(told)) = (&explanation, &mut told) {
            told.insert("explanation".to_owned(), explain::as_json(explanation)?);
        }
        return output::json(&told);
    }
    let mut text = format!("{}\n", found.as_text());
    if let Some(explanation) = &explanation {
        explain::tree(explanation, "  ", &mut text);
    }
    output::text(&text)
}

impl Found {
    fn as_text(&self) -> String {
        let condition = if self.is_conditional {
            format!(" (conditional: {})", self.missing.join(", "))
        } else {
            String::new()
        };
        let mut text = format!("{}{condition}", self.id);
        if self.id == "*" {
            text.push_str(" everybody");
        }
        if !self.excluded.is_empty() {
            let but: Vec<String> = self.excluded.iter().map(Self::as_text).collect();
            text.push_str(&format!(" but {}", but.join(", ")));
        }
        text
    }

    fn as_json(&self) -> Json {
        let mut told = json!({
            "id": self.id,
            "permission": if self.is_conditional { "conditional" } else { "allowed" },
            "missing": self.missing,
        });
        if let Json::Object(told) = &mut told {
            if self.id == "*" {
                let but: Vec<Json> = self.excluded.iter().map(Self::as_json).collect();
                told.insert("excluded".to_owned(), Json::Array(but));
            }
            if !self.cursor.is_empty() {
                told.insert("cursor".to_owned(), Json::String(self.cursor.clone()));
            }
        }
        told
    }
}
