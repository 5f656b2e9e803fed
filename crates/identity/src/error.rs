//! Why nobody was let in.

use crate::minted::MintedError;
use crate::spiffe::SvidError;
use crate::token::TokenError;

/// Why nobody was let in. It says what to do, and holds no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// Nothing was presented that names a caller.
    #[error("no key, token or certificate of a workload was presented")]
    Missing,
    /// The header is not `Bearer CREDENTIAL`, or there are several.
    #[error("the authorization header is not one `Bearer` and a key or token")]
    Malformed,
    /// The header has the scheme of DPoP.
    #[error("DPoP is not supported; send a token that is not bound to a key as `Bearer`")]
    Dpop,
    /// The key is not one of the server's, which takes nothing else.
    #[error("the key is not known")]
    UnknownKey,
    /// What was presented is neither a key of the server's nor a token.
    #[error("what was presented is neither a known key nor a token")]
    Unrecognized,
    /// The token lets nobody in.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The minted token lets nobody in.
    #[error(transparent)]
    Minted(#[from] MintedError),
    /// The token is good, and not for this.
    #[error("the token lacks the scope `{scope}`; ask its issuer for one that has it")]
    InsufficientScope {
        /// The scope.
        scope: String,
    },
    /// The keys of the token's issuer are not there yet, or are too old.
    #[error("the keys of issuer `{issuer}` could not be fetched; try again later")]
    KeysUnavailable {
        /// What the configuration calls the issuer.
        issuer: String,
    },
    /// The client certificate names no workload.
    #[error(transparent)]
    Certificate(#[from] SvidError),
}
