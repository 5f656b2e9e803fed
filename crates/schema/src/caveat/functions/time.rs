//! Instants and spans of time: their texts, their arithmetic and their fields.
//!
//! SOURCE: the texts of errors are those that the peer prints (recorded), which are those of its time library.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZoneDatabase};

use super::super::meter::Stop;
use super::super::print::quoted;
use super::super::value::{Instant, Value};
use super::TimeField;

const NANOS: i128 = 1_000_000_000;
/// 0001-01-01T00:00:00Z.
const SECONDS_MIN: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const SECONDS_MAX: i64 = 253_402_300_799;
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

pub(super) fn duration_overflow() -> Stop {
    Stop::error("duration overflow")
}

fn timestamp_overflow() -> Stop {
    Stop::error("timestamp overflow")
}

/// The instant `nanos` later.
pub(super) fn shifted(at: Instant, nanos: i128) -> Result<Value, Stop> {
    let total = i128::from(at.seconds) * NANOS + i128::from(at.nanos) + nanos;
    instant(total)
        .map(Value::Timestamp)
        .ok_or_else(timestamp_overflow)
}

fn instant(nanos: i128) -> Option<Instant> {
    let seconds = i64::try_from(nanos.div_euclid(NANOS)).ok()?;
    let nanos = u32::try_from(nanos.rem_euclid(NANOS)).ok()?;
    (SECONDS_MIN..=SECONDS_MAX)
        .contains(&seconds)
        .then_some(Instant { seconds, nanos })
}

/// The span from `right` to `left`.
pub(super) fn between(left: Instant, right: Instant) -> Result<Value, Stop> {
    let seconds = i128::from(left.seconds) - i128::from(right.seconds);
    let nanos = seconds * NANOS + i128::from(left.nanos) - i128::from(right.nanos);
    i64::try_from(nanos)
        .map(Value::Duration)
        .map_err(|_| duration_overflow())
}

/// A field of an instant in UTC, or of a span.
pub(super) fn field(field: TimeField, value: &Value) -> Result<Value, Stop> {
    if let Value::Timestamp(at) = value {
        return instant_field(field, *at, 0);
    }
    let Value::Duration(nanos) = value else {
        return Err(Stop::no_such_overload());
    };
    match field {
        TimeField::Hours => Ok(Value::Int(nanos / 3_600_000_000_000)),
        TimeField::Minutes => Ok(Value::Int(nanos / 60_000_000_000)),
        TimeField::Seconds => Ok(Value::Int(nanos / 1_000_000_000)),
        TimeField::Milliseconds => Ok(Value::Int(nanos / 1_000_000)),
        TimeField::FullYear
        | TimeField::Month
        | TimeField::Date
        | TimeField::DayOfMonth
        | TimeField::DayOfWeek
        | TimeField::DayOfYear => Err(Stop::no_such_overload()),
    }
}

/// A field of an instant in a time zone.
pub(super) fn field_in(field: TimeField, value: &Value, zone: &Value) -> Result<Value, Stop> {
    let (Value::Timestamp(at), Value::String(zone)) = (value, zone) else {
        return Err(Stop::no_such_overload());
    };
    let offset_seconds = offset_seconds(zone, *at).ok_or_else(|| {
        let zone: String = zone.chars().take(64).collect();
        Stop::error(&format!("unknown time zone {zone}"))
    })?;
    instant_field(field, *at, offset_seconds)
}

fn instant_field(field: TimeField, at: Instant, offset_seconds: i64) -> Result<Value, Stop> {
    let local = civil(at, offset_seconds).ok_or_else(timestamp_overflow)?;
    let number = match field {
        TimeField::FullYear => i64::from(local.year()),
        TimeField::Month => i64::from(local.month()) - 1,
        TimeField::Date => i64::from(local.day()),
        TimeField::DayOfMonth => i64::from(local.day()) - 1,
        TimeField::DayOfWeek => i64::from(local.weekday().to_sunday_zero_offset()),
        TimeField::DayOfYear => i64::from(local.day_of_year()) - 1,
        TimeField::Hours => i64::from(local.hour()),
        TimeField::Minutes => i64::from(local.minute()),
        TimeField::Seconds => i64::from(local.second()),
        TimeField::Milliseconds => i64::from(at.nanos / 1_000_000),
    };
    Ok(Value::Int(number))
}

