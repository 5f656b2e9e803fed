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

use crate::http_client::{Http, post};
use crate::kubernetes::review;
use crate::life::{SCHEMA, touch};
use crate::running::{KEY, Running, start_with_rules, write_schema};

/// Operations that anybody who was let in may call: a token leaves whoever mints it a part of what it has. The list may only shrink.
const OPEN: [&str; 1] = ["remit.v1.TokenService.Mint"];

/// A token of a store that is all zeros.
const STRANGE_TOKEN: &str = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Operations that are asked for without saying of what.
const OF_NOTHING: [&str; 18] = [
    "ExportBulkRelationships",
    "BulkExportRelationships",
    "Watch",
    "ReadSchema",
    "ReflectSchema",
    "ExperimentalReflectSchema",
    "Digest",
    "ReadState",
    "FollowHead",
    "ReadLog",
    "AskHead",
    "AskTime",
    "ListLocks",
    "ListKeys",
    "GetAuditState",
    "SearchAudit",
    "ReadAuditEntries",
    "ListAuditCheckpoints",
];

/// A request for each operation, which the administrator gets through.
fn request(method: &str) -> Value {
    let doc = json!({ "objectType": "doc", "objectId": "a" });
    let user = json!({ "object": { "objectType": "user", "objectId": "ann" } });
    let relationship = json!({ "resource": doc, "relation": "viewer", "subject": user });
    let touch = json!([{ "operation": "OPERATION_TOUCH", "relationship": relationship }]);
    let question = json!({ "resource": doc, "permission": "view", "subject": user });
    let of_doc = json!({ "resourceType": "doc" });
    match method {
        "CheckPermission" | "Explain" | "Replay" => question,
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
        method if OF_NOTHING.contains(&method) => json!({}),
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
        // Of Envoy.
        "Check" => json!({ "attributes": { "request": { "http": {
            "method": "GET", "path": "/docs/a", "host": "app.example.org",
        } } } }),
        // Of another store: that it is not known is an answer.
        "VerifyToken" => json!({ "token": { "token": STRANGE_TOKEN } }),
        "Mint" => json!({ "lifeSeconds": "60" }),
        "CreateKey" | "RevokeKey" => json!({ "name": "made" }),
        other => of_audit(other, &user["object"]),
    }
}

