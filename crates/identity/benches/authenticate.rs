//! What it costs to say who calls, for a caller who was seen before and for one who was not.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark ends where something fails"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use identity::{
    Authenticator, Authorization, Narrowing, PeerCertificate, Presented, PresharedKeys, Settings,
    TokenKeys,
};
use model::{Clock as _, SystemClock};
use rcgen::{CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::CertificateDer;
use serde_json::json;

const SETTINGS: &str = "
[[issuer]]
name = 'corp'
issuer = 'https://login.example.com'
audience = ['remit']
algorithms = ['ES256']
jwks_file = 'jwks.json'
[[trust_domain]]
name = 'example.org'
bundle_file = 'bundle.pem'
";

/// A server with ten keys, an issuer and a trust domain; a token of the one, and a certificate of the other.
fn server() -> (Arc<Authenticator>, String, CertificateDer<'static>) {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap();
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let jwks = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1",
        "x": BASE64.encode(x), "y": BASE64.encode(y)}]});
    let now = SystemClock.now().as_seconds().0;
    let groups: Vec<String> = (0..20).map(|number| format!("group-{number}")).collect();
    let claims = json!({"iss": "https://login.example.com", "aud": "remit", "sub": "alice",
        "client_id": "console", "jti": "1", "iat": now, "exp": now + 3_600, "groups": groups});
    let header = BASE64.encode(r#"{"alg":"ES256","typ":"at+jwt","kid":"k1"}"#);
    let signed = format!("{header}.{}", BASE64.encode(claims.to_string()));
    let signature = key.sign(&random, signed.as_bytes()).unwrap();
    let token = format!("Bearer {signed}.{}", BASE64.encode(signature));

    let (bundle, leaf) = certificates();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("identity.toml", SETTINGS),
        ("jwks.json", &jwks.to_string()),
        ("bundle.pem", &bundle),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let keys: Vec<String> = (0..10)
        .map(|number| format!("key-{number}:secret-{number}"))
        .collect();
    let keys = PresharedKeys::new(keys.iter().map(String::as_str)).unwrap();
    let settings = Settings::read(&folder.path().join("identity.toml")).unwrap();
    let authenticator = Authenticator::new(
        Some(Arc::new(keys)),
        Arc::default(),
        settings,
        Arc::new(SystemClock),
    );
    (authenticator, token, leaf)
}

fn authenticate(criterion: &mut Criterion) {
    let (authenticator, token, leaf) = server();
    let ask = |authorization: Authorization<'_>, certificate: Option<&PeerCertificate>| {
        let presented = Presented {
            authorization,
            certificate,
        };
        let answered = authenticator.authenticate(black_box(&presented));
        // None of these has to wait for anything.
        answered.now_or_never().unwrap().unwrap()
    };
    let mut group = criterion.benchmark_group("authenticate");
    group.bench_function("preshared key of 10", |it| {
        it.iter(|| ask(Authorization::One("Bearer secret-5"), None));
    });
    group.bench_function(format!("token of {} bytes, cached", token.len()), |it| {
        it.iter(|| ask(Authorization::One(&token), None));
    });
    group.bench_function("token, new", |it| {
        it.iter(|| {
            authenticator.forget(|_| true);
            ask(Authorization::One(&token), None)
        });
    });
    let keys = TokenKeys::from_file_text(&TokenKeys::fresh_line("k1").unwrap()).unwrap();
    authenticator.replace_token_keys(keys);
    let minter = ask(Authorization::One("Bearer secret-5"), None);
    let mint = || {
        let actions = Some(["check".to_owned()].into());
        let narrowing = Narrowing::new(actions, None, None).unwrap();
        let life = Duration::from_secs(3_600);
        authenticator.mint(&minter, &narrowing, life).unwrap()
    };
    let minted = format!("Bearer {}", mint().secret());
    group.bench_function(
        format!("minted token of {} bytes, cached", minted.len()),
        |it| {
            it.iter(|| ask(Authorization::One(&minted), None));
        },
    );
    group.bench_function("minted token, new", |it| {
        it.iter(|| {
            authenticator.forget(|_| true);
            ask(Authorization::One(&minted), None)
        });
    });
    group.bench_function("minting", |it| it.iter(mint));
    let connection = PeerCertificate::new(vec![leaf.clone()]).unwrap();
    group.bench_function("certificate of a connection", |it| {
        it.iter(|| ask(Authorization::None, Some(&connection)));
    });
    group.bench_function("certificate, new connection", |it| {
        it.iter(|| {
            let connection = PeerCertificate::new(vec![leaf.clone()]).unwrap();
            ask(Authorization::None, Some(&connection))
        });
    });
    group.finish();
}

/// A bundle, and a leaf of it.
fn certificates() -> (String, CertificateDer<'static>) {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let bundle = root.self_signed(&root_key).unwrap().pem();
    let mut leaf = CertificateParams::new(Vec::new()).unwrap();
    leaf.subject_alt_names = vec![SanType::URI("spiffe://example.org/web".try_into().unwrap())];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
    (bundle, leaf.der().clone())
}

criterion_group!(benches, authenticate);
criterion_main!(benches);
