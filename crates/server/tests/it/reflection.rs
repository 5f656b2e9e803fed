//! Looking into the schema: the answers are the recorded ones.

use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::consistency::Requirement;
use remit_client::proto::authzed::api::v1::reflection_schema_diff::Diff;
use remit_client::proto::authzed::api::v1::reflection_type_reference::Typeref;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::life::FULL;
use crate::running::{Running, start, write_schema};

pub(crate) const SCHEMA: &str = "use expiration\n\ncaveat num(xx int) {\n\t10 / xx == 1\n}\n\ncaveat onday(allowed list<string>, day string) {\n\tday in allowed\n}\n\n\
    definition doc {\n\trelation parent: doc\n\trelation viewer: user | user with onday | user:* with num and expiration\n\
    \tpermission view = viewer + parent->view\n\tpermission nothing = nil\n}\n\ndefinition group {\n\trelation member: user | group#member\n\
    \trelation manager: user\n\tpermission membership = member + manager\n\tpermission inter = member & manager\n}\n\n// somebody\ndefinition user {}\n";

pub(crate) async fn with_schema() -> (Running, Client) {
    let running = start().await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    (running, client)
}

pub(crate) fn consistency(requirement: Requirement) -> Option<wire::Consistency> {
    Some(wire::Consistency {
        requirement: Some(requirement),
    })
}

fn filter(
    definition: &str,
    caveat: &str,
    relation: &str,
    permission: &str,
) -> wire::ReflectionSchemaFilter {
    wire::ReflectionSchemaFilter {
        optional_definition_name_filter: definition.to_owned(),
        optional_caveat_name_filter: caveat.to_owned(),
        optional_relation_name_filter: relation.to_owned(),
        optional_permission_name_filter: permission.to_owned(),
    }
}

pub(crate) async fn reflect(
    client: &Client,
    filters: Vec<wire::ReflectionSchemaFilter>,
) -> Result<wire::ReflectSchemaResponse, Status> {
    let request = wire::ReflectSchemaRequest {
        consistency: consistency(FULL),
        optional_filters: filters,
    };
    Ok(client.schema().reflect_schema(request).await?.into_inner())
}

fn relation(
    definition: &str,
    name: &str,
    types: Vec<(&str, &str, Typeref)>,
) -> wire::ReflectionRelation {
    let types = types
        .into_iter()
        .map(|(subject, caveat, typeref)| wire::ReflectionTypeReference {
            subject_definition_name: subject.to_owned(),
            optional_caveat_name: caveat.to_owned(),
            typeref: Some(typeref),
        });
    wire::ReflectionRelation {
        name: name.to_owned(),
        comment: String::new(),
        parent_definition_name: definition.to_owned(),
        subject_types: types.collect(),
    }
}

fn permission(definition: &str, name: &str, comment: &str) -> wire::ReflectionPermission {
    wire::ReflectionPermission {
        name: name.to_owned(),
        comment: comment.to_owned(),
        parent_definition_name: definition.to_owned(),
    }
}

