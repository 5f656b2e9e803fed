//! A narrowed caller may what both its subject and its narrowing allow, and gives no more than that.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use identity::{
    Authenticator, Authorization, Caller, MintedToken, Narrowing, Presented, PresharedKeys,
    TokenKeys,
};
use model::{Clock, DefinitionName, Timestamp};
use ops::access::Action;
use ops::check::{self, Question};
use ops::mint::{self, Mint};
use ops::{Consistency, Error, Kind, lock};
use testkit::rng::Rng;

use super::delegation::{Right, covers, draw, rights, seconds};
use super::{NAMES, caller, change, enforced};
use crate::running::{Running, start};

/// The clock of the server that mints: second 1, as that of the node.
struct First;

impl Clock for First {
    fn now(&self) -> Timestamp {
        seconds(1)
    }
}

/// What lets in those who have a key, and mints for them.
pub(super) struct Door(Arc<Authenticator>);

impl Door {
    pub(super) fn new() -> Self {
        let keys = NAMES.map(|name| format!("{name}:key-of-{name}"));
        let keys = PresharedKeys::new(keys.iter().map(String::as_str)).unwrap();
        let settings = identity::Settings::default();
        let door = Authenticator::new(
            Some(Arc::new(keys)),
            Arc::default(),
            settings,
            Arc::new(First),
        );
        let line = TokenKeys::fresh_line("k1").unwrap();
        door.replace_token_keys(TokenKeys::from_file_text(&line).unwrap());
        Self(door)
    }

    pub(super) async fn caller(&self, credential: &str) -> Caller {
        let header = format!("Bearer {credential}");
        let presented = Presented {
            authorization: Authorization::One(&header),
            certificate: None,
        };
        self.0.authenticate(&presented).await.unwrap()
    }

    pub(super) async fn mint(&self, name: &str, narrowing: &Narrowing, life: u64) -> MintedToken {
        let caller = self.caller(&format!("key-of-{name}")).await;
        let life = Duration::from_secs(life);
        self.0.mint(&caller, narrowing, life).unwrap()
    }

    /// The caller with a token of `name`'s, for these actions and definitions; empty ones are not narrowed.
    pub(super) async fn narrowed(
        &self,
        name: &str,
        actions: &[Action],
        definitions: &[&str],
    ) -> Caller {
        let narrowing = narrowing(actions, definitions);
        let token = self.mint(name, &narrowing, 3_600).await;
        self.caller(token.secret()).await
    }
}

fn narrowing(actions: &[Action], definitions: &[&str]) -> Narrowing {
    let definitions = definitions.iter().map(|it| name(it));
    let asked = Mint {
        actions: actions.iter().copied().collect(),
        definitions: definitions.collect(),
        life: None,
    };
    asked.narrowing().unwrap()
}

fn name(text: &str) -> DefinitionName {
    DefinitionName::new(text).unwrap()
}

async fn asks(running: &Running, caller: &Caller, resource: &str) -> Result<(), Error> {
    let question = Question {
        resource: resource.parse().unwrap(),
        permission: "viewer".to_owned(),
        subject: "user:x".parse().unwrap(),
        context: model::Context::default(),
    };
    let newest = Consistency::MinimizeLatency;
    let answered = check::check(&running.node, caller, newest, &question).await;
    answered.map(drop)
}

async fn may_check(running: &Running, caller: &Caller) -> bool {
    asks(running, caller, "doc:a").await.is_ok()
}

async fn may_write(running: &Running, caller: &Caller) -> bool {
    let written = change(&running.node, caller, &["+doc:a#viewer@user:x"]).await;
    written.is_ok()
}

async fn may_write_schema(running: &Running, caller: &Caller) -> bool {
    let schema = crate::running::SCHEMA;
    let written = ops::schema::write(&running.node, caller, schema).await;
    written.is_ok()
}

