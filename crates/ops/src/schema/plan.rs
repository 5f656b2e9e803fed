//! What writing a schema would do, before it is done.

use std::sync::Arc;

use identity::Caller;
use model::Token;
use schema::{Schema, SchemaChange, SchemaError};

use super::evolution;
use crate::access::{self, Action, Permit, Target};
use crate::consistency::Consistency;
use crate::error::{Error, Kind};
use crate::node::Node;

pub use super::evolution::{Break, Rows};

/// The most refused changes that a plan tells.
pub const BREAKS_MAX: usize = 100;
/// How far the relationships that forbid a change are counted.
pub const ROWS_MAX: u64 = 10_000;

/// What would become of a schema.
#[derive(Debug)]
pub struct Plan {
    /// The token of the snapshot that it was held against.
    pub at: Token,
    /// What it comes to.
    pub outcome: Outcome,
}

/// What a plan comes to.
#[derive(Debug)]
pub enum Outcome {
    /// The text is no schema, and this is why.
    Faulty(Vec<SchemaError>),
    /// The text is a schema.
    Sound {
        /// The schema in force.
        old: Arc<Schema>,
        /// The schema of the text.
        new: Schema,
        /// What it changes, in the order of names.
        changes: Vec<SchemaChange>,
        /// What a write would refuse, at most [`BREAKS_MAX`].
        breaks: Vec<Break>,
    },
}

/// Says what writing `text` as the schema would change and what would forbid it. Nothing is changed.
///
/// # Errors
/// [`Error`] for a text that is too long; the errors of [`Node::view`].
/// # Cost
/// One compilation; for each type, relation and definition that goes, a walk over the relationships below it, to the
/// limit of what is counted.
pub async fn plan(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    text: String,
) -> Result<Plan, Error> {
    Permit::of(node, caller)?.require(Action::WriteSchema, Target::System)?;
    super::check_length(node, &text)?;
    let view = node.view(consistency).await?;
    let at = view.token;
    let work = move || {
        let new = match access::compile(&text) {
            Ok(new) => new,
            Err(_) => return Outcome::Faulty(access::diagnose(&text)),
        };
        let old = Arc::clone(view.snapshot.schema());
        Outcome::Sound {
            changes: schema::diff(&old, &new),
            breaks: evolution::breaks(&view.snapshot, &new, BREAKS_MAX, ROWS_MAX),
            old,
            new,
        }
    };
    let outcome = tokio::task::spawn_blocking(work).await;
    let outcome =
        outcome.map_err(|error| Error::new(Kind::Internal, "planning failed").caused_by(error))?;
    Ok(Plan { at, outcome })
}
