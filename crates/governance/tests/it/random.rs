//! Random sequences of events at random times, in a world that changes: what is promised holds for each, by its name.
//!
//! What is promised is said here once more, in the plainest words, over what was put in and what came out.

use std::collections::{BTreeMap, BTreeSet};

use governance::{
    Access, AccessRequest, Action, Actor, Answer, Effect, Event, EventKind, Facts, Holding, Kind,
    Narrowing, NoticeKind, Present, Refusal, Round, Span, State, StateKind, Submission, TABLE,
    allowed_actions, due, questions, questions_of, step,
};
use model::{ObjectRef, Timestamp};
use proptest::prelude::*;

use crate::world::{
    BY_HOLDER, PEOPLE, SELF_SERVICE, SETS, TWO_STEPS, World, access, approve, clock, entitlement,
    person, submission, submit,
};

const DATABASES: [&str; 2] = ["database:prod-1", "database:prod-2"];

/// What happened once: what was put in, and what came out.
struct Taken {
    before: Option<AccessRequest>,
    event: Event,
    now: Timestamp,
    world: World,
    result: Result<(AccessRequest, Vec<Effect>), Refusal>,
}

/// A source of choices.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

fn changed(text: &str) -> String {
    text.replace("duration: {", "description: changed\n    duration: {")
}

/// A world in which most is well.
fn world(text: &str, dice: &mut Dice) -> World {
    let mut world = World::new(text);
    for who in PEOPLE {
        for set in SETS {
            // Few are in the group for which some ask.
            let yes = if set == "group:ops#member" { 10 } else { 75 };
            let answer = match dice.below(100) {
                roll if roll < yes => Answer::Yes,
                roll if roll < yes + 6 => Answer::ByBreakGlass,
                _ => Answer::No,
            };
            world.put(who, set, answer);
        }
    }
    world
}

/// A little of it changes.
fn stir(world: &mut World, text: &str, dice: &mut Dice) {
    if dice.percent(15) {
        let answer = dice.pick(&[Answer::No, Answer::Yes, Answer::ByBreakGlass]);
        world.put(dice.pick(&PEOPLE), dice.pick(&SETS), answer);
    }
    for (set, percent) in [(&mut world.locked, 4), (&mut world.delegates, 4)] {
        if dice.percent(percent) {
            set.insert(person(dice.pick(&PEOPLE)));
        } else if dice.percent(60) {
            set.clear();
        }
    }
    if dice.percent(6) {
        let other = dice.pick(&[Some(changed(text)), None, Some(text.to_owned())]);
        world.entitlement = other.map(|text| entitlement(&text));
    } else if dice.percent(40) {
        world.entitlement = Some(entitlement(text));
    }
}

