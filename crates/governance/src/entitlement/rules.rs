//! What an entitlement has to fulfil by itself, whatever the schema: its limits, and that its parts go together.

use std::collections::BTreeSet;

use model::ObjectId;
use regex::{Regex, RegexBuilder};

use super::{BREAK_GLASS_MAX, Entitlement, Ids};
use crate::span::Span;

const LIST_MAX: usize = super::reader::LIST_MAX;
const DESCRIPTION_BYTES_MAX: usize = 2_000;
const RELATIONS_MAX: usize = 8;
const STEPS_MAX: usize = 5;
const APPROVERS_MAX: usize = 16;
const NEED_MAX: u16 = 10;
const REMINDERS_MAX: usize = 8;
const PATTERN_BYTES_MAX: usize = 256;
const REGEX_BYTES_MAX: usize = 1 << 16;
/// Longest that a request waits, to be decided or to be activated; and how far ahead a start lies at most.
const WAIT_MAX: Span = Span::of_hours(90 * 24);

/// What is wrong: which part, and why.
pub(super) fn faults(entitlement: &Entitlement) -> Vec<(String, String)> {
    let mut faults = Faults(Vec::new());
    what(entitlement, &mut faults);
    who(entitlement, &mut faults);
    how_long(entitlement, &mut faults);
    steps(entitlement, &mut faults);
    told(entitlement, &mut faults);
    faults.0
}

struct Faults(Vec<(String, String)>);

impl Faults {
    fn unless(&mut self, holds: bool, part: &str, message: impl FnOnce() -> String) {
        if !holds {
            self.0.push((part.to_owned(), message()));
        }
    }

    fn count(&mut self, part: &str, count: usize, max: usize) {
        self.unless((1..=max).contains(&count), part, || {
            format!("`{part}` has {count} entries: expected 1 to {max}")
        });
    }

    /// Whether `span` is at most `max`, which is called so.
    fn at_most(&mut self, part: &str, span: Span, max: Span, called: &str) {
        self.unless(span <= max, part, || {
            format!("`{part}` is {span}, longer than {called}, {max}")
        });
    }
}

fn what(entitlement: &Entitlement, faults: &mut Faults) {
    let bytes = entitlement.description.len();
    faults.unless(bytes <= DESCRIPTION_BYTES_MAX, "description", || {
        format!("the description has {bytes} bytes, at most {DESCRIPTION_BYTES_MAX} are allowed")
    });
    faults.count("relations", entitlement.relations.len(), RELATIONS_MAX);
    if let Ids::Among(patterns) = &entitlement.ids {
        faults.count("ids", patterns.len(), LIST_MAX);
        for pattern in patterns {
            // What the stars stand for may be empty, and an id is not.
            let plain = pattern.replace('*', "");
            let is_one = pattern.len() <= ObjectId::BYTES_MAX
                && (ObjectId::validate(&plain).is_ok()
                    || (plain.is_empty() && !pattern.is_empty()));
            faults.unless(is_one, &format!("ids/{pattern}"), || {
                "an id, or a pattern of ids with `*` for any text, was expected".to_owned()
            });
        }
    }
    if let Some(ticket) = &entitlement.ticket
        && let Err(message) = ticket_pattern(&ticket.pattern)
    {
        faults.0.push(("ticket/pattern".to_owned(), message));
    }
}

fn who(entitlement: &Entitlement, faults: &mut Faults) {
    faults.count("subjects", entitlement.subjects.len(), LIST_MAX);
    faults.count("eligible", entitlement.eligible.len(), APPROVERS_MAX);
    faults.count("owners", entitlement.owners.len(), APPROVERS_MAX);
    for kind in &entitlement.subjects {
        let is_asked_for_by_itself = kind.relation.is_none();
        faults.unless(
            is_asked_for_by_itself || entitlement.for_others,
            &format!("subjects/{kind}"),
            || format!("nobody is `{kind}` to ask for themselves: set `for_others: true`"),
        );
    }
}

