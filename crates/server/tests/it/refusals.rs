//! Every operation of every protocol, called by somebody who may not. The list of operations is that of the descriptors: one that is
//! added has to be added here, with a request that nothing else refuses.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use remit_client::proto::FILE_DESCRIPTOR_SET;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::remit::v1::FilterResourcesResponse;
use serde_json::{Value, json};
use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use crate::http_client::Http;
use crate::life::{SCHEMA, touch, with_schema};
use crate::running::{KEY, Running};

/// Operations that anybody who was let in may call: a token leaves whoever mints it a part of what it has. The list may only shrink.
const OPEN: [&str; 1] = ["remit.v1.TokenService.Mint"];

/// A token of a store that is all zeros.
const STRANGE_TOKEN: &str = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A request for each operation, which the administrator gets through.
fn request(method: &str) -> Value {
    let doc = json!({ "objectType": "doc", "objectId": "a" });
    let user = json!({ "object": { "objectType": "user", "objectId": "ann" } });
    let relationship = json!({ "resource": doc, "relation": "viewer", "subject": user });
    let touch = json!([{ "operation": "OPERATION_TOUCH", "relationship": relationship }]);
    let question = json!({ "resource": doc, "permission": "view", "subject": user });
    let of_doc = json!({ "resourceType": "doc" });
    match method {
        "CheckPermission" | "Explain" => question,
        "CheckBulkPermissions" | "BulkCheckPermission" => json!({ "items": [question] }),
        "ExpandPermissionTree" => json!({ "resource": doc, "permission": "view" }),
        "LookupResources" | "ListResources" => {
            json!({ "resourceObjectType": "doc", "resourceType": "doc", "permission": "view", "subject": user })
        }
        "LookupSubjects" => {
            json!({ "resource": doc, "permission": "view", "subjectObjectType": "user" })
        }
        "ListPermissions" => json!({ "resource": doc, "subject": user }),
        "FilterResources" => {
            json!({ "resourceObjectType": "doc", "resourceObjectIds": ["a"], "permission": "view", "subject": user })
        }
        "ReadRelationships" | "DeleteRelationships" => json!({ "relationshipFilter": of_doc }),
        "WriteRelationships" => json!({ "updates": touch }),
        "ImportBulkRelationships" | "BulkImportRelationships" => {
            let other = json!({ "object": { "objectType": "user", "objectId": method } });
            json!({ "relationships": [{ "resource": doc, "relation": "viewer", "subject": other }] })
        }
        "ExportBulkRelationships"
        | "BulkExportRelationships"
        | "Watch"
        | "ReadSchema"
        | "ReflectSchema"
        | "ExperimentalReflectSchema"
        | "Digest"
        | "ReadState"
        | "FollowHead"
        | "ReadLog"
        | "AskHead"
        | "AskTime"
        | "ListLocks"
        | "ListKeys" => {
            json!({})
        }
        "DeleteObject" => json!({ "object": { "objectType": "doc", "objectId": "gone" } }),
        "WriteSchema" | "PlanSchema" => json!({ "schema": SCHEMA }),
        "DiffSchema" | "ExperimentalDiffSchema" => json!({ "comparisonSchema": SCHEMA }),
        "ComputablePermissions" | "ExperimentalComputablePermissions" => {
            json!({ "definitionName": "doc", "relationName": "viewer" })
        }
        "DependentRelations" | "ExperimentalDependentRelations" => {
            json!({ "definitionName": "doc", "permissionName": "view" })
        }
        "ExperimentalRegisterRelationshipCounter" => {
            json!({ "name": "docs", "relationshipFilter": of_doc })
        }
        "ExperimentalCountRelationships" | "ExperimentalUnregisterRelationshipCounter" => {
            json!({ "name": "docs" })
        }
        "Lock" => json!({ "subject": user["object"], "reason": "lost" }),
        "Unlock" => json!({ "subject": user["object"] }),
        // Of another store: that it is not known is an answer.
        "VerifyToken" => json!({ "token": { "token": STRANGE_TOKEN } }),
        "Mint" => json!({ "lifeSeconds": "60" }),
        "CreateKey" | "RevokeKey" => json!({ "name": "made" }),
        other => {
            panic!("no request for `{other}`: add one, so that it is known that it can be refused")
        }
    }
}

