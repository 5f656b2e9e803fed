//! Calls that are refused because there is too much to do, and how that is told: at once, by name, and when to come back.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::class::Class;

/// The domain of the reasons below, which are not those of the authzed API.
const DOMAIN: &str = "remit";
/// When to come back where it is not known: not at once, nor all at the same time.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Why a call was refused. Nothing was done of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// The caller asks for more than it may in the time.
    Rate {
        /// When there is room again.
        after: Duration,
    },
    /// The caller has as many calls under way as it may.
    Concurrency,
    /// As many calls of the class wait as may.
    Full,
    /// It would not have its turn in time.
    NotInTime {
        /// How long it would wait.
        wait: Duration,
    },
    /// It waited for its turn for as long as a call may.
    Waited,
    /// There is too little memory for what it would take.
    Memory,
}

/// What a refused call is answered with over HTTP, whatever the protocol makes of it.
#[derive(Debug, Clone)]
pub(crate) struct RefusedOverHttp {
    code: StatusCode,
    after: HeaderValue,
}

impl Refusal {
    /// As labels of metrics name it.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Rate { .. } => "rate",
            Self::Concurrency => "concurrency",
            Self::Full => "full",
            Self::NotInTime { .. } => "not_in_time",
            Self::Waited => "waited",
            Self::Memory => "memory",
        }
    }

    /// The name of the reason, for programs: what is the caller's own doing, and what is not.
    const fn reason(self) -> &'static str {
        match self {
            Self::Rate { .. } | Self::Concurrency => "QUOTA_EXCEEDED",
            Self::Full | Self::NotInTime { .. } | Self::Waited => "OVERLOADED",
            Self::Memory => "MEMORY_LOW",
        }
    }

    const fn http_code(self) -> StatusCode {
        match self {
            Self::Rate { .. } | Self::Concurrency => StatusCode::TOO_MANY_REQUESTS,
            Self::Full | Self::NotInTime { .. } | Self::Waited | Self::Memory => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn message(self, class: Class) -> String {
        let class = class.text();
        match self {
            Self::Rate { .. } => {
                "this caller asks for more than its rate allows; ask for less, or later".to_owned()
            }
            Self::Concurrency => {
                "this caller has as many calls under way as it may; wait for some of them"
                    .to_owned()
            }
            Self::Full => format!("too many calls of class `{class}` wait; try again later"),
            Self::NotInTime { wait } => format!(
                "a call of class `{class}` waits for some {} ms, longer than this one may take; try again later",
                wait.as_millis()
            ),
            Self::Waited => format!(
                "the call waited for its turn among those of class `{class}` for as long as it may; try again later"
            ),
            Self::Memory => format!(
                "this node is short of memory for calls of class `{class}`; try another, or later"
            ),
        }
    }

    fn after(self) -> Duration {
        let after = match self {
            Self::Rate { after } => after.max(Duration::from_millis(1)),
            Self::NotInTime { wait } => wait.max(PAUSE),
            Self::Concurrency | Self::Full | Self::Waited => PAUSE,
            Self::Memory => PAUSE.saturating_mul(5),
        };
        // Between one and one and a half times as long, so that not all come back at once.
        let random = RandomState::new().hash_one(()) % 512;
        let more = after.as_micros().saturating_mul(u128::from(random)) / 1_024;
        let more = Duration::from_micros(u64::try_from(more).unwrap_or(u64::MAX));
        after.saturating_add(more).min(PAUSE_MAX)
    }

    /// The answer to a call of `class`.
    pub(crate) fn into_http(self, class: Class) -> Response<Body> {
        let after = self.after();
        let mut details = ErrorDetails::with_error_info(
            self.reason(),
            DOMAIN,
            [("class".to_owned(), class.text().to_owned())],
        );
        details.set_retry_info(Some(after));
        let message = self.message(class);
        let status = Status::with_error_details(Code::ResourceExhausted, message, details);
        let mut response = status.into_http();
        let seconds = after.as_millis().div_ceil(1_000).max(1);
        let after = HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX));
        response.headers_mut().insert(RETRY_AFTER, after.clone());
        response.extensions_mut().insert(RefusedOverHttp {
            code: self.http_code(),
            after,
        });
        response
    }
}

impl RefusedOverHttp {
    /// Puts it on the answer that a protocol gave.
    pub(crate) fn put(refused: Option<&Self>, response: &mut Response<Body>) {
        if let Some(Self { code, after }) = refused {
            *response.status_mut() = *code;
            response.headers_mut().insert(RETRY_AFTER, after.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_and_when_to_come_back() {
        let second = Duration::from_secs(1);
        for (refusal, reason, http) in [
            (Refusal::Rate { after: second }, "QUOTA_EXCEEDED", 429),
            (Refusal::Concurrency, "QUOTA_EXCEEDED", 429),
            (Refusal::Full, "OVERLOADED", 503),
            (Refusal::NotInTime { wait: second }, "OVERLOADED", 503),
            (Refusal::Waited, "OVERLOADED", 503),
            (Refusal::Memory, "MEMORY_LOW", 503),
        ] {
            let response = refusal.into_http(Class::Bulk);
            let status = Status::from_header_map(response.headers()).unwrap();
            assert_eq!(status.code(), Code::ResourceExhausted);
            let info = status.get_details_error_info().unwrap();
            assert_eq!(
                (info.reason.as_str(), info.domain.as_str()),
                (reason, "remit")
            );
            let retry = status
                .get_details_retry_info()
                .unwrap()
                .retry_delay
                .unwrap();
            assert!(
                retry >= Duration::from_millis(200) && retry <= PAUSE_MAX,
                "{retry:?}"
            );
            let seconds: u64 = response.headers()[RETRY_AFTER]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!((1..=2).contains(&seconds), "{seconds}");
            let mut other = Response::new(Body::empty());
            RefusedOverHttp::put(response.extensions().get(), &mut other);
            assert_eq!(other.status(), http);
        }
    }
}
