//! A decision as it waits to be made into an event: its fields one after the other in one run of bytes, so that noting it down takes
//! no allocation.

use identity::TraceContext;
use model::{Decision, Token};
use ops::Consistency;
use ops::decisions::Decided;

use crate::rules::{Keep, Matching};

/// A decision that waits, read back. Texts are borrowed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record<'a> {
    /// Which rule matched.
    pub(crate) rule: u32,
    pub(crate) id: [u8; 16],
    pub(crate) at_micros: i64,
    pub(crate) took_nanos: u64,
    pub(crate) seen: Option<SeenAt>,
    pub(crate) consistency: (u8, Option<Token>),
    pub(crate) trace: Option<TraceContext>,
    pub(crate) resource: (&'a str, &'a str),
    pub(crate) permission: &'a str,
    pub(crate) subject: (&'a str, &'a str, &'a str),
    pub(crate) caller: (&'a str, &'a str),
    pub(crate) principal: &'a str,
    pub(crate) protocol: &'a str,
    pub(crate) request_id: &'a str,
    /// The context as JSON; empty if it is not kept, or there is none.
    pub(crate) context: &'a str,
    pub(crate) had_context: bool,
    /// 0 allowed, 1 denied, 2 conditional, 3 an error.
    pub(crate) outcome: u8,
    /// The kind and the reason of an error, or the names that are missing.
    pub(crate) details: Vec<&'a str>,
}

/// What a decision was worked out from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SeenAt {
    pub(crate) token: Token,
    pub(crate) now_micros: i64,
    /// 0 for one that is not known.
    pub(crate) schema: u64,
    pub(crate) locks_at: u64,
    pub(crate) is_locked: bool,
}

/// Appends a decision to `to`.
pub(crate) fn write(
    to: &mut Vec<u8>,
    decided: &Decided<'_>,
    (rule, keep): (u32, &Keep),
    id: [u8; 16],
) {
    let asked = &decided.asked;
    to.extend(rule.to_le_bytes());
    to.extend(id);
    to.extend(decided.at.as_micros().to_le_bytes());
    let nanos = u64::try_from(decided.took.as_nanos()).unwrap_or(u64::MAX);
    to.extend(nanos.to_le_bytes());
    match &decided.seen {
        None => to.push(0),
        Some(seen) => {
            to.push(1);
            token(to, &seen.token);
            to.extend(seen.now.as_micros().to_le_bytes());
            to.extend(seen.schema.map_or(0, |schema| schema.0).to_le_bytes());
            to.extend(seen.lock.at.0.to_le_bytes());
            to.push(u8::from(seen.lock.is_locked));
        }
    }
    consistency(to, decided.consistency);
    let origin = decided.caller.origin();
    match origin.and_then(|origin| origin.trace) {
        None => to.push(0),
        Some(trace) => {
            to.push(1 + u8::from(trace.is_sampled));
            to.extend(trace.trace);
            to.extend(trace.span);
        }
    }
    text(to, asked.resource.definition.as_str());
    text(to, asked.resource.id.as_str());
    text(to, asked.permission);
    text(to, asked.subject.definition.as_str());
    text(to, asked.subject.id.as_str());
    let relation = asked.subject.relation.as_ref();
    text(to, relation.map_or("", |relation| relation.as_str()));
    text(to, decided.caller.subject().definition.as_str());
    text(to, decided.caller.subject().id.as_str());
    match decided.caller.principal() {
        Some(principal) => text(to, &principal.to_string()),
        None => text(to, ""),
    }
    text(to, Matching::protocol(decided));
    text(to, origin.map_or("", |origin| origin.request_id.as_str()));
    let has_context = !asked.context.is_empty();
    to.push(u8::from(has_context));
    if has_context && keep.context {
        text(to, &asked.context.to_json());
    } else {
        text(to, "");
    }
    outcome(to, decided);
}

