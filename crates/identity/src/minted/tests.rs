//! Minted tokens, and each way in which one is not good.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use model::{Clock, DefinitionName};
use proptest::prelude::*;

use super::*;
use crate::authenticator::{Authenticator, Authorization, Presented};
use crate::caller::Caller;
use crate::error::AuthenticateError;
use crate::preshared::PresharedKeys;
use crate::settings::Settings;

const HOUR: Duration = Duration::from_secs(3_600);

struct At(Mutex<Timestamp>);

impl Clock for At {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

struct Server {
    door: Arc<Authenticator>,
    keys: Arc<PresharedKeys>,
    clock: Arc<At>,
}

fn secret(digit: &str) -> String {
    digit.repeat(64)
}

fn token_keys(text: &str) -> TokenKeys {
    TokenKeys::from_file_text(text).unwrap()
}

impl Server {
    fn new() -> Self {
        let keys = Arc::new(PresharedKeys::new(["ann:key-of-ann", "bob:key-of-bob"]).unwrap());
        let clock = Arc::new(At(Mutex::new(Timestamp::from_seconds(1_000, 0).unwrap())));
        let door = Authenticator::new(
            Some(Arc::clone(&keys)),
            Arc::default(),
            Settings::default(),
            Arc::clone(&clock) as Arc<dyn Clock>,
        );
        door.replace_token_keys(token_keys(&format!("k1:{}", secret("1"))));
        Self { door, keys, clock }
    }

    fn ask(&self, credential: &str) -> Result<Caller, AuthenticateError> {
        let header = format!("Bearer {credential}");
        let presented = Presented {
            authorization: Authorization::One(&header),
            certificate: None,
        };
        self.door.authenticate(&presented).now_or_never().unwrap()
    }

    fn mint(&self, narrowing: &Narrowing) -> MintedToken {
        let ann = self.ask("key-of-ann").unwrap();
        self.door.mint(&ann, narrowing, HOUR).unwrap()
    }

