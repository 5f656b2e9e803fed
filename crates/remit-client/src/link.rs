//! The way of one attempt: an endpoint, a credential, a connection; and what its failure proves.

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tower::Service;

use crate::credentials::Credentials;
use crate::endpoints::{Endpoints, Target};
use crate::error::ErrorKind;
use crate::trace::Provider;

/// What every attempt shares.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) endpoints: Endpoints,
    pub(crate) credentials: Credentials,
    pub(crate) traces: Option<Provider>,
}

/// What the generated clients send their calls through: each goes to the next endpoint, with the credential.
#[derive(Clone)]
pub struct Link {
    reach: Arc<Reach>,
    /// To there alone.
    target: Option<Target>,
}

/// Marks a status of a call that no server has seen: doing it again cannot do it twice.
#[derive(Debug)]
struct NotSent(Box<dyn StdError + Send + Sync>);

/// Marks a status of a call whose answer was lost: a server may have seen it.
#[derive(Debug)]
struct Lost(Box<dyn StdError + Send + Sync>);

/// What a failed attempt proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// No server has seen the call.
    NotSent,
    /// The server refused it, and did nothing.
    Refused,
    /// The server, or what is before it, says that it cannot answer now; what it did is not known.
    Unavailable,
    /// The connection was lost; what the server did is not known.
    Lost,
    /// The server did not accept the credential, and did nothing.
    Unauthenticated,
    /// The server failed at it; what it did is not known.
    Broken,
    /// It is an answer, and nothing was done.
    Answered,
}

impl Link {
    pub(crate) fn new(reach: Arc<Reach>) -> Self {
        Self {
            reach,
            target: None,
        }
    }

    pub(crate) fn to(reach: Arc<Reach>, target: Target) -> Self {
        Self {
            reach,
            target: Some(target),
        }
    }

    async fn send(self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let target = match self.target {
            Some(target) => target,
            None => self.reach.endpoints.pick(None).await,
        };
        let header = self.reach.credentials.header().await;
        let header = header.map_err(|error| {
            let mut status = Status::unauthenticated(error.to_string());
            status.set_source(Arc::new(NoCredential));
            status
        })?;
        if let Some(header) = header {
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        let mut channel = target.server.lines.channel(target.line);
        let endpoints = &self.reach.endpoints;
        let answered = match poll_fn(|context| channel.poll_ready(context)).await {
            Ok(()) => channel.call(request).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(response) => {
                match says_unavailable(response.headers()) {
                    true => endpoints.note_failure(&target.server),
                    false => endpoints.note_success(&target.server),
                }
                Ok(response)
            }
            Err(error) => {
                let (status, is_closed) = status(error);
                match (is_closed, status.code()) {
                    (true, _) => endpoints.note_closed(&target.server),
                    (false, Code::Unavailable) => endpoints.note_failure(&target.server),
                    // It was late, which whoever waited says.
                    (false, _) => {}
                }
                Err(status)
            }
        }
    }
}

/// Marks a status of a call for which there was no credential.
#[derive(Debug, thiserror::Error)]
#[error("there is no credential to call with")]
struct NoCredential;

/// A server's own status, where it has nothing but that to say.
fn says_unavailable(headers: &HeaderMap) -> bool {
    let status = headers.get(Status::GRPC_STATUS);
    status.is_some_and(|status| status.as_bytes() == b"14")
}

/// What the failure of a connection means, with what it proves about the call; and whether it was only closed.
fn status(error: tonic::transport::Error) -> (Status, bool) {
    let (mut is_unreachable, mut is_closed) = (false, false);
    let mut next: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(cause) = next {
        if cause.is::<TimeoutExpired>() {
            let status = Status::deadline_exceeded("the deadline passed before an answer");
            return (status, false);
        }
        // hyper says canceled of what it has not begun to send: the connection was closed before.
        let is_canceled = |error: &hyper::Error| error.is_canceled();
        is_unreachable |= cause.is::<ConnectError>();
        is_closed |= cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(is_canceled);
        next = cause.source();
    }
    let text = chain(&error);
    let (what, source): (_, Arc<dyn StdError + Send + Sync>) = match is_unreachable || is_closed {
        true => ("cannot connect", Arc::new(NotSent(error.into()))),
        false => ("the connection was lost", Arc::new(Lost(error.into()))),
    };
    let mut status = Status::unavailable(format!("{what}: {text}"));
    status.set_source(source);
    (status, is_closed && !is_unreachable)
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        next = cause.source();
    }
    text
}

