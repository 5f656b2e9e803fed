//! Whether a part names an object, and in which words.

use model::{ObjectRef, Relationship, SubjectId};

use super::entry::{Part, RecordValue};

impl Part {
    /// Whether the part names the object: as resource or subject of a relationship, as the key of a record, as the actor, or in a text
    /// that somebody wrote, spelled `definition:id`.
    #[must_use]
    pub fn names(&self, object: &ObjectRef) -> bool {
        match self {
            Self::Relationship { before, after } => {
                let mut sides = before.iter().chain(after);
                sides.any(|side| relationship_names(side, object))
            }
            Self::Actor(_)
            | Self::Reason(_)
            | Self::Metadata(_)
            | Self::Origin(_)
            | Self::Schema { .. }
            | Self::Record { .. } => {
                let name = object.to_string();
                self.texts().into_iter().any(|text| has_word(text, &name))
            }
            Self::Erased(_) => false,
        }
    }

    /// Whether a text of the part holds this one.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        self.texts().into_iter().any(|own| own.contains(text))
    }

    /// Every text of the part.
    fn texts(&self) -> Vec<&str> {
        match self {
            Self::Actor(text) => vec![text],
            Self::Reason(text) | Self::Metadata(text) | Self::Origin(text) => {
                text.iter().map(String::as_str).collect()
            }
            Self::Schema { before, after } => before
                .iter()
                .map(String::as_str)
                .chain([after.as_str()])
                .collect(),
            Self::Record {
                key, before, after, ..
            } => {
                let values = [before, after].into_iter().filter_map(|value| match value {
                    Some(RecordValue::Text(text)) => Some(text.as_str()),
                    Some(RecordValue::Bytes(_)) | None => None,
                });
                std::iter::once(key.as_str()).chain(values).collect()
            }
            Self::Relationship { before, after } => {
                before.iter().chain(after).map(String::as_str).collect()
            }
            Self::Erased(_) => Vec::new(),
        }
    }
}

/// Whether the relationship of this text has the object as its resource or subject, or names it in the context of its caveat.
fn relationship_names(text: &str, object: &ObjectRef) -> bool {
    let Ok(relationship) = text.parse::<Relationship>() else {
        // It was written as one; what cannot be read is judged by its words.
        return has_word(text, &object.to_string());
    };
    let subject = &relationship.subject;
    let is_subject = subject.definition == object.definition
        && matches!(&subject.id, SubjectId::Object(id) if *id == object.id);
    let context = relationship.caveat.as_ref();
    is_subject
        || relationship.resource == *object
        || context.is_some_and(|caveat| has_word(&caveat.context.to_json(), &object.to_string()))
}

/// Whether `word` is in `text` and no letter that a name may have is right before or after it.
fn has_word(text: &str, word: &str) -> bool {
    let is_of_name = |letter: char| letter.is_alphanumeric() || "/_|-=+".contains(letter);
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + word.len()..);
        let after = after.and_then(|after| after.chars().next());
        !before.is_some_and(is_of_name) && !after.is_some_and(is_of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_names_whom_it_names_and_nobody_else() {
        let ann: ObjectRef = "user:ann".parse().unwrap();
        let row = |text: &str| Part::Relationship {
            before: None,
            after: Some(text.to_owned()),
        };
        for part in [
            row("document:one#viewer@user:ann"),
            row("user:ann#manager@user:bob"),
            row(r#"document:one#viewer@user:bob[of:{"by":"user:ann"}]"#),
            Part::Actor("user:ann".to_owned()),
            Part::Reason(Some("asked by user:ann, twice".to_owned())),
            Part::Metadata(Some(r#"{"for":"user:ann"}"#.to_owned())),
            Part::Record {
                kind: "lock".to_owned(),
                key: "user:ann".to_owned(),
                before: None,
                after: Some(RecordValue::Text("lost".to_owned())),
            },
        ] {
            assert!(part.names(&ann), "{part:?}");
        }
        for part in [
            row("document:one#viewer@user:anna"),
            row("document:one#viewer@other_user:ann"),
            row("document:ann#viewer@group:ann#member"),
            Part::Actor("remit/user:ann".to_owned()),
            Part::Reason(Some("asked by user:ann-lee".to_owned())),
            Part::Metadata(None),
            Part::Erased(Vec::new()),
        ] {
            assert!(!part.names(&ann), "{part:?}");
        }
        assert!(Part::Reason(Some("for Ann Lee".to_owned())).holds("Ann"));
    }
}
