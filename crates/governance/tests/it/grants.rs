//! Relationships and their reasons, against a naive model: two machines, and others who write to the same relationship.

use std::collections::BTreeMap;

use governance::{
    Change, Held, Holding, Present, Reason, ReasonChange, ReasonError, ReasonEvent, RequestId,
};
use model::{RelationshipKey, Timestamp};
use proptest::prelude::*;

use crate::world::{access, clock, person};

fn key() -> RelationshipKey {
    access(&["database:prod-1#admin"])
        .pop_first()
        .unwrap()
        .of(&person("ann").into())
}

fn change(request: &str, event: ReasonEvent) -> ReasonChange {
    ReasonChange {
        relationship: key(),
        request: request.parse().unwrap(),
        event,
    }
}

fn begin(until: &str) -> ReasonEvent {
    ReasonEvent::Begin {
        until: clock(until),
        is_break_glass: false,
    }
}

/// A graph of one relationship, with its holding.
struct Graph {
    holding: Holding,
    row: Option<Present>,
}

impl Graph {
    fn new() -> Self {
        Self {
            holding: Holding::new(key()),
            row: None,
        }
    }

    fn does(&mut self, time: &str, request: &str, event: ReasonEvent) -> Option<Change> {
        let changed = self
            .holding
            .change(&change(request, event), self.row, clock(time))
            .unwrap();
        self.holding = changed.holding;
        self.apply(changed.change);
        changed.change
    }

    fn apply(&mut self, change: Option<Change>) {
        match change {
            None => {}
            Some(Change::Touch { until }) => {
                self.row = Some(Present {
                    until: Some(until),
                    conditional: false,
                })
            }
            Some(Change::Delete) => self.row = None,
        }
    }
}

fn touch(until: &str) -> Option<Change> {
    Some(Change::Touch {
        until: clock(until),
    })
}

#[test]
fn a_relationship_goes_with_its_last_reason_and_lasts_as_long_as_the_longest() {
    let mut graph = Graph::new();
    assert_eq!(graph.does("0:00", "r1", begin("4:00")), touch("4:00"));
    assert_eq!(graph.does("1:00", "r2", begin("3:00")), None);
    assert_eq!(graph.does("1:00", "r3", begin("6:00")), touch("6:00"));
    assert_eq!(graph.does("2:00", "r3", ReasonEvent::End), touch("4:00"));
    assert_eq!(
        graph.does("2:00", "r1", ReasonEvent::Suspend),
        touch("3:00")
    );
    assert_eq!(
        graph.does("2:00", "r2", ReasonEvent::End),
        Some(Change::Delete)
    );
    assert_eq!(graph.does("2:30", "r1", ReasonEvent::Resume), touch("4:00"));
    // A scheduler that is late: the relationship is gone by itself.
    assert_eq!(graph.does("5:00", "r1", ReasonEvent::End), None);
    assert!(graph.holding.is_over());
}

#[test]
fn what_others_hold_is_left_as_it_is() {
    let good = Present {
        until: None,
        conditional: false,
    };
    for row in [
        good,
        Present {
            conditional: true,
            ..good
        },
        Present {
            until: Some(clock("9:00")),
            ..good
        },
    ] {
        let mut graph = Graph::new();
        graph.row = Some(row);
        assert_eq!(graph.does("0:00", "r1", begin("4:00")), None);
        assert_eq!(
            graph.holding.held(),
            Held::ByOthers {
                until: row.until,
                conditional: row.conditional
            }
        );
        assert_eq!(
            graph.does(
                "1:00",
                "r1",
                ReasonEvent::Extend {
                    until: clock("8:00")
                }
            ),
            None
        );
        assert_eq!(graph.does("1:00", "r1", ReasonEvent::End), None);
        assert_eq!(graph.row, Some(row));
        assert_eq!(graph.holding.due(clock("1:00")), None);
    }
}

