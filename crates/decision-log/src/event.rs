//! A decision as an event: the form that decision logs of OPA have, so that what takes those takes these.
//!
//! What the rules hide is left out or stands masked, and is listed in `erased` and `masked`; what else of the event would show a hidden
//! text (the caller's own id, the id of the request) is hidden with it. `custom.replay` says whether an event can be replayed, or why not.
//!
//! # Source
//! The decision log events of OPA. A `req_id` is a number there, ours is a text: it is `request_context.http.headers.x-request-id`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::hidden::{Hidden, STARS, Salt, leaves};
use crate::id;
use crate::record::{Record, SeenAt};
use crate::rules::{Keep, Rules, Treatment};

/// The document that a decision is of.
const PATH: &str = "remit/check";

#[derive(Serialize)]
struct Event<'a> {
    labels: &'a BTreeMap<String, String>,
    decision_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bundles: Option<Bundles>,
    path: &'static str,
    input: Input<'a>,
    result: Told<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_by: Option<String>,
    timestamp: String,
    metrics: Metrics,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    erased: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    masked: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_context: Option<Value>,
    custom: Custom,
}

#[derive(Serialize)]
struct Bundles {
    remit: Revision,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Revision>,
}

#[derive(Serialize)]
struct Revision {
    revision: String,
}

#[derive(Serialize)]
struct Input<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    permission: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Value>,
    consistency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<String>,
    protocol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locks_at: Option<u64>,
}

#[derive(Serialize)]
struct Told<'a> {
    decision: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
}

#[derive(Serialize)]
struct Failure<'a> {
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
}

#[derive(Serialize)]
struct Metrics {
    timer_remit_check_ns: u64,
}

#[derive(Serialize)]
struct Custom {
    replay: Replayable,
}

#[derive(Serialize)]
struct Replayable {
    possible: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<String>,
}

/// What beside its record an event is made with.
pub(crate) struct Maker<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) labels: &'a BTreeMap<String, String>,
}

/// The parts of a record that may be hidden.
struct Shown<'a> {
    resource: Option<String>,
    permission: Cow<'a, str>,
    subject: Option<String>,
    caller: Option<String>,
    principal: Option<String>,
    context: Option<Value>,
    request_id: Option<String>,
    trace: Option<(String, String)>,
    hidden: Hidden,
}

impl Maker<'_> {
    /// Appends the event of `record` as a line of JSON.
    pub(crate) fn write(
        &self,
        record: &Record<'_>,
        to: &mut Vec<u8>,
    ) -> Result<(), serde_json::Error> {
        let keep = self.rules.keep(record.rule);
        let shown = shown(record, keep, &self.rules.salt);
        let seen = record.seen.as_ref();
        let why = why_not(record, &shown.hidden);
        let (trace_id, span_id) = shown.trace.unzip();
        let event = Event {
            labels: self.labels,
            decision_id: id::text(record.id),
            trace_id,
            span_id,
            bundles: seen.map(bundles),
            path: PATH,
            input: Input {
                resource: shown.resource,
                permission: shown.permission,
                subject: shown.subject,
                context: shown.context,
                consistency: consistency(record),
                caller: shown.caller.clone(),
                on_behalf_of: shown.principal,
                protocol: record.protocol,
                now: seen.map(|seen| instant(seen.now_micros)),
                locks_at: seen.map(|seen| seen.locks_at),
            },
            result: told(record),
            requested_by: shown.caller,
            timestamp: instant(record.at_micros),
            metrics: Metrics {
                timer_remit_check_ns: record.took_nanos,
            },
            erased: shown.hidden.erased,
            masked: shown.hidden.masked,
            request_context: shown
                .request_id
                .map(|id| serde_json::json!({ "http": { "headers": { "x-request-id": [id] } } })),
            custom: Custom {
                replay: Replayable {
                    possible: why.is_empty(),
                    why,
                },
            },
        };
        serde_json::to_writer(&mut *to, &event)?;
        to.push(b'\n');
        Ok(())
    }
}

