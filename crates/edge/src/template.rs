//! Templates of paths: `/todos/{id}`, `/static/{path...}`.
//!
//! A part is a segment that is written out, a parameter that stands for one segment which is not empty, or, at the end, a
//! parameter that stands for all the segments that are left. Letters count as they are written, and so does a `/` at the end.

use std::fmt;

use crate::path::{PATH_BYTES_MAX, SEGMENTS_MAX, Segments};

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This segment, decoded.
    Literal(String),
    /// Any segment that is not empty.
    One(String),
    /// Every segment that is left, of which the last may be empty.
    Rest(String),
}

/// How what a template matches lies to what another does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// No path matches both.
    Apart,
    /// Both match the same paths.
    Same,
    /// The first matches some of what the second does.
    Narrower,
    /// The first matches all of what the second does, and more.
    Wider,
    /// Some paths match both, and each matches what the other does not.
    Across,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not begin with `/`.
    #[error("a path begins with `/`")]
    NotAbsolute,
    /// It is too long.
    #[error("a path has at most {PATH_BYTES_MAX} bytes and {SEGMENTS_MAX} segments")]
    TooLong,
    /// A brace that belongs to no parameter.
    #[error("a parameter is a whole segment, as in `/todos/{{id}}`, and not a part of one: `{0}`")]
    Braces(String),
    /// The name of a parameter is none.
    #[error(
        "`{0}` is no name of a parameter: expected letters, digits and `_`, beginning with a letter"
    )]
    Name(String),
    /// A name that stands twice.
    #[error("parameter `{0}` stands twice")]
    Twice(String),
    /// `{rest...}` that is not at the end.
    #[error("`{{{0}...}}` stands for all that is left, and has to be at the end")]
    RestNotLast(String),
    /// A segment that no path that is looked at has.
    #[error(
        "no request has the segment `{0}`: segments are neither empty, `.` nor `..`, and are written decoded"
    )]
    Segment(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] if it is none.
    pub fn read(text: &str) -> Result<Self, TemplateError> {
        let rest = text.strip_prefix('/').ok_or(TemplateError::NotAbsolute)?;
        let written: Vec<&str> = rest.split('/').collect();
        if text.len() > PATH_BYTES_MAX || written.len() > SEGMENTS_MAX {
            return Err(TemplateError::TooLong);
        }
        let mut parts: Vec<Part> = Vec::with_capacity(written.len());
        for (ix, segment) in written.iter().enumerate() {
            let is_last = ix + 1 == written.len();
            let part = part(segment, is_last)?;
            if let Some(name) = part.name()
                && parts.iter().any(|other| other.name() == Some(name))
            {
                return Err(TemplateError::Twice(name.to_owned()));
            }
            parts.push(part);
        }
        Ok(Self(parts))
    }

    /// The names of the parameters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Part::name)
    }

    /// The values of the parameters for a path that matches.
    #[must_use]
    pub fn matched<'t>(&'t self, path: &Segments) -> Option<Vec<(&'t str, String)>> {
        self.reached(path).filter(|_| !self.joins_slash(path))
    }

    /// Whether what is left of a path has an encoded `/` in it: joined, it could not be told from one that parts segments.
    pub(crate) fn joins_slash(&self, path: &Segments) -> bool {
        let Some((Part::Rest(_), before)) = self.0.split_last() else {
            return false;
        };
        let mut left = path.as_slice().iter().skip(before.len());
        left.any(|segment| segment.contains('/'))
    }

    /// As [`Self::matched`], also where [`Self::joins_slash`].
    pub(crate) fn reached<'t>(&'t self, path: &Segments) -> Option<Vec<(&'t str, String)>> {
        let segments = path.as_slice();
        let mut values = Vec::new();
        for (ix, part) in self.0.iter().enumerate() {
            let segment = segments.get(ix)?;
            match part {
                Part::Literal(literal) if literal == segment => {}
                Part::Literal(_) => return None,
                Part::One(name) if !segment.is_empty() => {
                    values.push((name.as_str(), segment.clone()))
                }
                Part::One(_) => return None,
                Part::Rest(name) => {
                    let left = segments.get(ix..)?;
                    values.push((name.as_str(), left.join("/")));
                    return Some(values);
                }
            }
        }
        (segments.len() == self.0.len()).then_some(values)
    }

    /// How this template lies to another.
    #[must_use]
    pub fn cover(&self, other: &Self) -> Cover {
        let (mut is_narrower, mut is_wider) = (false, false);
        let mut ix = 0;
        loop {
            match (self.0.get(ix), other.0.get(ix)) {
                (None, None) => break,
                (None, Some(_)) | (Some(_), None) => return Cover::Apart,
                (Some(Part::Rest(_)), Some(Part::Rest(_))) => break,
                (Some(Part::Rest(_)), Some(_)) => {
                    is_wider = true;
                    break;
                }
                (Some(_), Some(Part::Rest(_))) => {
                    is_narrower = true;
                    break;
                }
                (Some(Part::Literal(left)), Some(Part::Literal(right))) if left == right => {}
                (Some(Part::Literal(_)), Some(Part::Literal(_))) => return Cover::Apart,
                (Some(Part::Literal(literal)), Some(Part::One(_)))
                | (Some(Part::One(_)), Some(Part::Literal(literal)))
                    if literal.is_empty() =>
                {
                    return Cover::Apart;
                }
                (Some(Part::Literal(_)), Some(Part::One(_))) => is_narrower = true,
                (Some(Part::One(_)), Some(Part::Literal(_))) => is_wider = true,
                (Some(Part::One(_)), Some(Part::One(_))) => {}
            }
            ix += 1;
        }
        match (is_narrower, is_wider) {
            (false, false) => Cover::Same,
            (true, false) => Cover::Narrower,
            (false, true) => Cover::Wider,
            (true, true) => Cover::Across,
        }
    }

    /// A template that comes before each that is wider.
    pub(crate) fn rank(&self) -> Vec<u8> {
        let ranks = self.0.iter().map(|part| match part {
            Part::Literal(_) => 0,
            Part::One(_) => 1,
            Part::Rest(_) => 2,
        });
        ranks.collect()
    }
}

