//! What can be asked for, by whom, for how long, and who has to approve: written as code by the owners of resources.
//!
//! [`Entitlements::read`] reads a file with every fault it has (`reader`, `tree`, `read`), `rules` says what an entitlement has to
//! fulfil by itself and `against_schema` what it has to in a schema, `print` writes the canonical file.
//!
//! INVARIANT: an [`Entitlement`] is only made by reading one, from a file or from a record, and fulfils `rules`.

mod against_schema;
mod print;
mod read;
mod reader;
mod rules;
mod tree;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use model::{DefinitionName, ObjectId, RelationName, SubjectRef};
use schema::Schema;
use serde::{Deserialize, Serialize};

use crate::authority::Authority;
use crate::fault::Faults;
use crate::names::{Access, EntitlementName, SubjectType};
use crate::record::{self, RecordError};
use crate::span::Span;
use crate::text;

pub(crate) use rules::ticket_pattern;

/// Longest file of entitlements, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Most entitlements of a file.
pub const ENTITLEMENTS_MAX: usize = 1_000;
/// Longest break-glass grant, whatever an entitlement says.
pub const BREAK_GLASS_MAX: Span = Span::of_hours(8);

/// The entitlements of a file, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlements(Vec<Entitlement>);

/// What can be asked for, and how it is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Entitlement {
    /// Its name, which is for good.
    #[serde(with = "text::one")]
    pub name: EntitlementName,
    /// For people.
    pub description: String,
    /// How much harm can be done with it; for those who look at requests.
    pub risk: Risk,
    /// The definition of the resources.
    #[serde(with = "text::one")]
    pub definition: DefinitionName,
    /// Which resources.
    pub ids: Ids,
    /// The permission that people ask for; none where they ask for the relations.
    #[serde(with = "text::maybe")]
    pub permission: Option<RelationName>,
    /// The relations that relationships may be written to, for one grant.
    #[serde(with = "text::set")]
    pub relations: BTreeSet<RelationName>,
    /// The kinds of subjects that may be given it.
    #[serde(with = "text::set")]
    pub subjects: BTreeSet<SubjectType>,
    /// Who may ask.
    #[serde(with = "text::set")]
    pub eligible: BTreeSet<Authority>,
    /// Whether they may ask for somebody else, or for a group.
    pub for_others: bool,
    /// Who may revoke, suspend, resume and restart.
    #[serde(with = "text::set")]
    pub owners: BTreeSet<Authority>,
    /// Whether a reason has to be given.
    pub reason_required: bool,
    /// What a ticket looks like; none where none is asked for.
    pub ticket: Option<Ticket>,
    /// How long a grant is when nothing is said.
    #[serde(with = "text::one")]
    pub duration_default: Span,
    /// How long a grant may be, extensions included.
    #[serde(with = "text::one")]
    pub duration_max: Span,
    /// For how long a request waits to be decided.
    #[serde(with = "text::one")]
    pub pending: Span,
    /// How far ahead a start may lie; none where a grant cannot be scheduled.
    #[serde(with = "text::maybe")]
    pub ahead: Option<Span>,
    /// How what was approved becomes active.
    pub activation: Activation,
    /// What of extensions needs no decision; none where each does.
    pub extension: Option<Extension>,
    /// Who approves; without a step nobody has to.
    pub steps: Vec<Step>,
    /// How long after it began to wait the approvers are reminded; rising.
    #[serde(with = "spans")]
    pub reminders: Vec<Span>,
    /// Who is told when a request waits for long.
    pub escalation: Option<Escalation>,
    /// How long before its end the holder of a grant is told.
    #[serde(with = "text::maybe")]
    pub warning: Option<Span>,
    /// Who may do without approval in an emergency; none where nobody may.
    pub break_glass: Option<BreakGlass>,
}

/// Which resources of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ids {
    /// Each.
    All,
    /// Those with these ids, or ids of these patterns, in which `*` is any text.
    Among(BTreeSet<String>),
}

/// How much harm can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is named by what it says")]
pub enum Risk {
    Low,
    Medium,
    High,
    Critical,
}

/// What a ticket looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// A regular expression that the whole of it matches.
    pub pattern: String,
    /// Whether there has to be one.
    pub required: bool,
}

/// How what was approved becomes active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activation {
    /// Whether the holder does that, rather than the clock.
    pub by_holder: bool,
    /// For how long it can be, after the approval or the start that was asked for.
    #[serde(with = "text::one")]
    pub window: Span,
}

/// Extensions that need no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// How many of a grant.
    pub automatic: u16,
    /// How long each may be.
    #[serde(with = "text::one")]
    pub each: Span,
}

/// A step of approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name, for people.
    #[serde(with = "text::one")]
    pub name: EntitlementName,
    /// Who may approve.
    #[serde(with = "text::set")]
    pub approvers: BTreeSet<Authority>,
    /// How many of them have to.
    pub need: u16,
}

/// Who is told when a request waits for long. They decide nothing that they could not before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// After how long.
    #[serde(with = "text::one")]
    pub after: Span,
    /// Who.
    #[serde(with = "text::set")]
    pub to: BTreeSet<Authority>,
}

