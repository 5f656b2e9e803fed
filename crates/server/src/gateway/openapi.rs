//! What the gateway serves, as an OpenAPI 3.1 document made of the descriptors and their comments.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
    MethodDescriptor,
};
use serde_json::{Map, Value, json};

use super::routes::{Routes, RoutesError};

const STATUS: &str = "google.rpc.Status";

/// The document for `routes`, and for `others`, which are described already.
///
/// # Errors
/// [`RoutesError`] if a type is missing or the document cannot be encoded.
pub(super) fn document(
    pool: &DescriptorPool,
    routes: &Routes,
    others: Map<String, Value>,
) -> Result<Vec<u8>, RoutesError> {
    let status = pool
        .get_message_by_name(STATUS)
        .ok_or(RoutesError::Undescribed { name: STATUS })?;
    let comments = Comments::of(pool);
    let sorted: BTreeMap<_, _> = routes.iter().collect();
    let mut paths: Map<String, Value> = sorted
        .iter()
        .map(|(path, route)| {
            let operation = operation(&route.method, &comments);
            ((*path).clone(), json!({ "post": operation }))
        })
        .collect();
    paths.insert("/healthz".to_owned(), json!({ "get": health() }));
    paths.extend(others);
    let mut schemas = Schemas {
        comments: &comments,
        done: Map::new(),
    };
    schemas.add(status);
    for route in sorted.values() {
        schemas.add(route.method.input());
        schemas.add(route.method.output());
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Remit",
            "description": "Who may do what: the authzed API and what Remit answers beyond it, as JSON.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.done,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "A preshared key." },
            },
        },
    });
    Ok(serde_json::to_vec(&document)?)
}

fn operation(method: &MethodDescriptor, comments: &Comments) -> Value {
    let service = method.parent_service();
    let input = reference(method.input().full_name());
    let output = reference(method.output().full_name());
    let error = reference(STATUS);
    let (answer, failure, told) = if method.is_server_streaming() {
        (
            json!({ "oneOf": [
                { "type": "object", "required": ["result"], "properties": { "result": output } },
                { "type": "object", "required": ["error"], "properties": { "error": error } },
            ]}),
            json!({ "type": "object", "required": ["error"], "properties": { "error": error } }),
            "One such object a line, as they come; one with `error`, if there is one, is the last.",
        )
    } else {
        (output, error, "The answer.")
    };
    let asked = if method.is_client_streaming() {
        "One such object a line, read as they come."
    } else {
        "The request."
    };
    let content = |schema: Value| json!({ "application/json": { "schema": schema } });
    let mut operation = json!({
        "operationId": format!("{}_{}", service.name(), method.name()),
        "tags": [service.full_name()],
        "requestBody": { "required": true, "description": asked, "content": content(input) },
        "responses": {
            "200": { "description": told, "content": content(answer) },
            "default": { "description": "The call failed.", "content": content(failure) },
        },
    });
    let comment = comments.at(&service.parent_file(), method.path());
    let options = method.method_descriptor_proto().options.as_ref();
    let is_deprecated = options.is_some_and(|options| options.deprecated());
    describe(&mut operation, comment, is_deprecated);
    operation
}

fn health() -> Value {
    let schema = json!({ "type": "object", "properties": { "status": { "type": "string" } } });
    let content = json!({ "application/json": { "schema": schema } });
    json!({
        "operationId": "Health",
        "description": "Whether this node answers.",
        "security": [],
        "responses": {
            "200": { "description": "It does: `SERVING`.", "content": content },
            "503": { "description": "It does not, or not yet.", "content": content },
        },
    })
}

