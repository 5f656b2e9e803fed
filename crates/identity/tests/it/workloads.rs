//! SVIDs: certificates and tokens of workloads.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use identity::{
    AuthenticateError, Credential, PeerCertificate, SpiffeIdError, SvidError, TokenError,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::issuer::{Key, NOW, Server, jwks, of_issuer};

const WEB: &str = "spiffe://example.org/web";

/// An authority.
pub(crate) struct Authority {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::made(|_| {}, None)
    }

    fn made(change: impl FnOnce(&mut CertificateParams), by: Option<&Self>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = blank();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        change(&mut params);
        let certificate = match by {
            None => params.self_signed(&key).unwrap(),
            Some(by) => params.signed_by(&key, &by.issuer()).unwrap(),
        };
        Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            params,
            key,
        }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// A leaf for [`WEB`] as it should be, but for `change`.
    pub(crate) fn leaf(
        &self,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = blank();
        params.subject_alt_names = vec![uri(WEB)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params
            .signed_by(&key, &self.issuer())
            .unwrap()
            .der()
            .clone()
    }
}

fn blank() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.not_before = time(NOW - 3_600);
    params.not_after = time(NOW + 3_600);
    params
}

fn time(seconds: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(crate) fn peer(chain: &[&CertificateDer<'static>]) -> Arc<PeerCertificate> {
    let chain = chain.iter().map(|certificate| (*certificate).clone());
    PeerCertificate::new(chain.collect()).unwrap()
}

fn trust(domains: &[&str]) -> String {
    let entries = domains
        .iter()
        .map(|name| format!("[[trust_domain]]\nname = '{name}'\nbundle_file = '{name}.pem'\n"));
    entries.collect()
}

#[tokio::test]
async fn a_good_certificate_names_its_workload() {
    let root = Authority::new();
    let server = Server::new(&trust(&["example.org"]), &[("example.org.pem", &root.pem)]);
    let leaf = root.leaf(|_| {});
    let connection = peer(&[&leaf]);
    for _ in 0..2 {
        let caller = server.over(&connection).await.unwrap();
        assert_eq!(
            caller.subject().to_string(),
            "remit/workload:example=2Eorg/web"
        );
        assert_eq!(caller.valid_until().unwrap().as_seconds().0, NOW + 3_600);
        assert!(
            matches!(caller.credential(), Credential::X509Svid { trust_domain, .. } if trust_domain == "example.org")
        );
    }
    assert!(
        server
            .authenticator
            .check_certificate(std::slice::from_ref(&leaf))
            .is_ok()
    );

    // By way of an authority between; the path ends when its first certificate does.
    let between = Authority::made(|params| params.not_after = time(NOW + 60), Some(&root));
    let leaf = between.leaf(|params| params.extended_key_usages.clear());
    let connection = peer(&[&leaf, &between.der]);
    let caller = server.over(&connection).await.unwrap();
    assert_eq!(caller.valid_until().unwrap().as_seconds().0, NOW + 60);
    assert!(matches!(
        server.over(&peer(&[&leaf])).await,
        Err(AuthenticateError::Certificate(SvidError::Path { .. }))
    ));
    // What was found out about a connection ends with its certificates, and with the bundle.
    server.clock.set(NOW + 61);
    assert_eq!(
        server.over(&connection).await,
        Err(SvidError::Expired.into())
    );
    server.clock.set(NOW);
    assert!(server.over(&connection).await.is_ok());
    server.reload(
        &trust(&["example.org"]),
        &[("example.org.pem", &Authority::new().pem)],
    );
    assert!(matches!(
        server.over(&connection).await,
        Err(AuthenticateError::Certificate(SvidError::Path { .. }))
    ));
    let both = format!("{}{}", Authority::new().pem, root.pem);
    server.reload(&trust(&["example.org"]), &[("example.org.pem", &both)]);
    assert!(server.over(&connection).await.is_ok());
    server.reload("", &[]);
    assert_eq!(
        server.over(&connection).await,
        Err(AuthenticateError::Missing)
    );
}

/// A server that trusts two domains, and the authorities of those.
fn of_two_domains() -> (Server, Authority, Authority) {
    let (org, net) = (Authority::new(), Authority::new());
    let files = [
        ("example.org.pem", org.pem.as_str()),
        ("example.net.pem", &net.pem),
    ];
    let server = Server::new(&trust(&["example.org", "example.net"]), &files);
    (server, org, net)
}

async fn check(server: &Server, leaf: &CertificateDer<'static>, error: SvidError) {
    let refused = server.over(&peer(&[leaf])).await;
    assert_eq!(refused, Err(error.clone().into()));
    let at_handshake = server
        .authenticator
        .check_certificate(std::slice::from_ref(leaf));
    assert_eq!(at_handshake, Err(error));
}

#[tokio::test]
async fn a_certificate_without_one_id_of_a_workload_is_refused() {
    let (server, root, _) = of_two_domains();
    let id = SvidError::SpiffeId;
    for (uris, error) in [
        (
            &[WEB, "spiffe://example.org/db"][..],
            SvidError::Uris { count: 2 },
        ),
        (&[WEB, WEB], SvidError::Uris { count: 2 }),
        (&[WEB, "https://example.org"], SvidError::Uris { count: 2 }),
        (&["spiffe://example.org"], id(SpiffeIdError::NoPath)),
        (&["spiffe://example.org/"], id(SpiffeIdError::Path)),
        (
            &["spiffe://EXAMPLE.org/web"],
            id(SpiffeIdError::TrustDomain),
        ),
        (&["SPIFFE://example.org/web"], id(SpiffeIdError::Scheme)),
        (&["spiffe://example.com/web"], SvidError::UnknownTrustDomain),
    ] {
        let names: Vec<SanType> = uris.iter().map(|text| uri(text)).collect();
        check(
            &server,
            &root.leaf(|params| params.subject_alt_names = names),
            error,
        )
        .await;
    }
    // Other names are allowed beside it.
    let beside = root.leaf(|params| {
        let name = SanType::DnsName("web.example.org".try_into().unwrap());
        params.subject_alt_names.push(name);
    });
    assert!(server.over(&peer(&[&beside])).await.is_ok());
    // What does not claim to name a workload names nobody.
    let plain = root.leaf(|params| params.subject_alt_names.clear());
    assert_eq!(
        server.over(&peer(&[&plain])).await,
        Err(AuthenticateError::Missing)
    );
}

#[tokio::test]
async fn a_certificate_that_is_no_leaf_or_not_of_now_is_refused() {
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign, KeyEncipherment};
    let (server, root, _) = of_two_domains();
    for usages in [
        &[][..],
        &[KeyEncipherment],
        &[DigitalSignature, KeyCertSign],
        &[DigitalSignature, CrlSign],
    ] {
        let leaf = root.leaf(|params| params.key_usages = usages.to_vec());
        check(&server, &leaf, SvidError::KeyUsage).await;
    }
    // A usage that nobody has to heed.
    let uncritical = root.leaf(|params| {
        params.key_usages.clear();
        let digital_signature = vec![0x03, 0x02, 0x07, 0x80];
        let usage = CustomExtension::from_oid_content(&[2, 5, 29, 15], digital_signature);
        params.custom_extensions.push(usage);
    });
    check(&server, &uncritical, SvidError::KeyUsage).await;
    let authority = root.leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    check(&server, &authority, SvidError::Authority).await;
    let one_side = root.leaf(|params| params.extended_key_usages.truncate(1));
    check(&server, &one_side, SvidError::ExtendedKeyUsage).await;
    let expired = root.leaf(|params| params.not_after = time(NOW - 1));
    check(&server, &expired, SvidError::Expired).await;
    let not_yet = root.leaf(|params| params.not_before = time(NOW + 1));
    check(&server, &not_yet, SvidError::NotYetValid).await;
}

#[tokio::test]
async fn a_domain_vouches_for_its_own_alone_and_by_those_who_may() {
    let (server, root, other) = of_two_domains();
    let of_net = vec![uri("spiffe://example.net/web")];
    let of_net = other.leaf(|params| params.subject_alt_names = of_net);
    assert!(server.over(&peer(&[&of_net])).await.is_ok());
    let signs_not = vec![KeyUsagePurpose::DigitalSignature];
    let signs_not = Authority::made(|params| params.key_usages = signs_not, Some(&root));
    let of_workload = vec![uri(WEB)];
    let workload = Authority::made(|params| params.subject_alt_names = of_workload, Some(&root));
    let ended = Authority::made(|params| params.not_after = time(NOW - 1), Some(&root));
    for (what, chain) in [
        (
            "signed by another domain",
            vec![&other.leaf(|_| {}), &other.der],
        ),
        (
            "by one that may not sign",
            vec![&signs_not.leaf(|_| {}), &signs_not.der],
        ),
        ("by a workload", vec![&workload.leaf(|_| {}), &workload.der]),
        ("by one that ended", vec![&ended.leaf(|_| {}), &ended.der]),
    ] {
        match server.over(&peer(&chain)).await {
            Err(AuthenticateError::Certificate(SvidError::Path { .. } | SvidError::Expired)) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_bad_token_is_not_made_good_by_a_certificate() {
    let (root, key) = (Authority::new(), Key::new("k1"));
    let settings = format!("{}{}", trust(&["example.org"]), of_issuer(""));
    let server = Server::new(
        &settings,
        &[
            ("example.org.pem", &root.pem),
            ("jwks.json", &jwks(&[&key])),
        ],
    );
    let connection = peer(&[&root.leaf(|_| {})]);
    assert!(server.over(&connection).await.is_ok());
    let expired = key.token(|_, claims| claims["exp"] = json!(NOW - 100));
    for credential in ["wrong", &expired, "a.b.c"] {
        assert!(
            server
                .bearer_over(credential, Some(&connection))
                .await
                .is_err(),
            "{credential}"
        );
    }
    // Of two that are good, the token says who calls.
    let caller = server
        .bearer_over(&key.token(|_, _| {}), Some(&connection))
        .await
        .unwrap();
    assert_eq!(caller.name(), "remit/user:alice=40example=2Ecom");
}

/// The bundle of example.org as SPIFFE writes it.
pub(crate) fn bundle(root: &Authority, key: &Key) -> String {
    let mut jwt = key.jwk();
    jwt["use"] = json!("jwt-svid");
    let mut nameless = Key::new("").jwk();
    nameless["use"] = json!("jwt-svid");
    nameless.as_object_mut().unwrap().remove("kid");
    let x509 = json!({"kty": "EC", "crv": "P-256", "use": "x509-svid", "x": "", "y": "",
        "x5c": [BASE64_STANDARD.encode(&root.der)]});
    json!({"spiffe_sequence": 1, "spiffe_refresh_hint": 300,
        "keys": [x509, jwt, nameless, {"kty": "new", "use": "newer"}]})
    .to_string()
}

pub(crate) const OF_BUNDLE: &str = "[[trust_domain]]\nname = 'example.org'\nbundle_file = 'bundle.json'\njwt_audience = ['remit']\n";

pub(crate) fn svid(key: &Key, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let mut header = json!({"alg": "ES256", "kid": key.kid, "typ": "JWT"});
    let mut claims = json!({"sub": WEB, "aud": ["remit"], "exp": NOW + 300});
    change(&mut header, &mut claims);
    key.sign(&header, &claims)
}

fn remove(members: &mut Value, name: &str) {
    members.as_object_mut().unwrap().remove(name);
}

#[tokio::test]
async fn a_jwt_svid_is_judged_by_rules_of_its_own() {
    let (root, key) = (Authority::new(), Key::new("j1"));
    let server = Server::new(OF_BUNDLE, &[("bundle.json", &bundle(&root, &key))]);
    assert!(server.over(&peer(&[&root.leaf(|_| {})])).await.is_ok());
    let caller = server.bearer(&svid(&key, |_, _| {})).await.unwrap();
    assert_eq!(
        caller.subject().to_string(),
        "remit/workload:example=2Eorg/web"
    );
    assert!(matches!(caller.credential(), Credential::JwtSvid { .. }));
    let jose = svid(&key, |header, _| header["typ"] = json!("JOSE"));
    assert!(server.bearer(&jose).await.is_ok());
    let without = svid(&key, |header, _| remove(header, "typ"));
    assert!(server.bearer(&without).await.is_ok());
    for (member, value) in [
        ("typ", json!("at+jwt")),
        ("cty", json!("JWT")),
        ("kid", json!("j2")),
        ("alg", json!("EdDSA")),
    ] {
        let token = svid(&key, |header, _| header[member] = value.clone());
        server.refused(&token).await;
    }
    for (claim, value) in [
        ("sub", json!("spiffe://example.net/web")),
        ("sub", json!("spiffe://example.org")),
        ("sub", json!("alice")),
        ("aud", json!(["other"])),
        ("exp", json!(NOW - 31)),
        ("cnf", json!({"jkt": "x"})),
    ] {
        let token = svid(&key, |_, claims| claims[claim] = value.clone());
        server.refused(&token).await;
    }
    for claim in ["sub", "aud", "exp"] {
        server
            .refused(&svid(&key, |_, claims| remove(claims, claim)))
            .await;
    }
    let nameless = svid(&key, |header, _| remove(header, "kid"));
    server.refused(&nameless).await;
    let of_another_key = svid(&Key::new("j1"), |_, _| {});
    assert_eq!(server.refused(&of_another_key).await, TokenError::Signature);
    // A domain without an audience takes no tokens, and one that was revoked nothing at all.
    let alone = OF_BUNDLE.replace("jwt_audience", "# ");
    server.reload(&alone, &[]);
    assert_eq!(
        server.bearer(&svid(&key, |_, _| {})).await,
        Err(AuthenticateError::UnknownKey)
    );
    server.reload(OF_BUNDLE, &[("bundle.json", r#"{"keys":[]}"#)]);
    assert_eq!(
        server.refused(&svid(&key, |_, _| {})).await,
        TokenError::Key(identity::LookupError::Unknown)
    );
    assert!(server.over(&peer(&[&root.leaf(|_| {})])).await.is_err());
}
