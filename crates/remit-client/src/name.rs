//! Objects and subjects as text, parsed once: `document:readme`, `user:ann`, `group:eng#member`.
//!
//! What is refused here is what no server takes; the server, which knows the schema, judges the rest.

use remit_proto::authzed::api::v1 as wire;

/// The most bytes of an object's id.
const ID_BYTES_MAX: usize = 1_024;
/// The most bytes of a definition's, a relation's or a permission's name.
const NAME_BYTES_MAX: usize = 128;

/// Why a text is no object, subject, permission or relationship.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has another form. What it says may be personal.
    #[error("the text is no {what}: expected {form}")]
    Form {
        /// What it was to be.
        what: &'static str,
        /// How that looks.
        form: &'static str,
    },
    /// A name has characters that no name has, or too many, or none.
    #[error(
        "`{text}` is no name of a {what}: expected 1 to {NAME_BYTES_MAX} of a-z, 0-9 and `_`, from a letter on"
    )]
    Name {
        /// What was given.
        text: String,
        /// What it was to name.
        what: &'static str,
    },
    /// An id has characters that no id has, or too many, or none.
    #[error(
        "an id of {bytes} bytes is no object's id: expected 1 to {ID_BYTES_MAX} of a-z, A-Z, 0-9 and `/_|-=+`"
    )]
    Id {
        /// How long it is.
        bytes: usize,
    },
    /// Everybody cannot be asked about.
    #[error("`{text}` stands for everybody, which is no {what}")]
    Everybody {
        /// What was given.
        text: String,
        /// What it was to be.
        what: &'static str,
    },
}

/// One object.
pub(crate) fn object(text: &str) -> Result<wire::ObjectReference, NameError> {
    let object = object_or_everybody(text, "object", "`type:id`, as in `document:readme`")?;
    if object.object_id == "*" {
        return Err(NameError::Everybody {
            text: text.to_owned(),
            what: "object",
        });
    }
    Ok(object)
}

/// A subject to ask about: an object, or the holders of a relation on one.
pub(crate) fn subject(text: &str) -> Result<wire::SubjectReference, NameError> {
    let subject = subject_or_everybody(text)?;
    match &subject.object {
        Some(object) if object.object_id == "*" => Err(NameError::Everybody {
            text: text.to_owned(),
            what: "subject to ask about",
        }),
        Some(_) | None => Ok(subject),
    }
}

/// A subject of a relationship, which may be everybody: `user:*`.
pub(crate) fn subject_or_everybody(text: &str) -> Result<wire::SubjectReference, NameError> {
    const FORM: &str = "`type:id` or `type:id#relation`, as in `user:ann`";
    let (of, relation) = match text.split_once('#') {
        None => (text, ""),
        Some((of, relation)) => (of, name(relation, "relation")?),
    };
    let object = object_or_everybody(of, "subject", FORM)?;
    Ok(wire::SubjectReference {
        object: Some(object),
        optional_relation: relation.to_owned(),
    })
}

/// A relationship without its traits: `document:readme#viewer@user:ann`.
pub(crate) fn relationship(text: &str) -> Result<wire::Relationship, NameError> {
    let wrong = || NameError::Form {
        what: "relationship",
        form: "`type:id#relation@type:id`, as in `document:readme#viewer@user:ann`",
    };
    let (of, holder) = text.split_once('@').ok_or_else(wrong)?;
    let (resource, relation) = of.split_once('#').ok_or_else(wrong)?;
    Ok(wire::Relationship {
        resource: Some(object(resource)?),
        relation: name(relation, "relation")?.to_owned(),
        subject: Some(subject_or_everybody(holder)?),
        optional_caveat: None,
        optional_expires_at: None,
    })
}

/// The name of a permission, relation or caveat.
pub(crate) fn name<'a>(text: &'a str, what: &'static str) -> Result<&'a str, NameError> {
    let is_name = text.len() <= NAME_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(is_name_byte);
    match is_name {
        true => Ok(text),
        false => Err(NameError::Name {
            text: text.chars().take(NAME_BYTES_MAX).collect(),
            what,
        }),
    }
}

/// The name of a definition, which may have prefixes: `team/document`.
pub(crate) fn definition(text: &str) -> Result<&str, NameError> {
    for part in text.split('/') {
        name(part, "definition")?;
    }
    Ok(text)
}

fn object_or_everybody(
    text: &str,
    what: &'static str,
    form: &'static str,
) -> Result<wire::ObjectReference, NameError> {
    let (object_type, object_id) = text.split_once(':').ok_or(NameError::Form { what, form })?;
    definition(object_type)?;
    let is_id = (1..=ID_BYTES_MAX).contains(&object_id.len()) && object_id.bytes().all(is_id_byte);
    if !is_id && object_id != "*" {
        return Err(NameError::Id {
            bytes: object_id.len(),
        });
    }
    Ok(wire::ObjectReference {
        object_type: object_type.to_owned(),
        object_id: object_id.to_owned(),
    })
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'|' | b'-' | b'=' | b'+')
}

/// A subject as text.
pub(crate) fn subject_text(subject: &wire::SubjectReference) -> String {
    let object = subject.object.as_ref();
    let object = object.map(object_text).unwrap_or_default();
    match subject.optional_relation.as_str() {
        "" => object,
        relation => format!("{object}#{relation}"),
    }
}

/// An object as text.
pub(crate) fn object_text(object: &wire::ObjectReference) -> String {
    format!("{}:{}", object.object_type, object.object_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_parsed_and_printed() {
        for text in ["user:ann", "group:eng#member", "team/user:a/b|c-d=e+f_G"] {
            assert_eq!(subject_text(&subject(text).unwrap()), text);
        }
        let parsed = relationship("document:a#viewer@user:*").unwrap();
        assert_eq!(subject_text(&parsed.subject.unwrap()), "user:*");
    }

    #[test]
    fn what_no_server_takes_is_refused() {
        for text in [
            "",
            "user",
            ":",
            "user:",
            ":ann",
            "User:ann",
            "user:a b",
            "user:é",
            "user:*",
            "user:ann#",
            "user:ann#Member",
            "user:ann#a#b",
            "us-er:ann",
            "/user:ann",
            "1:a",
        ] {
            assert!(subject(text).is_err(), "{text}");
        }
        assert!(object("document:*").is_err());
        assert!(object(&format!("document:{}", "a".repeat(1_025))).is_err());
        for text in [
            "document:a@user:b",
            "document:a#viewer",
            "document:a#@user:b",
            "#v@user:b",
        ] {
            assert!(relationship(text).is_err(), "{text}");
        }
    }
}
