//! The table, whole: in every state every event, taken or not as the table says.

use std::collections::BTreeSet;

use governance::{AccessRequest, Event, EventKind, StateKind, Submission, TABLE};
use model::Timestamp;

use crate::world::{
    Story, TWO_STEPS, World, approve, clock, extend, person, remit, span, submission, submit,
};

/// Requests in each state, made by what leads there; with the world and an instant at which what can be taken would be.
fn requests(state: StateKind) -> Vec<(AccessRequest, World)> {
    let pending = || {
        let mut story = Story::new(World::usual(TWO_STEPS));
        story.does("0:00", &submit(submission()));
        story
    };
    let approved = || {
        let mut story = pending();
        for who in ["bob", "cam", "dee"] {
            story.does("1:00", &approve(who));
        }
        story
    };
    let after = |mut story: Story, time: &str, event: Event| {
        story.does(time, &event);
        story
    };
    let ann = person("ann");
    let suspend = Event::Suspend {
        by: remit(),
        reason: String::new(),
    };
    let revoke = Event::Revoke {
        by: remit(),
        reason: String::new(),
    };
    let fail = Event::Fail {
        reason: String::new(),
    };
    let no = Event::Deny {
        by: person("cam"),
        reason: String::new(),
    };
    let stories = match state {
        StateKind::Pending => vec![pending()],
        StateKind::Approved => vec![approved()],
        StateKind::Active => vec![
            Story::active(),
            after(Story::active(), "1:00", extend("ann", "3h")),
        ],
        StateKind::Suspended => vec![after(Story::active(), "1:00", suspend)],
        StateKind::Denied => vec![after(pending(), "1:00", no)],
        StateKind::Expired => vec![
            after(pending(), "2 0:00", Event::Expire),
            after(approved(), "2 0:00", Event::Expire),
        ],
        StateKind::Cancelled => vec![after(pending(), "1:00", Event::Cancel { by: ann.clone() })],
        StateKind::Returned => vec![after(
            Story::active(),
            "1:00",
            Event::Return { by: ann.clone() },
        )],
        StateKind::Revoked => vec![
            after(Story::active(), "1:00", revoke.clone()),
            after(approved(), "1:00", revoke),
        ],
        StateKind::ActivationFailed => vec![after(approved(), "1:00", fail)],
        StateKind::Ended => vec![after(Story::active(), "5:00", Event::Expire)],
    };
    let each = stories.into_iter();
    each.map(|story| (story.request.unwrap(), story.world))
        .collect()
}

/// Events of a kind by everybody who could be the one to do it, at every instant at which that could be.
fn events(kind: EventKind) -> Vec<Event> {
    let people = ["ann", "bob", "cam", "dee", "eve", "zoe"];
    let actors = || {
        people
            .iter()
            .map(|who| crate::world::by(who))
            .chain([remit()])
    };
    let said = String::new;
    let persons = || people.iter().map(|who| person(who));
    match kind {
        EventKind::Submit => vec![submit(submission())],
        EventKind::Approve => people.iter().map(|who| approve(who)).collect(),
        EventKind::Deny => persons()
            .map(|by| Event::Deny { by, reason: said() })
            .collect(),
        EventKind::Cancel => persons().map(|by| Event::Cancel { by }).collect(),
        EventKind::Extend => people.iter().map(|who| extend(who, "1h")).collect(),
        EventKind::Return => persons().map(|by| Event::Return { by }).collect(),
        EventKind::Revoke => actors()
            .map(|by| Event::Revoke { by, reason: said() })
            .collect(),
        EventKind::Expire => vec![Event::Expire],
        EventKind::Activate => actors().map(|by| Event::Activate { by }).collect(),
        EventKind::Suspend => actors()
            .map(|by| Event::Suspend { by, reason: said() })
            .collect(),
        EventKind::Resume => actors().map(|by| Event::Resume { by }).collect(),
        EventKind::Fail => vec![Event::Fail { reason: said() }],
        EventKind::Restart => persons().map(|by| Event::Restart { by }).collect(),
        EventKind::Remind => vec![Event::Remind],
        EventKind::Escalate => vec![Event::Escalate],
    }
}

fn instants(request: &AccessRequest) -> Vec<Timestamp> {
    let texts = [
        "1:00", "1:30", "4:50", "5:00", "13:00", "19:00", "21:00", "2 0:00",
    ];
    let all = texts.iter().map(|text| clock(text));
    all.filter(|at| *at >= request.changed_at()).collect()
}

