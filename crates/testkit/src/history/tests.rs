//! Histories made by hand: a good one, and each rule broken once.

use model::{CommitHash, Decision, Operation as Update, Revision};

use super::*;

const SCHEMA: &str = "use expiration\ndefinition user {}\ndefinition doc {\n relation viewer: user | user with expiration\n}\n";
const ANN: &str = "doc:a#viewer@user:ann";
const BOB: &str = "doc:a#viewer@user:bob";
/// Ends a second and a half after the beginning.
const ENDING: &str = "doc:a#viewer@user:ann[expiration:1970-01-01T00:00:01.5Z]";

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(millis * 1_000).unwrap()
}

fn rel(text: &str) -> Relationship {
    text.parse().unwrap()
}

/// A hash is any that differs; the fork's have another first byte.
fn hash(branch: u8, revision: u64) -> CommitHash {
    let mut hash = [7; 32];
    (hash[0], hash[1]) = (branch, revision as u8);
    CommitHash(hash)
}

fn token(branch: u8, revision: u64) -> Token {
    Token {
        store: StoreId([1; 8]),
        history: HistoryId([2; 8]),
        revision: Revision(revision),
        hash: hash(branch, revision).short(),
    }
}

fn entry(branch: u8, revision: u64, millis: i64, name: &str, changes: &[(&str, &str)]) -> Entry {
    let side = |text: &str| (!text.is_empty()).then(|| rel(text));
    Entry {
        revision: Revision(revision),
        time: at(millis),
        previous: match revision {
            1 => CommitHash::ZERO,
            2 => hash(0, 1),
            _ => hash(branch, revision - 1),
        },
        hash: hash(branch, revision),
        computed_hash: hash(branch, revision),
        name: Some(name.to_owned()),
        changes: changes
            .iter()
            .map(|(before, after)| (side(before), side(after)))
            .collect(),
        schema: None,
    }
}

fn write(name: &str, (begun, ended): (i64, i64), update: &str, result: Written) -> Operation {
    let (sign, text) = update.split_at(1);
    let operation = match sign {
        "*" => Update::Create,
        "+" => Update::Touch,
        _ => Update::Delete,
    };
    Operation {
        name: name.to_owned(),
        node: serving(0),
        begun: at(begun),
        ended: at(ended),
        call: Call::Write {
            updates: vec![RelationshipUpdate {
                operation,
                relationship: rel(text),
            }],
            result,
        },
    }
}

fn serving(node: usize) -> Option<Serving> {
    Some(Serving { node, starts: 0 })
}

fn check_of(
    node: usize,
    (begun, ended): (i64, i64),
    freshness: Freshness,
    (who, decision, at_token): (&str, Decision, Token),
) -> Operation {
    Operation {
        name: format!("check-{begun}"),
        node: serving(node),
        begun: at(begun),
        ended: at(ended),
        call: Call::Check {
            question: Question {
                resource: "doc:a".parse().unwrap(),
                member: "viewer".parse().unwrap(),
                subject: format!("user:{who}").parse().unwrap(),
            },
            freshness,
            result: Checked::Answered {
                decision,
                at: at_token,
            },
        },
    }
}

/// Ann is let in at revision 2, Bob at 3, and Ann is out at 4; each is checked on the way, at node 0 and at node 1.
fn good() -> History {
    let schema = Entry {
        name: None,
        schema: Some(SCHEMA.to_owned()),
        ..entry(0, 1, 0, "", &[])
    };
    let acknowledged = |revision| Written::Acknowledged(token(0, revision));
    let exists = Written::Refused {
        existing: Some(rel(ANN).key()),
        why: "it is there".to_owned(),
    };
    let (allowed, denied) = (Decision::Allowed, Decision::Denied);
    let operations = vec![
        write("w2", (100, 200), &format!("*{ANN}"), acknowledged(2)),
        write("again", (210, 220), &format!("*{ANN}"), exists),
        write("w3", (300, 400), &format!("+{BOB}"), acknowledged(3)),
        check_of(
            0,
            (410, 420),
            Freshness::FullyConsistent,
            ("bob", allowed.clone(), token(0, 3)),
        ),
        check_of(
            1,
            (430, 440),
            Freshness::MinimizeLatency,
            ("bob", denied.clone(), token(0, 2)),
        ),
        write("w4", (500, 600), &format!("-{ANN}"), Written::Unknown),
        check_of(
            1,
            (610, 620),
            Freshness::AtLeastAsFresh(token(0, 3)),
            ("ann", denied, token(0, 4)),
        ),
        check_of(
            1,
            (630, 640),
            Freshness::AtExactSnapshot(token(0, 3)),
            ("ann", allowed, token(0, 3)),
        ),
    ];
    History {
        identity: (StoreId([1; 8]), HistoryId([2; 8])),
        operations,
        branches: vec![Branch {
            since: at(0),
            entries: vec![
                schema,
                entry(0, 2, 150, "w2", &[("", ANN)]),
                entry(0, 3, 350, "w3", &[("", BOB)]),
                entry(0, 4, 550, "w4", &[(ANN, "")]),
            ],
        }],
        jumps: Vec::new(),
        bounds: Bounds {
            clock_offset_max: Duration::from_millis(50),
            staleness_max: Duration::from_secs(1),
            depth_max: 50,
        },
    }
}

