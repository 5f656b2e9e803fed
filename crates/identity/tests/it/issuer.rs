//! An issuer of tokens: its keys, its files, its server, and a server of ours that trusts it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use identity::{
    AuthenticateError, Authenticator, Authorization, Caller, PeerCertificate, Presented,
    PresharedKeys, Settings, TokenError,
};
use model::{Clock, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A second of 2026.
pub(crate) const NOW: i64 = 1_780_000_000;
pub(crate) const ISSUER: &str = "https://login.example.com/realms/corp";

/// A clock that tests set.
pub(crate) struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst), 0).unwrap()
    }
}

impl Hands {
    pub(crate) fn at(seconds: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(seconds)))
    }

    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

/// A key that signs by ES256.
pub(crate) struct Key {
    pub(crate) kid: String,
    pair: EcdsaKeyPair,
}

impl Key {
    pub(crate) fn new(kid: &str) -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self {
            kid: kid.to_owned(),
            pair: EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap(),
        }
    }

    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
            "x": BASE64.encode(x), "y": BASE64.encode(y)})
    }

    /// The bytes of the public key, as a confused verifier would take them for a secret.
    pub(crate) fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.kid})
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_texts(&header.to_string(), &claims.to_string())
    }

    pub(crate) fn sign_texts(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", BASE64.encode(signature.unwrap()))
    }

    /// A token of [`ISSUER`] as it should be, but for `change`.
    pub(crate) fn token(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let (mut header, mut claims) = (self.header(), claims());
        change(&mut header, &mut claims);
        self.sign(&header, &claims)
    }
}

/// The claims of a token as it should be.
pub(crate) fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "remit", "sub": "alice@example.com", "client_id": "console",
        "iat": NOW - 60, "exp": NOW + 600, "jti": "token-1"})
}

pub(crate) fn jwks(keys: &[&Key]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// The settings for [`ISSUER`] with its keys in `jwks.json`.
pub(crate) fn of_issuer(more: &str) -> String {
    format!(
        "[[issuer]]\nname = 'corp'\nissuer = '{ISSUER}'\naudience = ['remit']\n\
         jwks_file = 'jwks.json'\n{more}\n"
    )
}

/// A server that lets callers in by a file of settings.
pub(crate) struct Server {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<Hands>,
    pub(crate) authenticator: Arc<Authenticator>,
}

impl Server {
    /// A server with `settings`, beside which `files` are.
    pub(crate) fn new(settings: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), settings, files);
        let clock = Hands::at(NOW);
        let keys = PresharedKeys::new(["ops:open-sesame", "ey.with.dots"]).unwrap();
        let read = Settings::read(&folder.path().join("identity.toml")).unwrap();
        let authenticator =
            Authenticator::new(Some(Arc::new(keys)), Arc::default(), read, clock.clone());
        Self {
            folder,
            clock,
            authenticator,
        }
    }

    /// A server that trusts `key` of [`ISSUER`].
    pub(crate) fn trusting(key: &Key, more: &str) -> Self {
        Self::new(&of_issuer(more), &[("jwks.json", &jwks(&[key]))])
    }

    /// Reads other settings.
    pub(crate) fn reload(&self, settings: &str, files: &[(&str, &str)]) {
        write(self.folder.path(), settings, files);
        let read = Settings::read(&self.folder.path().join("identity.toml"));
        self.authenticator.replace(read.unwrap());
    }

    pub(crate) async fn bearer(&self, token: &str) -> Result<Caller, AuthenticateError> {
        self.bearer_over(token, None).await
    }

    pub(crate) async fn bearer_over(
        &self,
        token: &str,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Caller, AuthenticateError> {
        let header = format!("Bearer {token}");
        let presented = Presented {
            authorization: Authorization::One(&header),
            certificate,
        };
        self.authenticator.authenticate(&presented).await
    }

    pub(crate) async fn over(
        &self,
        certificate: &PeerCertificate,
    ) -> Result<Caller, AuthenticateError> {
        let presented = Presented {
            authorization: Authorization::None,
            certificate: Some(certificate),
        };
        self.authenticator.authenticate(&presented).await
    }

    /// Why a token lets nobody in.
    pub(crate) async fn refused(&self, token: &str) -> TokenError {
        match self.bearer(token).await {
            Err(AuthenticateError::Token(error)) => error,
            other => panic!("{token}: {other:?}"),
        }
    }
}

fn write(folder: &Path, settings: &str, files: &[(&str, &str)]) {
    std::fs::write(folder.join("identity.toml"), settings).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
