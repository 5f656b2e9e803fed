//! Checks as Envoy asks for them: the attributes of a request, of which the rules of the server make the question.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use remit_proto::envoy::config::core::v3::Metadata;
use remit_proto::envoy::service::auth::v3 as auth;
use remit_proto::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use super::asking::Header;
use super::calls::item;
use crate::workload::Question;

/// The rules: what the route of Envoy and a verified token say, and the path.
pub(super) const RULES: &str = r#"
jwt_payload: verified
routes:
  - name: health
    path: /healthz
    allow: true
    reason: load balancers ask
  - name: object
    host: api.example.org
    methods: [GET, HEAD]
    path: /objects/{id}
    checks:
      - resource: ${extensions.resource_type}:${params.id}
        permission: ${extensions.permission}
        subject: ${claims.kind}:${claims.sub}
    upstream:
      set: {x-user: "${claims.sub}"}
"#;

/// The client of the service.
pub(super) type Client = AuthorizationClient<InterceptedService<Channel, Header>>;

pub(super) fn client(channel: Channel, header: Header) -> Client {
    AuthorizationClient::with_interceptor(channel, header)
}

/// Requests of which the rules make what `questions` ask; those with a context have none.
pub(super) fn requests(questions: &[Question]) -> Vec<auth::CheckRequest> {
    let plain = questions.iter().filter(|it| it.context.is_empty());
    plain.map(request).collect()
}

/// Asks about one request, which has to be judged.
pub(super) async fn ask(client: &mut Client, request: auth::CheckRequest) -> Result<(), Status> {
    use auth::check_response::HttpResponse;
    let answer = client.check(request).await?.into_inner();
    match answer.http_response {
        Some(HttpResponse::OkResponse(_)) => Ok(()),
        // Of a check that denies; what is not so is a fault of the rules.
        Some(HttpResponse::DeniedResponse(denied)) if denied.body == "denied\n" => Ok(()),
        Some(HttpResponse::DeniedResponse(denied)) => Err(Status::unknown(denied.body)),
        None => Err(Status::unknown("no verdict")),
    }
}

fn request(question: &Question) -> auth::CheckRequest {
    let item = item(question);
    let resource = item.resource.unwrap_or_default();
    let subject = item.subject.and_then(|it| it.object).unwrap_or_default();
    let path = format!("/objects/{}?view=full", encoded(&resource.object_id));
    let headers = [
        (":authority", "api.example.org"),
        (":method", "GET"),
        (":path", &path),
        (":scheme", "https"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
        ),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "11111111-2222-4333-8444-555555555555"),
    ];
    let texts = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let http = auth::attribute_context::HttpRequest {
        method: "GET".to_owned(),
        headers: texts(&headers),
        path: path.clone(),
        host: "api.example.org".to_owned(),
        scheme: "https".to_owned(),
    };
    let claims = [
        ("iss", "https://idp.example.org"),
        ("aud", "objects"),
        ("scope", "objects:read"),
        ("kind", &subject.object_type),
        ("sub", &subject.object_id),
    ];
    let extensions = [
        ("resource_type", resource.object_type.as_str()),
        ("permission", &item.permission),
    ];
    auth::CheckRequest {
        attributes: Some(auth::AttributeContext {
            source: None,
            request: Some(auth::attribute_context::Request { http: Some(http) }),
            context_extensions: texts(&extensions),
            metadata_context: Some(verified(&claims)),
            route_metadata_context: None,
        }),
    }
}

/// Claims as the filter of Envoy keeps them.
fn verified(claims: &[(&str, &str)]) -> Metadata {
    let claims = claims.iter().map(|(name, text)| {
        let kind = Some(Kind::StringValue((*text).to_owned()));
        ((*name).to_owned(), Value { kind })
    });
    let claims = Struct {
        fields: claims.collect(),
    };
    let kept = Value {
        kind: Some(Kind::StructValue(claims)),
    };
    let kept = Struct {
        fields: BTreeMap::from([("verified".to_owned(), kept)]),
    };
    Metadata {
        filter_metadata: HashMap::from([("envoy.filters.http.jwt_authn".to_owned(), kept)]),
    }
}

/// An id as a segment of a path.
fn encoded(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