fn civil(at: Instant, offset_seconds: i64) -> Option<DateTime> {
    let nanos = i32::try_from(at.nanos).ok()?;
    EPOCH
        .checked_add(SignedDuration::new(at.seconds + offset_seconds, nanos))
        .ok()
}

/// `UTC`, `+05:30`, or the name of a zone where the library bundles them. The machine's own zones do not count: an
/// answer must not depend on where it is computed.
fn offset_seconds(zone: &str, at: Instant) -> Option<i64> {
    if matches!(zone, "" | "UTC") {
        return Some(0);
    }
    if let Some((hours, minutes)) = zone.split_once(':') {
        let sign = if hours.starts_with('-') { -1 } else { 1 };
        let hours = two_digits(hours.strip_prefix(['+', '-']).unwrap_or(hours), 14)?;
        let minutes = two_digits(minutes, 59)?;
        return Some(sign * (hours * 3_600 + minutes * 60));
    }
    let zone = TimeZoneDatabase::bundled().get(zone).ok()?;
    let at = jiff::Timestamp::from_second(at.seconds).ok()?;
    Some(i64::from(Offset::seconds(zone.to_offset(at))))
}

fn two_digits(text: &str, number_max: i64) -> Option<i64> {
    let is_number =
        (1..=2).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    let number: i64 = text.parse().ok().filter(|_| is_number)?;
    (number <= number_max).then_some(number)
}

/// A span in seconds, as `string(duration)` prints it.
pub(super) fn duration_text(nanos: i64) -> String {
    format!("{}s", nanos as f64 / 1e9)
}

/// An instant as RFC 3339 in UTC.
pub(super) fn instant_text(at: Instant) -> Result<String, Stop> {
    let civil = civil(at, 0).ok_or_else(timestamp_overflow)?;
    Ok(format!("{civil}Z"))
}

/// Parses `1h30m`, `-1.5s`; the units are ns, us, ms, s, m and h.
pub(in super::super) fn duration_from_text(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quoted(text));
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end).ok_or_else(invalid)?;
        let nanos: i128 = match unit {
            "" => return Err(format!("time: missing unit in duration {}", quoted(text))),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => NANOS,
            "m" => 60 * NANOS,
            "h" => 3_600 * NANOS,
            unit => {
                return Err(format!(
                    "time: unknown unit {} in duration {}",
                    quoted(unit),
                    quoted(text)
                ));
            }
        };
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            whole.parse::<u64>().map_err(|_| invalid())?.into()
        };
        total += whole * nanos + fraction_of(fraction, nanos);
        if total > i128::from(i64::MAX) + i128::from(is_negative) {
            return Err(invalid());
        }
        rest = after;
    }
    i64::try_from(if is_negative { -total } else { total }).map_err(|_| invalid())
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// That fraction of `nanos`; digits past the 18th are below a nanosecond.
fn fraction_of(digits: &str, nanos: i128) -> i128 {
    let digits = digits.get(..18).unwrap_or(digits);
    let Ok(fraction) = digits.parse::<i128>() else {
        return 0;
    };
    let scale = (0..digits.len()).fold(1_i128, |scale, _| scale * 10);
    fraction * nanos / scale
}