#[test]
fn what_others_held_is_taken_over_when_it_has_expired() {
    let mut graph = Graph::new();
    graph.row = Some(Present {
        until: Some(clock("2:00")),
        conditional: false,
    });
    assert_eq!(graph.does("0:00", "r1", begin("4:00")), None);
    assert_eq!(graph.holding.due(clock("0:00")), Some(clock("2:00")));
    assert_eq!(
        graph.holding.take_over(graph.row, clock("1:59")).change,
        None
    );
    let taken = graph.holding.take_over(graph.row, clock("2:00"));
    assert_eq!(taken.change, touch("4:00"));
    assert_eq!(taken.holding.due(clock("2:00")), None);
    // Nothing is taken over for reasons that do not last.
    assert_eq!(graph.holding.due(clock("4:00")), None);
    assert_eq!(
        graph.holding.take_over(graph.row, clock("4:00")).change,
        None
    );
}

#[test]
fn what_somebody_changed_by_hand_is_theirs_and_what_they_deleted_stays_so() {
    let mut graph = Graph::new();
    graph.does("0:00", "r1", begin("4:00"));
    graph.does("0:00", "r2", begin("5:00"));
    graph.row = None;
    let changed = graph
        .holding
        .change(&change("r2", ReasonEvent::End), None, clock("1:00"))
        .unwrap();
    assert_eq!((changed.change, changed.is_drifted), (None, true));
    // A new decision gives it anew.
    let changed = graph
        .holding
        .change(
            &change(
                "r1",
                ReasonEvent::Extend {
                    until: clock("6:00"),
                },
            ),
            None,
            clock("1:00"),
        )
        .unwrap();
    assert_eq!((changed.change, changed.is_drifted), (touch("6:00"), true));
    // Written over for good: whatever ends here, it stays.
    let row = Some(Present {
        until: None,
        conditional: false,
    });
    for request in ["r1", "r2"] {
        let changed = graph
            .holding
            .change(&change(request, ReasonEvent::End), row, clock("1:00"))
            .unwrap();
        assert_eq!((changed.change, changed.is_drifted), (None, true));
    }
}

#[test]
fn what_rests_on_emergencies_alone_is_told_apart() {
    let mut graph = Graph::new();
    let emergency = ReasonEvent::Begin {
        until: clock("1:00"),
        is_break_glass: true,
    };
    graph.does("0:00", "r1", emergency);
    assert!(graph.holding.rests_on_break_glass(clock("0:00")));
    graph.does("0:00", "r2", begin("0:30"));
    assert!(!graph.holding.rests_on_break_glass(clock("0:00")));
    assert!(graph.holding.rests_on_break_glass(clock("0:30")));
    let mut of_others = Graph::new();
    of_others.row = Some(Present {
        until: None,
        conditional: false,
    });
    of_others.does(
        "0:00",
        "r1",
        ReasonEvent::Begin {
            until: clock("1:00"),
            is_break_glass: true,
        },
    );
    assert!(!of_others.holding.rests_on_break_glass(clock("0:00")));
}

