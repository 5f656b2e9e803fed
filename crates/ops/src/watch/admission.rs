//! What a caller may be told of, at the start of a watch and for as long as it goes on.

use std::collections::HashSet;

use super::Filter;
use crate::access::{Action, Permit, Target};
use crate::error::Error;

/// The filter without the definitions that the caller may not follow, if it asks for all.
///
/// # Errors
/// [`Error`] if it cannot be told what the caller may follow.
pub(super) fn narrowed(permit: &Permit<'_>, filter: Filter) -> Result<Filter, Error> {
    match filter {
        Filter::All if !permit.may(Action::Watch, Target::System)? => {
            let mut followed = HashSet::new();
            for (_, definition) in permit.schema().definitions() {
                let name = &definition.name;
                if permit.may(Action::Watch, Target::Definition(name.as_str()))? {
                    followed.insert(name.clone());
                }
            }
            if followed.is_empty() {
                return Err(permit.forbidden(Action::Watch, Target::System));
            }
            Ok(Filter::Definitions(followed))
        }
        Filter::All | Filter::Definitions(_) | Filter::Relationships(_) => Ok(filter),
    }
}

/// Lets a watch through, or go on.
///
/// # Errors
/// [`Error`] as for any call that the caller may not make.
pub(super) fn admit(permit: &Permit<'_>, filter: &Filter) -> Result<(), Error> {
    match filter {
        Filter::All => permit.require(Action::Watch, Target::System),
        Filter::Definitions(definitions) => definitions.iter().try_for_each(|definition| {
            permit.require(Action::Watch, Target::Definition(definition.as_str()))
        }),
        Filter::Relationships(filters) => filters
            .iter()
            .try_for_each(|filter| permit.require_filter(Action::Watch, filter)),
    }
}
