//! Tokens of issuers: what has to be true of one, and whom it names.
//!
//! SOURCE: RFC 9068 (access tokens), RFC 8725 (what goes wrong with them), RFC 8705 and 7800 (tokens bound to a key). Each
//! issuer has a [`Profile`] of its own, and there is no other way to read a token.

mod claims;
mod error;
mod profile;

pub(crate) use claims::{Claims, Window};
pub use error::TokenError;
pub(crate) use profile::{
    ClaimPath, Confirmation, Profile, RequiredValue, TokenType, confirmation,
};
