//! The canonical file: every key in one order, so that two files that say the same are the same.

use std::fmt::{self, Display, Write as _};

use super::{Entitlement, Ids, Risk, Step};

/// What follows without a value is left out; what is empty is written so.
pub(super) fn entitlements(
    entitlements: &[Entitlement],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    f.write_str("version: 1\n")?;
    if entitlements.is_empty() {
        return f.write_str("entitlements: []\n");
    }
    f.write_str("entitlements:\n")?;
    entitlements
        .iter()
        .try_for_each(|entitlement| one(entitlement, f))
}

fn one(it: &Entitlement, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "  - name: {}", scalar(it.name.as_str()))?;
    key(f, "description", scalar(&it.description))?;
    key(f, "risk", risk(it.risk))?;
    key(f, "resource", scalar(it.definition.as_str()))?;
    match &it.ids {
        Ids::All => key(f, "ids", "all")?,
        Ids::Among(patterns) => key(f, "ids", list(patterns))?,
    }
    if let Some(permission) = &it.permission {
        key(f, "permission", scalar(permission.as_str()))?;
    }
    key(f, "relations", list(&it.relations))?;
    key(f, "subjects", list(&it.subjects))?;
    key(f, "eligible", list(&it.eligible))?;
    key(f, "for_others", it.for_others)?;
    key(f, "owners", list(&it.owners))?;
    key(f, "reason", required(it.reason_required))?;
    if let Some(ticket) = &it.ticket {
        let pattern = quoted(&ticket.pattern);
        key(
            f,
            "ticket",
            format!(
                "{{pattern: {pattern}, need: {}}}",
                required(ticket.required)
            ),
        )?;
    }
    key(
        f,
        "duration",
        format!(
            "{{default: {}, max: {}}}",
            it.duration_default, it.duration_max
        ),
    )?;
    key(f, "pending", it.pending)?;
    if let Some(ahead) = it.ahead {
        key(f, "ahead", ahead)?;
    }
    over_time(it, f)
}

/// What becomes of a request, and of what it gives.
fn over_time(it: &Entitlement, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let by = if it.activation.by_holder {
        "holder"
    } else {
        "clock"
    };
    key(
        f,
        "activation",
        format!("{{by: {by}, window: {}}}", it.activation.window),
    )?;
    if let Some(extension) = &it.extension {
        key(
            f,
            "extensions",
            format!(
                "{{automatic: {}, each: {}}}",
                extension.automatic, extension.each
            ),
        )?;
    }
    steps(&it.steps, f)?;
    if !it.reminders.is_empty() {
        key(f, "remind", list(&it.reminders))?;
    }
    if let Some(escalation) = &it.escalation {
        key(
            f,
            "escalate",
            format!(
                "{{after: {}, to: {}}}",
                escalation.after,
                list(&escalation.to)
            ),
        )?;
    }
    if let Some(warning) = it.warning {
        key(f, "warn", warning)?;
    }
    if let Some(break_glass) = &it.break_glass {
        let holders = list(&break_glass.holders);
        let (max, review) = (break_glass.duration_max, break_glass.review);
        key(
            f,
            "break_glass",
            format!("{{holders: {holders}, max: {max}, review: {review}}}"),
        )?;
    }
    Ok(())
}

fn steps(steps: &[Step], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if steps.is_empty() {
        return key(f, "steps", "[]");
    }
    f.write_str("    steps:\n")?;
    for step in steps {
        let (name, approvers) = (scalar(step.name.as_str()), list(&step.approvers));
        writeln!(
            f,
            "      - {{name: {name}, approvers: {approvers}, need: {}}}",
            step.need
        )?;
    }
    Ok(())
}

fn key(f: &mut fmt::Formatter<'_>, name: &str, value: impl Display) -> fmt::Result {
    writeln!(f, "    {name}: {value}")
}

fn risk(risk: Risk) -> &'static str {
    match risk {
        Risk::Low => "low",
        Risk::Medium => "medium",
        Risk::High => "high",
        Risk::Critical => "critical",
    }
}

fn required(is_required: bool) -> &'static str {
    if is_required { "required" } else { "optional" }
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items = items.into_iter().map(|item| scalar(&item.to_string()));
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A text as it is where no reader of YAML takes it for anything else, and in quotes otherwise.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/'));
    let is_word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "null" | "nan" | "inf"
    );
    if is_plain && !is_word {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// A text in double quotes, with the escapes that YAML has.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        let is_written = match letter {
            '"' => quoted.write_str("\\\""),
            '\\' => quoted.write_str("\\\\"),
            '\n' => quoted.write_str("\\n"),
            // Line ends and marks of their own in YAML as well as controls.
            letter
                if letter.is_control()
                    || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}') =>
            {
                write!(quoted, "\\U{:08X}", u32::from(letter))
            }
            letter => quoted.write_char(letter),
        };
        debug_assert!(is_written.is_ok(), "writing to a string does not fail");
    }
    quoted.push('"');
    quoted
}
