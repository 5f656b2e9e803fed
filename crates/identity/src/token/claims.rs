//! The claims of a token, read one by one.

use model::Timestamp;
use serde_json::Value;

use super::error::TokenError;
use model::json::Object;

/// The claims of a token whose signature was verified.
pub(crate) struct Claims<'a>(pub(crate) &'a Object);

/// How exactly times are taken, and how long a token may live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// How far the clocks of issuer and server may be apart.
    pub(crate) leeway_seconds: u32,
    pub(crate) lifetime_seconds_max: u32,
}

const MICROS: i64 = 1_000_000;

impl<'a> Claims<'a> {
    /// A claim that is a text, if it is there.
    pub(crate) fn text(&self, claim: &str) -> Result<Option<&'a str>, TokenError> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_),
            ) => Err(of_wrong_type(claim, "a text")),
        }
    }

    /// A claim that has to be there.
    pub(crate) fn required(&self, claim: &str) -> Result<&'a str, TokenError> {
        self.text(claim)?.ok_or_else(|| missing(claim))
    }

    /// Whether `aud` names one of `audiences`.
    pub(crate) fn is_for(&self, audiences: &[String]) -> Result<(), TokenError> {
        let is_ours = |name: &Value| {
            let name = name.as_str();
            name.is_some_and(|name| audiences.iter().any(|ours| ours == name))
        };
        let is_for = match self.0.get("aud") {
            None => return Err(missing("aud")),
            Some(Value::Array(names)) => names.iter().any(is_ours),
            Some(
                name @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Object(_)),
            ) => is_ours(name),
        };
        if is_for {
            Ok(())
        } else {
            Err(TokenError::Audience)
        }
    }

    /// Until when the token is good, leeway included.
    pub(crate) fn valid_until(
        &self,
        window: Window,
        now: Timestamp,
    ) -> Result<Timestamp, TokenError> {
        let leeway = i64::from(window.leeway_seconds) * MICROS;
        let expires = self.instant("exp")?.ok_or_else(|| missing("exp"))?;
        let until = expires.saturating_add_micros(leeway);
        if until <= now {
            return Err(TokenError::Expired { at: expires });
        }
        let issued = self.instant("iat")?;
        for from in [self.instant("nbf")?, issued].into_iter().flatten() {
            if from > now.saturating_add_micros(leeway) {
                return Err(TokenError::NotYetValid { at: from });
            }
        }
        // One that does not say when it began did so now at the latest.
        let begun = issued.unwrap_or(now);
        let lifetime = i64::from(window.lifetime_seconds_max) * MICROS;
        if expires > begun.saturating_add_micros(lifetime) {
            let seconds_max = window.lifetime_seconds_max;
            return Err(TokenError::LivesTooLong { seconds_max });
        }
        Ok(until)
    }

    /// A claim that is a number of seconds since 1970, whole or not.
    fn instant(&self, claim: &str) -> Result<Option<Timestamp>, TokenError> {
        let Some(value) = self.0.get(claim) else {
            return Ok(None);
        };
        let micros = match (value.as_i64(), value.as_f64()) {
            (Some(seconds), _) => seconds.checked_mul(MICROS),
            // A float in the range of our times is exact to the microsecond or nearly so.
            (None, Some(seconds)) if (0.0..1e12).contains(&seconds) => Some((seconds * 1e6) as i64),
            (None, Some(_) | None) => None,
        };
        let instant = micros.and_then(|micros| Timestamp::from_micros(micros).ok());
        let instant = instant.filter(|instant| *instant >= Timestamp::EPOCH);
        let wrong = || of_wrong_type(claim, "a time in seconds since 1970");
        instant.ok_or_else(wrong).map(Some)
    }

    /// What a claim lists: the words of a text, or the texts of a list.
    pub(crate) fn list(claim: &str, value: &'a Value) -> Result<Vec<&'a str>, TokenError> {
        let wrong = || of_wrong_type(claim, "a list of texts or a text of words");
        match value {
            Value::String(words) => Ok(words.split_ascii_whitespace().collect()),
            Value::Array(texts) => {
                let texts: Option<Vec<&str>> = texts.iter().map(Value::as_str).collect();
                texts.ok_or_else(wrong)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong()),
        }
    }
}

pub(super) fn missing(claim: &str) -> TokenError {
    TokenError::MissingClaim {
        claim: claim.to_owned(),
    }
}

pub(super) fn of_wrong_type(claim: &str, expected: &'static str) -> TokenError {
    TokenError::Claim {
        claim: claim.to_owned(),
        expected,
    }
}