/// As [`good`], until a standby without revision 4 takes over at 700; there it is Bob who is out.
fn forked() -> History {
    let mut history = good();
    let lost = &history.branches[0];
    let mut entries = lost.entries[..3].to_vec();
    entries.push(Entry {
        previous: hash(0, 3),
        ..entry(9, 4, 800, "v4", &[(BOB, "")])
    });
    history.branches.push(Branch {
        since: at(700),
        entries,
    });
    let result = Written::Acknowledged(token(9, 4));
    history
        .operations
        .push(write("v4", (750, 850), &format!("-{BOB}"), result));
    history.operations.last_mut().unwrap().node = serving(2);
    history
}

/// As [`good`], but ann is let in until 1.5 s, by the write at revision 2, which is the last.
fn until_ending() -> History {
    let mut history = good();
    history.operations.truncate(1);
    history.operations[0] = write(
        "w2",
        (100, 200),
        &format!("+{ENDING}"),
        Written::Acknowledged(token(0, 2)),
    );
    history.branches[0].entries.truncate(2);
    history.branches[0].entries[1] = entry(0, 2, 150, "w2", &[("", ENDING)]);
    history
}

/// What is wrong with a history after `change`, by rule.
fn broken(mut history: History, change: impl FnOnce(&mut History)) -> Vec<Rule> {
    assert_eq!(check(&history), [], "{history}");
    change(&mut history);
    let found = check(&history);
    assert!(
        found
            .iter()
            .all(|violation| !violation.to_string().is_empty())
    );
    let mut rules: Vec<Rule> = found.iter().map(|violation| violation.rule).collect();
    rules.dedup();
    rules
}

/// The result of the call at a place.
fn result(history: &mut History, place: usize) -> (&mut Freshness, &mut Decision, &mut Token) {
    match &mut history.operations[place].call {
        Call::Check {
            freshness,
            result: Checked::Answered { decision, at },
            ..
        } => (freshness, decision, at),
        Call::Check {
            result: Checked::Failed(_),
            ..
        }
        | Call::Write { .. } => panic!("no answered check"),
    }
}

fn written(history: &mut History, place: usize) -> &mut Written {
    match &mut history.operations[place].call {
        Call::Write { result, .. } => result,
        Call::Check { .. } => panic!("a check"),
    }
}

#[test]
fn good_histories_are_explained() {
    assert_eq!(check(&good()), []);
    assert_eq!(check(&forked()), []);
    assert_eq!(
        good().operations[6].to_string(),
        "check-610 at node 1.0 from 0.610s to 0.620s: check doc:a#viewer@user:ann, at least as fresh as 3/0003 -> \
         Denied at 4/0004"
    );
}

#[test]
fn a_log_whose_entries_do_not_follow_each_other_is_found() {
    let entries = |change: fn(&mut Vec<Entry>)| {
        broken(good(), |history| change(&mut history.branches[0].entries))
    };
    assert_eq!(
        entries(|all| all[2].previous = hash(5, 5)),
        [Rule::LogIsSound]
    );
    assert_eq!(
        entries(|all| all[2].computed_hash = hash(5, 5)),
        [Rule::LogIsSound]
    );
    assert_eq!(entries(|all| all[3].time = at(200)), [Rule::LogIsSound]);
    let replaced = entries(|all| all[3].changes[0].0 = Some(rel(ENDING)));
    assert_eq!(replaced, [Rule::LogIsSound, Rule::WrittenAsAsked]);
    let gap = entries(|all| all[3].revision = Revision(5));
    assert!(gap.contains(&Rule::LogIsSound));
}