/// A refusal as code, reason, message and details.
pub(crate) fn told(status: &Status) -> (Code, String, String, Vec<(String, String)>) {
    let details = status.get_error_details();
    let info = details.error_info();
    let mut metadata: Vec<(String, String)> = info
        .map(|info| info.metadata.clone().into_iter().collect())
        .unwrap_or_default();
    metadata.sort();
    (
        status.code(),
        info.map(|info| info.reason.replace("ERROR_REASON_", ""))
            .unwrap_or_default(),
        status.message().to_owned(),
        metadata,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_shown_in_parts() {
    let (running, client) = with_schema().await;
    let user = || ("user", "", Typeref::IsTerminalSubject(false));
    let group = reflect(&client, vec![filter("group", "", "", "")])
        .await
        .unwrap();
    let sets = (
        "group",
        "",
        Typeref::OptionalRelationName("member".to_owned()),
    );
    assert_eq!(
        group.definitions,
        [wire::ReflectionDefinition {
            name: "group".to_owned(),
            comment: String::new(),
            relations: vec![
                relation("group", "member", vec![user(), sets]),
                relation("group", "manager", vec![user()]),
            ],
            permissions: vec![
                permission("group", "membership", ""),
                permission("group", "inter", "")
            ],
        }]
    );
    assert_eq!(group.caveats, []);
    assert!(!group.read_at.unwrap().token.is_empty());

    let onday = reflect(&client, vec![filter("", "onday", "", "")])
        .await
        .unwrap();
    let parameter = |name: &str, ty: &str| wire::ReflectionCaveatParameter {
        name: name.to_owned(),
        r#type: ty.to_owned(),
        parent_caveat_name: "onday".to_owned(),
    };
    assert_eq!(
        onday.caveats,
        [wire::ReflectionCaveat {
            name: "onday".to_owned(),
            comment: String::new(),
            parameters: vec![
                parameter("allowed", "list<string>"),
                parameter("day", "string")
            ],
            expression: "day in allowed".to_owned(),
        }]
    );
    assert_eq!(onday.definitions, []);

    let viewer = reflect(&client, vec![filter("doc", "", "viewer", "")])
        .await
        .unwrap();
    let traits = vec![
        user(),
        ("user", "onday", Typeref::IsTerminalSubject(false)),
        ("user", "num", Typeref::IsPublicWildcard(true)),
    ];
    assert_eq!(
        viewer.definitions[0].relations,
        [relation("doc", "viewer", traits)]
    );

    let all = reflect(&client, Vec::new()).await.unwrap();
    let names: Vec<&str> = all
        .definitions
        .iter()
        .map(|each| each.name.as_str())
        .collect();
    assert_eq!(names, ["doc", "group", "user"]);
    assert_eq!(all.definitions[2].comment, "// somebody");
    assert_eq!(all.caveats.len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_make_no_sense() {
    let (running, client) = with_schema().await;
    let [def, cav, rel, per] = ["definition", "caveat", "relation", "permission"]
        .map(|name| move |value: &str| format!("optional_{name}_name_filter:\"{value}\""));
    for (filter, why, text) in [
        (
            filter("d", "c", "", ""),
            "cannot filter by both definition and caveat name",
            format!("{} {}", def("d"), cav("c")),
        ),
        (
            filter("", "", "d", ""),
            "relation name match requires definition name match",
            rel("d"),
        ),
        (
            filter("doc", "", "d", "p"),
            "cannot filter by both relation and permission name",
            format!("{} {} {}", def("doc"), rel("d"), per("p")),
        ),
        (
            filter("", "", "", "d"),
            "permission name match requires definition name match",
            per("d"),
        ),
    ] {
        let refused = reflect(&client, vec![filter]).await.unwrap_err();
        let message = format!("the relationship filter provided is not valid: {why}");
        let metadata = vec![("filter".to_owned(), text)];
        let expected = (
            Code::InvalidArgument,
            "INVALID_FILTER".to_owned(),
            message,
            metadata,
        );
        assert_eq!(told(&refused), expected);
    }
    running.stop().await;
}

async fn computable(
    client: &Client,
    definition: &str,
    relation: &str,
) -> Result<Vec<wire::ReflectionRelationReference>, Status> {
    let request = wire::ComputablePermissionsRequest {
        consistency: consistency(FULL),
        definition_name: definition.to_owned(),
        relation_name: relation.to_owned(),
        optional_definition_name_filter: "do".to_owned(),
    };
    let response = client.schema().computable_permissions(request).await?;
    Ok(response.into_inner().permissions)
}

pub(crate) async fn dependent(
    client: &Client,
    definition: &str,
    permission: &str,
) -> Result<Vec<wire::ReflectionRelationReference>, Status> {
    let request = wire::DependentRelationsRequest {
        consistency: consistency(FULL),
        definition_name: definition.to_owned(),
        permission_name: permission.to_owned(),
    };
    let response = client.schema().dependent_relations(request).await?;
    Ok(response.into_inner().relations)
}

fn reference(name: &str, is_permission: bool) -> wire::ReflectionRelationReference {
    wire::ReflectionRelationReference {
        definition_name: "doc".to_owned(),
        relation_name: name.to_owned(),
        is_permission,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_what() {
    let (running, client) = with_schema().await;
    assert_eq!(
        computable(&client, "doc", "viewer").await.unwrap(),
        [reference("view", true)]
    );
    assert_eq!(
        computable(&client, "user", "").await.unwrap(),
        [reference("view", true), reference("viewer", false)]
    );
    assert_eq!(
        dependent(&client, "doc", "view").await.unwrap(),
        [reference("parent", false), reference("viewer", false)]
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let unknown = |definition: &str| {
        let message = format!("object definition `{definition}` not found");
        let metadata = vec![pair("definition_name", definition)];
        (
            Code::FailedPrecondition,
            "SCHEMA_TYPE_ERROR".to_owned(),
            message,
            metadata,
        )
    };
    let unknown_member = |member: &str| {
        let message = format!("relation/permission `{member}` not found under definition `doc`");
        let metadata = vec![
            pair("definition_name", "doc"),
            pair("relation_or_permission_name", member),
        ];
        let reason = "UNKNOWN_RELATION_OR_PERMISSION".to_owned();
        (Code::FailedPrecondition, reason, message, metadata)
    };
    assert_eq!(
        told(&computable(&client, "nosuch", "viewer").await.unwrap_err()),
        unknown("nosuch")
    );
    assert_eq!(
        told(&computable(&client, "", "").await.unwrap_err()),
        unknown("")
    );
    assert_eq!(
        told(&computable(&client, "doc", "nosuch").await.unwrap_err()),
        unknown_member("nosuch")
    );
    assert_eq!(
        told(&dependent(&client, "nosuch", "view").await.unwrap_err()),
        unknown("nosuch")
    );
    assert_eq!(
        told(&dependent(&client, "doc", "").await.unwrap_err()),
        unknown_member("")
    );
    assert_eq!(
        told(&dependent(&client, "doc", "viewer").await.unwrap_err()),
        (
            Code::InvalidArgument,
            "UNKNOWN_RELATION_OR_PERMISSION".to_owned(),
            "the relation `viewer` is not a permission".to_owned(),
            vec![pair("relationName", "viewer")],
        )
    );
    running.stop().await;
}

async fn diff(client: &Client, schema: &str) -> Result<Vec<Diff>, Status> {
    let request = wire::DiffSchemaRequest {
        consistency: consistency(FULL),
        comparison_schema: schema.to_owned(),
    };
    let response = client.schema().diff_schema(request).await?.into_inner();
    Ok(response
        .diffs
        .into_iter()
        .map(|each| each.diff.unwrap())
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_schema_is_compared() {
    let (running, client) = with_schema().await;
    assert_eq!(diff(&client, SCHEMA).await.unwrap(), []);
    let extended = SCHEMA.replace(
        "nothing = nil",
        "nothing = viewer\n\t// c\n\tpermission extra = viewer",
    );
    assert_eq!(
        diff(&client, &extended).await.unwrap(),
        [
            Diff::PermissionAdded(permission("doc", "extra", "// c")),
            Diff::PermissionExprChanged(permission("doc", "nothing", "")),
        ]
    );
    let narrowed = SCHEMA.replace(
        "user | user with onday | user:* with num and expiration",
        "user | user with num",
    );
    let now = relation(
        "doc",
        "viewer",
        vec![
            ("user", "", Typeref::IsTerminalSubject(false)),
            ("user", "num", Typeref::IsTerminalSubject(false)),
        ],
    );
    let change = |caveat: &str, typeref| wire::ReflectionRelationSubjectTypeChange {
        relation: Some(now.clone()),
        changed_subject_type: Some(wire::ReflectionTypeReference {
            subject_definition_name: "user".to_owned(),
            optional_caveat_name: caveat.to_owned(),
            typeref: Some(typeref),
        }),
    };
    assert_eq!(
        diff(&client, &narrowed).await.unwrap(),
        [
            Diff::RelationSubjectTypeAdded(change("num", Typeref::IsTerminalSubject(false))),
            Diff::RelationSubjectTypeRemoved(change("onday", Typeref::IsTerminalSubject(false))),
            Diff::RelationSubjectTypeRemoved(change("num", Typeref::IsPublicWildcard(true))),
        ]
    );
    let refused = diff(&client, "definition {").await.unwrap_err();
    let (code, reason, message, _) = told(&refused);
    assert_eq!(
        (code, reason.as_str(), message.as_str()),
        (
            Code::InvalidArgument,
            "SCHEMA_PARSE_ERROR",
            "parse error in `schema`, line 1, column 12: Expected identifier, found token TokenTypeLeftBrace"
        )
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_schema_is_shown_as_it_was() {
    let (running, client) = with_schema().await;
    let at = reflect(&client, Vec::new()).await.unwrap().read_at.unwrap();
    let schema = "definition user {}".to_owned();
    let request = wire::WriteSchemaRequest { schema };
    client.schema().write_schema(request).await.unwrap();
    let request = |requirement| wire::ReflectSchemaRequest {
        consistency: consistency(requirement),
        optional_filters: Vec::new(),
    };
    for (requirement, count) in [
        (Requirement::AtExactSnapshot(at.clone()), 3),
        (Requirement::AtLeastAsFresh(at.clone()), 1),
        (Requirement::MinimizeLatency(true), 1),
        (FULL, 1),
    ] {
        let shown = client
            .schema()
            .reflect_schema(request(requirement))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(shown.definitions.len(), count);
        assert_eq!(shown.read_at == Some(at.clone()), count == 3);
    }
    let wrong = Requirement::AtExactSnapshot(wire::ZedToken {
        token: "x".to_owned(),
    });
    let refused = client
        .schema()
        .reflect_schema(request(wrong))
        .await
        .unwrap_err();
    assert_eq!(refused.message(), "invalid revision requested");
    running.stop().await;
}
