//! The rule of each field, in the words of the API's own validation. All violations of a message are told together.
//!
//! Fields are looked at in the order in which their message declares them, and a string that breaks both of its rules
//! is told twice, its length first: so does the API.

use std::ops::RangeInclusive;

use model::{CaveatName, DefinitionName, NameError, ObjectId, RelationName};
use remit_proto::authzed::api::v1 as wire;
use tonic::Status;

use super::violation::{Found, Path, Rule};

const CURSOR_BYTES_MAX: usize = 102_400;
const OBJECT_ID_OR_WILDCARD: &str = r"^(([a-zA-Z0-9/_|\-=+]{1,})|\*)$";
const OPTIONAL_OBJECT_ID: &str = r"^([a-zA-Z0-9/_|\-=+]{1,})?$";
const OPTIONAL_OBJECT_ID_OR_WILDCARD: &str = r"^(([a-zA-Z0-9/_|\-=+]{1,})|\*)?$";
const OPTIONAL_DEFINITION: &str =
    r"^(([a-z][a-z0-9_]{1,61}[a-z0-9]/)*[a-z][a-z0-9_]{1,62}[a-z0-9])?$";
const WATCHED_DEFINITION: &str = r"^([a-z][a-z0-9_]{1,62}[a-z0-9]/)*[a-z][a-z0-9_]{1,62}[a-z0-9]$";
const OPTIONAL_RELATION: &str = r"^([a-z][a-z0-9_]{1,62}[a-z0-9])?$";

/// The rules of one message, and what it violates.
#[derive(Debug, Default)]
pub(super) struct Rules {
    found: Found,
}

impl Rules {
    /// Refuses the message if a rule is violated.
    pub(super) fn end(self) -> Result<(), Status> {
        self.found.end()
    }

    /// A resource, a permission and a subject, which are the fields from `number` on.
    pub(super) fn question(
        &mut self,
        parent: Option<&Path<'_>>,
        number: i32,
        resource: Option<&wire::ObjectReference>,
        permission: &str,
        subject: Option<&wire::SubjectReference>,
    ) {
        self.object_and_permission(parent, number, resource, permission);
        self.subject(&Path::message(parent, number + 2, "subject"), subject);
    }

    /// A resource and a permission, which are the fields from `number` on.
    pub(super) fn object_and_permission(
        &mut self,
        parent: Option<&Path<'_>>,
        number: i32,
        resource: Option<&wire::ObjectReference>,
        permission: &str,
    ) {
        self.object(&Path::message(parent, number, "resource"), resource);
        self.optional_relation(&Path::string(parent, number + 1, "permission"), permission);
    }

    pub(super) fn update(&mut self, path: &Path<'_>, update: &wire::RelationshipUpdate) {
        self.enumeration(
            &Path::enumeration(path, 1, "operation"),
            update.operation,
            1..=3,
        );
        let path = Path::message(Some(path), 2, "relationship");
        match &update.relationship {
            Some(relationship) => self.relationship(&path, relationship),
            None => self.found.add(&path, Rule::Required),
        }
    }

    pub(super) fn relationship(&mut self, path: &Path<'_>, relationship: &wire::Relationship) {
        let within = Some(path);
        self.object(
            &Path::message(within, 1, "resource"),
            relationship.resource.as_ref(),
        );
        // A relation that is too long is also none by its pattern.
        self.relation(&Path::string(within, 2, "relation"), &relationship.relation);
        self.subject(
            &Path::message(within, 3, "subject"),
            relationship.subject.as_ref(),
        );
        if let Some(caveat) = &relationship.optional_caveat {
            let path = Path::message(within, 4, "optional_caveat");
            let name = CaveatName::validate(&caveat.caveat_name);
            let path = Path::string(Some(&path), 1, "caveat_name");
            self.name(&path, name, CaveatName::PATTERN, || false);
        }
    }

    pub(super) fn preconditions(&mut self, preconditions: &[wire::Precondition]) {
        for (ix, precondition) in preconditions.iter().enumerate() {
            let path = Path::message(None, 2, "optional_preconditions").at(ix);
            self.enumeration(
                &Path::enumeration(&path, 1, "operation"),
                precondition.operation,
                1..=2,
            );
            self.filter(
                &Path::message(Some(&path), 2, "filter"),
                precondition.filter.as_ref(),
            );
        }
    }

    /// A filter that has to be there; what it holds may all be absent.
    pub(super) fn filter(&mut self, path: &Path<'_>, filter: Option<&wire::RelationshipFilter>) {
        let Some(filter) = filter else {
            return self.found.add(path, Rule::Required);
        };
        let within = Some(path);
        if !filter.resource_type.is_empty() {
            self.definition(
                &Path::string(within, 1, "resource_type"),
                &filter.resource_type,
                OPTIONAL_DEFINITION,
            );
        }
        for (number, name, id) in [
            (2, "optional_resource_id", &filter.optional_resource_id),
            (
                5,
                "optional_resource_id_prefix",
                &filter.optional_resource_id_prefix,
            ),
        ] {
            if !id.is_empty() {
                self.object_id(&Path::string(within, number, name), id, OPTIONAL_OBJECT_ID);
            }
        }
        self.optional_relation(
            &Path::string(within, 3, "optional_relation"),
            &filter.optional_relation,
        );
        if let Some(subject) = &filter.optional_subject_filter {
            self.subject_filter(
                &Path::message(within, 4, "optional_subject_filter"),
                subject,
            );
        }
    }

