//! Minting: a token says what its caller proved, and for no longer.

use std::time::Duration;

use super::error::MintError;
use super::header::{Basis, Header};
use super::keys::TokenKey;
use super::narrowing::Narrowing;
use super::text::Text;
use super::{MINTED_LIFE_MAX, MintedToken};
use crate::authenticator::Authenticator;
use crate::caller::{Caller, Credential};
use crate::token::Confirmation;

impl Authenticator {
    /// Mints a token with what `caller` came with: as good as that, narrowed, for `life` and no longer than that is good.
    ///
    /// # Errors
    /// [`MintError`] without token keys, for a caller that came with a minted token or asks in the name of another, and for a life that no token has.
    /// # Cost
    /// Some hashes.
    pub fn mint(
        &self,
        caller: &Caller,
        narrowing: &Narrowing,
        life: Duration,
    ) -> Result<MintedToken, MintError> {
        // The token would drop in whose name it is, and so widen.
        if caller.principal().is_some() {
            return Err(MintError::OnBehalf);
        }
        let keys = self.token_keys().load();
        let keys = keys.as_ref().ok_or(MintError::NoTokenKeys)?;
        let key = keys.minting().ok_or(MintError::NoTokenKeys)?;
        if life < Duration::from_secs(1) || life > MINTED_LIFE_MAX {
            return Err(MintError::Life);
        }
        let now = self.clock().now();
        let until = now.saturating_add_micros(i64::try_from(life.as_micros()).unwrap_or(0));
        let until = caller.valid_until().map_or(until, |end| end.min(until));
        let header = Header {
            key: key.name.clone(),
            id: random_id()?,
            subject: Text(caller.subject().clone()),
            name: caller.name().to_owned(),
            groups: caller.groups().iter().cloned().map(Text).collect(),
            basis: self.basis(caller, key)?,
            certificate: match caller.confirmation() {
                Confirmation::Bearer => None,
                Confirmation::Certificate(thumbprint) => Some(thumbprint),
            },
            minted_at: Text(now),
            until: Text(until),
        };
        let token = MintedToken::minted(&header, &key.secret)?;
        if narrowing.is_empty() {
            return Ok(token);
        }
        Ok(token.narrowed(narrowing)?)
    }

    fn basis(&self, caller: &Caller, key: &TokenKey) -> Result<Basis, MintError> {
        Ok(match caller.credential().clone() {
            Credential::None => return Err(MintError::NoCredential),
            Credential::Minted { .. } => return Err(MintError::OfMinted),
            Credential::PresharedKey { name } => {
                let known = self.key_named(&name);
                let (hash, _) = known.ok_or(MintError::BasisGone)?;
                let mark = key.mark(&hash);
                Basis::PresharedKey { name, mark }
            }
            Credential::Token { issuer, id } => Basis::Token { issuer, id },
            Credential::JwtSvid { trust_domain, id } => Basis::JwtSvid { trust_domain, id },
            Credential::X509Svid {
                trust_domain,
                serial,
            } => Basis::X509Svid {
                trust_domain,
                serial,
            },
        })
    }
}

fn random_id() -> Result<String, MintError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| MintError::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
