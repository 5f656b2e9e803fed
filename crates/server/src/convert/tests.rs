//! The words of validation as a live peer has them, and that no message gets by.

use proptest::prelude::*;

use super::*;

fn object_of(object_type: &str, object_id: &str) -> Option<wire::ObjectReference> {
    Some(wire::ObjectReference {
        object_type: object_type.to_owned(),
        object_id: object_id.to_owned(),
    })
}

fn check_of(
    resource: Option<wire::ObjectReference>,
    subject: Option<wire::ObjectReference>,
) -> String {
    let request = wire::CheckPermissionRequest {
        resource,
        permission: "view".to_owned(),
        subject: subject.map(|object| wire::SubjectReference {
            object: Some(object),
            optional_relation: String::new(),
        }),
        ..Default::default()
    };
    check(request).map_or_else(|status| status.message().to_owned(), |_| "ok".to_owned())
}

#[test]
fn violations_are_told_as_the_api_does() {
    let user = || object_of("user", "tom");
    assert_eq!(check_of(object_of("doc", "a"), user()), "ok");
    assert_eq!(
        check_of(None, None),
        "validation errors:\n - resource: value is required\n - subject: value is required"
    );
    assert_eq!(
        check_of(object_of("Doc", "a"), user()),
        "validation error: resource.object_type: does not match regex pattern \
         `^([a-z][a-z0-9_]{1,61}[a-z0-9]/)*[a-z][a-z0-9_]{1,62}[a-z0-9]$`"
    );
    assert_eq!(
        check_of(object_of("doc", "a b"), user()),
        "validation error: resource.object_id: does not match regex pattern `^(([a-zA-Z0-9/_|\\-=+]{1,})|\\*)$`"
    );
    assert_eq!(
        check_of(object_of("doc", &"a".repeat(1025)), user()),
        "validation error: resource.object_id: must be at most 1024 bytes"
    );
    assert_eq!(
        check_of(object_of("doc", "*"), user()),
        "invalid ObjectReference.ObjectId: alphanumeric value is required"
    );
}

#[test]
fn consistency_comes_before_the_rules() {
    let with = |requirement| {
        Some(wire::Consistency {
            requirement: Some(requirement),
        })
    };
    let request = wire::CheckPermissionRequest {
        consistency: with(Requirement::FullyConsistent(false)),
        ..Default::default()
    };
    let status = check(request).unwrap_err();
    assert_eq!(status.code(), tonic::Code::Internal);
    assert_eq!(
        status.message(),
        "missing handling of consistency case in fully_consistent:false"
    );
    let token = wire::ZedToken {
        token: String::new(),
    };
    let status = consistency(with(Requirement::AtLeastAsFresh(token))).unwrap_err();
    assert_eq!(status.message(), "invalid revision requested");
}

#[test]
fn a_wildcard_has_no_relation() {
    let subject = wire::SubjectReference {
        object: object_of("user", "*"),
        optional_relation: "member".to_owned(),
    };
    let status = super::subject(Some(subject)).unwrap_err();
    assert_eq!(
        status.message(),
        "optionalrelation must be empty on subject if object ID is a wildcard"
    );
}

#[test]
fn an_operation_has_to_be_said() {
    let update = wire::RelationshipUpdate {
        operation: 0,
        relationship: None,
    };
    let request = wire::WriteRelationshipsRequest {
        updates: vec![update],
        ..Default::default()
    };
    assert_eq!(
        write(request).unwrap_err().message(),
        "validation errors:\n - updates[0].operation: must not be in list [0]\n - updates[0].relationship: value is required"
    );
}

proptest! {
    #[test]
    fn what_passes_prints_back(kind in "[a-zA-Z/_]{0,8}", id in "[a-z*. |/=+-]{0,6}", relation in "[a-z#_]{0,6}", seconds in any::<i64>(), nanos in any::<i32>()) {
        let relationship = wire::Relationship {
            resource: object_of(&kind, &id),
            relation: relation.clone(),
            subject: Some(wire::SubjectReference { object: object_of(&kind, &id), optional_relation: relation }),
            optional_caveat: None,
            optional_expires_at: Some(prost_types::Timestamp { seconds, nanos }),
        };
        if let Ok(parsed) = relationship_from_wire(relationship.clone()) {
            let back = relationship_to_wire(&parsed);
            prop_assert_eq!(&back.resource, &relationship.resource);
            prop_assert_eq!(&back.subject, &relationship.subject);
        }
        let import_request = wire::ImportBulkRelationshipsRequest { relationships: vec![relationship] };
        let _either = import(import_request);
    }
}
