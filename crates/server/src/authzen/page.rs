//! Pages of a search. A token holds the limit and a cursor, which is bound to the query and to the snapshot of the first page.

use serde::Serialize;
use serde_json::Value;

use super::entities::{Invalid, Path, Request};

/// Which part of an answer is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// The most results.
    pub(super) limit: u32,
    /// Where to go on.
    pub(super) cursor: Option<String>,
    is_given: bool,
}

/// The answer of a search. Its members stand in the order in which the standard wants them to be read.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<Page>,
    /// What no result can say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<Value>,
    results: Vec<Value>,
}

#[derive(Debug, Serialize)]
struct Page {
    /// Empty at the end.
    next_token: String,
    count: usize,
}

impl Asked {
    /// The page that `request` asks for; of `size_max` results unless it wants fewer.
    ///
    /// # Errors
    /// [`Invalid`] for a page of another shape, and a token with a limit that is not its own.
    pub(super) fn of(request: &Request, size_max: u32) -> Result<Self, Invalid> {
        let Some(page) = request.object("page")? else {
            return Ok(Self {
                limit: size_max,
                cursor: None,
                is_given: false,
            });
        };
        let limit = match page.get("limit") {
            None | Some(Value::Null) => None,
            Some(limit) => Some(limit.as_u64().ok_or(Invalid::WrongType {
                path: Path::within("page", "limit"),
                wanted: "a whole number that is not negative",
            })?),
        };
        // No limit, and one that asks for nothing, are ours to choose.
        let limit = limit.filter(|limit| *limit > 0);
        let limit = limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX).min(size_max));
        let token = match page.get("token") {
            None | Some(Value::Null) => None,
            Some(Value::String(token)) if token.is_empty() => None,
            Some(Value::String(token)) => Some(token),
            Some(_) => {
                let path = Path::within("page", "token");
                let wanted = "a string";
                return Err(Invalid::WrongType { path, wanted });
            }
        };
        let Some(token) = token else {
            return Ok(Self {
                limit: limit.unwrap_or(size_max),
                cursor: None,
                is_given: true,
            });
        };
        let (of_token, cursor) = token.split_once('.').ok_or(Invalid::Token)?;
        let of_token: u32 = of_token.parse().map_err(|_| Invalid::Token)?;
        if of_token == 0 || of_token > size_max || limit.is_some_and(|limit| limit != of_token) {
            return Err(Invalid::Token);
        }
        Ok(Self {
            limit: of_token,
            cursor: Some(cursor.to_owned()),
            is_given: true,
        })
    }

    /// The answer with `results`, which goes on at `next`.
    pub(super) fn answer(&self, results: Vec<Value>, next: Option<String>) -> Answer {
        let is_told = next.is_some() || self.is_given;
        let next_token = next.map_or_else(String::new, |cursor| format!("{}.{cursor}", self.limit));
        let count = results.len();
        Answer {
            page: is_told.then_some(Page { next_token, count }),
            context: None,
            results,
        }
    }
}
