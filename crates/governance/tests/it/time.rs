//! What comes by time: starts, windows, reminders, ends.

use expect_test::expect;
use governance::{Due, Event, Refusal, Submission, due};

use crate::world::{
    BY_HOLDER, Story, TWO_STEPS, World, approve, by, clock, person, remit, submission, submit,
};

/// Does what is due until nothing is, and tells what that was.
fn run(story: &mut Story) -> Vec<String> {
    let mut lines = Vec::new();
    let mut now = story.request().changed_at();
    while let Some(Due { at, event }) = due(story.request(), now) {
        now = now.max(at);
        let (request, effects) = story
            .world
            .step(story.request.as_ref(), &event, now)
            .unwrap();
        lines.push(format!(
            "{now} {:?}: {:?}",
            event.kind(),
            request.state().kind()
        ));
        story.request = Some(request);
        story.effects = effects;
        lines.extend(story.told().into_iter().map(|told| format!("    {told}")));
    }
    lines
}

#[test]
fn a_request_that_nobody_decides_reminds_and_escalates_and_expires() {
    let mut story = Story::new(World::usual(TWO_STEPS));
    story.does("0:00", &submit(submission()));
    expect![[r#"
        [
            "2027-01-01T12:00:00Z Remind: Pending",
            "    r1/1/reminder -> database:prod-1#approver team:payments#lead user:zoe",
            "2027-01-01T18:00:00Z Remind: Pending",
            "    r1/2/reminder -> database:prod-1#approver team:payments#lead user:zoe",
            "2027-01-01T20:00:00Z Escalate: Pending",
            "    r1/3/escalated -> database:prod-1#owner user:zoe",
            "2027-01-02T00:00:00Z Expire: Expired",
            "    r1/4/expired -> user:ann",
        ]
    "#]]
    .assert_debug_eq(&run(&mut story));
}

#[test]
fn an_approved_request_becomes_active_warns_and_ends_by_itself() {
    let mut story = Story::new(World::usual(TWO_STEPS));
    story.does("0:00", &submit(submission()));
    for who in ["bob", "cam", "dee"] {
        story.does("1:00", &approve(who));
    }
    expect![[r#"
        [
            "2027-01-01T01:00:00Z Activate: Active",
            "    r1/4/activated -> user:ann",
            "2027-01-01T04:45:00Z Remind: Active",
            "    r1/5/ends-soon -> user:ann",
            "2027-01-01T05:00:00Z Expire: Ended",
            "    r1/6/ended -> user:ann",
        ]
    "#]]
    .assert_debug_eq(&run(&mut story));
}

#[test]
fn a_scheduled_start_is_looked_at_again_when_it_comes() {
    let scheduled = || {
        let mut story = Story::new(World::usual(TWO_STEPS));
        let starts_at = Some(clock("2 9:00"));
        story.does(
            "0:00",
            &submit(Submission {
                starts_at,
                ..submission()
            }),
        );
        for who in ["bob", "cam", "dee"] {
            story.does("1:00", &approve(who));
        }
        story
    };
    let mut story = scheduled();
    let activate = Event::Activate { by: remit() };
    assert_eq!(
        due(story.request(), clock("1:00")).unwrap(),
        Due {
            at: clock("2 9:00"),
            event: activate.clone()
        }
    );
    assert_eq!(
        story.refuses("2 8:59", &activate),
        Refusal::NotYet {
            at: clock("2 9:00")
        }
    );
    assert_eq!(story.does("2 9:00", &activate), "Active");
    assert_eq!(
        story.request().state().grant().unwrap().until,
        clock("2 13:00")
    );
    // Who left in between gets nothing.
    let mut story = scheduled();
    story.world.locked.insert(person("ann"));
    assert_eq!(story.does("2 9:00", &activate), "ActivationFailed");
    // A window after the start, and not after the approval.
    let mut story = scheduled();
    assert!(matches!(
        story.refuses("2 11:00", &activate),
        Refusal::TooLate { .. }
    ));
    assert_eq!(story.does("2 11:00", &Event::Expire), "Expired");
    // Approved after its start: as soon as can be.
    let mut story = Story::new(World::usual(TWO_STEPS));
    story.does(
        "0:00",
        &submit(Submission {
            starts_at: Some(clock("0:30")),
            ..submission()
        }),
    );
    for who in ["bob", "cam", "dee"] {
        story.does("1:00", &approve(who));
    }
    assert_eq!(
        due(story.request(), clock("1:00")).unwrap().at,
        clock("1:00")
    );
}

#[test]
fn a_holder_activates_within_the_window() {
    let approved = || {
        let mut story = Story::new(World::usual(BY_HOLDER));
        story.does("0:00", &submit(submission()));
        assert_eq!(story.does("1:00", &approve("cam")), "Approved");
        story
    };
    let mut story = approved();
    assert_eq!(
        story.refuses("1:00", &Event::Activate { by: remit() }),
        Refusal::WaitsForHolder
    );
    assert_eq!(
        story.refuses("1:00", &Event::Activate { by: by("cam") }),
        Refusal::NotParty
    );
    assert_eq!(
        story.does("2:59", &Event::Activate { by: by("ann") }),
        "Active"
    );
    assert_eq!(
        story.request().state().grant().unwrap().since,
        clock("2:59")
    );
    let mut story = approved();
    expect![[r#"
        [
            "2027-01-01T03:00:00Z Expire: Expired",
            "    r1/2/expired -> user:ann",
        ]
    "#]]
    .assert_debug_eq(&run(&mut story));
    assert!(matches!(
        approved().refuses("3:00", &Event::Activate { by: by("ann") }),
        Refusal::TooLate { .. }
    ));
    // By the clock it is by nobody else.
    let mut story = Story::new(World::usual(TWO_STEPS));
    story.does("0:00", &submit(submission()));
    for who in ["bob", "cam", "dee"] {
        story.does("1:00", &approve(who));
    }
    assert_eq!(
        story.refuses("1:00", &Event::Activate { by: by("ann") }),
        Refusal::ActivatesItself
    );
}

#[test]
fn a_clock_that_runs_backwards_takes_nothing_back() {
    let mut story = Story::active();
    story.does(
        "2:00",
        &Event::Suspend {
            by: remit(),
            reason: String::new(),
        },
    );
    story.does("1:30", &Event::Resume { by: remit() });
    assert_eq!(story.request().changed_at(), clock("2:00"));
}

#[test]
fn past_its_limit_a_request_takes_nothing_but_that_it_is_over() {
    let mut story = Story::new(World::usual(TWO_STEPS));
    story.does("0:00", &submit(submission()));
    assert_eq!(
        story.refuses("23:59", &Event::Expire),
        Refusal::NotYet {
            at: clock("2 0:00")
        }
    );
    assert_eq!(
        story.refuses("2 0:00", &approve("bob")),
        Refusal::TooLate {
            limit: clock("2 0:00")
        }
    );
    assert_eq!(
        story.refuses("2 0:00", &Event::Remind),
        Refusal::TooLate {
            limit: clock("2 0:00")
        }
    );
    assert_eq!(
        due(story.request(), clock("2 0:00")).unwrap().event,
        Event::Expire
    );
    assert_eq!(story.does("2 0:00", &Event::Expire), "Expired");
    assert_eq!(due(story.request(), clock("2 0:00")), None);
}