/// Parses an RFC 3339 time.
pub(in super::super) fn instant_from_text(text: &str) -> Result<Instant, String> {
    let mut reader = Reader { text, rest: text };
    let year = reader.number("2006", 4)?;
    reader.literal("-")?;
    let month = reader.number("01", 2)?;
    reader.literal("-")?;
    let day = reader.number("02", 2)?;
    reader.literal("T")?;
    let hour = reader.number("15", 2)?;
    reader.literal(":")?;
    let minute = reader.number("04", 2)?;
    reader.literal(":")?;
    let second = reader.number("05", 2)?;
    let nanos = reader.fraction();
    let offset_seconds = reader.offset()?;
    if !reader.rest.is_empty() {
        return Err(format!(
            "parsing time {}: extra text: {}",
            quoted(text),
            quoted(reader.rest)
        ));
    }
    let out_of_range = |what: &str| format!("parsing time {}: {what} out of range", quoted(text));
    for (number, range, what) in [
        (month, 1..=12, "month"),
        (day, 1..=31, "day"),
        (hour, 0..=23, "hour"),
        (minute, 0..=59, "minute"),
        (second, 0..=59, "second"),
    ] {
        if !range.contains(&number) {
            return Err(out_of_range(what));
        }
    }
    let small = |number: i16| i8::try_from(number).unwrap_or_default();
    let civil = DateTime::new(
        year,
        small(month),
        small(day),
        small(hour),
        small(minute),
        small(second),
        0,
    )
    .map_err(|_| out_of_range("day"))?;
    let seconds = civil.duration_since(EPOCH).as_secs() - offset_seconds;
    if !(SECONDS_MIN..=SECONDS_MAX).contains(&seconds) {
        return Err("timestamp overflow".to_owned());
    }
    Ok(Instant { seconds, nanos })
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn mismatch(&self, element: &str) -> String {
        format!(
            "parsing time {} as \"2006-01-02T15:04:05Z07:00\": cannot parse {} as {}",
            quoted(self.text),
            quoted(self.rest),
            quoted(element)
        )
    }

    fn literal(&mut self, literal: &str) -> Result<(), String> {
        self.rest = self
            .rest
            .strip_prefix(literal)
            .ok_or_else(|| self.mismatch(literal))?;
        Ok(())
    }

    fn number(&mut self, element: &str, length: usize) -> Result<i16, String> {
        let split = self.rest.split_at_checked(length);
        let number = split.filter(|(digits, _)| digits.bytes().all(|digit| digit.is_ascii_digit()));
        let (Some((digits, rest)), element) = (number, element) else {
            return Err(self.mismatch(element));
        };
        let number = digits.parse().map_err(|_| self.mismatch(element))?;
        self.rest = rest;
        Ok(number)
    }

    /// The fraction of the second, cut to nanoseconds.
    fn fraction(&mut self) -> u32 {
        let Some(after) = self.rest.strip_prefix(['.', ',']) else {
            return 0;
        };
        let (fraction, rest) = digits(after);
        if fraction.is_empty() {
            return 0;
        }
        self.rest = rest;
        let mut nanos = 0;
        for place in 0..9 {
            let digit = fraction
                .as_bytes()
                .get(place)
                .map_or(0, |digit| u32::from(digit - b'0'));
            nanos = nanos * 10 + digit;
        }
        nanos
    }

    fn offset(&mut self) -> Result<i64, String> {
        const ELEMENT: &str = "Z07:00";
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let offset = self.rest.split_at_checked(6).and_then(|(offset, rest)| {
            let (sign, digits) = match offset.split_at_checked(1)? {
                ("+", digits) => (1, digits),
                ("-", digits) => (-1, digits),
                _ => return None,
            };
            let (hours, minutes) = digits
                .split_once(':')
                .filter(|(hours, _)| hours.len() == 2)?;
            let seconds = two_digits(hours, 23)? * 3_600 + two_digits(minutes, 59)? * 60;
            Some((sign * seconds, rest))
        });
        let Some((seconds, rest)) = offset else {
            return Err(self.mismatch(ELEMENT));
        };
        self.rest = rest;
        Ok(seconds)
    }
}
