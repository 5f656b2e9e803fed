//! The ways from a text to a schema: alone, or with definitions that are part of every schema, whatever its text says.

use crate::compiled::Schema;
use crate::diagnostic::SchemaError;
use crate::resolve::compile;

/// Definitions that are built in, and the prefix that is kept for their names.
#[derive(Debug)]
pub struct BuiltIn {
    prefix: &'static str,
    schema: Schema,
}

impl BuiltIn {
    /// The definitions of `text`. A name that begins with `prefix` is kept for them.
    ///
    /// # Errors
    /// [`SchemaError`] as [`Schema::compile`].
    pub fn new(prefix: &'static str, text: &str) -> Result<Self, SchemaError> {
        let mut schema = Schema::compile(text)?;
        for definition in &mut schema.definitions {
            definition.is_built_in = true;
        }
        Ok(Self { prefix, schema })
    }

    pub(crate) fn prefix(&self) -> &'static str {
        self.prefix
    }

    pub(crate) fn schema(&self) -> Schema {
        self.schema.clone()
    }
}

impl Schema {
    /// Reads, resolves and checks a schema. The empty text is the empty schema.
    ///
    /// # Errors
    /// [`SchemaError`], the first fault: of reading, of names, of caveats, of types; or past
    /// [`TEXT_BYTES_MAX`](crate::TEXT_BYTES_MAX).
    pub fn compile(text: &str) -> Result<Self, SchemaError> {
        compile(text, None).map_err(SchemaError::first)
    }

    /// As [`Self::compile`], with the definitions that are built in, to which those of the text may refer.
    ///
    /// # Errors
    /// As [`Self::compile`], and for a name under the prefix that is kept for what is built in.
    pub fn compile_with(text: &str, built_in: &BuiltIn) -> Result<Self, SchemaError> {
        compile(text, Some(built_in)).map_err(SchemaError::first)
    }
}

/// Every fault of a schema that can be told at once, at most twenty; none if it compiles.
///
/// Faults of reading hide those of names, and these hide those of types: they would only follow from them.
#[must_use]
pub fn diagnose(text: &str) -> Vec<SchemaError> {
    compile(text, None).err().unwrap_or_default()
}

/// As [`diagnose`], for a text that is compiled with what is built in.
#[must_use]
pub fn diagnose_with(text: &str, built_in: &BuiltIn) -> Vec<SchemaError> {
    compile(text, Some(built_in)).err().unwrap_or_default()
}
