//! RBAC manifests: files of YAML or JSON in, roles and bindings out, each with where it stands.
//!
//! What is not of RBAC is counted and left alone. A manifest that an API server would refuse is a fault; of a file with faults nothing
//! is taken, since half of the roles are not the same as all of them.

mod document;
mod kind;

use std::collections::BTreeMap;
use std::fmt;

pub use kind::{
    AggregationRule, Binding, LabelSelector, Requirement, Role, RoleRef, Rule, Subject,
};

/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 64 << 20;
/// The most manifests in one import.
pub const MANIFESTS_MAX: usize = 200_000;

/// Where a manifest stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// Which of the file's documents it is, from 1 on.
    pub document: usize,
    /// Which item of the document, from 1 on, where that is a list.
    pub item: Option<usize>,
}

/// One manifest of RBAC.
#[derive(Debug, Clone, PartialEq)]
pub enum Manifest {
    /// A `Role` or a `ClusterRole`.
    Role(Role),
    /// A `RoleBinding` or a `ClusterRoleBinding`.
    Binding(Binding),
}

/// What is wrong with a manifest, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: FaultKind,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The file is too large.
    #[error("the file has more than {FILE_BYTES_MAX} bytes")]
    FileTooLarge,
    /// There are too many.
    #[error("more than {MANIFESTS_MAX} manifests are more than one import takes")]
    TooMany,
    /// The document is neither YAML nor JSON.
    #[error("line {line}: {message}")]
    Unreadable {
        /// The line of the file.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// The document is no manifest.
    #[error("it is no manifest: `apiVersion` and `kind` are texts that each has")]
    NoManifest,
    /// A list holds lists within lists.
    #[error("lists are nested more than {} deep", document::LISTS_MAX)]
    ListsTooDeep,
    /// The version of RBAC's API is another.
    #[error("`{version}` is not read; convert it to `{}`", document::API_VERSION)]
    Version {
        /// Which.
        version: String,
    },
    /// A part has another type, or is not there.
    #[error("{kind}: {message}")]
    Shape {
        /// Of what kind the manifest is.
        kind: String,
        /// What is wrong.
        message: String,
    },
    /// An API server would not take it.
    #[error("{object}: {why}")]
    Invalid {
        /// The manifest, as `Role prod/deployer`.
        object: String,
        /// Why not.
        why: String,
    },
    /// Two manifests of one name say different things.
    #[error("{object} is given before, otherwise, by {other}")]
    Twice {
        /// The manifest.
        object: String,
        /// Where it stands as well.
        other: Place,
    },
}

/// What files hold.
#[derive(Debug, Default)]
pub struct Manifests {
    /// Roles and bindings, in their order.
    pub found: Vec<(Place, Manifest)>,
    /// What was wrong.
    pub faults: Vec<Fault>,
    /// How many of which other kinds there were.
    pub skipped: BTreeMap<String, usize>,
    /// Where in `found` each stands, by what it is called.
    known: BTreeMap<String, usize>,
}

impl Manifests {
    /// Reads one more file; roles and bindings that name no namespace are of `namespace`, if there is one.
    pub fn read(&mut self, file: &str, text: &str, namespace: Option<&str>) {
        document::read(self, file, text, namespace);
    }

    /// Takes a manifest in, unless it was given before in the same words.
    fn take(&mut self, place: Place, manifest: Manifest) {
        let object = manifest.to_string();
        let Some((other, before)) = self.known.get(&object).and_then(|ix| self.found.get(*ix))
        else {
            self.known.insert(object, self.found.len());
            self.found.push((place, manifest));
            return;
        };
        if *before != manifest {
            let other = other.clone();
            let fault = FaultKind::Twice { object, other };
            self.faults.push(Fault { place, fault });
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file, self.document)?;
        match self.item {
            Some(item) => write!(f, ", item {item}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => write!(f, "{role}"),
            Self::Binding(binding) => write!(f, "{binding}"),
        }
    }
}

#[cfg(test)]
mod tests;