/// Where nothing is enforced whoever is let in may do everything, but for what its token does not leave to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_narrowing_holds_where_nothing_is_enforced() {
    let running = start(ops::watch::Settings::default()).await;
    let door = Door::new();
    let whole = door.narrowed("ann", &[], &[]).await;
    for (caller, checks, writes, schemas) in [
        (door.caller("key-of-ann").await, true, true, true),
        (whole.clone(), true, true, true),
        (
            door.narrowed("ann", &[Action::Check], &[]).await,
            true,
            false,
            false,
        ),
        (
            door.narrowed("ann", &[Action::Write], &[]).await,
            false,
            true,
            false,
        ),
        (door.narrowed("ann", &[], &["doc"]).await, true, true, false),
        (
            door.narrowed("ann", &[], &["folder"]).await,
            false,
            false,
            false,
        ),
        (
            door.narrowed("ann", &[Action::WriteSchema], &["doc"]).await,
            false,
            false,
            false,
        ),
        (
            door.narrowed("ann", &[Action::WriteSchema], &[]).await,
            false,
            false,
            true,
        ),
    ] {
        let told = format!("{:?}", caller.narrowing());
        assert_eq!(may_check(&running, &caller).await, checks, "{told}");
        assert_eq!(may_write(&running, &caller).await, writes, "{told}");
        assert_eq!(may_write_schema(&running, &caller).await, schemas, "{told}");
    }
    // Whole as it is, it ends, and so does not administer; nor does it give for longer than it lives.
    for (line, may) in [
        ("+remit/system:main#administrator@remit/key:ann", false),
        ("+remit/type:doc#checker@remit/key:bob", false),
        (
            "+remit/type:doc#checker@remit/key:bob[expiration:1970-01-01T01:00:02Z]",
            false,
        ),
        (
            "+remit/type:doc#checker@remit/key:bob[expiration:1970-01-01T01:00:01Z]",
            true,
        ),
    ] {
        let made = change(&running.node, &whole, &[line]).await;
        assert_eq!(made.is_ok(), may, "{line}: {made:?}");
    }
    let everything = ops::write::Deletion {
        filter: model::RelationshipFilter::default(),
        preconditions: Vec::new(),
        limit: 0,
        is_partial_allowed: false,
        metadata: None,
    };
    let deleted = ops::write::delete(&running.node, &whole, everything).await;
    assert_eq!(deleted.unwrap_err().kind, Kind::Forbidden);
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_caller_may_what_both_its_subject_and_its_token_allow() {
    let running = enforced().await;
    let (root, door) = (caller("root").await, Door::new());
    let rows = [
        "+remit/type:doc#checker@remit/key:ann",
        "+remit/type:folder#writer@remit/key:ann",
        "+remit/type_member:folder/viewer#reader@remit/key:ann",
    ];
    change(&running.node, &root, &rows).await.unwrap();
    for (of, actions, definitions, checks, writes) in [
        ("root", &[][..], &[][..], true, true),
        ("root", &[Action::Check], &["doc"], true, false),
        (
            "root",
            &[Action::Check, Action::Write],
            &["folder"],
            false,
            false,
        ),
        ("ann", &[], &[], true, false),
        (
            "ann",
            &[Action::Check, Action::Write],
            &["doc", "folder"],
            true,
            false,
        ),
        ("ann", &[Action::Write], &["doc"], false, false),
        ("bob", &[], &[], false, false),
    ] {
        let caller = door.narrowed(of, actions, definitions).await;
        let told = format!("{of}: {:?}", caller.narrowing());
        assert_eq!(may_check(&running, &caller).await, checks, "{told}");
        assert_eq!(may_write(&running, &caller).await, writes, "{told}");
        assert!(
            !may_write_schema(&running, &caller).await || definitions.is_empty(),
            "{told}"
        );
    }
    // What its token does not leave is, to it, not there.
    let folders = door.narrowed("ann", &[], &["folder"]).await;
    let told = asks(&running, &folders, "doc:a").await.unwrap_err();
    let absent = asks(&running, &folders, "nothing:a").await.unwrap_err();
    assert_eq!(told.message, absent.message.replace("nothing", "doc"));
    let checks = door.narrowed("ann", &[Action::Check], &[]).await;
    let told = asks(&running, &checks, "folder:a").await.unwrap_err();
    assert!(told.message.contains("not found"), "{told:?}");
    let writes = door.narrowed("root", &[Action::Write], &[]).await;
    let told = asks(&running, &writes, "doc:a").await.unwrap_err();
    assert_eq!(
        (told.kind, told.message.as_str()),
        (
            Kind::Forbidden,
            "the token of the call leaves no `check` `viewer` of `doc` to `remit/key:root`; it was minted for less"
        )
    );
    running.node.stop();
}

