//! Which resources may this subject have, and which subjects may have this resource?
//!
//! A look-up is worked out whole on one snapshot and then read in the order of the ids. A cursor goes on from an id on
//! the snapshot of the first page, on this node or another; this node keeps the latest answers, so that a page does not
//! work the whole out again.

mod kept;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use engine::eval::Membership;
use engine::eval::{
    self, Environment, EvalError, Found, Interrupt, QueryError, ResourcesQuery, SubjectsQuery,
};
use engine::graph::Snapshot;
use identity::Caller;
use model::{Context, DefinitionName, ObjectId, ObjectRef, RelationName, SubjectRef, Token};

use crate::access::{self, Action, Permit};
use crate::check;
use crate::consistency::{Consistency, View};
use crate::cursor::{Cursor, Cursors};
use crate::error::{Error, Kind, Reason};
use crate::node::Node;

pub(crate) use kept::{Kept, Turns};

/// The id of everybody in an answer and in a cursor; it sorts before every object id.
const EVERYBODY: &str = "*";

/// On which objects of a definition does a subject have a permission?
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    /// The definition of the resources.
    pub definition: DefinitionName,
    /// The permission (or relation) of it; any text, since it may well be unknown.
    pub permission: String,
    /// Who is asked about.
    pub subject: SubjectRef,
    /// Values for the parameters of caveats.
    pub context: Context,
    /// The most resources of a page, 0 for all.
    pub limit: u32,
    /// The page to go on from.
    pub cursor: Option<String>,
}

/// Which subjects have a permission on a resource?
#[derive(Debug, Clone, PartialEq)]
pub struct Subjects {
    /// The resource.
    pub resource: ObjectRef,
    /// The permission (or relation) of its definition; any text, since it may well be unknown.
    pub permission: String,
    /// The definition of the subjects.
    pub definition: DefinitionName,
    /// The relation of subject sets; none for the objects themselves.
    pub relation: Option<RelationName>,
    /// Values for the parameters of caveats.
    pub context: Context,
    /// Whether everybody is left out of the answer where a wildcard grants.
    pub is_without_everybody: bool,
    /// The most subjects of a page besides everybody, 0 for all.
    pub limit: u32,
    /// The page to go on from.
    pub cursor: Option<String>,
}

/// One of what a look-up has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An object.
    Object {
        /// Its id.
        id: ObjectId,
        /// For certain, or on a condition.
        membership: Membership,
    },
    /// Every object of the definition, by a wildcard.
    Everybody {
        /// For certain, or on a condition.
        membership: Membership,
        /// But these, for certain or on a condition.
        excluded: Vec<(ObjectId, Membership)>,
    },
}

/// The answer of a look-up, from a place on.
#[derive(Debug)]
pub struct Page {
    view: View,
    found: Arc<Found>,
    everybody: Option<Item>,
    /// Of the first object, among all of the answer.
    start: usize,
    limit: usize,
    cursors: Cursors,
}

/// Looks up resources.
///
/// # Errors
/// [`Error`] as for a check; [`Reason::InvalidCursor`] for a cursor of another query; a limit past `page_size_max`; too
/// much work; too many look-ups at once. What fails for single resources comes with [`Page::end`].
pub async fn resources(
    node: &Arc<Node>,
    caller: &Caller,
    consistency: Consistency,
    asked: &Resources,
) -> Result<Page, Error> {
    let of = (asked.definition.as_str(), asked.permission.as_str());
    let subject = asked.subject.definition.as_str();
    let parameters = format!(
        "resources {} {} {}",
        asked.definition, asked.permission, asked.subject
    );
    let paging = (asked.limit, asked.cursor.as_deref());
    let place = Place::open(node, consistency, &parameters, &asked.context, paging).await?;
    Permit::of(node, caller)?.require_question(Action::LookUp, of, subject)?;
    let resolved = ResourcesQuery::resolve(
        &place.view.snapshot,
        asked.definition.as_str(),
        &asked.permission,
        &asked.subject,
    );
    let resolved = resolved.map_err(|error| match error {
        QueryError::WildcardSubject => Error::invalid(
            Reason::WildcardNotAllowed,
            "invalid argument: cannot perform lookup resources on wildcard",
        )
        .with("field", "subject_id"),
        QueryError::UnknownDefinition { .. } | QueryError::UnknownMember { .. } => error.into(),
    })?;
    let is_locked = node.locked(&asked.subject).is_some();
    let look_up =
        move |snapshot: &Snapshot, environment: Environment<'_>, interrupt: &Interrupt| {
            if is_locked {
                return Ok(Found::nothing(resolved.definition()));
            }
            eval::lookup_resources(snapshot, &resolved, environment, interrupt)
        };
    // No resource is everybody.
    place.page(node, &asked.context, false, look_up).await
}

