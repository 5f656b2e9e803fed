//! How long an exact snapshot is to be had.

use model::{Context, Decision, Token};
use ops::check::{self, Question};
use ops::{Consistency, Error, Kind, watch};

use crate::running::{Running, caller, start};

async fn ann_at(running: &Running, token: Token) -> Result<Decision, Error> {
    let question = Question {
        resource: "doc:a".parse().unwrap(),
        permission: "viewer".to_owned(),
        subject: "user:ann".parse().unwrap(),
        context: Context::default(),
    };
    let consistency = Consistency::AtExactSnapshot(token);
    let answered = check::check(&running.node, &caller(), consistency, &question).await?;
    assert_eq!(answered.at, token);
    Ok(answered.answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_gone_once_it_was_replaced_longer_ago_than_is_kept() {
    let running = start(watch::Settings::default()).await;
    let first = running.write(&["+doc:a#viewer@user:ann"]).await;
    running.advance(60);
    let second = running.write(&["-doc:a#viewer@user:ann"]).await;
    // It is the age of the replacement that counts: the first is older than what is kept, but was replaced later.
    running.advance(600);
    assert_eq!(ann_at(&running, first).await.unwrap(), Decision::Allowed);
    running.advance(1);
    let error = ann_at(&running, first).await.unwrap_err();
    assert_eq!(error.kind, Kind::RevisionGone);
    assert_eq!(error.message, "invalid revision: revision has expired");
    // The newest was never replaced.
    assert_eq!(ann_at(&running, second).await.unwrap(), Decision::Denied);
    running.node.stop();
}