#[test]
fn every_event_in_every_state_is_taken_as_the_table_says() {
    for state in StateKind::ALL {
        for kind in EventKind::ALL {
            let mut reached = BTreeSet::new();
            for (request, mut world) in requests(state) {
                assert_eq!(request.state().kind(), state);
                // Once with everything as it was, and once with an approver gone.
                for is_approver_there in [true, false] {
                    if !is_approver_there {
                        world.put("cam", "database:prod-1#approver", governance::Answer::No);
                    }
                    for event in events(kind) {
                        for now in instants(&request) {
                            if let Ok((after, _)) = world.step(Some(&request), &event, now) {
                                reached.insert(after.state().kind());
                            }
                        }
                    }
                }
            }
            let row = TABLE
                .iter()
                .find(|row| row.from == Some(state) && row.event == kind);
            let mut said: BTreeSet<StateKind> = row
                .map(|row| row.to.iter().copied().collect())
                .unwrap_or_default();
            // What takes more than one event from here, or another entitlement, is shown below and in `rules`.
            let later = match (state, kind) {
                (StateKind::Pending, EventKind::Approve)
                | (StateKind::Pending | StateKind::Approved, EventKind::Restart) => {
                    Some(StateKind::Approved)
                }
                (_, _) => None,
            };
            if let Some(later) = later {
                said.remove(&later);
            }
            assert_eq!(reached, said, "{state:?} {kind:?}");
        }
    }
}

#[test]
fn what_takes_another_entitlement_or_more_events_is_reached_as_well() {
    let free = {
        let (head, rest) = TWO_STEPS.split_once("    steps:").unwrap();
        let (_, glass) = rest.split_once("    break_glass").unwrap();
        format!("{head}    steps: []\n    break_glass{glass}")
    };
    for state in [StateKind::Pending, StateKind::Approved] {
        for (request, mut world) in requests(state) {
            world.entitlement = Some(crate::world::entitlement(&free));
            let restart = Event::Restart { by: person("eve") };
            let (after, _) = world.step(Some(&request), &restart, clock("1:00")).unwrap();
            assert_eq!(after.state().kind(), StateKind::Approved);
        }
    }
    let (request, world) = requests(StateKind::Approved).pop().unwrap();
    assert_eq!(request.state().kind(), StateKind::Approved);
    // From nothing: by approval, by nobody's, and in an emergency.
    let emergency = Submission {
        requester: person("fin"),
        beneficiary: person("fin").into(),
        length: Some(span("1h")),
        break_glass: true,
        ..submission()
    };
    let mut of_nobody = World::usual(TWO_STEPS);
    of_nobody.entitlement = Some(crate::world::entitlement(&free));
    let reached = [
        world.step(None, &submit(submission()), clock("0:00")),
        of_nobody.step(None, &submit(submission()), clock("0:00")),
        world.step(None, &submit(emergency), clock("0:00")),
    ];
    let reached: Vec<StateKind> = reached.map(|step| step.unwrap().0.state().kind()).into();
    let row = TABLE.iter().find(|row| row.from.is_none()).unwrap();
    assert_eq!(row.to, reached);
    for kind in EventKind::ALL
        .into_iter()
        .filter(|kind| *kind != EventKind::Submit)
    {
        for event in events(kind) {
            assert_eq!(
                world.step(None, &event, clock("0:00")).unwrap_err(),
                governance::Refusal::Absent
            );
        }
    }
}

#[test]
fn the_table_has_each_row_once_and_none_from_a_state_that_ends() {
    let rows: BTreeSet<_> = TABLE.iter().map(|row| (row.from, row.event)).collect();
    assert_eq!(rows.len(), TABLE.len());
    let ends = |state: StateKind| match state {
        StateKind::Pending | StateKind::Approved | StateKind::Active | StateKind::Suspended => {
            false
        }
        StateKind::Denied
        | StateKind::Expired
        | StateKind::Cancelled
        | StateKind::Returned
        | StateKind::Revoked
        | StateKind::ActivationFailed
        | StateKind::Ended => true,
    };
    assert!(!TABLE.iter().any(|row| row.from.is_some_and(ends)));
    let reached: BTreeSet<StateKind> = TABLE
        .iter()
        .flat_map(|row| row.to.iter().copied())
        .collect();
    assert_eq!(reached, BTreeSet::from(StateKind::ALL));
}