/// A request for an operation on the audit log.
fn of_audit(method: &str, user: &Value) -> Value {
    match method {
        "ProveAudit" => json!({ "size": "1", "index": "0" }),
        "EraseFromAudit" => json!({ "subject": user, "reason": "TICKET-1", "dryRun": true }),
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
async fn message(running: &Running, method: &MethodDescriptor) -> DynamicMessage {
    let input = method.input();
    let mut fields = request(method.name());
    if method.name() == "Replay" {
        let newest = ops::Consistency::MinimizeLatency;
        let view = running.node.view(newest).await.unwrap();
        fields["at"] = json!({ "token": view.token.to_string() });
        fields["now"] = json!(view.now.to_string());
    }
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
    let message = message(running, method).await;
    prost::Message::encode(&message, &mut bytes).unwrap();
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

/// By which a proxy asks whether ann may view.
const RULES: &str = r#"
routes:
  - name: read
    path: /docs/{id}
    checks: [{resource: "doc:${params.id}", permission: view, subject: "user:ann"}]
"#;

/// With an administrator, and somebody who holds nothing.
async fn enforced() -> Running {
    let rules = edge::Rules::read("rules.yaml", RULES).unwrap();
    let running = start_with_rules(server::Edge::new(rules)).await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
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
        // What a proxy is told may reach whoever asked it, so that it is told no reason.
        let is_untold = name == "envoy.service.auth.v3.Authorization.Check"
            && status.code() == Code::FailedPrecondition
            && status.message().contains("no answer");
        assert!(
            is_untold || is_refusal(status.code(), status.message()),
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
        let body = serde_json::to_string(&message(&running, &method).await).unwrap();
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
    let mut others = served.difference(&asked).filter(|path| {
        **path != "/healthz" && !path.starts_with("/edge/") && !path.starts_with("/audit/")
    });
    let is_asked = |path: &&str| standard(path).is_some() || is_of_kubernetes(path);
    assert!(others.all(is_asked), "{served:?}");
    running.stop().await;
}

/// A request to an API that no descriptor annotates, and what is told to somebody who may not; none for a path that is not known.
fn standard(path: &str) -> Option<(Value, Value)> {
    let ann = json!({ "type": "user", "id": "ann" });
    let doc = json!({ "type": "doc", "id": "a" });
    let view = json!({ "name": "view" });
    let question = json!({ "subject": ann, "action": view, "resource": doc });
    let not_there =
        json!({ "error": { "status": 404, "message": "object definition `doc` not found" } });
    let denied = json!({ "decision": false, "context": not_there });
    let nothing = json!({ "results": [] });
    match path {
        "/access/v1/evaluation" => Some((question, denied)),
        "/access/v1/evaluations" => {
            let batch =
                json!({ "subject": ann, "action": view, "evaluations": [{ "resource": doc }] });
            Some((batch, json!({ "evaluations": [denied] })))
        }
        "/access/v1/search/subject" | "/access/v1/search/resource" | "/access/v1/search/action" => {
            Some((question, nothing))
        }
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_standard_tells_nothing_to_somebody_who_may_not() {
    let running = enforced().await;
    let mut http = Http::to(&running).await;
    let document = http.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap().keys();
    let standards: Vec<_> = paths
        .filter_map(|path| Some((path, standard(path)?)))
        .collect();
    assert_eq!(standards.len(), 5);
    for (path, (body, told)) in standards {
        let mut request = post(path, &body);
        let headers = request.headers_mut();
        headers.insert("authorization", "Bearer second-key".parse().unwrap());
        let answer = http.ask(request).await;
        assert_eq!((answer.code, answer.json()), (200, told.clone()), "{path}");
        // It is the caller that was refused, and not the request.
        assert_ne!(http.well(path, &body).await, told, "{path}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_may_not_check_lets_nothing_pass() {
    let running = enforced().await;
    let mut http = Http::to(&running).await;
    let document = http.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap().keys();
    let paths: Vec<_> = paths.filter(|path| path.starts_with("/edge/")).collect();
    assert_eq!(paths.len(), 2);
    for path in paths {
        let path = path.replace("{path}", "docs/a");
        for (key, code) in [(KEY, 200), ("second-key", 403)] {
            let request = hyper::Request::get(&path)
                .header("host", "app.example.org")
                .header("remit-authorization", format!("Bearer {key}"))
                .header("x-forwarded-method", "GET")
                .header("x-forwarded-host", "app.example.org")
                .header("x-forwarded-uri", "/docs/a")
                .body(crate::http_client::text(""))
                .unwrap();
            assert_eq!(http.ask(request).await.code, code, "{path} {key}");
        }
    }
    running.stop().await;
}

fn is_of_kubernetes(path: &str) -> bool {
    path.starts_with("/kubernetes/v1/authorize")
}

/// The checkpoint and the tiles of the audit log.
#[tokio::test(flavor = "multi_thread")]
async fn the_tiles_of_the_audit_log_are_for_auditors() {
    let running = enforced().await;
    let mut http = Http::to(&running).await;
    let ask = |path: &str, key: &str| {
        hyper::Request::get(path)
            .header("authorization", format!("Bearer {key}"))
            .body(crate::http_client::text(""))
            .unwrap()
    };
    // Nothing signs here, so that there is no checkpoint.
    for (path, code) in [
        ("/audit/checkpoint", 404),
        ("/audit/tile/0/000.p/3", 200),
        ("/audit/tile/0/000.p/200", 404),
        ("/audit/tile/entries/000", 404),
        ("/audit/elsewhere", 404),
    ] {
        let (head, body) = http.send(ask(path, KEY)).await.into_parts();
        let bytes = http_body_util::BodyExt::collect(body).await.unwrap();
        assert_eq!(head.status, code, "{path}");
        if code == 200 {
            assert_eq!(bytes.to_bytes().len(), 3 * 32, "{path}");
        }
        assert_eq!(http.ask(ask(path, "second-key")).await.code, 403, "{path}");
    }
    running.stop().await;
}

/// An answer without an opinion would let others decide whom a ban that was not looked at is to stop.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_may_not_ask_gets_no_answer() {
    let running = enforced().await;
    let mut http = Http::to(&running).await;
    let schema = kubernetes::schema::merged(SCHEMA).unwrap();
    http.well("/v1/schema/write", json!({ "schema": schema }))
        .await;
    let document = http.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap().keys();
    let paths: Vec<_> = paths.filter(|path| is_of_kubernetes(path)).collect();
    assert_eq!(paths.len(), 2);
    let body =
        review(&json!({ "user": "ann", "nonResourceAttributes": { "path": "/", "verb": "get" } }));
    for path in paths {
        let path = path.replace("{cluster}", "main");
        let mut request = post(&path, &body);
        let headers = request.headers_mut();
        headers.insert("authorization", "Bearer second-key".parse().unwrap());
        let answer = http.ask(request).await;
        let told = answer.json();
        let message = "object definition `kubernetes/cluster` not found";
        assert_eq!(
            (answer.code, &told["message"]),
            (400, &json!(message)),
            "{path}"
        );
        // It is the caller that was refused, and not the request.
        let well = http.well(&path, &body).await;
        assert_eq!(well["status"]["allowed"], false);
        assert_eq!(well["status"]["reason"], "no relationship grants this");
    }
    running.stop().await;
}
