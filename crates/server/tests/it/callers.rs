//! Callers with tokens and with certificates of workloads, over real connections.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use identity::Settings;
use model::{Clock as _, SystemClock};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519,
    SanType, SigningKey as _,
};
use remit_client::Transport;
use remit_client::proto::authzed::api::v1 as wire;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use server::Tls;
use tempfile::TempDir;

use crate::http_client::{Http, post};
use crate::running::{Running, start_letting_in};

const ISSUER: &str = "https://login.example.com";
const SCHEMA: &str = r#"{"schema": "definition user {}"}"#;

/// An authority and what it signed.
pub(crate) struct Domain {
    pub(crate) pem: String,
    params: CertificateParams,
    key: KeyPair,
}

pub(crate) type Client = Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>;

impl Domain {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, params, key }
    }

    pub(crate) fn client(&self, names: &[&str]) -> Client {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uri = |name: &&str| SanType::URI((*name).try_into().unwrap());
        params.subject_alt_names = names.iter().map(uri).collect();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Some((leaf.der().clone(), key))
    }
}

/// What a server on this machine proves itself with.
pub(crate) fn own_certificate() -> Tls {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let signed = rcgen::generate_simple_self_signed(names).unwrap();
    Tls {
        certificate_pem: signed.cert.pem(),
        key_pem: signed.signing_key.serialize_pem(),
        client_authorities_pem: None,
    }
}

/// Signs tokens of [`ISSUER`].
struct Signer(KeyPair);

impl Signer {
    fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ED25519).unwrap())
    }

    fn jwks(&self) -> String {
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1",
            "x": BASE64.encode(self.0.public_key_raw())}]})
        .to_string()
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let now = SystemClock.now().as_seconds().0;
        let mut claims = json!({"iss": ISSUER, "aud": "remit", "sub": "alice", "client_id": "c",
            "jti": "1", "iat": now, "exp": now + 600});
        change(&mut claims);
        let header = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#;
        let signed = format!(
            "{}.{}",
            BASE64.encode(header),
            BASE64.encode(claims.to_string())
        );
        let signature = self.0.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64.encode(signature))
    }
}

pub(crate) fn settings(folder: &Path, text: &str, files: &[(&str, &str)]) -> Settings {
    for (name, text) in files.iter().chain(&[("identity.toml", text)]) {
        std::fs::write(folder.join(name), text).unwrap();
    }
    Settings::read(&folder.join("identity.toml")).unwrap()
}

fn of_domain() -> &'static str {
    "[[trust_domain]]\nname = 'example.org'\nbundle_file = 'bundle.pem'\n"
}

fn of_issuer() -> String {
    format!(
        "[resource]\nurl = 'https://remit.example.com'\n[[issuer]]\nname = 'corp'\n\
         issuer = '{ISSUER}'\naudience = ['remit']\nalgorithms = ['EdDSA']\n\
         jwks_file = 'jwks.json'\nrequired_claims = {{ org = 'harbour' }}\n"
    )
}

/// The code and the challenge of a call with `header`.
async fn call(http: &mut Http, header: Option<&str>) -> (u16, Option<String>) {
    let mut request = post("/v1/schema/write", SCHEMA);
    request.headers_mut().remove("authorization");
    if let Some(header) = header {
        let header = header.parse().unwrap();
        request.headers_mut().insert("authorization", header);
    }
    let answer = http.ask(request).await;
    let challenge = answer.headers.get("www-authenticate");
    let challenge = challenge.map(|it| it.to_str().unwrap().to_owned());
    (answer.code, challenge)
}

