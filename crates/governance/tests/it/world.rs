//! The schema, entitlements and people of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use governance::{
    Access, AccessRequest, Actor, Answer, Effect, Entitlement, Entitlements, Event, Facts,
    Narrowing, Question, Refusal, Span, Submission, step,
};
use model::{ObjectRef, SubjectRef, Timestamp};
use schema::Schema;

pub(crate) const SCHEMA: &str = "
use expiration
caveat office_hours(hour int) {
    hour > 8 && hour < 18
}
definition user {}
definition group {
    relation member: user | group#member
}
definition team {
    relation lead: user
    relation member: user
}
definition database {
    relation owner: user
    relation approver: user
    relation oncall: user
    relation admin: user with expiration | group#member with expiration
    relation reader: user with expiration | user | group#member with expiration
    relation plain: user | group#member
    relation gated: user with office_hours and expiration
    permission administer = admin
    permission own = owner
}
";

/// Two steps, of which the second needs two; extensions; reminders; a glass.
pub(crate) const TWO_STEPS: &str = "
  - name: db
    resource: database
    ids: [prod-*]
    permission: administer
    relations: [admin]
    subjects: [user, group#member]
    eligible: ['team:payments#member', resource#oncall]
    for_others: true
    owners: [resource#owner]
    ticket: {pattern: 'OPS-[0-9]+', need: optional}
    duration: {default: 4h, max: 12h}
    pending: 24h
    ahead: 7d
    activation: {by: clock, window: 2h}
    extensions: {automatic: 2, each: 2h}
    remind: [12h, 18h]
    escalate: {after: 20h, to: ['user:zoe', resource#owner]}
    warn: 15m
    steps:
      - {name: lead, approvers: ['team:payments#lead', 'user:zoe'], need: 1}
      - {name: owners, approvers: [resource#approver, 'user:zoe'], need: 2}
    break_glass: {holders: [resource#oncall], max: 1h, review: 72h}
";

/// One step; its holder makes it active.
pub(crate) const BY_HOLDER: &str = "
  - name: db
    resource: database
    ids: all
    relations: [admin, reader]
    subjects: [user, group#member]
    eligible: ['team:payments#member']
    for_others: true
    owners: [resource#owner]
    reason: optional
    duration: {default: 4h, max: 8h}
    pending: 12h
    ahead: 7d
    activation: {by: holder, window: 2h}
    steps:
      - {name: owners, approvers: [resource#approver], need: 1}
";

/// Nobody has to approve.
pub(crate) const SELF_SERVICE: &str = "
  - name: db
    resource: database
    ids: [prod-1, prod-2]
    relations: [reader]
    subjects: [user]
    eligible: [resource#oncall]
    owners: [resource#owner]
    duration: {max: 8h}
    extensions: {automatic: 1, each: 1h}
    steps: []
    break_glass: {holders: [resource#oncall], max: 30m}
";

pub(crate) const PEOPLE: [&str; 7] = ["ann", "bob", "cam", "dee", "eve", "fin", "zoe"];
pub(crate) const SETS: [&str; 9] = [
    "team:payments#member",
    "team:payments#lead",
    "group:ops#member",
    "database:prod-1#owner",
    "database:prod-1#approver",
    "database:prod-1#oncall",
    "database:prod-2#owner",
    "database:prod-2#approver",
    "database:prod-2#oncall",
];

pub(crate) fn entitlements(listed: &str) -> Entitlements {
    let schema = Schema::compile(SCHEMA).unwrap();
    let text = format!("version: 1\nentitlements:{listed}");
    Entitlements::read("entitlements.yaml", &text, &schema)
        .unwrap_or_else(|faults| panic!("{faults}"))
}

/// The first of some entitlements. Read once each: random stories ask for the same ones thousands of times.
pub(crate) fn entitlement(listed: &str) -> Entitlement {
    static READ: Mutex<BTreeMap<String, Entitlement>> = Mutex::new(BTreeMap::new());
    let mut read = READ.lock().unwrap();
    if let Some(entitlement) = read.get(listed) {
        return entitlement.clone();
    }
    let entitlement = entitlements(listed).iter().next().unwrap().clone();
    read.insert(listed.to_owned(), entitlement.clone());
    entitlement
}

pub(crate) fn person(name: &str) -> ObjectRef {
    format!("user:{name}").parse().unwrap()
}

pub(crate) fn remit() -> Actor {
    Actor::Remit
}

pub(crate) fn by(name: &str) -> Actor {
    Actor::Person(person(name))
}

pub(crate) fn span(text: &str) -> Span {
    text.parse().unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    let (day, time) = text.split_once(' ').unwrap_or(("1", text));
    format!("2027-01-0{day}T{time}:00Z").parse().unwrap()
}

pub(crate) fn access(texts: &[&str]) -> BTreeSet<Access> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// What is so: who is where, who is locked, who acts for the beneficiary, and how the entitlement is.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) answers: BTreeMap<Question, Answer>,
    pub(crate) locked: BTreeSet<ObjectRef>,
    pub(crate) delegates: BTreeSet<ObjectRef>,
    pub(crate) entitlement: Option<Entitlement>,
}

impl World {
    /// Everybody is nowhere, which is known.
    pub(crate) fn new(listed: &str) -> Self {
        let questions = PEOPLE
            .iter()
            .flat_map(|person| SETS.iter().map(|set| question(person, set)));
        Self {
            answers: questions.map(|question| (question, Answer::No)).collect(),
            locked: BTreeSet::new(),
            delegates: BTreeSet::new(),
            entitlement: Some(entitlement(listed)),
        }
    }

    /// Ann may ask, Bob leads, Cam and Dee approve, Eve owns, Fin is on call; Zoe is named herself.
    pub(crate) fn usual(listed: &str) -> Self {
        let mut world = Self::new(listed);
        for (who, set) in [
            ("ann", "team:payments#member"),
            ("bob", "team:payments#lead"),
            ("fin", "team:payments#member"),
        ] {
            world.put(who, set, Answer::Yes);
        }
        for database in ["prod-1", "prod-2"] {
            for (who, relation) in [
                ("cam", "approver"),
                ("dee", "approver"),
                ("eve", "owner"),
                ("fin", "oncall"),
                ("ann", "oncall"),
            ] {
                world.put(who, &format!("database:{database}#{relation}"), Answer::Yes);
            }
        }
        world
    }

    pub(crate) fn put(&mut self, who: &str, set: &str, answer: Answer) {
        self.answers.insert(question(who, set), answer);
    }

    pub(crate) fn is(&self, who: &ObjectRef, set: &SubjectRef) -> Answer {
        if set.relation.is_none() {
            return if *set == SubjectRef::from(who.clone()) {
                Answer::Yes
            } else {
                Answer::No
            };
        }
        let question = Question {
            person: who.clone(),
            set: set.clone(),
        };
        self.answers[&question]
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            entitlement: self.entitlement.as_ref(),
            answers: self.answers.clone(),
            locked: self.locked.clone(),
            delegates: self.delegates.clone(),
        }
    }

    pub(crate) fn step(
        &self,
        before: Option<&AccessRequest>,
        event: &Event,
        now: Timestamp,
    ) -> Result<(AccessRequest, Vec<Effect>), Refusal> {
        step(before, event, now, &self.facts())
    }
}

pub(crate) fn question(who: &str, set: &str) -> Question {
    Question {
        person: person(who),
        set: set.parse().unwrap(),
    }
}

/// Ann asks for the first database.
pub(crate) fn submission() -> Submission {
    Submission {
        id: "r1".parse().unwrap(),
        requester: person("ann"),
        beneficiary: person("ann").into(),
        entitlement: "db".parse().unwrap(),
        access: access(&["database:prod-1#admin"]),
        length: None,
        starts_at: None,
        reason: "the index is broken".to_owned(),
        ticket: None,
        break_glass: false,
    }
}

pub(crate) fn submit(submission: Submission) -> Event {
    Event::Submit(Box::new(submission))
}

pub(crate) fn approve(who: &str) -> Event {
    Event::Approve {
        by: person(who),
        narrow: Narrowing::default(),
        note: String::new(),
    }
}

pub(crate) fn extend(who: &str, length: &str) -> Event {
    Event::Extend {
        by: person(who),
        length: span(length),
        reason: "it takes longer".to_owned(),
    }
}

/// One request in a world, step by step; each at its time.
pub(crate) struct Story {
    pub(crate) world: World,
    pub(crate) request: Option<AccessRequest>,
    pub(crate) effects: Vec<Effect>,
}

impl Story {
    pub(crate) fn new(world: World) -> Self {
        Self {
            world,
            request: None,
            effects: Vec::new(),
        }
    }

    /// Ann asked at midnight; Bob, Cam and Dee approved at one; it is active.
    pub(crate) fn active() -> Self {
        let mut story = Self::new(World::usual(TWO_STEPS));
        story.does("0:00", &submit(submission()));
        for who in ["bob", "cam", "dee"] {
            story.does("1:00", &approve(who));
        }
        story.does("1:00", &Event::Activate { by: remit() });
        story
    }

    pub(crate) fn does(&mut self, time: &str, event: &Event) -> String {
        let result = self.tries(time, event);
        result.unwrap_or_else(|refusal| panic!("{event:?}: {refusal}"))
    }

    /// The state after it.
    pub(crate) fn tries(&mut self, time: &str, event: &Event) -> Result<String, Refusal> {
        let (request, effects) = self.world.step(self.request.as_ref(), event, clock(time))?;
        let state = format!("{:?}", request.state().kind());
        self.request = Some(request);
        self.effects = effects;
        Ok(state)
    }

    pub(crate) fn refuses(&mut self, time: &str, event: &Event) -> Refusal {
        match self.tries(time, event) {
            Ok(state) => panic!("{event:?} was taken: {state}"),
            Err(refusal) => refusal,
        }
    }

    pub(crate) fn request(&self) -> &AccessRequest {
        self.request.as_ref().unwrap()
    }

    /// Who is told what by the last step.
    pub(crate) fn told(&self) -> Vec<String> {
        let notices = self.effects.iter().filter_map(|effect| match effect {
            Effect::Notice(notice) => Some(notice),
            Effect::Reason(_) | Effect::ReviewDue { .. } => None,
        });
        let texts = notices.map(|notice| {
            let to: Vec<String> = notice.to.iter().map(ToString::to_string).collect();
            format!("{} -> {}", notice.id, to.join(" "))
        });
        texts.collect()
    }
}

/// `9:30`, or `2 9:30` for the second day.
pub(crate) fn clock(text: &str) -> Timestamp {
    let (day, time) = text.split_once(' ').unwrap_or(("1", text));
    at(&format!("{day} {time:0>5}"))
}
