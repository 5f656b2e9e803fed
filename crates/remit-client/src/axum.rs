//! A handler of axum that takes [`Authorized`] cannot run without an allow.

use std::future::Future;
use std::ops::Deref;

use axum_core::extract::{FromRef, FromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use crate::authorize::{Refusal, Unasked};
use crate::check::Check;
use crate::client::Client;

/// What a handler needs, found in the head of a request: what it works on, and the checks for that.
pub trait Rule<S>: Sized + Send {
    /// Finds it, with the checks that have to be allowed, one at least.
    ///
    /// # Errors
    /// [`Unasked`] if nobody is named who asks, or what is named cannot be asked about.
    fn find(
        parts: &mut Parts,
        state: &S,
    ) -> impl Future<Output = Result<(Self, Vec<Check>), Unasked>> + Send;
}

/// What a rule has found, after all of its checks were allowed. Only that makes one.
#[derive(Debug)]
pub struct Authorized<R>(R);

impl<R> Authorized<R> {
    /// What was found.
    pub fn into_inner(self) -> R {
        self.0
    }
}

impl<R> Deref for Authorized<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.0
    }
}

impl<S, R> FromRequestParts<S> for Authorized<R>
where
    S: Send + Sync,
    R: Rule<S>,
    Client: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let (found, checks) = R::find(parts, state).await?;
        Client::from_ref(state).require_all(checks).await?;
        Ok(Self(found))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status_code(), self.to_string()).into_response()
    }
}
