//! Signatures over JSON (JOSE): the compact form, keys, and the algorithms that there are. Nothing here knows whom a token
//! is for.
//!
//! SOURCE: RFC 7515, 7517, 7518, 8037, and what RFC 8725 asks for: a header names an algorithm and a key of those that are
//! known already, and is believed in nothing else.

mod algorithm;
mod compact;
mod key;
mod key_set;

pub(crate) use algorithm::Algorithm;
pub(crate) use compact::Compact;
pub use compact::{FormError, Part};
pub(crate) use key::{Use, VerificationKey};
pub use key_set::KeySetError;
pub use key_set::LookupError;
pub(crate) use key_set::{KeySet, members};

#[cfg(test)]
mod tests;
