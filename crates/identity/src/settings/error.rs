//! What is wrong with a file of settings: where, and what to do.

use std::io;
use std::path::PathBuf;

use model::NameError;

use crate::jose::KeySetError;
use crate::keys::UrlError;
use crate::spiffe::BundleError;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("cannot read `{}`", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no TOML, or has a key that there is not.
    #[error("`{}` is no file of settings, line {line}: {message}", file.display())]
    Toml {
        /// The file.
        file: PathBuf,
        /// Where, from 1.
        line: usize,
        /// Why, without what the line says: the file may be another than was meant, and hold secrets.
        message: String,
    },
    /// A key has a value that it cannot have.
    #[error("`{}`, {key}: {problem}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// Which key.
        key: String,
        /// What is wrong.
        problem: Problem,
    },
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is no name.
    #[error("it is no name of 1 to 64 letters, digits, `_`, `.` or `-`")]
    Name,
    /// It is no trust domain.
    #[error("it is no trust domain such as `example.org`")]
    TrustDomain,
    /// It is empty.
    #[error("it is empty; give at least one")]
    Empty,
    /// There is no audience.
    #[error(
        "give what tokens for this server have as `aud`, or the URL of this server as `resource.url`"
    )]
    NoAudience,
    /// Another entry is called the same.
    #[error("it is there twice")]
    Twice,
    /// It is out of its range.
    #[error("it has to be from {min} to {max}")]
    Range {
        /// The least that it may be.
        min: u32,
        /// The most that it may be.
        max: u32,
    },
    /// It is no URL that keys may come from.
    #[error("{0}")]
    Url(#[from] UrlError),
    /// Two ways to have the keys are given.
    #[error("give `jwks_file` or `jwks_uri`, or neither for discovery")]
    TwoOrigins,
    /// It makes no sense without a fetch.
    #[error("it is for keys that are fetched, and they are in a file")]
    NothingFetched,
    /// A file holds no keys.
    #[error("{0}")]
    KeySet(#[from] KeySetError),
    /// A file holds no bundle.
    #[error("{0}")]
    Bundle(#[from] BundleError),
    /// A file holds no certificates of authorities.
    #[error("the file holds no certificate of an authority in PEM")]
    Authorities,
    /// The machine has no certificates of authorities.
    #[error("this machine has no list of authorities; give one as `ca_file`")]
    NoAuthorities,
    /// It is no name of a definition, or no part of an id.
    #[error("{0}")]
    Definition(#[from] NameError),
    /// It is a definition of this server's own.
    #[error("`{definition}` is for callers of another kind; take another definition")]
    Reserved {
        /// The definition.
        definition: String,
    },
    /// Subjects and groups would be objects of one definition.
    #[error("`{definition}` is both for subjects and for groups; take two definitions")]
    SubjectsAndGroups {
        /// The definition.
        definition: String,
    },
    /// Two issuers could name one object.
    #[error(
        "issuer `{other}` makes objects of `{definition}` too; give the two prefixes of which none begins with the other, or another definition"
    )]
    Collision {
        /// The other issuer.
        other: String,
        /// The definition.
        definition: String,
    },
}
