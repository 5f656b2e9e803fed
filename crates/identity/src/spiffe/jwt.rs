//! JWT-SVIDs, by rules of their own: what an access token has to have, they may not.

use model::Timestamp;

use super::TrustDomains;
use super::id::SpiffeId;
use crate::caller::{Caller, Credential};
use crate::jose::{Algorithm, Compact, LookupError};
use crate::token::{Claims, TokenError, Window, confirmation};
use model::json::Object;

/// SPIRE gives five minutes, and nobody is known to give more than a day.
const LIFETIME_SECONDS_MAX: u32 = 86_400;

/// Whether claims are meant to name a workload.
pub(crate) fn is_meant(claims: &Object) -> bool {
    let subject = claims.get("sub").and_then(|subject| subject.as_str());
    subject.is_some_and(|subject| subject.starts_with("spiffe:"))
}

/// The workload that a token names.
///
/// # Cost
/// A verification of a signature.
pub(crate) fn verified(
    domains: &TrustDomains,
    token: &Compact<'_>,
    claims: &Object,
    now: Timestamp,
) -> Result<Caller, TokenError> {
    if token.has_other_members {
        return Err(TokenError::Header);
    }
    if !matches!(token.typ.as_deref(), None | Some("JWT" | "JOSE")) {
        let expected = "`JWT`, `JOSE` or absent, as that of a JWT-SVID";
        return Err(TokenError::Type { expected });
    }
    if !Algorithm::OF_SVIDS.contains(&token.algorithm) {
        let name = token.algorithm.name();
        return Err(TokenError::Algorithm { name });
    }
    let read = Claims(claims);
    let id = SpiffeId::parse(read.required("sub")?)?;
    let domain = domains.get(&id.trust_domain);
    let domain = domain.filter(|domain| !domain.jwt_audiences.is_empty());
    let domain = domain.ok_or(TokenError::UnknownTrustDomain)?;
    let kid = token.kid.as_deref();
    let kid = kid.ok_or(TokenError::Key(LookupError::Unknown))?;
    let key = domain.bundle.jwt_keys.find(Some(kid), token.algorithm)?;
    if !key.verifies(token.algorithm, token.signed.as_bytes(), &token.signature) {
        return Err(TokenError::Signature);
    }
    read.is_for(&domain.jwt_audiences)?;
    let window = Window {
        leeway_seconds: domain.leeway_seconds,
        lifetime_seconds_max: LIFETIME_SECONDS_MAX,
    };
    let valid_until = read.valid_until(window, now)?;
    let subject = id.subject().map_err(|source| TokenError::Id {
        claim: "sub".to_owned(),
        source,
    })?;
    let credential = Credential::JwtSvid {
        trust_domain: id.trust_domain,
        id: read.text("jti")?.map(str::to_owned),
    };
    let name = subject.to_string();
    let caller = Caller::new(subject, name, Vec::new(), credential, Some(valid_until));
    let caller = caller.bound_to(confirmation(claims)?);
    Ok(caller
        .resting_on(&domain.standing)
        .resting_on(key.standing()))
}
