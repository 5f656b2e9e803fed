//! How much each caller may ask for: a default, and rules by the caller's name. A file of YAML, which can be read again.

use std::time::Duration;

use serde::Deserialize;

use super::class::Class;

/// Rules of one file.
const RULES_MAX: usize = 1_000;
/// A unit, which is what a check costs, is not told more finely than this.
const RATE_MAX: u64 = 100_000_000;

/// How much callers may ask for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    default: Allowance,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    pattern: String,
    allowance: Allowance,
}

/// How much one caller may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Allowance {
    /// Units a second; none for a caller that is held back by sharing alone.
    pub(super) rate: Option<u64>,
    /// Units at once, after a quiet time.
    pub(super) burst: u64,
    /// Calls under way at once; streams, which stay, are not among them.
    pub(super) concurrency: usize,
    /// The class of its checks.
    pub(super) class: Class,
}

/// What is wrong with a file of limits.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    /// It is no YAML of what it should hold.
    #[error("{message}")]
    Text {
        /// What and where.
        message: String,
    },
    /// There are too many rules.
    #[error("there are {count} rules, {RULES_MAX} are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A number is out of bounds.
    #[error("{whose}: `{field}` is from 1 to {max}")]
    OutOfBounds {
        /// Of which rule.
        whose: String,
        /// Which number.
        field: &'static str,
        /// The largest.
        max: u64,
    },
    /// A name is none.
    #[error("rule {number}: `name` is a caller's name, in which a `*` stands for any letters")]
    Name {
        /// Which rule.
        number: usize,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    default: Written,
    #[serde(default)]
    callers: Vec<WrittenRule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rate: Option<u64>,
    burst: Option<u64>,
    concurrency: Option<u64>,
    class: Option<WrittenClass>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    name: String,
    rate: Option<u64>,
    burst: Option<u64>,
    concurrency: Option<u64>,
    class: Option<WrittenClass>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenClass {
    Check,
    Bulk,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            rate: None,
            burst: 1,
            concurrency: 100_000,
            class: Class::Check,
        }
    }
}

impl Limits {
    /// Reads a file.
    ///
    /// # Errors
    /// [`LimitsError`] for what is no such file.
    pub fn read(text: &str) -> Result<Self, LimitsError> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| LimitsError::Text {
            message: error.without_snippet().to_string(),
        })?;
        let count = file.callers.len();
        if count > RULES_MAX {
            return Err(LimitsError::TooMany { count });
        }
        let default = Allowance::default().with(&file.default, "default")?;
        let rules = file.callers.into_iter().enumerate().map(|(place, rule)| {
            if rule.name.is_empty() {
                return Err(LimitsError::Name { number: place + 1 });
            }
            let written = Written {
                rate: rule.rate,
                burst: rule.burst,
                concurrency: rule.concurrency,
                class: rule.class,
            };
            let whose = format!("rule `{}`", rule.name);
            Ok(Rule {
                allowance: default.with(&written, &whose)?,
                pattern: rule.name,
            })
        });
        Ok(Self {
            default,
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    /// What the caller called `name` may ask for: the first rule that fits says so.
    pub(super) fn of(&self, name: &str) -> Allowance {
        let rule = self.rules.iter().find(|rule| fits(&rule.pattern, name));
        rule.map_or(self.default, |rule| rule.allowance)
    }
}

impl Allowance {
    fn with(self, written: &Written, whose: &str) -> Result<Self, LimitsError> {
        let bounded = |field, value: Option<u64>, max: u64| match value {
            Some(value) if !(1..=max).contains(&value) => Err(LimitsError::OutOfBounds {
                whose: whose.to_owned(),
                field,
                max,
            }),
            Some(_) | None => Ok(value),
        };
        let rate = bounded("rate", written.rate, RATE_MAX)?;
        // Without a burst of its own a rate has that of a second.
        let burst = bounded("burst", written.burst, RATE_MAX)?.or(rate);
        let concurrency = bounded("concurrency", written.concurrency, 1_000_000)?;
        let concurrency = concurrency.and_then(|it| usize::try_from(it).ok());
        Ok(Self {
            rate: rate.or(self.rate),
            burst: burst.unwrap_or(self.burst),
            concurrency: concurrency.unwrap_or(self.concurrency),
            class: match written.class {
                None => self.class,
                Some(WrittenClass::Check) => Class::Check,
                Some(WrittenClass::Bulk) => Class::Bulk,
            },
        })
    }

    pub(super) fn cost_nanos(&self, units: u64) -> u64 {
        let nanos = units.saturating_mul(1_000_000_000);
        self.rate.map_or(0, |rate| nanos / rate.max(1))
    }

    pub(super) fn burst(&self) -> Duration {
        Duration::from_nanos(self.cost_nanos(self.burst))
    }
}

/// Whether `name` is as `pattern` says, in which each `*` stands for any letters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let text = "
default: {rate: 500, concurrency: 9}
callers:
  - {name: batch-*, rate: 50, burst: 5, class: bulk}
  - {name: '*', rate: 70}
";
        let limits = Limits::read(text).unwrap();
        let batch = limits.of("batch-night");
        assert_eq!(
            (batch.rate, batch.burst, batch.concurrency),
            (Some(50), 5, 9)
        );
        assert_eq!(batch.class, Class::Bulk);
        let other = limits.of("web");
        assert_eq!(
            (other.rate, other.burst, other.concurrency),
            (Some(70), 70, 9)
        );
        assert_eq!(Limits::read("{}").unwrap(), Limits::default());
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, is_fit) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("*", "", true),
            ("a*", "ba", false),
            ("*a", "aba", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**", "x", true),
        ] {
            assert_eq!(fits(pattern, name), is_fit, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_file_of_limits_is_told_where() {
        for (text, told) in [
            ("default: {rates: 5}", "rates"),
            (
                "callers: [{name: a, rate: 0}]",
                "rule `a`: `rate` is from 1 to 100000000",
            ),
            ("default: {concurrency: 9999999}", "default: `concurrency`"),
            ("callers: [{name: ''}]", "rule 1: `name`"),
            ("callers: [{name: a, class: stream}]", "stream"),
            ("- 7", ""),
        ] {
            let error = Limits::read(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
