//! What an edge counts for, by its annotation: its expiration is judged at `now`, its caveat with the context.

use schema::Schema;
use schema::caveat::Outcome;

use super::Environment;
use super::value::Value;
use crate::graph::Annotation;

/// Whether an edge with `annotation` counts.
pub(super) fn value(
    schema: &Schema,
    annotation: Option<&Annotation>,
    environment: Environment<'_>,
) -> Value {
    let Some(annotation) = annotation else {
        return Value::Yes;
    };
    if annotation.is_expired(environment.now) {
        return Value::No;
    }
    let Some(caveat) = annotation.caveat() else {
        return Value::Yes;
    };
    let Some(ix) = schema.caveat_ix(caveat.name.as_str()) else {
        // No schema is written that lacks a caveat in use; were there one, its edges would grant nothing.
        return Value::No;
    };
    match schema
        .caveat(ix)
        .program
        .evaluate(&caveat.context, environment.context)
    {
        Ok(Outcome::True) => Value::Yes,
        Ok(Outcome::False) => Value::No,
        Ok(Outcome::Missing(names)) => Value::missing(names),
        Err(error) => Value::error(error.into()),
    }
}