impl Part {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::One(name) | Self::Rest(name) => Some(name),
        }
    }
}

fn part(segment: &str, is_last: bool) -> Result<Part, TemplateError> {
    if let Some(inner) = segment
        .strip_prefix('{')
        .and_then(|it| it.strip_suffix('}'))
    {
        let (name, is_rest) = match inner.strip_suffix("...") {
            Some(name) => (name, true),
            None => (inner, false),
        };
        let mut letters = name.bytes();
        let is_name = letters.next().is_some_and(|it| it.is_ascii_alphabetic())
            && letters.all(|it| it.is_ascii_alphanumeric() || it == b'_');
        if !is_name {
            return Err(TemplateError::Name(name.to_owned()));
        }
        return match (is_rest, is_last) {
            (false, _) => Ok(Part::One(name.to_owned())),
            (true, true) => Ok(Part::Rest(name.to_owned())),
            (true, false) => Err(TemplateError::RestNotLast(name.to_owned())),
        };
    }
    if segment.contains(['{', '}']) {
        return Err(TemplateError::Braces(segment.to_owned()));
    }
    let is_odd = |c: char| matches!(c, '%' | '\\' | '?' | '#') || c.is_control();
    let is_dots = matches!(segment.split(';').next(), Some("." | ".."));
    if (segment.is_empty() && !is_last) || is_dots || segment.contains(is_odd) {
        return Err(TemplateError::Segment(segment.to_owned()));
    }
    Ok(Part::Literal(segment.to_owned()))
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Literal(text) => write!(f, "/{text}")?,
                Part::One(name) => write!(f, "/{{{name}}}")?,
                Part::Rest(name) => write!(f, "/{{{name}...}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template::read(text).unwrap()
    }

    fn matched(text: &str, path: &str) -> Option<String> {
        let template = template(text);
        let values = template.matched(&Segments::read(path).unwrap())?;
        let told = values.iter().map(|(name, value)| format!("{name}={value}"));
        Some(told.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_parameter_is_one_segment_and_the_rest_is_all_that_is_left() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(matched("/todos/{id}", "/todos/7"), some("id=7"));
        assert_eq!(matched("/todos/{id}", "/todos/a%2Fb"), some("id=a/b"));
        assert_eq!(matched("/todos/{id}", "/todos/"), None);
        assert_eq!(matched("/todos/{id}", "/todos"), None);
        assert_eq!(matched("/todos/{id}", "/todos/7/"), None);
        assert_eq!(matched("/todos/{id}", "/Todos/7"), None);
        assert_eq!(matched("/todos/", "/todos/"), some(""));
        assert_eq!(matched("/todos/", "/todos"), None);
        assert_eq!(matched("/", "/"), some(""));
        assert_eq!(matched("/a b", "/a%20b"), some(""));
        assert_eq!(matched("/s/{p...}", "/s/a/b"), some("p=a/b"));
        assert_eq!(matched("/s/{p...}", "/s/a/"), some("p=a/"));
        assert_eq!(matched("/s/{p...}", "/s/"), some("p="));
        assert_eq!(matched("/s/{p...}", "/s"), None);
        assert_eq!(matched("/s/{p...}", "/s/a%2Fb"), None);
        assert_eq!(matched("/{p...}", "/"), some("p="));
        assert_eq!(matched("/{a}/{b}", "/1/2"), some("a=1 b=2"));
    }

    #[test]
    fn what_is_no_template_says_why() {
        for (text, part) in [
            ("todos", "begins with"),
            ("/a{id}", "whole segment"),
            ("/{id}.json", "whole segment"),
            ("/{}", "no name"),
            ("/{1}", "no name"),
            ("/{a-b}", "no name"),
            ("/{a}/{a}", "twice"),
            ("/{a...}/b", "at the end"),
            ("/a//b", "no request"),
            ("/a/../b", "no request"),
            ("/a%20b", "no request"),
            ("/a?b", "no request"),
        ] {
            let error = Template::read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn templates_lie_to_each_other() {
        for (left, right, cover) in [
            ("/todos/{id}", "/todos/{name}", Cover::Same),
            ("/todos/new", "/todos/{id}", Cover::Narrower),
            ("/{a}/{b}", "/todos/{id}", Cover::Wider),
            ("/{a}/b", "/a/{b}", Cover::Across),
            ("/a/{r...}", "/{x}/b", Cover::Across),
            ("/a", "/b", Cover::Apart),
            ("/a", "/a/", Cover::Apart),
            ("/a/", "/a/{id}", Cover::Apart),
            ("/a/", "/a/{r...}", Cover::Narrower),
            ("/a", "/a/{r...}", Cover::Apart),
            ("/{r...}", "/{s...}", Cover::Same),
            ("/{r...}", "/a/b", Cover::Wider),
        ] {
            assert_eq!(
                template(left).cover(&template(right)),
                cover,
                "{left} {right}"
            );
        }
    }
}
