//! Access tokens: whom a good one names, and each way of being bad.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use identity::{
    AuthenticateError, Authorization, Credential, FormError, LookupError, PeerCertificate,
    Presented, TokenError,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::issuer::{ISSUER, Key, NOW, Server, claims, jwks, of_issuer};

#[tokio::test]
async fn a_good_token_names_its_caller() {
    let key = Key::new("k1");
    let server = Server::trusting(&key, "");
    let token = key.token(|_, claims| {
        claims["groups"] = json!(["eng", "admins", "eng"]);
    });
    for _ in 0..2 {
        let caller = server.bearer(&token).await.unwrap();
        assert_eq!(
            caller.subject().to_string(),
            "remit/user:alice=40example=2Ecom"
        );
        assert_eq!(caller.name(), "remit/user:alice=40example=2Ecom");
        let groups: Vec<String> = caller.groups().iter().map(ToString::to_string).collect();
        assert_eq!(groups, ["remit/group:admins", "remit/group:eng"]);
        let credential = Credential::Token {
            issuer: "corp".to_owned(),
            id: Some("token-1".to_owned()),
        };
        assert_eq!(caller.credential(), &credential);
        assert_eq!(caller.valid_until().unwrap().as_seconds().0, NOW + 630);
        assert!(!format!("{caller:?}").contains("eyJ"));
    }
    // What is remembered ends with the token.
    server.clock.set(NOW + 629);
    assert!(server.bearer(&token).await.is_ok());
    server.clock.set(NOW + 630);
    assert!(matches!(
        server.refused(&token).await,
        TokenError::Expired { .. }
    ));
}

#[tokio::test]
async fn a_key_and_a_bad_header_are_what_they_were() {
    let key = Key::new("k1");
    let server = Server::trusting(&key, "");
    let caller = server.bearer("open-sesame").await.unwrap();
    assert_eq!(
        (caller.name(), caller.subject().to_string().as_str()),
        ("ops", "remit/key:ops")
    );
    // A key that looks like a token is a key.
    assert_eq!(server.bearer("ey.with.dots").await.unwrap().name(), "key-2");
    assert_eq!(
        server.bearer("wrong").await,
        Err(AuthenticateError::Unrecognized)
    );
    for (authorization, error) in [
        (Authorization::None, AuthenticateError::Missing),
        (Authorization::Unreadable, AuthenticateError::Malformed),
        (
            Authorization::One("open-sesame"),
            AuthenticateError::Malformed,
        ),
        (
            Authorization::One("Basic b3Bz"),
            AuthenticateError::Malformed,
        ),
        (Authorization::One("Bearer "), AuthenticateError::Malformed),
        (Authorization::One("DPoP x"), AuthenticateError::Dpop),
    ] {
        let presented = Presented {
            authorization,
            certificate: None,
        };
        assert_eq!(
            server.authenticator.authenticate(&presented).await,
            Err(error)
        );
    }
    let keys_alone = Server::new("", &[]);
    assert_eq!(
        keys_alone.bearer("wrong").await,
        Err(AuthenticateError::UnknownKey)
    );
    let token = key.token(|_, _| {});
    assert_eq!(
        keys_alone.bearer(&token).await,
        Err(AuthenticateError::UnknownKey)
    );
}

