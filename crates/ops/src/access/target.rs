//! What something is done with, and the objects by which rights on it are held.

use model::{DefinitionName, ObjectId, ObjectRef};

use super::roles::{Action, SYSTEM_ID, Scope};
use crate::error::{Error, Kind};

/// What is to be done something with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Target<'a> {
    /// All of Remit.
    System,
    /// All relationships of a definition.
    Definition(&'a str),
    /// A relation or permission of a definition.
    Member(&'a str, &'a str),
    /// A caller.
    User(&'a str),
}

impl<'a> Target<'a> {
    /// The definition that it is of; none for all of Remit, which is more than any one.
    pub(super) fn definition(self) -> Option<&'a str> {
        match self {
            Self::System => None,
            Self::Definition(definition) | Self::Member(definition, _) => Some(definition),
            Self::User(_) => Some(Scope::User.definition()),
        }
    }
}

pub(super) fn of_relation<'t>(definition: &'t str, relation: Option<&'t str>) -> Target<'t> {
    match relation {
        Some(relation) => Target::Member(definition, relation),
        None => Target::Definition(definition),
    }
}

/// The objects of which one allows the action, the narrowest last: most callers have one right on much.
pub(super) fn objects(
    action: Action,
    target: Target<'_>,
) -> impl Iterator<Item = Result<ObjectRef, Error>> {
    let (definition, member, user) = match target {
        Target::System => (None, None, None),
        Target::Definition(definition) => (Some(definition), None, None),
        Target::Member(definition, member) => (Some(definition), Some((definition, member)), None),
        Target::User(user) => (None, None, Some(user)),
    };
    let has = move |scope: Scope| scope.actions().contains(&action);
    let of_definition = definition.filter(|_| has(Scope::Definition));
    let of_member = member.filter(|_| has(Scope::Relation));
    let of_user = user.filter(|_| has(Scope::User));
    std::iter::once(object(Scope::System, SYSTEM_ID))
        .chain(of_definition.map(|name| object(Scope::Definition, name)))
        .chain(of_member.map(|(definition, member)| relation_object(definition, member)))
        .chain(of_user.map(|id| object(Scope::User, id)))
}

/// The object of a scope.
pub(super) fn object(scope: Scope, id: &str) -> Result<ObjectRef, Error> {
    Ok(ObjectRef {
        definition: DefinitionName::new(scope.definition()).map_err(unnameable)?,
        id: ObjectId::new(id).map_err(unnameable)?,
    })
}

pub(super) fn relation_object(definition: &str, member: &str) -> Result<ObjectRef, Error> {
    object(Scope::Relation, &format!("{definition}/{member}"))
}

/// A name that no definition and no relation can have.
pub(super) fn unnameable(error: impl std::fmt::Display) -> Error {
    Error::new(Kind::InvalidArgument, error.to_string())
}