fn asked(text: &str, dice: &mut Dice) -> Submission {
    let relations: &[&str] = if text == SELF_SERVICE {
        &["reader"]
    } else {
        &["admin"]
    };
    let mut parts = vec![format!(
        "{}#{}",
        dice.pick(&DATABASES),
        dice.pick(relations)
    )];
    if dice.percent(40) {
        parts = DATABASES
            .iter()
            .map(|database| format!("{database}#{}", relations[0]))
            .collect();
    }
    let who = dice.pick(&PEOPLE);
    let mut beneficiary = format!("user:{who}");
    if text != SELF_SERVICE && dice.percent(25) {
        let other = format!("user:{}", dice.pick(&PEOPLE));
        beneficiary = dice.pick(&["group:ops#member".to_owned(), other]);
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let break_glass = dice.percent(20);
    Submission {
        requester: person(who),
        beneficiary: beneficiary.parse().unwrap(),
        access: access(&parts),
        length: dice
            .percent(60)
            .then(|| Span::from_seconds(60 + dice.next() % 40_000).unwrap()),
        starts_at: (text != SELF_SERVICE && dice.percent(20))
            .then(|| later(clock("0:00"), dice, 1_000)),
        break_glass,
        ..submission()
    }
}

fn later(now: Timestamp, dice: &mut Dice, minutes_max: u64) -> Timestamp {
    let seconds = dice.next() % (minutes_max * 60);
    now.saturating_add_micros(seconds as i64 * 1_000_000)
}

fn narrowing(request: &AccessRequest, dice: &mut Dice) -> Narrowing {
    let all: Vec<Access> = request.asked().access.iter().cloned().collect();
    Narrowing {
        access: dice
            .percent(25)
            .then(|| all.iter().filter(|_| dice.percent(60)).cloned().collect()),
        length: dice
            .percent(25)
            .then(|| Span::from_seconds(1 + dice.next() % 20_000).unwrap()),
    }
}

fn event(request: &AccessRequest, now: Timestamp, dice: &mut Dice) -> Event {
    let by = person(dice.pick(&PEOPLE));
    let actor = dice.pick(&[Actor::Remit, Actor::Person(by.clone())]);
    let said = || "because".to_owned();
    let due = due(request, now).map(|due| due.event);
    let party = dice.pick(&[request.requester().clone(), by.clone()]);
    match dice.below(100) {
        0..30 => Event::Approve {
            narrow: narrowing(request, dice),
            by,
            note: said(),
        },
        30..33 => Event::Deny { by, reason: said() },
        33..35 => Event::Cancel { by: party },
        35..48 => Event::Extend {
            by: party,
            length: Span::from_seconds(1 + dice.next() % 12_000).unwrap(),
            reason: said(),
        },
        48..50 => Event::Return { by: party },
        50..52 => Event::Revoke {
            by: actor,
            reason: said(),
        },
        52..60 => Event::Activate {
            by: dice.pick(&[Actor::Remit, Actor::Person(party)]),
        },
        60..64 => Event::Suspend {
            by: actor,
            reason: said(),
        },
        64..70 => Event::Resume { by: actor },
        70..71 => Event::Fail { reason: said() },
        71..75 => Event::Restart { by },
        75..76 => Event::Expire,
        76..78 => Event::Remind,
        78..80 => Event::Escalate,
        80..81 => submit(submission()),
        _ => due.unwrap_or(Event::Remind),
    }
}

/// A random story, from a seed.
fn story(seed: u64) -> Vec<Taken> {
    let mut dice = Dice(seed);
    let text = dice.pick(&[TWO_STEPS, TWO_STEPS, BY_HOLDER, SELF_SERVICE]);
    let mut world = world(text, &mut dice);
    let mut now = clock("0:00");
    let mut request: Option<AccessRequest> = None;
    let mut taken = Vec::new();
    for _ in 0..60 {
        stir(&mut world, text, &mut dice);
        let event = match &request {
            None => submit(asked(text, &mut dice)),
            Some(request) => event(request, now, &mut dice),
        };
        if dice.percent(60) {
            let minutes = dice.pick(&[1, 5, 60, 600]);
            now = later(now, &mut dice, minutes);
        }
        let result = world.step(request.as_ref(), &event, now);
        if let Ok((after, _)) = &result {
            now = now.max(after.changed_at());
        }
        let before = request.clone();
        if let Ok((after, _)) = &result {
            request = Some(after.clone());
        }
        taken.push(Taken {
            before,
            event,
            now,
            world: world.clone(),
            result,
        });
    }
    taken
}

/// Calls `check` with every step that was taken.
fn each(seed: u64, mut check: impl FnMut(&Taken, &AccessRequest, &[Effect])) {
    for taken in story(seed) {
        if let Ok((after, effects)) = &taken.result {
            check(&taken, after, effects);
        }
    }
}

fn is_final(state: StateKind) -> bool {
    !matches!(
        state,
        StateKind::Pending | StateKind::Approved | StateKind::Active | StateKind::Suspended
    )
}

impl Taken {
    /// Whether somebody may approve a step of a request on all of its resources, plainly.
    fn may_approve(&self, request: &AccessRequest, who: &ObjectRef, step: usize) -> bool {
        let step = &request.entitlement().steps[step];
        let is_one = |resource: &ObjectRef| {
            step.approvers
                .iter()
                .any(|authority| self.world.is(who, &authority.on(resource)) == Answer::Yes)
        };
        !self.is_own(request, who)
            && !self.world.locked.contains(who)
            && request.granted().resources().into_iter().all(is_one)
    }

    fn is_own(&self, request: &AccessRequest, who: &ObjectRef) -> bool {
        request.requester() == who
            || self.world.delegates.contains(who)
            || self.world.is(who, request.beneficiary()) != Answer::No
    }

    fn is_eligible(&self, request: &AccessRequest) -> bool {
        let entitlement = request.entitlement();
        let who = match request.kind() {
            Kind::Ordinary => &entitlement.eligible,
            Kind::BreakGlass => &entitlement.break_glass.as_ref().unwrap().holders,
        };
        let is_one = |resource: &ObjectRef| {
            who.iter().any(|authority| {
                self.world.is(request.requester(), &authority.on(resource)) == Answer::Yes
            })
        };
        request.granted().resources().into_iter().all(is_one)
    }

    /// Everything that has to hold where access is given, in plain words.
    fn all_is_well(&self, request: &AccessRequest, round: &Round) -> bool {
        let beneficiary = request.beneficiary().to_string();
        let object: ObjectRef = beneficiary.split('#').next().unwrap().parse().unwrap();
        let is_free = |who: &ObjectRef| !self.world.locked.contains(who);
        let is_approved = |(ix, step): (usize, &governance::Step)| {
            let counts = |who: &&ObjectRef| self.may_approve(request, who, ix);
            approvers(round, ix).iter().filter(counts).count() >= usize::from(step.need)
        };
        self.world.entitlement.as_ref() == Some(request.entitlement())
            && is_free(request.requester())
            && is_free(&object)
            && self.is_eligible(request)
            && (request.kind() == Kind::BreakGlass
                || request
                    .entitlement()
                    .steps
                    .iter()
                    .enumerate()
                    .all(is_approved))
    }
}

/// Who approved a step, of those whose approval has not fallen.
fn approvers(round: &Round, step: usize) -> BTreeSet<ObjectRef> {
    let standing = round
        .decisions
        .iter()
        .filter(|decision| decision.fallen_at.is_none() && usize::from(decision.step) == step);
    standing.map(|decision| decision.by.clone()).collect()
}

fn begins(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Reason(change) if matches!(change.event, governance::ReasonEvent::Begin { .. })))
}

