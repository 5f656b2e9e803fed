//! The examples do what they say.

#[expect(dead_code, reason = "what runs the example by itself is not run here")]
#[path = "../../examples/follow.rs"]
mod follow;
#[expect(dead_code, reason = "what runs the example by itself is not run here")]
#[path = "../../examples/own_store.rs"]
mod own_store;

use remit_embedded::Place;

use crate::running::{REPLICA_KEY, eventually, question, start};

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_with_a_store_of_its_own() {
    let told = own_store::run(Place::Memory).await.unwrap();
    let expected = [
        "may bob read the plan? Allowed",
        "because of document:plan#reader@team:design#member and team:design#member@user:bob",
        "user:ann may read it: true",
        "user:eve may read it: false",
        "bob may read 1 document",
    ];
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_a_server() {
    let running = start().await;
    let endpoint = running.address.to_string();
    let replica = follow::start(&endpoint, REPLICA_KEY, Some(running.cache()))
        .await
        .unwrap();
    eventually(async || replica.health().is_connected.then_some(())).await;
    let asked = question("doc:a", "user:ann");
    let told = follow::tell(&replica, &asked, None).await;
    assert!(
        told.starts_with("Denied at revision 2; connected: true"),
        "{told}"
    );
    let token = running.write(&["+doc:a#viewer@user:ann"]).await;
    let told = follow::tell(&replica, &asked, Some(token)).await;
    assert!(told.starts_with("Allowed at revision 3"), "{told}");
    running.stop().await;
    let refused = follow::start(&endpoint, "a\nkey", None).await.unwrap_err();
    assert!(
        refused.to_string().contains("cannot be started"),
        "{refused}"
    );
}
