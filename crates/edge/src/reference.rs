//! Resources and subjects with expressions in them: `todo:${params.id}`, `group:${claims.team}#member`, `${user.subject}`.
//!
//! An id that is the one value of an expression is made of it as everywhere ([`ObjectId::of_text`]). Where more is in an id, every byte of a
//! value but letters, digits and `_ - +` is written `=XX`, `/` and `|` as well: a value cannot reach over its place. So no value makes
//! another reference than the one that is written, and no two values make one id.

use std::fmt::Write as _;

use model::{DefinitionName, ObjectId, ObjectRef, RelationName, SubjectId, SubjectRef};
use schema::caveat::{Bound, Computation, ComputeError, Scope};

use crate::text::{Piece, Text, joined};

/// A reference to an object, or to those who have a relation to it.
#[derive(Debug, Clone)]
pub(crate) enum Reference {
    /// One expression that yields the whole, as in `${user.subject}`.
    Whole(Computation),
    /// Its parts.
    Parts {
        definition: Text,
        id: Vec<Piece>,
        relation: Option<Text>,
    },
}

impl Reference {
    /// Reads `written`; says what is wrong with it otherwise.
    pub(crate) fn read(written: &str, scope: &Scope) -> Result<Self, String> {
        let text = Text::read(written, scope)?;
        if let Some(whole) = text.as_expression() {
            return Ok(Self::Whole(whole.clone()));
        }
        let expected = || format!("expected `type:id` in `{written}`, as in `todo:${{params.id}}`");
        let (definition, rest) = split(text.0, ':').ok_or_else(expected)?;
        let (id, relation) = match split(rest.clone(), '#') {
            Some((id, relation)) => (id, Some(Text(relation))),
            None => (rest, None),
        };
        let read = Self::Parts {
            definition: Text(definition),
            id,
            relation,
        };
        read.check_literals()
            .map_err(|error| format!("in `{written}`: {error}"))?;
        Ok(read)
    }

    /// Checks what does not depend on a request.
    fn check_literals(&self) -> Result<(), model::NameError> {
        let Self::Parts {
            definition,
            id,
            relation,
        } = self
        else {
            return Ok(());
        };
        if let Some(definition) = definition.as_literal() {
            DefinitionName::validate(definition)?;
        }
        if let Some(relation) = relation.as_ref().and_then(Text::as_literal) {
            RelationName::validate(relation)?;
        }
        let mut literal = String::new();
        for piece in id {
            match piece {
                Piece::Literal(text) => literal.push_str(text),
                Piece::Computed(_) => literal.push('x'),
            }
        }
        ObjectId::validate(&literal)
    }

    /// Whether it may name those who have a relation to an object.
    pub(crate) fn names_relation(&self) -> bool {
        matches!(
            self,
            Self::Parts {
                relation: Some(_),
                ..
            }
        )
    }

    /// Every expression in it.
    pub(crate) fn expressions(&self) -> Vec<&Computation> {
        match self {
            Self::Whole(whole) => vec![whole],
            Self::Parts {
                definition,
                id,
                relation,
            } => {
                let id = id.iter().filter_map(|piece| match piece {
                    Piece::Literal(_) => None,
                    Piece::Computed(computation) => Some(computation),
                });
                let relation = relation.iter().flat_map(Text::expressions);
                definition.expressions().chain(id).chain(relation).collect()
            }
        }
    }

    /// The resource of a request.
    pub(crate) fn object(&self, bound: &mut Bound) -> Result<ObjectRef, ComputeError> {
        match self {
            Self::Whole(whole) => {
                let text = whole.compute_text(bound)?;
                text.parse().map_err(no_reference)
            }
            Self::Parts { definition, id, .. } => object(definition, id, bound),
        }
    }

    /// The subject of a request; never everybody.
    pub(crate) fn subject(&self, bound: &mut Bound) -> Result<SubjectRef, ComputeError> {
        let subject: SubjectRef = match self {
            Self::Whole(whole) => {
                let text = whole.compute_text(bound)?;
                text.parse().map_err(no_reference)?
            }
            Self::Parts {
                definition,
                id,
                relation,
            } => {
                let object = object(definition, id, bound)?;
                let relation = relation.as_ref().map(|it| {
                    let name = it.compute(bound)?;
                    RelationName::new(&name).map_err(no_reference)
                });
                SubjectRef {
                    definition: object.definition,
                    id: SubjectId::Object(object.id),
                    relation: relation.transpose()?,
                }
            }
        };
        match subject.id {
            SubjectId::Object(_) => Ok(subject),
            SubjectId::Wildcard => Err(ComputeError::Failed("a wildcard asks nothing".to_owned())),
        }
    }
}