#[test]
fn changes_that_make_no_sense_are_refused() {
    let mut graph = Graph::new();
    graph.does("0:00", "r1", begin("4:00"));
    let refused = |request: &str, event: ReasonEvent| {
        graph
            .holding
            .change(&change(request, event), graph.row, clock("1:00"))
            .unwrap_err()
    };
    let id = |text: &str| text.parse::<RequestId>().unwrap();
    assert_eq!(refused("r1", begin("5:00")), ReasonError::Begun(id("r1")));
    assert_eq!(
        refused("r2", begin("1:00")),
        ReasonError::Over {
            until: clock("1:00")
        }
    );
    assert_eq!(
        refused(
            "r1",
            ReasonEvent::Extend {
                until: clock("3:00")
            }
        ),
        ReasonError::Over {
            until: clock("3:00")
        }
    );
    for event in [
        ReasonEvent::Suspend,
        ReasonEvent::Resume,
        ReasonEvent::End,
        ReasonEvent::Extend {
            until: clock("5:00"),
        },
    ] {
        assert_eq!(refused("r2", event), ReasonError::NotBegun(id("r2")));
    }
    let other = ReasonChange {
        relationship: access(&["database:prod-2#admin"])
            .pop_first()
            .unwrap()
            .of(&person("ann").into()),
        ..change("r1", ReasonEvent::End)
    };
    assert_eq!(
        graph.holding.change(&other, graph.row, clock("1:00")),
        Err(ReasonError::OtherRelationship)
    );
    let mut full = Graph::new();
    for number in 0..governance::REASONS_MAX {
        full.does("0:00", &format!("r{number}"), begin("4:00"));
    }
    assert_eq!(
        full.holding
            .change(&change("x", begin("4:00")), full.row, clock("0:00")),
        Err(ReasonError::TooMany)
    );
}

/// What happens to the relationship. Machines read, and commit later: the commit of what was read before another's is redone.
#[derive(Debug, Clone)]
enum Act {
    /// A machine reads the holding and the graph, and works out what to do.
    Read {
        machine: usize,
        request: u8,
        kind: u8,
        minutes: i64,
    },
    /// It commits.
    Commit { machine: usize },
    /// Somebody writes or deletes it directly.
    Direct { row: Option<(Option<i64>, bool)> },
    /// Time goes on.
    Wait { minutes: i64 },
    /// The scheduler takes over what is due.
    Due,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..2_usize, 0..4_u8, 0..5_u8, 1..600_i64).prop_map(|(machine, request, kind, minutes)| Act::Read { machine, request, kind, minutes }),
        6 => (0..2_usize).prop_map(|machine| Act::Commit { machine }),
        1 => prop::option::of((prop::option::of(1..300_i64), prop::bool::weighted(0.2))).prop_map(|row| Act::Direct { row }),
        3 => (1..200_i64).prop_map(|minutes| Act::Wait { minutes }),
        2 => Just(Act::Due),
    ];
    prop::collection::vec(act, 1..60)
}

/// The naive model: whose the row is, told by who wrote it last, and the reasons as a map.
struct Naive {
    /// Whether our machines wrote the row last.
    is_ours: bool,
    reasons: BTreeMap<RequestId, Reason>,
}

impl Naive {
    fn longest(&self, now: Timestamp) -> Option<Timestamp> {
        let live = self
            .reasons
            .values()
            .filter(|reason| !reason.suspended && reason.until > now);
        live.map(|reason| reason.until).max()
    }

    fn take(&mut self, change: &ReasonChange) {
        let id = change.request.clone();
        match &change.event {
            ReasonEvent::Begin {
                until,
                is_break_glass,
            } => {
                let reason = Reason {
                    request: id.clone(),
                    until: *until,
                    suspended: false,
                    break_glass: *is_break_glass,
                };
                assert!(self.reasons.insert(id, reason).is_none());
            }
            ReasonEvent::Extend { until } => self.reasons.get_mut(&id).unwrap().until = *until,
            ReasonEvent::Suspend => self.reasons.get_mut(&id).unwrap().suspended = true,
            ReasonEvent::Resume => self.reasons.get_mut(&id).unwrap().suspended = false,
            ReasonEvent::End => drop(self.reasons.remove(&id).unwrap()),
        }
    }
}

fn minutes_after(now: Timestamp, minutes: i64) -> Timestamp {
    now.saturating_add_micros(minutes * 60_000_000)
}

fn event(kind: u8, until: Timestamp) -> ReasonEvent {
    match kind {
        0 => ReasonEvent::Begin {
            until,
            is_break_glass: false,
        },
        1 => ReasonEvent::Extend { until },
        2 => ReasonEvent::Suspend,
        3 => ReasonEvent::Resume,
        _ => ReasonEvent::End,
    }
}

