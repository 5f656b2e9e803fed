//! Whoever asks in the name of a person may what both may.

use identity::Caller;
use model::Context;
use ops::access::Action;
use ops::check::{self, Question};
use ops::{Consistency, Kind, lock};

use super::attenuation::Door;
use super::{caller, change, enforced};
use crate::running::{Running, start};

const DELEGATE: &str = "remit/user:eve#delegate@remit/key:ann";
const OF_SERVICE: &str = "remit/type:doc#checker@remit/key:ann";
const OF_PERSON: &str = "remit/type:doc#checker@remit/user:eve";

/// Whether `ann`, a service, gets a check through in the name of somebody; else why not.
async fn asked_for(running: &Running, principal: &str) -> Result<(), (Kind, String)> {
    asked_by(running, &caller("ann").await, principal).await
}

async fn asked_by(
    running: &Running,
    caller: &Caller,
    principal: &str,
) -> Result<(), (Kind, String)> {
    let question = Question {
        resource: "doc:a".parse().unwrap(),
        permission: "viewer".to_owned(),
        subject: "user:x".parse().unwrap(),
        context: Context::default(),
    };
    let caller = caller.on_behalf_of(principal.parse().unwrap());
    let newest = Consistency::MinimizeLatency;
    let answered = check::check(&running.node, &caller, newest, &question).await;
    answered
        .map(drop)
        .map_err(|error| (error.kind, error.message))
}

#[tokio::test(flavor = "multi_thread")]
async fn both_have_to_be_allowed_and_the_one_to_speak_for_the_other() {
    let running = enforced().await;
    let root = caller("root").await;
    let all = [DELEGATE, OF_SERVICE, OF_PERSON];
    for missing in all {
        let given: Vec<String> = all
            .iter()
            .map(|right| format!("{}{right}", if *right == missing { '-' } else { '+' }))
            .collect();
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        change(&running.node, &root, &given).await.unwrap();
        let (kind, told) = asked_for(&running, "remit/user:eve").await.unwrap_err();
        let is_due = matches!(kind, Kind::Forbidden | Kind::FailedPrecondition);
        assert!(is_due, "without {missing}: {told}");
    }
    let given = all.map(|right| format!("+{right}"));
    let given = given.each_ref().map(String::as_str);
    change(&running.node, &root, &given).await.unwrap();
    asked_for(&running, "remit/user:eve").await.unwrap();
    // Not in another's name, and of no other kind.
    for other in ["remit/user:bob", "remit/key:root", "user:eve"] {
        assert_eq!(
            asked_for(&running, other).await.unwrap_err().0,
            Kind::Forbidden
        );
    }
    let eve = "remit/user:eve".parse().unwrap();
    lock::lock(&running.node, &root, &eve, "gone")
        .await
        .unwrap();
    assert_eq!(
        asked_for(&running, "remit/user:eve").await.unwrap_err().0,
        Kind::Forbidden
    );
    running.node.stop();
}

/// What a token does not leave is not asked for in another's name either.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_speaks_for_others_only_where_it_leaves_that() {
    let running = enforced().await;
    let root = caller("root").await;
    let given = [DELEGATE, OF_SERVICE, OF_PERSON].map(|right| format!("+{right}"));
    let given = given.each_ref().map(String::as_str);
    change(&running.node, &root, &given).await.unwrap();
    let cases = [
        (&[Action::Check][..], false),
        (&[Action::Check, Action::ActFor], true),
        (&[Action::ActFor], false),
    ];
    for (left, may) in cases {
        let token = Door::new().narrowed("ann", left, &[]).await;
        let asked = asked_by(&running, &token, "remit/user:eve").await;
        assert_eq!(asked.is_ok(), may, "{left:?}: {asked:?}");
    }
    running.node.stop();
}

/// Nothing is enforced on the key, and yet the person has only what it was given.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_do_everything_gives_nothing_to_whom_it_speaks_for() {
    let running = start(ops::watch::Settings::default()).await;
    assert!(asked_for(&running, "remit/user:eve").await.is_err());
    let anybody = crate::running::caller();
    change(&running.node, &anybody, &[&format!("+{OF_PERSON}")])
        .await
        .unwrap();
    asked_for(&running, "remit/user:eve").await.unwrap();
    running.node.stop();
}

/// Records say who asked, and for whom.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_for_somebody_is_on_record_so() {
    let running = enforced().await;
    let root = caller("root").await;
    let given = [
        format!("+{DELEGATE}"),
        "+remit/type:doc#writer@remit/key:ann".to_owned(),
        "+remit/type:doc#writer@remit/user:eve".to_owned(),
    ];
    let given = given.each_ref().map(String::as_str);
    let before = change(&running.node, &root, &given).await.unwrap();
    let caller = caller("ann")
        .await
        .on_behalf_of("remit/user:eve".parse().unwrap());
    change(&running.node, &caller, &["+doc:a#viewer@user:x"])
        .await
        .unwrap();
    let query = store::LogQuery {
        after: before.revision,
        entries_max: 1,
        bytes_max: 1_000_000,
    };
    let entries = running.store.log(query).await.unwrap();
    assert_eq!(entries[0].provenance.actor, "ann for remit/user:eve");
    running.node.stop();
}
