//! Letting in who comes with a minted token: it is good, and what it rests on is still there.

use blake3::Hash;

use super::error::MintedError;
use super::header::Basis;
use super::keys::TokenKey;
use crate::authenticator::{Authenticator, State};
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
        if let Some(caller) = state.cache.get(hash, now) {
            caller.confirmation().is_met_by(certificate)?;
            return Ok(caller);
        }
        let keys = self.token_keys().load();
        let keys = keys.as_ref().ok_or(MintedError::NoTokenKeys)?;
        let (token, key) = keys.verified(text, now)?;
        let basis = self.standing_of(&state, &token.header.basis, key)?;
        let confirmation = match token.header.certificate {
            None => Confirmation::Bearer,
            Some(thumbprint) => Confirmation::Certificate(thumbprint),
        };
        let credential = Credential::Minted {
            id: token.id().to_owned(),
            rests_on: Box::new(token.rests_on()),
        };
        let caller = Caller::new(
            token.subject().clone(),
            token.name().to_owned(),
            token.groups().cloned().collect(),
            credential,
            Some(token.until()),
        );
        let caller = caller.narrowed(token.narrowing()).bound_to(confirmation);
        let caller = caller.resting_on(&key.standing).resting_on(&basis);
        confirmation.is_met_by(certificate)?;
        state.cache.put(hash, caller.clone());
        Ok(caller)
    }

    /// What says whether that is still there by which the caller had come who minted a token: the preshared key, the issuer, or the
    /// trust domain.
    fn standing_of(
        &self,
        state: &State,
        basis: &Basis,
        key: &TokenKey,
    ) -> Result<Standing, MintedError> {
        let settings = &state.settings;
        let standing = match basis {
            Basis::PresharedKey { name, mark } => {
                // The mark is no secret: the token itself holds it, and was proven.
                let known = self
                    .key_named(name)
                    .filter(|(hash, _)| key.mark(hash) == *mark);
                known.map(|(_, standing)| standing)
            }
            Basis::Token { issuer, .. } => {
                let mut issuers = settings.issuers.iter();
                let named = issuers.find(|it| it.profile.name == *issuer);
                named.map(|it| it.standing.clone())
            }
            Basis::JwtSvid { trust_domain, .. } | Basis::X509Svid { trust_domain, .. } => {
                let named = settings.domains.get(trust_domain);
                named.map(|it| it.standing.clone())
            }
        };
        standing.ok_or(MintedError::BasisGone)
    }
}
