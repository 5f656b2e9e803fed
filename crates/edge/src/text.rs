//! Texts with expressions in them: `todo-${params.id}`. `$${` is `${` as it stands.

use schema::caveat::{Bound, Computation, ComputeError, ParameterType, Scope};

/// Longest expression, in characters.
pub(crate) const EXPRESSION_CHARS_MAX: usize = 4_096;
/// Longest text that expressions make, in bytes.
const TEXT_BYTES_MAX: usize = 8_192;

/// A text, and what is computed in it.
#[derive(Debug, Clone)]
pub(crate) struct Text(pub(crate) Vec<Piece>);

/// A part of a text.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// As it stands.
    Literal(String),
    /// The value of an expression.
    Computed(Computation),
}

impl Text {
    /// Reads `written`; says what is wrong with it otherwise.
    pub(crate) fn read(written: &str, scope: &Scope) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = written;
        while let Some(at) = rest.find("${") {
            let (before, after) = rest.split_at(at);
            let after = after.strip_prefix("${").unwrap_or(after);
            if let Some(before) = before.strip_suffix('$') {
                literal.push_str(before);
                literal.push_str("${");
                rest = after;
                continue;
            }
            literal.push_str(before);
            let end = end_of_expression(after);
            let end = end.ok_or_else(|| format!("`${{` without its `}}` in `{written}`"))?;
            let (source, after) = after.split_at(end);
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Computed(expression(source, scope)?));
            rest = after.strip_prefix('}').unwrap_or(after);
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// The one expression that the text is.
    pub(crate) fn as_expression(&self) -> Option<&Computation> {
        match self.0.as_slice() {
            [Piece::Computed(computation)] => Some(computation),
            _ => None,
        }
    }

    /// The text, where nothing is computed in it.
    pub(crate) fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Every expression in it.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Computation> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Computed(computation) => Some(computation),
        })
    }

    pub(crate) fn compute(&self, bound: &mut Bound) -> Result<String, ComputeError> {
        joined(&self.0, bound, |text, value| text.push_str(&value))
    }
}

/// The texts of `pieces`, of which `add` puts those that are computed behind what there is.
pub(crate) fn joined(
    pieces: &[Piece],
    bound: &mut Bound,
    add: impl Fn(&mut String, String),
) -> Result<String, ComputeError> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Computed(computation) => add(&mut text, computation.compute_text(bound)?),
        }
        if text.len() > TEXT_BYTES_MAX {
            let detail = format!("the text has more than {TEXT_BYTES_MAX} bytes");
            return Err(ComputeError::Failed(detail));
        }
    }
    Ok(text)
}

fn expression(source: &str, scope: &Scope) -> Result<Computation, String> {
    let chars = source.chars().count();
    if chars > EXPRESSION_CHARS_MAX {
        return Err(format!(
            "an expression has {chars} characters, at most {EXPRESSION_CHARS_MAX} are allowed"
        ));
    }
    let compiled = scope.compile("expression", source, &ParameterType::Any);
    compiled.map_err(|error| {
        let hint = unknown_name(&error.to_string())
            .and_then(|name| schema::diagnostic::did_you_mean(&name, scope.names()))
            .map_or_else(String::new, |hint| format!("; {hint}"));
        format!("in `${{{source}}}`: {error}{hint}")
    })
}

/// The name that a message says is not declared.
fn unknown_name(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("undeclared reference to '")?;
    rest.split('\'').next().map(str::to_owned)
}

/// Where the brace stands that closes an expression; those in its texts and its maps do not count.
fn end_of_expression(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::scope;
    use model::Value;

    fn compute(written: &str) -> Result<String, String> {
        let scope = scope().unwrap();
        let text = Text::read(written, &scope)?;
        let mut bound = scope
            .bind(|name| (name == "path").then(|| Value::String("/a".to_owned())))
            .unwrap();
        text.compute(&mut bound).map_err(|error| error.to_string())
    }

    #[test]
    fn expressions_are_computed_where_they_stand() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(compute("plain"), ok("plain"));
        assert_eq!(compute(""), ok(""));
        assert_eq!(compute("a${path}b${path}"), ok("a/ab/a"));
        assert_eq!(compute("${'}' + \"{'\" + path}"), ok("}{'/a"));
        assert_eq!(compute("${{'k': path}.k}"), ok("/a"));
        assert_eq!(compute("$${path} $5"), ok("${path} $5"));
        assert_eq!(
            compute("${method}"),
            Err("`method` has no value".to_owned())
        );
        assert!(
            compute("${path * 9}")
                .unwrap_err()
                .contains("found no matching overload")
        );
        assert!(compute("${path").unwrap_err().contains("without its `}`"));
        assert!(
            compute("${pth}")
                .unwrap_err()
                .contains("did you mean `path`?")
        );
        let long = format!("${{path + '{}'}}", "x".repeat(EXPRESSION_CHARS_MAX));
        assert!(compute(&long).unwrap_err().contains("at most 4096"));
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert!(compute(&long).unwrap_err().contains("more than 8192 bytes"));
    }
}
