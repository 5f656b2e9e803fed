//! What calls are made with: keys, files that change, functions; and certificates.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use remit_client::{Check, Client, Connection, Credentials, ErrorKind, Transport};
use server::Tls;

use crate::fixed::{Answer, Fixed};
use crate::running::{KEY, Site, touch};

fn check() -> Check {
    Check::new("document:a", "view", "user:ann").unwrap()
}

#[tokio::test]
async fn a_token_that_was_refused_is_looked_up_again() {
    let fixed = Fixed::start(Answer::Wants("Bearer new")).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "old").unwrap();
    let client = Client::builder([fixed.endpoint()])
        .credentials(Credentials::file(&path).unwrap())
        .build()
        .unwrap();
    let error = client.check(check()).await.unwrap_err();
    assert_eq!(
        (error.kind(), fixed.seen().len()),
        (ErrorKind::Unauthenticated, 1)
    );
    std::fs::write(&path, "new").unwrap();
    // The client trusts the file for a second, but not after it was refused.
    assert!(client.check(check()).await.unwrap().is_allowed());

    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let by_turns = Credentials::callback(move || {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        async move { Ok(["old", "new"][number % 2].to_owned()) }
    });
    let client = Client::builder([fixed.endpoint()])
        .credentials(by_turns)
        .build()
        .unwrap();
    assert!(client.check(check()).await.unwrap().is_allowed());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_refused() {
    let site = Site::start().await;
    let client = Client::builder([site.endpoint()])
        .credentials(Credentials::key("wrong").unwrap())
        .build()
        .unwrap();
    let error = client.check(check()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let without = Client::builder([site.endpoint()]).build().unwrap();
    let error = without.check(check()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
}

/// An authority, and what it signs for a name.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    fn sign(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let signed = params.signed_by(&key, &issuer).unwrap();
        (signed.pem(), key.serialize_pem())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_shown_where_one_is_asked_for() {
    let authority = Authority::new();
    let (certificate_pem, key_pem) = authority.sign("127.0.0.1");
    let tls = Tls {
        certificate_pem,
        key_pem,
        client_authorities_pem: Some(authority.pem.clone()),
    };
    let site = Site::start_with(Some(tls)).await;
    let (certificate, key) = authority.sign("web");
    let client = site
        .builder()
        .tls(&authority.pem)
        .client_certificate(certificate, key)
        .build()
        .unwrap();
    site.write_schema(&client).await;
    client
        .write(touch(["document:a#viewer@user:ann"]))
        .await
        .unwrap();
    let full = check().with_consistency(remit_client::Consistency::FullyConsistent);
    assert!(client.check(full).await.unwrap().is_allowed());
    // Without a certificate, with one of another authority, to a server of another authority, without TLS.
    let other = Authority::new();
    let (certificate, key) = other.sign("web");
    let builder = || site.builder();
    for (builder, what) in [
        (builder().tls(&authority.pem), "no certificate"),
        (
            builder()
                .tls(&authority.pem)
                .client_certificate(&certificate, &key),
            "another authority's certificate",
        ),
        (
            builder()
                .tls(&other.pem)
                .client_certificate(&certificate, &key),
            "another authority's server",
        ),
        (builder(), "no TLS"),
    ] {
        let error = builder.build().unwrap().check(check()).await;
        let error = error.unwrap_err();
        // Connections that the server ends are tried until the deadline.
        let kinds = [ErrorKind::Unavailable, ErrorKind::DeadlineExceeded];
        assert!(kinds.contains(&error.kind()), "{what}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_was_renewed_is_shown_from_then_on() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (certificate_pem, key_pem) = authority.sign("127.0.0.1");
    let tls = Tls {
        certificate_pem,
        key_pem,
        client_authorities_pem: Some(authority.pem.clone()),
    };
    let site = Site::start_with(Some(tls)).await;
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert"), folder.path().join("key"));
    let put = |signed: (String, String)| {
        std::fs::write(&key, signed.1).unwrap();
        std::fs::write(&certificate, signed.0).unwrap();
    };
    put(other.sign("web"));
    let client = site.builder().tls(&authority.pem);
    let client = client
        .client_certificate_files(&certificate, &key)
        .build()
        .unwrap();
    let short = || check().with_deadline(std::time::Duration::from_millis(300));
    assert!(
        client.check(short()).await.is_err(),
        "a wrong certificate came through"
    );
    put(authority.sign("web"));
    let has_answer = async {
        // There is no schema: whoever is let in is told so.
        while client.check(short()).await.unwrap_err().kind() != ErrorKind::FailedPrecondition {}
    };
    let ten = std::time::Duration::from_secs(10);
    tokio::time::timeout(ten, has_answer).await.unwrap();
    let absent = site.builder().tls(&authority.pem);
    let absent = absent
        .client_certificate_files("/nonexistent/cert", &key)
        .build();
    assert!(
        absent
            .unwrap_err()
            .to_string()
            .contains("/nonexistent/cert")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_wants_to_know_at_once_whether_the_server_is_there() {
    let site = Site::start().await;
    let mut connection = Connection {
        endpoint: site.endpoint(),
        key: Some(KEY.to_owned()),
        transport: Transport::Plaintext,
        connect_timeout: std::time::Duration::from_secs(5),
    };
    let client = Client::connect(&connection).await.unwrap();
    assert!(client.is_serving().await.unwrap());
    drop(site);
    connection.endpoint = "127.0.0.1:1".to_owned();
    let error = Client::connect(&connection).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to `127.0.0.1:1`");
}
