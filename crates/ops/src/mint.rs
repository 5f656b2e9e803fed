//! Minting a token: whoever may call may have one, for itself and for less.

use std::collections::BTreeSet;
use std::time::Duration;

use identity::{Authenticator, Caller, MintError, MintedToken, Narrowing};
use model::DefinitionName;

use crate::access::{Action, Permit};
use crate::error::{Error, Kind};
use crate::node::Node;

/// How long a token lives if nothing is said of it.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// What a token is to be good for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mint {
    /// The actions that are left; empty for all.
    pub actions: BTreeSet<Action>,
    /// The definitions that are left; empty for all. Whether there are such is neither asked nor told.
    pub definitions: BTreeSet<DefinitionName>,
    /// How long; none for an hour.
    pub life: Option<Duration>,
}

impl Mint {
    /// The narrowing that a token begins with; empty if it leaves all.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for more names than a narrowing has.
    pub fn narrowing(&self) -> Result<Narrowing, Error> {
        let actions = self.actions.iter().map(|it| it.permission().to_owned());
        let actions = (!self.actions.is_empty()).then(|| actions.collect());
        let definitions = (!self.definitions.is_empty()).then(|| self.definitions.clone());
        Narrowing::new(actions, definitions, None)
            .map_err(|error| Error::new(Kind::InvalidArgument, error.to_string()))
    }
}

/// Mints a token for `caller`, by which it may do no more than it may itself, at any time until then.
///
/// # Errors
/// [`Kind::FailedPrecondition`] without token keys and for a caller that has nothing to mint with, [`Kind::InvalidArgument`] for a
/// life that no token has; that of a caller which is locked.
pub fn mint(
    node: &Node,
    authenticator: &Authenticator,
    caller: &Caller,
    asked: &Mint,
) -> Result<MintedToken, Error> {
    // A locked caller gets nothing that would be good again once it is not.
    let _let_in = Permit::of(node, caller)?;
    let minted = authenticator.mint(caller, &asked.narrowing()?, asked.life.unwrap_or(LIFE))?;
    tracing::info!(
        caller = caller.name(),
        token = minted.id(),
        until = %minted.until(),
        "minted a token"
    );
    Ok(minted)
}

impl From<MintError> for Error {
    fn from(error: MintError) -> Self {
        let kind = match &error {
            MintError::NoTokenKeys
            | MintError::NoCredential
            | MintError::OfMinted
            | MintError::OnBehalf
            | MintError::BasisGone => Kind::FailedPrecondition,
            MintError::Life | MintError::Token(_) => Kind::InvalidArgument,
            MintError::Random => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}
