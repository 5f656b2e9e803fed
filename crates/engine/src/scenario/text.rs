//! The small texts within a scenario file: questions, expected errors, expected subjects.

use model::{Context, ObjectRef, RelationName, SubjectRef, TextError};

use super::{ExpectedError, ExpectedException, ExpectedSubject, Question, ScenarioErrorReason};

type Result<T> = std::result::Result<T, ScenarioErrorReason>;

const QUESTION_EXAMPLE: &str = "document:readme#view@user:ann";

/// `document:readme#view@user:ann with {"day":"friday"}`
pub(super) fn question(text: &str) -> Result<Question> {
    // No part of the question itself has a space in it.
    let (asked, context) = match text.trim().split_once(" with ") {
        Some((asked, json)) => (asked, Context::from_json(json)?),
        None => (text.trim(), Context::default()),
    };
    let (member, subject) = split(asked, "@")?;
    let (resource, member) = member_of(member)?;
    Ok(Question {
        resource,
        member,
        subject: subject.trim().parse::<SubjectRef>()?,
        context,
    })
}

/// `document:readme#view@user:ann = cyclic exclusion`
pub(super) fn failure(text: &str) -> Result<(Question, ExpectedError)> {
    let error = || ScenarioErrorReason::ErrorKind { text: cut(text) };
    let (asked, kind) = text.rsplit_once(" = ").ok_or_else(error)?;
    let kind = match kind.trim() {
        "depth exceeded" => ExpectedError::DepthExceeded,
        "cyclic exclusion" => ExpectedError::CyclicExclusion,
        "caveat error" => ExpectedError::Caveat,
        _ => return Err(error()),
    };
    Ok((question(asked)?, kind))
}

/// `document:readme#view`
pub(super) fn member_of(text: &str) -> Result<(ObjectRef, RelationName)> {
    let (resource, member) = split(text.trim(), "#")?;
    Ok((resource.parse()?, RelationName::new(member)?))
}

/// `[user:* - {user:bob, user:cat[...]}] is <document:readme#viewer>/<document:readme#owner>`
pub(super) fn expected_subject(text: &str) -> Result<ExpectedSubject> {
    let missing = |expected| ScenarioErrorReason::ExpectedSubject {
        expected,
        text: cut(text),
    };
    let (bracketed, relations) = match text.trim().split_once(" is ") {
        Some((bracketed, relations)) => (bracketed.trim(), Some(relations)),
        None => (text.trim(), None),
    };
    let inner = bracketed
        .strip_prefix('[')
        .ok_or_else(|| missing("["))?
        .strip_suffix(']')
        .ok_or_else(|| missing("]"))?;
    let (subject, exceptions) = match inner.split_once(" - ") {
        Some((subject, exceptions)) => (subject, Some(exceptions)),
        None => (inner, None),
    };
    let (subject, is_conditional) = perhaps_conditional(subject)?;
    let mut read = ExpectedSubject {
        subject,
        is_conditional,
        exceptions: Vec::new(),
        relations: Vec::new(),
    };
    if let Some(exceptions) = exceptions {
        let list = exceptions
            .trim()
            .strip_prefix('{')
            .ok_or_else(|| missing("{"))?
            .strip_suffix('}')
            .ok_or_else(|| missing("}"))?;
        for exception in list.split(',') {
            let (subject, is_conditional) = perhaps_conditional(exception)?;
            read.exceptions.push(ExpectedException {
                subject,
                is_conditional,
            });
        }
    }
    // An object id may hold a `/`, so the relations are found by their brackets.
    let mut rest = relations.unwrap_or_default().trim();
    while !rest.is_empty() {
        let opened = rest.strip_prefix('<').ok_or_else(|| missing("<"))?;
        let (relation, after) = opened.split_once('>').ok_or_else(|| missing(">"))?;
        read.relations.push(member_of(relation)?);
        rest = match after.strip_prefix('/') {
            Some(next) => next,
            None if after.is_empty() => after,
            None => return Err(missing("/")),
        };
    }
    Ok(read)
}

/// `user:ann` or `user:ann[...]`
fn perhaps_conditional(text: &str) -> Result<(SubjectRef, bool)> {
    let text = text.trim();
    let (subject, is_conditional) = match text.strip_suffix("[...]") {
        Some(subject) => (subject, true),
        None => (text, false),
    };
    Ok((subject.parse()?, is_conditional))
}

fn split<'a>(text: &'a str, separator: &'static str) -> Result<(&'a str, &'a str)> {
    text.split_once(separator).ok_or_else(|| {
        ScenarioErrorReason::Text(TextError::Missing {
            expected: separator,
            text: cut(text),
            example: QUESTION_EXAMPLE,
        })
    })
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}
