//! Patterns of relationships as conditions of SQL.

use std::borrow::Cow;

use model::{RelationshipFilter, ResourceIdFilter, SubjectRelationFilter, Timestamp};
use rusqlite::Statement;

/// A condition, with the values of its parameters from 1 on.
pub(super) struct Condition<'a> {
    /// The text after `WHERE`.
    pub(super) sql: String,
    values: Vec<Cow<'a, str>>,
    live_at: Timestamp,
}

impl<'a> Condition<'a> {
    /// The relationships that match `filter` and have not expired at `live_at`.
    pub(super) fn new(filter: &'a RelationshipFilter, live_at: Timestamp) -> Self {
        let mut condition = Self {
            sql: String::new(),
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
        let live_at = condition.parameter_count();
        condition
            .sql
            .push_str(&format!("(expires_at IS NULL OR expires_at > ?{live_at})"));
        condition
    }

    fn compare(&mut self, column: &str, value: impl Into<Cow<'a, str>>) {
        self.values.push(value.into());
        let number = self.values.len();
        self.sql.push_str(&format!("{column} ?{number} AND "));
    }

    /// How many parameters the condition has; the next one of the statement comes after them.
    pub(super) fn parameter_count(&self) -> usize {
        self.values.len() + 1
    }

    /// Binds the values.
    pub(super) fn bind(&self, statement: &mut Statement<'_>) -> rusqlite::Result<()> {
        for (at, value) in self.values.iter().enumerate() {
            statement.raw_bind_parameter(at + 1, value.as_ref())?;
        }
        statement.raw_bind_parameter(self.parameter_count(), self.live_at.as_micros())
    }
}
