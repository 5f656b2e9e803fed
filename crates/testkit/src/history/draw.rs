//! What clients ask in a history: a small world, so that calls meet.

#![expect(clippy::unwrap_used, reason = "what is drawn can be read")]

use std::collections::BTreeSet;

use model::{Operation, Relationship, RelationshipUpdate, Timestamp, Token};

use super::{Freshness, Question};
use crate::rng::Rng;

/// A schema in which to view takes this.
pub fn schema(view: &str) -> String {
    format!(
        "use expiration
definition user {{}}
definition group {{
  relation member: user | group#member | user with expiration
}}
definition doc {{
  relation reader: user | user:* | group#member | user with expiration
  relation banned: user | group#member
  permission view = {view}
}}
"
    )
}

/// What to view takes, in one schema or another.
pub const VIEWS: [&str; 3] = ["reader - banned", "reader & banned", "reader + banned"];

/// One to three changes of different relationships. Names are few, so that writes meet.
pub fn updates(rng: &mut Rng, now: Timestamp) -> Vec<RelationshipUpdate> {
    let mut keys = BTreeSet::new();
    let mut updates = Vec::new();
    for _ in 0..rng.between(1, 3) {
        let relationship = relationship(rng, now);
        if keys.insert(relationship.key()) {
            let operations = [
                Operation::Touch,
                Operation::Touch,
                Operation::Create,
                Operation::Delete,
            ];
            updates.push(RelationshipUpdate {
                operation: *rng.pick(&operations),
                relationship,
            });
        }
    }
    updates
}

fn relationship(rng: &mut Rng, now: Timestamp) -> Relationship {
    let resource = match rng.below(3) {
        0 => format!("group:g{}#member", rng.below(2)),
        1 => format!("doc:d{}#reader", rng.below(2)),
        _ => format!("doc:d{}#banned", rng.below(2)),
    };
    let is_banned = resource.ends_with("banned");
    let subject = match rng.below(8) {
        0..2 => format!("group:g{}#member", rng.below(2)),
        2 if resource.ends_with("reader") => "user:*".to_owned(),
        3..5 if !is_banned => {
            let millis = rng.between(300, 4_000) as i64;
            let end = now.saturating_add_micros(millis * 1_000);
            format!("user:u{}[expiration:{end}]", rng.below(3))
        }
        _ => format!("user:u{}", rng.below(3)),
    };
    format!("{resource}@{subject}").parse().unwrap()
}

/// A question about one of the few objects.
pub fn question(rng: &mut Rng) -> Question {
    let (resource, member) = match rng.below(4) {
        0 => (format!("group:g{}", rng.below(2)), "member"),
        1 => (format!("doc:d{}", rng.below(2)), "reader"),
        _ => (format!("doc:d{}", rng.below(2)), "view"),
    };
    Question {
        resource: resource.parse().unwrap(),
        member: member.parse().unwrap(),
        subject: format!("user:u{}", rng.below(3)).parse().unwrap(),
    }
}

/// How fresh an answer has to be, for a client that was given `own` tokens, the newest last, and has heard of one of others.
pub fn freshness(rng: &mut Rng, of_others: Option<Token>, own: &[Token]) -> Freshness {
    let newest = own.last().copied();
    let past = own.len().saturating_sub(1 + rng.below(20));
    let old = own.get(past).copied();
    let kind = rng.below(10);
    match (kind, of_others.filter(|_| kind < 2).or(newest), old) {
        (0..3, Some(token), _) => Freshness::AtLeastAsFresh(token),
        (3..5, _, Some(token)) => Freshness::AtExactSnapshot(token),
        (5..7, ..) => Freshness::FullyConsistent,
        _ => Freshness::MinimizeLatency,
    }
}
