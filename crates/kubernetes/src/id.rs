//! Ids of objects for the names of Kubernetes: `ann=40example=2Ecom`, `main/prod/builder`.
//!
//! A name is written as [`ObjectId::of_text`] writes any text. Where an id is made of several names, `/` parts them, and none of
//! them has one. Users and groups are those of the company, so their ids are the same for every cluster; all else begins
//! with its cluster.

use model::{DefinitionName, NameError, ObjectId, ObjectRef};

use crate::names;

/// A name that has no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// There is no text.
    #[error("a name is empty")]
    Empty,
    /// A name has what parts names.
    #[error("a name within others has a `/`")]
    Slash,
    /// Its id would be too long, or its definition is no name.
    #[error("the id of a name cannot be made: {0}")]
    Id(#[from] NameError),
}

/// The name of a cluster, as ids begin with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster(String);

/// Why a text names no cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a cluster's name has 1 to {} letters, digits, `-` and `_`",
    Cluster::BYTES_MAX
)]
pub struct ClusterError;

impl Cluster {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 63;

    /// Checks a name.
    ///
    /// # Errors
    /// [`ClusterError`] for a text that cannot stand in an id as it is.
    pub fn new(name: &str) -> Result<Self, ClusterError> {
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if name.is_empty() || name.len() > Self::BYTES_MAX || !is_name {
            return Err(ClusterError);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object of the definition `definition` with these names, one within the other, in this cluster.
    pub(crate) fn object(&self, definition: &str, path: &[&str]) -> Result<ObjectRef, IdError> {
        let mut id = self.0.clone();
        for name in path {
            if name.is_empty() {
                return Err(IdError::Empty);
            }
            if name.contains('/') {
                return Err(IdError::Slash);
            }
            id.push('/');
            id.push_str(ObjectId::of_text(name)?.as_str());
        }
        object(definition, ObjectId::new(&id)?)
    }

    /// What ids of this cluster begin with.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}/", self.0)
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl std::str::FromStr for Cluster {
    type Err = ClusterError;

    fn from_str(name: &str) -> Result<Self, ClusterError> {
        Self::new(name)
    }
}

/// The object for a name that belongs to no cluster.
pub(crate) fn global(definition: &str, name: &str) -> Result<ObjectRef, IdError> {
    if name.is_empty() {
        return Err(IdError::Empty);
    }
    object(definition, ObjectId::of_text(name)?)
}

/// The names that an id was made of; none if it was not made here.
#[must_use]
pub fn names(id: &ObjectId) -> Option<Vec<String>> {
    let names = id.as_str().split('/');
    let names = names.map(|name| Some(ObjectId::new(name).ok()?.to_text()?.into_owned()));
    names.collect()
}

/// Whom a user name names: a service account of `cluster`, where it is the name of one, or a user.
pub(crate) fn user(cluster: &Cluster, name: &str) -> Result<ObjectRef, IdError> {
    let account = name.strip_prefix("system:serviceaccount:");
    let parts = account.and_then(|account| account.split_once(':'));
    match parts {
        Some((namespace, name))
            if !namespace.is_empty()
                && !name.is_empty()
                && !name.contains([':', '/'])
                && !namespace.contains('/') =>
        {
            cluster.object(names::SERVICE_ACCOUNT, &[namespace, name])
        }
        Some(_) | None => global(names::USER, name),
    }
}

fn object(definition: &str, id: ObjectId) -> Result<ObjectRef, IdError> {
    Ok(ObjectRef {
        definition: DefinitionName::new(definition)?,
        id,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_can_be_read_in_ids() {
        let cluster = Cluster::default();
        let told = |object: Result<ObjectRef, IdError>| object.unwrap().to_string();
        assert_eq!(
            told(user(&cluster, "ann@example.com")),
            "kubernetes/user:ann=40example=2Ecom"
        );
        assert_eq!(
            told(user(&cluster, "system:serviceaccount:prod:builder")),
            "kubernetes/serviceaccount:main/prod/builder"
        );
        for other in [
            "system:serviceaccount:prod",
            "system:serviceaccount:prod:",
            "system:serviceaccount::x",
            "system:serviceaccount:a:b:c",
            "system:serviceaccount:a/b:c",
            "system:serviceaccount:a:b/c",
            "System:serviceaccount:prod:builder",
        ] {
            assert!(told(user(&cluster, other)).starts_with("kubernetes/user:"));
        }
        assert_eq!(
            told(cluster.object(names::CLUSTER_ROLE, &["system:node"])),
            "kubernetes/cluster_role:main/system=3Anode"
        );
        assert_eq!(global(names::USER, ""), Err(IdError::Empty));
        let within = cluster.object(names::NAMESPACE, &["a/b"]);
        assert_eq!(within, Err(IdError::Slash));
        assert!(global(names::USER, &"@".repeat(342)).is_err());
        for bad in ["", "a/b", "a.b", &"a".repeat(64)] {
            assert_eq!(Cluster::new(bad), Err(ClusterError));
        }
    }

    proptest! {
        #[test]
        fn ids_are_read_back(names in prop::collection::vec("[^/\\pC]{1,30}", 1..4)) {
            let path: Vec<&str> = names.iter().map(String::as_str).collect();
            let object = Cluster::default().object(names::ROLE, &path).unwrap();
            let mut read = super::names(&object.id).unwrap();
            prop_assert_eq!(read.remove(0), "main");
            prop_assert_eq!(read, names);
        }

        #[test]
        fn no_two_users_have_one_id(one in "\\PC{1,12}", other in "\\PC{1,12}") {
            let id = |name: &str| user(&Cluster::default(), name).unwrap();
            prop_assert_eq!(one == other, id(&one) == id(&other));
        }
    }
}