    fn refused(&self, token: &str) -> MintedError {
        match self.ask(token) {
            Err(AuthenticateError::Minted(error)) => error,
            other => panic!("{token}: {other:?}"),
        }
    }
}

fn to(actions: &[&str], definitions: &[&str]) -> Narrowing {
    let actions = actions.iter().map(|it| (*it).to_owned()).collect();
    let definitions = definitions
        .iter()
        .map(|it| DefinitionName::new(it).unwrap());
    Narrowing::new(Some(actions), Some(definitions.collect()), None).unwrap()
}

/// The parts of a token: version, header, narrowings, MAC.
fn parts(token: &MintedToken) -> Vec<String> {
    token.secret().split('.').map(str::to_owned).collect()
}

#[test]
fn a_minted_token_lets_in_whom_it_was_minted_for_with_what_it_leaves() {
    let server = Server::new();
    let token = server.mint(&to(&["check", "read"], &["doc", "folder"]));
    for _cached in 0..2 {
        let caller = server.ask(token.secret()).unwrap();
        assert_eq!(caller.subject().to_string(), "remit/key:ann");
        assert_eq!(caller.name(), "ann");
        assert_eq!(caller.valid_until(), Some(token.until()));
        let name = "ann".to_owned();
        assert_eq!(
            *caller.credential(),
            Credential::Minted {
                id: token.id().to_owned(),
                rests_on: Box::new(Credential::PresharedKey { name })
            }
        );
        let narrowing = caller.narrowing().unwrap();
        assert!(narrowing.allows_action("check") && !narrowing.allows_action("write"));
        assert!(narrowing.allows_definition(Some("doc")));
        assert!(!narrowing.allows_definition(Some("user")) && !narrowing.allows_definition(None));
        assert!(!narrowing.allows_at(token.until()));
    }
    // Whoever holds it narrows it, with no key at all; it stays what it is.
    let narrower = MintedToken::parse(token.secret()).unwrap();
    let narrower = narrower
        .narrowed(&to(&["check", "write"], &["doc"]))
        .unwrap();
    let caller = server.ask(narrower.secret()).unwrap();
    let narrowing = caller.narrowing().unwrap();
    let left: Vec<&String> = narrowing.actions().unwrap().iter().collect();
    assert_eq!(left, ["check"]);
    assert_eq!(narrowing.definitions().unwrap().count(), 1);
    assert_eq!(narrower.id(), token.id());
    assert!(
        server
            .ask(token.secret())
            .unwrap()
            .narrowing()
            .unwrap()
            .allows_action("read")
    );
    // What was minted whole has an end at least.
    let whole = server.mint(&Narrowing::default());
    let caller = server.ask(whole.secret()).unwrap();
    let narrowing = caller.narrowing().unwrap();
    assert_eq!(narrowing.until(), Some(whole.until()));
    assert!(narrowing.allows_action("anything") && narrowing.allows_definition(None));
    let minted = format!("{:?}{:?}", token, server.ask(token.secret()));
    assert!(!minted.contains(parts(&token).last().unwrap()), "{minted}");
}

#[test]
fn nothing_is_minted_that_is_more_than_was_presented() {
    let server = Server::new();
    let ann = server.ask("key-of-ann").unwrap();
    let none = Narrowing::default();
    let mint = |caller: &Caller, life| server.door.mint(caller, &none, life).unwrap_err();
    let longer = MINTED_LIFE_MAX + Duration::from_secs(1);
    assert_eq!(mint(&ann, longer), MintError::Life);
    assert_eq!(mint(&ann, Duration::ZERO), MintError::Life);
    let minted = server.ask(server.mint(&none).secret()).unwrap();
    assert_eq!(mint(&minted, HOUR), MintError::OfMinted);
    let anybody = Caller::without_authentication();
    assert_eq!(mint(&anybody, HOUR), MintError::NoCredential);
    let stranger = Caller::of_key("stranger", &Default::default());
    assert_eq!(mint(&stranger, HOUR), MintError::BasisGone);
    // A credential that ends takes the token with it.
    let end = server.clock.now().saturating_add_micros(5_000_000);
    let ending = Caller::new(
        ann.subject().clone(),
        "ann".to_owned(),
        Vec::new(),
        ann.credential().clone(),
        Some(end),
    );
    assert_eq!(server.door.mint(&ending, &none, HOUR).unwrap().until(), end);
    // Too many groups for a token.
    let group = |number: usize| {
        format!("remit/group:{}{number}", "g".repeat(40))
            .parse()
            .unwrap()
    };
    // Its holder would ask in nobody's name but its own.
    let for_eve = ann.on_behalf_of("remit/user:eve".parse().unwrap());
    assert_eq!(mint(&for_eve, HOUR), MintError::OnBehalf);
    let grouped = Caller::new(
        ann.subject().clone(),
        "ann".to_owned(),
        (0..200).map(group).collect(),
        ann.credential().clone(),
        None,
    );
    let told = mint(&grouped, HOUR);
    assert!(
        matches!(told, MintError::Token(MintedError::TooLong { .. })),
        "{told}"
    );
    let keyless = Authenticator::new(
        None,
        Arc::default(),
        Settings::default(),
        Arc::clone(&server.clock) as _,
    );
    assert_eq!(
        keyless.mint(&ann, &none, HOUR).unwrap_err(),
        MintError::NoTokenKeys
    );
}

#[test]
fn narrowings_cannot_be_dropped_moved_changed_or_taken_from_another() {
    let server = Server::new();
    let token = server.mint(&to(&["check", "read"], &["doc"]));
    let token = token.narrowed(&to(&["check"], &["doc", "user"])).unwrap();
    let other = server.mint(&to(&["write"], &["doc"]));
    let of = parts(&token);
    let [version, header, one, two, mac] = of.each_ref_of();
    let wide = BASE64.encode(br#"{"actions":["check","write"]}"#);
    let whole = BASE64.encode(b"{}");
    let others = parts(&other);
    for (what, forged) in [
        ("none", vec![version, header, mac]),
        ("the first alone", vec![version, header, one, mac]),
        ("the last alone", vec![version, header, two, mac]),
        ("another order", vec![version, header, two, one, mac]),
        ("one twice", vec![version, header, one, two, two, mac]),
        ("wider", vec![version, header, one, &wide, mac]),
        ("wider at first", vec![version, header, &wide, two, mac]),
        ("empty", vec![version, header, &whole, &whole, mac]),
        ("of another", vec![version, header, one, &others[2], mac]),
        (
            "in place of all",
            vec![version, header, &others[2], &others[3]],
        ),
        ("another's header", vec![version, &others[1], one, two, mac]),
        ("another's end", vec![version, header, one, two, &others[3]]),
    ] {
        assert_eq!(
            server.refused(&forged.join(".")),
            MintedError::Mac,
            "{what}"
        );
    }
    // The MAC of a token is no key to the one before: what is added to it stands behind all that is there.
    let added = token
        .narrowed(&to(&["check", "read", "write"], &["doc"]))
        .unwrap();
    let caller = server.ask(added.secret()).unwrap();
    assert!(!caller.narrowing().unwrap().allows_action("read"));
}

/// The five parts of a token with two narrowings.
trait FiveParts {
    fn each_ref_of(&self) -> [&str; 5];
}

impl FiveParts for Vec<String> {
    fn each_ref_of(&self) -> [&str; 5] {
        let parts: Vec<&str> = self.iter().map(String::as_str).collect();
        parts.try_into().unwrap()
    }
}

#[test]
fn what_is_no_token_of_this_server_is_refused_by_its_name() {
    let server = Server::new();
    let token = server.mint(&to(&["check"], &["doc"]));
    let text = token.secret();
    for (forged, error) in [
        ("remit_".to_owned(), MintedError::Form),
        ("remit_v1".to_owned(), MintedError::Form),
        (text.replace("remit_v1", "remit_v2"), MintedError::Version),
        (text.replace("remit_v1", "remit_v1x"), MintedError::Version),
        (format!("{text}="), MintedError::Form),
        (format!("{text}."), MintedError::Form),
        (text.replace('.', ".."), MintedError::Form),
        (
            text.to_uppercase().replace("REMIT_V1", "remit_v1"),
            MintedError::Form,
        ),
        (
            "remit_v1.".repeat(1_000),
            MintedError::TooLong { count: 9_000 },
        ),
    ] {
        assert_eq!(server.refused(&forged), error, "{forged}");
    }
}

/// What a narrowing says and this version does not know might be what it is narrowed to.
#[test]
fn a_narrowing_that_is_not_understood_is_refused() {
    let server = Server::new();
    let token = server.mint(&to(&["check"], &["doc"]));
    let text = token.secret();
    let (signed, mac) = text.rsplit_once('.').unwrap();
    for unknown in [
        r#"{"actions":["check"],"networks":["10.0.0.0/8"]}"#,
        r#"{"actions":["check"],"actions":["check","read"]}"#,
        r#"{"definitions":["no name"]}"#,
        r#"{"until":"tomorrow"}"#,
        "[]",
        r#"[["check"]]"#,
        r#" {"actions":["check"]}"#,
    ] {
        let part = BASE64.encode(unknown);
        let mac = next_mac(&mac_of(mac).unwrap(), &part);
        let forged = format!("{signed}.{part}.{}", BASE64.encode(mac.as_bytes()));
        assert_eq!(server.refused(&forged), MintedError::Form, "{unknown}");
    }
    let part = BASE64.encode(r#"{"actions":["CHECK"]}"#);
    let mac = next_mac(&mac_of(mac).unwrap(), &part);
    let forged = format!("{signed}.{part}.{}", BASE64.encode(mac.as_bytes()));
    assert_eq!(
        server.refused(&forged),
        MintedError::Narrowing(NarrowingError::Action)
    );

    let names = (0..=100).map(|n| DefinitionName::new(&format!("doc{n}")).unwrap());
    assert_eq!(
        Narrowing::new(None, Some(names.collect()), None).unwrap_err(),
        NarrowingError::TooManyNames { count: 101 }
    );
}

#[test]
fn tokens_of_other_keys_and_beyond_the_limits_are_refused() {
    let server = Server::new();
    let token = server.mint(&to(&["check"], &["doc"]));
    let text = token.secret();
    let mut narrow = token.clone();
    let small = Narrowing::new(Some(BTreeSet::from(["a".to_owned()])), None, None).unwrap();
    for _more in 1..NARROWINGS_MAX {
        narrow = narrow.narrowed(&small).unwrap();
    }
    assert!(server.ask(narrow.secret()).is_ok());
    assert_eq!(
        narrow.narrowed(&small).unwrap_err(),
        MintedError::TooManyNarrowings
    );
    // A key of the same name at another server, and one that lets a token live for too long.
    let elsewhere = Server::new();
    elsewhere
        .door
        .replace_token_keys(token_keys(&format!("k1:{}", secret("2"))));
    assert_eq!(elsewhere.refused(text), MintedError::Mac);
    elsewhere
        .door
        .replace_token_keys(token_keys(&format!("k2:{}", secret("1"))));
    assert_eq!(elsewhere.refused(text), MintedError::UnknownKey);
    let mut header = token.header.clone();
    header.until.0 = header.until.0.saturating_add_micros(24 * 3_600 * 1_000_000);
    let key = *Hash::from_hex(secret("1")).unwrap().as_bytes();
    let forged = MintedToken::minted(&header, &key).unwrap();
    assert_eq!(server.refused(forged.secret()), MintedError::LivesTooLong);
    let keyless = Authenticator::new(
        None,
        Arc::default(),
        Settings::default(),
        Arc::clone(&server.clock) as _,
    );
    let keyless = Server {
        door: keyless,
        ..server
    };
    assert_eq!(keyless.refused(text), MintedError::NoTokenKeys);
}

#[test]
fn a_token_ends_when_it_says_and_when_a_narrowing_says() {
    let server = Server::new();
    let token = server.mint(&Narrowing::default());
    let sooner = server.clock.now().saturating_add_micros(60_000_000);
    let narrowing = Narrowing::new(None, None, Some(sooner)).unwrap();
    let narrowed = token.narrowed(&narrowing).unwrap();
    let later = Narrowing::new(None, None, Some(Timestamp::MAX)).unwrap();
    let narrowed = narrowed.narrowed(&later).unwrap();
    for at in [sooner, token.until()] {
        let (before, after) = (at.saturating_add_micros(-1), at);
        *server.clock.0.lock().unwrap() = before;
        assert!(server.ask(token.secret()).is_ok());
        assert_eq!(server.ask(narrowed.secret()).is_ok(), before < sooner);
        *server.clock.0.lock().unwrap() = after;
        let at = sooner;
        assert_eq!(
            server.refused(narrowed.secret()),
            MintedError::Expired { at }
        );
    }
    let at = token.until();
    assert_eq!(server.refused(token.secret()), MintedError::Expired { at });
}

#[test]
fn keys_that_are_rotated_away_take_their_tokens_with_them() {
    let server = Server::new();
    let token = server.mint(&Narrowing::default());
    let is_in = |token: &MintedToken| server.ask(token.secret()).is_ok();
    assert!(is_in(&token));
    // The first mints, the others verify.
    let (one, two) = (format!("k1:{}", secret("1")), format!("k2:{}", secret("2")));
    server
        .door
        .replace_token_keys(token_keys(&format!("# new\n{two}\n\n{one}\n")));
    let newer = server.mint(&Narrowing::default());
    assert_eq!((token.key(), newer.key()), ("k1", "k2"));
    assert!(is_in(&token) && is_in(&newer));
    server.door.replace_token_keys(token_keys(&two));
    assert_eq!(server.refused(token.secret()), MintedError::UnknownKey);
    assert!(is_in(&newer));
    server
        .door
        .replace_token_keys(token_keys(&format!("k2:{}", secret("3"))));
    assert_eq!(server.refused(newer.secret()), MintedError::Mac);

    // The preshared key: by its name, and by what it is.
    let token = server.mint(&Narrowing::default());
    let others = server.ask("key-of-bob").unwrap();
    let others = server
        .door
        .mint(&others, &Narrowing::default(), HOUR)
        .unwrap();
    assert!(is_in(&token) && is_in(&others));
    server
        .keys
        .replace(PresharedKeys::new(["ann:another", "bob:key-of-bob"]).unwrap());
    assert_eq!(server.refused(token.secret()), MintedError::BasisGone);
    assert!(is_in(&others));
    server
        .keys
        .replace(PresharedKeys::new(["robert:key-of-bob"]).unwrap());
    assert_eq!(server.refused(others.secret()), MintedError::BasisGone);
    // Back again, and so are they: nothing is kept of it but the name and the key.
    server
        .keys
        .replace(PresharedKeys::new(["ann:key-of-ann"]).unwrap());
    assert!(is_in(&token));
}

#[test]
fn what_is_wrong_with_a_file_of_token_keys_is_told_without_the_key() {
    let one = format!("k1:{}", secret("a"));
    for (text, error) in [
        (String::new(), TokenKeyError::None),
        ("k1:secret".to_owned(), TokenKeyError::Line { line: 1 }),
        (
            format!("\n{}", secret("a")),
            TokenKeyError::Line { line: 2 },
        ),
        (
            format!("k 1:{}", secret("a")),
            TokenKeyError::Line { line: 1 },
        ),
        (format!("{one}a"), TokenKeyError::Line { line: 1 }),
        (
            format!("{one}\nk1:{}", secret("b")),
            TokenKeyError::Twice { line: 2 },
        ),
        (
            format!("{one}\nk2:{}", secret("a")),
            TokenKeyError::Twice { line: 2 },
        ),
    ] {
        let told = TokenKeys::from_file_text(&text).unwrap_err();
        assert_eq!(told, error, "{text}");
        assert!(!told.to_string().contains("secret"));
    }
    let line = TokenKeys::fresh_line("new").unwrap();
    let keys = token_keys(&line);
    assert_eq!(format!("{keys:?}"), r#"TokenKeys { names: ["new"], .. }"#);
    // What begins as a minted token is none of the keys that callers have.
    let told = PresharedKeys::new(["ann:remit_secret"]).unwrap_err();
    assert!(!told.to_string().contains("remit_secret"), "{told}");
}

fn narrowings() -> impl Strategy<Value = Narrowing> {
    let names = |all: &'static [&'static str]| {
        proptest::option::of(proptest::sample::subsequence(all, 0..=all.len()))
    };
    let actions = names(&["check", "read", "write", "grant"]);
    let definitions = names(&["doc", "folder", "user"]);
    (actions, definitions, proptest::option::of(900_i64..9_000)).prop_map(|(of, on, until)| {
        let of = of.map(|all| all.into_iter().map(str::to_owned).collect());
        let on = on.map(|all| all.into_iter().map(|it| DefinitionName::new(it).unwrap()));
        let until = until.map(|until| Timestamp::from_seconds(until, 0).unwrap());
        Narrowing::new(of, on.map(Iterator::collect), until).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_token_in_which_one_byte_is_another_lets_nobody_in(
        at in any::<prop::sample::Index>(),
        byte in 0x21_u8..0x7f,
        narrowing in narrowings(),
    ) {
        let server = Server::new();
        let text = server.mint(&narrowing).secret().to_owned();
        let mut bytes = text.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        prop_assert!(server.ask(&String::from_utf8(bytes).unwrap()).is_err());
        // Nor is the beginning of a token one.
        prop_assert!(server.ask(&text[..at.max(1)]).is_err());
    }

    #[test]
    fn a_token_allows_what_all_its_narrowings_do(
        all in proptest::collection::vec(narrowings(), 0..6),
    ) {
        let server = Server::new();
        let whole = server.mint(&Narrowing::default());
        let token = all.iter().fold(whole, |token, it| token.narrowed(it).unwrap());
        let is_over = all.iter().any(|it| !it.allows_at(server.clock.now()));
        let caller = server.ask(token.secret());
        prop_assert_eq!(caller.is_err(), is_over);
        let Ok(caller) = caller else { return Ok(()) };
        let narrowing = caller.narrowing().unwrap();
        for action in ["check", "read", "write", "grant", "other"] {
            let allows = all.iter().all(|it| it.allows_action(action));
            prop_assert_eq!(narrowing.allows_action(action), allows);
        }
        for definition in [Some("doc"), Some("folder"), Some("user"), Some("other"), None] {
            let allows = all.iter().all(|it| it.allows_definition(definition));
            prop_assert_eq!(narrowing.allows_definition(definition), allows);
        }
        for second in 1_000..9_100 {
            let at = Timestamp::from_seconds(second, 0).unwrap();
            let allows = second < 4_600 && all.iter().all(|it| it.allows_at(at));
            prop_assert_eq!(narrowing.allows_at(at), allows);
        }
    }
}
