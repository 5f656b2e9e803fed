//! Manifests as relationships.
//!
//! A role or binding owns all relationships that say what it is: its own, those of its rules, and that of its namespace or cluster
//! with it. So a manifest that changes changes these and nothing else. Roles of which others are made are found by labels among
//! what is imported together, as the controller of a cluster finds them; nobody writes labels down.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    CaveatName, CaveatRef, Context, DefinitionName, NameError, ObjectRef, RelationName,
    Relationship, SubjectId, SubjectRef,
};

use crate::id::{self, Cluster, IdError};
use crate::manifest::{Binding, Manifest, Place, Role, RoleRef, Subject};
use crate::names;
use crate::rule::{self, Part, RuleTooLong};
use crate::selector;

/// The most relationships of one import.
pub const RELATIONSHIPS_MAX: usize = 1_000_000;

/// Why manifests cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// A name has no id.
    #[error("{place}: {object}: {source}")]
    Id {
        /// Where the manifest stands.
        place: Box<Place>,
        /// The manifest.
        object: String,
        /// Why not.
        source: IdError,
    },
    /// A rule cannot be kept.
    #[error("{place}: {object}: {source}")]
    Rule {
        /// Where the manifest stands.
        place: Box<Place>,
        /// The manifest.
        object: String,
        /// Why not.
        source: RuleTooLong,
    },
    /// There are too many.
    #[error("the manifests come to more than {RELATIONSHIPS_MAX} relationships")]
    TooMany,
}

/// Where an import writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The cluster.
    pub cluster: Cluster,
    /// What the roles and bindings are marked with, so that other imports and what is written by hand are left alone.
    pub source: String,
}

/// The relationships that manifests come to, by the role or binding that owns them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Desired {
    /// Each sorted by its text.
    pub owners: BTreeMap<ObjectRef, Vec<Relationship>>,
    /// Namespaces are of their cluster; nobody owns that.
    pub shared: Vec<Relationship>,
}

impl Desired {
    /// How many relationships there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.len() + self.owners.values().map(Vec::len).sum::<usize>()
    }

    /// Every relationship.
    pub fn relationships(&self) -> impl Iterator<Item = &Relationship> {
        self.owners.values().flatten().chain(&self.shared)
    }
}

/// The relationships that `manifests` come to.
///
/// # Errors
/// [`ImportError`] for a name or a rule that cannot be kept, and past [`RELATIONSHIPS_MAX`].
pub fn desired(target: &Target, manifests: &[(Place, Manifest)]) -> Result<Desired, ImportError> {
    let roles = manifests.iter().filter_map(|(_, manifest)| match manifest {
        Manifest::Role(role) if role.namespace.is_none() => Some(role),
        Manifest::Role(_) | Manifest::Binding(_) => None,
    });
    let writer = Writer {
        target,
        cluster_roles: roles.collect(),
    };
    let mut desired = Desired::default();
    let mut namespaces = BTreeSet::new();
    let mut count = 0;
    for (place, manifest) in manifests {
        let written = match manifest {
            Manifest::Role(role) => writer.role(role),
            Manifest::Binding(binding) => writer.binding(binding),
        };
        let (owner, mut relationships) = written.map_err(|failed| failed.at(place, manifest))?;
        namespaces.extend(manifest_namespace(manifest));
        relationships.sort_by_key(Relationship::key);
        relationships.dedup();
        count += relationships.len();
        if count > RELATIONSHIPS_MAX {
            return Err(ImportError::TooMany);
        }
        desired.owners.insert(owner, relationships);
    }
    for (namespace, (place, manifest)) in namespaces.into_iter().flat_map(|namespace| {
        let mut of = manifests.iter();
        let first = of.find(|(_, manifest)| manifest_namespace(manifest) == Some(namespace));
        first.map(|first| (namespace, first))
    }) {
        let shared = writer.namespace(namespace);
        desired
            .shared
            .push(shared.map_err(|failed| failed.at(place, manifest))?);
    }
    Ok(desired)
}

fn manifest_namespace(manifest: &Manifest) -> Option<&str> {
    match manifest {
        Manifest::Role(role) => role.namespace.as_deref(),
        Manifest::Binding(binding) => binding.namespace.as_deref(),
    }
}

/// Why one manifest cannot be imported.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Id(#[from] IdError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Rule(#[from] RuleTooLong),
}

impl Failed {
    fn at(self, place: &Place, manifest: &Manifest) -> ImportError {
        let (place, object) = (Box::new(place.clone()), manifest.to_string());
        match self {
            Self::Id(source) => ImportError::Id {
                place,
                object,
                source,
            },
            Self::Name(source) => ImportError::Id {
                place,
                object,
                source: source.into(),
            },
            Self::Rule(source) => ImportError::Rule {
                place,
                object,
                source,
            },
        }
    }
}

type Owned = (ObjectRef, Vec<Relationship>);

struct Writer<'a> {
    target: &'a Target,
    cluster_roles: Vec<&'a Role>,
}

