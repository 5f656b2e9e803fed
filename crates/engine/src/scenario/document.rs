//! The YAML of a scenario file, and the places of its parts.

use std::collections::HashMap;

use model::Relationship;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::text;
use super::{
    Assertion, Expected, Located, Position, Scenario, ScenarioErrorReason, SchemaText, Validation,
};

type Result<T> = std::result::Result<T, (Position, ScenarioErrorReason)>;
type Entries = Option<Vec<Spanned<String>>>;

const START: Position = Position { line: 1, column: 1 };

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    schema: Option<Spanned<String>>,
    schema_file: Option<Spanned<String>>,
    now: Option<Spanned<String>>,
    relationships: Option<Spanned<String>>,
    assertions: Option<Assertions>,
    validation: Option<HashMap<Spanned<String>, Entries>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Assertions {
    assert_true: Entries,
    assert_false: Entries,
    assert_caveated: Entries,
    assert_error: Entries,
}

pub(super) fn read(
    file: &str,
    text: &str,
    load: impl FnOnce(&str) -> std::result::Result<String, String>,
) -> Result<Scenario> {
    let document: Document = serde_saphyr::from_str(text).map_err(|error| yaml_error(&error))?;
    let schema = match (&document.schema, &document.schema_file) {
        (Some(schema), None) => SchemaText {
            text: schema.value.clone(),
            file: file.to_owned(),
            position: schema_position(text, schema),
        },
        (None, Some(path)) => SchemaText {
            text: load(&path.value).map_err(|message| {
                let written = path.value.clone();
                at(
                    path,
                    ScenarioErrorReason::SchemaFile {
                        path: written,
                        message,
                    },
                )
            })?,
            file: path.value.clone(),
            position: START,
        },
        (None, None) => return Err((START, ScenarioErrorReason::SchemaCount)),
        (Some(_), Some(path)) => {
            return Err((position(path.referenced), ScenarioErrorReason::SchemaCount));
        }
    };
    let now = match &document.now {
        None => None,
        Some(now) => Some(now.value.parse().map_err(|e| at(now, e))?),
    };
    Ok(Scenario {
        schema,
        now,
        relationships: relationships(text, document.relationships.as_ref())?,
        assertions: assertions(document.assertions.unwrap_or_default())?,
        validations: validations(document.validation.unwrap_or_default())?,
    })
}

/// Where the first line of the schema stands, be it blank.
fn schema_position(file: &str, schema: &Spanned<String>) -> Position {
    let lines = Lines::new(file, schema);
    Position {
        line: lines.start.line.saturating_sub(lines.start_ix).max(1),
        column: lines.start.column,
    }
}

fn relationships(
    text: &str,
    block: Option<&Spanned<String>>,
) -> Result<Vec<Located<Relationship>>> {
    let Some(block) = block else {
        return Ok(Vec::new());
    };
    let lines = Lines::new(text, block);
    let mut relationships = Vec::new();
    let mut line_of = HashMap::new();
    for (ix, line) in block.value.lines().enumerate() {
        let written = line.trim();
        if written.is_empty() || written.starts_with("//") {
            continue;
        }
        let position = lines.position(ix, line);
        let relationship: Relationship = written
            .parse()
            .map_err(|error| (position, ScenarioErrorReason::Text(error)))?;
        if let Some(line) = line_of.insert(relationship.key(), position.line) {
            let key = relationship.key().to_string();
            let reason = ScenarioErrorReason::RelationshipRepeated { key, line };
            return Err((position, reason));
        }
        relationships.push(Located {
            value: relationship,
            position,
        });
    }
    Ok(relationships)
}

fn assertions(assertions: Assertions) -> Result<Vec<Located<Assertion>>> {
    let known = [
        (assertions.assert_true, Expected::Allowed),
        (assertions.assert_false, Expected::Denied),
        (assertions.assert_caveated, Expected::Conditional),
    ];
    let mut read = Vec::new();
    for (entries, expected) in known {
        for entry in entries.unwrap_or_default() {
            let question = text::question(&entry.value).map_err(|e| at(&entry, e))?;
            read.push(located(&entry, Assertion { question, expected }));
        }
    }
    for entry in assertions.assert_error.unwrap_or_default() {
        let (question, error) = text::failure(&entry.value).map_err(|e| at(&entry, e))?;
        let expected = Expected::Error(error);
        read.push(located(&entry, Assertion { question, expected }));
    }
    read.sort_by_key(|assertion| assertion.position);
    Ok(read)
}

fn validations(validation: HashMap<Spanned<String>, Entries>) -> Result<Vec<Located<Validation>>> {
    let mut read = Vec::new();
    for (asked, entries) in validation {
        let (resource, member) = text::member_of(&asked.value).map_err(|e| at(&asked, e))?;
        let mut subjects = Vec::new();
        for entry in entries.unwrap_or_default() {
            let subject = text::expected_subject(&entry.value).map_err(|e| at(&entry, e))?;
            subjects.push(located(&entry, subject));
        }
        let validation = Validation {
            resource,
            member,
            subjects,
        };
        read.push(located(&asked, validation));
    }
    read.sort_by_key(|validation| validation.position);
    Ok(read)
}

/// Where the lines of a text stand in the file that quotes it.
struct Lines<'a> {
    file: Vec<&'a str>,
    /// The first line of the text that is not blank: where the reader of YAML says that the text starts.
    start: Position,
    start_ix: usize,
}

impl<'a> Lines<'a> {
    fn new(file: &'a str, quoted: &Spanned<String>) -> Self {
        let is_blank = |line: &&str| line.trim().is_empty();
        Self {
            file: file.lines().collect(),
            start: position(quoted.referenced),
            start_ix: quoted.value.lines().take_while(is_blank).count(),
        }
    }

    /// Where the line `line`, the one at `ix` of the text, begins: the start of the text unless it stands in a literal
    /// block, whose lines are those of the file.
    fn position(&self, ix: usize, line: &str) -> Position {
        let file_ix = (self.start.line + ix).checked_sub(self.start_ix + 1);
        let file_line = file_ix.and_then(|ix| self.file.get(ix).copied());
        match (file_ix, file_line) {
            (Some(file_ix), Some(file_line)) if file_line.trim() == line.trim() => Position {
                line: file_ix + 1,
                column: 1 + file_line.chars().take_while(|c| c.is_whitespace()).count(),
            },
            _ => self.start,
        }
    }
}

fn located<T>(entry: &Spanned<String>, value: T) -> Located<T> {
    Located {
        value,
        position: position(entry.referenced),
    }
}

fn at(
    entry: &Spanned<String>,
    reason: impl Into<ScenarioErrorReason>,
) -> (Position, ScenarioErrorReason) {
    (position(entry.referenced), reason.into())
}

/// The place of a node; the start of the file where the reader of YAML knows none.
fn position(location: Location) -> Position {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
    Position {
        line: number(location.line()),
        column: number(location.column()),
    }
}

fn yaml_error(error: &serde_saphyr::Error) -> (Position, ScenarioErrorReason) {
    let location = error.location().unwrap_or(Location::UNKNOWN);
    let message = error.without_snippet().to_string();
    (position(location), ScenarioErrorReason::Yaml { message })
}
