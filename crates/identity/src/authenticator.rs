//! The one door: what a call presents goes in, a [`Caller`] or a reason comes out.
//!
//! What is presented is judged by the rule for what it is, and by no other: a bad token is not made good by a certificate beside
//! it. A call that presents what was seen before waits for nobody; only a key that is not there yet is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use blake3::Hash;
use model::{Clock, Timestamp};
use rustls::pki_types::CertificateDer;

use crate::cache::Cache;
use crate::caller::{Caller, Credential};
use crate::error::AuthenticateError;
use crate::jose::{Compact, LookupError, VerificationKey};
use crate::minted::{self, TokenKeys};
use crate::peer::{PeerCertificate, VerifiedPeer};
use crate::preshared::{self, PresharedKeys};
use crate::recorded::RecordedKeys;
use crate::settings::{Issuer, Settings};
use crate::spiffe::{self, SvidError, X509Svid};
use crate::standing::Standing;
use crate::token::{Confirmation, TokenError};
use model::json::Object;

/// Lets callers in.
pub struct Authenticator {
    keys: Option<Arc<PresharedKeys>>,
    recorded: Arc<RecordedKeys>,
    token_keys: ArcSwapOption<TokenKeys>,
    state: ArcSwap<State>,
    generations: AtomicU64,
    clock: Arc<dyn Clock>,
}

/// Settings, and all that rests on them: new settings begin with an empty cache, and certificates are judged anew.
pub(crate) struct State {
    pub(crate) settings: Settings,
    generation: u64,
    pub(crate) cache: Cache,
}

/// What a call presents to say who calls.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// Its `authorization` header.
    pub authorization: Authorization<'a>,
    /// What its connection was made with.
    pub certificate: Option<&'a PeerCertificate>,
}

/// The `authorization` header of a call.
#[derive(Debug, Clone, Copy)]
pub enum Authorization<'a> {
    /// There is none.
    None,
    /// There is one.
    One(&'a str),
    /// There are several, or it is not text.
    Unreadable,
}

/// How often it is looked whether keys are due to be fetched.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);

