//! The words of validation as a live peer has them, and that no message gets by.

use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

use super::violation::Violations;
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
    let unknown = wire::Consistency { requirement: None };
    let status = consistency(Some(unknown)).unwrap_err();
    assert_eq!(status.code(), tonic::Code::Internal);
    assert_eq!(consistency(None).unwrap(), Consistency::MinimizeLatency);
}

#[test]
fn a_wildcard_has_no_relation() {
    let subject = wire::SubjectReference {
        object: object_of("user", "*"),
        optional_relation: "member".to_owned(),
    };
    let status = super::subject(Some(&subject)).unwrap_err();
    assert_eq!(
        status.message(),
        "invalid SubjectReference.OptionalRelation: optionalrelation must be empty on subject if object ID is a wildcard"
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

/// The violations that a status carries beside its words.
fn violations(status: &Status) -> Vec<violation::Violation> {
    let status = tonic_types::pb::Status::decode(status.details()).unwrap();
    let [detail] = status.details.as_slice() else {
        panic!("one detail: {status:?}");
    };
    assert_eq!(
        detail.type_url,
        "type.googleapis.com/buf.validate.Violations"
    );
    Violations::decode(detail.value.as_slice())
        .unwrap()
        .violations
}

fn delete_of(filter: wire::RelationshipFilter) -> Result<Deletion, Status> {
    delete(wire::DeleteRelationshipsRequest {
        relationship_filter: Some(filter),
        ..Default::default()
    })
}

#[test]
fn a_filter_has_the_patterns_of_what_may_be_absent() {
    let bad = wire::RelationshipFilter {
        resource_type: "D".to_owned(),
        optional_resource_id: "*".to_owned(),
        optional_resource_id_prefix: "a b".to_owned(),
        optional_relation: "V".to_owned(),
        optional_subject_filter: Some(wire::SubjectFilter {
            subject_type: String::new(),
            optional_subject_id: "u u".to_owned(),
            optional_relation: Some(wire::subject_filter::RelationFilter {
                relation: "X".to_owned(),
            }),
        }),
    };
    assert_eq!(
        delete_of(bad).unwrap_err().message(),
        [
            "validation errors:",
            r" - relationship_filter.resource_type: does not match regex pattern `^(([a-z][a-z0-9_]{1,61}[a-z0-9]/)*[a-z][a-z0-9_]{1,62}[a-z0-9])?$`",
            r" - relationship_filter.optional_resource_id: does not match regex pattern `^([a-zA-Z0-9/_|\-=+]{1,})?$`",
            r" - relationship_filter.optional_resource_id_prefix: does not match regex pattern `^([a-zA-Z0-9/_|\-=+]{1,})?$`",
            r" - relationship_filter.optional_relation: does not match regex pattern `^([a-z][a-z0-9_]{1,62}[a-z0-9])?$`",
            r" - relationship_filter.optional_subject_filter.subject_type: does not match regex pattern `^([a-z][a-z0-9_]{1,61}[a-z0-9]/)*[a-z][a-z0-9_]{1,62}[a-z0-9]$`",
            r" - relationship_filter.optional_subject_filter.optional_subject_id: does not match regex pattern `^(([a-zA-Z0-9/_|\-=+]{1,})|\*)?$`",
            r" - relationship_filter.optional_subject_filter.optional_relation.relation: does not match regex pattern `^([a-z][a-z0-9_]{1,62}[a-z0-9])?$`",
        ]
        .join("\n")
    );
    let absent = delete(wire::DeleteRelationshipsRequest::default()).unwrap_err();
    assert_eq!(
        absent.message(),
        "validation error: relationship_filter: value is required"
    );
    // Refused where it meets the schema, with a reason of its own.
    let empty = delete_of(wire::RelationshipFilter::default()).unwrap();
    assert!(empty.filter.is_empty());
    let both = wire::RelationshipFilter {
        optional_resource_id: "a".to_owned(),
        optional_resource_id_prefix: "a".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        delete_of(both).unwrap_err().message(),
        "the relationship filter provided is not valid: resource_id and resource_id_prefix cannot be set at the same time"
    );
}

#[test]
fn a_string_that_breaks_both_of_its_rules_is_told_twice() {
    let told = |object_type: &str, object_id: &str| {
        let status = import(wire::ImportBulkRelationshipsRequest {
            relationships: vec![wire::Relationship {
                resource: object_of(object_type, object_id),
                relation: "viewer".to_owned(),
                subject: Some(wire::SubjectReference {
                    object: object_of("user", "tom"),
                    optional_relation: String::new(),
                }),
                ..Default::default()
            }],
        })
        .unwrap_err();
        let told = violations(&status).into_iter();
        told.map(|each| each.rule_id.unwrap()).collect::<Vec<_>>()
    };
    let both = ["string.max_bytes", "string.pattern"];
    assert_eq!(
        told(&format!("{}doc", "abcd/".repeat(26)), "a"),
        ["string.max_bytes"]
    );
    assert_eq!(told(&format!("{}doc", "a/".repeat(64)), "a"), both);
    assert_eq!(told(&"a".repeat(129), "a"), both);
    assert_eq!(told("doc", &"a".repeat(1025)), ["string.max_bytes"]);
    assert_eq!(told("doc", &" ".repeat(1025)), both);
    assert_eq!(told("doc", ""), ["string.pattern"]);
}

#[test]
fn violations_name_their_field_and_their_rule() {
    let request = wire::WriteRelationshipsRequest {
        updates: vec![
            wire::RelationshipUpdate::default(),
            wire::RelationshipUpdate {
                operation: 9,
                relationship: None,
            },
        ],
        ..Default::default()
    };
    let status = write(request).unwrap_err();
    let told = violations(&status);
    let path = |path: &Option<violation::FieldPath>| {
        let elements = path.clone().unwrap().elements.into_iter();
        elements
            .map(|each| {
                (
                    each.field_number.unwrap(),
                    each.field_name.unwrap(),
                    each.field_type.unwrap(),
                    each.index,
                )
            })
            .collect::<Vec<_>>()
    };
    let updates = |ix| (1, "updates".to_owned(), 11, Some(ix));
    let operation = (1, "operation".to_owned(), 14, None);
    assert_eq!(path(&told[0].field), [updates(0), operation.clone()]);
    assert_eq!(
        path(&told[0].rule),
        [
            (16, "enum".to_owned(), 11, None),
            (4, "not_in".to_owned(), 5, None)
        ]
    );
    assert_eq!(path(&told[1].rule), [(25, "required".to_owned(), 8, None)]);
    assert_eq!(path(&told[2].field), [updates(1), operation]);
    assert_eq!(told[2].rule_id.as_deref(), Some("enum.defined_only"));
    assert_eq!(
        told[2].message.as_deref(),
        Some("value must be one of the defined enum values")
    );
}

#[test]
fn what_is_told_of_a_flood_fits_into_the_trailers() {
    let items = vec![wire::CheckBulkPermissionsRequestItem::default(); 100_000];
    let status = check_bulk(None, &items).unwrap_err();
    assert!(status.message().ends_with("\n - and 199984 more"));
    assert_eq!(violations(&status).len(), 16);
    let long = vec![
        wire::Relationship {
            resource: object_of(&"A".repeat(129), &" ".repeat(1025)),
            relation: "A".repeat(65),
            subject: Some(wire::SubjectReference {
                object: object_of(&"A".repeat(129), &" ".repeat(1025)),
                optional_relation: "A".repeat(65),
            }),
            ..Default::default()
        };
        10
    ];
    let status = import(wire::ImportBulkRelationshipsRequest {
        relationships: long,
    })
    .unwrap_err();
    let details_base64 = status.details().len().div_ceil(3) * 4;
    assert!(status.message().len() + details_base64 < 16 * 1024);
}

#[test]
fn contexts_keep_their_values_and_have_a_depth() {
    let text = r#"{"a":null,"b":[1,2.5,"x",{"c":true}],"d":{}}"#;
    let context = Context::from_json(text).unwrap();
    assert_eq!(
        context_from_wire(context_to_wire(&context)).unwrap(),
        context
    );
    let value = |kind| prost_types::Value { kind };
    let of = |value| prost_types::Struct {
        fields: [("a".to_owned(), value)].into(),
    };
    let unset = context_from_wire(of(value(None))).unwrap();
    assert_eq!(unset.value("a"), Some(&model::Value::Null));
    let nested = |depth| {
        (0..depth).fold(value(None), |inner, _| {
            let values = vec![inner];
            value(Some(prost_types::value::Kind::ListValue(
                prost_types::ListValue { values },
            )))
        })
    };
    assert!(context_from_wire(of(nested(62))).is_ok());
    let status = context_from_wire(of(nested(63))).unwrap_err();
    assert_eq!(
        status.message(),
        "caveat context is nested deeper than 64 levels"
    );
    for number in [f64::NAN, f64::INFINITY] {
        let number = value(Some(prost_types::value::Kind::NumberValue(number)));
        assert!(context_from_wire(of(number)).is_err());
    }
}

fn any_object() -> impl Strategy<Value = Option<wire::ObjectReference>> {
    let parts = ("[a-zA-Z/_]{0,8}|\\PC{0,3}", "[a-z*. |/=+-]{0,6}|\\PC{0,3}");
    option::weighted(
        0.9,
        parts.prop_map(|(object_type, object_id)| wire::ObjectReference {
            object_type,
            object_id,
        }),
    )
}

fn any_subject() -> impl Strategy<Value = Option<wire::SubjectReference>> {
    let parts = (any_object(), "|[a-z#_]{0,6}");
    option::weighted(
        0.9,
        parts.prop_map(|(object, optional_relation)| wire::SubjectReference {
            object,
            optional_relation,
        }),
    )
}

fn any_relationship() -> impl Strategy<Value = wire::Relationship> {
    let caveat = option::of(
        "[a-z/| ]{0,4}".prop_map(|caveat_name| wire::ContextualizedCaveat {
            caveat_name,
            context: None,
        }),
    );
    let second = prop_oneof![any::<i64>(), -9..9_i64];
    let expires = option::of(
        (second, any::<i32>())
            .prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }),
    );
    let parts = (
        any_object(),
        "|[a-z#_]{0,6}",
        any_subject(),
        caveat,
        expires,
    );
    parts.prop_map(
        |(resource, relation, subject, optional_caveat, optional_expires_at)| wire::Relationship {
            resource,
            relation,
            subject,
            optional_caveat,
            optional_expires_at,
        },
    )
}