impl Writer<'_> {
    fn object(&self, definition: &str, path: &[&str]) -> Result<ObjectRef, IdError> {
        self.target.cluster.object(definition, path)
    }

    fn role(&self, role: &Role) -> Result<Owned, Failed> {
        let (owner, path) = match &role.namespace {
            Some(namespace) => {
                let path = vec![namespace.as_str(), role.name.as_str()];
                (self.object(names::ROLE, &path)?, path)
            }
            None => {
                let path = vec![role.name.as_str()];
                (self.object(names::CLUSTER_ROLE, &path)?, path)
            }
        };
        let mut rows = vec![self.mark(&owner)?];
        match &role.aggregation {
            Some(aggregation) => {
                for other in &self.cluster_roles {
                    let mut selectors = aggregation.cluster_role_selectors.iter();
                    let is_chosen = other.name != role.name
                        && selectors.any(|selector| selector::chooses(selector, &other.labels));
                    if is_chosen {
                        let other = self.object(names::CLUSTER_ROLE, &[&other.name])?;
                        rows.push(row(&owner, names::AGGREGATE, other.into())?);
                    }
                }
            }
            None => self.rules(&owner, &path, role, &mut rows)?,
        }
        Ok((owner, rows))
    }

    fn rules(
        &self,
        owner: &ObjectRef,
        path: &[&str],
        role: &Role,
        rows: &mut Vec<Relationship>,
    ) -> Result<(), Failed> {
        let mut parts = Vec::new();
        for rule in &role.rules {
            parts.extend(rule::parts(rule)?);
        }
        for (ix, part) in parts.into_iter().enumerate() {
            let ix = ix.to_string();
            let path: Vec<&str> = path.iter().copied().chain([ix.as_str()]).collect();
            let rule = self.object(names::RULE, &path)?;
            rows.push(row(owner, names::OF_RULE, rule.clone().into())?);
            let (relation, caveat, context) = match part {
                Part::Resources(context) => (names::MATCHES, names::PERMITS, context),
                Part::Urls(context) => (names::MATCHES_URL, names::PERMITS_URL, context),
            };
            for definition in [names::USER, names::SERVICE_ACCOUNT, names::GROUP] {
                rows.push(everybody(&rule, relation, definition, (caveat, &context))?);
            }
        }
        Ok(())
    }

    fn binding(&self, binding: &Binding) -> Result<Owned, Failed> {
        let cluster = &self.target.cluster;
        let (owner, scope) = match &binding.namespace {
            Some(namespace) => (
                self.object(names::ROLE_BINDING, &[namespace, &binding.name])?,
                self.object(names::NAMESPACE, &[namespace])?,
            ),
            None => (
                self.object(names::CLUSTER_ROLE_BINDING, &[&binding.name])?,
                id::global(names::CLUSTER, cluster.as_str())?,
            ),
        };
        let role = match (&binding.role, &binding.namespace) {
            (RoleRef::Role(name), Some(namespace)) => {
                self.object(names::ROLE, &[namespace, name])?
            }
            // A binding of the cluster names no role of a namespace: its manifest would be at fault.
            (RoleRef::ClusterRole(name) | RoleRef::Role(name), _) => {
                self.object(names::CLUSTER_ROLE, &[name])?
            }
        };
        let mut rows = vec![
            self.mark(&owner)?,
            row(&owner, names::OF_ROLE, role.into())?,
            row(&scope, names::BINDING, owner.clone().into())?,
        ];
        for subject in &binding.subjects {
            let subject = match subject {
                Subject::User(name) => id::user(cluster, name)?.into(),
                Subject::ServiceAccount { namespace, name } => {
                    // As the API server calls it, so that it is known by no other name.
                    let name = format!("system:serviceaccount:{namespace}:{name}");
                    id::user(cluster, &name)?.into()
                }
                Subject::Group(name) => SubjectRef {
                    relation: Some(RelationName::new(names::ANYONE)?),
                    ..id::global(names::GROUP, name)?.into()
                },
            };
            rows.push(row(&owner, names::SUBJECT, subject)?);
        }
        Ok((owner, rows))
    }

    fn namespace(&self, namespace: &str) -> Result<Relationship, Failed> {
        let cluster = id::global(names::CLUSTER, self.target.cluster.as_str())?;
        let namespace = self.object(names::NAMESPACE, &[namespace])?;
        Ok(row(&namespace, names::OF_CLUSTER, cluster.into())?)
    }

    fn mark(&self, owner: &ObjectRef) -> Result<Relationship, Failed> {
        let source = self.object(names::SOURCE, &[&self.target.source])?;
        Ok(row(owner, names::OF_SOURCE, source.into())?)
    }
}

fn row(
    resource: &ObjectRef,
    relation: &str,
    subject: SubjectRef,
) -> Result<Relationship, NameError> {
    let relation = RelationName::new(relation)?;
    Ok(Relationship::new(resource.clone(), relation, subject))
}

fn everybody(
    rule: &ObjectRef,
    relation: &str,
    definition: &str,
    (caveat, context): (&str, &Context),
) -> Result<Relationship, NameError> {
    let subject = SubjectRef {
        definition: DefinitionName::new(definition)?,
        id: SubjectId::Wildcard,
        relation: None,
    };
    Ok(Relationship {
        caveat: Some(CaveatRef {
            name: CaveatName::new(caveat)?,
            context: context.clone(),
        }),
        ..row(rule, relation, subject)?
    })
}

#[cfg(test)]
mod tests;