fn outcome(to: &mut Vec<u8>, decided: &Decided<'_>) {
    match decided.outcome {
        Ok(Decision::Allowed) => to.extend([0, 0]),
        Ok(Decision::Denied) => to.extend([1, 0]),
        Ok(Decision::Conditional { missing }) => {
            let count = u8::try_from(missing.len()).unwrap_or(u8::MAX);
            to.extend([2, count]);
            for name in missing.iter().take(usize::from(count)) {
                text(to, name);
            }
        }
        Err(error) => {
            to.extend([3, 2]);
            text(to, &format!("{:?}", error.kind));
            match error.reason {
                Some(reason) => text(to, &format!("{reason:?}")),
                None => text(to, ""),
            }
        }
    }
}

fn token(to: &mut Vec<u8>, token: &Token) {
    to.extend(token.store.0);
    to.extend(token.history.0);
    to.extend(token.revision.0.to_le_bytes());
    to.extend(token.hash);
}

fn consistency(to: &mut Vec<u8>, consistency: Consistency) {
    match consistency {
        Consistency::MinimizeLatency => to.push(0),
        Consistency::AtLeastAsFresh(at) => {
            to.push(1);
            token(to, &at);
        }
        Consistency::AtExactSnapshot(at) => {
            to.push(2);
            token(to, &at);
        }
        Consistency::FullyConsistent => to.push(3),
    }
}

fn text(to: &mut Vec<u8>, text: &str) {
    // PANIC: a record is far smaller than 4 GiB: the buffer refuses what is larger than its limit.
    to.extend((text.len() as u32).to_le_bytes());
    to.extend(text.as_bytes());
}

/// Reads the first record of `bytes`, and leaves the rest; none at the end.
pub(crate) fn read<'a>(bytes: &mut &'a [u8]) -> Option<Record<'a>> {
    let mut fields = Fields(bytes);
    let rule = u32::from_le_bytes(fields.array()?);
    let id = fields.array()?;
    let at_micros = i64::from_le_bytes(fields.array()?);
    let took_nanos = u64::from_le_bytes(fields.array()?);
    let seen = match fields.byte()? {
        0 => None,
        _ => Some(SeenAt {
            token: fields.token()?,
            now_micros: i64::from_le_bytes(fields.array()?),
            schema: u64::from_le_bytes(fields.array()?),
            locks_at: u64::from_le_bytes(fields.array()?),
            is_locked: fields.byte()? != 0,
        }),
    };
    let consistency = match fields.byte()? {
        with @ (1 | 2) => (with, Some(fields.token()?)),
        without => (without, None),
    };
    let trace = match fields.byte()? {
        0 => None,
        there => Some(TraceContext {
            trace: fields.array()?,
            span: fields.array()?,
            is_sampled: there > 1,
        }),
    };
    let resource = (fields.text()?, fields.text()?);
    let permission = fields.text()?;
    let subject = (fields.text()?, fields.text()?, fields.text()?);
    let caller = (fields.text()?, fields.text()?);
    let (principal, protocol) = (fields.text()?, fields.text()?);
    let request_id = fields.text()?;
    let had_context = fields.byte()? != 0;
    let context = fields.text()?;
    let (outcome, count) = (fields.byte()?, fields.byte()?);
    let details = (0..count).map(|_| fields.text()).collect::<Option<_>>()?;
    *bytes = fields.0;
    Some(Record {
        rule,
        id,
        at_micros,
        took_nanos,
        seen,
        consistency,
        trace,
        resource,
        permission,
        subject,
        caller,
        principal,
        protocol,
        request_id,
        context,
        had_context,
        outcome,
        details,
    })
}

/// The fields of a record that are not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    fn text(&mut self) -> Option<&'a str> {
        let count = u32::from_le_bytes(self.array()?);
        std::str::from_utf8(self.bytes(count as usize)?).ok()
    }

    fn token(&mut self) -> Option<Token> {
        Some(Token {
            store: model::StoreId(self.array()?),
            history: model::HistoryId(self.array()?),
            revision: model::Revision(u64::from_le_bytes(self.array()?)),
            hash: self.array()?,
        })
    }
}
