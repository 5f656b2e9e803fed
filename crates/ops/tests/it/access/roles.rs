//! A role lets one kind of call through, where it is held, for as long as it is held.

use identity::{Caller, PresharedKeys};
use model::{
    Context, RelationshipFilter, Revision, SubjectFilter, SubjectId, SubjectRelationFilter,
};
use ops::access::{Action, Scope};
use ops::bulk::Import;
use ops::check::{self, Question};
use ops::lookup::{self, Resources, Subjects};
use ops::watch::{self, Filter, Request, Start};
use ops::write::{self, Deletion};
use ops::{Consistency, Error, Kind, Reason, audit, lock, read, replica, schema};
use store::audit::tree::Question as Asked;

use super::{caller, change, enforced};
use crate::running::{Running, SCHEMA, start};

const NEWEST: Consistency = Consistency::MinimizeLatency;

fn question() -> Question {
    Question {
        resource: "doc:a".parse().unwrap(),
        permission: "viewer".to_owned(),
        subject: "user:ann".parse().unwrap(),
        context: Context::default(),
    }
}

fn of_docs() -> RelationshipFilter {
    RelationshipFilter {
        definition: Some("doc".parse().unwrap()),
        ..RelationshipFilter::default()
    }
}

async fn look_up(running: &Running, caller: &Caller) -> Result<(), Error> {
    let node = &running.node;
    let asked = Resources {
        definition: "doc".parse().unwrap(),
        permission: "viewer".to_owned(),
        subject: "user:ann".parse().unwrap(),
        context: Context::default(),
        limit: 0,
        cursor: None,
    };
    lookup::resources(node, caller, NEWEST, &asked).await?;
    let asked = Subjects {
        resource: "doc:a".parse().unwrap(),
        permission: "viewer".to_owned(),
        definition: "user".parse().unwrap(),
        relation: None,
        context: Context::default(),
        is_without_everybody: false,
        limit: 0,
        cursor: None,
    };
    lookup::subjects(node, caller, NEWEST, &asked).await?;
    Ok(())
}

/// Does what an action is, on documents where it is of a definition.
async fn act(running: &Running, caller: &Caller, action: Action) -> Result<(), Error> {
    let node = &running.node;
    match action {
        Action::Check => {
            check::check(node, caller, NEWEST, &question()).await?;
        }
        Action::LookUp => look_up(running, caller).await?,
        Action::Read => {
            read::read(node, caller, NEWEST, of_docs(), 0, None).await?;
            read::export(node, caller, NEWEST, Some(of_docs()), 0, None).await?;
        }
        Action::Write => {
            change(node, caller, &["+doc:w#viewer@user:ann"]).await?;
        }
        Action::Import => {
            let mut import = Import::default();
            // Each that gets through is another one.
            let row = format!("doc:i{}#viewer@user:ann", node.snapshot().revision());
            import.add(node, [row.parse().unwrap()])?;
            import.commit(node, caller).await?;
        }
        Action::Watch => {
            let names = ["doc".parse().unwrap()];
            let request = Request {
                start: Start::Now,
                filter: Filter::Definitions(names.into_iter().collect()),
                ..Request::default()
            };
            watch::watch(node, caller, request).await?;
        }
        Action::ReadSchema => {
            let read = schema::read(node, caller).await?;
            assert!(read.text.contains("definition doc {"), "{}", read.text);
        }
        Action::WriteSchema => {
            schema::write(node, caller, SCHEMA).await?;
        }
        Action::Grant => {
            let given = "remit/type:doc#granter@remit/key:dan";
            change(node, caller, &[&format!("+{given}")]).await?;
            change(node, caller, &[&format!("-{given}")]).await?;
        }
        Action::Lock => {
            lock::lock(node, caller, &"user:eve".parse().unwrap(), "lost a laptop").await?;
            lock::unlock(node, caller, &"user:eve".parse().unwrap()).await?;
        }
        Action::Operate => {
            ops::digest::digest(node, caller, NEWEST).await?;
        }
        Action::ActFor => {}
        Action::Replicate => {
            replica::State::newest(node, caller)?;
            replica::state(node, caller).await?;
            replica::news(node, caller).await?;
            replica::log(node, caller, Revision(0), 1).await?;
            let pieces = |page| std::iter::once(page);
            replica::log_pieces(node, caller, (Revision(0), 1), pieces).await?;
            let head = replica::head(node, caller).await?;
            replica::time(node, caller).await?;
            let token = running.store.identity().token(head.revision, &head.hash);
            replica::verify(node, caller, token).await?.unwrap();
        }
        Action::Audit => read_audit(node, caller).await?,
        Action::Erase => erase(node, caller).await?,
    }
    Ok(())
}

