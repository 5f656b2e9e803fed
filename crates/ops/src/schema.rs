//! Writing and reading the schema, and looking into it ([`reflect`]) and ahead ([`plan`]).

use identity::Caller;
use model::Token;
use schema::{Schema, SchemaError, SchemaErrorClass};
use store::ChangeRequest;

use crate::consistency::Consistency;
use crate::error::{Error, Kind, Reason};
use crate::node::Node;
use crate::write;

pub mod plan;
pub mod reflect;

mod evolution;

/// The schema as it is read back.
#[derive(Debug)]
pub struct Read {
    /// The text, in the form that every client of the API expects.
    pub text: String,
    /// The token of the snapshot that it is of.
    pub at: Token,
}

/// Replaces the schema.
///
/// # Errors
/// [`Error`] for a text that is too long or wrong, and for a change that existing relationships forbid, with the one that
/// does. Nothing has changed then.
pub async fn write(node: &Node, caller: &Caller, text: &str) -> Result<Token, Error> {
    check_length(node, text)?;
    let schema = Schema::compile(text)?;
    let committed = write::commit_at_head(node, caller, (Vec::new(), None), |head| {
        evolution::check(&head.snapshot, &schema)?;
        Ok(vec![ChangeRequest::Schema(text.to_owned())])
    })
    .await?;
    node.published(committed.revision, committed.hash).await
}

fn check_length(node: &Node, text: &str) -> Result<(), Error> {
    let bytes_max = node.settings().limits.schema_bytes_max;
    if text.len() <= bytes_max {
        return Ok(());
    }
    let message = format!(
        "the schema has {} bytes, at most {bytes_max} are allowed",
        text.len()
    );
    Err(Error::new(Kind::InvalidArgument, message))
}

/// Reads the schema at the head.
///
/// # Errors
/// [`Kind::NotFound`] while there is none.
pub async fn read(node: &Node, _caller: &Caller) -> Result<Read, Error> {
    let view = node.view(Consistency::FullyConsistent).await?;
    let schema = view.snapshot.schema();
    if schema.is_empty() {
        let message = "no schema has been defined; please call WriteSchema to start";
        return Err(Error::new(Kind::NotFound, message));
    }
    Ok(Read {
        text: schema.to_text(),
        at: view.token,
    })
}

impl From<SchemaError> for Error {
    fn from(error: SchemaError) -> Self {
        let (kind, reason) = match error.class() {
            SchemaErrorClass::Parse => (Kind::InvalidArgument, Some(Reason::SchemaParseError)),
            SchemaErrorClass::Type => (Kind::FailedPrecondition, Some(Reason::SchemaTypeError)),
            SchemaErrorClass::Other => (Kind::InvalidArgument, None),
        };
        let mut mapped = Self::new(kind, error.wire_message());
        mapped.reason = reason;
        mapped.metadata = error.metadata().to_vec();
        mapped
    }
}