fn kind_before(taken: &Taken) -> Option<StateKind> {
    taken.before.as_ref().map(|before| before.state().kind())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_state_that_ends_is_final_and_every_step_is_in_the_table(seed: u64) {
        for taken in story(seed) {
            if kind_before(&taken).is_some_and(is_final) {
                prop_assert!(taken.result.is_err());
            }
            if let Ok((after, _)) = &taken.result {
                let row = TABLE.iter().find(|row| row.from == kind_before(&taken) && row.event == taken.event.kind());
                prop_assert!(row.unwrap().to.contains(&after.state().kind()));
            }
        }
    }

    #[test]
    fn no_approval_is_by_who_asked_or_gains_or_acts_for_them(seed: u64) {
        each(seed, |taken, after, _| {
            if let Event::Approve { by, .. } = &taken.event {
                assert!(!taken.is_own(after, by));
                assert!(!taken.world.locked.contains(by));
            }
        });
    }

    #[test]
    fn what_is_approved_has_enough_people_for_each_step_and_nobody_twice(seed: u64) {
        each(seed, |taken, after, _| {
            let was_approved = after.state().kind() == StateKind::Approved && taken.event.kind() == EventKind::Approve;
            if was_approved {
                let mut people = BTreeSet::new();
                for (ix, step) in after.entitlement().steps.iter().enumerate() {
                    let approvers = approvers(after.approval(), ix);
                    assert!(approvers.len() >= usize::from(step.need));
                    for who in approvers {
                        assert!(taken.may_approve(after, &who, ix), "each of them still may");
                        assert!(people.insert(who), "nobody counts twice");
                    }
                }
                assert!(taken.is_eligible(after));
            }
        });
    }

    #[test]
    fn nothing_is_given_before_everything_was_looked_at_again(seed: u64) {
        each(seed, |taken, after, effects| {
            if taken.event.kind() == EventKind::Activate || (after.kind() == Kind::BreakGlass && taken.before.is_none()) {
                let is_well = taken.all_is_well(after, after.approval());
                assert_eq!(begins(effects), is_well);
                assert_eq!(after.state().kind() == StateKind::Active, is_well);
            } else {
                assert!(!begins(effects));
            }
            if taken.event.kind() == EventKind::Resume {
                assert!(taken.all_is_well(after, after.approval()));
            }
            if let (Some(start), true) = (after.granted().starts_at, begins(effects)) {
                assert!(taken.now >= start);
            }
        });
    }

    #[test]
    fn what_is_granted_is_within_what_was_asked_and_only_gets_less(seed: u64) {
        each(seed, |taken, after, _| {
            let (asked, granted) = (after.asked(), after.granted());
            assert!(granted.access.is_subset(&asked.access) && !granted.access.is_empty());
            assert!(granted.length <= asked.length);
            if let Some(before) = &taken.before {
                assert_eq!(before.asked(), asked);
                if taken.event.kind() != EventKind::Restart {
                    assert!(granted.access.is_subset(&before.granted().access));
                    assert!(granted.length <= before.granted().length);
                }
                if taken.event.kind() != EventKind::Approve && taken.event.kind() != EventKind::Restart {
                    assert_eq!(before.granted(), granted);
                }
            }
        });
    }

    #[test]
    fn the_clock_begins_at_the_activation_and_the_total_is_never_above_the_maximum(seed: u64) {
        each(seed, |taken, after, effects| {
            let Some(grant) = after.state().grant() else { return };
            let max = match after.kind() {
                Kind::Ordinary => after.entitlement().duration_max,
                Kind::BreakGlass => after.entitlement().break_glass.as_ref().unwrap().duration_max,
            };
            assert!(grant.until <= max.after(grant.since));
            if begins(effects) {
                assert_eq!(grant.since, taken.now);
                assert_eq!(grant.until, after.granted().length.after(taken.now));
            } else {
                assert_eq!(grant.since, taken.before.as_ref().unwrap().state().grant().unwrap().since);
            }
        });
    }

    #[test]
    fn a_grant_gets_longer_by_a_decision_or_one_of_few_extensions_without(seed: u64) {
        each(seed, |taken, after, _| {
            let before = taken.before.as_ref().and_then(|before| before.state().grant());
            let (Some(before), Some(grant)) = (before, after.state().grant()) else { return };
            let limit = after.entitlement().extension.map_or(0, |extension| extension.automatic);
            assert!(grant.automatic <= limit);
            assert!(grant.until >= before.until);
            if grant.until == before.until {
                return;
            }
            assert_eq!(after.kind(), Kind::Ordinary);
            if grant.automatic > before.automatic {
                let Event::Extend { length, .. } = &taken.event else { panic!("an automatic extension is asked for") };
                assert!(*length <= after.entitlement().extension.unwrap().each);
                assert_eq!(grant.until, length.after(before.until));
                assert!(!before.by_decision);
                assert!(after.granted().length == after.asked().length, "nobody had said less");
                assert!(taken.all_is_well(after, after.approval()));
            } else if after.entitlement().steps.is_empty() {
                assert_eq!(taken.event.kind(), EventKind::Extend);
            } else {
                let Event::Approve { by, .. } = &taken.event else { panic!("a decision") };
                let wish = before.extension.as_ref().unwrap();
                assert!(taken.now < wish.round.until);
                let mut round = wish.round.clone();
                let last = u16::try_from(after.entitlement().steps.len() - 1).unwrap();
                round.decisions.push(governance::Decision {
                    by: by.clone(),
                    step: last,
                    at: taken.now,
                    narrowed: None,
                    note: String::new(),
                    fallen_at: None,
                });
                assert!(taken.all_is_well(after, &round), "as for a request");
                assert!(grant.until <= wish.length.after(before.until));
            }
        });
    }

    #[test]
    fn a_broken_glass_is_short_and_ones_own_and_told_to_all_who_were_not_asked(seed: u64) {
        each(seed, |taken, after, effects| {
            if after.kind() != Kind::BreakGlass {
                return;
            }
            assert!(taken.event.kind() != EventKind::Extend && taken.event.kind() != EventKind::Approve);
            assert_eq!(after.beneficiary().to_string(), after.requester().to_string());
            if taken.before.is_some() {
                return;
            }
            assert!(!after.reason().is_empty());
            let told: BTreeSet<_> = effects.iter().filter_map(|effect| match effect {
                Effect::Notice(notice) if notice.kind == NoticeKind::GlassBroken => Some(notice.to.clone()),
                Effect::Notice(_) | Effect::Reason(_) | Effect::ReviewDue { .. } => None,
            }).flatten().collect();
            for step in &after.entitlement().steps {
                for (approver, resource) in step.approvers.iter().flat_map(|it| after.granted().resources().into_iter().map(move |resource| (it, resource))) {
                    assert!(told.contains(&approver.on(resource)));
                }
            }
            let reviews = effects.iter().filter(|effect| matches!(effect, Effect::ReviewDue { .. }));
            assert_eq!(reviews.count(), 1);
        });
    }

    #[test]
    fn what_somebody_has_by_a_broken_glass_counts_as_if_they_had_it_not(seed: u64) {
        for taken in story(seed) {
            let mut plain = taken.world.clone();
            for (question, answer) in &mut plain.answers {
                // Who is in the group that gains is in it, however.
                if *answer == Answer::ByBreakGlass && question.set.to_string() != "group:ops#member" {
                    *answer = Answer::No;
                }
            }
            prop_assert_eq!(&plain.step(taken.before.as_ref(), &taken.event, taken.now), &taken.result);
        }
    }

    #[test]
    fn the_policy_is_pinned_until_an_owner_has_it_begin_anew(seed: u64) {
        each(seed, |taken, after, _| {
            let Some(before) = &taken.before else {
                assert_eq!(Some(after.entitlement()), taken.world.entitlement.as_ref());
                return;
            };
            if let Event::Restart { by } = &taken.event {
                assert_eq!(Some(after.entitlement()), taken.world.entitlement.as_ref());
                assert!(after.approval().decisions.is_empty(), "what was approved before is not approved by the new one");
                for resource in before.granted().resources() {
                    let owners = &before.entitlement().owners;
                    assert!(owners.iter().any(|owner| taken.world.is(by, &owner.on(resource)) == Answer::Yes));
                }
            } else {
                assert_eq!(before.entitlement(), after.entitlement());
            }
            if taken.event.kind() == EventKind::Approve {
                assert_eq!(Some(after.entitlement()), taken.world.entitlement.as_ref());
            }
        });
    }

    #[test]
    fn an_approval_that_fell_never_counts_again(seed: u64) {
        each(seed, |taken, after, _| {
            let Some(before) = &taken.before else { return };
            if taken.event.kind() == EventKind::Restart {
                return;
            }
            for (was, is) in before.approval().decisions.iter().zip(&after.approval().decisions) {
                assert_eq!(&was.by, &is.by);
                assert!(was.fallen_at.is_none() || was.fallen_at == is.fallen_at);
            }
            if taken.event.kind() == EventKind::Approve && kind_before(taken) == Some(StateKind::Pending) {
                for (ix, decision) in before.approval().decisions.iter().enumerate() {
                    let may = taken.may_approve(before, &decision.by, usize::from(decision.step));
                    assert!(may || after.approval().decisions[ix].fallen_at.is_some(), "a removal counts at once");
                }
            }
        });
    }

    #[test]
    fn past_its_limit_nothing_is_taken_but_that_it_is_over(seed: u64) {
        each(seed, |taken, _, _| {
            let limit = taken.before.as_ref().and_then(AccessRequest::limit);
            if limit.is_some_and(|limit| taken.now >= limit) {
                assert_eq!(taken.event, Event::Expire);
            } else {
                assert_ne!(taken.event, Event::Expire);
            }
        });
    }

    #[test]
    fn each_step_is_one_entry_and_each_notice_has_its_own_id(seed: u64) {
        let mut ids = BTreeSet::new();
        each(seed, |taken, after, effects| {
            let before = taken.before.as_ref().map_or(0, |before| before.history().len());
            assert_eq!(after.history().len(), before + 1);
            let last = after.history().last().unwrap();
            assert_eq!((last.event, last.state), (taken.event.kind(), after.state().kind()));
            assert_eq!(last.by.as_ref(), taken.event.by());
            if let Some(before) = &taken.before {
                assert_eq!(&after.history()[..before.history().len()], before.history());
            }
            for effect in effects {
                if let Effect::Notice(notice) = effect {
                    assert!(ids.insert(notice.id.clone()), "{}", notice.id);
                    assert!(!notice.to.is_empty());
                }
            }
        });
    }

    #[test]
    fn the_same_step_made_twice_is_the_same(seed: u64) {
        for taken in story(seed) {
            prop_assert_eq!(&taken.world.step(taken.before.as_ref(), &taken.event, taken.now), &taken.result);
        }
    }

    /// Active, and until when, is what the reasons of each relationship say; suspended and over hold nothing.
    #[test]
    fn what_is_active_has_its_relationships_and_nothing_else_has(seed: u64) {
        let mut holdings: BTreeMap<Access, Holding> = BTreeMap::new();
        let mut rows: BTreeMap<Access, Timestamp> = BTreeMap::new();
        each(seed, |taken, after, effects| {
            for effect in effects {
                let Effect::Reason(change) = effect else { continue };
                let access = Access { resource: change.relationship.resource.clone(), relation: change.relationship.relation.clone() };
                assert_eq!(&change.relationship.subject, after.beneficiary());
                let holding = holdings.entry(access.clone()).or_insert_with(|| Holding::new(change.relationship.clone()));
                let present = rows.get(&access).map(|until| Present { until: Some(*until), conditional: false });
                let changed = holding.change(change, present, taken.now).unwrap();
                *holding = changed.holding;
                assert!(!changed.is_drifted);
                match changed.change {
                    None => {}
                    Some(governance::Change::Touch { until }) => drop(rows.insert(access, until)),
                    Some(governance::Change::Delete) => drop(rows.remove(&access)),
                }
            }
            let there: BTreeMap<&Access, Timestamp> = rows.iter().filter(|(_, until)| **until > taken.now).map(|(access, until)| (access, *until)).collect();
            match after.state() {
                State::Active(grant) => {
                    let expected = after.granted().access.iter().map(|access| (access, grant.until)).collect();
                    assert_eq!(there, expected);
                }
                State::Pending | State::Approved { .. } | State::Suspended(_) | State::Closed { .. } => assert!(there.is_empty()),
            }
        });
    }

    #[test]
    fn what_is_due_is_taken_at_its_time_and_comes_to_an_end(seed: u64) {
        for taken in story(seed) {
            let Ok((request, _)) = taken.result else { continue };
            let (mut request, mut now) = (request, taken.now);
            let mut steps = 0;
            while let Some(next) = due(&request, now) {
                now = now.max(next.at);
                let early = next.at.saturating_add_micros(-1);
                if early >= request.changed_at() {
                    prop_assert!(taken.world.step(Some(&request), &next.event, early).is_err(), "not before its time");
                }
                let (after, _) = taken.world.step(Some(&request), &next.event, now).map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
                request = after;
                steps += 1;
                prop_assert!(steps < 20, "it comes to an end");
            }
            prop_assert!(is_final(request.state().kind()));
        }
    }

    #[test]
    fn the_questions_are_all_that_a_step_depends_on(seed: u64) {
        for taken in story(seed) {
            let asked = match (&taken.before, &taken.event) {
                (None, Event::Submit(submission)) => {
                    taken.world.entitlement.as_ref().map(|current| questions_of(submission, current)).unwrap_or_default()
                }
                (None, _) => BTreeSet::new(),
                (Some(before), event) => questions(before, event.by(), taken.world.entitlement.as_ref()),
            };
            let mut world = taken.world.clone();
            world.answers.retain(|question, _| asked.contains(question));
            prop_assert_eq!(&world.step(taken.before.as_ref(), &taken.event, taken.now), &taken.result);
        }
    }

    #[test]
    fn what_is_not_known_is_never_a_yes(seed: u64) {
        let mut dice = Dice(seed);
        for taken in story(seed) {
            let mut world = taken.world.clone();
            world.answers.retain(|_, _| dice.percent(70));
            let result = world.step(taken.before.as_ref(), &taken.event, taken.now);
            match (&result, &taken.result) {
                (Ok(_), other) => prop_assert_eq!(&result, other),
                (Err(Refusal::Unanswered(_)), _) => {}
                (Err(_), other) => prop_assert!(other.is_err()),
            }
        }
    }

    #[test]
    fn what_is_kept_is_read_back_as_it_was(seed: u64) {
        each(seed, |_, after, _| {
            assert_eq!(&AccessRequest::from_json(&after.to_json()).unwrap(), after);
        });
    }

    #[test]
    fn a_preview_is_good_if_and_only_if_the_submission_is(seed: u64) {
        let mut dice = Dice(seed);
        let text = dice.pick(&[TWO_STEPS, BY_HOLDER, SELF_SERVICE]);
        let mut world = world(text, &mut dice);
        for _ in 0..20 {
            stir(&mut world, text, &mut dice);
            let asked = asked(text, &mut dice);
            let now = later(clock("0:00"), &mut dice, 600);
            let shown = governance::preview(&asked, now, &world.facts());
            match (world.step(None, &submit(asked), now), shown) {
                (Ok((request, _)), Ok(shown)) => {
                    prop_assert_eq!(request.state().kind(), shown.state);
                    prop_assert_eq!(request.limit(), Some(shown.until));
                    prop_assert_eq!(request.granted(), &shown.terms);
                    prop_assert_eq!(request.version(), shown.version);
                }
                (Err(refusal), Err(refusals)) => prop_assert_eq!(&refusal, &refusals[0]),
                (step, shown) => return Err(TestCaseError::fail(format!("{step:?} {shown:?}"))),
            }
        }
    }

    /// An action is listed if and only if a step of that kind is taken; and within what is listed each is, beyond it none.
    #[test]
    fn what_is_listed_is_taken_and_nothing_else(seed: u64) {
        let mut dice = Dice(seed);
        for taken in story(seed).into_iter().step_by(3) {
            let Ok((request, _)) = &taken.result else { continue };
            let now = later(taken.now, &mut dice, 400);
            let mut world = taken.world.clone();
            if dice.percent(20) {
                world.answers.retain(|_, _| dice.percent(90));
            }
            let facts = world.facts();
            for who in PEOPLE {
                agree(request, who, now, &facts);
            }
        }
    }
}

