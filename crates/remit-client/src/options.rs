//! What each call may say about itself: how fresh, how long, in whose name, as part of which trace.

use std::time::Duration;

use tonic::Request;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use crate::consistency::Consistency;
use crate::name::{self, NameError};
use crate::random;
use crate::trace::{TRACEPARENT, Traceparent};

/// The header that says in whose name a call is made.
const ON_BEHALF_OF: &str = "remit-on-behalf-of";

/// The header with the key by which a write is known again.
const IDEMPOTENCY_KEY: &str = "remit-idempotency-key";

/// What a call says about itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Options {
    pub(crate) consistency: Consistency,
    /// How long it may take, if not as long as the client says.
    pub(crate) deadline: Option<Duration>,
    pub(crate) principal: Option<Principal>,
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    pub(crate) traceparent: Option<Traceparent>,
}

/// A text by which a Remit server knows a write again, for as long as it keeps the log: the same write with the same key is applied
/// once, and answered the same however often it is sent. The same key with another write is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(MetadataValue<Ascii>);

/// Why a text is no idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {KEY_BYTES_MAX} visible characters of ASCII")]
pub struct IdempotencyKeyError;

/// The most bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 128;

/// In whose name a call is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Principal(MetadataValue<Ascii>);

impl Principal {
    pub(crate) fn new(text: &str) -> Result<Self, NameError> {
        name::object(text)?;
        // An object has no characters but those that a header can carry.
        let value = text
            .parse()
            .map_err(|_| NameError::Id { bytes: text.len() })?;
        Ok(Self(value))
    }
}

impl IdempotencyKey {
    /// The key of that text: an id of the order, the job or the message that the write comes from.
    ///
    /// # Errors
    /// [`IdempotencyKeyError`] for what is none.
    pub fn new(text: &str) -> Result<Self, IdempotencyKeyError> {
        let is_sane = (1..=KEY_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_sane {
            return Err(IdempotencyKeyError);
        }
        text.parse().map(Self).map_err(|_| IdempotencyKeyError)
    }

    /// A key that no other write has.
    #[must_use]
    pub fn random() -> Self {
        let text = format!("{:016x}{:016x}", random::number(), random::number());
        // Hexadecimal digits can be sent.
        let key = MetadataValue::try_from(text);
        Self(key.unwrap_or_else(|_| MetadataValue::from_static("unsendable")))
    }
}

impl Options {
    /// Puts into `metadata` what goes there.
    fn put(&self, metadata: &mut MetadataMap) {
        if let Some(principal) = &self.principal {
            metadata.insert(ON_BEHALF_OF, principal.0.clone());
        }
        if let Some(key) = &self.idempotency_key {
            metadata.insert(IDEMPOTENCY_KEY, key.0.clone());
        }
        if let Some(traceparent) = &self.traceparent {
            metadata.insert(TRACEPARENT, traceparent.value());
        }
    }

    /// The request with what goes with it.
    pub(crate) fn request<T>(&self, message: T, time_left: Option<Duration>) -> Request<T> {
        let mut request = Request::new(message);
        self.put(request.metadata_mut());
        if let Some(time_left) = time_left {
            request.set_timeout(time_left);
        }
        request
    }
}