#[test]
fn writes_that_are_lost_altered_repeated_or_nobodys_are_found() {
    let lost = broken(good(), |history| {
        *written(history, 0) = Written::Acknowledged(token(0, 3));
    });
    assert_eq!(lost.first(), Some(&Rule::AcknowledgedIsKept));
    let nowhere = broken(good(), |history| {
        *written(history, 0) = Written::Acknowledged(token(5, 2));
    });
    assert_eq!(nowhere, [Rule::AcknowledgedIsKept]);
    let refused = broken(good(), |history| {
        *written(history, 5) = Written::Refused {
            existing: None,
            why: String::new(),
        };
    });
    assert_eq!(refused, [Rule::OnlyWritesAreThere]);
    let nobodys = broken(good(), |history| {
        history.branches[0].entries[3].name = None;
    });
    assert_eq!(nobodys, [Rule::OnlyWritesAreThere]);
    let twice = broken(good(), |history| {
        let again = entry(0, 5, 600, "w4", &[]);
        history.branches[0].entries.push(again);
    });
    assert_eq!(twice, [Rule::WrittenOnce]);
    let altered = broken(good(), |history| {
        history.branches[0].entries[2].changes[0].1 = Some(rel("doc:a#viewer@user:eve"));
        // So that no answer tells.
        history
            .operations
            .retain(|call| !call.name.starts_with("check"));
    });
    assert_eq!(altered, [Rule::WrittenAsAsked]);
    let created_again = broken(good(), |history| {
        history.branches[0]
            .entries
            .push(entry(0, 5, 700, "w5", &[(BOB, BOB)]));
        history.operations.push(write(
            "w5",
            (650, 750),
            &format!("*{BOB}"),
            Written::Unknown,
        ));
    });
    assert_eq!(created_again, [Rule::WrittenAsAsked]);
}

#[test]
fn a_refusal_without_a_reason_is_found() {
    let early = broken(good(), |history| {
        (history.operations[1].begun, history.operations[1].ended) = (at(50), at(60));
    });
    assert_eq!(early, [Rule::RefusedForAReason]);
    let late = broken(good(), |history| {
        (history.operations[1].begun, history.operations[1].ended) = (at(650), at(660));
    });
    assert_eq!(late, [Rule::RefusedForAReason]);
}

#[test]
fn writes_out_of_order_are_found() {
    let found = broken(good(), |history| {
        // The answer at revision 3 was known before that write began.
        (history.operations[2].begun, history.operations[2].ended) = (at(500), at(600));
    });
    assert_eq!(found, [Rule::WritesInOrder]);
}

#[test]
fn tokens_of_no_commit_are_found() {
    let found = broken(good(), |history| *result(history, 4).2 = token(5, 2));
    assert_eq!(found, [Rule::TokensAreOfCommits]);
    let found = broken(good(), |history| {
        result(history, 4).2.store = StoreId([5; 8])
    });
    assert_eq!(found, [Rule::TokensAreOfCommits]);
}

#[test]
fn wrong_answers_are_found() {
    let found = broken(good(), |history| *result(history, 3).1 = Decision::Denied);
    assert_eq!(found, [Rule::AnswersAreRight]);
    let found = broken(good(), |history| {
        *result(history, 6).1 = Decision::Allowed;
    });
    assert_eq!(found, [Rule::AnswersAreRight]);
}

#[test]
fn snapshots_that_are_too_old_are_found() {
    let older = |place: usize| {
        broken(good(), |history| {
            // Of a node that has shown nothing yet.
            history.operations[place].node = serving(5);
            *result(history, place).2 = token(0, 2);
            *result(history, place).1 = match place {
                6 | 7 => Decision::Allowed,
                _ => Decision::Denied,
            };
        })
    };
    assert_eq!(older(3), [Rule::FullyConsistent]);
    assert_eq!(older(6), [Rule::AtLeastAsFresh]);
    assert_eq!(older(7), [Rule::ExactSnapshot]);
    // What others have been shown counts as well.
    let found = broken(good(), |history| {
        let freshness = Freshness::FullyConsistent;
        let answer = ("ann", Decision::Allowed, token(0, 3));
        history
            .operations
            .push(check_of(2, (650, 660), freshness, answer));
    });
    assert_eq!(found, [Rule::FullyConsistent]);
}

#[test]
fn answers_that_are_stale_are_found() {
    let late = |begun| {
        broken(good(), |history| {
            let answer = ("bob", Decision::Denied, token(0, 2));
            let asked = check_of(2, (begun, begun + 10), Freshness::MinimizeLatency, answer);
            history.operations.push(asked);
        })
    };
    // Revision 3 was acknowledged at 400; a second, and twice what clocks may be off, after that it has to be known.
    assert_eq!(late(1_500), []);
    assert_eq!(late(1_501), [Rule::NotStale]);
}

#[test]
fn nodes_that_go_back_are_found() {
    let found = broken(good(), |history| history.operations[4].node = serving(0));
    assert_eq!(found, [Rule::NodesNeverGoBack]);
    // After a new start it may have to catch up.
    let found = broken(good(), |history| {
        history.operations[4].node = Some(Serving { node: 0, starts: 1 });
    });
    assert_eq!(found, []);
}

