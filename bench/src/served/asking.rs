//! As whom a load asks: as nobody, where no caller is told from another; or as one who has to prove who it is, by a key or by the token
//! of an issuer, and may check what it was granted and nothing else.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use clap::ValueEnum;
use model::{Clock as _, SystemClock};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

const ADMIN_KEY: &str = "key-of-the-administrator-of-this-run";
const LOAD_KEY: &str = "key-of-the-load-that-is-measured-here";
/// How long the token lives, in seconds: longer than any run.
const TOKEN_LIFE: i64 = 24 * 60 * 60;

/// As whom a load asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Asking {
    /// The server asks nobody who they are.
    #[default]
    Nobody,
    /// By a preshared key, with the right to check on each definition.
    Key,
    /// By an access token of an issuer (ES256), with the same.
    Token,
}

/// What a server and its callers are given for it.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    /// For `remit serve`.
    pub(super) serve: Vec<String>,
    /// For the commands that fill the store.
    pub(super) administrator: Option<&'static str>,
    /// Who the load is.
    pub(super) subject: Option<&'static str>,
    pub(super) header: Header,
}

/// The header of each call.
#[derive(Debug, Clone, Default)]
pub(super) struct Header(Option<MetadataValue<Ascii>>);

impl Interceptor for Header {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", header.clone());
        }
        Ok(request)
    }
}

impl Header {
    /// Its value, if there is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        self.0.as_ref()?.to_str().ok()
    }

    /// That of the administrator, where callers have keys.
    pub(super) fn of_administrator() -> anyhow::Result<Self> {
        Self::bearer(ADMIN_KEY)
    }

    fn bearer(credential: &str) -> anyhow::Result<Self> {
        Ok(Self(Some(format!("Bearer {credential}").parse()?)))
    }
}

impl Asking {
    /// Whether no caller is told from another.
    pub(crate) fn is_nobody(&self) -> bool {
        *self == Self::Nobody
    }

    /// Makes what is needed; files go to `folder`.
    pub(super) fn credentials(self, folder: &Path) -> anyhow::Result<Credentials> {
        let key = |name: &str, key: &str| ["--preshared-key".to_owned(), format!("{name}:{key}")];
        let administrator = key("admin", ADMIN_KEY);
        Ok(match self {
            Self::Nobody => Credentials {
                serve: vec!["--insecure-no-auth".to_owned()],
                administrator: None,
                subject: None,
                header: Header::default(),
            },
            Self::Key => Credentials {
                serve: [administrator, key("load", LOAD_KEY)].concat(),
                administrator: Some(ADMIN_KEY),
                subject: Some("remit/key:load"),
                header: Header::bearer(LOAD_KEY)?,
            },
            Self::Token => {
                let token = issue(folder)?;
                let settings = folder.join("identity.toml").display().to_string();
                let mut serve = administrator.to_vec();
                serve.extend(["--identity".to_owned(), settings]);
                Credentials {
                    serve,
                    administrator: Some(ADMIN_KEY),
                    subject: Some("remit/user:load"),
                    header: Header::bearer(&token)?,
                }
            }
        })
    }
}

/// Writes the settings of an issuer and its keys, and gives a token of it.
fn issue(folder: &Path) -> anyhow::Result<String> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random);
    let key = key.map_err(|error| anyhow!("no key of an issuer: {error}"))?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random);
    let key = key.map_err(|error| anyhow!("no key of an issuer: {error}"))?;
    let point = key.public_key().as_ref();
    let (x, y) = (point.get(1..33), point.get(33..65));
    let (x, y) = x.zip(y).context("the point of a key")?;
    let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig",
        "x": BASE64.encode(x), "y": BASE64.encode(y) }] });
    fs::write(folder.join("jwks.json"), keys.to_string())?;
    let settings = "[[issuer]]\nname = 'bench'\nissuer = 'https://login.example.com'\naudience = ['remit']\n\
        algorithms = ['ES256']\njwks_file = 'jwks.json'\n";
    fs::write(folder.join("identity.toml"), settings)?;
    let (now, _) = SystemClock.now().as_seconds();
    let claims = json!({ "iss": "https://login.example.com", "aud": "remit", "sub": "load", "client_id": "load",
        "jti": "1", "iat": now, "exp": now + TOKEN_LIFE });
    let header = BASE64.encode(r#"{"alg":"ES256","typ":"at+jwt","kid":"k1"}"#);
    let signed = format!("{header}.{}", BASE64.encode(claims.to_string()));
    let signature = key.sign(&random, signed.as_bytes());
    let signature = signature.map_err(|error| anyhow!("no token: {error}"))?;
    Ok(format!("{signed}.{}", BASE64.encode(signature)))
}