fn how_long(entitlement: &Entitlement, faults: &mut Faults) {
    let max = entitlement.duration_max;
    faults.at_most(
        "duration/default",
        entitlement.duration_default,
        max,
        "the maximum",
    );
    faults.at_most("pending", entitlement.pending, WAIT_MAX, "the limit");
    faults.at_most(
        "activation/window",
        entitlement.activation.window,
        WAIT_MAX,
        "the limit",
    );
    if let Some(ahead) = entitlement.ahead {
        faults.at_most("ahead", ahead, WAIT_MAX, "the limit");
    }
    if let Some(extension) = &entitlement.extension {
        faults.at_most(
            "extensions/each",
            extension.each,
            max,
            "the maximum of a grant",
        );
        faults.unless(extension.automatic > 0, "extensions/automatic", || {
            "expected at least 1; leave `extensions` out where each extension is a decision"
                .to_owned()
        });
    }
    if let Some(break_glass) = &entitlement.break_glass {
        faults.count(
            "break_glass/holders",
            break_glass.holders.len(),
            APPROVERS_MAX,
        );
        faults.at_most(
            "break_glass/max",
            break_glass.duration_max,
            max,
            "the maximum of a grant",
        );
        faults.at_most(
            "break_glass/max",
            break_glass.duration_max,
            BREAK_GLASS_MAX,
            "the limit",
        );
    }
}

fn steps(entitlement: &Entitlement, faults: &mut Faults) {
    let count = entitlement.steps.len();
    faults.unless(count <= STEPS_MAX, "steps", || {
        format!("there are {count} steps, at most {STEPS_MAX} are allowed")
    });
    let mut names = BTreeSet::new();
    for (ix, step) in entitlement.steps.iter().enumerate() {
        let name = &step.name;
        faults.unless(names.insert(name), &format!("steps/{ix}/name"), || {
            format!("there is a step `{name}` before")
        });
        let approvers = format!("steps/{ix}/approvers");
        let count = step.approvers.len();
        faults.unless((1..=APPROVERS_MAX).contains(&count), &approvers, || {
            format!("`approvers` has {count} entries: expected 1 to {APPROVERS_MAX}")
        });
        let need = step.need;
        faults.unless(
            (1..=NEED_MAX).contains(&need),
            &format!("steps/{ix}/need"),
            || format!("`need` is {need}: expected 1 to {NEED_MAX}"),
        );
        // Single people are told apart here; who is in a set only the engine knows.
        let are_people = step.approvers.iter().all(is_one_person);
        faults.unless(
            !are_people || count >= usize::from(need),
            &format!("steps/{ix}/need"),
            || format!("{need} have to approve, and there are only {count} who could"),
        );
    }
}

fn is_one_person(authority: &crate::Authority) -> bool {
    match authority {
        crate::Authority::OnResource(_) => false,
        crate::Authority::Subject(subject) => subject.relation.is_none(),
    }
}

fn told(entitlement: &Entitlement, faults: &mut Faults) {
    let pending = entitlement.pending;
    let reminders = &entitlement.reminders;
    faults.unless(reminders.len() <= REMINDERS_MAX, "remind", || {
        format!("at most {REMINDERS_MAX} reminders are allowed")
    });
    faults.unless(
        reminders.is_sorted_by(|left, right| left < right),
        "remind",
        || "the times of reminders have to rise".to_owned(),
    );
    for (ix, after) in reminders.iter().enumerate() {
        faults.unless(*after < pending, &format!("remind/{ix}"), || {
            format!("a reminder after {after} comes never: the request has expired after {pending}")
        });
    }
    if let Some(escalation) = &entitlement.escalation {
        let after = escalation.after;
        faults.count("escalate/to", escalation.to.len(), APPROVERS_MAX);
        faults.unless(after < pending, "escalate/after", || {
            format!(
                "an escalation after {after} comes never: the request has expired after {pending}"
            )
        });
    }
    if let Some(warning) = entitlement.warning {
        faults.at_most(
            "warn",
            warning,
            entitlement.duration_max,
            "the maximum of a grant",
        );
    }
}

/// The whole of a ticket by its pattern; or what is wrong with it.
pub(crate) fn ticket_pattern(pattern: &str) -> Result<Regex, String> {
    let bytes = pattern.len();
    if bytes > PATTERN_BYTES_MAX {
        return Err(format!(
            "the pattern has {bytes} bytes, at most {PATTERN_BYTES_MAX} are allowed"
        ));
    }
    // Alone first, so that no `)` of it ends what is put around it.
    let alone = RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES_MAX)
        .build();
    let whole = alone.and_then(|_| {
        RegexBuilder::new(&format!("^(?:{pattern})$"))
            .size_limit(REGEX_BYTES_MAX)
            .build()
    });
    whole.map_err(|error| {
        let text = error.to_string();
        let last = text
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        format!("no regular expression: {last}")
    })
}