/// Says what a schema or an operation is, if that is known.
fn describe(what: &mut Value, comment: Option<String>, is_deprecated: bool) {
    let Some(what) = what.as_object_mut() else {
        return;
    };
    if let Some(comment) = comment {
        what.insert("description".to_owned(), comment.into());
    }
    if is_deprecated {
        what.insert("deprecated".to_owned(), true.into());
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The schemas of messages and enumerations, by full name.
struct Schemas<'a> {
    comments: &'a Comments,
    done: Map<String, Value>,
}

impl Schemas<'_> {
    /// Adds a message with all that it holds.
    fn add(&mut self, message: MessageDescriptor) {
        let mut open = vec![message];
        while let Some(message) = open.pop() {
            let name = message.full_name().to_owned();
            if well_known(&name).is_some() || self.done.contains_key(&name) {
                continue;
            }
            let mut properties = Map::new();
            for field in message.fields() {
                properties.insert(field.json_name().to_owned(), self.property(&field));
                let kind = value_kind(&field);
                open.extend(kind.as_message().cloned());
                if let Some(enumeration) = kind.as_enum() {
                    self.add_enumeration(enumeration);
                }
            }
            let mut schema = json!({ "type": "object", "properties": properties });
            let comment = self.comments.at(&message.parent_file(), message.path());
            describe(&mut schema, comment, false);
            self.done.insert(name, schema);
        }
    }

    fn add_enumeration(&mut self, enumeration: &EnumDescriptor) {
        let names: BTreeSet<i32> = enumeration.values().map(|value| value.number()).collect();
        let names: Vec<Value> = names
            .into_iter()
            .filter_map(|number| enumeration.get_value(number))
            .map(|value| value.name().into())
            .collect();
        let mut schema = json!({ "type": "string", "enum": names });
        let file = enumeration.parent_file();
        let comment = self.comments.at(&file, enumeration.path());
        describe(&mut schema, comment, false);
        self.done.insert(enumeration.full_name().to_owned(), schema);
    }

    fn property(&self, field: &FieldDescriptor) -> Value {
        let value = of_kind(&value_kind(field));
        let mut schema = if field.is_map() {
            json!({ "type": "object", "additionalProperties": value })
        } else if field.is_list() {
            json!({ "type": "array", "items": value })
        } else if field.kind().as_message().is_some() && field.containing_oneof().is_none() {
            // What is not set is told as null.
            json!({ "anyOf": [value, { "type": "null" }] })
        } else {
            value
        };
        let comment = self.comments.at(&field.parent_file(), field.path());
        let oneof = field
            .containing_oneof()
            .filter(|oneof| !oneof.is_synthetic());
        let choice = oneof.map(|oneof| format!("At most one of `{}`.", oneof.name()));
        let told: Vec<String> = comment.into_iter().chain(choice).collect();
        let options = field.field_descriptor_proto().options.as_ref();
        let is_deprecated = options.is_some_and(|options| options.deprecated());
        let told = (!told.is_empty()).then(|| told.join(" "));
        describe(&mut schema, told, is_deprecated);
        schema
    }
}

/// The kind of a field, or of the values of a map.
fn value_kind(field: &FieldDescriptor) -> Kind {
    let kind = field.kind();
    match kind.as_message() {
        Some(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        Some(_) | None => kind,
    }
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Message(message) => {
            let name = message.full_name();
            well_known(name).unwrap_or_else(|| reference(name))
        }
        Kind::Enum(enumeration) => reference(enumeration.full_name()),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::String => json!({ "type": "string" }),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::Double => json!({ "type": "number", "format": "double" }),
        Kind::Float => json!({ "type": "number", "format": "float" }),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({ "type": "integer", "format": "int32" })
        }
        Kind::Uint32 | Kind::Fixed32 => {
            json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX })
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            json!({ "type": "string", "format": "int64" })
        }
        Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64" }),
    }
}

/// The schema of a type that JSON has its own form of.
fn well_known(name: &str) -> Option<Value> {
    Some(match name {
        "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "google.protobuf.Duration" => {
            json!({ "type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$" })
        }
        "google.protobuf.Struct" => json!({ "type": "object", "additionalProperties": true }),
        "google.protobuf.Value" => json!({}),
        "google.protobuf.ListValue" => json!({ "type": "array", "items": {} }),
        "google.protobuf.Empty" => json!({ "type": "object" }),
        "google.protobuf.Any" => json!({
            "type": "object",
            "required": ["@type"],
            "properties": { "@type": { "type": "string" } },
            "additionalProperties": true,
        }),
        _ => return None,
    })
}

/// The comments that stand before what they describe.
struct Comments(BTreeMap<(String, Vec<i32>), String>);

impl Comments {
    fn of(pool: &DescriptorPool) -> Self {
        let mut comments = BTreeMap::new();
        for file in pool.files() {
            let source = file.file_descriptor_proto().source_code_info.as_ref();
            for location in source.iter().flat_map(|source| &source.location) {
                let comment = location.leading_comments().split_whitespace();
                let comment = comment.collect::<Vec<_>>().join(" ");
                if !comment.is_empty() {
                    comments.insert((file.name().to_owned(), location.path.clone()), comment);
                }
            }
        }
        Self(comments)
    }

    fn at(&self, file: &FileDescriptor, path: &[i32]) -> Option<String> {
        self.0
            .get(&(file.name().to_owned(), path.to_vec()))
            .cloned()
    }
}
