//! The rule of each field, in the words of the API's own validation. All violations of a message are told together.

use std::ops::RangeInclusive;

use model::{CaveatName, DefinitionName, NameError, ObjectId, RelationName};
use prost::Message as _;
use remit_proto::authzed::api::v1 as wire;
use tonic::{Code, Status};

const CURSOR_BYTES_MAX: usize = 102_400;
const OBJECT_ID_PATTERN: &str = r"^(([a-zA-Z0-9/_|\-=+]{1,})|\*)$";
const REQUIRED: &str = "value is required";

/// Violations found so far.
#[derive(Debug, Default)]
pub(super) struct Rules {
    found: Vec<(String, String)>,
}

/// The detail that clients of the API may look into.
#[derive(Clone, PartialEq, prost::Message)]
struct Violations {
    #[prost(message, repeated, tag = "1")]
    violations: Vec<Violation>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Violation {
    #[prost(string, optional, tag = "3")]
    message: Option<String>,
}

impl Rules {
    /// Refuses the message if a rule is violated.
    pub(super) fn end(self) -> Result<(), Status> {
        let told: Vec<String> = self
            .found
            .iter()
            .map(|(path, what)| format!("{path}: {what}"))
            .collect();
        let message = match told.as_slice() {
            [] => return Ok(()),
            [one] => format!("validation error: {one}"),
            several => format!("validation errors:\n - {}", several.join("\n - ")),
        };
        let violations = self
            .found
            .into_iter()
            .map(|(_, what)| Violation {
                message: Some(what),
            })
            .collect();
        let detail = prost_types::Any {
            type_url: "type.googleapis.com/buf.validate.Violations".to_owned(),
            value: Violations { violations }.encode_to_vec(),
        };
        let code = Code::InvalidArgument;
        let status = tonic_types::pb::Status {
            code: code.into(),
            message: message.clone(),
            details: vec![detail],
        };
        Err(Status::with_details(
            code,
            message,
            status.encode_to_vec().into(),
        ))
    }

    pub(super) fn question(
        &mut self,
        path: &str,
        resource: Option<&wire::ObjectReference>,
        permission: &str,
        subject: Option<&wire::SubjectReference>,
    ) {
        self.object(&format!("{path}resource"), resource);
        self.optional_relation(&format!("{path}permission"), permission);
        self.subject(&format!("{path}subject"), subject);
    }

    pub(super) fn relationship(&mut self, path: &str, relationship: Option<&wire::Relationship>) {
        let Some(relationship) = relationship else {
            return self.add(path, REQUIRED);
        };
        self.object(&format!("{path}.resource"), relationship.resource.as_ref());
        self.name(
            &format!("{path}.relation"),
            RelationName::new(&relationship.relation),
            RelationName::PATTERN,
        );
        self.subject(&format!("{path}.subject"), relationship.subject.as_ref());
        if let Some(caveat) = &relationship.optional_caveat {
            let path = format!("{path}.optional_caveat.caveat_name");
            self.name(
                &path,
                CaveatName::new(&caveat.caveat_name),
                CaveatName::PATTERN,
            );
        }
    }

    pub(super) fn preconditions(&mut self, preconditions: &[wire::Precondition]) {
        for (ix, precondition) in preconditions.iter().enumerate() {
            let path = format!("optional_preconditions[{ix}]");
            self.listed(&format!("{path}.operation"), precondition.operation, 1..=2);
            self.filter(&format!("{path}.filter"), precondition.filter.as_ref());
        }
    }