/// Access without approval, in an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Who may.
    #[serde(with = "text::set")]
    pub holders: BTreeSet<Authority>,
    /// For how long at most, and when nothing is said.
    #[serde(with = "text::one")]
    pub duration_max: Span,
    /// By when somebody has to have looked at it.
    #[serde(with = "text::one")]
    pub review: Span,
}

/// The hash of everything that an entitlement says. Requests pin it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u8; 32]);

/// Why an access is not of an entitlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each is named by what it says")]
pub enum NotCovered {
    #[error("the entitlement is for resources of another definition")]
    Definition,
    #[error("the entitlement is not for this resource")]
    Resource,
    #[error("the entitlement does not give this relation")]
    Relation,
}

impl Entitlements {
    /// Reads a file of entitlements, and holds them against `schema`. `file` is its name, for what is told of faults.
    ///
    /// # Errors
    /// [`Faults`], every one with its place.
    pub fn read(file: &str, text: &str, schema: &Schema) -> Result<Self, Faults> {
        read::entitlements(text, schema)
            .map(Self)
            .map_err(|faults| Faults {
                file: file.to_owned(),
                faults,
            })
    }

    /// All, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entitlement> {
        self.0.iter()
    }

    /// The one of that name.
    #[must_use]
    pub fn find(&self, name: &EntitlementName) -> Option<&Entitlement> {
        let found = self
            .0
            .binary_search_by(|entitlement| entitlement.name.cmp(name));
        found.ok().and_then(|at| self.0.get(at))
    }
}

/// The canonical file: every key, in one order. Reading it gives the same.
impl fmt::Display for Entitlements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::entitlements(&self.0, f)
    }
}

impl Entitlement {
    /// The hash of everything that it says.
    #[must_use]
    pub fn version(&self) -> Version {
        let mut hasher = blake3::Hasher::new_derive_key("remit entitlement version 1");
        // PANIC: none; writing to a hasher does not fail, and no key of a map is anything but a text.
        let written = serde_json::to_writer(&mut hasher, self);
        debug_assert!(written.is_ok(), "an entitlement is JSON");
        Version(*hasher.finalize().as_bytes())
    }

    /// Whether `access` is one that it is for.
    ///
    /// # Errors
    /// [`NotCovered`]: why not.
    pub fn covers(&self, access: &Access) -> Result<(), NotCovered> {
        if access.resource.definition != self.definition {
            return Err(NotCovered::Definition);
        }
        if !self.ids.takes(&access.resource.id) {
            return Err(NotCovered::Resource);
        }
        if !self.relations.contains(&access.relation) {
            return Err(NotCovered::Relation);
        }
        Ok(())
    }

    /// Whether `subject` can be given it.
    #[must_use]
    pub fn takes(&self, subject: &SubjectRef) -> bool {
        self.subjects.iter().any(|kind| kind.takes(subject))
    }

    /// What is wrong with it in `schema`: which part, and why.
    #[must_use]
    pub fn faults_in(&self, schema: &Schema) -> Vec<(String, String)> {
        against_schema::faults(self, schema)
    }

    /// The record of it: versioned JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        record::write("entitlement", self)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`] where it is none of this version, has a field that is not known, or breaks a rule.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        let entitlement: Self = record::read("entitlement", text)?;
        entitlement.checked()
    }

    /// Itself, where it fulfils the rules.
    pub(crate) fn checked(self) -> Result<Self, RecordError> {
        match rules::faults(&self).into_iter().next() {
            None => Ok(self),
            Some((part, message)) => Err(RecordError::Broken(format!("`{part}`: {message}"))),
        }
    }
}

impl Ids {
    fn takes(&self, id: &ObjectId) -> bool {
        match self {
            Self::All => true,
            Self::Among(patterns) => patterns.iter().any(|pattern| fits(pattern, id.as_str())),
        }
    }
}

/// Whether `text` is as `pattern` says, in which `*` is any text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        // The first place is as good as any: it leaves the most for the parts that follow.
        let Some((_, after)) = text.split_once(part) else {
            return false;
        };
        text = after;
    }
    text.ends_with(last)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

/// The text is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version of an entitlement has 64 digits of `0` to `9` and `a` to `f`")]
pub struct VersionError;

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let is_written_so = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let hash = blake3::Hash::from_hex(text).map_err(|_| VersionError)?;
        is_written_so
            .then_some(Self(*hash.as_bytes()))
            .ok_or(VersionError)
    }
}

/// Spans in the order in which they are written.
mod spans {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Span;

    pub(super) fn serialize<S: Serializer>(
        spans: &[Span],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(spans.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Span>, D::Error> {
        let texts: Vec<String> = Vec::deserialize(deserializer)?;
        let spans = texts
            .iter()
            .map(|text| text.parse().map_err(D::Error::custom));
        spans.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text, is_fit) in [
            ("prod", "prod", true),
            ("prod", "prods", false),
            ("*", "", true),
            ("*", "x", true),
            ("prod-*", "prod-1", true),
            ("prod-*", "prod", false),
            ("*-db", "a-db", true),
            ("*-db", "a-db2", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("a**b", "ab", true),
            ("*a*", "xbx", false),
        ] {
            assert_eq!(fits(pattern, text), is_fit, "{pattern} {text}");
        }
    }
}