async fn read_audit(node: &ops::Node, caller: &Caller) -> Result<(), Error> {
    let state = audit::state(node, caller).await?;
    audit::entries(node, caller, 0, 0).await?;
    audit::checkpoints(node, caller, 0).await?;
    audit::prove(node, caller, Asked::Root(state.size)).await?;
    audit::tile(node, caller, (0, 0, 1)).await?;
    audit::search(node, caller, &audit::Query::default()).await?;
    Ok(())
}

async fn erase(node: &ops::Node, caller: &Caller) -> Result<(), Error> {
    let erasure = audit::Erasure {
        subject: "user:nobody".parse().unwrap(),
        text: None,
        reason: "TICKET-1".to_owned(),
    };
    audit::find(node, caller, &erasure).await?;
    audit::erase(node, caller, &erasure).await?;
    Ok(())
}

/// What is done with another action than that of its name.
const ELSEWHERE: [Action; 1] = [Action::ActFor];

#[tokio::test(flavor = "multi_thread")]
async fn each_role_lets_its_own_calls_through_and_no_others() {
    let running = enforced().await;
    let (root, ann) = (caller("root").await, caller("ann").await);
    change(&running.node, &root, &["+doc:a#viewer@user:ann"])
        .await
        .unwrap();
    for scope in [Scope::System, Scope::Definition] {
        let object = match scope {
            Scope::System => "remit/system:main",
            Scope::Definition | Scope::Relation | Scope::User => "remit/type:doc",
        };
        for held in scope.actions() {
            let grant = format!("{object}#{}@remit/key:ann", held.role());
            change(&running.node, &root, &[&format!("+{grant}")])
                .await
                .unwrap();
            for tried in Action::ALL {
                if ELSEWHERE.contains(&tried) {
                    continue;
                }
                let outcome = act(&running, &ann, tried).await;
                let told = outcome.as_ref().map_err(|error| &error.message);
                assert_eq!(
                    outcome.is_ok(),
                    tried == *held,
                    "{held:?} {tried:?}: {told:?}"
                );
                if let Err(error) = outcome {
                    let is_hidden = error.reason == Some(Reason::UnknownDefinition);
                    let is_due =
                        is_hidden || matches!(error.kind, Kind::Forbidden | Kind::NotFound);
                    assert!(is_due, "{held:?} {tried:?}: {error:?}");
                }
            }
            change(&running.node, &root, &[&format!("-{grant}")])
                .await
                .unwrap();
        }
    }
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_may_do_everything() {
    let running = enforced().await;
    let root = caller("root").await;
    for action in Action::ALL {
        act(&running, &root, action).await.unwrap();
    }
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_on_a_relation_is_for_that_relation() {
    let running = enforced().await;
    let (root, ann) = (caller("root").await, caller("ann").await);
    let grant = "+remit/type_member:doc/viewer#checker@remit/key:ann";
    change(&running.node, &root, &[grant]).await.unwrap();
    act(&running, &ann, Action::Check).await.unwrap();
    let elsewhere = Question {
        resource: "folder:a".parse().unwrap(),
        ..question()
    };
    let refused = check::check(&running.node, &ann, NEWEST, &elsewhere).await;
    assert_eq!(
        refused.unwrap_err().message,
        "object definition `folder` not found"
    );
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_a_grant_that_can_be_made() {
    let running = enforced().await;
    let (root, ann) = (caller("root").await, caller("ann").await);
    let grant = "+remit/type:doc#reader@remit/key:ann";
    change(&running.node, &root, &[grant]).await.unwrap();
    for (action, named) in [
        (Action::Check, "checker --definition doc --member viewer`"),
        // Nobody imports one relation alone.
        (Action::Import, "importer --definition doc`"),
    ] {
        let told = act(&running, &ann, action).await.unwrap_err().message;
        let expected = format!("`remit access grant remit/key:ann {named}");
        assert!(told.contains(&expected), "{told}");
    }
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_come_by_groups_and_end_with_them() {
    let running = enforced().await;
    let (root, ann) = (caller("root").await, caller("ann").await);
    let made = [
        "+remit/type:doc#checker@remit/group:eng#member",
        "+remit/group:eng#member@remit/group:core#member",
        "+remit/group:core#member@remit/key:ann[expiration:1970-01-01T00:01:00Z]",
    ];
    change(&running.node, &root, &made).await.unwrap();
    act(&running, &ann, Action::Check).await.unwrap();
    running.advance(60);
    let refused = act(&running, &ann, Action::Check).await.unwrap_err();
    assert_eq!(refused.kind, Kind::FailedPrecondition);
    running.node.stop();
}

/// As with a server that knows nothing but keys.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_enforced_until_somebody_is_an_administrator() {
    let running = start(watch::Settings::default()).await;
    let (root, ann) = (caller("root").await, caller("ann").await);
    act(&running, &ann, Action::Write).await.unwrap();
    // Other rights change nothing.
    let given = "+remit/type:doc#checker@remit/key:bob";
    change(&running.node, &ann, &[given]).await.unwrap();
    act(&running, &ann, Action::Operate).await.unwrap();
    let made = "+remit/system:main#administrator@remit/key:root";
    change(&running.node, &ann, &[made]).await.unwrap();
    let refused = act(&running, &ann, Action::Operate).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden);
    assert!(
        refused
            .message
            .contains("remit access grant remit/key:ann operator --system")
    );
    act(&running, &root, Action::Operate).await.unwrap();
    // A node that starts later knows it as well.
    let other = ops::Node::start(
        std::sync::Arc::clone(&running.store),
        std::sync::Arc::clone(&running.clock) as _,
        running.node.settings().clone(),
    );
    let other = other.await.unwrap();
    assert!(ops::digest::digest(&other, &ann, NEWEST).await.is_err());
    other.stop();
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_always_an_administrator_left() {
    let running = enforced().await;
    let root = caller("root").await;
    let last = "-remit/system:main#administrator@remit/key:root";
    let ends = "+remit/system:main#administrator@remit/key:root[expiration:2100-01-01T00:00:00Z]";
    for gone in [last, ends] {
        let refused = change(&running.node, &root, &[gone]).await.unwrap_err();
        assert_eq!(refused.kind, Kind::FailedPrecondition, "{gone}");
    }
    let other = "+remit/system:main#administrator@remit/key:ann";
    change(&running.node, &root, &[other, last]).await.unwrap();
    let refused = act(&running, &root, Action::Operate).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden);
    running.node.stop();
}

/// A deletion that names no definition takes rights along, but not all of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_everywhere_leaves_an_administrator() {
    let running = enforced().await;
    let (root, ann) = (caller("root").await, caller("ann").await);
    let of = |id: &str| Deletion {
        filter: RelationshipFilter {
            subject: Some(SubjectFilter {
                definition: "remit/key".parse().unwrap(),
                id: Some(SubjectId::Object(id.parse().unwrap())),
                relation: SubjectRelationFilter::Any,
            }),
            ..RelationshipFilter::default()
        },
        preconditions: Vec::new(),
        limit: 0,
        is_partial_allowed: false,
        metadata: None,
    };
    let grants = [
        "+remit/type:doc#writer@remit/key:ann",
        "+remit/system:main#writer@remit/key:ann",
    ];
    change(&running.node, &root, &grants).await.unwrap();
    let refused = write::delete(&running.node, &ann, of("root"))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden);
    let refused = write::delete(&running.node, &root, of("root"))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, Kind::FailedPrecondition);
    let deleted = write::delete(&running.node, &root, of("ann"))
        .await
        .unwrap();
    assert_eq!(deleted.count, 2);
    act(&running, &root, Action::Operate).await.unwrap();
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_its_right_is_taken_away() {
    let running = enforced().await;
    let (root, ann) = (caller("root").await, caller("ann").await);
    let grant = "remit/type:doc#watcher@remit/key:ann";
    change(&running.node, &root, &[&format!("+{grant}")])
        .await
        .unwrap();
    // All that the caller may follow.
    let mut watching = watch::watch(&running.node, &ann, Request::default())
        .await
        .unwrap();
    let rows = ["+folder:a#viewer@user:ann", "+doc:a#viewer@user:ann"];
    change(&running.node, &root, &rows).await.unwrap();
    let told = crate::running::next_text(&mut watching).await;
    assert!(
        told.contains("doc:a#viewer@user:ann") && !told.contains("folder"),
        "{told}"
    );
    change(&running.node, &root, &[&format!("-{grant}")])
        .await
        .unwrap();
    change(&running.node, &root, &["-doc:a#viewer@user:ann"])
        .await
        .unwrap();
    let ended = crate::running::next(&mut watching).await.unwrap_err();
    assert_eq!(ended.message, "object definition `doc` not found");
    running.node.stop();
}

/// Its caller may still watch, but is nobody any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_the_key_that_it_was_begun_with_is_gone() {
    let running = enforced().await;
    let root = caller("root").await;
    let keys = std::sync::Arc::new(PresharedKeys::new(["ann:key-of-ann"]).unwrap());
    let ann = super::caller_of(&keys, "ann").await;
    let grant = "+remit/type:doc#watcher@remit/key:ann";
    change(&running.node, &root, &[grant]).await.unwrap();
    let mut watching = watch::watch(&running.node, &ann, Request::default())
        .await
        .unwrap();
    keys.replace(PresharedKeys::new(["ann:another-key"]).unwrap());
    change(&running.node, &root, &["+doc:a#viewer@user:ann"])
        .await
        .unwrap();
    let ended = crate::running::next(&mut watching).await.unwrap_err();
    assert_eq!(ended.kind, Kind::Unauthenticated);
    running.node.stop();
}
