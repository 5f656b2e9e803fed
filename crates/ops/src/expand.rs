//! Who has a relation or permission?

use engine::eval::{self, ExpandError, Tree, TreeLimits};
use identity::Caller;
use model::{Context, ObjectRef};

use crate::access::Permit;
use crate::check::{Answered, environment};
use crate::consistency::Consistency;
use crate::error::{Error, Kind, Reason};
use crate::node::Node;

/// Levels of a tree.
///
/// SOURCE: decoders of protobuf refuse more than 100 messages within each other. Each level takes two, one less for the
/// root, and the subjects of a leaf three.
const LEVELS_MAX: u16 = 49;

/// The tree of who has `permission` (or relation) of `resource`, as the schema writes it.
///
/// # Errors
/// [`Error`] for names that the schema lacks, a permission that depends on itself through an exclusion, a tree that is
/// too deep or too large to be sent, and a snapshot that is not to be had.
pub async fn expand(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    resource: &ObjectRef,
    permission: &str,
) -> Result<Answered<Tree>, Error> {
    let (view, permit) = Permit::with_view(node, caller, consistency).await?;
    let definition = resource.definition.as_str();
    permit.require_explanation(view.snapshot.schema(), definition, permission)?;
    let context = Context::default();
    let environment = environment(node, &view, &context);
    let limits = TreeLimits {
        levels_max: LEVELS_MAX,
        bytes_max: node.settings().limits.answer_bytes_max,
    };
    let tree = eval::expand(&view.snapshot, resource, permission, environment, limits)?;
    Ok(Answered {
        answer: tree,
        at: view.token,
    })
}

impl From<ExpandError> for Error {
    fn from(error: ExpandError) -> Self {
        match error {
            ExpandError::Query(error) => error.into(),
            ExpandError::Evaluation(error) => error.into(),
            ExpandError::TooManyLevels { levels_max } => {
                let message = format!("{error}, and clients decode no deeper messages");
                Self::new(Kind::FailedPrecondition, message)
                    .with_reason(Reason::MaximumDepthExceeded)
                    .with("maximum_levels_allowed", levels_max)
            }
            ExpandError::TooLarge { .. } => Self::new(
                Kind::LimitExceeded,
                format!("{error}: expand what it consists of one by one"),
            ),
        }
    }
}