    pub(super) fn cursor(&mut self, path: &Path<'_>, cursor: Option<&wire::Cursor>) {
        let Some(cursor) = cursor else {
            return;
        };
        let path = Path::string(Some(path), 1, "token");
        if cursor.token.is_empty() {
            self.found.add(&path, Rule::BytesMin(1));
        }
        if cursor.token.len() > CURSOR_BYTES_MAX {
            self.found.add(&path, Rule::BytesMax(CURSOR_BYTES_MAX));
        }
    }

    pub(super) fn token(&mut self, path: &Path<'_>, token: &wire::ZedToken) {
        if token.token.is_empty() {
            let path = Path::string(Some(path), 1, "token");
            self.found.add(&path, Rule::BytesMin(1));
        }
    }

    pub(super) fn watched_definition(&mut self, path: &Path<'_>, text: &str) {
        self.definition(path, text, WATCHED_DEFINITION);
    }

    /// An enumeration whose zero is not allowed.
    fn enumeration(&mut self, path: &Path<'_>, value: i32, known: RangeInclusive<i32>) {
        if value == 0 {
            self.found.add(path, Rule::NotZero);
        } else if !known.contains(&value) {
            self.found.add(path, Rule::Defined);
        }
    }

    pub(super) fn object(&mut self, path: &Path<'_>, object: Option<&wire::ObjectReference>) {
        let Some(object) = object else {
            return self.found.add(path, Rule::Required);
        };
        self.definition(
            &Path::string(Some(path), 1, "object_type"),
            &object.object_type,
            DefinitionName::PATTERN,
        );
        if object.object_id != "*" {
            self.object_id(
                &Path::string(Some(path), 2, "object_id"),
                &object.object_id,
                OBJECT_ID_OR_WILDCARD,
            );
        }
    }

    pub(super) fn subject(&mut self, path: &Path<'_>, subject: Option<&wire::SubjectReference>) {
        let Some(subject) = subject else {
            return self.found.add(path, Rule::Required);
        };
        self.object(
            &Path::message(Some(path), 1, "object"),
            subject.object.as_ref(),
        );
        self.optional_relation(
            &Path::string(Some(path), 2, "optional_relation"),
            &subject.optional_relation,
        );
    }

    fn subject_filter(&mut self, path: &Path<'_>, filter: &wire::SubjectFilter) {
        let within = Some(path);
        self.definition(
            &Path::string(within, 1, "subject_type"),
            &filter.subject_type,
            DefinitionName::PATTERN,
        );
        let id = filter.optional_subject_id.as_str();
        if !id.is_empty() && id != "*" {
            self.object_id(
                &Path::string(within, 2, "optional_subject_id"),
                id,
                OPTIONAL_OBJECT_ID_OR_WILDCARD,
            );
        }
        if let Some(relation) = &filter.optional_relation {
            let path = Path::message(within, 3, "optional_relation");
            self.optional_relation(
                &Path::string(Some(&path), 1, "relation"),
                &relation.relation,
            );
        }
    }

    /// A name of a definition that has to be there.
    pub(super) fn definition_name(&mut self, path: &Path<'_>, name: &str) {
        self.definition(path, name, DefinitionName::PATTERN);
    }

    /// A name of a relation or permission that has to be there.
    pub(super) fn relation(&mut self, path: &Path<'_>, name: &str) {
        self.name(
            path,
            RelationName::validate(name),
            RelationName::PATTERN,
            || false,
        );
    }

    /// The name of a counter, the first field; an empty one is told later.
    pub(super) fn counter_name(&mut self, name: &str) {
        self.optional_relation(&Path::string(None, 1, "name"), name);
    }

    pub(super) fn optional_relation(&mut self, path: &Path<'_>, relation: &str) {
        if !relation.is_empty() {
            self.name(
                path,
                RelationName::validate(relation),
                OPTIONAL_RELATION,
                || false,
            );
        }
    }

    fn definition(&mut self, path: &Path<'_>, text: &str, pattern: &str) {
        self.name(path, DefinitionName::validate(text), pattern, || {
            /// Segments before a `/` are one character shorter than a name.
            const PREFIX_BYTES_MAX: usize = 63;
            let is_name = |segment: &str| DefinitionName::validate(segment).is_ok();
            let mut segments = text.rsplit('/');
            segments.next().is_some_and(is_name)
                && segments.all(|prefix| prefix.len() <= PREFIX_BYTES_MAX && is_name(prefix))
        });
    }

    fn object_id(&mut self, path: &Path<'_>, text: &str, pattern: &str) {
        self.name(path, ObjectId::validate(text), pattern, || {
            let mut buffer = [0; 4];
            text.chars()
                .all(|each| ObjectId::validate(each.encode_utf8(&mut buffer)).is_ok())
        });
    }

    /// `is_shape` says of a name that is too long whether it is none but for that.
    fn name(
        &mut self,
        path: &Path<'_>,
        valid: Result<(), NameError>,
        pattern: &str,
        is_shape: impl FnOnce() -> bool,
    ) {
        match valid {
            Ok(()) => {}
            Err(NameError::TooLong { bytes_max, .. }) => {
                self.found.add(path, Rule::BytesMax(bytes_max));
                if !is_shape() {
                    self.found.add(path, Rule::Pattern(pattern));
                }
            }
            Err(NameError::Pattern { .. }) => self.found.add(path, Rule::Pattern(pattern)),
        }
    }
}
