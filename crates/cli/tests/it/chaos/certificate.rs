//! A certificate that runs out while it is in use.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::Traffic;
use crate::asking::{Plain, address_in, eventually};
use crate::{SCHEMA, run, serve_with};

/// How long the first certificate is good; what happens before it runs out has to fit in.
const FIRST: Duration = Duration::from_secs(20);

/// Writes a certificate of `authority` for this machine, good for so long from now, beside its key.
#[expect(
    clippy::disallowed_methods,
    reason = "a certificate is judged by the right time"
)]
fn issue(folder: &Path, authority: &Issuer<'_, KeyPair>, good_for: Duration) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.not_after = (SystemTime::now() + good_for).into();
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, authority).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    fs::write(folder.join("certificate.pem"), signed.pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_runs_out_under_traffic_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority_pem = params.self_signed(&key).unwrap().pem();
    let authority = Issuer::new(params, key);
    issue(at, &authority, FIRST);
    fs::write(at.join("authority.pem"), &authority_pem).unwrap();
    fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    let arguments = ["--preshared-key", "test:open-sesame"];
    let tls = ["--tls-cert", "certificate.pem", "--tls-key", "key.pem"];
    let _served = serve_with(
        at,
        "memory:",
        "127.0.0.1:0",
        &[&arguments[..], &tls].concat(),
    );
    let address = address_in(at);
    let of_client =
        format!("endpoint = \"{address}\"\ntls-ca = \"authority.pem\"\ntoken = \"open-sesame\"\n");
    fs::write(at.join("remit.toml"), of_client).unwrap();
    let told = run(at, &["schema", "write", "schema.zed"]);
    assert_eq!(told.0, 0, "{}", told.2);

    let connect = async || Plain::connect(address, Some(&authority_pem)).await;
    let mut first = connect().await.unwrap();
    first.write("there").await.unwrap();
    let traffic = Traffic::start(first);
    traffic.goes_on().await;
    eventually("nobody new is let in by what ran out", async || {
        connect().await.is_err()
    })
    .await;
    // Who was there before has proof of whom it talks to.
    traffic.goes_on().await;
    issue(at, &authority, Duration::from_secs(3_600));
    eventually("the new certificate is shown", async || {
        connect().await.is_ok()
    })
    .await;
    traffic.goes_on().await;
    traffic.end().await;
}