#[test]
fn expirations_are_judged_by_the_present() {
    let checked = |begun, decision| {
        broken(until_ending(), |history| {
            let answer = ("ann", decision, token(0, 2));
            let asked = check_of(0, (begun, begun + 10), Freshness::FullyConsistent, answer);
            history.operations.push(asked);
        })
    };
    assert_eq!(checked(1_300, Decision::Allowed), []);
    assert_eq!(checked(1_549, Decision::Allowed), []);
    assert_eq!(checked(1_550, Decision::Allowed), [Rule::ClocksAreNear]);
    assert_eq!(checked(1_440, Decision::Denied), []);
    assert_eq!(checked(1_439, Decision::Denied), [Rule::ClocksAreNear]);
}

#[test]
fn a_commit_that_is_ahead_of_the_present_is_found() {
    let with_last_at = |millis| {
        broken(good(), |history| {
            *written(history, 5) = Written::Acknowledged(token(0, 4));
            history.branches[0].entries[3].time = at(millis);
        })
    };
    assert_eq!(with_last_at(650), []);
    assert_eq!(with_last_at(651), [Rule::ClocksAreNear]);
}

#[test]
fn a_node_with_a_wrong_clock_is_judged_by_it_and_then_has_to_be_silent() {
    // The clock of node 0 is a second ahead, from 1 s on.
    let checked = |node, begun| {
        broken(until_ending(), |history| {
            history.jumps = vec![Jump {
                node: 0,
                by: Duration::from_secs(1),
                at: at(1_000),
                noticed: at(1_200),
                back: at(1_300),
            }];
            let answer = ("ann", Decision::Denied, token(0, 2));
            let times = (begun, begun + 10);
            let asked = check_of(node, times, Freshness::FullyConsistent, answer);
            history.operations.push(asked);
        })
    };
    assert_eq!(checked(0, 900), [Rule::ClocksAreNear]);
    assert_eq!(checked(0, 1_100), []);
    assert_eq!(checked(1, 1_100), [Rule::ClocksAreNear]);
    assert_eq!(checked(0, 1_200), [Rule::WrongClocksAreSilent]);
    assert_eq!(checked(0, 1_301), [Rule::ClocksAreNear]);
}

#[test]
fn answers_from_a_lost_branch_are_found() {
    let asked = |freshness, begun, (branch, revision)| {
        let mut history = forked();
        let decision = match (branch, revision) {
            (9, 4) => Decision::Denied,
            _ => Decision::Allowed,
        };
        let answer = ("bob", decision, token(branch, revision));
        history
            .operations
            .push(check_of(3, (begun, begun + 10), freshness, answer));
        check(&history)
            .iter()
            .map(|found| found.rule)
            .collect::<Vec<_>>()
    };
    let (new, old) = (token(9, 4), token(0, 4));
    // For as long as a node may be without news, it cannot know.
    assert_eq!(asked(Freshness::MinimizeLatency, 1_000, (0, 4)), []);
    assert_eq!(asked(Freshness::AtLeastAsFresh(old), 1_000, (0, 4)), []);
    assert_eq!(
        asked(Freshness::MinimizeLatency, 1_801, (0, 4)),
        [Rule::NoLostBranch]
    );
    assert_eq!(
        asked(Freshness::AtExactSnapshot(old), 1_801, (0, 4)),
        [Rule::NoLostBranch]
    );
    // One that asks the store can.
    assert_eq!(
        asked(Freshness::FullyConsistent, 701, (0, 4)),
        [Rule::NoLostBranch]
    );
    assert_eq!(asked(Freshness::FullyConsistent, 695, (0, 4)), []);
    // And a token of the new branch is not in the past of the old one.
    assert_eq!(
        asked(Freshness::AtLeastAsFresh(new), 900, (0, 4)),
        [Rule::AtLeastAsFresh]
    );
    assert_eq!(asked(Freshness::AtLeastAsFresh(new), 900, (9, 4)), []);
    assert_eq!(
        asked(Freshness::AtLeastAsFresh(token(0, 3)), 900, (9, 4)),
        []
    );
}

#[test]
fn a_write_that_only_a_lost_branch_has_is_lost() {
    let found = broken(forked(), |history| {
        let lost = Written::Acknowledged(token(0, 4));
        (history.operations[5].begun, history.operations[5].ended) = (at(710), at(720));
        *written(history, 5) = lost;
    });
    assert!(found.contains(&Rule::AcknowledgedIsKept), "{found:?}");
    // Acknowledged before the standby took over, it was durable as far as anybody could tell.
    let found = broken(forked(), |history| {
        *written(history, 5) = Written::Acknowledged(token(0, 4));
    });
    assert_eq!(found, []);
}

#[test]
fn a_node_does_not_change_branches() {
    let found = broken(forked(), |history| {
        let answer = ("bob", Decision::Denied, token(9, 4));
        history
            .operations
            .push(check_of(1, (900, 910), Freshness::MinimizeLatency, answer));
    });
    assert_eq!(found, [Rule::NodesNeverGoBack]);
}
