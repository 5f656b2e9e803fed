//! Letting in who comes with a minted token: it is good, and what it rests on is still there.

use blake3::Hash;

use super::error::MintedError;
use super::header::Basis;
use super::keys::TokenKey;
use crate::authenticator::{Authenticator, State};
use crate::cache::{Entry, RestsOn};
use crate::caller::{Caller, Credential};
use crate::error::AuthenticateError;
use crate::peer::PeerCertificate;
use crate::standing::Standing;
use crate::token::Confirmation;

impl Authenticator {
    /// The caller of a minted token, which has the hash.
    ///
    /// # Errors
    /// [`AuthenticateError`] if it lets nobody in.
    pub(crate) fn of_minted(
        &self,
        text: &str,
        hash: &Hash,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Caller, AuthenticateError> {
        let state = self.state();
        let now = self.clock().now();
        if let Some((caller, confirmation)) = state.cache.get(hash, now) {
            confirmation.is_met_by(certificate)?;
            return Ok(caller);
        }
        let keys = self.token_keys().load();
        let keys = keys.as_ref().ok_or(MintedError::NoTokenKeys)?;
        let (token, key) = keys.verified(text, now)?;
        let preshared = self.standing_of(&state, &token.header.basis, key)?;
        let confirmation = match token.header.certificate {
            None => Confirmation::Bearer,
            Some(thumbprint) => Confirmation::Certificate(thumbprint),
        };
        let until = token.until();
        let credential = Credential::Minted {
            id: token.id().to_owned(),
            rests_on: Box::new(token.rests_on()),
        };
        let caller = Caller::new(
            token.subject().clone(),
            token.name().to_owned(),
            token.groups().cloned().collect(),
            credential,
            Some(until),
        );
        let caller = caller.narrowed(token.narrowing()).bound_to(confirmation);
        let caller = match &preshared {
            Some(standing) => caller.resting_on(standing.clone()),
            None => caller,
        };
        confirmation.is_met_by(certificate)?;
        let entry = Entry {
            caller: caller.clone(),
            valid_until: until,
            confirmation,
            rests_on: RestsOn::Minted {
                key: key.standing.clone(),
                preshared,
            },
        };
        state.cache.put(hash, entry);
        Ok(caller)
    }

    /// What says whether the preshared key is there that a token rests on; none for another credential, whose issuer or trust
    /// domain is in the settings. Other settings begin with an empty cache.
    fn standing_of(
        &self,
        state: &State,
        basis: &Basis,
        key: &TokenKey,
    ) -> Result<Option<Standing>, MintedError> {
        let is_there = match basis {
            Basis::PresharedKey { name, mark } => {
                let known = self.key_named(name);
                let (hash, standing) = known.ok_or(MintedError::BasisGone)?;
                // The mark is no secret: the token itself holds it, and was proven.
                let is_same = key.mark(&hash) == *mark;
                return is_same
                    .then_some(Some(standing))
                    .ok_or(MintedError::BasisGone);
            }
            Basis::Token { issuer, .. } => {
                let mut issuers = state.settings.issuers.iter();
                issuers.any(|it| it.profile.name == *issuer)
            }
            Basis::JwtSvid { trust_domain, .. } | Basis::X509Svid { trust_domain, .. } => {
                let mut domains = state.settings.domains.0.iter();
                domains.any(|it| it.name == *trust_domain)
            }
        };
        is_there.then_some(None).ok_or(MintedError::BasisGone)
    }
}