#[tokio::test]
async fn a_header_that_is_not_of_an_access_token_is_refused() {
    let key = Key::new("k1");
    let server = Server::trusting(&key, "");
    let jwk = Key::new("k1").jwk();
    let own = |member| TokenError::Form(FormError::OwnKey { member });
    let typ = TokenError::Type {
        expected: "`at+jwt`",
    };
    for (member, value, error) in [
        ("alg", json!("none"), FormError::Algorithm.into()),
        ("alg", json!("HS256"), FormError::Algorithm.into()),
        ("alg", json!("ES512"), FormError::Algorithm.into()),
        ("alg", json!("es256"), FormError::Algorithm.into()),
        (
            "alg",
            json!(["ES256"]),
            FormError::Member { member: "alg" }.into(),
        ),
        (
            "alg",
            json!("PS256"),
            TokenError::Algorithm { name: "PS256" },
        ),
        ("alg", json!("RS256"), LookupError::Misfit.into()),
        ("kid", json!("other"), LookupError::Unknown.into()),
        ("kid", json!(7), FormError::Member { member: "kid" }.into()),
        (
            "kid",
            json!("k".repeat(257)),
            FormError::KidTooLong { bytes: 257 }.into(),
        ),
        ("kid", json!("../../dev/null"), LookupError::Unknown.into()),
        ("typ", json!("JWT"), typ.clone()),
        ("typ", json!("dpop+jwt"), typ.clone()),
        (
            "typ",
            Value::Null,
            FormError::Member { member: "typ" }.into(),
        ),
        ("crit", json!(["b64"]), FormError::Critical.into()),
        ("crit", json!([]), FormError::Critical.into()),
        ("jku", json!("https://evil.example/jwks"), own("jku")),
        ("x5u", json!("https://evil.example/x"), own("x5u")),
        ("jwk", jwk, own("jwk")),
        ("x5c", json!(["MII"]), own("x5c")),
    ] {
        let token = key.token(|header, _| header[member] = value.clone());
        assert_eq!(server.refused(&token).await, error, "{member}: {value}");
    }
    let without = key.token(|header, _| {
        header.as_object_mut().unwrap().remove("typ");
    });
    assert_eq!(server.refused(&without).await, typ);
    for fine in ["application/at+jwt", "AT+JWT"] {
        let token = key.token(|header, _| header["typ"] = json!(fine));
        assert!(server.bearer(&token).await.is_ok(), "{fine}");
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let key = Key::new("k1");
    let server = Server::trusting(&key, "");
    let header = BASE64.encode(r#"{"alg":"HS256","typ":"at+jwt","kid":"k1"}"#);
    let signed = format!("{header}.{}", BASE64.encode(claims().to_string()));
    for secret in [key.public(), key.jwk().to_string().as_bytes()] {
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let tag = ring::hmac::sign(&secret, signed.as_bytes());
        let token = format!("{signed}.{}", BASE64.encode(tag));
        assert_eq!(server.refused(&token).await, FormError::Algorithm.into());
    }
    // A key of the same name that is not the issuer's.
    let token = Key::new("k1").token(|_, _| {});
    assert_eq!(server.refused(&token).await, TokenError::Signature);
    // Without a name there has to be just one key.
    let nameless = |header: &mut Value| header.as_object_mut().unwrap().remove("kid");
    let token = key.token(|header, _| {
        nameless(header);
    });
    assert!(server.bearer(&token).await.is_ok());
    let set = jwks(&[&key, &Key::new("k2")]);
    server.reload(&of_issuer(""), &[("jwks.json", &set)]);
    assert_eq!(server.refused(&token).await, LookupError::Ambiguous.into());
    let set = jwks(&[&key, &Key::new("k1")]);
    server.reload(&of_issuer(""), &[("jwks.json", &set)]);
    let token = key.token(|_, _| {});
    assert_eq!(server.refused(&token).await, LookupError::Ambiguous.into());
}

/// Why the token is refused whose `claim` is `value`.
async fn with(server: &Server, key: &Key, claim: &str, value: &Value) -> TokenError {
    server
        .refused(&key.token(|_, claims| claims[claim] = value.clone()))
        .await
}

fn wrong(claim: &str, expected: &'static str) -> TokenError {
    TokenError::Claim {
        claim: claim.to_owned(),
        expected,
    }
}

#[tokio::test]
async fn a_token_that_is_not_of_now_is_refused() {
    let key = Key::new("k1");
    let server = Server::trusting(&key, "max_lifetime_seconds = 3600");
    let at = |seconds| model::Timestamp::from_seconds(seconds, 0).unwrap();
    let time = "a time in seconds since 1970";
    for (claim, value, error) in [
        (
            "exp",
            json!(NOW - 30),
            TokenError::Expired { at: at(NOW - 30) },
        ),
        ("exp", json!(0), TokenError::Expired { at: at(0) }),
        ("exp", json!("never"), wrong("exp", time)),
        ("exp", json!(1e300), wrong("exp", time)),
        ("exp", json!(u64::MAX), wrong("exp", time)),
        ("exp", json!(-1), wrong("exp", time)),
        (
            "exp",
            json!(NOW + 3_541),
            TokenError::LivesTooLong { seconds_max: 3_600 },
        ),
        (
            "nbf",
            json!(NOW + 31),
            TokenError::NotYetValid { at: at(NOW + 31) },
        ),
        (
            "iat",
            json!(NOW + 31),
            TokenError::NotYetValid { at: at(NOW + 31) },
        ),
        ("iat", json!(null), wrong("iat", time)),
    ] {
        let refused = with(&server, &key, claim, &value).await;
        assert_eq!(refused, error, "{claim}: {value}");
    }
    let within = key.token(|_, claims| claims["exp"] = json!(NOW - 29));
    assert!(server.bearer(&within).await.is_ok());
}

#[tokio::test]
async fn a_token_that_is_not_for_us_or_says_nothing_is_refused() {
    let key = Key::new("k1");
    let server = Server::trusting(&key, "");
    for (claim, value, error) in [
        ("aud", json!("other"), TokenError::Audience),
        ("aud", json!(["other", "remit2"]), TokenError::Audience),
        ("aud", json!([]), TokenError::Audience),
        ("aud", json!({"remit": 1}), TokenError::Audience),
        (
            "iss",
            json!("https://evil.example"),
            TokenError::UnknownIssuer,
        ),
        (
            "iss",
            json!(format!("{ISSUER}/")),
            TokenError::UnknownIssuer,
        ),
        ("iss", json!([ISSUER]), TokenError::UnknownIssuer),
        ("sub", json!(7), wrong("sub", "a text")),
        ("sub", json!(""), wrong("sub", "a text")),
    ] {
        let refused = with(&server, &key, claim, &value).await;
        assert_eq!(refused, error, "{claim}: {value}");
    }
    for claim in ["exp", "aud", "sub", "client_id", "jti", "iat"] {
        let token = key.token(|_, claims| {
            claims.as_object_mut().unwrap().remove(claim);
        });
        let claim = claim.to_owned();
        assert_eq!(
            server.refused(&token).await,
            TokenError::MissingClaim { claim }
        );
    }
}

#[tokio::test]
async fn claims_are_required_as_configured() {
    let key = Key::new("k1");
    let required = "required_claims = { org = 'harbour', kind = ['a', 'b'], ok = true }";
    let server = Server::trusting(&key, required);
    let good = |claims: &mut Value| {
        claims["org"] = json!("harbour");
        claims["kind"] = json!("b");
        claims["ok"] = json!(true);
    };
    assert!(
        server
            .bearer(&key.token(|_, claims| good(claims)))
            .await
            .is_ok()
    );
    for (claim, value) in [
        ("org", json!("other")),
        ("org", json!(["harbour"])),
        ("kind", json!("c")),
        ("ok", json!("true")),
        ("ok", json!(false)),
    ] {
        let token = key.token(|_, claims| {
            good(claims);
            claims[claim] = value.clone();
        });
        let error = wrong(claim, "what is configured for its issuer");
        assert_eq!(server.refused(&token).await, error, "{claim}: {value}");
    }
    let claim = "kind".to_owned();
    let refused = with(&server, &key, "org", &json!("harbour")).await;
    assert_eq!(refused, TokenError::MissingClaim { claim });
}

#[tokio::test]
async fn groups_are_all_there_or_the_token_is_refused() {
    let key = Key::new("k1");
    let server = Server::trusting(&key, "");
    let many = |count| {
        (0..count)
            .map(|number| format!("g{number}"))
            .collect::<Vec<_>>()
    };
    let token = key.token(|_, claims| claims["groups"] = json!(many(256)));
    assert_eq!(server.bearer(&token).await.unwrap().groups().len(), 256);
    let words = key.token(|_, claims| claims["groups"] = json!("b  a"));
    assert_eq!(server.bearer(&words).await.unwrap().groups().len(), 2);
    let expected = "a list of texts or a text of words";
    let too_many = TokenError::TooManyGroups {
        count: 257,
        count_max: 256,
    };
    for (claim, value, error) in [
        ("groups", json!(many(257)), too_many),
        ("groups", json!({"a": 1}), wrong("groups", expected)),
        ("groups", json!(["a", 1]), wrong("groups", expected)),
        (
            "_claim_names",
            json!({"groups": "src1"}),
            TokenError::GroupsElsewhere,
        ),
        ("hasgroups", json!(true), TokenError::GroupsElsewhere),
    ] {
        let refused = with(&server, &key, claim, &value).await;
        assert_eq!(refused, error, "{claim}: {value}");
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused_before_it_is_read() {
    let key = Key::new("k1");
    let server = Server::trusting(&key, "");
    let good = key.token(|_, _| {});
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for token in [
        format!("{good}."),
        format!("{good}.x"),
        format!("{good}="),
        format!("{signed}.{signature}=="),
        format!("{signed}. {signature}"),
        format!("{}.{signature}", signed.replace('.', "=.")),
    ] {
        assert_eq!(
            server.refused(&token).await,
            FormError::Parts.into(),
            "{token}"
        );
    }
    assert_eq!(
        server.refused(&format!("{signed}.")).await,
        TokenError::Signature
    );
    let huge = key.token(|_, claims| claims["x"] = json!("x".repeat(20_000)));
    let error = FormError::TooLarge { bytes: huge.len() };
    assert_eq!(server.refused(&huge).await, error.into());
    let (header, claims) = (key.header().to_string(), claims().to_string());
    let twice = claims.replacen('{', r#"{"sub":"root","#, 1);
    let told = "the token's payload is not JSON, nests too deeply, or gives a member twice (line 1, column ";
    let token = key.sign_texts(&header, &twice);
    let refused = server.refused(&token).await.to_string();
    assert!(refused.starts_with(told), "{refused}");
    let twice = header.replacen('{', r#"{"alg":"ES256","#, 1);
    let token = key.sign_texts(&twice, &claims);
    let refused = server.refused(&token).await.to_string();
    assert!(
        refused.starts_with(&told.replace("payload", "header")),
        "{refused}"
    );
    let token = key.sign_texts(&header, "[]");
    let told = "the token's payload is not a JSON object";
    assert_eq!(server.refused(&token).await.to_string(), told);
}

#[tokio::test]
async fn an_issuer_speaks_for_itself_alone() {
    let (ours, theirs) = (Key::new("k1"), Key::new("k2"));
    let other = "https://accounts.example.net";
    let settings = format!(
        "{}\n[[issuer]]\nname = 'partner'\nissuer = '{other}'\naudience = ['remit']\ntyp = 'JWT'\n\
         jwks_file = 'partner.json'\nsubject_claim = 'email'\nsubject_type = 'user'\n\
         groups_claim = ['realm_access', 'roles']\ngroup_prefix = 'p/'\nrequired_scope = 'remit.call'\n",
        of_issuer("group_prefix = 'c/'")
    );
    let files = [
        ("jwks.json", jwks(&[&ours])),
        ("partner.json", jwks(&[&theirs])),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let server = Server::new(&settings, &files);
    // The key of one does not sign for the other, by its own name or by that of the other's key.
    assert_eq!(
        server.refused(&theirs.token(|_, _| {})).await,
        LookupError::Unknown.into()
    );
    let token = theirs.token(|header, _| header["kid"] = json!("k1"));
    assert_eq!(server.refused(&token).await, TokenError::Signature);

    let of_partner = |change: fn(&mut Value, &mut Value)| {
        theirs.token(|header, claims| {
            header["typ"] = json!("JWT");
            *claims = json!({"iss": other, "aud": ["x", "remit"], "exp": NOW as f64 + 60.5,
                "email": "bo@example.net", "realm_access": {"roles": ["r1"]}, "scope": "a remit.call"});
            change(header, claims);
        })
    };
    let caller = server.bearer(&of_partner(|_, _| {})).await.unwrap();
    assert_eq!(caller.subject().to_string(), "user:bo=40example=2Enet");
    assert_eq!(caller.groups()[0].to_string(), "remit/group:p/r1");
    let listed = of_partner(|header, claims| {
        header.as_object_mut().unwrap().remove("typ");
        claims.as_object_mut().unwrap().remove("scope");
        claims["scp"] = json!(["remit.call"]);
    });
    assert!(server.bearer(&listed).await.is_ok());
    let without = of_partner(|_, claims| claims["scope"] = json!("remit.callx"));
    let without = server.bearer(&without);
    let error = AuthenticateError::InsufficientScope {
        scope: "remit.call".to_owned(),
    };
    assert_eq!(without.await, Err(error));
    // Nor does the lax type of one hold for the other.
    let token = ours.token(|header, _| header["typ"] = json!("JWT"));
    assert!(matches!(
        server.refused(&token).await,
        TokenError::Type { .. }
    ));
}

#[tokio::test]
async fn a_bound_token_is_good_on_its_own_connection_alone() {
    let key = Key::new("k1");
    let server = Server::trusting(&key, "");
    let certificate = || {
        let made = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
        PeerCertificate::new(vec![made.cert.der().clone()]).unwrap()
    };
    let made = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, made.cert.der());
    let own = PeerCertificate::new(vec![made.cert.der().clone()]).unwrap();
    let token = key.token(|_, claims| {
        claims["cnf"] = json!({"x5t#S256": BASE64.encode(digest.as_ref())});
    });
    let refused = Err(AuthenticateError::Token(TokenError::BoundToCertificate));
    // Before and after it was remembered.
    for _ in 0..2 {
        assert_eq!(server.bearer(&token).await, refused);
        assert_eq!(
            server.bearer_over(&token, Some(&certificate())).await,
            refused
        );
        assert!(server.bearer_over(&token, Some(&own)).await.is_ok());
    }
    for (confirmation, error) in [
        (
            json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
            TokenError::BoundToKey,
        ),
        (
            json!({"jkt": "x", "x5t#S256": BASE64.encode(digest.as_ref())}),
            TokenError::BoundToKey,
        ),
        (json!({"kid": "x"}), TokenError::BoundOtherwise),
        (json!({"x5t#S256": "x"}), TokenError::BoundOtherwise),
        (json!({}), TokenError::BoundOtherwise),
        (json!(null), TokenError::BoundOtherwise),
    ] {
        let token = key.token(|_, claims| claims["cnf"] = confirmation.clone());
        let over = server.bearer_over(&token, Some(&own)).await;
        assert_eq!(over, Err(error.into()), "{confirmation}");
    }
}

#[tokio::test]
async fn what_is_remembered_is_forgotten_with_what_it_rests_on() {
    let key = Key::new("k1");
    let server = Server::trusting(&key, "");
    let token = key.token(|_, _| {});
    assert!(server.bearer(&token).await.is_ok());
    let is_alice = |caller: &identity::Caller| caller.name().contains("alice");
    assert_eq!(server.authenticator.forget(|caller| !is_alice(caller)), 0);
    assert_eq!(server.authenticator.forget(is_alice), 1);
    assert!(server.bearer(&token).await.is_ok());
    // Another key of the same name.
    let next = jwks(&[&Key::new("k1")]);
    server.reload(&of_issuer(""), &[("jwks.json", &next)]);
    assert_eq!(server.refused(&token).await, TokenError::Signature);
    server.reload(&of_issuer(""), &[("jwks.json", &jwks(&[&key]))]);
    assert!(server.bearer(&token).await.is_ok());
    server.reload("", &[]);
    assert_eq!(
        server.bearer(&token).await,
        Err(AuthenticateError::UnknownKey)
    );
}

#[tokio::test]
async fn who_was_not_let_in_is_told_where_to_go() {
    let key = Key::new("k1");
    let settings = format!(
        "[resource]\nurl = 'https://remit.example.com/api'\n{}",
        of_issuer("required_scope = 'remit.call'")
    );
    let server = Server::new(&settings, &[("jwks.json", &jwks(&[&key]))]);
    let authenticator = &server.authenticator;
    let metadata = authenticator.resource_metadata().unwrap();
    assert_eq!(metadata.path, "/.well-known/oauth-protected-resource/api");
    let document: Value = serde_json::from_str(&metadata.json).unwrap();
    assert_eq!(document["authorization_servers"], json!([ISSUER]));
    assert_eq!(document["resource"], "https://remit.example.com/api");
    assert_eq!(document["scopes_supported"], json!(["remit.call"]));
    let place =
        r#"resource_metadata="https://remit.example.com/.well-known/oauth-protected-resource/api""#;
    let challenge = |error| authenticator.challenge(&error);
    assert_eq!(
        challenge(AuthenticateError::Missing).unwrap(),
        format!(r#"Bearer realm="remit", {place}"#)
    );
    assert_eq!(
        challenge(TokenError::BoundToKey.into()).unwrap(),
        format!(
            r#"Bearer realm="remit", error="invalid_token", error_description="the token is bound to a key (`cnf.jkt`) and may not be sent as Bearer", {place}"#
        )
    );
    let scope = "remit.call".to_owned();
    let told = challenge(AuthenticateError::InsufficientScope { scope }).unwrap();
    assert!(
        told.contains(r#"error="insufficient_scope""#) && told.contains(r#"scope="remit.call""#)
    );
    let issuer = "corp".to_owned();
    assert_eq!(
        challenge(AuthenticateError::KeysUnavailable { issuer }),
        None
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// No change of a good token is good, wherever it is and whatever it puts there.
    #[test]
    fn no_change_of_a_good_token_is_let_in(at in 0usize..1_000, by in prop::collection::vec(any::<u8>(), 0..4), cut in 0usize..4) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let key = Key::new("k1");
        let server = Server::trusting(&key, "");
        let token = key.token(|_, _| {});
        let mut bytes = token.clone().into_bytes();
        let at = at % bytes.len();
        let end = (at + cut).min(bytes.len());
        // Letters that may stand in a token, so that the change gets past its form.
        let letters = b"ABCxyz019-_.=";
        bytes.splice(at..end, by.iter().map(|byte| letters[usize::from(*byte) % letters.len()]));
        let changed = String::from_utf8(bytes).unwrap();
        prop_assume!(changed != token);
        let outcome = runtime.block_on(server.bearer(&changed));
        prop_assert!(outcome.is_err(), "{changed}: {outcome:?}");
        prop_assert!(runtime.block_on(server.bearer(&token)).is_ok());
        prop_assert!(runtime.block_on(server.bearer(&changed)).is_err());
    }
}