fn any_filter() -> impl Strategy<Value = Option<wire::RelationshipFilter>> {
    let subject = ("[a-z/]{0,4}", "|[a-z*. ]{0,4}", option::of("|[a-z#]{0,4}")).prop_map(
        |(subject_type, optional_subject_id, relation)| wire::SubjectFilter {
            subject_type,
            optional_subject_id,
            optional_relation: relation
                .map(|relation| wire::subject_filter::RelationFilter { relation }),
        },
    );
    let parts = (
        "|[a-z/]{0,4}",
        "|[a-z*]{1,2}",
        "|[a-z*]{1,2}",
        "|[a-z#]{0,4}",
        option::of(subject),
    );
    option::weighted(
        0.9,
        parts.prop_map(
            |(resource_type, id, prefix, optional_relation, optional_subject_filter)| {
                wire::RelationshipFilter {
                    resource_type,
                    optional_resource_id: id,
                    optional_resource_id_prefix: prefix,
                    optional_relation,
                    optional_subject_filter,
                }
            },
        ),
    )
}

proptest! {
    #[test]
    fn a_relationship_that_passes_prints_back(relationship in any_relationship()) {
        let request = wire::ImportBulkRelationshipsRequest {
            relationships: vec![relationship.clone()],
        };
        if let Ok(parsed) = import(request) {
            let back = relationship_to_wire(&parsed[0]);
            prop_assert_eq!(&back.resource, &relationship.resource);
            prop_assert_eq!(&back.relation, &relationship.relation);
            prop_assert_eq!(&back.subject, &relationship.subject);
            prop_assert_eq!(
                back.optional_expires_at.map(|at| at.seconds),
                relationship.optional_expires_at.map(|at| at.seconds)
            );
        }
    }

    #[test]
    fn a_write_is_refused_as_a_whole_or_taken_as_a_whole(
        updates in prop::collection::vec((0..5_i32, option::of(any_relationship())), 0..3),
        preconditions in prop::collection::vec((0..4_i32, any_filter()), 0..3),
    ) {
        let request = wire::WriteRelationshipsRequest {
            updates: updates
                .into_iter()
                .map(|(operation, relationship)| wire::RelationshipUpdate { operation, relationship })
                .collect(),
            optional_preconditions: preconditions
                .into_iter()
                .map(|(operation, filter)| wire::Precondition { operation, filter })
                .collect(),
            optional_transaction_metadata: None,
        };
        let (update_count, precondition_count) =
            (request.updates.len(), request.optional_preconditions.len());
        if let Ok(write) = write(request) {
            prop_assert_eq!(write.updates.len(), update_count);
            prop_assert_eq!(write.preconditions.len(), precondition_count);
        }
    }

    #[test]
    fn a_filter_that_passes_keeps_every_field(filter in any_filter()) {
        let request = wire::ReadRelationshipsRequest {
            relationship_filter: filter.clone(),
            ..Default::default()
        };
        if let Ok(read) = read(request) {
            let given = filter.unwrap();
            prop_assert_eq!(read.filter.definition.is_none(), given.resource_type.is_empty());
            prop_assert_eq!(read.filter.relation.is_none(), given.optional_relation.is_empty());
            prop_assert_eq!(
                read.filter.resource_id.is_none(),
                given.optional_resource_id.is_empty() && given.optional_resource_id_prefix.is_empty()
            );
            prop_assert_eq!(read.filter.subject.is_none(), given.optional_subject_filter.is_none());
        }
    }

    #[test]
    fn a_question_that_passes_is_the_one_that_was_asked(
        resource in any_object(),
        permission in "|[a-z#_]{0,6}",
        subject in any_subject(),
    ) {
        let item = wire::CheckBulkPermissionsRequestItem {
            resource: resource.clone(),
            permission: permission.clone(),
            subject: subject.clone(),
            context: None,
        };
        let request = wire::CheckPermissionRequest {
            resource: resource.clone(),
            permission: permission.clone(),
            subject: subject.clone(),
            ..Default::default()
        };
        let alone = check(request);
        match (&alone, check_bulk(None, &[item])) {
            (Ok((_, question)), Ok((_, questions))) => {
                prop_assert_eq!(question, questions[0].as_ref().unwrap());
                prop_assert_eq!(Some(object_to_wire(&question.resource)), resource);
                prop_assert_eq!(&question.permission, &permission);
                prop_assert_eq!(Some(subject_to_wire(&question.subject)), subject);
            }
            (Err(_), Ok((_, questions))) => prop_assert!(questions[0].is_err()),
            (alone, Err(_)) => prop_assert!(alone.is_err()),
        }
    }
}
