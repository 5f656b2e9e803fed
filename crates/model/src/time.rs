//! Instants, and the one way to ask for the present one.
//!
//! `now` is an argument everywhere below the operations: the engine and the store never look at a clock.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;

/// An instant in UTC, in microseconds since 1970-01-01T00:00:00Z, from year 1 to 9999.
///
/// Microseconds, since that is what every store keeps and a year 9999 ("never") has to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why something is no instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// The text is not an RFC 3339 date and time.
    #[error("`{text}` is not an RFC 3339 time such as `2027-01-31T12:00:00Z`")]
    Text {
        /// What was given, cut to 64 characters.
        text: String,
    },
    /// The instant lies outside of the years 1 to 9999.
    #[error("the time is outside of the years 1 to 9999")]
    OutOfRange,
}

impl Timestamp {
    /// The first instant: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// The last instant: 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_300_799_999_999);
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The instant that lies `micros` microseconds after the epoch.
    ///
    /// # Errors
    /// [`TimestampError::OutOfRange`] outside of the years 1 to 9999.
    pub const fn from_micros(micros: i64) -> Result<Self, TimestampError> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 {
            return Err(TimestampError::OutOfRange);
        }
        Ok(Self(micros))
    }

    /// The instant of a protobuf timestamp; nanoseconds are cut to microseconds.
    ///
    /// # Errors
    /// [`TimestampError::OutOfRange`] outside of the years 1 to 9999 or with `nanos` outside of 0 to 999,999,999.
    pub fn from_seconds(seconds: i64, nanos: i32) -> Result<Self, TimestampError> {
        if !(0..1_000_000_000).contains(&nanos) {
            return Err(TimestampError::OutOfRange);
        }
        let micros = seconds
            .checked_mul(1_000_000)
            .and_then(|micros| micros.checked_add(i64::from(nanos / 1_000)))
            .ok_or(TimestampError::OutOfRange)?;
        Self::from_micros(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, and the nanoseconds after them (0 to 999,999,999).
    #[must_use]
    pub const fn as_seconds(self) -> (i64, i32) {
        let nanos = self.0.rem_euclid(1_000_000) * 1_000;
        // PANIC: a remainder of a division by a million, times a thousand, is below a thousand million and fits.
        (self.0.div_euclid(1_000_000), nanos as i32)
    }

    /// The instant `micros` later (earlier if negative), held within [`Self::MIN`] and [`Self::MAX`].
    #[must_use]
    pub fn saturating_add_micros(self, micros: i64) -> Self {
        Self(
            self.0
                .saturating_add(micros)
                .clamp(Self::MIN.0, Self::MAX.0),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Calendar arithmetic rather than `jiff::Timestamp`, whose range ends a day before ours.
        match civil_epoch().checked_add(SignedDuration::from_micros(self.0)) {
            Ok(civil) => write!(f, "{civil}Z"),
            // The range of a civil date and time is wider than ours, so this arm only keeps the function total.
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let error = || TimestampError::Text {
            text: text.chars().take(64).collect(),
        };
        let pieces = Pieces::parse(text).map_err(|_| error())?;
        let (Some(time), Some(offset)) = (pieces.time(), pieces.to_numeric_offset()) else {
            return Err(error());
        };
        let local = pieces
            .date()
            .to_datetime(time)
            .duration_since(civil_epoch());
        let since_epoch = local - SignedDuration::from_secs(i64::from(offset.seconds()));
        let micros = since_epoch.as_nanos().div_euclid(1_000);
        Self::from_micros(i64::try_from(micros).map_err(|_| TimestampError::OutOfRange)?)
    }
}

const fn civil_epoch() -> DateTime {
    DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
}

/// Where the operations read the present instant.
pub trait Clock: Send + Sync {
    /// The present instant, as this node believes it to be.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let micros = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
        Timestamp::EPOCH.saturating_add_micros(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_to_the_microsecond() {
        for text in [
            "2090-01-01T00:00:00.123456Z",
            "1969-12-31T23:59:59Z",
            "9999-12-31T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        let offset: Timestamp = "2024-01-01T01:00:00+01:00".parse().unwrap();
        assert_eq!(offset.to_string(), "2024-01-01T00:00:00Z");
    }

    #[test]
    fn seconds_before_the_epoch_keep_positive_nanos() {
        let instant = Timestamp::from_seconds(-1, 999_999_000).unwrap();
        assert_eq!(instant.as_micros(), -1);
        assert_eq!(instant.as_seconds(), (-1, 999_999_000));
    }

    #[test]
    fn years_past_9999_are_refused() {
        assert_eq!(
            Timestamp::from_seconds(253_402_300_800, 0),
            Err(TimestampError::OutOfRange)
        );
        assert_eq!(
            Timestamp::from_seconds(i64::MAX, 0),
            Err(TimestampError::OutOfRange)
        );
        assert_eq!(
            Timestamp::from_seconds(0, -1),
            Err(TimestampError::OutOfRange)
        );
        assert!("2024-01-01".parse::<Timestamp>().is_err());
    }
}
