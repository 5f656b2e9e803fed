//! Signatures that others made, and keys that are not taken.

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

#[derive(Deserialize)]
struct Vectors {
    key: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    algorithm: Algorithm,
    jwk: String,
    private: String,
    good: String,
    bad: Vec<Bad>,
}

#[derive(Deserialize)]
struct Bad {
    what: String,
    jws: String,
}

fn set(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

/// Whether a token is one of `keys`, by the one algorithm that is pinned.
fn verifies(keys: &KeySet, pinned: Algorithm, token: &str) -> bool {
    let Ok(token) = Compact::parse(token) else {
        return false;
    };
    let key = keys.find(token.kid.as_deref(), token.algorithm);
    token.algorithm == pinned
        && key.is_ok_and(|key| {
            key.verifies(token.algorithm, token.signed.as_bytes(), &token.signature)
        })
}

#[test]
fn signatures_are_told_apart() {
    let vectors: Vectors = toml::from_str(include_str!("vectors.toml")).unwrap();
    let keys: Vec<Value> = vectors
        .key
        .iter()
        .map(|it| it.jwk.parse().unwrap())
        .collect();
    let set = set(&keys).unwrap();
    for vector in &vectors.key {
        assert!(verifies(&set, vector.algorithm, &vector.good));
        for bad in &vector.bad {
            assert!(!verifies(&set, vector.algorithm, &bad.jws), "{}", bad.what);
        }
        let parts: Vec<&str> = vector.good.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            panic!("three parts");
        };
        // Numbers 20 to 30 of a group: parts that are missing, more, or changed.
        for bad in [
            format!("{header}.{payload}."),
            format!("{header}.{payload}"),
            format!("{header}.WG9v.{signature}"),
            format!("{header}..{signature}"),
            format!("{header}.{signature}"),
            format!(".{payload}.{signature}"),
            format!("{payload}.{signature}"),
            format!(".{payload}."),
            payload.to_owned(),
            String::new(),
            format!("{}.", vector.good),
            format!("{}.foo", vector.good),
            // `alg` is `none`.
            format!("eyJhbGciOiJub25lIn0.{payload}."),
            format!("eyJhbGciOiJub25lIn0.{payload}.{signature}"),
            format!(
                r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#
            ),
        ] {
            assert!(!verifies(&set, vector.algorithm, &bad), "{bad}");
        }
        // A key that tells its private part is known to others.
        assert!(matches!(
            self::set(&[vector.private.parse().unwrap()]),
            Err(KeySetError::Unusable)
        ));
    }
    let [ec, rsa] = &vectors.key[..] else {
        panic!("two keys");
    };
    assert!(!verifies(&set, rsa.algorithm, &ec.good));
}

#[test]
fn keys_that_are_not_for_signatures_are_passed_over() {
    let vectors: Vectors = toml::from_str(include_str!("vectors.toml")).unwrap();
    let key: Value = vectors.key[0].jwk.parse().unwrap();
    let with = |member: &str, value: Value| {
        let mut key = key.clone();
        key[member] = value;
        set(&[key])
    };
    for (member, value) in [
        ("use", json!("enc")),
        ("use", json!(null)),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!("verify")),
        ("kty", json!("RSA")),
        ("kty", json!("oct")),
        ("crv", json!("P-521")),
        ("crv", json!("secp256k1")),
        ("x", json!("AA")),
        ("x", json!("04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY=")),
        ("alg", json!("HS256")),
        ("kid", json!(1)),
        ("k", json!("AA")),
    ] {
        assert!(
            matches!(with(member, value.clone()), Err(KeySetError::Unusable)),
            "{member}: {value}"
        );
    }
    assert!(with("key_ops", json!(["verify"])).is_ok());
    // A key for another algorithm of its own type, and a point that is not on the curve.
    let good = &vectors.key[0].good;
    let other = with("y", json!("UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmA")).unwrap();
    assert!(!verifies(&other, Algorithm::Es256, good));
    assert_eq!(
        with("alg", json!("ES256"))
            .unwrap()
            .find(Some("kid-ec-sign"), Algorithm::Rs256)
            .unwrap_err(),
        LookupError::Misfit
    );
    assert!(matches!(set(&[json!("x")]), Err(KeySetError::NoKeys)));
    let many = vec![key; 257];
    assert!(matches!(
        set(&many),
        Err(KeySetError::TooMany { count: 257 })
    ));
}
