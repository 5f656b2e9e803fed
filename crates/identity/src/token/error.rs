//! Why a token lets nobody in.

use model::{NameError, Timestamp};

use crate::jose::{FormError, LookupError};
use crate::spiffe::SpiffeIdError;

/// Why a token lets nobody in. It tells the token's owner what to do, and holds nothing of the token that is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has no form that a token may have.
    #[error(transparent)]
    Form(#[from] FormError),
    /// Nobody whom the configuration names issued it.
    #[error("the token's `iss` is none of the issuers that this server trusts")]
    UnknownIssuer,
    /// Its algorithm is not one of those that its issuer uses.
    #[error("the token's algorithm {name} is not one that is configured for its issuer")]
    Algorithm {
        /// The algorithm.
        name: &'static str,
    },
    /// It is of another type, such as an ID token.
    #[error(
        "the token's `typ` is not {expected}; send an access token, or configure `typ` for the issuer"
    )]
    Type {
        /// What it has to be.
        expected: &'static str,
    },
    /// Its header has more than a JWT-SVID's may have.
    #[error("the header of a JWT-SVID has `alg`, `kid` and `typ` alone")]
    Header,
    /// No key of the issuer can have signed it.
    #[error(transparent)]
    Key(#[from] LookupError),
    /// It was not signed by the key that it names.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is not there.
    #[error("the token has no `{claim}`")]
    MissingClaim {
        /// Its name.
        claim: String,
    },
    /// A claim is there and is not what it should be.
    #[error("the token's `{claim}` is not {expected}")]
    Claim {
        /// Its name.
        claim: String,
        /// What it should be.
        expected: &'static str,
    },
    /// It is over.
    #[error("the token expired at {at}; get a new one")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// It is not good yet.
    #[error(
        "the token is good from {at} on; the clocks of its issuer and of this server may differ"
    )]
    NotYetValid {
        /// From when on.
        at: Timestamp,
    },
    /// It lives for too long.
    #[error(
        "the token lives for more than the {seconds_max} seconds that are configured for its issuer"
    )]
    LivesTooLong {
        /// How long it may live.
        seconds_max: u32,
    },
    /// It is for somebody else.
    #[error("the token's `aud` does not name this server; ask its issuer for one that does")]
    Audience,
    /// The subject or a group makes no id of an object.
    #[error("the token's `{claim}` makes no id: {source}")]
    Id {
        /// The claim.
        claim: String,
        /// Why.
        source: NameError,
    },
    /// The subject is no SPIFFE ID of a workload.
    #[error("the token's `sub`: {0}")]
    SpiffeId(#[from] SpiffeIdError),
    /// The trust domain is not one of the configuration's, or has no audience for tokens there.
    #[error("no JWT-SVID of the token's trust domain is taken here")]
    UnknownTrustDomain,
    /// It names more groups than are read.
    #[error(
        "the token names {count} groups, at most {count_max} are read; have its issuer send only those that matter here"
    )]
    TooManyGroups {
        /// How many it names.
        count: usize,
        /// How many are read.
        count_max: usize,
    },
    /// Its groups are so many that the issuer left them out and said where to ask.
    #[error(
        "the token says that its groups are elsewhere; have its issuer send only those that matter here"
    )]
    GroupsElsewhere,
    /// It is bound to a key of DPoP, for which a Bearer has no proof.
    #[error("the token is bound to a key (`cnf.jkt`) and may not be sent as Bearer")]
    BoundToKey,
    /// It is bound to a certificate that the connection does not have.
    #[error(
        "the token is bound to a certificate (`cnf.x5t#S256`) that this connection was not made with"
    )]
    BoundToCertificate,
    /// It is bound in a way that is not known here.
    #[error("the token is bound (`cnf`) in a way that is not known here")]
    BoundOtherwise,
}
