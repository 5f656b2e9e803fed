//! What access requests promise, one promise a test.

use expect_test::expect;
use governance::{
    Action, Answer, Change, Effect, Event, Narrowing, OwnRole, ReasonEvent, Refusal, State,
    Submission, allowed_actions, preview,
};

use crate::world::{
    BY_HOLDER, SELF_SERVICE, Story, TWO_STEPS, World, access, approve, by, clock, entitlement,
    extend, person, remit, span, submission, submit,
};

#[test]
fn a_request_is_approved_step_by_step_and_becomes_active() {
    let mut story = Story::new(World::usual(TWO_STEPS));
    assert_eq!(story.does("0:00", &submit(submission())), "Pending");
    expect![[r#"
        [
            "r1/0/asked -> team:payments#lead user:zoe",
        ]
    "#]]
    .assert_debug_eq(&story.told());
    assert_eq!(story.refuses("0:30", &approve("cam")), Refusal::NotApprover);
    assert_eq!(story.does("1:00", &approve("bob")), "Pending");
    expect![[r#"
        [
            "r1/1/asked -> database:prod-1#approver user:zoe",
        ]
    "#]]
    .assert_debug_eq(&story.told());
    assert_eq!(story.does("1:10", &approve("cam")), "Pending");
    assert_eq!(story.told(), [""; 0]);
    assert_eq!(story.does("1:20", &approve("dee")), "Approved");
    // Nothing is given yet.
    assert!(
        !story
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Reason(_)))
    );
    assert_eq!(
        story.does("1:30", &Event::Activate { by: remit() }),
        "Active"
    );
    let State::Active(grant) = story.request().state() else {
        panic!("it is active");
    };
    // The clock begins at the activation.
    assert_eq!((grant.since, grant.until), (clock("1:30"), clock("5:30")));
    let reasons = story.effects.iter().filter_map(|effect| match effect {
        Effect::Reason(change) => Some((change.relationship.to_string(), change.event.clone())),
        Effect::Notice(_) | Effect::ReviewDue { .. } => None,
    });
    let begin = ReasonEvent::Begin {
        until: clock("5:30"),
        is_break_glass: false,
    };
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [("database:prod-1#admin@user:ann".to_owned(), begin)]
    );
}

#[test]
fn nobody_decides_for_themselves() {
    let mut world = World::usual(TWO_STEPS);
    for who in ["ann", "fin", "eve"] {
        world.put(who, "team:payments#lead", Answer::Yes);
    }
    world.put("eve", "group:ops#member", Answer::Yes);
    let mut story = Story::new(world);
    // For a group: who asked, who is in it, and who acts for it.
    story.does(
        "0:00",
        &submit(Submission {
            beneficiary: "group:ops#member".parse().unwrap(),
            ..submission()
        }),
    );
    story.world.delegates.insert(person("fin"));
    for (who, role) in [
        ("ann", OwnRole::Requester),
        ("eve", OwnRole::Beneficiary),
        ("fin", OwnRole::DelegateOfBeneficiary),
    ] {
        assert_eq!(
            story.refuses("1:00", &approve(who)),
            Refusal::OwnRequest(role)
        );
        let deny = Event::Deny {
            by: person(who),
            reason: String::new(),
        };
        assert_eq!(story.refuses("1:00", &deny), Refusal::OwnRequest(role));
    }
    // Whoever came into the group by a broken glass is in it, too.
    story
        .world
        .put("bob", "group:ops#member", Answer::ByBreakGlass);
    assert_eq!(
        story.refuses("1:00", &approve("bob")),
        Refusal::OwnRequest(OwnRole::Beneficiary)
    );
    story.world.put("bob", "group:ops#member", Answer::No);
    story.does("1:00", &approve("bob"));
}

#[test]
fn one_person_counts_once_over_all_steps() {
    let mut story = Story::new(World::usual(TWO_STEPS));
    story.does("0:00", &submit(submission()));
    story.does("1:00", &approve("zoe"));
    assert_eq!(
        story.refuses("1:00", &approve("zoe")),
        Refusal::AlreadyApproved
    );
    story.does("1:00", &approve("cam"));
    assert_eq!(
        story.refuses("1:00", &approve("cam")),
        Refusal::AlreadyApproved
    );
    assert_eq!(story.does("1:00", &approve("dee")), "Approved");
}

#[test]
fn an_approver_who_was_removed_no_longer_counts_and_does_not_come_back_by_themselves() {
    let mut story = Story::new(World::usual(TWO_STEPS));
    story.does("0:00", &submit(submission()));
    story.does("1:00", &approve("bob"));
    story.does("1:00", &approve("cam"));
    story
        .world
        .put("cam", "database:prod-1#approver", Answer::No);
    assert_eq!(story.does("1:00", &approve("dee")), "Pending");
    let fallen: Vec<bool> = story
        .request()
        .approval()
        .decisions
        .iter()
        .map(|it| it.fallen_at.is_some())
        .collect();
    assert_eq!(fallen, [false, true, false]);
    // Back among the approvers: what they said before does not come back, but they can say it again.
    story
        .world
        .put("cam", "database:prod-1#approver", Answer::Yes);
    assert_eq!(story.does("2:00", &approve("cam")), "Approved");
    // Between approval and activation it counts as well.
    story
        .world
        .put("dee", "database:prod-1#approver", Answer::No);
    assert_eq!(
        story.does("2:00", &Event::Activate { by: remit() }),
        "ActivationFailed"
    );
    expect!["an approval of step 2 no longer counts: who gave it may not approve any more"]
        .assert_eq(&story.request().history().last().unwrap().note);
    expect![[r#"
        [
            "r1/5/activation-failed -> database:prod-1#owner user:ann",
        ]
    "#]]
    .assert_debug_eq(&story.told());
}

#[test]
fn activation_looks_at_everything_again() {
    let approved = || {
        let mut story = Story::new(World::usual(TWO_STEPS));
        story.does("0:00", &submit(submission()));
        for who in ["bob", "cam", "dee"] {
            story.does("1:00", &approve(who));
        }
        story
    };
    let activate = Event::Activate { by: remit() };
    let mut notes = Vec::new();
    let changes: [fn(&mut World); 6] = [
        |world| {
            for set in ["team:payments#member", "database:prod-1#oncall"] {
                world.put("ann", set, Answer::No);
            }
        },
        |world| world.put("bob", "team:payments#lead", Answer::ByBreakGlass),
        |world| world.locked.extend([person("ann")]),
        |world| world.locked.extend([person("dee")]),
        |world| world.delegates.extend([person("cam")]),
        |world| world.entitlement = None,
    ];
    for change in changes {
        let mut story = approved();
        change(&mut story.world);
        assert_eq!(story.does("1:00", &activate), "ActivationFailed");
        assert!(story.request().state().grant().is_none());
        notes.push(story.request().history().last().unwrap().note.clone());
    }
    expect![[r#"
        [
            "who asks is not eligible",
            "an approval of step 1 no longer counts: who gave it may not approve any more",
            "who asked for the access is locked",
            "an approval of step 2 no longer counts: who gave it may not approve any more",
            "an approval of step 2 no longer counts: who gave it may not approve any more",
            "the entitlement is no longer there",
        ]
    "#]]
    .assert_debug_eq(&notes);
    // What is not known is no reason to fail, and none to go on.
    let mut story = approved();
    story
        .world
        .answers
        .remove(&crate::world::question("bob", "team:payments#lead"));
    assert!(matches!(
        story.refuses("1:00", &activate),
        Refusal::Unanswered(_)
    ));
}

#[test]
fn a_changed_policy_stops_a_request_until_an_owner_has_it_begin_anew() {
    let mut story = Story::new(World::usual(TWO_STEPS));
    story.does("0:00", &submit(submission()));
    story.does("1:00", &approve("bob"));
    let old = story.request().version();
    story.world.entitlement = Some(entitlement(&TWO_STEPS.replace("need: 2", "need: 1")));
    let Refusal::PolicyChanged { pinned, .. } = story.refuses("1:00", &approve("cam")) else {
        panic!("the policy changed");
    };
    assert_eq!(*pinned, old);
    let restart = |who| Event::Restart { by: person(who) };
    assert_eq!(story.refuses("1:00", &restart("ann")), Refusal::NotOwner);
    assert_eq!(story.does("2:00", &restart("eve")), "Pending");
    assert_ne!(story.request().version(), old);
    assert_eq!(story.request().approval().decisions, []);
    assert_eq!(story.request().approval().until, clock("2 2:00"));
    story.does("3:00", &approve("bob"));
    assert_eq!(story.does("3:00", &approve("cam")), "Approved");
    // An entitlement that no longer gives as much.
    story.world.entitlement = Some(entitlement(
        &TWO_STEPS.replace("{default: 4h, max: 12h}", "{max: 2h}"),
    ));
    assert!(matches!(
        story.refuses("3:00", &restart("eve")),
        Refusal::TooLong { .. }
    ));
}

fn narrowed(who: &str, parts: Option<&[&str]>, length: Option<&str>) -> Event {
    Event::Approve {
        by: person(who),
        narrow: Narrowing {
            access: parts.map(access),
            length: length.map(span),
        },
        note: "not the second".to_owned(),
    }
}

#[test]
fn an_approver_leaves_less_and_never_more_and_both_stay_on_record() {
    let mut story = Story::new(World::usual(TWO_STEPS));
    story.does(
        "0:00",
        &submit(Submission {
            access: access(&["database:prod-1#admin", "database:prod-2#admin"]),
            ..submission()
        }),
    );
    for (parts, length) in [
        (Some(&["database:prod-3#admin"][..]), None),
        (Some(&[][..]), None),
        (None, Some("5h")),
    ] {
        assert_eq!(
            story.refuses("1:00", &narrowed("bob", parts, length)),
            Refusal::Widens
        );
    }
    story.does("1:00", &narrowed("bob", None, Some("2h")));
    expect![[r#"
        [
            "r1/1/narrowed -> user:ann",
            "r1/1/asked -> database:prod-1#approver database:prod-2#approver user:zoe",
        ]
    "#]]
    .assert_debug_eq(&story.told());
    assert_eq!(
        story.refuses("1:00", &narrowed("cam", None, Some("4h"))),
        Refusal::Widens
    );
    // Who approves for one database can leave the other out.
    story
        .world
        .put("cam", "database:prod-2#approver", Answer::No);
    let offered = allowed_actions(
        story.request(),
        &person("cam"),
        clock("1:00"),
        &story.world.facts(),
    );
    let offer = Action::Approve {
        access: access(&["database:prod-1#admin"]),
        length: span("2h"),
    };
    assert_eq!(offered, [offer, Action::Deny]);
    assert!(matches!(
        story.refuses("1:00", &approve("cam")),
        Refusal::NotApproverOf { .. }
    ));
    story.does(
        "1:00",
        &narrowed("cam", Some(&["database:prod-1#admin"]), None),
    );
    assert_eq!(
        story.refuses(
            "1:00",
            &narrowed("dee", Some(&["database:prod-2#admin"]), None)
        ),
        Refusal::Widens
    );
    story.does("1:00", &approve("dee"));
    story.does("1:00", &Event::Activate { by: remit() });
    let request = story.request();
    assert_eq!(
        (request.asked().access.len(), request.asked().length),
        (2, span("4h"))
    );
    assert_eq!(
        (request.granted().access.len(), request.granted().length),
        (1, span("2h"))
    );
    assert_eq!(request.state().grant().unwrap().until, clock("3:00"));
}

#[test]
fn extensions_are_few_and_then_a_decision_and_never_beyond_the_maximum() {
    let mut story = Story::active();
    assert_eq!(
        story.refuses("1:00", &extend("bob", "1h")),
        Refusal::NotParty
    );
    story.does("2:00", &extend("ann", "2h"));
    assert_eq!(
        story.request().state().grant().unwrap().until,
        clock("7:00")
    );
    // Longer than an automatic one may be: that is asked.
    story.does("2:00", &extend("ann", "3h"));
    assert_eq!(
        story.request().state().grant().unwrap().until,
        clock("7:00")
    );
    expect![[r#"
        [
            "r1/6/extension-asked -> team:payments#lead user:zoe",
        ]
    "#]]
    .assert_debug_eq(&story.told());
    assert_eq!(
        story.refuses("2:00", &extend("ann", "1h")),
        Refusal::ExtensionWaits
    );
    assert_eq!(
        story.refuses("2:00", &approve("ann")),
        Refusal::OwnRequest(OwnRole::Requester)
    );
    for who in ["bob", "cam", "dee"] {
        story.does("3:00", &approve(who));
    }
    assert_eq!(
        story.request().state().grant().unwrap().until,
        clock("10:00")
    );
    // Three hours are left of twelve.
    let told = story.refuses("4:00", &extend("ann", "4h")).to_string();
    expect!["the grant can be at most 3h longer; its maximum is 12h"].assert_eq(&told);
    story.does("4:00", &extend("ann", "2h"));
    story.does("4:00", &extend("ann", "1h"));
    assert_eq!(
        story.request().state().grant().unwrap().until,
        clock("12:00"),
        "the third waits for a decision"
    );
    for who in ["bob", "cam", "dee"] {
        story.does("5:00", &approve(who));
    }
    assert_eq!(
        story.request().state().grant().unwrap().until,
        clock("13:00")
    );
    assert!(matches!(
        story.refuses("6:00", &extend("ann", "1s")),
        Refusal::Maximum { .. }
    ));
}

#[test]
fn who_was_given_less_time_or_a_no_asks_for_each_extension() {
    for is_denied in [false, true] {
        let mut story = Story::new(World::usual(TWO_STEPS));
        story.does("0:00", &submit(submission()));
        let narrow = Narrowing {
            access: None,
            length: (!is_denied).then(|| span("3h")),
        };
        story.does(
            "1:00",
            &Event::Approve {
                by: person("bob"),
                narrow,
                note: String::new(),
            },
        );
        story.does("1:00", &approve("cam"));
        story.does("1:00", &approve("dee"));
        story.does("1:00", &Event::Activate { by: remit() });
        if is_denied {
            story.does("1:10", &extend("ann", "3h"));
            story.does(
                "1:20",
                &Event::Deny {
                    by: person("cam"),
                    reason: "no".to_owned(),
                },
            );
        }
        let until = story.request().state().grant().unwrap().until;
        story.does("1:30", &extend("ann", "1h"));
        let grant = story.request().state().grant().unwrap();
        assert_eq!((grant.until, grant.extension.is_some()), (until, true));
    }
}

#[test]
fn an_extension_that_is_narrowed_or_lapses() {
    let mut story = Story::active();
    story.does("2:00", &extend("ann", "3h"));
    let narrow = Narrowing {
        access: None,
        length: Some(span("1h")),
    };
    story.does(
        "2:00",
        &Event::Approve {
            by: person("bob"),
            narrow,
            note: String::new(),
        },
    );
    story.does("2:00", &approve("cam"));
    story.does("2:00", &approve("dee"));
    assert_eq!(
        story.request().state().grant().unwrap().until,
        clock("6:00")
    );
    story.does("2:00", &extend("ann", "3h"));
    assert!(matches!(
        story.refuses("6:00", &approve("bob")),
        Refusal::TooLate { .. }
    ));
    assert_eq!(story.does("6:00", &Event::Expire), "Ended");
}

/// Fin breaks the glass.
fn emergency() -> Submission {
    Submission {
        requester: person("fin"),
        beneficiary: person("fin").into(),
        break_glass: true,
        ..submission()
    }
}

#[test]
fn a_glass_is_broken_by_its_holders_for_themselves_at_once_with_a_reason() {
    let world = World::usual(TWO_STEPS);
    let refused = |submission: Submission| {
        world
            .step(None, &submit(submission), clock("0:00"))
            .unwrap_err()
    };
    let (requester, beneficiary) = (person("cam"), person("cam").into());
    assert_eq!(
        refused(Submission {
            requester,
            beneficiary,
            ..emergency()
        }),
        Refusal::NotEligible
    );
    let beneficiary = person("bob").into();
    assert_eq!(
        refused(Submission {
            beneficiary,
            ..emergency()
        }),
        Refusal::BreakGlassForOthers
    );
    let starts_at = Some(clock("1:00"));
    assert_eq!(
        refused(Submission {
            starts_at,
            ..emergency()
        }),
        Refusal::BreakGlassScheduled
    );
    let reason = " ".to_owned();
    assert_eq!(
        refused(Submission {
            reason,
            ..emergency()
        }),
        Refusal::ReasonMissing
    );
    let (length, max) = (span("61m"), span("1h"));
    let longer = Submission {
        length: Some(length),
        ..emergency()
    };
    assert_eq!(refused(longer), Refusal::TooLong { length, max });
    let none = World::usual(BY_HOLDER).step(None, &submit(emergency()), clock("0:00"));
    assert_eq!(none.unwrap_err(), Refusal::NoBreakGlass);
}

#[test]
fn a_broken_glass_gives_at_once_and_tells_everybody_who_was_not_asked() {
    let mut story = Story::new(World::usual(TWO_STEPS));
    assert_eq!(story.does("0:00", &submit(emergency())), "Active");
    let until = story.request().state().grant().unwrap().until;
    assert_eq!(until, clock("1:00"));
    expect![[r#"
        [
            "r1/0/glass-broken -> database:prod-1#approver database:prod-1#owner team:payments#lead user:zoe",
        ]
    "#]].assert_debug_eq(&story.told());
    let Some(Effect::ReviewDue { by, reviewers, .. }) = story.effects.last() else {
        panic!("a review is due");
    };
    assert_eq!(*by, clock("4 0:00"));
    assert_eq!(
        reviewers.first().unwrap().to_string(),
        "database:prod-1#owner"
    );
    let longer = story.refuses("0:10", &extend("fin", "1m"));
    assert_eq!(longer, Refusal::BreakGlassExtended);
    let approved = story.refuses("0:10", &approve("bob"));
    assert_eq!(approved, Refusal::NothingToDecide);
    assert_eq!(
        story.does("0:20", &Event::Return { by: person("fin") }),
        "Returned"
    );
}

#[test]
fn what_a_broken_glass_gives_is_no_right_to_approve_or_own_or_ask() {
    let mut story = Story::new(World::usual(TWO_STEPS));
    story.does("0:00", &submit(submission()));
    for (who, set) in [
        ("fin", "team:payments#lead"),
        ("bob", "database:prod-1#owner"),
        ("zoe", "database:prod-1#oncall"),
    ] {
        story.world.put(who, set, Answer::ByBreakGlass);
    }
    assert_eq!(story.refuses("0:00", &approve("fin")), Refusal::NotApprover);
    let restart = Event::Restart { by: person("bob") };
    assert_eq!(story.refuses("0:00", &restart), Refusal::NotOwner);
    for break_glass in [false, true] {
        let (requester, beneficiary) = (person("zoe"), person("zoe").into());
        let asked = submit(Submission {
            requester,
            beneficiary,
            break_glass,
            ..submission()
        });
        let refused = story.world.step(None, &asked, clock("0:00"));
        assert_eq!(refused.unwrap_err(), Refusal::NotEligible);
    }
}

#[test]
fn what_is_suspended_gives_nothing_and_everything_is_looked_at_before_it_does_again() {
    let mut story = Story::active();
    let suspend = Event::Suspend {
        by: remit(),
        reason: "a device was lost".to_owned(),
    };
    assert_eq!(story.does("2:00", &suspend), "Suspended");
    let resume = |who| Event::Resume { by: who };
    assert_eq!(
        story.refuses("2:30", &resume(by("ann"))),
        Refusal::OwnRequest(OwnRole::Requester)
    );
    assert_eq!(story.refuses("2:30", &resume(by("bob"))), Refusal::NotOwner);
    story.world.locked.insert(person("ann"));
    assert!(matches!(
        story.refuses("2:30", &resume(by("eve"))),
        Refusal::Locked(_)
    ));
    story.world.locked.clear();
    assert_eq!(story.does("3:00", &resume(by("eve"))), "Active");
    // Its time went on.
    assert_eq!(
        story.request().state().grant().unwrap().until,
        clock("5:00")
    );
    story.does("3:00", &suspend);
    assert!(matches!(
        story.refuses("5:00", &resume(by("eve"))),
        Refusal::TooLate { .. }
    ));
    assert_eq!(story.does("5:00", &Event::Expire), "Ended");
}

#[test]
fn nobody_who_is_locked_does_anything() {
    let mut story = Story::active();
    story.world.locked.extend(["ann", "cam", "eve"].map(person));
    for event in [
        Event::Return { by: person("ann") },
        Event::Revoke {
            by: by("cam"),
            reason: String::new(),
        },
        Event::Suspend {
            by: by("eve"),
            reason: String::new(),
        },
    ] {
        assert!(matches!(story.refuses("2:00", &event), Refusal::Locked(_)));
    }
    let revoke = Event::Revoke {
        by: remit(),
        reason: "left".to_owned(),
    };
    assert_eq!(story.does("2:00", &revoke), "Revoked");
}

#[test]
fn self_service_is_approved_and_still_looked_at() {
    let mut world = World::usual(SELF_SERVICE);
    world.put("ann", "database:prod-1#oncall", Answer::Yes);
    let asked = Submission {
        access: access(&["database:prod-1#reader"]),
        ..submission()
    };
    let shown = preview(&asked, clock("0:00"), &world.facts()).unwrap();
    assert_eq!(
        format!("{:?} {}", shown.state, shown.terms.length),
        "Approved 8h"
    );
    let mut story = Story::new(world);
    assert_eq!(story.does("0:00", &submit(asked)), "Approved");
    story.world.put("ann", "database:prod-1#oncall", Answer::No);
    assert_eq!(
        story.does("0:00", &Event::Activate { by: remit() }),
        "ActivationFailed"
    );
}

#[test]
fn a_preview_tells_who_would_be_asked_or_all_that_is_wrong() {
    let world = World::usual(TWO_STEPS);
    let shown = preview(&submission(), clock("0:00"), &world.facts()).unwrap();
    expect![[r#"
        Preview {
            version: Version(
                [
                    148,
                    235,
                    187,
                    230,
                    99,
                    7,
                    228,
                    208,
                    79,
                    174,
                    106,
                    176,
                    64,
                    236,
                    232,
                    132,
                    72,
                    205,
                    203,
                    175,
                    200,
                    104,
                    140,
                    229,
                    188,
                    48,
                    68,
                    100,
                    118,
                    76,
                    182,
                    237,
                ],
            ),
            terms: Terms {
                access: {
                    Access {
                        resource: ObjectRef {
                            definition: "database",
                            id: "prod-1",
                        },
                        relation: "admin",
                    },
                },
                length: Span(
                    14400,
                ),
                starts_at: None,
            },
            state: Pending,
            until: Timestamp(
                1798848000000000,
            ),
            steps: [
                PreviewStep {
                    name: EntitlementName(
                        "lead",
                    ),
                    need: 1,
                    approvers: {
                        SubjectRef {
                            definition: "team",
                            id: Object(
                                "payments",
                            ),
                            relation: Some(
                                "lead",
                            ),
                        },
                        SubjectRef {
                            definition: "user",
                            id: Object(
                                "zoe",
                            ),
                            relation: None,
                        },
                    },
                },
                PreviewStep {
                    name: EntitlementName(
                        "owners",
                    ),
                    need: 2,
                    approvers: {
                        SubjectRef {
                            definition: "database",
                            id: Object(
                                "prod-1",
                            ),
                            relation: Some(
                                "approver",
                            ),
                        },
                        SubjectRef {
                            definition: "user",
                            id: Object(
                                "zoe",
                            ),
                            relation: None,
                        },
                    },
                },
            ],
        }
    "#]]
    .assert_debug_eq(&shown);
    let wrong = Submission {
        requester: person("cam"),
        access: access(&["database:test-1#admin", "database:prod-1#owner"]),
        length: Some(span("13h")),
        starts_at: Some(clock("9 0:00")),
        reason: String::new(),
        ticket: Some("ops".to_owned()),
        ..submission()
    };
    let mut world = World::usual(TWO_STEPS);
    world.answers.insert(
        crate::world::question("cam", "database:test-1#oncall"),
        Answer::No,
    );
    let refusals = preview(&wrong, clock("0:00"), &world.facts()).unwrap_err();
    let told: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    expect![[r#"
        [
            "who asks is not eligible",
            "`database:prod-1#owner`: the entitlement does not give this relation",
            "`database:test-1#admin`: the entitlement is not for this resource",
            "access for 13h is asked for, at most 12h is given",
            "the start lies more than 7d ahead",
            "a reason is needed",
            "the ticket does not match `OPS-[0-9]+`, or is longer than 256 bytes",
        ]
    "#]]
    .assert_debug_eq(&told);
    assert_eq!(
        world.step(None, &submit(wrong), clock("0:00")).unwrap_err(),
        refusals[0]
    );
}

#[test]
fn a_commit_that_could_not_be_made_is_a_failed_activation() {
    let mut story = Story::new(World::usual(TWO_STEPS));
    story.does("0:00", &submit(submission()));
    for who in ["bob", "cam", "dee"] {
        story.does("1:00", &approve(who));
    }
    let fail = Event::Fail {
        reason: "relation `admin` takes no `user with expiration`".to_owned(),
    };
    assert_eq!(story.does("1:00", &fail), "ActivationFailed");
    expect![[r#"
        [
            "r1/4/activation-failed -> database:prod-1#owner user:ann",
        ]
    "#]]
    .assert_debug_eq(&story.told());
}

#[test]
fn a_change_to_a_relationship_is_a_touch_or_a_delete() {
    // The whole way from a request to the graph; `grants.rs` has the rules.
    let mut story = Story::active();
    let held = |story: &Story, before: &governance::Holding| {
        let Some(Effect::Reason(change)) = story.effects.first() else {
            panic!("the first effect is a reason");
        };
        let present = match before.held() {
            governance::Held::Ours { until } => Some(governance::Present {
                until: Some(until),
                conditional: false,
            }),
            governance::Held::Absent | governance::Held::ByOthers { .. } => None,
        };
        before
            .change(change, present, story.request().changed_at())
            .unwrap()
    };
    let key = access(&["database:prod-1#admin"])
        .pop_first()
        .unwrap()
        .of(&person("ann").into());
    let begun = held(&story, &governance::Holding::new(key));
    assert_eq!(
        begun.change,
        Some(Change::Touch {
            until: clock("5:00")
        })
    );
    story.does("2:00", &extend("ann", "1h"));
    let longer = held(&story, &begun.holding);
    assert_eq!(
        longer.change,
        Some(Change::Touch {
            until: clock("6:00")
        })
    );
    story.does("3:00", &Event::Return { by: person("ann") });
    let over = held(&story, &longer.holding);
    assert_eq!(
        (over.change, over.holding.is_over()),
        (Some(Change::Delete), true)
    );
}