fn bundles(seen: &SeenAt) -> Bundles {
    let schema = (seen.schema > 0).then(|| Revision {
        revision: seen.schema.to_string(),
    });
    Bundles {
        remit: Revision {
            revision: seen.token.to_string(),
        },
        schema,
    }
}

fn instant(micros: i64) -> String {
    match Timestamp::from_micros(micros) {
        Ok(instant) => instant.to_string(),
        Err(_) => String::new(),
    }
}

fn consistency(record: &Record<'_>) -> String {
    match record.consistency {
        (0, _) => "minimize_latency".to_owned(),
        (1, Some(token)) => format!("at_least_as_fresh:{token}"),
        (2, Some(token)) => format!("at_exact_snapshot:{token}"),
        (_, _) => "fully_consistent".to_owned(),
    }
}

fn told<'a>(record: &Record<'a>) -> Told<'a> {
    let details = record.details.iter().copied();
    let (decision, missing, error) = match record.outcome {
        0 => ("allowed", Vec::new(), None),
        1 => ("denied", Vec::new(), None),
        2 => ("conditional", details.collect(), None),
        _ => {
            let mut details = details;
            let failure = Failure {
                kind: details.next().unwrap_or_default(),
                reason: details.next().unwrap_or_default(),
            };
            ("error", Vec::new(), Some(failure))
        }
    };
    Told {
        decision,
        missing,
        locked: record.seen.is_some_and(|seen| seen.is_locked),
        error,
    }
}

/// Why an event cannot be replayed.
fn why_not(record: &Record<'_>, hidden: &Hidden) -> Vec<String> {
    if record.seen.is_none() {
        return vec!["it was refused before it was evaluated".to_owned()];
    }
    let parts = hidden.erased.iter().map(|it| (it, "left out"));
    let parts = parts.chain(hidden.masked.iter().map(|it| (it, "masked")));
    let needed = |pointer: &str| {
        pointer.starts_with("/input/context")
            || matches!(
                pointer,
                "/input/resource" | "/input/permission" | "/input/subject"
            )
    };
    parts
        .filter(|(pointer, _)| needed(pointer))
        .map(|(pointer, how)| format!("`{pointer}` is {how}"))
        .collect()
}

/// What is shown of a record, with what is not.
fn shown<'a>(record: &Record<'a>, keep: &Keep, salt: &Salt) -> Shown<'a> {
    let (hides, mut hidden) = (&keep.hides, Hidden::default());
    let (definition, resource_id) = record.resource;
    let (of, subject_id, relation) = record.subject;
    hidden.note("/input/resource", hides.resource, &[resource_id]);
    // Everybody is nobody in particular.
    let of_subject = if subject_id == "*" {
        Treatment::Keep
    } else {
        hides.subject
    };
    hidden.note("/input/subject", of_subject, &[subject_id]);
    let caller = format!("{}:{}", record.caller.0, record.caller.1);
    let principal_id = record.principal.split_once(':').map_or("", |(_, id)| id);
    hidden.note(
        "/input/caller",
        hides.caller,
        &[record.caller.1, principal_id],
    );
    if !record.principal.is_empty() {
        hidden.note("/input/on_behalf_of", hides.caller, &[]);
    }
    hidden.note("/requested_by", hides.caller, &[]);
    let context = context(record, keep, salt, &mut hidden);
    let object = |definition: &str, id: &str, treatment| {
        let whole = format!("{definition}:{id}");
        match treatment {
            Treatment::Keep => Some(whole),
            Treatment::Erase => None,
            Treatment::Hash | Treatment::Stars => {
                let instead = salt.instead(&whole, treatment).unwrap_or_default();
                Some(format!("{definition}:{instead}"))
            }
        }
    };
    let subject = object(of, subject_id, of_subject).map(|subject| match relation {
        "" => subject,
        relation => format!("{subject}#{relation}"),
    });
    let mut shown = Shown {
        resource: object(definition, resource_id, hides.resource),
        permission: record.permission.into(),
        subject,
        caller: whole(&caller, hides.caller, salt),
        principal: (!record.principal.is_empty())
            .then(|| whole(record.principal, hides.caller, salt))
            .flatten(),
        context,
        request_id: None,
        trace: None,
        hidden,
    };
    request(record, keep, salt, &mut shown);
    scrub(record, keep, &mut shown);
    shown
}