/// Whether it counts.
fn is_there(row: Option<Present>, now: Timestamp) -> bool {
    row.is_some_and(|row| row.until.is_none_or(|until| until > now))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Ours is there if and only if there is a live reason, until the latest end; what others wrote is never touched.
    #[test]
    fn two_machines_and_others_race_over_one_relationship(acts in acts()) {
        let mut graph = Graph::new();
        let mut naive = Naive { is_ours: false, reasons: BTreeMap::new() };
        // A commit is made only over what was read.
        let mut revision = 0_u64;
        let mut read: [Option<(u64, ReasonChange)>; 2] = [None, None];
        let mut now = clock("0:00");
        for act in acts {
            match act {
                Act::Wait { minutes } => now = minutes_after(now, minutes),
                Act::Read { machine, request, kind, minutes } => {
                    let event = event(kind, minutes_after(now, minutes));
                    read[machine] = Some((revision, change(&format!("r{request}"), event)));
                }
                Act::Commit { machine } => {
                    let Some((base, wanted)) = read[machine].take() else { continue };
                    if base != revision {
                        // It lost the race, and works it out anew on what is there: on its next turn.
                        read[machine] = Some((revision, wanted));
                        continue;
                    }
                    let Ok(changed) = graph.holding.change(&wanted, graph.row, now) else { continue };
                    let before = graph.row;
                    let was_others = is_there(before, now) && !naive.is_ours;
                    naive.take(&wanted);
                    if was_others {
                        prop_assert_eq!(changed.change, None, "what others hold is left as it is");
                    }
                    let gives = !matches!(wanted.event, ReasonEvent::Suspend | ReasonEvent::End);
                    let was_ours = is_there(before, now) && naive.is_ours;
                    graph.holding = changed.holding;
                    if changed.change.is_some() {
                        naive.is_ours = true;
                    }
                    graph.apply(changed.change);
                    revision += 1;
                    if !was_others {
                        // What somebody deleted, and what expired under others, is written by a decision to give alone.
                        let expected = if gives || was_ours { naive.longest(now) } else { None };
                        let there = graph.row.filter(|_| is_there(graph.row, now)).map(|row| row.until.unwrap());
                        prop_assert_eq!(there, expected, "there until the latest end of its live reasons");
                    }
                }
                Act::Direct { row } => {
                    // One whose end is the same as ours cannot be told from ours; that nobody does.
                    let row = row.map(|(minutes, conditional)| Present {
                        until: minutes.map(|minutes| minutes_after(now, minutes).saturating_add_micros(1)),
                        conditional,
                    });
                    graph.row = row;
                    naive.is_ours = false;
                    revision += 1;
                }
                Act::Due => {
                    let Some(at) = graph.holding.due(now).filter(|at| *at <= now) else { continue };
                    let was_others = is_there(graph.row, now) && !naive.is_ours;
                    let changed = graph.holding.take_over(graph.row, now);
                    if was_others {
                        prop_assert_eq!(changed.change, None);
                    } else {
                        prop_assert!(at <= now);
                        prop_assert_eq!(changed.change.is_some(), naive.longest(now).is_some());
                    }
                    graph.holding = changed.holding;
                    if changed.change.is_some() {
                        naive.is_ours = true;
                    }
                    graph.apply(changed.change);
                    revision += 1;
                }
            }
            // At any instant: what our machines wrote never outlives its reasons' ends as they were on record.
            if naive.is_ours && is_there(graph.row, now) {
                prop_assert!(naive.longest(now).is_some(), "no reason, no relationship");
            }
            let kept: Vec<Reason> = naive.reasons.values().cloned().collect();
            prop_assert_eq!(graph.holding.reasons(), kept.as_slice());
            prop_assert_eq!(&Holding::from_json(&graph.holding.to_json()).unwrap(), &graph.holding);
        }
    }
}
