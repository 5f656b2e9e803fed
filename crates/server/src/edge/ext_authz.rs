//! `envoy.service.auth.v3.Authorization`: what Envoy asks over gRPC.

use edge::{Denial, Upstream};
use identity::Authorization;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use remit_proto::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use remit_proto::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use remit_proto::envoy::service::auth::v3::authorization_server::Authorization as AuthorizationService;
use remit_proto::envoy::service::auth::v3::check_response::HttpResponse;
use remit_proto::envoy::service::auth::v3::{
    CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use remit_proto::envoy::r#type::v3::HttpStatus;
use remit_proto::google::rpc;
use tonic::{Code, Request, Response, Status};

use super::facts::OfEnvoy;
use super::judge::{Asking, Judge, Judged, Told};
use crate::caller;
use crate::metadata::REQUEST_ID;

/// The service.
#[derive(Debug)]
pub(crate) struct ExtAuthz {
    judge: Judge,
}

impl ExtAuthz {
    pub(crate) fn new(judge: Judge) -> Self {
        Self { judge }
    }
}

#[tonic::async_trait]
impl AuthorizationService for ExtAuthz {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let caller = caller(&request)?;
        let (metadata, _, request) = request.into_parts();
        let id = metadata.get(REQUEST_ID.as_str());
        let attributes = request.attributes;
        let attributes = attributes
            .ok_or_else(|| Status::invalid_argument("the request has no `attributes`"))?;
        let facts = OfEnvoy::new(attributes);
        let asking = Asking {
            caller: &caller,
            id: id.and_then(|id| id.to_str().ok()).unwrap_or_default(),
            end_user: match facts.authorization() {
                Some(header) => Authorization::One(header),
                None => Authorization::None,
            },
        };
        let judged = self.judge.judge(&asking, &facts).await?;
        Ok(Response::new(to_wire(judged)))
    }
}

fn to_wire(judged: Judged) -> CheckResponse {
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let fields = [
        ("route".to_owned(), text(&judged.route)),
        ("outcome".to_owned(), text(judged.outcome.text())),
    ];
    let (code, response) = match judged.told {
        Told::Pass(upstream) => (Code::Ok, passed(upstream)),
        Told::Deny(denial) => denied(denial),
    };
    CheckResponse {
        status: Some(rpc::Status {
            code: code.into(),
            message: String::new(),
            details: Vec::new(),
        }),
        http_response: Some(response),
        dynamic_metadata: Some(Struct {
            fields: fields.into(),
        }),
    }
}

fn passed(upstream: Upstream) -> HttpResponse {
    HttpResponse::OkResponse(OkHttpResponse {
        headers: headers(upstream.set),
        headers_to_remove: upstream.remove,
    })
}

fn denied(denial: Denial) -> (Code, HttpResponse) {
    let code = match denial.status {
        401 => Code::Unauthenticated,
        _ => Code::PermissionDenied,
    };
    let response = HttpResponse::DeniedResponse(DeniedHttpResponse {
        status: Some(HttpStatus {
            code: i32::from(denial.status),
        }),
        headers: headers(denial.headers),
        body: denial.body,
    });
    (code, response)
}

fn headers(headers: Vec<(String, String)>) -> Vec<HeaderValueOption> {
    let options = headers.into_iter().map(|(key, value)| HeaderValueOption {
        header: Some(HeaderValue { key, value }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
    });
    options.collect()
}
