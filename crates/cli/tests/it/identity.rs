//! A file of issuers, read at the start and again while the server serves.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey as _};
use serde_json::json;

use crate::{run, serve_with};

const SETTINGS: &str = "
[[issuer]]
name = 'corp'
issuer = 'https://login.example.com'
audience = ['remit']
algorithms = ['EdDSA']
jwks_file = 'jwks.json'
";

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

fn write_keys(folder: &Path, key: &KeyPair) {
    let public = BASE64.encode(key.public_key_raw());
    let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": public}]});
    std::fs::write(folder.join("jwks.json"), jwks.to_string()).unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "a token is good for the server, which has the clock of this machine"
)]
fn token(key: &KeyPair) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims = json!({"iss": "https://login.example.com", "aud": "remit", "sub": "alice",
        "client_id": "c", "jti": "1", "iat": now, "exp": now + 600});
    let header = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#;
    let signed = format!(
        "{}.{}",
        BASE64.encode(header),
        BASE64.encode(claims.to_string())
    );
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64.encode(signature))
}

#[test]
fn issuers_are_read_again_when_their_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("identity.toml"), SETTINGS).unwrap();
    let (old, new) = (key(), key());
    write_keys(at, &old);
    let _served = serve_with(
        at,
        "memory:",
        "127.0.0.1:0",
        &["--identity", "identity.toml"],
    );
    let ask = |token: &str| run(at, &["schema", "read", "--token", token]).2;
    let refused = "the token's signature is wrong";
    let (of_old, of_new) = (token(&old), token(&new));
    assert!(!ask(&of_old).contains("token"), "{}", ask(&of_old));
    assert!(ask(&of_new).contains(refused), "{}", ask(&of_new));
    // Nobody tells the server.
    write_keys(at, &new);
    let begun = Instant::now();
    while ask(&of_new).contains(refused) {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    assert!(ask(&of_old).contains(refused));
}

#[test]
fn a_file_of_issuers_that_is_wrong_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("identity.toml"), SETTINGS).unwrap();
    let serve = ["serve", "--store", "memory:", "--identity", "identity.toml"];
    let (code, _, told) = run(at, &serve);
    assert_ne!(code, 0);
    assert!(told.contains("cannot read `jwks.json`"), "{told}");
    let (_, _, told) = run(at, &[&serve[..], &["--insecure-no-auth"]].concat());
    assert!(told.contains("cannot be used with"), "{told}");
}
