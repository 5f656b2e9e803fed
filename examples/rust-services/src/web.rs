//! Documents over HTTP: what a handler needs is asked before it runs.

use axum::Router;
use axum::extract::{FromRequestParts as _, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use remit_client::{
    Authorized, Check, Client, LookupResources, Refusal, Relationship, Rule, Session, TOKEN_HEADER,
    Token, Unasked, Write,
};

use crate::USER;

/// The most documents that a list holds.
const LIST_MAX: usize = 1_000;

/// The service, with `client` to ask.
pub fn service(client: Client) -> Router {
    Router::new()
        .route("/documents", get(list))
        .route("/documents/{id}", get(read))
        .route("/documents/{id}/viewers/{user}", post(share))
        .with_state(client)
}

/// A document that who asks may view.
struct Viewed {
    id: String,
}

impl Rule<Client> for Viewed {
    async fn find(parts: &mut Parts, client: &Client) -> Result<(Self, Vec<Check>), Unasked> {
        let Path(id) = path::<String>(parts, client).await?;
        let check = Check::new(&format!("document:{id}"), "view", &user(&parts.headers)?)?;
        Ok((Self { id }, vec![seen(&parts.headers, check)]))
    }
}

/// A document that who asks may share, and with whom.
struct Shared {
    id: String,
    with: String,
}

impl Rule<Client> for Shared {
    async fn find(parts: &mut Parts, client: &Client) -> Result<(Self, Vec<Check>), Unasked> {
        let Path((id, with)) = path::<(String, String)>(parts, client).await?;
        let check = Check::new(&format!("document:{id}"), "share", &user(&parts.headers)?)?;
        Ok((Self { id, with }, vec![check]))
    }
}

/// Runs only for those who may view the document.
async fn read(document: Authorized<Viewed>) -> String {
    format!("the text of {}", document.id)
}

/// Lets another view the document, and answers with the token by which any service sees that.
async fn share(
    State(client): State<Client>,
    shared: Authorized<Shared>,
) -> Result<impl IntoResponse, StatusCode> {
    let row = format!("document:{}#viewer@user:{}", shared.id, shared.with);
    let viewer = Relationship::new(&row).map_err(|_| StatusCode::BAD_REQUEST)?;
    let written = client.write(Write::new().touch(viewer)).await;
    let token = written.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(([(TOKEN_HEADER, token.to_string())], StatusCode::NO_CONTENT))
}

/// The documents that who asks may view, one a line.
async fn list(State(client): State<Client>, headers: HeaderMap) -> Result<String, Refusal> {
    let user = user(&headers)?;
    let lookup = LookupResources::new("document", "view", &user).map_err(Unasked::from)?;
    let results = session(&client, &headers).lookup_resources(lookup);
    let found = results
        .collect(LIST_MAX)
        .await
        .map_err(Refusal::Undecided)?;
    let sure = found.into_iter().filter(|found| found.membership.is_sure());
    Ok(sure.map(|found| found.id + "\n").collect())
}

/// A session that sees what the token in the request stands for, if there is one.
fn session(client: &Client, headers: &HeaderMap) -> Session {
    let session = client.session();
    if let Some(token) = token(headers) {
        session.observe(token);
    }
    session
}

/// The check, at least as fresh as the token in the request.
fn seen(headers: &HeaderMap, check: Check) -> Check {
    match token(headers) {
        Some(token) => check.with_consistency(remit_client::Consistency::AtLeastAsFresh(token)),
        None => check,
    }
}

fn token(headers: &HeaderMap) -> Option<Token> {
    let text = headers.get(TOKEN_HEADER)?.to_str().ok()?;
    Token::new(text).ok()
}

/// Who asks, as a subject.
fn user(headers: &HeaderMap) -> Result<String, Unasked> {
    let user = headers.get(USER).and_then(|user| user.to_str().ok());
    let user = user.ok_or(Unasked::NoSubject)?;
    Ok(format!("user:{user}"))
}

/// What the path says; a path that says nothing asks for nobody's document.
async fn path<T>(parts: &mut Parts, client: &Client) -> Result<Path<T>, Unasked>
where
    T: serde::de::DeserializeOwned + Send,
{
    let path = Path::<T>::from_request_parts(parts, client).await;
    path.map_err(|_| Unasked::NoSubject)
}