/// The operations that the server has, in an order in which each finds what it needs.
fn operations() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let services: Vec<_> = pool.services().collect();
    let mut methods: Vec<MethodDescriptor> = services
        .iter()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect();
    // What is made comes before what is asked of it, and what takes it away after.
    let rank = |method: &MethodDescriptor| match method.name() {
        "ExperimentalRegisterRelationshipCounter" | "CreateKey" | "Lock" => 0,
        "ExperimentalUnregisterRelationshipCounter" | "RevokeKey" | "Unlock" => 2,
        _ => 1,
    };
    methods.sort_by_key(|method| (rank(method), method.full_name().to_owned()));
    assert!(methods.len() >= 40, "{}", methods.len());
    methods
}

/// The fields of a request that the message has: some serve several.
fn message(method: &MethodDescriptor) -> DynamicMessage {
    let input = method.input();
    let mut fields = request(method.name());
    if let Value::Object(fields) = &mut fields {
        fields.retain(|name, _| input.get_field_by_json_name(name).is_some());
    }
    DynamicMessage::deserialize(input, fields).unwrap()
}

/// Messages as bytes.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl tonic::codec::Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        use prost::bytes::Buf as _;
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length).to_vec()))
    }
}

/// How a call over gRPC ends, once its first answer is there.
async fn by_grpc(running: &Running, method: &MethodDescriptor, key: &str) -> Result<(), Status> {
    let endpoint = format!("http://{}", running.endpoint);
    let channel = tonic::transport::Endpoint::from_shared(endpoint).unwrap();
    let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
    grpc.ready().await.unwrap();
    let mut bytes = Vec::new();
    prost::Message::encode(&message(method), &mut bytes).unwrap();
    let mut request = Request::new(tokio_stream::iter([bytes]));
    let header = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", header);
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let answer = grpc
        .streaming(request, path.parse().unwrap(), Bytes)
        .await?;
    // A watch that was let through has nothing to tell yet.
    if method.name() == "Watch" {
        return Ok(());
    }
    let Some(answer) = answer.into_inner().message().await? else {
        return Ok(());
    };
    of_items(method.name(), &answer)
}

/// What is told of the items of an answer: of many questions each is refused for itself, and of a schema the rest is shown.
fn of_items(method: &str, answer: &[u8]) -> Result<(), Status> {
    let refused = match method {
        "CheckBulkPermissions" => wire::CheckBulkPermissionsResponse::decode(answer)
            .unwrap()
            .pairs
            .into_iter()
            .find_map(|pair| match pair.response.unwrap() {
                wire::check_bulk_permissions_pair::Response::Error(error) => Some(error),
                wire::check_bulk_permissions_pair::Response::Item(_) => None,
            }),
        "BulkCheckPermission" => wire::BulkCheckPermissionResponse::decode(answer)
            .unwrap()
            .pairs
            .into_iter()
            .find_map(|pair| match pair.response.unwrap() {
                wire::bulk_check_permission_pair::Response::Error(error) => Some(error),
                wire::bulk_check_permission_pair::Response::Item(_) => None,
            }),
        "FilterResources" => FilterResourcesResponse::decode(answer)
            .unwrap()
            .resources
            .into_iter()
            .find_map(|resource| resource.error),
        "ReflectSchema" => {
            let shown = wire::ReflectSchemaResponse::decode(answer).unwrap();
            return shown_of(shown.definitions.len() + shown.caveats.len());
        }
        "ExperimentalReflectSchema" => {
            let shown = wire::ExperimentalReflectSchemaResponse::decode(answer).unwrap();
            return shown_of(shown.definitions.len() + shown.caveats.len());
        }
        _ => None,
    };
    match refused {
        None => Ok(()),
        Some(error) => Err(Status::new(Code::from_i32(error.code), error.message)),
    }
}