async fn stop(running: Running, folder: TempDir) {
    running.stop().await;
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_its_owner_in_and_what_is_wrong_is_told() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new());
    let files = [("jwks.json", signer.jwks())];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let read = settings(folder.path(), &of_issuer(), &files);
    let (running, _) = start_letting_in(read, None).await;
    let mut http = Http::to(&running).await;
    let good = signer.token(|claims| claims["org"] = json!("harbour"));
    let bad = signer.token(|claims| claims["org"] = json!("other"));
    let place =
        r#"resource_metadata="https://remit.example.com/.well-known/oauth-protected-resource""#;
    let none = format!(r#"Bearer realm="remit", {place}"#);
    assert_eq!(call(&mut http, None).await, (401, Some(none)));
    assert_eq!(
        call(&mut http, Some(&format!("Bearer {good}"))).await,
        (200, None)
    );
    let told = "the token's `org` is not what is configured for its issuer";
    let invalid = format!(
        r#"Bearer realm="remit", error="invalid_token", error_description="{told}", {place}"#
    );
    let refused = call(&mut http, Some(&format!("Bearer {bad}"))).await;
    assert_eq!(refused, (401, Some(invalid)));
    assert_eq!(call(&mut http, Some("Bearer unknown")).await.0, 401);
    // Two headers say nothing.
    let mut twice = post("/v1/schema/write", SCHEMA);
    let header = format!("Bearer {good}").parse().unwrap();
    twice.headers_mut().append("authorization", header);
    assert_eq!(http.ask(twice).await.code, 401);

    let metadata = http.get("/.well-known/oauth-protected-resource").await;
    assert_eq!(
        (metadata.code, &metadata.json()["authorization_servers"]),
        (200, &json!([ISSUER]))
    );
    assert_eq!(
        http.get("/.well-known/oauth-protected-resource/x")
            .await
            .code,
        404
    );

    let client = running.client_with(Some(&bad), Transport::Plaintext).await;
    let refused = client
        .schema()
        .read_schema(wire::ReadSchemaRequest {})
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (tonic::Code::Unauthenticated, told)
    );
    let client = running.client_with(Some(&good), Transport::Plaintext).await;
    assert!(
        client
            .schema()
            .read_schema(wire::ReadSchemaRequest {})
            .await
            .is_ok()
    );
    stop(running, folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_is_let_in_by_its_certificate_and_by_no_other() {
    let (domain, other) = (Domain::new(), Domain::new());
    let folder = tempfile::tempdir().unwrap();
    let read = settings(folder.path(), of_domain(), &[("bundle.pem", &domain.pem)]);
    let mut tls = own_certificate();
    let ours = tls.certificate_pem.clone();
    let (running, authenticator) = start_letting_in(read, Some(tls.clone())).await;
    let web = ["spiffe://example.org/web"];
    let mut http = Http::connect_as(running.http, &ours, domain.client(&web)).await;
    assert_eq!(call(&mut http, None).await, (200, None));
    // A bad credential beside it is not passed over.
    assert_eq!(call(&mut http, Some("Bearer wrong")).await.0, 403);
    // Nobody has to have a certificate, and without one a key is asked for.
    let mut without = Http::connect_tls(running.http, &ours).await;
    assert_eq!(call(&mut without, None).await.0, 401);
    assert_eq!(call(&mut without, Some("Bearer test-key")).await.0, 200);
    for client in [
        other.client(&web),
        domain.client(&["spiffe://example.org/web", "spiffe://example.org/db"]),
        domain.client(&["spiffe://example.net/web"]),
        domain.client(&["spiffe://example.org"]),
        domain.client(&[]),
    ] {
        let mut http = Http::connect_as(running.http, &ours, client).await;
        assert!(!http.is_answered(post("/v1/schema/write", SCHEMA)).await);
    }
    // Authorities of the operator's let connections be made, and name nobody.
    tls.client_authorities_pem = Some(other.pem.clone());
    running.tls.as_ref().unwrap().replace(&tls).unwrap();
    let mut plain = Http::connect_as(running.http, &ours, other.client(&[])).await;
    assert_eq!(call(&mut plain, None).await.0, 401);
    assert_eq!(call(&mut plain, Some("Bearer test-key")).await.0, 200);
    let mut forged = Http::connect_as(running.http, &ours, other.client(&web)).await;
    assert!(!forged.is_answered(post("/v1/schema/write", SCHEMA)).await);
    let mut without = Http::connect_tls(running.http, &ours).await;
    assert!(!without.is_answered(post("/v1/schema/write", SCHEMA)).await);
    // A bundle that no longer vouches ends what an open connection may do, and not the connection.
    assert_eq!(call(&mut http, None).await.0, 200);
    authenticator.replace(settings(
        folder.path(),
        of_domain(),
        &[("bundle.pem", &other.pem)],
    ));
    assert_eq!(call(&mut http, None).await.0, 401);
    assert_eq!(call(&mut http, Some("Bearer test-key")).await.0, 200);
    stop(running, folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new());
    let text = of_issuer().replace("required_claims", "leeway_seconds = 0\n# ");
    let read = settings(folder.path(), &text, &[("jwks.json", &signer.jwks())]);
    let (running, _) = start_letting_in(read, None).await;
    let now = SystemClock.now().as_seconds().0;
    let token = signer.token(|claims| claims["exp"] = json!(now + 3));
    let client = running
        .client_with(Some(&token), Transport::Plaintext)
        .await;
    let watch = client.watch().watch(wire::WatchRequest::default()).await;
    let mut watch = watch.unwrap().into_inner();
    let ended = watch.message().await.unwrap_err();
    assert_eq!(ended.code(), tonic::Code::Unauthenticated, "{ended}");
    assert!(SystemClock.now().as_seconds().0 >= now + 3);
    stop(running, folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_is_replaced_and_connections_stay() {
    let (old, new) = (own_certificate(), own_certificate());
    let (running, _) = start_letting_in(Settings::default(), Some(old.clone())).await;
    let mut before = Http::connect_tls(running.http, &old.certificate_pem).await;
    assert_eq!(call(&mut before, Some("Bearer test-key")).await.0, 200);
    let handle = running.tls.as_ref().unwrap();
    handle.replace(&new).unwrap();
    assert_eq!(call(&mut before, Some("Bearer test-key")).await.0, 200);
    let mut after = Http::connect_tls(running.http, &new.certificate_pem).await;
    assert_eq!(call(&mut after, Some("Bearer test-key")).await.0, 200);
    // A key of another certificate leaves all as it was.
    let mixed = Tls {
        key_pem: old.key_pem.clone(),
        ..new.clone()
    };
    assert!(handle.replace(&mixed).is_err());
    let mut after = Http::connect_tls(running.http, &new.certificate_pem).await;
    assert_eq!(call(&mut after, Some("Bearer test-key")).await.0, 200);
    running.stop().await;
}
