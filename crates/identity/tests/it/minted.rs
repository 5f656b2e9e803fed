//! Tokens that are minted with what others vouch for: as bound, and no longer there than that.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use identity::{
    AuthenticateError, Credential, MintedError, Narrowing, PeerCertificate, TokenError, TokenKeys,
};
use model::Clock as _;
use serde_json::json;

use crate::issuer::{Key, Server, jwks, of_issuer};

const HOUR: Duration = Duration::from_secs(3_600);

fn minting(key: &Key) -> Server {
    let server = Server::trusting(key, "");
    let keys = TokenKeys::from_file_text(&TokenKeys::fresh_line("k1").unwrap());
    server.authenticator.replace_token_keys(keys.unwrap());
    server
}

#[tokio::test]
async fn a_token_says_what_the_token_of_an_issuer_said_and_ends_with_it() {
    let key = Key::new("k1");
    let server = minting(&key);
    let given = key.token(|_, claims| claims["groups"] = json!(["eng", "ops"]));
    let caller = server.bearer(&given).await.unwrap();
    let none = Narrowing::default();
    let minted = server.authenticator.mint(&caller, &none, HOUR).unwrap();
    // The issuer's token has ten minutes left, and the clocks may be apart.
    assert!(minted.until() <= caller.valid_until().unwrap());
    assert!(minted.until() < server.clock.now().saturating_add_micros(3_000_000_000));
    let by_minted = server.bearer(minted.secret()).await.unwrap();
    assert_eq!(by_minted.subject(), caller.subject());
    assert_eq!(by_minted.groups(), caller.groups());
    let Credential::Minted { rests_on, .. } = by_minted.credential() else {
        panic!("{by_minted:?}")
    };
    assert_eq!(**rests_on, *caller.credential());
    // Other settings judge it anew: it goes with its issuer.
    server.reload(
        &of_issuer("groups_claim = 'roles'"),
        &[("jwks.json", &jwks(&[&key]))],
    );
    assert!(server.bearer(minted.secret()).await.is_ok());
    server.reload("", &[]);
    assert_eq!(
        server.bearer(minted.secret()).await.unwrap_err(),
        AuthenticateError::Minted(MintedError::BasisGone)
    );
}

#[tokio::test]
async fn what_was_bound_to_a_certificate_mints_what_is_bound_to_it() {
    let key = Key::new("k1");
    let server = minting(&key);
    let certificate = || {
        let made = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
        let der = made.cert.der().clone();
        let digest = ring::digest::digest(&ring::digest::SHA256, &der);
        (
            PeerCertificate::new(vec![der]).unwrap(),
            BASE64.encode(digest.as_ref()),
        )
    };
    let ((own, thumbprint), (other, _)) = (certificate(), certificate());
    let given = key.token(|_, claims| claims["cnf"] = json!({ "x5t#S256": thumbprint }));
    let unbound = AuthenticateError::Token(TokenError::BoundToCertificate);
    let none = Narrowing::default();
    for _cached in 0..2 {
        let caller = server.bearer_over(&given, Some(&own)).await.unwrap();
        let minted = server.authenticator.mint(&caller, &none, HOUR).unwrap();
        for _cached in 0..2 {
            let refused = server.bearer(minted.secret()).await.unwrap_err();
            assert_eq!(refused, unbound);
            let refused = server.bearer_over(minted.secret(), Some(&other)).await;
            assert_eq!(refused.unwrap_err(), unbound);
            assert!(
                server
                    .bearer_over(minted.secret(), Some(&own))
                    .await
                    .is_ok()
            );
        }
    }
}
