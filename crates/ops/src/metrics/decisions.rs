//! Decisions, counted by what was asked for: the definition and the permission, as the schema names them.
//!
//! What callers send never becomes a label: a name that the schema lacks counts as [`UNKNOWN`], and past [`MEMBERS_MAX`] relations and
//! permissions those that come later in the schema count together as [`OTHER`]. No name of a schema begins as these two do. When the
//! schema changes, what goes on to exist keeps its numbers, and what is gone is told no more.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use model::Decision;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use schema::{MemberIx, Schema};

use crate::tally::Tallies;

/// The label of names that the schema lacks.
const UNKNOWN: &str = "_unknown";
/// The label of names past the bound.
const OTHER: &str = "_other";
/// Relations and permissions that are counted one by one: 5,000 series with their four outcomes.
const MEMBERS_MAX: usize = 1_250;

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Denied,
    Conditional,
    Error,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Allowed, Self::Denied, Self::Conditional, Self::Error];

    fn of<E>(decision: &Result<Decision, E>) -> Self {
        match decision {
            Ok(Decision::Allowed) => Self::Allowed,
            Ok(Decision::Denied) => Self::Denied,
            Ok(Decision::Conditional { .. }) => Self::Conditional,
            Err(_) => Self::Error,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Conditional => "conditional",
            Self::Error => "error",
        }
    }
}

/// The counters.
#[derive(Debug)]
pub(crate) struct Decisions {
    table: ArcSwap<Table>,
    /// Held while numbers go over to another table, and while they are told: so that none is seen to shrink.
    moving: Mutex<()>,
}

/// The counters of one schema: four for each member, and after them those of [`OTHER`] and [`UNKNOWN`].
#[derive(Debug)]
struct Table {
    schema: Arc<Schema>,
    members: usize,
    tallies: Tallies,
}

impl Table {
    fn of(schema: &Arc<Schema>) -> Self {
        let members = schema.members().len().min(MEMBERS_MAX);
        Self {
            schema: Arc::clone(schema),
            members,
            tallies: Tallies::new((members + 2) * Outcome::ALL.len()),
        }
    }

    /// The row of a member of this table's schema.
    fn row(&self, member: MemberIx) -> usize {
        (member.0 as usize).min(self.members)
    }

    fn row_of_unknown(&self) -> usize {
        self.members + 1
    }

    /// The row of a member that is named.
    fn row_of_named(&self, definition: &str, member: &str) -> usize {
        let definition = self.schema.definition_ix(definition);
        let member = definition.and_then(|it| self.schema.member_ix(it, member));
        member.map_or_else(|| self.row_of_unknown(), |member| self.row(member))
    }

    fn add(&self, row: usize, outcome: Outcome, more: u64) {
        let place = row * Outcome::ALL.len() + outcome as usize;
        self.tallies.add(place, more);
    }

    fn sum(&self, row: usize, outcome: Outcome) -> u64 {
        self.tallies
            .sum(row * Outcome::ALL.len() + outcome as usize)
    }

    /// Takes over the numbers of the table before it.
    fn take_over(&self, before: &Self) {
        let mut rows = vec![
            (before.members, self.members),
            (before.row_of_unknown(), self.row_of_unknown()),
        ];
        for (ix, member) in before.schema.members().take(before.members) {
            let definition = before.schema.definition(member.definition).name.as_str();
            let row = self.row_of_named(definition, member.name.as_str());
            // What is gone is not unknown: it is told no more.
            if row != self.row_of_unknown() {
                rows.push((before.row(ix), row));
            }
        }
        for (from, to) in rows {
            for outcome in Outcome::ALL {
                self.add(to, outcome, before.sum(from, outcome));
            }
        }
    }
}

impl Decisions {
    pub(crate) fn new(schema: &Arc<Schema>) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::of(schema)),
            moving: Mutex::new(()),
        }
    }

    /// Counts by `schema` from now on, which is the newest.
    pub(crate) fn adopt(&self, schema: &Arc<Schema>) {
        if Arc::ptr_eq(&self.table.load().schema, schema) {
            return;
        }
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.table.load_full();
        let table = Table::of(schema);
        table.take_over(&before);
        self.table.store(Arc::new(table));
    }

    /// Counts the answer to a question for `member` of `schema`, which may be an older one.
    pub(crate) fn note<E>(
        &self,
        schema: &Arc<Schema>,
        member: MemberIx,
        decision: &Result<Decision, E>,
    ) {
        let table = self.table.load();
        let row = if Arc::ptr_eq(&table.schema, schema) {
            table.row(member)
        } else {
            let asked = schema.member(member);
            let definition = schema.definition(asked.definition);
            table.row_of_named(definition.name.as_str(), asked.name.as_str())
        };
        table.add(row, Outcome::of(decision), 1);
    }

    /// Counts a question that could not even be put, by names that may be anything.
    pub(crate) fn note_unresolved(&self, definition: &str, member: &str) {
        let table = self.table.load();
        let row = table.row_of_named(definition, member);
        table.add(row, Outcome::Error, 1);
    }

    /// Writes down what was counted; nothing of what was never asked for.
    pub(crate) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.table.load_full();
        let help =
            "Questions that were decided, by the definition and the permission that was asked for";
        let mut metric =
            encoder.encode_descriptor("remit_decisions", help, None, MetricType::Counter)?;
        for (ix, member) in table.schema.members().take(table.members) {
            let definition = table.schema.definition(member.definition).name.as_str();
            let names = (definition, member.name.as_str());
            encode_row(&table, (table.row(ix), names), &mut metric)?;
        }
        encode_row(&table, (table.members, (OTHER, OTHER)), &mut metric)?;
        let unknown = (table.row_of_unknown(), (UNKNOWN, UNKNOWN));
        encode_row(&table, unknown, &mut metric)
    }
}