impl Authenticator {
    /// Lets in whoever has one of `keys` or of those `recorded`, and whom `settings` name.
    #[must_use]
    pub fn new(
        keys: Option<Arc<PresharedKeys>>,
        recorded: Arc<RecordedKeys>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self {
            keys,
            recorded,
            token_keys: ArcSwapOption::empty(),
            state: ArcSwap::from_pointee(State::new(settings, 0)),
            generations: AtomicU64::new(1),
            clock,
        })
    }

    /// Takes other settings, at once for every call after it. What was verified by the old ones is verified again, and who came by
    /// what is gone is withdrawn; keys that were fetched stay.
    pub fn replace(&self, settings: Settings) {
        let settings = settings.succeeding(&self.state.load().settings);
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        self.state.store(Arc::new(State::new(settings, generation)));
    }

    /// Takes these token keys, at once for every call after it: tokens are minted by the first, and those that another minted
    /// than these are no longer good. Until there are some, tokens are neither minted nor taken.
    pub fn replace_token_keys(&self, keys: TokenKeys) {
        let old = self.token_keys.load_full();
        let keys = keys.replacing(old.as_deref());
        self.token_keys.store(Some(Arc::new(keys)));
    }

    /// Who presents this.
    ///
    /// # Errors
    /// [`AuthenticateError`] if that lets nobody in.
    /// # Cost
    /// A hash and a look for what was seen before: a key, a token, a connection. A token that is new costs a verification, and one
    /// with an unknown key may wait for the keys of its issuer, some seconds at most.
    pub async fn authenticate(
        &self,
        presented: &Presented<'_>,
    ) -> Result<Caller, AuthenticateError> {
        let certificate = presented.certificate;
        match presented.authorization {
            Authorization::Unreadable => Err(AuthenticateError::Malformed),
            Authorization::One(header) => {
                let credential = bearer(header)?;
                let hash = preshared::hash(credential);
                if credential.starts_with(minted::PREFIX) {
                    return self.of_minted(credential, &hash, certificate);
                }
                let given = self.keys.as_ref().and_then(|keys| keys.find(&hash));
                if let Some(caller) = given.or_else(|| self.recorded.find(&hash)) {
                    return Ok(caller);
                }
                let state = self.state.load();
                let now = self.clock.now();
                if let Some(caller) = state.cache.get(&hash, now) {
                    caller.confirmation().is_met_by(certificate)?;
                    return Ok(caller);
                }
                drop(state);
                // Boxed, so that calls that need it not do not carry it.
                Box::pin(self.new_token(credential, &hash, certificate)).await
            }
            Authorization::None => self.of_certificate(certificate),
        }
    }

    /// For how long what `caller` was let in by is good; none if it has no end.
    #[must_use]
    pub fn time_left(&self, caller: &Caller) -> Option<Duration> {
        let until = caller.valid_until()?.as_micros();
        let left = until.saturating_sub(self.clock.now().as_micros());
        Some(Duration::from_micros(u64::try_from(left).unwrap_or(0)))
    }

    /// Whether workloads are asked for their certificates.
    #[must_use]
    pub fn has_trust_domains(&self) -> bool {
        !self.state.load().settings.domains.is_empty()
    }

    /// Whether a leaf claims to name a workload, so that it is to be judged by [`Self::check_certificate`] alone.
    #[must_use]
    pub fn names_workload(&self, leaf: &CertificateDer<'_>) -> bool {
        spiffe::names_workload(leaf)
    }

    /// Whether `chain`, the leaf first, names a workload of a trust domain. For the handshake of a connection.
    ///
    /// # Errors
    /// [`SvidError`] if it does not.
    pub fn check_certificate(&self, chain: &[CertificateDer<'_>]) -> Result<(), SvidError> {
        let state = self.state.load();
        X509Svid::verified(&state.settings.domains, chain, self.clock.now()).map(|_| ())
    }

    /// Forgets what was found out about the tokens of the callers who are meant, and says how many those were. Their next calls
    /// are judged anew, which denies a token that may no longer be used only if its key is withdrawn or it expired.
    pub fn forget(&self, is_meant: impl Fn(&Caller) -> bool) -> usize {
        self.state.load().cache.forget(is_meant)
    }

    /// Keeps the keys of issuers fresh, for as long as it is polled.
    pub async fn keep_keys(self: Arc<Self>) {
        loop {
            for issuer in &self.state.load_full().settings.issuers {
                let keys = Arc::clone(&issuer.keys);
                tokio::spawn(async move { keys.keep_fresh().await });
            }
            tokio::time::sleep(KEEP_INTERVAL).await;
        }
    }

    pub(crate) fn state(&self) -> arc_swap::Guard<Arc<State>> {
        self.state.load()
    }

    /// The hash of the preshared key of that name, and what says whether it is still there. None where one is given and another on
    /// record: a name does not tell which was presented.
    pub(crate) fn key_named(&self, name: &str) -> Option<(Hash, Standing)> {
        let given = self.keys.as_ref().and_then(|keys| keys.named(name));
        match (given, self.recorded.named(name)) {
            (Some(_), Some(_)) => None,
            (given, recorded) => given.or(recorded),
        }
    }

    pub(crate) fn token_keys(&self) -> &ArcSwapOption<TokenKeys> {
        &self.token_keys
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// A token that was not seen before.
    async fn new_token(
        &self,
        token: &str,
        hash: &Hash,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Caller, AuthenticateError> {
        let state = self.state.load_full();
        if state.takes_no_tokens() {
            return Err(AuthenticateError::UnknownKey);
        }
        if !Compact::is_meant(token) {
            return Err(AuthenticateError::Unrecognized);
        }
        let token = Compact::parse(token).map_err(TokenError::from)?;
        let claims = token.claims().map_err(TokenError::from)?;
        let caller = match state.issuer_of(&claims) {
            Some(issuer) => self.of_issuer(issuer, &token, &claims).await?,
            None if spiffe::is_meant(&claims) => {
                spiffe::verified(&state.settings.domains, &token, &claims, self.clock.now())?
            }
            None => return Err(TokenError::UnknownIssuer.into()),
        };
        caller.confirmation().is_met_by(certificate)?;
        state.cache.put(hash, caller.clone());
        Ok(caller)
    }

    async fn of_issuer(
        &self,
        issuer: &Issuer,
        token: &Compact<'_>,
        claims: &Object,
    ) -> Result<Caller, AuthenticateError> {
        let profile = &issuer.profile;
        profile.admits(token)?;
        let key = key_of(issuer, token).await?;
        if !key.verifies(token.algorithm, token.signed.as_bytes(), &token.signature) {
            return Err(TokenError::Signature.into());
        }
        let caller = profile.verified(claims, self.clock.now())?;
        Ok(caller
            .resting_on(&issuer.standing)
            .resting_on(key.standing()))
    }

    /// The workload that a connection was made by.
    fn of_certificate(
        &self,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Caller, AuthenticateError> {
        let state = self.state.load();
        let is_of_workload = |it: &&PeerCertificate| it.names_workload;
        let peer = certificate.filter(is_of_workload);
        let peer = peer.filter(|_| !state.settings.domains.is_empty());
        let peer = peer.ok_or(AuthenticateError::Missing)?;
        let now = self.clock.now();
        if let Some(known) = peer.verified.load().as_ref()
            && known.generation == state.generation
            && known.caller.is_good(now)
        {
            return Ok(known.caller.clone());
        }
        let svid = X509Svid::verified(&state.settings.domains, &peer.chain, now)?;
        let domain = state.settings.domains.get(&svid.id.trust_domain);
        let domain = domain.ok_or(SvidError::UnknownTrustDomain)?;
        let caller = caller_of(&svid)?.resting_on(&domain.standing);
        peer.verified.store(Some(Arc::new(VerifiedPeer {
            generation: state.generation,
            caller: caller.clone(),
        })));
        Ok(caller)
    }
}

impl State {
    fn new(settings: Settings, generation: u64) -> Self {
        Self {
            settings,
            generation,
            cache: Cache::default(),
        }
    }

    pub(crate) fn takes_no_tokens(&self) -> bool {
        let domains = &self.settings.domains.0;
        let takes_svids = domains.iter().any(|it| !it.jwt_audiences.is_empty());
        self.settings.issuers.is_empty() && !takes_svids
    }

    /// The issuer that a token says it is of, which is to be proven.
    fn issuer_of(&self, claims: &Object) -> Option<&Issuer> {
        let named = claims.get("iss")?.as_str()?;
        let mut issuers = self.settings.issuers.iter();
        issuers.find(|it| it.profile.issuer == named)
    }
}

impl Confirmation {
    /// Whether a connection is the one that a token is bound to.
    pub(crate) fn is_met_by(self, certificate: Option<&PeerCertificate>) -> Result<(), TokenError> {
        match self {
            Self::Bearer => Ok(()),
            Self::Certificate(thumbprint) => certificate
                .filter(|it| it.thumbprint == thumbprint)
                .map(|_| ())
                .ok_or(TokenError::BoundToCertificate),
        }
    }
}

/// The credential of `Bearer CREDENTIAL`.
fn bearer(header: &str) -> Result<&str, AuthenticateError> {
    let (scheme, credential) = header.split_once(' ').ok_or(AuthenticateError::Malformed)?;
    if scheme.eq_ignore_ascii_case("dpop") {
        return Err(AuthenticateError::Dpop);
    }
    if !scheme.eq_ignore_ascii_case("bearer") || credential.is_empty() {
        return Err(AuthenticateError::Malformed);
    }
    Ok(credential)
}

/// The key that a token names, for which its issuer is asked again if it is not there.
async fn key_of(
    issuer: &Issuer,
    token: &Compact<'_>,
) -> Result<Arc<VerificationKey>, AuthenticateError> {
    let find = || {
        let keys = issuer.keys.keys();
        keys.map(|keys| keys.find(token.kid.as_deref(), token.algorithm).cloned())
    };
    let is_to_be_sought = |found: &Option<Result<_, LookupError>>| match found {
        None | Some(Err(LookupError::Unknown)) => true,
        Some(Ok(_) | Err(LookupError::Misfit | LookupError::Ambiguous)) => false,
    };
    let mut found = find();
    if is_to_be_sought(&found) {
        issuer.keys.look_again().await;
        found = find();
    }
    let found = found.ok_or_else(|| AuthenticateError::KeysUnavailable {
        issuer: issuer.profile.name.clone(),
    })?;
    Ok(found.map_err(TokenError::from)?)
}

fn caller_of(svid: &X509Svid) -> Result<Caller, SvidError> {
    let subject = svid.id.subject()?;
    let credential = Credential::X509Svid {
        trust_domain: svid.id.trust_domain.clone(),
        serial: svid.serial.clone(),
    };
    let name = subject.to_string();
    let until: Timestamp = svid.valid_until;
    Ok(Caller::new(
        subject,
        name,
        Vec::new(),
        credential,
        Some(until),
    ))
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("keys", &self.keys)
            .field("token_keys", &self.token_keys.load())
            .field("settings", &self.state.load().settings)
            .finish_non_exhaustive()
    }
}
