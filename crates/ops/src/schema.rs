//! Writing and reading the schema, and looking into it ([`reflect`]) and ahead ([`plan`]).

use std::collections::HashSet;

use identity::Caller;
use model::{DefinitionName, Token};
use schema::{Caveat, Schema, SchemaError, SchemaErrorClass};
use store::ChangeRequest;

use crate::access::{self, Action, Permit, Target};
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
    Permit::of(node, caller)?.require(Action::WriteSchema, Target::System)?;
    check_length(node, text)?;
    let schema = access::compile(text)?;
    let committed = write::commit_at_head(node, caller, (Vec::new(), None), |head| {
        Permit::at(node, caller, head.clone())?.require(Action::WriteSchema, Target::System)?;
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
pub async fn read(node: &Node, caller: &Caller) -> Result<Read, Error> {
    let view = node.view(Consistency::FullyConsistent).await?;
    let schema = view.snapshot.schema();
    let text = Shown::text(&Permit::of(node, caller)?, schema)?;
    if text.is_empty() {
        let message = "no schema has been defined; please call WriteSchema to start";
        return Err(Error::new(Kind::NotFound, message));
    }
    Ok(Read {
        text,
        at: view.token,
    })
}

/// What of the schema a caller is shown: all of it, or the definitions whose schema it may read.
pub(crate) enum Shown {
    All,
    Definitions(HashSet<DefinitionName>),
}

impl Shown {
    fn to(permit: &Permit<'_>, schema: &Schema) -> Result<Self, Error> {
        if permit.may(Action::ReadSchema, Target::System)? {
            return Ok(Self::All);
        }
        let mut shown = HashSet::new();
        for (_, definition) in schema.written_definitions() {
            let name = &definition.name;
            if permit.may(Action::ReadSchema, Target::Definition(name.as_str()))? {
                shown.insert(name.clone());
            }
        }
        Ok(Self::Definitions(shown))
    }

    /// The text of what the caller is shown.
    ///
    /// # Errors
    /// [`Error`] if it cannot be told what that is.
    pub(crate) fn text(permit: &Permit<'_>, schema: &Schema) -> Result<String, Error> {
        let shown = Self::to(permit, schema)?;
        Ok(schema.to_text_of(
            |definition| shown.has(&definition.name),
            |caveat| shown.has_caveat(schema, caveat),
        ))
    }

    fn has(&self, definition: &DefinitionName) -> bool {
        match self {
            Self::All => true,
            Self::Definitions(shown) => shown.contains(definition),
        }
    }

    /// Whether a definition that is shown uses the caveat.
    fn has_caveat(&self, schema: &Schema, caveat: &Caveat) -> bool {
        match self {
            Self::All => true,
            Self::Definitions(shown) => {
                schema
                    .caveat_ix(caveat.name.as_str())
                    .is_some_and(|caveat| {
                        let mut members = schema.members().map(|(_, member)| member);
                        members.any(|member| {
                            shown.contains(&schema.definition(member.definition).name)
                                && member.uses_caveat(caveat)
                        })
                    })
            }
        }
    }
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
