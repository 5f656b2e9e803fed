//! What the stores in SQL have in common: the columns of a relationship, and patterns as conditions, which differ in nothing but
//! the sign of a parameter.

use std::borrow::Cow;

use model::{
    RelationshipFilter, RelationshipKey, ResourceIdFilter, SubjectRelationFilter, Timestamp,
};

/// The columns of a relationship.
pub(crate) const RELATIONSHIP_COLUMNS: &str = "resource_definition, resource_id, relation, subject_definition, \
     subject_id, subject_relation, caveat, context, expires_at, revision";

/// The order of the keys, which is that of the primary key.
pub(crate) const KEY_ORDER: &str =
    "resource_definition, resource_id, relation, subject_definition, subject_id, subject_relation";

/// A condition, with the values of its parameters from 1 on.
pub(crate) struct Condition<'a> {
    /// The text after `WHERE`.
    pub(crate) sql: String,
    sign: char,
    values: Vec<Cow<'a, str>>,
    live_at: Timestamp,
}

impl<'a> Condition<'a> {
    /// The relationships that match `filter` and have not expired at `live_at`; parameters are `sign` and a number.
    pub(crate) fn new(filter: &'a RelationshipFilter, live_at: Timestamp, sign: char) -> Self {
        Self::after(filter, None, live_at, sign)
    }

    /// As [`Self::new`], but only those whose keys come after one.
    pub(crate) fn after(
        filter: &'a RelationshipFilter,
        key: Option<&'a RelationshipKey>,
        live_at: Timestamp,
        sign: char,
    ) -> Self {
        let mut condition = Self {
            sql: String::new(),
            sign,
            values: Vec::new(),
            live_at,
        };
        if let Some(definition) = &filter.definition {
            condition.compare("resource_definition =", definition.as_str());
        }
        match &filter.resource_id {
            None => {}
            Some(ResourceIdFilter::Exact(id)) => condition.compare("resource_id =", id.as_str()),
            Some(ResourceIdFilter::Prefix(prefix)) => {
                condition.compare("resource_id >=", prefix.as_str());
                // No id has a character above `|`, so every id with the prefix sorts before the prefix with a DEL.
                condition.compare("resource_id <", format!("{prefix}\u{7f}"));
            }
        }
        if let Some(relation) = &filter.relation {
            condition.compare("relation =", relation.as_str());
        }
        if let Some(subject) = &filter.subject {
            condition.compare("subject_definition =", subject.definition.as_str());
            if let Some(id) = &subject.id {
                condition.compare("subject_id =", id.as_str());
            }
            match &subject.relation {
                SubjectRelationFilter::Any => {}
                SubjectRelationFilter::None => condition.compare("subject_relation =", ""),
                SubjectRelationFilter::Relation(name) => {
                    condition.compare("subject_relation =", name.as_str())
                }
            }
        }
        if let Some(key) = key {
            condition.come_after(key);
        }
        let live_at = condition.parameter_count();
        condition.sql.push_str(&format!(
            "(expires_at IS NULL OR expires_at > {sign}{live_at})"
        ));
        condition
    }

    fn come_after(&mut self, key: &'a RelationshipKey) {
        let subject = &key.subject;
        let subject_relation = subject.relation.as_ref();
        let parts = [
            key.resource.definition.as_str(),
            key.resource.id.as_str(),
            key.relation.as_str(),
            subject.definition.as_str(),
            subject.id.as_str(),
            subject_relation.map_or("", |name| name.as_str()),
        ];
        let numbers: Vec<String> = parts
            .into_iter()
            .map(|part| {
                self.values.push(part.into());
                format!("{}{}", self.sign, self.values.len())
            })
            .collect();
        let numbers = numbers.join(", ");
        self.sql
            .push_str(&format!("({KEY_ORDER}) > ({numbers}) AND "));
    }

    fn compare(&mut self, column: &str, value: impl Into<Cow<'a, str>>) {
        self.values.push(value.into());
        let number = self.values.len();
        let sign = self.sign;
        self.sql.push_str(&format!("{column} {sign}{number} AND "));
    }

    /// How many parameters the condition has; the next one of the statement comes after them.
    pub(crate) fn parameter_count(&self) -> usize {
        self.values.len() + 1
    }

    /// The texts to bind, from the first parameter on.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(AsRef::as_ref)
    }

    /// The instant to bind after the texts, in microseconds since 1970.
    pub(crate) fn live_at(&self) -> i64 {
        self.live_at.as_micros()
    }
}
