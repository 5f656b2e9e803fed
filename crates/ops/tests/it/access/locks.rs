//! A lock denies a subject everything, and nothing is deleted for it.

use model::{Context, Decision, SubjectRef};
use ops::check::{self, Question};
use ops::lookup::{self, Item, Resources, Subjects};
use ops::{Consistency, Kind, lock};

use super::{caller, change, enforced};
use crate::running::{Running, caller as anybody};

const NEWEST: Consistency = Consistency::MinimizeLatency;

fn question(subject: &str) -> Question {
    Question {
        resource: "doc:a".parse().unwrap(),
        permission: "viewer".to_owned(),
        subject: subject.parse().unwrap(),
        context: Context::default(),
    }
}

async fn decided(running: &Running, subject: &str) -> Decision {
    let answered = check::check(&running.node, &anybody(), NEWEST, &question(subject)).await;
    answered.unwrap().answer
}

async fn documents_of(running: &Running, subject: &str) -> usize {
    let asked = Resources {
        definition: "doc".parse().unwrap(),
        permission: "viewer".to_owned(),
        subject: subject.parse::<SubjectRef>().unwrap(),
        context: Context::default(),
        limit: 0,
        cursor: None,
    };
    let page = lookup::resources(&running.node, &anybody(), NEWEST, &asked).await;
    page.unwrap().total()
}

async fn viewers(running: &Running, limit: u32) -> lookup::Page {
    let asked = Subjects {
        resource: "doc:a".parse().unwrap(),
        permission: "viewer".to_owned(),
        definition: "user".parse().unwrap(),
        relation: None,
        context: Context::default(),
        is_without_everybody: false,
        limit,
        cursor: None,
    };
    let page = lookup::subjects(&running.node, &anybody(), NEWEST, &asked).await;
    page.unwrap()
}

