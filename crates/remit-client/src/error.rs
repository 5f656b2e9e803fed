//! Why a call failed, in terms that tell the caller what to do. A failure is never a decision.

use std::error::Error as StdError;
use std::fmt;

use tonic::{Code, Status};

/// A call that failed. Nothing makes an allow, or any other `bool`, of it.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    status: Option<Box<Status>>,
}

/// What a caller can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Mend the request.
    Invalid,
    /// Say who you are, or with another credential; it may have ended.
    Unauthenticated,
    /// Your service may not ask this: let an administrator give it the right.
    Forbidden,
    /// What was asked for is not there.
    NotFound,
    /// What was to be made is there already.
    AlreadyExists,
    /// The state does not allow it: a name that the schema lacks, a precondition that fails.
    FailedPrecondition,
    /// The revision is no longer kept, or was never made; take a newer token.
    RevisionGone,
    /// Something else changed meanwhile; try again.
    Conflict,
    /// The server, or a limit of this client, has no room; try again later, or ask for less.
    Overloaded,
    /// Nobody answers, and what was asked was not done, or asking again is harmless.
    Unavailable,
    /// The deadline passed before an answer; a write may yet be applied.
    DeadlineExceeded,
    /// A write may have been applied or not: read, or send it again with the same idempotency key.
    OutcomeUnknown,
    /// The server does not have the call.
    Unimplemented,
    /// No credential could be had to call with.
    Credential,
    /// The answer is none that this client understands.
    Malformed,
    /// The call was cancelled, or the server failed.
    Internal,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            status: None,
        }
    }

    pub(crate) fn malformed(what: &str) -> Self {
        Self::new(
            ErrorKind::Malformed,
            format!("the server's answer makes no sense: {what}"),
        )
    }

    /// The failure that a server's status means.
    pub(crate) fn of(status: Status) -> Self {
        Self {
            kind: kind(status.code()),
            message: status.message().to_owned(),
            status: Some(Box::new(status)),
        }
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) fn with_note(mut self, note: &str) -> Self {
        self.message = format!("{} ({note})", self.message);
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the server said, with its details, if it was the server that said so.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        self.status.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.status.as_deref().map(|status| status as _)
    }
}

/// For a handler of tonic: the service that asked learns that it cannot be answered now, and no more.
impl From<Error> for Status {
    fn from(_: Error) -> Self {
        Self::unavailable(UNDECIDED)
    }
}

/// What a protected service tells its callers where no decision came about.
pub(crate) const UNDECIDED: &str = "it could not be decided whether this is allowed; try again";

fn kind(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument => ErrorKind::Invalid,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::Forbidden,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::FailedPrecondition => ErrorKind::FailedPrecondition,
        Code::OutOfRange => ErrorKind::RevisionGone,
        Code::Aborted => ErrorKind::Conflict,
        Code::ResourceExhausted => ErrorKind::Overloaded,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Code::Unimplemented => ErrorKind::Unimplemented,
        // An OK where there should be an error is one that nobody understands.
        Code::Ok => ErrorKind::Malformed,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => ErrorKind::Internal,
    }
}
