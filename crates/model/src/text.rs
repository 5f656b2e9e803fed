//! The text form of relationships, objects and subjects, as validation files and the command line write it.

use crate::context::{Context, ContextError};
use crate::name::{CaveatName, DefinitionName, NameError, ObjectId, RelationName};
use crate::object::{ObjectRef, SubjectId, SubjectRef};
use crate::relationship::{CaveatRef, Relationship};
use crate::time::TimestampError;

/// Why a text is no relationship, object or subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// A separator is missing.
    #[error("expected `{expected}` in `{text}`, as in `{example}`")]
    Missing {
        /// The separator.
        expected: &'static str,
        /// The part that lacks it, cut to 64 characters.
        text: String,
        /// A text that is right.
        example: &'static str,
    },
    /// A wildcard with a relation.
    #[error("a wildcard subject has no relation, but `{text}` names one")]
    WildcardWithRelation {
        /// The subject as written, cut to 64 characters.
        text: String,
    },
    /// Something that is neither a caveat nor an expiration at the end of a relationship.
    #[error(
        "expected `[caveat]`, `[caveat:{{..}}]` or `[expiration:TIME]` at the end, found `{text}`"
    )]
    Trailing {
        /// What was found, cut to 64 characters.
        text: String,
    },
    /// A part is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The caveat's context is wrong.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The expiration is no time.
    #[error(transparent)]
    Time(#[from] TimestampError),
}

const RELATIONSHIP_EXAMPLE: &str = "document:readme#viewer@user:ann";

pub(crate) fn relationship(text: &str) -> Result<Relationship, TextError> {
    let text = text.trim();
    let (resource, rest) = split(text, "#")?;
    let (relation, rest) = split(rest, "@")?;
    let (subject_text, traits) = match rest.find('[') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let mut relationship = Relationship::new(
        object(resource)?,
        RelationName::new(relation)?,
        subject(subject_text)?,
    );
    let traits = caveat(traits, &mut relationship)?;
    let traits = expiration(traits, &mut relationship)?;
    if !traits.is_empty() {
        return Err(TextError::Trailing { text: cut(traits) });
    }
    Ok(relationship)
}

pub(crate) fn object(text: &str) -> Result<ObjectRef, TextError> {
    let (definition, id) = split(text, ":")?;
    Ok(ObjectRef {
        definition: DefinitionName::new(definition)?,
        id: ObjectId::new(id)?,
    })
}

pub(crate) fn subject(text: &str) -> Result<SubjectRef, TextError> {
    let (definition, rest) = split(text, ":")?;
    let (id, relation) = match rest.split_once('#') {
        Some((id, "...")) => (id, None),
        Some((id, relation)) => (id, Some(RelationName::new(relation)?)),
        None => (rest, None),
    };
    let definition = DefinitionName::new(definition)?;
    if id != "*" {
        return Ok(SubjectRef {
            definition,
            id: SubjectId::Object(ObjectId::new(id)?),
            relation,
        });
    }
    if relation.is_some() {
        return Err(TextError::WildcardWithRelation { text: cut(text) });
    }
    Ok(SubjectRef {
        definition,
        id: SubjectId::Wildcard,
        relation: None,
    })
}

/// Takes `[caveat]` or `[caveat:{..}]` off the front. A name of `expiration` with a time is left for [`expiration`].
fn caveat<'a>(traits: &'a str, relationship: &mut Relationship) -> Result<&'a str, TextError> {
    let Some(inner) = traits.strip_prefix('[') else {
        return Ok(traits);
    };
    let Some(name_end) = inner.find([':', ']']) else {
        return Err(TextError::Trailing { text: cut(traits) });
    };
    let (name, rest) = inner.split_at(name_end);
    if let Some(rest) = rest.strip_prefix(']') {
        let name = CaveatName::new(name)?;
        relationship.caveat = Some(CaveatRef {
            name,
            context: Context::default(),
        });
        return Ok(rest);
    }
    let Some(json) = rest
        .strip_prefix(':')
        .filter(|json| json.trim_start().starts_with('{'))
    else {
        return Ok(traits);
    };
    let json_end =
        json_object_end(json).ok_or_else(|| TextError::Trailing { text: cut(traits) })?;
    let (json, rest) = json.split_at(json_end);
    let Some(rest) = rest.trim_start().strip_prefix(']') else {
        return Err(TextError::Trailing { text: cut(rest) });
    };
    relationship.caveat = Some(CaveatRef {
        name: CaveatName::new(name)?,
        context: Context::from_json(json)?,
    });
    Ok(rest)
}

fn expiration<'a>(traits: &'a str, relationship: &mut Relationship) -> Result<&'a str, TextError> {
    let Some(inner) = traits.strip_prefix("[expiration:") else {
        return Ok(traits);
    };
    let Some((time, rest)) = inner.split_once(']') else {
        return Err(TextError::Trailing { text: cut(traits) });
    };
    relationship.expires_at = Some(time.parse()?);
    Ok(rest)
}

/// The byte after the `}` that closes the object at the front; braces within strings do not count.
fn json_object_end(json: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn split<'a>(text: &'a str, separator: &'static str) -> Result<(&'a str, &'a str), TextError> {
    text.split_once(separator)
        .ok_or_else(|| TextError::Missing {
            expected: separator,
            text: cut(text),
            example: RELATIONSHIP_EXAMPLE,
        })
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(text: &str) {
        assert_eq!(relationship(text).unwrap().to_string(), text);
    }

    #[test]
    fn every_part_round_trips() {
        round_trip("document:readme#viewer@user:ann");
        round_trip("acme/doc:a/b|c-d_e=f+g#viewer@acme/group:eng#member");
        round_trip("document:readme#viewer@user:*");
        round_trip("document:readme#viewer@user:ann[office_hours]");
        round_trip(
            r#"document:readme#viewer@user:ann[office_hours:{"a":"]}\"","b":{"c":[1,2.5]}}]"#,
        );
        round_trip("document:readme#viewer@user:ann[expiration:2027-01-31T00:00:00Z]");
        round_trip(
            r#"document:readme#viewer@user:ann[cav:{"a":1}][expiration:2027-01-31T00:00:00Z]"#,
        );
    }

    #[test]
    fn an_ellipsis_is_no_relation() {
        assert_eq!(
            subject("user:ann#...").unwrap(),
            subject("user:ann").unwrap()
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| relationship(text).unwrap_err().to_string();
        assert_eq!(
            error("document:readme"),
            "expected `#` in `document:readme`, as in `document:readme#viewer@user:ann`"
        );
        assert_eq!(
            error("doc:a#viewer@user:*#member"),
            "a wildcard subject has no relation, but `user:*#member` names one"
        );
        assert_eq!(
            error("doc:*#viewer@user:ann"),
            "object id `*` does not match `^([a-zA-Z0-9/_|\\-=+]{1,})$`"
        );
        assert_eq!(
            error("doc:a#viewer@user:ann[expiration:soon]"),
            "`soon` is not an RFC 3339 time such as `2027-01-31T12:00:00Z`"
        );
        assert!(error("doc:a#viewer@user:ann[cav:{\"a\":1]").starts_with("expected `[caveat]`"));
        assert!(error("doc:a#viewer@user:ann[cav]x").starts_with("expected `[caveat]`"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_prints_back(text in r"[a-z:#@*\[\]{}\x22.\\0-9é]{0,60}") {
            if let Ok(parsed) = relationship(&text) {
                let printed = parsed.to_string();
                prop_assert_eq!(relationship(&printed).unwrap(), parsed);
            }
        }
    }
}