/// All subsets of a few accesses.
fn subsets(all: &BTreeSet<Access>) -> Vec<BTreeSet<Access>> {
    let all: Vec<&Access> = all.iter().collect();
    let subset = |bits: usize| {
        all.iter()
            .enumerate()
            .filter(|(ix, _)| bits >> ix & 1 == 1)
            .map(|(_, access)| (*access).clone())
            .collect()
    };
    (0..1 << all.len()).map(subset).collect()
}

fn agree(request: &AccessRequest, who: &str, now: Timestamp, facts: &Facts<'_>) {
    let listed = allowed_actions(request, &person(who), now, facts);
    let is_taken = |event: &Event| step(Some(request), event, now, facts);
    plain_actions_agree(&listed, who, &is_taken);
    let mut room = None;
    let mut offer = None;
    for action in &listed {
        if let Action::Extend { length } = action {
            room = Some(*length);
        }
        if let Action::Approve { access, length } = action {
            offer = Some((access, *length));
        }
    }
    extensions_agree(room, who, &is_taken);
    approvals_agree(request, offer, who, &is_taken);
}

type Step<'a> = dyn Fn(&Event) -> Result<(AccessRequest, Vec<Effect>), Refusal> + 'a;

fn more(span: Span) -> Option<Span> {
    Span::from_seconds(span.as_seconds() + 1).ok()
}