impl Proof {
    /// What is proven by the failure of a call.
    pub(crate) fn of(status: &Status) -> Self {
        if let Some(source) = status.source() {
            if source.is::<NotSent>() {
                return Self::NotSent;
            }
            if source.is::<NoCredential>() {
                return Self::Answered;
            }
            // What else carries a cause was made here, of what was left of a connection: its code, too.
            if status.code() != Code::DeadlineExceeded {
                return Self::Lost;
            }
        }
        match status.code() {
            Code::Unavailable => Self::Unavailable,
            Code::ResourceExhausted | Code::Aborted => Self::Refused,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::DataLoss => Self::Broken,
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented => Self::Answered,
        }
    }
}

/// The failure that a status means: what was made here of a lost connection, or of no credential, is told from a server's answers.
pub(crate) fn error(status: Status) -> crate::Error {
    let is_ours = |source: &(dyn StdError + 'static)| source.is::<NoCredential>();
    let has_no_credential = status.source().is_some_and(is_ours);
    let proof = Proof::of(&status);
    let error = crate::Error::of(status);
    match proof {
        Proof::Lost | Proof::NotSent => error.with_kind(ErrorKind::Unavailable),
        _ if has_no_credential => error.with_kind(ErrorKind::Credential),
        Proof::Refused
        | Proof::Unavailable
        | Proof::Unauthenticated
        | Proof::Broken
        | Proof::Answered => error,
    }
}

impl Service<Request<Body>> for Link {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    /// At once: what there is to wait for is waited for in the call.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    /// A call that is made by hand is asked about its trace here, where its caller is; others have been.
    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let (None, Some(traces)) = (&self.target, &self.reach.traces) {
            traces.put(request.headers_mut());
        }
        Box::pin(self.clone().send(request))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self
            .target
            .as_ref()
            .map(|target| target.server.name.as_str());
        f.debug_struct("Link")
            .field("to", &to)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call was not sent")
    }
}

impl StdError for NotSent {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.0.as_ref())
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was lost")
    }
}

impl StdError for Lost {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.0.as_ref())
    }
}

/// The status of an answer that ended before it was whole.
pub(crate) fn cut() -> Status {
    let mut status = Status::unavailable("the answer ended before it was whole");
    let cause = "it has no status at its end";
    status.set_source(Arc::new(Lost(cause.into())));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: [Code; 9] = [
        Code::Unavailable,
        Code::Unknown,
        Code::Internal,
        Code::Cancelled,
        Code::ResourceExhausted,
        Code::PermissionDenied,
        Code::Aborted,
        Code::Unauthenticated,
        Code::InvalidArgument,
    ];

    fn caused(code: Code, by: Arc<dyn StdError + Send + Sync>) -> Status {
        let mut status = Status::new(code, "it broke");
        status.set_source(by);
        status
    }

    /// A connection that is ended for being too busy is a `RESOURCE_EXHAUSTED`, which would be a server's refusal.
    #[test]
    fn what_was_left_of_a_connection_is_no_answer_whatever_its_code() {
        for code in CODES {
            let cause = Arc::new(std::io::Error::other("the connection was ended"));
            let status = caused(code, cause);
            assert_eq!(Proof::of(&status), Proof::Lost, "{code:?}");
            assert_eq!(error(status).kind(), ErrorKind::Unavailable, "{code:?}");
            let not_sent = caused(code, Arc::new(NotSent("closed".into())));
            assert_eq!(Proof::of(&not_sent), Proof::NotSent, "{code:?}");
            let no_credential = caused(code, Arc::new(NoCredential));
            assert_eq!(Proof::of(&no_credential), Proof::Answered, "{code:?}");
            assert_ne!(Proof::of(&Status::new(code, "no")), Proof::Lost, "{code:?}");
        }
    }

    #[test]
    fn what_was_late_may_have_been_done() {
        let late = Status::deadline_exceeded("late");
        assert_eq!(Proof::of(&late), Proof::Broken);
        let late = caused(Code::DeadlineExceeded, Arc::new(TimeoutExpired(())));
        assert_eq!(Proof::of(&late), Proof::Broken);
    }
}
