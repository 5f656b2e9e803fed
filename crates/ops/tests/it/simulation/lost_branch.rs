//! A node that has what was lost with a store stops: it answers nothing, and writes nothing.

use std::sync::atomic::Ordering;

use model::{Operation, RelationshipUpdate, Revision};
use ops::write::Write;
use ops::{Consistency, Kind};
use testkit::history::Written;
use testkit::history::draw::{VIEWS, schema};

use super::driver::{block_on, commit_at_store, start};
use super::plan;
use super::world::{Slot, World};
use crate::running::caller;

fn touch(text: &str) -> RelationshipUpdate {
    RelationshipUpdate {
        operation: Operation::Touch,
        relationship: text.parse().unwrap(),
    }
}

#[test]
fn a_node_that_has_what_was_lost_stops() {
    // The standby has less than the node, as much, and more.
    for written_since in 0..3 {
        block_on(async {
            let world = World::new(plan(written_since));
            world.is_well.store(true, Ordering::Relaxed);
            start(&world, 0).await;
            let (node, _) = world.node(0).unwrap();
            let schema = schema(VIEWS[0]);
            ops::schema::write(&node, &caller(), &schema).await.unwrap();
            let write = async |text| {
                let write = Write {
                    updates: vec![touch(text)],
                    ..Write::default()
                };
                ops::write::write(&node, &caller(), write).await
            };
            let lost = write("doc:d0#reader@user:u0").await.unwrap();
            assert_eq!(lost.revision, Revision(2));

            world.at(world.turn() + 1, Slot::Driver).await;
            world.fail_over(Revision(1));
            for _ in 0..written_since {
                let written = commit_at_store(&world, "w", &[touch("doc:d0#reader@user:u1")]);
                assert!(matches!(written, Written::Acknowledged(_)));
            }
            // It asks its store at least once a second.
            world.at(world.turn() + 60, Slot::Driver).await;
            let error = node.ready().unwrap_err();
            assert_eq!(error.kind, Kind::Unavailable);
            assert_eq!(
                error.message,
                "this node stopped following its store: the log of the store has no longer the commit of revision 2 that \
                 this node has, as after a fail-over to a standby that lagged; restart this node"
            );
            for consistency in [
                Consistency::MinimizeLatency,
                Consistency::AtLeastAsFresh(lost),
                Consistency::AtExactSnapshot(lost),
                Consistency::FullyConsistent,
            ] {
                let error = node.view(consistency).await.unwrap_err();
                assert_eq!(error.kind, Kind::Unavailable);
            }
            let error = write("doc:d0#reader@user:u2").await.unwrap_err();
            assert_eq!(error.kind, Kind::Unavailable);
            let head = world.current_store().head_now().unwrap().revision;
            assert_eq!(head, Revision(1 + written_since), "it wrote nothing");
        });
    }
}

/// It never got to read the commit that its store made and lost.
#[test]
fn a_node_whose_store_says_that_it_has_lost_commits_stops() {
    block_on(async {
        let world = World::new(plan(0));
        world.is_well.store(true, Ordering::Relaxed);
        start(&world, 0).await;
        let (node, _) = world.node(0).unwrap();
        node.ready().unwrap();
        world.place(0).has_diverged = true;
        let written = ops::schema::write(&node, &caller(), &schema(VIEWS[0])).await;
        assert_eq!(written.unwrap_err().kind, Kind::Unavailable);
        let error = node.ready().unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.message.ends_with("restart this process"), "{error}");
        let error = node.view(Consistency::MinimizeLatency).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
    });
}
