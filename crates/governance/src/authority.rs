//! Who may ask, approve or own: named in an entitlement, decided by the engine, and given to the machine as answers.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use model::{ObjectRef, RelationName, SubjectId, SubjectRef, TextError};

/// Some people, as an entitlement names them.
///
/// Text forms: `user:ann`; `team:payments#lead` is whoever has the relation or permission `lead` on the team; and
/// `resource#approve` is whoever has `approve` on the resource that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    /// Whoever has this relation or permission on the resource that is asked for.
    OnResource(RelationName),
    /// One object, or whoever has a relation or permission on it. Never a wildcard.
    Subject(SubjectRef),
}

/// Why a text names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// It is neither of the forms.
    #[error("expected `resource#PERMISSION`, `TYPE:ID#PERMISSION` or `TYPE:ID`: {0}")]
    Text(#[from] TextError),
    /// It names everybody.
    #[error("a wildcard is nobody who could be asked; name a group, or a permission")]
    Wildcard,
}

/// A question to the engine: is `person` one of `set`?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// Who.
    pub person: ObjectRef,
    /// A relation or permission of an object: a subject with a relation.
    pub set: SubjectRef,
}

/// What the engine says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// No; and what is conditional is a no.
    No,
    /// Yes.
    Yes,
    /// Yes, and only because of a break-glass grant: it counts for nothing here
    /// ([`Holding::rests_on_break_glass`](crate::Holding::rests_on_break_glass)).
    ByBreakGlass,
}

const RESOURCE: &str = "resource#";

impl Authority {
    /// The people where access to `resource` is asked for.
    #[must_use]
    pub fn on(&self, resource: &ObjectRef) -> SubjectRef {
        match self {
            Self::OnResource(relation) => SubjectRef {
                relation: Some(relation.clone()),
                ..resource.clone().into()
            },
            Self::Subject(subject) => subject.clone(),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnResource(relation) => write!(f, "{RESOURCE}{relation}"),
            Self::Subject(subject) => subject.fmt(f),
        }
    }
}

impl FromStr for Authority {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        // No object is meant: that would have a `:`.
        if let Some(relation) = text.strip_prefix(RESOURCE) {
            let relation = RelationName::new(relation).map_err(TextError::from)?;
            return Ok(Self::OnResource(relation));
        }
        let subject: SubjectRef = text.parse()?;
        match subject.id {
            SubjectId::Wildcard => Err(AuthorityError::Wildcard),
            SubjectId::Object(_) => Ok(Self::Subject(subject)),
        }
    }
}

/// All people of some authorities, for some resources; each set once.
pub(crate) fn resolved<'a>(
    authorities: impl IntoIterator<Item = &'a Authority>,
    resources: &BTreeSet<&ObjectRef>,
) -> BTreeSet<SubjectRef> {
    let each = authorities.into_iter();
    each.flat_map(|authority| resources.iter().map(|resource| authority.on(resource)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_named_in_three_ways() {
        let prod: ObjectRef = "database:prod".parse().unwrap();
        for (text, on_prod) in [
            ("user:ann", "user:ann"),
            ("team:payments#lead", "team:payments#lead"),
            ("resource#approve", "database:prod#approve"),
        ] {
            let authority: Authority = text.parse().unwrap();
            assert_eq!(authority.to_string(), text);
            assert_eq!(authority.on(&prod).to_string(), on_prod);
        }
        for text in [
            "",
            "ann",
            "user:*",
            "resource#",
            "resource:#x",
            "team#lead",
            "resource",
        ] {
            assert!(text.parse::<Authority>().is_err(), "{text}");
        }
    }
}