fn ids(page: &lookup::Page) -> Vec<String> {
    let ids = page.items().map(|item| match item {
        Item::Object { id, .. } => id.to_string(),
        Item::Everybody { excluded, .. } => {
            let excluded: Vec<String> = excluded.iter().map(|(id, _)| id.to_string()).collect();
            format!("* but {}", excluded.join(" "))
        }
    });
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_subject_has_nothing_until_it_is_unlocked() {
    let running = enforced().await;
    let root = caller("root").await;
    let rows = ["+doc:a#viewer@user:ann", "+doc:a#viewer@user:bob"];
    change(&running.node, &root, &rows).await.unwrap();
    let ann = "user:ann".parse().unwrap();
    lock::lock(&running.node, &root, &ann, "lost a laptop")
        .await
        .unwrap();
    assert_eq!(decided(&running, "user:ann").await, Decision::Denied);
    assert_eq!(decided(&running, "user:bob").await, Decision::Allowed);
    let bulk = [question("user:ann"), question("user:bob")];
    let bulk = check::check_bulk(&running.node, &anybody(), NEWEST, &bulk)
        .await
        .unwrap();
    let bulk: Vec<_> = bulk.answer.into_iter().map(Result::unwrap).collect();
    assert_eq!(bulk, [Decision::Denied, Decision::Allowed]);
    assert_eq!(documents_of(&running, "user:ann").await, 0);
    assert_eq!(ids(&viewers(&running, 0).await), ["bob"]);
    let traced = ops::trace::check(&running.node, &anybody(), NEWEST, &question("user:ann")).await;
    assert_eq!(traced.unwrap().answer.decision.unwrap(), Decision::Denied);
    let explained = check::explain(&running.node, &anybody(), NEWEST, &question("user:ann")).await;
    let explained = explained.unwrap().answer.explanation;
    assert_eq!(explained.decision, Ok(Decision::Denied));
    assert_eq!(
        explained.root.reason.unwrap(),
        "`user:ann` is locked: lost a laptop"
    );
    // It says what it would be otherwise.
    assert_eq!(explained.root.below[0].outcome, engine::eval::Outcome::Yes);

    let (locks, _) = lock::list(&running.node, &root, NEWEST).await.unwrap();
    assert_eq!(locks.len(), 1);
    assert_eq!(
        (locks[0].subject.to_string(), locks[0].reason.as_str()),
        ("user:ann".to_owned(), "lost a laptop")
    );
    lock::unlock(&running.node, &root, &ann).await.unwrap();
    assert_eq!(decided(&running, "user:ann").await, Decision::Allowed);
    let again = lock::unlock(&running.node, &root, &ann).await.unwrap_err();
    assert_eq!(again.kind, Kind::NotFound);
    running.node.stop();
}

/// It is not for an old snapshot to let somebody in.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_holds_on_snapshots_from_before_it_and_on_pages_to_come() {
    let running = enforced().await;
    let root = caller("root").await;
    let rows = [
        "+doc:a#viewer@user:ann",
        "+doc:a#viewer@user:bob",
        "+doc:a#viewer@user:cat",
    ];
    let before = change(&running.node, &root, &rows).await.unwrap();
    let page = viewers(&running, 1).await;
    assert_eq!(ids(&page), ["ann"]);
    let cursor = page.cursor_after(&page.item(0).unwrap());
    lock::lock(&running.node, &root, &"user:bob".parse().unwrap(), "gone")
        .await
        .unwrap();
    let at = Consistency::AtExactSnapshot(before);
    let answered = check::check(&running.node, &anybody(), at, &question("user:bob")).await;
    assert_eq!(answered.unwrap().answer, Decision::Denied);
    let asked = Subjects {
        resource: "doc:a".parse().unwrap(),
        permission: "viewer".to_owned(),
        definition: "user".parse().unwrap(),
        relation: None,
        context: Context::default(),
        is_without_everybody: false,
        limit: 1,
        cursor: Some(cursor),
    };
    let next = lookup::subjects(&running.node, &anybody(), NEWEST, &asked)
        .await
        .unwrap();
    assert_eq!(ids(&next), ["cat"]);
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_lets_in_nobody_who_is_locked() {
    let running = enforced().await;
    let root = caller("root").await;
    let schema = "definition user {}\ndefinition doc {\n relation viewer: user | user:*\n}";
    ops::schema::write(&running.node, &root, schema)
        .await
        .unwrap();
    let rows = ["+doc:a#viewer@user:*", "+doc:a#viewer@user:ann"];
    change(&running.node, &root, &rows).await.unwrap();
    // One of them is in no relationship at all.
    for name in ["ann", "stranger"] {
        let subject = format!("user:{name}").parse().unwrap();
        lock::lock(&running.node, &root, &subject, "gone")
            .await
            .unwrap();
        assert_eq!(
            decided(&running, &format!("user:{name}")).await,
            Decision::Denied
        );
    }
    assert_eq!(decided(&running, "user:bob").await, Decision::Allowed);
    assert_eq!(ids(&viewers(&running, 0).await), ["* but ann stranger"]);
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_caller_may_not_call_and_administrators_are_locked_by_their_like() {
    let running = enforced().await;
    let (root, ann) = (caller("root").await, caller("ann").await);
    let rows = [
        "+remit/system:main#locker@remit/key:ann",
        "+remit/system:main#checker@remit/key:bob",
    ];
    change(&running.node, &root, &rows).await.unwrap();
    let bob = caller("bob").await;
    let asked = question("user:x");
    check::check(&running.node, &bob, NEWEST, &asked)
        .await
        .unwrap();
    lock::lock(&running.node, &ann, bob.subject(), "leaked")
        .await
        .unwrap();
    let refused = check::check(&running.node, &bob, NEWEST, &asked)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.kind, refused.message.as_str()),
        (Kind::Forbidden, "`remit/key:bob` is locked")
    );
    let refused = lock::lock(&running.node, &ann, root.subject(), "mine now")
        .await
        .unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden);
    let group = "remit/group:everybody".parse().unwrap();
    let refused = lock::lock(&running.node, &ann, &group, "mine now").await;
    assert_eq!(refused.unwrap_err().kind, Kind::Forbidden);
    lock::lock(&running.node, &root, ann.subject(), "misused")
        .await
        .unwrap();
    let refused = lock::unlock(&running.node, &ann, ann.subject())
        .await
        .unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden);
    lock::unlock(&running.node, &root, ann.subject())
        .await
        .unwrap();
    lock::unlock(&running.node, &ann, bob.subject())
        .await
        .unwrap();
    check::check(&running.node, &bob, NEWEST, &asked)
        .await
        .unwrap();
    for reason in [String::new(), "x".repeat(1_025)] {
        let refused = lock::lock(&running.node, &root, bob.subject(), &reason)
            .await
            .unwrap_err();
        assert_eq!(refused.kind, Kind::InvalidArgument);
    }
    running.node.stop();
}
