//! Every message of an older name is the newer one under another type.

use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use remit_proto::FILE_DESCRIPTOR_SET;

use super::*;

/// The older message and the newer one. What they hold is compared too, so the top ones suffice.
const TWINS: [(&str, &str); 14] = [
    (
        "BulkImportRelationshipsRequest",
        "ImportBulkRelationshipsRequest",
    ),
    (
        "BulkImportRelationshipsResponse",
        "ImportBulkRelationshipsResponse",
    ),
    (
        "BulkExportRelationshipsRequest",
        "ExportBulkRelationshipsRequest",
    ),
    (
        "BulkExportRelationshipsResponse",
        "ExportBulkRelationshipsResponse",
    ),
    ("BulkCheckPermissionRequest", "CheckBulkPermissionsRequest"),
    (
        "BulkCheckPermissionResponse",
        "CheckBulkPermissionsResponse",
    ),
    ("ExperimentalReflectSchemaRequest", "ReflectSchemaRequest"),
    ("ExperimentalReflectSchemaResponse", "ReflectSchemaResponse"),
    (
        "ExperimentalComputablePermissionsRequest",
        "ComputablePermissionsRequest",
    ),
    (
        "ExperimentalComputablePermissionsResponse",
        "ComputablePermissionsResponse",
    ),
    (
        "ExperimentalDependentRelationsRequest",
        "DependentRelationsRequest",
    ),
    (
        "ExperimentalDependentRelationsResponse",
        "DependentRelationsResponse",
    ),
    ("ExperimentalDiffSchemaRequest", "DiffSchemaRequest"),
    ("ExperimentalDiffSchemaResponse", "DiffSchemaResponse"),
];

fn message<'a>(all: &'a FileDescriptorSet, name: &str) -> &'a DescriptorProto {
    let name = name.strip_prefix(".authzed.api.v1.").unwrap_or(name);
    let mut messages = all.file.iter().flat_map(|file| &file.message_type);
    messages.find(|message| message.name() == name).unwrap()
}

/// Every field of the older message has the number, the name, the type and the oneof that the newer one has.
fn check(all: &FileDescriptorSet, older: &str, newer: &str) {
    let (older, newer) = (message(all, older), message(all, newer));
    for field in &older.field {
        let context = format!("{} of {}", field.name(), older.name());
        let mut candidates = newer.field.iter();
        let twin = candidates
            .find(|other| other.number() == field.number())
            .unwrap();
        assert_eq!(field.name(), twin.name(), "{context}");
        assert_eq!(field.r#type(), twin.r#type(), "{context}");
        assert_eq!(field.label(), twin.label(), "{context}");
        assert_eq!(field.oneof_index, twin.oneof_index, "{context}");
        if field.r#type() == Type::Message && field.type_name() != twin.type_name() {
            check(all, field.type_name(), twin.type_name());
        }
    }
}

#[test]
fn older_messages_have_the_fields_of_the_newer_ones() {
    let all = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    for (older, newer) in TWINS {
        check(&all, older, newer);
    }
}
