//! Who calls. This crate is the only maker of a [`Caller`]: whoever holds one has been let in by a rule that stands here.
//!
//! [`Authenticator`] ties the rules together: [`PresharedKeys`], tokens of issuers (`token`), workloads with SVIDs (`spiffe`).
//! `minted` are the tokens that the server makes itself, for callers that it let in.
//! [`Settings`] is the file that says whose tokens and workloads are let in; `keys` fetches what issuers sign with.

mod authenticator;
mod cache;
mod caller;
mod challenge;
mod error;
mod jose;
mod keys;
mod minted;
mod object_id;
mod origin;
mod peer;
mod preshared;
mod recorded;
mod settings;
mod spiffe;
mod standing;
mod token;

pub use authenticator::{Authenticator, Authorization, Presented};
pub use caller::{Caller, Credential};
pub use challenge::ResourceMetadata;
pub use error::AuthenticateError;
pub use jose::{FormError, KeySetError, LookupError, Part};
pub use keys::UrlError;
pub use minted::{
    MINTED_LIFE_MAX, MintError, MintedError, MintedToken, Narrowing, NarrowingError, TokenKeyError,
    TokenKeys,
};
pub use origin::{Origin, TraceContext};
pub use peer::PeerCertificate;
pub use preshared::{KeyError, KeyHash, PresharedKeys, generate_key, hash_of_key, is_key_name};
pub use recorded::RecordedKeys;
pub use settings::{Problem, Settings, SettingsError};
pub use spiffe::{BundleError, SpiffeIdError, SvidError};
pub use token::TokenError;
