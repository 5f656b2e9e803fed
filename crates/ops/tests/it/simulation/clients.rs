//! What clients ask, and how their calls are recorded.

use std::sync::Arc;

use model::{Context, Relationship, Token};
use ops::write::Write;
use ops::{Consistency, Error, Kind, Node, check};
use testkit::history::draw::{VIEWS, freshness, question, schema, updates};
use testkit::history::{Call, Checked, Freshness, Operation, Serving, Written};
use testkit::rng::Rng;

use super::world::{Broken, CLIENTS, NODES, Slot, World, metadata};
use crate::running::caller;

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
        freshness(&mut self.rng, newest, &self.tokens)
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