fn plain_actions_agree(listed: &[Action], who: &str, step: &Step<'_>) {
    let by = person(who);
    let actor = Actor::Person(by.clone());
    let reason = String::new();
    let deny = Event::Deny {
        by: by.clone(),
        reason: reason.clone(),
    };
    let revoke = Event::Revoke {
        by: actor.clone(),
        reason: reason.clone(),
    };
    let suspend = Event::Suspend {
        by: actor.clone(),
        reason,
    };
    let all = [
        (Action::Deny, deny),
        (Action::Cancel, Event::Cancel { by: by.clone() }),
        (Action::Return, Event::Return { by: by.clone() }),
        (Action::Revoke, revoke),
        (Action::Activate, Event::Activate { by: actor.clone() }),
        (Action::Suspend, suspend),
        (Action::Resume, Event::Resume { by: actor }),
        (Action::Restart, Event::Restart { by }),
    ];
    for (action, event) in all {
        assert_eq!(
            listed.contains(&action),
            step(&event).is_ok(),
            "{who} {action:?}"
        );
    }
}

fn extensions_agree(room: Option<Span>, who: &str, step: &Step<'_>) {
    let extend = |length| Event::Extend {
        by: person(who),
        length,
        reason: String::new(),
    };
    let Some(room) = room else {
        return assert!(step(&extend(Span::MIN)).is_err(), "{who}");
    };
    for length in [Span::MIN, room] {
        // Whether it needs a decision can depend on what is not known.
        let refusal = step(&extend(length)).err();
        assert!(
            refusal.is_none_or(|refusal| matches!(refusal, Refusal::Unanswered(_))),
            "{who} {length}"
        );
    }
    assert!(more(room).is_none_or(|length| step(&extend(length)).is_err()));
}

fn approvals_agree(
    request: &AccessRequest,
    offer: Option<(&BTreeSet<Access>, Span)>,
    who: &str,
    step: &Step<'_>,
) {
    let approval = |access: &BTreeSet<Access>, length| Event::Approve {
        by: person(who),
        narrow: Narrowing {
            access: Some(access.clone()),
            length: Some(length),
        },
        note: String::new(),
    };
    let is_extension = request.state().kind() == StateKind::Active;
    let granted = &request.granted().access;
    for access in &subsets(granted) {
        let is_whole = !access.is_empty() && (!is_extension || access == granted);
        let is_offered = is_whole && offer.is_some_and(|(offered, _)| access.is_subset(offered));
        assert_eq!(
            is_offered,
            step(&approval(access, Span::MIN)).is_ok(),
            "{who} {access:?}"
        );
        if let (true, Some((_, length))) = (is_offered, offer) {
            assert!(step(&approval(access, length)).is_ok());
            assert!(more(length).is_none_or(|longer| step(&approval(access, longer)).is_err()));
        }
    }
    assert!(offer.is_some() || step(&approve(who)).is_err());
}
