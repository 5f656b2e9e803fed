//! How a precondition that failed is told.

use std::fmt::Write as _;

use model::{Precondition, RelationshipFilter, ResourceIdFilter, SubjectRelationFilter};

use crate::error::{Error, Kind, Reason};

/// The details of a filter, by the name that follows a prefix.
struct Fields {
    all: Vec<(&'static str, String)>,
}

const NAMES: [(&str, &str, &str); 7] = [
    (
        "resource_type",
        "precondition_resource_type",
        "filter_resource_type",
    ),
    (
        "resource_id",
        "precondition_resource_id",
        "filter_resource_id",
    ),
    (
        "resource_id_prefix",
        "precondition_resource_id_prefix",
        "filter_resource_id_prefix",
    ),
    ("relation", "precondition_relation", "filter_relation"),
    (
        "subject_type",
        "precondition_subject_type",
        "filter_subject_type",
    ),
    ("subject_id", "precondition_subject_id", "filter_subject_id"),
    (
        "subject_relation",
        "precondition_subject_relation",
        "filter_subject_relation",
    ),
];

impl Fields {
    fn of(filter: &RelationshipFilter) -> Self {
        let mut all: Vec<(&'static str, String)> = Vec::new();
        let mut add = |name, value: Option<String>| all.extend(value.map(|value| (name, value)));
        add(
            "resource_type",
            filter.definition.as_ref().map(ToString::to_string),
        );
        match &filter.resource_id {
            Some(ResourceIdFilter::Exact(id)) => add("resource_id", Some(id.to_string())),
            Some(ResourceIdFilter::Prefix(prefix)) => {
                add("resource_id_prefix", Some(prefix.to_string()))
            }
            None => {}
        }
        add(
            "relation",
            filter.relation.as_ref().map(ToString::to_string),
        );
        if let Some(subject) = &filter.subject {
            add("subject_type", Some(subject.definition.to_string()));
            add("subject_id", subject.id.as_ref().map(ToString::to_string));
            match &subject.relation {
                SubjectRelationFilter::Any => {}
                SubjectRelationFilter::None => add("subject_relation", Some(String::new())),
                SubjectRelationFilter::Relation(name) => {
                    add("subject_relation", Some(name.to_string()))
                }
            }
        }
        Self { all }
    }
}

/// The error of a precondition that does not hold.
pub(crate) fn failed(precondition: &Precondition) -> Error {
    let operation = match precondition {
        Precondition::MustMatch(_) => "OPERATION_MUST_MATCH",
        Precondition::MustNotMatch(_) => "OPERATION_MUST_NOT_MATCH",
    };
    let fields = Fields::of(precondition.filter());
    let mut text = format!("operation:{operation} filter:{{");
    for (place, (name, value)) in fields.all.iter().enumerate() {
        let space = if place == 0 { "" } else { " " };
        // Writing to a string cannot fail.
        let _written = write!(text, "{space}{name}:\"{value}\"");
    }
    text.push('}');
    let message = format!("unable to satisfy write precondition `{text}`");
    let mut error = Error::new(Kind::FailedPrecondition, message)
        .with_reason(Reason::WriteOrDeletePreconditionFailure)
        .with("precondition_operation", operation);
    for (name, value) in fields.all {
        if let Some((_, long, _)) = NAMES.iter().find(|(short, _, _)| *short == name) {
            error = error.with(long, value);
        }
    }
    error
}

/// Adds every field of `filter` to the details of `error` as that of a new counter, also those that are absent.
pub(crate) fn with_new_filter(mut error: Error, filter: &RelationshipFilter) -> Error {
    const NEW_NAMES: [&str; 7] = [
        "new_filter_resource_type",
        "new_filter_resource_id",
        "new_filter_resource_id_prefix",
        "new_filter_relation",
        "new_filter_subject_type",
        "new_filter_subject_id",
        "new_filter_subject_relation",
    ];
    let fields = Fields::of(filter).all;
    for ((name, _, _), new) in NAMES.iter().zip(NEW_NAMES) {
        let value = fields.iter().find(|field| field.0 == *name);
        error = error.with(new, value.map_or("", |field| &field.1));
    }
    error
}

/// Adds the fields of `filter` to the details of `error`.
pub(crate) fn with_filter(mut error: Error, filter: &RelationshipFilter) -> Error {
    for (name, value) in Fields::of(filter).all {
        if let Some((_, _, long)) = NAMES.iter().find(|(short, _, _)| *short == name) {
            error = error.with(long, value);
        }
    }
    error
}