fn encode_row(
    table: &Table,
    (row, (definition, permission)): (usize, (&str, &str)),
    metric: &mut MetricEncoder<'_>,
) -> fmt::Result {
    for outcome in Outcome::ALL {
        let count = table.sum(row, outcome);
        if count == 0 {
            continue;
        }
        let labels = [
            ("definition", definition),
            ("permission", permission),
            ("decision", outcome.text()),
        ];
        let mut series = metric.encode_family(&labels)?;
        series.encode_counter::<prometheus_client::encoding::NoLabelSet, _, u64>(&count, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct Alone(Arc<Decisions>);

    impl Collector for Alone {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            self.0.encode(&mut encoder)
        }
    }

    fn schema(text: &str) -> Arc<Schema> {
        Arc::new(Schema::compile(text).unwrap())
    }

    fn told(decisions: &Arc<Decisions>) -> Vec<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Alone(Arc::clone(decisions))));
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    fn ask(decisions: &Decisions, schema: &Arc<Schema>, member: &str, decision: Decision) {
        let definition = schema.definition_ix("doc").unwrap();
        let member = schema.member_ix(definition, member).unwrap();
        decisions.note::<()>(schema, member, &Ok(decision));
    }

    const FIRST: &str =
        "definition user {}\ndefinition doc {\n relation viewer: user\n relation owner: user\n}";
    const SECOND: &str =
        "definition user {}\ndefinition doc {\n relation writer: user\n relation viewer: user\n}";

    #[test]
    fn what_goes_on_to_exist_keeps_its_numbers_and_what_is_gone_is_told_no_more() {
        let (first, second) = (schema(FIRST), schema(SECOND));
        let decisions = Arc::new(Decisions::new(&first));
        ask(&decisions, &first, "viewer", Decision::Allowed);
        ask(&decisions, &first, "viewer", Decision::Denied);
        ask(&decisions, &first, "owner", Decision::Allowed);
        decisions.note_unresolved("doc", "nosuch");
        decisions.adopt(&second);
        ask(&decisions, &second, "viewer", Decision::Allowed);
        // Of an older snapshot: one name is still there, the other is not.
        ask(&decisions, &first, "viewer", Decision::Allowed);
        ask(&decisions, &first, "owner", Decision::Allowed);
        assert_eq!(
            told(&decisions),
            [
                r#"remit_decisions_total{definition="doc",permission="viewer",decision="allowed"} 3"#,
                r#"remit_decisions_total{definition="doc",permission="viewer",decision="denied"} 1"#,
                r#"remit_decisions_total{definition="_unknown",permission="_unknown",decision="allowed"} 1"#,
                r#"remit_decisions_total{definition="_unknown",permission="_unknown",decision="error"} 1"#,
            ]
        );
    }

    #[test]
    fn a_million_names_that_nobody_knows_are_one_series() {
        let decisions = Arc::new(Decisions::new(&schema(FIRST)));
        for number in 0..1_000_000 {
            decisions.note_unresolved("doc", &format!("p{number}"));
        }
        assert_eq!(
            told(&decisions),
            [
                r#"remit_decisions_total{definition="_unknown",permission="_unknown",decision="error"} 1000000"#
            ]
        );
    }

    #[test]
    fn past_the_bound_members_count_together() {
        let relations: String = (0..MEMBERS_MAX + 50)
            .map(|number| format!("relation r{number}x: user\n"))
            .collect();
        let schema = schema(&format!(
            "definition user {{}}\ndefinition doc {{\n{relations}}}"
        ));
        let decisions = Arc::new(Decisions::new(&schema));
        for (ix, _) in schema.members() {
            for decision in [Decision::Allowed, Decision::Denied] {
                decisions.note::<()>(&schema, ix, &Ok(decision));
            }
        }
        let told = told(&decisions);
        assert_eq!(told.len(), 2 * MEMBERS_MAX + 2);
        let other = told.iter().find(|line| line.contains("_other")).unwrap();
        assert!(other.ends_with(" 50"), "{other}");
    }
}