/// Locks of those who administer are for those who do, and groups for those who may grant.
#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_caller_neither_administers_nor_manages_beyond_its_token() {
    let running = enforced().await;
    let (root, door) = (caller("root").await, Door::new());
    let rows = [
        "+remit/group:eng#manager@remit/key:ann",
        "+remit/system:main#administrator@remit/key:bob",
    ];
    change(&running.node, &root, &rows).await.unwrap();
    let locker = door.narrowed("root", &[Action::Lock], &[]).await;
    let (ann, bob) = (
        "remit/key:ann".parse().unwrap(),
        "remit/key:bob".parse().unwrap(),
    );
    lock::lock(&running.node, &locker, &ann, "lost")
        .await
        .unwrap();
    lock::unlock(&running.node, &locker, &ann).await.unwrap();
    let refused = lock::lock(&running.node, &locker, &bob, "mine").await;
    assert_eq!(refused.unwrap_err().kind, Kind::Forbidden);
    let ending = "[expiration:1970-01-01T00:30:00Z]";
    let member = format!("+remit/group:eng#member@remit/key:cat{ending}");
    for (actions, definitions, may) in [
        (&[][..], &[][..], true),
        (&[Action::Grant], &[], true),
        (&[Action::Check], &[], false),
        (&[Action::Grant], &["doc"], false),
    ] {
        let manager = door.narrowed("ann", actions, definitions).await;
        for line in [member.as_str(), "-remit/group:eng#member@remit/key:cat"] {
            let made = change(&running.node, &manager, &[line]).await;
            assert_eq!(
                made.is_ok(),
                may,
                "{line} by {:?}: {made:?}",
                manager.narrowing()
            );
        }
    }
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_commit_that_locks_a_subject_denies_every_token_minted_for_it() {
    let running = enforced().await;
    let (root, door) = (caller("root").await, Door::new());
    let rows = [
        "+remit/type:doc#checker@remit/key:ann",
        "+remit/type:doc#checker@remit/key:bob",
    ];
    change(&running.node, &root, &rows).await.unwrap();
    let token = door.mint("ann", &Narrowing::default(), 600).await;
    let narrower = token
        .narrowed(&narrowing(&[Action::Check], &["doc"]))
        .unwrap();
    let (whole, narrow) = (
        door.caller(token.secret()).await,
        door.caller(narrower.secret()).await,
    );
    let others = door.narrowed("bob", &[], &[]).await;
    let ann = "remit/key:ann".parse().unwrap();
    lock::lock(&running.node, &root, &ann, "leaked")
        .await
        .unwrap();
    for caller in [&whole, &narrow, &door.caller(narrower.secret()).await] {
        let told = asks(&running, caller, "doc:a").await.unwrap_err();
        assert_eq!(
            (told.kind, told.message.as_str()),
            (Kind::Forbidden, "`remit/key:ann` is locked")
        );
    }
    assert!(may_check(&running, &others).await);
    // Nor is there another to be had.
    let key = door.caller("key-of-ann").await;
    let refused = mint::mint(&running.node, &door.0, &key, &Mint::default()).unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden);
    lock::unlock(&running.node, &root, &ann).await.unwrap();
    assert!(may_check(&running, &narrow).await);
    mint::mint(&running.node, &door.0, &key, &Mint::default()).unwrap();
    let refused = mint::mint(&running.node, &door.0, &whole, &Mint::default()).unwrap_err();
    assert_eq!(refused.kind, Kind::FailedPrecondition);
    running.node.stop();
}