/// Looks up subjects.
///
/// # Errors
/// As [`resources`].
pub async fn subjects(
    node: &Arc<Node>,
    caller: &Caller,
    consistency: Consistency,
    asked: &Subjects,
) -> Result<Page, Error> {
    let of = (
        asked.resource.definition.as_str(),
        asked.permission.as_str(),
    );
    let parameters = format!(
        "subjects {} {} {} {:?} {}",
        asked.resource,
        asked.permission,
        asked.definition,
        asked.relation,
        asked.is_without_everybody
    );
    let paging = (asked.limit, asked.cursor.as_deref());
    let place = Place::open(node, consistency, &parameters, &asked.context, paging).await?;
    Permit::of(node, caller)?.require_question(Action::LookUp, of, asked.definition.as_str())?;
    let resolved = SubjectsQuery::resolve(
        &place.view.snapshot,
        &asked.resource,
        &asked.permission,
        asked.definition.as_str(),
        asked.relation.as_ref().map(RelationName::as_str),
    )?;
    let locked = node.locked_of(&asked.definition);
    let look_up =
        move |snapshot: &Snapshot, environment: Environment<'_>, interrupt: &Interrupt| {
            let found = eval::lookup_subjects(snapshot, &resolved, environment, interrupt)?;
            Ok(found.without(snapshot, &locked))
        };
    let tells_everybody = !asked.is_without_everybody;
    place
        .page(node, &asked.context, tells_everybody, look_up)
        .await
}

/// Where a look-up begins.
struct Place {
    view: View,
    /// Of before it is asked who is locked, so that no answer is kept for newer locks than it was worked out with.
    access: Arc<access::State>,
    query: [u8; 16],
    after: Option<String>,
    limit: u32,
}

impl Place {
    /// Opens the look-up of `parameters`, which a cursor is bound to together with the context and the limit.
    async fn open(
        node: &Node,
        consistency: Consistency,
        parameters: &str,
        context: &Context,
        (limit, cursor): (u32, Option<&str>),
    ) -> Result<Self, Error> {
        let limit_max = node.settings().limits.page_size_max;
        if limit > limit_max {
            return Err(Error::limit_too_big(limit, limit_max));
        }
        check::limit_context(node, context)?;
        let parameters = format!("{parameters} {} {limit}", context.to_json());
        let query = Cursor::digest("look up", &parameters);
        let (view, after) = match cursor {
            None => (node.view(consistency).await?, None),
            Some(cursor) => {
                let cursor = Cursor::decode(cursor, query)?;
                (node.view_of_cursor(&cursor).await?, Some(cursor.after))
            }
        };
        Ok(Self {
            view,
            access: node.access(),
            query,
            after,
            limit,
        })
    }

    /// Works the answer out, unless this node still has it, and opens it at this place.
    async fn page(
        self,
        node: &Arc<Node>,
        context: &Context,
        tells_everybody: bool,
        look_up: impl LookUp,
    ) -> Result<Page, Error> {
        let is_first = self.after.is_none();
        let kept = node.kept_look_ups();
        let found = (!is_first).then(|| kept.get(&self.view, self.query, &self.access));
        let (view, found, everybody) = match found.flatten() {
            Some((view, found)) => (view, found, None),
            None => {
                let tells_everybody = tells_everybody && is_first;
                let worked_out = self.work_out(node, context.clone(), tells_everybody, look_up);
                let (found, everybody) = worked_out.await?;
                let found = Arc::new(found);
                if self.limit > 0 && found.count() > self.limit as usize {
                    let access = Arc::clone(&self.access);
                    kept.keep(&self.view, self.query, (&found, access));
                }
                (self.view.clone(), found, everybody)
            }
        };
        let limit = match self.limit {
            0 => usize::MAX,
            limit => limit as usize,
        };
        let after = self.after.as_deref();
        Ok(Page {
            start: after.map_or(0, |after| found.place_after(&view.snapshot, after)),
            cursors: Cursors::new(view.token, view.now, self.query),
            view,
            found,
            everybody,
            limit,
        })
    }

