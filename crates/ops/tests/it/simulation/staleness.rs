//! What a node vouches for is what it knew when it asked, however late the answer comes.

use std::sync::atomic::Ordering;

use model::{Operation, RelationshipUpdate};
use ops::{Consistency, Kind};

use testkit::history::draw::{VIEWS, schema};

use super::driver::{block_on, commit_at_store, start};
use super::plan;
use super::world::{STALENESS_MAX, Slot, World};
use crate::running::caller;

#[test]
fn an_answer_that_was_long_under_way_confirms_nothing_newer() {
    block_on(async {
        let world = World::new(plan(0));
        world.is_well.store(true, Ordering::Relaxed);
        start(&world, 0).await;
        let (node, _) = world.node(0).unwrap();
        ops::schema::write(&node, &caller(), &schema(VIEWS[0]))
            .await
            .unwrap();
        for round in 0..20 {
            while world.place(0).answers_under_way == 0 || node.ready().is_err() {
                world.at(world.turn() + 1, Slot::Driver).await;
            }
            // Longer than a node may be without news.
            let resumed = world.turn() + 2 * STALENESS_MAX.as_millis() as u64 / 32;
            world.place(0).paused_until = resumed;
            let committed = commit_at_store(&world, "w", &[touch()]);
            world.at(resumed, Slot::News).await;
            let view = node.view(Consistency::MinimizeLatency).await;
            let error = view.expect_err("it cannot know of the commit yet");
            assert_eq!(
                error.kind,
                Kind::Unavailable,
                "{committed:?} in round {round}"
            );
        }
    });
}

#[test]
fn a_node_that_keeps_up_is_ready_however_much_is_written() {
    block_on(async {
        let world = World::new(plan(0));
        world.is_well.store(true, Ordering::Relaxed);
        start(&world, 0).await;
        let (node, _) = world.node(0).unwrap();
        ops::schema::write(&node, &caller(), &schema(VIEWS[0]))
            .await
            .unwrap();
        // A commit whenever the node may ask: each answer is of a head that is no more.
        for turn in world.turn() + 1..world.turn() + 300 {
            world.at(turn, Slot::Driver).await;
            commit_at_store(&world, "w", &[touch()]);
            node.ready().unwrap();
        }
    });
}

fn touch() -> RelationshipUpdate {
    RelationshipUpdate {
        operation: Operation::Touch,
        relationship: "doc:d0#reader@user:u0".parse().unwrap(),
    }
}