    pub(super) fn filter(&mut self, path: &str, filter: Option<&wire::RelationshipFilter>) {
        let Some(filter) = filter else {
            return self.add(path, REQUIRED);
        };
        if !filter.resource_type.is_empty() {
            let parsed = DefinitionName::new(&filter.resource_type);
            self.name(
                &format!("{path}.resource_type"),
                parsed,
                &optional(DefinitionName::PATTERN),
            );
        }
        for (field, id) in [
            ("optional_resource_id", &filter.optional_resource_id),
            (
                "optional_resource_id_prefix",
                &filter.optional_resource_id_prefix,
            ),
        ] {
            if !id.is_empty() {
                self.name(
                    &format!("{path}.{field}"),
                    ObjectId::new(id),
                    &optional(ObjectId::PATTERN),
                );
            }
        }
        self.optional_relation(
            &format!("{path}.optional_relation"),
            &filter.optional_relation,
        );
        if let Some(subject) = &filter.optional_subject_filter {
            self.subject_filter(&format!("{path}.optional_subject_filter"), subject);
        }
    }

    pub(super) fn cursor(&mut self, path: &str, cursor: Option<&wire::Cursor>) {
        let Some(cursor) = cursor else {
            return;
        };
        if cursor.token.is_empty() {
            self.add(&format!("{path}.token"), "must be at least 1 bytes");
        }
        if cursor.token.len() > CURSOR_BYTES_MAX {
            self.add(
                &format!("{path}.token"),
                &format!("must be at most {CURSOR_BYTES_MAX} bytes"),
            );
        }
    }

    /// An enumeration whose zero is not allowed.
    pub(super) fn listed(&mut self, path: &str, value: i32, known: RangeInclusive<i32>) {
        if value == 0 {
            self.add(path, "must not be in list [0]");
        } else if !known.contains(&value) {
            self.add(path, "must be one of the defined enum values");
        }
    }

    fn object(&mut self, path: &str, object: Option<&wire::ObjectReference>) {
        let Some(object) = object else {
            return self.add(path, REQUIRED);
        };
        let definition = DefinitionName::new(&object.object_type);
        self.name(
            &format!("{path}.object_type"),
            definition,
            DefinitionName::PATTERN,
        );
        if object.object_id != "*" {
            self.name(
                &format!("{path}.object_id"),
                ObjectId::new(&object.object_id),
                OBJECT_ID_PATTERN,
            );
        }
    }

    fn subject(&mut self, path: &str, subject: Option<&wire::SubjectReference>) {
        let Some(subject) = subject else {
            return self.add(path, REQUIRED);
        };
        self.object(&format!("{path}.object"), subject.object.as_ref());
        self.optional_relation(
            &format!("{path}.optional_relation"),
            &subject.optional_relation,
        );
    }

    fn subject_filter(&mut self, path: &str, filter: &wire::SubjectFilter) {
        let definition = DefinitionName::new(&filter.subject_type);
        self.name(
            &format!("{path}.subject_type"),
            definition,
            DefinitionName::PATTERN,
        );
        let id = filter.optional_subject_id.as_str();
        if !id.is_empty() && id != "*" {
            let pattern = r"^(([a-zA-Z0-9/_|\-=+]{1,})|\*)?$";
            self.name(
                &format!("{path}.optional_subject_id"),
                ObjectId::new(id),
                pattern,
            );
        }
        if let Some(relation) = &filter.optional_relation {
            self.optional_relation(
                &format!("{path}.optional_relation.relation"),
                &relation.relation,
            );
        }
    }

    fn optional_relation(&mut self, path: &str, relation: &str) {
        if !relation.is_empty() {
            self.name(
                path,
                RelationName::new(relation),
                &optional(RelationName::PATTERN),
            );
        }
    }

    fn name<T>(&mut self, path: &str, parsed: Result<T, NameError>, pattern: &str) {
        match parsed {
            Ok(_) => {}
            Err(NameError::TooLong { bytes_max, .. }) => {
                self.add(path, &format!("must be at most {bytes_max} bytes"));
            }
            Err(NameError::Pattern { .. }) => {
                self.add(path, &format!("does not match regex pattern `{pattern}`"));
            }
        }
    }

    fn add(&mut self, path: &str, what: &str) {
        self.found.push((path.to_owned(), what.to_owned()));
    }
}

/// The pattern of a field that may be empty.
fn optional(pattern: &str) -> String {
    let inner = pattern.trim_start_matches('^').trim_end_matches('$');
    format!("^({inner})?$")
}
