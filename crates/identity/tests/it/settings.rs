//! Files of settings that are refused, and what is told of them.

use expect_test::{Expect, expect};
use identity::Settings;

use crate::issuer::{ISSUER, Key, jwks, of_issuer};

fn check(settings: &str, told: Expect) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("identity.toml");
    std::fs::write(&file, settings).unwrap();
    std::fs::write(folder.path().join("jwks.json"), jwks(&[&Key::new("k1")])).unwrap();
    let error = Settings::read(&file).unwrap_err();
    let mut text = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        text.push_str(&format!(": {source}"));
    }
    let text = text.replace(&folder.path().display().to_string(), "");
    told.assert_eq(text.trim_end());
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    check(
        &of_issuer("audiences = ['x']"),
        expect![[r#"
        `/identity.toml` is no file of settings, line 6: unknown field `audiences`, expected one of `name`, `issuer`, `audience`, `algorithms`, `typ`, `required_scope`, `required_claims`, `subject_claim`, `subject_type`, `subject_prefix`, `groups_claim`, `group_type`, `group_prefix`, `leeway_seconds`, `max_lifetime_seconds`, `jwks_file`, `jwks_uri`, `ca_file`, `allow_private_addresses`, `refresh_seconds`, `refetch_seconds`"#]],
    );
    check(
        &of_issuer("algorithms = ['HS256']"),
        expect![[r#"
        `/identity.toml` is no file of settings, line 6: unknown variant `HS256`, expected one of `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`"#]],
    );
    check(
        &of_issuer("algorithms = []"),
        expect!["`/identity.toml`, algorithms of issuer `corp`: it is empty; give at least one"],
    );
    check(
        &of_issuer("leeway_seconds = 61"),
        expect!["`/identity.toml`, leeway_seconds of issuer `corp`: it has to be from 0 to 60"],
    );
    check(
        &of_issuer("max_lifetime_seconds = 0"),
        expect![
            "`/identity.toml`, max_lifetime_seconds of issuer `corp`: it has to be from 1 to 31622400"
        ],
    );
    check(
        &of_issuer("subject_type = 'User'"),
        expect![
            "`/identity.toml`, subject_type of issuer `corp`: definition name `User` does not match `^([a-z][a-z0-9_]{1,61}[a-z0-9]/)*[a-z][a-z0-9_]{1,62}[a-z0-9]$`"
        ],
    );
    check(
        &of_issuer("subject_type = 'remit/key'"),
        expect![
            "`/identity.toml`, subject_type of issuer `corp`: `remit/key` is for callers of another kind; take another definition"
        ],
    );
    check(
        &of_issuer("group_type = 'remit/user'"),
        expect![
            "`/identity.toml`, group_type of issuer `corp`: `remit/user` is both for subjects and for groups; take two definitions"
        ],
    );
    check(
        &of_issuer("subject_prefix = 'a@b'"),
        expect![[
            r#"`/identity.toml`, subject_prefix of issuer `corp`: object id `a@b` does not match `^([a-zA-Z0-9/_|\-=+]{1,})$`"#
        ]],
    );
    check(
        &of_issuer("subject_claim = []"),
        expect!["`/identity.toml`, subject_claim of issuer `corp`: it is empty; give at least one"],
    );
}

#[test]
fn what_is_wrong_with_where_keys_come_from_is_told() {
    check(
        &of_issuer("jwks_uri = 'https://x.example/keys'"),
        expect![
            "`/identity.toml`, jwks_uri of issuer `corp`: give `jwks_file` or `jwks_uri`, or neither for discovery"
        ],
    );
    check(
        &of_issuer("allow_private_addresses = true"),
        expect![
            "`/identity.toml`, ca_file or allow_private_addresses of issuer `corp`: it is for keys that are fetched, and they are in a file"
        ],
    );
}

#[test]
fn what_is_wrong_with_a_place_or_a_file_is_told() {
    check(
        "[[issuer]]\nname = 'corp'\nissuer = 'http://login.example.com'\naudience = ['x']",
        expect![
            "`/identity.toml`, issuer of issuer `corp`: it has to be `https`; `http` is for `localhost`, `127.0.0.1` and `[::1]` alone"
        ],
    );
    check(
        "[[issuer]]\nname = 'corp'\nissuer = 'https://login.example.com'",
        expect![
            "`/identity.toml`, audience of issuer `corp`: give what tokens for this server have as `aud`, or the URL of this server as `resource.url`"
        ],
    );
    check(
        "[[issuer]]\nname = 'no name'\nissuer = 'https://login.example.com'",
        expect![
            "`/identity.toml`, issuer.name: it is no name of 1 to 64 letters, digits, `_`, `.` or `-`"
        ],
    );
    check(
        "[[issuer]]\nname = 'x'\nissuer = 'y'\naudience = ['z']\njwks_file = 'identity.toml'",
        expect![
            "`/identity.toml`, jwks_file of issuer `x`: it is not JSON, nests too deeply, or gives a member twice (line 1, column 3)"
        ],
    );
    check(
        "[[issuer]]\nname = 'x'\nissuer = 'y'\naudience = ['z']\njwks_file = 'nowhere'",
        expect!["cannot read `/nowhere`: No such file or directory (os error 2)"],
    );
    check(
        "[[trust_domain]]\nname = 'Example.org'\nbundle_file = 'x'",
        expect!["`/identity.toml`, trust_domain.name: it is no trust domain such as `example.org`"],
    );
    check(
        "[[trust_domain]]\nname = 'example.org'\nbundle_file = 'identity.toml'",
        expect![
            "`/identity.toml`, bundle_file of trust domain `example.org`: the bundle is no list of PEM certificates, and as a SPIFFE bundle it is not JSON, nests too deeply, or gives a member twice (line 1, column 6)"
        ],
    );
    check(
        "[resource]\nurl = 'remit'",
        expect![
            "`/identity.toml`, resource.url: it is not a URL such as `https://login.example.com/realms/corp`"
        ],
    );
}

#[test]
fn issuers_that_could_name_the_same_are_refused() {
    let beside = |ours: &str, theirs: &str| {
        let other = of_issuer(theirs)
            .replace("'corp'", "'other'")
            .replace(ISSUER, "https://other");
        format!("{}{other}", of_issuer(ours))
    };
    check(
        &beside("", ""),
        expect![
            "`/identity.toml`, subject_prefix of issuer `other`: issuer `corp` makes objects of `remit/user` too; give the two prefixes of which none begins with the other, or another definition"
        ],
    );
    check(
        &beside(
            "subject_prefix = 'a'\ngroup_prefix = 'a'",
            "subject_prefix = 'ab'",
        ),
        expect![
            "`/identity.toml`, subject_prefix of issuer `other`: issuer `corp` makes objects of `remit/user` too; give the two prefixes of which none begins with the other, or another definition"
        ],
    );
    check(
        &beside("subject_prefix = 'a|'", "subject_prefix = 'b|'"),
        expect![
            "`/identity.toml`, group_prefix of issuer `other`: issuer `corp` makes objects of `remit/group` too; give the two prefixes of which none begins with the other, or another definition"
        ],
    );
    check(
        &beside("subject_type = 'user'", "group_type = 'user'"),
        expect![
            "`/identity.toml`, group_type of issuer `other`: `user` is both for subjects and for groups; take two definitions"
        ],
    );
    check(
        &format!(
            "{}{}",
            of_issuer(""),
            of_issuer("").replace("'corp'", "'other'")
        ),
        expect!["`/identity.toml`, issuer of issuer `other`: it is there twice"],
    );
    check(
        &format!(
            "{}{}",
            of_issuer(""),
            of_issuer("").replace(ISSUER, "https://other")
        ),
        expect!["`/identity.toml`, name of issuer `corp`: it is there twice"],
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("identity.toml");
    let apart = beside(
        "subject_prefix = 'a|'\ngroup_prefix = 'a|'",
        "subject_prefix = 'b|'\ngroup_prefix = 'b|'",
    );
    std::fs::write(&file, apart).unwrap();
    std::fs::write(folder.path().join("jwks.json"), jwks(&[&Key::new("k1")])).unwrap();
    assert_eq!(Settings::read(&file).unwrap().files().len(), 3);
}