/// A narrowing by chance, and how long its token lives.
fn draw_narrowing(rng: &mut Rng) -> (Narrowing, u64) {
    let mut actions: BTreeSet<Action> = BTreeSet::new();
    if rng.chance(50) {
        // Whoever may not give gives nothing.
        if rng.chance(80) {
            actions.insert(Action::Grant);
        }
        for _one in 0..1 + rng.below(5) {
            actions.insert(*rng.pick(&Action::ALL));
        }
    }
    let definitions = if rng.chance(25) {
        let all = ["doc", "folder", "remit/user"];
        vec![*rng.pick(&all), *rng.pick(&all)]
    } else {
        Vec::new()
    };
    let actions: Vec<Action> = actions.into_iter().collect();
    let life = *rng.pick(&[60, 500, 5_000, 50_000]);
    (narrowing(&actions, &definitions), life)
}

/// What is left of the rights of a subject: by what the narrowing says, not by what the node makes of it.
fn left(rights: &BTreeSet<Right>, narrowing: &Narrowing) -> BTreeSet<Right> {
    let is_left = |(object, permission, until): &&Right| {
        let definition = match object.split_once(':').unwrap() {
            ("remit/system", _) => None,
            ("remit/user", _) => Some("remit/user"),
            (_, of) => Some(of.split('/').next().unwrap()),
        };
        let last = until.map_or(Timestamp::MAX, |end| seconds(end).saturating_add_micros(-1));
        permission != "administrator"
            && narrowing.allows_action(permission)
            && narrowing.allows_definition(definition)
            && narrowing.allows_at(last)
    };
    // A right on the system is one on all that lies below, of which a token may leave a part.
    let mut all = rights.clone();
    for (object, permission, until) in rights {
        if object == "remit/system:main" {
            for below in super::delegation::SCOPES {
                all.insert((below.to_owned(), permission.clone(), *until));
            }
        }
    }
    all.iter().filter(is_left).cloned().collect()
}

/// Grants, delegations and attenuations in any order: whoever gains something gains what the giver held, with what it came.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gains_by_a_token_more_than_its_holder_held() {
    let (mut given, mut refused, mut narrowed) = (0, 0, 0);
    for seed in 0..20 {
        let (running, door) = (enforced().await, Door::new());
        let root = caller("root").await;
        let mut rng = Rng::new(seed);
        // Who holds which token; whoever narrows one hands it on, to nobody knows whom.
        let mut tokens: Vec<(String, MintedToken)> = Vec::new();
        for step in 0..90 {
            let mut line = format!("+{}", draw(&mut rng));
            if step < 20 {
                if !line.contains("administrator") {
                    change(&running.node, &root, &[&line]).await.ok();
                }
                continue;
            }
            // What is given for ever is never given by a token.
            if !line.contains("expiration") && rng.chance(80) {
                line.push_str("[expiration:1970-01-01T00:01:40Z]");
            }
            let (by, life) = draw_narrowing(&mut rng);
            if tokens.len() < 6 || rng.chance(20) {
                let name = (*rng.pick(&NAMES)).to_owned();
                let token = door.mint(&name, &by, life).await;
                tokens.push((name, token));
            } else if rng.chance(30) {
                let (name, token) = rng.pick(&tokens).clone();
                if let Ok(token) = token.narrowed(&by) {
                    narrowed += 1;
                    tokens.push((name, token));
                }
            }
            let (name, token) = rng.pick(&tokens).clone();
            let giver = door.caller(token.secret()).await;
            let own = left(&rights(&running, &name).await, &token.narrowing());
            let mut before = Vec::new();
            for name in NAMES {
                before.push(rights(&running, name).await);
            }
            match change(&running.node, &giver, &[&line]).await {
                Ok(_) => {
                    for (other, before) in NAMES.iter().zip(before) {
                        for gained in rights(&running, other).await.difference(&before) {
                            assert!(
                                covers(&own, gained),
                                "seed {seed}: {name} with {:?} made {line}, by which {other} gained {gained:?}",
                                token.narrowing()
                            );
                        }
                    }
                    given += 1;
                }
                Err(error) => {
                    // A definition on which the giver has no right is, to it, not there.
                    let is_due = matches!(error.kind, Kind::Forbidden | Kind::FailedPrecondition);
                    assert!(is_due, "seed {seed}: {line}: {error:?}");
                    refused += 1;
                }
            }
        }
        running.node.stop();
    }
    // Else nothing is shown.
    assert!(
        given > 40 && refused > 200 && narrowed > 40,
        "{given} given, {refused} refused, {narrowed} narrowed"
    );
}