fn shown_of(count: usize) -> Result<(), Status> {
    match count {
        0 => Err(Status::not_found("no schema has been defined")),
        _ => Ok(()),
    }
}

fn is_refusal(code: Code, message: &str) -> bool {
    let told = [
        (Code::PermissionDenied, "may not"),
        // As if it were not there.
        (Code::FailedPrecondition, "not found"),
        (Code::NotFound, "no schema has been defined"),
    ];
    told.into_iter()
        .any(|(expected, part)| code == expected && message.contains(part))
}

/// With an administrator, and somebody who holds nothing.
async fn enforced() -> Running {
    let (running, client) = with_schema().await;
    touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    let administrator = wire::WriteRelationshipsRequest {
        updates: vec![wire::RelationshipUpdate {
            operation: wire::relationship_update::Operation::Touch.into(),
            relationship: Some(server::convert::relationship_to_wire(
                &"remit/system:main#administrator@remit/key:key-1"
                    .parse()
                    .unwrap(),
            )),
        }],
        ..Default::default()
    };
    client
        .permissions()
        .write_relationships(administrator)
        .await
        .unwrap();
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_refuses_somebody_who_may_not_over_grpc() {
    let running = enforced().await;
    for method in operations() {
        let name = method.full_name();
        let outcome = by_grpc(&running, &method, "second-key").await;
        if OPEN.contains(&name) {
            // There are no token keys here, which is no refusal of the caller.
            assert!(outcome.is_err_and(|status| status.message().contains("token key")));
            continue;
        }
        let status = outcome.expect_err(name);
        assert!(
            is_refusal(status.code(), status.message()),
            "{name}: {status:?}"
        );
    }
    // It is the caller that was refused, and not the request.
    for method in operations() {
        if OPEN.contains(&method.full_name()) {
            continue;
        }
        let outcome = by_grpc(&running, &method, KEY).await;
        assert!(outcome.is_ok(), "{}: {outcome:?}", method.full_name());
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_refuses_somebody_who_may_not_over_http() {
    let running = enforced().await;
    let document: Value = {
        let mut http = Http::to(&running).await;
        http.get("/openapi.json").await.json()
    };
    let served: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut asked = BTreeSet::new();
    for method in operations() {
        let operations = document["paths"].as_object().unwrap().iter();
        let path = operations.clone().find_map(|(path, methods)| {
            let id = methods["post"]["operationId"].as_str()?;
            let service = method.parent_service().name().to_owned();
            (id == format!("{service}_{}", method.name())).then_some(path)
        });
        let Some(path) = path else {
            continue;
        };
        asked.insert(path.as_str());
        if OPEN.contains(&method.full_name()) {
            continue;
        }
        let mut http = Http::to(&running).await;
        let body = serde_json::to_string(&message(&method)).unwrap();
        let request = hyper::Request::post(path)
            .header("authorization", "Bearer second-key")
            .body(http_body_util::BodyExt::boxed_unsync(
                http_body_util::Full::from(body),
            ))
            .unwrap();
        let answer = http.ask(request).await;
        let told = answer.lines().first().cloned().unwrap_or_default();
        if answer.code == 200 && method.name().ends_with("ReflectSchema") {
            assert_eq!(
                (&told["definitions"], &told["caveats"]),
                (&json!([]), &json!([]))
            );
            continue;
        }
        let of_item = told.pointer("/pairs/0/error");
        let of_item = of_item.or(told.pointer("/resources/0/error"));
        let error = of_item.or(told.get("error")).unwrap_or(&told);
        let code = Code::from_i32(error["code"].as_i64().unwrap_or(-1) as i32);
        let message = error["message"].as_str().unwrap_or_default();
        assert!(is_refusal(code, message), "{path}: {told}");
    }
    let silent: Vec<_> = served.difference(&asked).collect();
    let open = [
        "/healthz",
        "/openapi.json",
        "/.well-known/oauth-protected-resource",
    ];
    assert!(silent.iter().all(|path| open.contains(*path)), "{silent:?}");
    running.stop().await;
}
