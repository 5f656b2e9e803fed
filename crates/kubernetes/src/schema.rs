//! The definitions of Kubernetes, and a company's schema with them.

use schema::SchemaError;

/// The text of the definitions. They stand under `kubernetes/`.
pub const TEXT: &str = include_str!("schema.zed");

/// Why a schema cannot have the definitions beside its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// It has them already, perhaps of another version.
    #[error(
        "the schema has definitions or caveats under `kubernetes/` already: take them out, and merge again"
    )]
    Present,
    /// It cannot be read.
    #[error("the schema cannot be read: {0}")]
    Unreadable(SchemaError),
    /// Both together are no schema.
    #[error("the schema is not one with the definitions of Kubernetes beside it: {0}")]
    Refused(SchemaError),
}

/// The schema of a company with the definitions beside its own: flags first, then its own, then these.
///
/// # Errors
/// [`MergeError`] for a text that is no schema, or has the definitions already.
pub fn merged(company: &str) -> Result<String, MergeError> {
    let own = schema::format(company).map_err(MergeError::Unreadable)?;
    if own.contains("definition kubernetes/") || own.contains("caveat kubernetes/") {
        return Err(MergeError::Present);
    }
    let is_flag = |line: &&str| line.starts_with("use ");
    let mut flags: Vec<&str> = own.lines().chain(TEXT.lines()).filter(is_flag).collect();
    flags.sort_unstable();
    flags.dedup();
    let mut text = flags.join("\n");
    for part in [own.as_str(), TEXT] {
        let rest: Vec<&str> = part.lines().filter(|line| !is_flag(line)).collect();
        text.push_str("\n\n");
        text.push_str(rest.join("\n").trim());
    }
    text.push('\n');
    // Names are for the server to look at, which knows what is built in beside them.
    schema::format(&text).map_err(MergeError::Refused)
}

#[cfg(test)]
mod tests {
    use schema::Schema;

    use super::*;

    #[test]
    fn the_text_is_a_schema_in_form() {
        Schema::compile(TEXT).unwrap();
        assert_eq!(schema::format(TEXT).unwrap(), TEXT);
    }

    #[test]
    fn a_company_keeps_its_own() {
        let company = "use expiration\n// Ours.\ndefinition user {}\n\n/** A file. */\ndefinition doc {\n\trelation viewer: user with expiration\n}\n";
        let merged = merged(company).unwrap();
        assert!(
            merged.starts_with("use expiration\nuse self\n\n"),
            "{merged}"
        );
        assert!(merged.contains("/** A file. */\ndefinition doc {"));
        assert!(merged.contains("definition kubernetes/rule {"));
        assert_eq!(super::merged(&merged), Err(MergeError::Present));
        assert!(matches!(
            super::merged("definition {"),
            Err(MergeError::Unreadable(_))
        ));
        // What is a name without a flag is a word with it.
        assert!(matches!(
            super::merged("definition user {\n\trelation self: user\n}\n"),
            Err(MergeError::Refused(_))
        ));
    }
}