    /// Runs a look-up: a quick one at once, any other away from the calls that answer at once.
    async fn work_out(
        &self,
        node: &Arc<Node>,
        context: Context,
        tells_everybody: bool,
        look_up: impl LookUp,
    ) -> Result<(Found, Option<Item>), Error> {
        /// Edges that take no longer to visit than it takes to wake another thread a few times.
        const QUICK_EDGES: u64 = 500;
        let view = self.view.clone();
        let on = Arc::clone(node);
        let edges_visited_max = node.settings().limits.look_up_edges_visited_max;
        let run = move |edges_visited_max: u64, interrupt: &Interrupt| {
            let environment = Environment {
                edges_visited_max,
                ..check::environment(&on, &view, &context)
            };
            let found = look_up(&view.snapshot, environment, interrupt)?;
            let bytes_max = on.settings().limits.answer_bytes_max;
            let everybody = if tells_everybody {
                everybody(&view.snapshot, &found, bytes_max)
            } else {
                Ok(None)
            };
            Ok(everybody.map(|everybody| (found, everybody)))
        };
        let quick = run(QUICK_EDGES.min(edges_visited_max), &AtomicBool::new(false));
        match quick {
            Err(EvalError::WorkExceeded { .. }) => {}
            answered => return answered?,
        }
        let turn = node.look_up_turns().take().await?;
        let interrupt = Arc::new(AtomicBool::new(false));
        // The look-up ends soon after this is dropped, and its turn with it.
        let gone = InterruptOnDrop(Arc::clone(&interrupt));
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            run(edges_visited_max, &interrupt)
        });
        let worked_out = task
            .await
            .map_err(|error| Error::new(Kind::Internal, "the look-up failed").caused_by(error))?;
        drop(gone);
        worked_out?
    }
}

/// A look-up in the engine.
trait LookUp:
    Fn(&Snapshot, Environment<'_>, &Interrupt) -> Result<Found, EvalError> + Send + 'static
{
}

impl<F> LookUp for F where
    F: Fn(&Snapshot, Environment<'_>, &Interrupt) -> Result<Found, EvalError> + Send + 'static
{
}

/// Everybody, where a wildcard grants, with whom it does not grant to: one message, so it is bounded.
fn everybody(snapshot: &Snapshot, found: &Found, bytes_max: usize) -> Result<Option<Item>, Error> {
    /// What the wire adds to an id, which it tells twice.
    const BYTES_PER_ID: usize = 16;
    let Some(membership) = found.everybody() else {
        return Ok(None);
    };
    let excluded = found.excluded(snapshot);
    let bytes = excluded.iter().map(|(id, membership)| {
        let missing = match membership {
            Membership::Certain => 0,
            Membership::Conditional { missing } => missing.iter().map(String::len).sum(),
        };
        id.as_str().len() * 2 + missing + BYTES_PER_ID
    });
    if bytes.sum::<usize>() > bytes_max {
        let message = format!(
            "everybody has the permission but for {} subjects, more than an answer of {bytes_max} bytes can name; leave \
             everybody out with `WILDCARD_OPTION_EXCLUDE_WILDCARDS`, or check single subjects",
            excluded.len()
        );
        return Err(Error::new(Kind::LimitExceeded, message));
    }
    Ok(Some(Item::Everybody {
        membership,
        excluded,
    }))
}

struct InterruptOnDrop(Arc<AtomicBool>);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Page {
    /// The token of the snapshot that the answer holds for.
    #[must_use]
    pub fn at(&self) -> Token {
        self.view.token
    }

    /// How many objects the whole answer has, on all of its pages and without everybody.
    #[must_use]
    pub fn total(&self) -> usize {
        self.found.count()
    }

    /// What the page holds, in the byte order of the ids, everybody first.
    pub fn items(&self) -> impl Iterator<Item = Item> + '_ {
        (0..).map_while(|place| self.item(place))
    }

    /// What stands at `place` of [`Self::items`].
    #[must_use]
    pub fn item(&self, place: usize) -> Option<Item> {
        let place = match &self.everybody {
            Some(everybody) if place == 0 => return Some(everybody.clone()),
            Some(_) => place - 1,
            None => place,
        };
        if place >= self.limit {
            return None;
        }
        let member = self.found.member(&self.view.snapshot, self.start + place);
        member.map(|(id, membership)| Item::Object { id, membership })
    }

    /// Whether there is more after this page.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.total().saturating_sub(self.start) > self.limit
    }

    /// How the page ends: well, if the answer goes on after it or is complete.
    ///
    /// # Errors
    /// [`Error`] where it is not known of some objects whether they belong to the answer.
    pub fn end(&self) -> Result<(), Error> {
        match self.found.error() {
            Some(error) if !self.goes_on() => Err(error.clone().into()),
            Some(_) | None => Ok(()),
        }
    }

    /// The cursor that goes on after `item`.
    #[must_use]
    pub fn cursor_after(&self, item: &Item) -> String {
        let after = match item {
            Item::Object { id, .. } => id.as_str(),
            Item::Everybody { .. } => EVERYBODY,
        };
        self.cursors.after(after)
    }
}
