//! The tree of who has a permission, as the wire has it.

use engine::eval::{SetOperation, Tree, TreeContent};
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::algebraic_subject_set::Operation;
use remit_proto::authzed::api::v1::permission_relationship_tree::TreeType;

use super::{object_to_wire, subject_to_wire};

/// A tree as the wire has it.
pub(crate) fn tree_to_wire(tree: &Tree) -> wire::PermissionRelationshipTree {
    let content = match &tree.content {
        TreeContent::Leaf(subjects) => TreeType::Leaf(wire::DirectSubjectSet {
            subjects: subjects.iter().map(subject_to_wire).collect(),
        }),
        TreeContent::Operation(operation, parts) => {
            TreeType::Intermediate(wire::AlgebraicSubjectSet {
                operation: match operation {
                    SetOperation::Union => Operation::Union.into(),
                    SetOperation::Intersection => Operation::Intersection.into(),
                    SetOperation::Exclusion => Operation::Exclusion.into(),
                },
                children: parts.iter().map(tree_to_wire).collect(),
            })
        }
    };
    wire::PermissionRelationshipTree {
        expanded_object: Some(object_to_wire(&tree.object)),
        expanded_relation: tree.member.to_string(),
        tree_type: Some(content),
    }
}
