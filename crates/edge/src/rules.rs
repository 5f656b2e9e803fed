//! The rules: routes, and which one is for a request.

use schema::caveat::Scope;

use crate::attributes::Facts;
use crate::fault::Faults;
use crate::host::{self, HostPattern};
use crate::path::{PathError, Segments};
use crate::reading;
use crate::route::{ForwardedBy, Found, Route};
use crate::template::Template;

/// Longest file of rules, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Most routes.
pub const ROUTES_MAX: usize = 1_000;

/// The rules of a file.
#[derive(Debug)]
pub struct Rules {
    pub(crate) scope: Scope,
    pub(crate) forwarded_by: ForwardedBy,
    /// The name under which the proxy keeps the claims of a token.
    pub(crate) payload: String,
    pub(crate) routes: Vec<Route>,
    /// In the order in which the first that matches is the one.
    pub(crate) entries: Vec<Entry>,
}

/// What a route is for.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) host: HostPattern,
    pub(crate) path: Template,
    /// Sorted; none for any.
    pub(crate) methods: Option<Vec<String>>,
    pub(crate) route: usize,
}

/// Why no route is for a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmatched {
    /// The path is not looked at.
    #[error("{0}")]
    Path(PathError),
    /// The host is none.
    #[error("the host is no name of a host")]
    Host,
    /// It has an encoded `/` in what `{rest...}` of the narrowest route stands for; no wider route is looked for.
    #[error("the path holds an encoded `/` where its route joins segments")]
    Slash,
    /// There is none.
    #[error("no route is for the request")]
    Route,
}

impl Rules {
    /// Reads the text of the file called `file`.
    ///
    /// # Errors
    /// [`Faults`], with every fault that there is and its place.
    pub fn read(file: &str, text: &str) -> Result<Self, Faults> {
        reading::rules(text).map_err(|faults| Faults {
            file: file.to_owned(),
            faults,
        })
    }

    /// The route of a request: of those that match, that with the narrowest host, then path, then methods.
    ///
    /// # Errors
    /// [`Unmatched`] if there is none, or the request is not to be trusted to mean one thing.
    pub fn find(&self, facts: &dyn Facts) -> Result<Found<'_>, Unmatched> {
        let target = facts.target();
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let path = Segments::read(path).map_err(Unmatched::Path)?;
        let host = host::normal(facts.host()).ok_or(Unmatched::Host)?;
        let method = facts.method();
        for entry in &self.entries {
            if !entry.is_for(method) || !entry.host.matches(&host) {
                continue;
            }
            let Some(params) = entry.path.reached(&path) else {
                continue;
            };
            if entry.path.joins_slash(&path) {
                return Err(Unmatched::Slash);
            }
            if let Some(route) = self.routes.get(entry.route) {
                return Ok(Found {
                    route,
                    scope: &self.scope,
                    payload: &self.payload,
                    params,
                });
            }
        }
        Err(Unmatched::Route)
    }

    /// The names of the routes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| route.name.as_str())
    }

    /// By which headers proxies say what they ask about.
    #[must_use]
    pub fn forwarded_by(&self) -> ForwardedBy {
        self.forwarded_by
    }
}

impl Entry {
    pub(crate) fn is_for(&self, method: &str) -> bool {
        let methods = self.methods.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|other| other == method))
    }

    /// What comes before all that is wider.
    pub(crate) fn rank(&self) -> ((u8, usize), Vec<u8>, usize) {
        let methods = self.methods.as_ref().map_or(usize::MAX, Vec::len);
        (self.host.rank(), self.path.rank(), methods)
    }
}