fn object(definition: &Text, id: &[Piece], bound: &mut Bound) -> Result<ObjectRef, ComputeError> {
    let definition = definition.compute(bound)?;
    let definition = DefinitionName::new(&definition).map_err(no_reference)?;
    let id = match id {
        [Piece::Computed(value)] => ObjectId::of_text(&value.compute_text(bound)?),
        pieces => ObjectId::new(&joined(pieces, bound, |text, value| escape(text, &value))?),
    };
    Ok(ObjectRef {
        definition,
        id: id.map_err(no_reference)?,
    })
}

fn escape(text: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+') {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "={byte:02X}");
        }
    }
}

fn no_reference(error: impl std::fmt::Display) -> ComputeError {
    ComputeError::Failed(error.to_string())
}

/// What is before and after the first `separator` that is written out.
fn split(pieces: Vec<Piece>, separator: char) -> Option<(Vec<Piece>, Vec<Piece>)> {
    let mut before = Vec::new();
    let mut pieces = pieces.into_iter();
    for piece in pieces.by_ref() {
        match &piece {
            Piece::Literal(text) => {
                let Some((left, right)) = text.split_once(separator) else {
                    before.push(piece);
                    continue;
                };
                let literal =
                    |text: &str| (!text.is_empty()).then(|| Piece::Literal(text.to_owned()));
                before.extend(literal(left));
                let after = literal(right).into_iter().chain(pieces).collect();
                return Some((before, after));
            }
            Piece::Computed(_) => before.push(piece),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::Value;

    use super::*;
    use crate::attributes::scope;

    fn compute(written: &str, id: &str) -> Result<String, String> {
        let scope = scope().unwrap();
        let reference = Reference::read(written, &scope)?;
        let params = BTreeMap::from([("id".to_owned(), Value::String(id.to_owned()))]);
        let mut bound = scope
            .bind(|name| (name == "params").then(|| Value::Map(params.clone())))
            .unwrap();
        let subject = reference.subject(&mut bound);
        subject
            .map(|it| it.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn values_stay_in_their_place() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(compute("todo:${params.id}", "7"), ok("todo:7"));
        assert_eq!(
            compute("todo:${params.id}", "ann@example.com"),
            ok("todo:ann=40example=2Ecom")
        );
        assert_eq!(compute("todo:${params.id}", "a/b"), ok("todo:a/b"));
        assert_eq!(compute("todo:${params.id}", "*"), ok("todo:=2A"));
        assert_eq!(
            compute("todo:${params.id}", "a#member"),
            ok("todo:a=23member")
        );
        assert_eq!(compute("todo:${params.id}", "a=2Eb"), ok("todo:a=3D2Eb"));
        assert_eq!(compute("todo:x/${params.id}", "a/b"), ok("todo:x/a=2Fb"));
        assert_eq!(
            compute("group:${params.id}#member", "eng"),
            ok("group:eng#member")
        );
        assert_eq!(compute("${params.id}", "user:ann"), ok("user:ann"));
        assert_eq!(compute("user:ann", ""), ok("user:ann"));
        for (written, id) in [
            ("todo:${params.id}", ""),
            ("${params.id}", "user:*"),
            ("${params.id}", "ann"),
            ("${params.id}:a", "user:b#c"),
            ("${params.id}:a", "Us er"),
            ("todo:a#${params.id}", "a@b"),
        ] {
            assert!(compute(written, id).is_err(), "{written} {id}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_when_it_is_read() {
        let scope = scope().unwrap();
        for written in [
            "todo",
            "a${params.id}",
            "T do:x",
            ":x",
            "todo:",
            "todo:a b",
            "todo:a#b c",
            "todo:*",
        ] {
            assert!(Reference::read(written, &scope).is_err(), "{written}");
        }
    }
}
