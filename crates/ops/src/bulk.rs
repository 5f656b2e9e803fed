//! Importing many relationships in one commit.

use identity::Caller;
use model::{Operation, Relationship, RelationshipUpdate};

use crate::access::{Action, Permit};
use crate::error::{Error, Kind};
use crate::node::Node;
use crate::write::{self, Terms};

/// Relationships that are gathered and then created in one commit.
#[derive(Debug, Default)]
pub struct Import {
    updates: Vec<RelationshipUpdate>,
}

impl Import {
    /// Takes more relationships.
    ///
    /// # Errors
    /// [`Error`] past `import_relationships_max`, or for a context that is too large. Nothing of the import is stored.
    pub fn add(
        &mut self,
        node: &Node,
        relationships: impl IntoIterator<Item = Relationship>,
    ) -> Result<(), Error> {
        let count_max = node.settings().limits.import_relationships_max;
        for relationship in relationships {
            if self.updates.len() == count_max {
                let message = format!(
                    "an import takes at most {count_max} relationships; split it into several"
                );
                return Err(Error::new(Kind::LimitExceeded, message));
            }
            let update = RelationshipUpdate {
                operation: Operation::Create,
                relationship,
            };
            write::check_context_size(node, &update)?;
            self.updates.push(update);
        }
        Ok(())
    }

    /// Creates all of them in one commit and returns how many; 0 without a commit.
    ///
    /// # Errors
    /// [`Error`] if one does not fit the schema, or exists already, or occurs twice. Then nothing is stored.
    pub async fn commit(self, node: &Node, caller: &Caller) -> Result<u64, Error> {
        let count = self.updates.len() as u64;
        if count == 0 {
            return Ok(0);
        }
        Permit::of(node, caller)?.require_updates(Action::Import, &self.updates)?;
        let terms = Terms::default();
        let committed = write::commit_updates(node, caller, terms, self.updates).await?;
        node.published(committed.revision, committed.hash).await?;
        Ok(count)
    }
}