fn whole(text: &str, treatment: Treatment, salt: &Salt) -> Option<String> {
    match treatment {
        Treatment::Keep => Some(text.to_owned()),
        Treatment::Erase | Treatment::Hash | Treatment::Stars => salt.instead(text, treatment),
    }
}

/// The ids of the request and of its trace.
fn request(record: &Record<'_>, keep: &Keep, salt: &Salt, shown: &mut Shown<'_>) {
    if !record.request_id.is_empty() {
        let treatment = keep.hides.request;
        shown
            .hidden
            .note("/request_context", treatment, &[record.request_id]);
        shown.request_id = whole(record.request_id, treatment, salt);
    }
    if let Some(trace) = record.trace {
        let treatment = keep.hides.trace;
        let id = format!("{:032x}", u128::from_be_bytes(trace.trace));
        let span = format!("{:016x}", u64::from_be_bytes(trace.span));
        shown.hidden.note("/trace_id", treatment, &[&id]);
        shown.hidden.note("/span_id", treatment, &[&span]);
        let id = whole(&id, treatment, salt);
        shown.trace = id.zip(whole(&span, treatment, salt));
    }
}

/// The context, as far as it is kept.
fn context(record: &Record<'_>, keep: &Keep, salt: &Salt, hidden: &mut Hidden) -> Option<Value> {
    if !record.had_context {
        return None;
    }
    let kept = keep
        .context
        .then(|| serde_json::from_str::<Value>(record.context));
    let Some(Ok(mut context)) = kept else {
        hidden.note("/input/context", Treatment::Erase, &[]);
        return None;
    };
    for (names, treatment) in &keep.hides.context {
        if names.is_empty() {
            let mut texts = Vec::new();
            leaves(&context, &mut texts);
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            hidden.note("/input/context", *treatment, &texts);
            let instead = salt.instead(&context.to_string(), *treatment);
            return instead.map(Value::String);
        }
        hidden.context(&mut context, (names, *treatment), salt);
    }
    Some(context)
}

/// Hides what shows, in another place, a text that is hidden.
fn scrub(record: &Record<'_>, keep: &Keep, shown: &mut Shown<'_>) {
    let hides = &keep.hides;
    let mut more = Vec::new();
    let mut mask = |pointer: &'static str, shows: bool| {
        if shows {
            more.push(pointer.to_owned());
        }
        shows
    };
    let hidden = &shown.hidden;
    let is_kept = |treatment| treatment == Treatment::Keep;
    let of_resource = is_kept(hides.resource) && hidden.shows(record.resource.1);
    if mask("/input/resource", of_resource) {
        shown.resource = Some(format!("{}:{STARS}", record.resource.0));
    }
    if mask("/input/permission", hidden.shows(record.permission)) {
        shown.permission = STARS.into();
    }
    let of_subject = is_kept(hides.subject) && hidden.shows(record.subject.1);
    if mask("/input/subject", of_subject) {
        shown.subject = Some(format!("{}:{STARS}", record.subject.0));
    }
    let of_caller =
        is_kept(hides.caller) && (hidden.shows(record.caller.1) || hidden.shows(record.principal));
    if mask("/input/caller", of_caller) {
        mask("/requested_by", true);
        shown.caller = Some(STARS.to_owned());
        shown.principal = None;
    }
    let of_context = shown.context.as_ref().is_some_and(|it| hidden.shows_in(it));
    if mask("/input/context", of_context) {
        shown.context = Some(Value::String(STARS.to_owned()));
    }
    let of_request = is_kept(hides.request) && hidden.shows(record.request_id);
    if mask("/request_context", of_request) {
        shown.request_id = Some(STARS.to_owned());
    }
    shown.hidden.masked.extend(more);
}
