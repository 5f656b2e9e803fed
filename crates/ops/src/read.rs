//! Reading relationships back, in pages of one snapshot.

use identity::Caller;
use model::{Relationship, RelationshipFilter, RelationshipKey, Token};

use crate::access::{Action, Permit};
use crate::consistency::{Consistency, View};
use crate::cursor::{Cursor, Cursors};
use crate::error::{Error, Reason};
use crate::node::Node;
use crate::typing;

/// A read of relationships that goes page by page. It keeps its snapshot for as long as it lives.
#[derive(Debug)]
pub struct Reading {
    view: View,
    filter: RelationshipFilter,
    cursors: Cursors,
    after: Option<RelationshipKey>,
    is_done: bool,
}

impl Reading {
    pub(crate) async fn open(
        node: &Node,
        consistency: Consistency,
        filter: RelationshipFilter,
        query: [u8; 16],
        cursor: Option<&str>,
    ) -> Result<Self, Error> {
        let Some(cursor) = cursor else {
            let view = node.view(consistency).await?;
            return Ok(Self {
                cursors: Cursors::new(view.token, view.now, query),
                view,
                filter,
                after: None,
                is_done: false,
            });
        };
        let cursor = Cursor::decode(cursor, query)?;
        let view = node.view_of_cursor(&cursor).await?;
        let after: Relationship = cursor.after.parse().map_err(|_| {
            Error::invalid(
                Reason::InvalidCursor,
                "error decoding cursor: it is not one that this server gives out",
            )
        })?;
        Ok(Self {
            cursors: Cursors::new(view.token, view.now, query),
            view,
            filter,
            after: Some(after.key()),
            is_done: false,
        })
    }

    /// The token of the snapshot that is read.
    #[must_use]
    pub fn at(&self) -> Token {
        self.view.token
    }

    /// The next relationships, at most `count_max`; none at the end.
    ///
    /// # Cost
    /// O(count) after a search for the place where the page begins.
    pub fn next_page(&mut self, count_max: usize) -> Vec<Relationship> {
        if self.is_done {
            return Vec::new();
        }
        let now = self.view.now;
        let rows = self
            .view
            .snapshot
            .relationships_after(&self.filter, self.after.as_ref());
        let page: Vec<Relationship> = rows
            .filter(|row| !row.is_expired(now))
            .take(count_max)
            .collect();
        self.is_done = page.len() < count_max;
        if let Some(last) = page.last() {
            self.after = Some(last.key());
        }
        page
    }

    /// The cursor that goes on after `last`.
    #[must_use]
    pub fn cursor_after(&self, last: &Relationship) -> String {
        self.cursors.after(&last.key().to_string())
    }
}

/// Opens a read of the relationships that match `filter`, from the start or from a cursor of the same read.
///
/// The order is that of the wire: resource type, resource id, relation, subject, each as text. `limit` is the most that
/// the caller will take, 0 for all; it only counts here as a parameter that a cursor is bound to.
///
/// # Errors
/// [`Error`] for a filter that does not fit the schema, a limit past `page_size_max`, a wrong cursor, and a snapshot
/// that is not to be had.
pub async fn read(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    filter: RelationshipFilter,
    limit: u32,
    cursor: Option<&str>,
) -> Result<Reading, Error> {
    let limit_max = node.settings().limits.page_size_max;
    if limit > limit_max {
        return Err(Error::limit_too_big(limit, limit_max));
    }
    let query = Cursor::digest("read", &format!("{filter:?} {limit}"));
    let reading = Reading::open(node, consistency, filter, query, cursor).await?;
    // What was taken from the caller while the snapshot was waited for is not to be had.
    Permit::of(node, caller)?.require_filter(Action::Read, &reading.filter)?;
    typing::filter(reading.view.snapshot.schema(), &reading.filter)?;
    Ok(reading)
}

/// Opens an export of all relationships, or of those that match `filter`, from the start or from a cursor.
///
/// # Errors
/// As [`read`], with pages of up to `export_page_size_max`.
pub async fn export(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    filter: Option<RelationshipFilter>,
    page_size: u32,
    cursor: Option<&str>,
) -> Result<Reading, Error> {
    let page_size_max = node.settings().limits.export_page_size_max;
    if page_size > page_size_max {
        return Err(Error::limit_too_big(page_size, page_size_max));
    }
    let query = Cursor::digest("export", &format!("{filter:?}"));
    let is_filtered = filter.is_some();
    let reading =
        Reading::open(node, consistency, filter.unwrap_or_default(), query, cursor).await?;
    Permit::of(node, caller)?.require_filter(Action::Read, &reading.filter)?;
    if is_filtered {
        typing::filter(reading.view.snapshot.schema(), &reading.filter)?;
    }
    Ok(reading)
}
