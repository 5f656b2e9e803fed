//! What is wrong with a schema: in the words of the wire for programs, and with the line and a hint for people.

use std::fmt;
use std::ops::Range;

/// What kind of fault a schema has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaErrorClass {
    /// It cannot be read.
    Parse,
    /// It is read, and does not make sense.
    Type,
    /// Neither of the two, for which the wire has no reason of its own.
    Other,
}

/// Why a text is no schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError(Box<Fault>);

/// Boxed, so that the parser's results stay small.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    class: SchemaErrorClass,
    message: String,
    metadata: Vec<(&'static str, String)>,
    /// Where, in bytes of the text.
    span: Option<Range<usize>>,
    /// What a person is shown, where that is less than `span`.
    marked: Option<Range<usize>>,
    /// Line and column as the wire tells them, from 1; for faults of reading alone.
    position: Option<(usize, usize)>,
    hint: Option<String>,
}

impl SchemaError {
    pub(crate) fn parse(text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let position = line_and_byte(text, span.start);
        let mut error = Self::new(SchemaErrorClass::Parse, Some(span), message.into());
        error.0.position = Some((position.0 + 1, position.1 + 1));
        error
    }

    fn new(class: SchemaErrorClass, span: Option<Range<usize>>, message: String) -> Self {
        Self(Box::new(Fault {
            class,
            message,
            metadata: Vec::new(),
            span,
            marked: None,
            position: None,
            hint: None,
        }))
    }

    /// Adds the place as the wire does: from 0, with an end that is inclusive and of its own, and the text there.
    pub(crate) fn located(mut self, text: &str, end: usize, source: &str) -> Self {
        let start = self.0.span.as_ref().map_or(0, |span| span.start);
        let (start, end) = (line_and_byte(text, start), line_and_byte(text, end));
        self.0.metadata = vec![
            ("start_line_number", start.0.to_string()),
            ("start_column_position", start.1.to_string()),
            ("end_line_number", end.0.to_string()),
            ("end_column_position", end.1.to_string()),
            ("source_code", source.to_owned()),
        ];
        self
    }

    pub(crate) fn typed(span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(SchemaErrorClass::Type, Some(span), message.into())
    }

    pub(crate) fn other(span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        Self::new(SchemaErrorClass::Other, span, message.into())
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.metadata.push((name, value.to_string()));
        self
    }

    /// The one of several faults that the wire tells.
    pub(crate) fn first(faults: Vec<Self>) -> Self {
        let none = || Self::other(None, "the schema has a fault");
        faults.into_iter().next().unwrap_or_else(none)
    }

    /// Points a person to a smaller part of the text.
    pub(crate) fn marked(mut self, mark: Option<Range<usize>>) -> Self {
        self.0.marked = mark;
        self
    }

    pub(crate) fn hinted(mut self, hint: Option<String>) -> Self {
        self.0.hint = hint;
        self
    }

    /// What kind of fault it is.
    #[must_use]
    pub fn class(&self) -> SchemaErrorClass {
        self.0.class
    }

    /// The fault in the words of the wire.
    #[must_use]
    pub fn wire_message(&self) -> String {
        match self.0.position {
            Some((line, column)) => {
                format!(
                    "parse error in `schema`, line {line}, column {column}: {}",
                    self.0.message
                )
            }
            None => self.0.message.clone(),
        }
    }

    /// Details for programs, by name.
    #[must_use]
    pub fn metadata(&self) -> &[(&'static str, String)] {
        &self.0.metadata
    }

    /// What to do about it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The line and the column of `text` that a person is pointed to, in characters, both from 1.
    #[must_use]
    pub fn place(&self, text: &str) -> Option<(usize, usize)> {
        let span = self.0.marked.as_ref().or(self.0.span.as_ref())?;
        let (line, column) = line_and_column(text, span.start);
        Some((line + 1, column + 1))
    }

    /// The fault for a person: the place in `text`, which is called `source_name`, the line with a marker, and a hint.
    #[must_use]
    pub fn render(&self, source_name: &str, text: &str) -> String {
        let message = self.0.message.lines().next().unwrap_or_default();
        let mut out = message.to_owned();
        if let Some(span) = self.0.marked.as_ref().or(self.0.span.as_ref()) {
            let (line_ix, column) = line_and_column(text, span.start);
            let number = (line_ix + 1).to_string();
            let margin = " ".repeat(number.len());
            let marked = text
                .get(span.clone())
                .and_then(|marked| marked.lines().next())
                .unwrap_or_default();
            let line = text.lines().nth(line_ix).unwrap_or_default();
            // A line without end, as a program writes it, is shown from near the fault on.
            let skipped = column.saturating_sub(SHOWN_CHARS_MAX / 2);
            let line: String = line
                .chars()
                .skip(skipped)
                .take(SHOWN_CHARS_MAX)
                .map(shown)
                .collect();
            let lead: String = line.chars().take(column - skipped).map(blank).collect();
            let room = SHOWN_CHARS_MAX - (column - skipped).min(SHOWN_CHARS_MAX);
            let marker = "^".repeat(marked.chars().count().min(room).max(1));
            out.push_str(&format!(
                "\n{margin}--> {source_name}:{number}:{}\n{margin} |\n{number} | {line}\n{margin} | {lead}{marker}",
                column + 1
            ));
        }
        if let Some(hint) = &self.0.hint {
            out.push_str(&format!("\nhelp: {hint}"));
        }
        out
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.wire_message())
    }
}

impl std::error::Error for SchemaError {}

/// The most of a line that is shown.
const SHOWN_CHARS_MAX: usize = 160;

/// A character as it is shown: what would steer a terminal is not.
fn shown(c: char) -> char {
    if c.is_control() && c != '\t' {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

/// Tabs stay tabs, so that the marker stands below what it marks.
fn blank(c: char) -> char {
    if c == '\t' { '\t' } else { ' ' }
}

/// The line and the column, in bytes as the wire counts them, of a byte of `text`; both from 0.
fn line_and_byte(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count(), before.len() - line_start)
}

/// The line and the column, in characters, of a byte of `text`; both from 0.
pub(crate) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count();
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count());
    (line, column)
}

/// The name among `known` that `name` was most likely meant to be, as a question.
#[must_use]
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let distance_max = (name.len() / 3).max(1);
    let nearest = known.map(|other| (distance(name, other), other)).min()?;
    (nearest.0 <= distance_max).then(|| format!("did you mean `{}`?", nearest.1))
}

/// The number of edits (Levenshtein) between two short names.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut last = i + 1;
        for (r, above) in right.iter().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = *above;
            last = replaced.min(diagonal + 1).min(last + 1);
            *above = last;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
