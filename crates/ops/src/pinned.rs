//! Questions that are asked in the process of the node itself, many of them on one snapshot, without a wait and without a copy.
//!
//! What a call pays for its permit and its wait is paid once, when the snapshot is pinned. Each check still looks who is locked now,
//! whether the node stopped, and what has expired; and a snapshot that was pinned for too long answers no more.

use std::sync::Arc;
use std::time::Instant;

use engine::eval::{self, Environment, Query};
use identity::Caller;
use model::{Context, Decision, ObjectRef, SubjectRef, Timestamp, Token};

use crate::access::Permit;
use crate::check::limit_context;
use crate::consistency::{Consistency, View, later};
use crate::decisions::{Asked, LockSeen, Noting};
use crate::error::{Error, Kind};
use crate::node::Node;

/// A snapshot that questions are asked of. A clone is cheap; it keeps the graph of its revision in memory.
#[derive(Debug, Clone)]
pub struct Pinned {
    node: Arc<Node>,
    caller: Caller,
    view: View,
    until: Until,
}

/// Until when what the node vouched for covers a snapshot: by a clock that nobody sets, which may stand still while the machine
/// sleeps, and by the one of the node.
#[derive(Debug, Clone, Copy)]
struct Until {
    elapsed: Instant,
    clock: Timestamp,
}

impl Until {
    /// Of a snapshot that is loaded after this: what the node confirms meanwhile may be of a newer one.
    fn of(node: &Node) -> Self {
        let (since, now) = (Instant::now(), node.clock().now());
        let staleness_max = node.settings().staleness_max;
        let left = staleness_max.saturating_sub(node.confirmed_ago());
        Self {
            elapsed: since.checked_add(left).unwrap_or(since),
            clock: later(now, left),
        }
    }
}

impl Pinned {
    /// Pins the snapshot that `consistency` asks for.
    ///
    /// # Errors
    /// As [`Node::view`]; [`Kind::Forbidden`] for a caller that has not everything: single questions are not judged.
    pub async fn at(
        node: &Arc<Node>,
        caller: &Caller,
        consistency: Consistency,
    ) -> Result<Self, Error> {
        let until = Until::of(node);
        let view = node.view(consistency).await?;
        Self::of(node, caller, (view, until))
    }

    /// Pins the newest snapshot that the node has, without a wait.
    ///
    /// # Errors
    /// As [`Node::ready`] and [`Self::at`].
    pub fn newest(node: &Arc<Node>, caller: &Caller) -> Result<Self, Error> {
        node.ready()?;
        let until = Until::of(node);
        let current = node.current.load();
        let view = node.view_of(&current.snapshot, current.hash.short());
        Self::of(node, caller, (view, until))
    }

    fn of(node: &Arc<Node>, caller: &Caller, (view, until): (View, Until)) -> Result<Self, Error> {
        if !Permit::of(node, caller)?.is_free() {
            let message = "a snapshot is pinned by whoever may do everything; ask single questions";
            return Err(Error::new(Kind::Forbidden, message));
        }
        Ok(Self {
            node: Arc::clone(node),
            caller: caller.clone(),
            view,
            until,
        })
    }

    /// The snapshot, as it was pinned.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The token of the snapshot.
    #[must_use]
    pub fn token(&self) -> Token {
        self.view.token
    }

    /// Answers one question.
    ///
    /// # Errors
    /// As [`crate::check::check`]; [`Kind::Unavailable`] if the snapshot was pinned too long ago, or the node stopped: pin another.
    /// # Cost
    /// That of the engine, and two looks at clocks.
    pub fn check(
        &self,
        resource: &ObjectRef,
        permission: &str,
        subject: &SubjectRef,
        context: &Context,
    ) -> Result<Decision, Error> {
        let asked = Asked {
            resource,
            permission,
            subject,
            context,
        };
        let exactly = Consistency::AtExactSnapshot(self.view.token);
        let noting = Noting::of(&self.node, &self.caller, exactly);
        let started = noting.started();
        let now = self.node.clock().now();
        self.vouch(now)
            .inspect_err(|error| noting.refused([asked], error, started))?;
        let now = now.max(self.view.now);
        let lock = self.node.lock_seen(subject);
        let decision = self.decide(asked, lock, now);
        if started.is_some() {
            let view = View {
                now,
                ..self.view.clone()
            };
            noting.decided(asked, (&view, lock), decision.as_ref(), started);
        }
        decision
    }

    fn decide(&self, asked: Asked<'_>, lock: LockSeen, now: Timestamp) -> Result<Decision, Error> {
        limit_context(&self.node, asked.context)?;
        let (resource, subject) = (asked.resource, asked.subject);
        let decisions = &self.node.metrics().decisions;
        let unresolved = |_: &_| {
            decisions.note_unresolved(resource.definition.as_str(), asked.permission);
        };
        let query = Query::resolve(&self.view.snapshot, resource, asked.permission, subject)
            .inspect_err(unresolved)?;
        let schema = self.view.snapshot.schema();
        if lock.is_locked {
            let denied = Ok(Decision::Denied);
            decisions.note::<Error>(schema, query.member, &denied);
            return denied;
        }
        let limits = &self.node.settings().limits;
        let environment = Environment {
            context: asked.context,
            now,
            depth_max: limits.depth_max,
            edges_visited_max: limits.edges_visited_max,
        };
        let decision = eval::check(&self.view.snapshot, &query, environment);
        decisions.note(schema, query.member, &decision);
        Ok(decision?)
    }

    fn vouch(&self, now: Timestamp) -> Result<(), Error> {
        self.node.sound()?;
        if Instant::now() <= self.until.elapsed && now <= self.until.clock {
            return Ok(());
        }
        let message = format!(
            "the snapshot was pinned too long ago: it is to be no older than {} s; pin a newer one",
            self.node.settings().staleness_max.as_secs()
        );
        Err(Error::new(Kind::Unavailable, message))
    }
}
