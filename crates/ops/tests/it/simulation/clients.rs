//! What clients ask, and how their calls are recorded.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Context, Operation as Update, Relationship, RelationshipUpdate, Timestamp, Token};
use ops::write::Write;
use ops::{Consistency, Error, Kind, Node, check};
use testkit::history::{Call, Checked, Freshness, Operation, Question, Serving, Written};
use testkit::rng::Rng;

use super::world::{Broken, CLIENTS, NODES, Slot, World, metadata};
use crate::running::caller;

/// A schema in which to view takes this.
pub(crate) fn schema(view: &str) -> String {
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
pub(crate) const VIEWS: [&str; 3] = ["reader - banned", "reader & banned", "reader + banned"];

/// Writes schemas, for as long as it is let.
pub(crate) async fn write_schemas(world: Arc<World>) {
    let slot = Slot::Client(CLIENTS);
    let mut rng = Rng::new(world.plan.seed ^ u64::MAX);
    loop {
        let pause = rng.between(1, 80) as u64;
        world.at(world.turn() + pause, slot).await;
        let place = rng.below(NODES);
        let text = schema(VIEWS[rng.below(VIEWS.len())]);
        let Some((node, starts)) = world.node(place) else {
            continue;
        };
        let mut crashes = world.starts[place].subscribe();
        let written = world.paced(slot, async {
            // Who writes it need not know: the log tells.
            drop(ops::schema::write(&node, &caller(), &text).await);
        });
        tokio::select! {
            biased;
            _ = crashes.wait_for(|now| *now != starts) => {}
            () = written => {}
        }
    }
}

/// A client that asks one thing after the other, of any node.
pub(crate) struct Client {
    world: Arc<World>,
    number: usize,
    rng: Rng,
    /// Tokens it was given, the newest last.
    tokens: Vec<Token>,
}

impl Client {
    pub(crate) fn new(world: &Arc<World>, number: usize) -> Self {
        Self {
            world: Arc::clone(world),
            number,
            rng: Rng::new(world.plan.seed ^ (number as u64 + 1) << 32),
            tokens: Vec::new(),
        }
    }

    pub(crate) async fn run(mut self) -> Vec<Operation> {
        let mut done = Vec::new();
        let slot = Slot::Client(self.number);
        for step in 0..self.world.plan.steps {
            let pause = 1 + self.rng.below(6) as u64;
            self.world.at(self.world.turn() + pause, slot).await;
            let place = self.rng.below(NODES);
            let name = format!("c{}-{step}", self.number);
            let begun = self.world.now();
            let call = self.draw();
            self.world.resumed(place, slot).await;
            let Some((node, starts)) = self.world.node(place) else {
                continue;
            };
            let mut crashes = self.world.starts[place].subscribe();
            let served = async {
                let serving = Serve {
                    node: &node,
                    is_broken: place == 0,
                    world: &self.world,
                };
                let answer = serving.answer(&name, call.clone());
                let call = self.world.paced(slot, answer).await;
                self.world.resumed(place, slot).await;
                call
            };
            let call = tokio::select! {
                biased;
                _ = crashes.wait_for(|now| *now != starts) => call.clone(),
                call = served => call,
            };
            let node = Serving {
                node: place,
                starts,
            };
            let operation = Operation {
                name,
                node: Some(node),
                begun,
                ended: self.world.now(),
                call,
            };
            self.learn(&operation);
            done.push(operation);
        }
        done
    }

    /// Keeps the token of an answer; forgets those of a log that is no more.
    fn learn(&mut self, operation: &Operation) {
        if let Some(token) = operation.token() {
            if self
                .tokens
                .last()
                .is_none_or(|last| last.revision <= token.revision)
            {
                self.tokens.push(token);
            }
        } else if let Call::Check {
            result: Checked::Failed(why),
            ..
        } = &operation.call
            && why.contains("hash")
        {
            self.tokens.clear();
        }
        self.world.newest()[self.number] = self.tokens.last().copied();
    }

    /// What to ask next; nothing has come of it yet.
    fn draw(&mut self) -> Call {
        if self.rng.chance(40) {
            return Call::Write {
                updates: updates(&mut self.rng, self.world.now()),
                result: Written::Unknown,
            };
        }
        Call::Check {
            question: question(&mut self.rng),
            freshness: self.freshness(),
            result: Checked::Failed("the node crashed".to_owned()),
        }
    }

    fn freshness(&mut self) -> Freshness {
        // Tokens are passed on, so a client may have another's.
        let newest = *self.rng.pick(&*self.world.newest());
        let own = self.tokens.last().copied();
        let past = self.tokens.len().saturating_sub(1 + self.rng.below(20));
        let old = self.tokens.get(past).copied();
        let kind = self.rng.below(10);
        match (kind, newest.filter(|_| kind < 2).or(own), old) {
            (0..3, Some(token), _) => Freshness::AtLeastAsFresh(token),
            (3..5, _, Some(token)) => Freshness::AtExactSnapshot(token),
            (5..7, ..) => Freshness::FullyConsistent,
            _ => Freshness::MinimizeLatency,
        }
    }
}

/// One to three changes of different relationships. Names are few, so that writes meet.
pub(crate) fn updates(rng: &mut Rng, now: Timestamp) -> Vec<RelationshipUpdate> {
    let mut keys = BTreeSet::new();
    let mut updates = Vec::new();
    for _ in 0..rng.between(1, 3) {
        let relationship = relationship(rng, now);
        if keys.insert(relationship.key()) {
            let operations = [Update::Touch, Update::Touch, Update::Create, Update::Delete];
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

fn question(rng: &mut Rng) -> Question {
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

/// A node as its clients see it.
pub(crate) struct Serve<'a> {
    pub(crate) node: &'a Node,
    pub(crate) is_broken: bool,
    pub(crate) world: &'a World,
}

impl Serve<'_> {
    /// The call with what came of it.
    pub(crate) async fn answer(&self, name: &str, call: Call) -> Call {
        match call {
            Call::Write { updates, .. } => {
                let write = Write {
                    updates: updates.clone(),
                    metadata: Some(metadata(name)),
                    ..Write::default()
                };
                let result = ops::write::write(self.node, &caller(), write).await;
                Call::Write {
                    updates,
                    result: result.map_or_else(written, Written::Acknowledged),
                }
            }
            Call::Check {
                question,
                freshness,
                ..
            } => {
                let asked = check::Question {
                    resource: question.resource.clone(),
                    permission: question.member.to_string(),
                    subject: question.subject.clone(),
                    context: Context::default(),
                };
                let consistency = self.consistency(freshness);
                let result = check::check(self.node, &caller(), consistency, &asked).await;
                let result = match result {
                    Ok(answered) => Checked::Answered {
                        decision: answered.answer,
                        at: answered.at,
                    },
                    Err(error) => Checked::Failed(format!("{:?}: {error}", error.kind)),
                };
                Call::Check {
                    question,
                    freshness,
                    result,
                }
            }
        }
    }

    fn consistency(&self, freshness: Freshness) -> Consistency {
        if self.is_broken && self.world.plan.broken == Some(Broken::IgnoresTokens) {
            return Consistency::MinimizeLatency;
        }
        match freshness {
            Freshness::MinimizeLatency => Consistency::MinimizeLatency,
            Freshness::AtLeastAsFresh(token) => Consistency::AtLeastAsFresh(token),
            Freshness::AtExactSnapshot(token) => Consistency::AtExactSnapshot(token),
            Freshness::FullyConsistent => Consistency::FullyConsistent,
        }
    }
}

/// What a failed write means to its client.
fn written(error: Error) -> Written {
    match error.kind {
        Kind::Unavailable | Kind::DeadlineExceeded | Kind::Internal | Kind::Cancelled => {
            Written::Unknown
        }
        Kind::InvalidArgument
        | Kind::NotFound
        | Kind::AlreadyExists
        | Kind::FailedPrecondition
        | Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::RevisionGone
        | Kind::LimitExceeded
        | Kind::Conflict
        | Kind::Overloaded
        | Kind::Unimplemented => {
            let existing = error
                .metadata
                .iter()
                .find(|(name, _)| *name == "relationship");
            Written::Refused {
                existing: existing.map(|(_, text)| text.parse::<Relationship>().unwrap().key()),
                why: error.to_string(),
            }
        }
    }
}
