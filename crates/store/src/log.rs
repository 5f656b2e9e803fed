//! What all stores do alike when the log is read.

use model::{CommitHash, Revision, Token};

use crate::commit::LogEntry;
use crate::commit::canonical::{self, Block, BlockError};
use crate::error::{LogError, StoreError, TokenRefused};
use crate::store::TokenVerdict;

/// Refuses a revision whose state a log from `oldest` to `head` does not reach: past its end, or more than one before its
/// beginning.
///
/// # Errors
/// [`LogError::BeyondHead`], [`LogError::Trimmed`].
pub(crate) fn check_reach(oldest: Revision, head: Revision, at: Revision) -> Result<(), LogError> {
    if at > head {
        return Err(LogError::BeyondHead { head });
    }
    if at.next() < oldest {
        return Err(LogError::Trimmed { oldest });
    }
    Ok(())
}

/// The changes of the entry `at`.
///
/// # Errors
/// [`LogError::NewerFormat`], or [`StoreError::Corrupt`].
pub(crate) fn block(at: Revision, bytes: &[u8]) -> Result<Block, LogError> {
    canonical::decode_changes(bytes).map_err(|error| match error {
        BlockError::Version { version } => LogError::NewerFormat {
            revision: at,
            version,
        },
        BlockError::Damaged { detail } => StoreError::Corrupt {
            detail: format!("revision {at}: {detail}"),
        }
        .into(),
    })
}

/// Checks that `entries` follow `after` without a gap.
///
/// # Errors
/// [`StoreError::Corrupt`]
pub(crate) fn check_order(after: Revision, entries: &[LogEntry]) -> Result<(), StoreError> {
    let mut expected = after;
    for entry in entries {
        expected = expected.next();
        if entry.revision != expected {
            return Err(StoreError::Corrupt {
                detail: format!("revision {expected} is not in the log"),
            });
        }
    }
    Ok(())
}

/// What a log that ends at `head` and has `found` for the token's revision says of the token.
///
/// # Errors
/// [`TokenRefused::BeyondHead`], [`TokenRefused::HashMismatch`].
pub(crate) fn verdict(
    head: Revision,
    found: Option<CommitHash>,
    token: Token,
) -> Result<TokenVerdict, TokenRefused> {
    if token.revision > head {
        return Err(TokenRefused::BeyondHead { head });
    }
    match found {
        None => Ok(TokenVerdict::Old(token.revision)),
        Some(found) if found.short() == token.hash => Ok(TokenVerdict::Known(token.revision)),
        Some(_) => Err(TokenRefused::HashMismatch {
            revision: token.revision,
        }),
    }
}
