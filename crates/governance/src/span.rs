//! Lengths of time as rules write them: `30m`, `8h`, `1d12h`.

use std::fmt;
use std::str::FromStr;

use model::Timestamp;

/// A length of time in whole seconds, from one second to 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u32);

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// It does not have the form of one.
    #[error("`{text}` is no length of time such as `30m`, `8h` or `1d12h`")]
    Text {
        /// What was given, cut to 64 characters.
        text: String,
    },
    /// It is none, or longer than any may be.
    #[error("a length of time is from `1s` to `366d`")]
    OutOfRange,
}

const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
const MICROS: i64 = 1_000_000;

impl Span {
    /// One second.
    pub const MIN: Self = Self(1);
    /// 366 days.
    pub const MAX: Self = Self(366 * 86_400);

    /// So many seconds.
    ///
    /// # Errors
    /// [`SpanError::OutOfRange`] for none, and for more than [`Self::MAX`].
    pub fn from_seconds(seconds: u64) -> Result<Self, SpanError> {
        let span = u32::try_from(seconds).map(Self);
        span.ok()
            .filter(|span| (Self::MIN..=Self::MAX).contains(span))
            .ok_or(SpanError::OutOfRange)
    }

    pub(crate) const fn of_hours(hours: u32) -> Self {
        Self(hours * 3_600)
    }

    /// In seconds.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0 as u64
    }

    /// The instant that is so much later than `instant`.
    #[must_use]
    pub fn after(self, instant: Timestamp) -> Timestamp {
        instant.saturating_add_micros(i64::from(self.0) * MICROS)
    }

    /// The instant that is so much earlier than `instant`.
    #[must_use]
    pub fn before(self, instant: Timestamp) -> Timestamp {
        instant.saturating_add_micros(-(i64::from(self.0) * MICROS))
    }

    /// The whole seconds from `from` to `to`; none if that is less than one.
    pub(crate) fn between(from: Timestamp, to: Timestamp) -> Option<Self> {
        let seconds = to.as_micros().saturating_sub(from.as_micros()) / MICROS;
        let seconds = u64::try_from(seconds).ok()?;
        Self::from_seconds(seconds.min(Self::MAX.as_seconds())).ok()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (unit, seconds) in UNITS {
            if rest >= seconds {
                write!(f, "{}{unit}", rest / seconds)?;
                rest %= seconds;
            }
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let fault = || SpanError::Text {
            text: text.chars().take(64).collect(),
        };
        let mut units = UNITS.iter();
        let mut total = 0_u64;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|letter: char| !letter.is_ascii_digit());
            let (number, after) = digits
                .and_then(|at| rest.split_at_checked(at))
                .ok_or_else(fault)?;
            let unit = after.chars().next().ok_or_else(fault)?;
            // Each unit once, the largest first.
            let (_, seconds) = units
                .find(|(letter, _)| *letter == unit)
                .ok_or_else(fault)?;
            let number: u64 = number.parse().map_err(|_| fault())?;
            total = total.saturating_add(number.saturating_mul(u64::from(*seconds)));
            rest = after.get(1..).unwrap_or_default();
        }
        if text.is_empty() {
            return Err(fault());
        }
        Self::from_seconds(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (text, seconds, written) in [
            ("1s", 1, "1s"),
            ("90m", 5_400, "1h30m"),
            ("36h", 129_600, "1d12h"),
            ("1d12h30m5s", 131_405, "1d12h30m5s"),
            ("366d", 31_622_400, "366d"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(
                (span.as_seconds(), span.to_string()),
                (seconds, written.to_owned())
            );
        }
        for text in [
            "",
            "0s",
            "8",
            "h",
            "8x",
            "1m1h",
            "1h1h",
            "-1h",
            "1 h",
            "367d",
            "1.5h",
            "é",
            "99999999999999999999s",
            "9999999999999d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn whole_seconds_lie_between_two_instants() {
        let start = Timestamp::EPOCH;
        let later = start.saturating_add_micros(2_900_000);
        assert_eq!(Span::between(start, later), Some(Span(2)));
        assert_eq!(Span::between(start, start), None);
        assert_eq!(Span::between(later, start), None);
        assert_eq!(
            Span::between(Timestamp::MIN, Timestamp::MAX),
            Some(Span::MAX)
        );
        assert_eq!(Span(2).before(Span(2).after(start)), start);
    }
}
