//! Witnesses where a permission rests on the absence of others: what is given as the reason must not rest on what it is
//! the reason for. Alone it would be enough, but not beside the relationships that the witness holds for something else.

use super::*;

/// Positions of a game: who is to move wins by a move to a lost one, and nothing is lost that can be won.
const GAME: &str = "caveat never(n int) {\n n > 5\n}\ndefinition user {}\ndefinition pos {\n relation player: user\n relation stop: user\n\
                    relation jump: pos\n relation move: pos\n relation step: pos | pos with never\n relation back: pos\n\
                    permission win = jump->lost + move->lost\n permission lost = player - win\n\
                    permission bound = step.all(free)\n permission free = player - bound\n\
                    permission held = (back->loose - stop) & step->loose\n permission loose = player - held\n\
                    permission played = back->player & step->player\n permission moved = move->player\n}\n\
                    definition doc {\n relation start: pos\n relation beside: pos\n permission won = start->win & beside->moved\n\
                    permission freed = start->free & beside->player\n permission loosened = start->loose & beside->played\n}\n";

/// What `member` of the document comes to by its witness alone, which holds some relationships and not others.
fn alone(scene: &[&str], member: &str, (held, left_out): (&str, &str)) -> Told {
    let asked = ("doc:d", member, "user:ann");
    let (snapshot, query) = resolved(GAME, &rows(scene), asked);
    let (decision, found) = witness(&snapshot, &query, limited(50, EDGES_MAX)).unwrap();
    assert_eq!(decision, Decision::Allowed);
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.iter().any(|row| row == held), "{found:?}");
    assert!(!found.iter().any(|row| row == left_out), "{found:?}");
    ask(GAME, &found, asked.0, asked.1, asked.2)
}

/// From a one can move to b, which is lost only because a is won, and to c, from where there is no move.
#[test]
fn a_win_does_not_rest_on_what_is_lost_by_it() {
    let scene = |to_b: &str| {
        let to_b = format!("pos:a#{to_b}@pos:b");
        let rows = [
            "doc:d#start@pos:a",
            "doc:d#beside@pos:b",
            &to_b,
            "pos:b#move@pos:a",
            "pos:a#move@pos:c",
            "pos:a#player@user:ann",
            "pos:b#player@user:ann",
            "pos:c#player@user:ann",
        ];
        alone(&rows, "won", ("pos:a#move@pos:c", &to_b))
    };
    assert_eq!(scene("move"), Ok(Decision::Allowed));
    assert_eq!(scene("jump"), Ok(Decision::Allowed));
}

/// A union is as early as its earliest part: a move to c is, though there is one to b as well.
#[test]
fn the_earliest_part_of_a_union_counts() {
    let rows = [
        "doc:d#start@pos:a",
        "doc:d#beside@pos:b",
        "pos:a#jump@pos:b",
        "pos:a#move@pos:b",
        "pos:b#move@pos:a",
        "pos:a#move@pos:c",
        "pos:a#player@user:ann",
        "pos:b#player@user:ann",
        "pos:c#player@user:ann",
    ];
    let told = alone(&rows, "won", ("pos:a#move@pos:c", "pos:a#jump@pos:b"));
    assert_eq!(told, Ok(Decision::Allowed));
}

/// That a is not bound is due to the step that does not count, and not to b, which is bound by a.
#[test]
fn a_relationship_that_does_not_count_is_the_first_reason() {
    let rows = [
        "doc:d#start@pos:a",
        "doc:d#beside@pos:b",
        "pos:a#step@pos:b",
        "pos:b#step@pos:a",
        "pos:a#step@pos:c[never:{\"n\":1}]",
        "pos:c#step@pos:a",
        "pos:a#player@user:ann",
        "pos:b#player@user:ann",
        "pos:c#player@user:ann",
    ];
    let held = ("pos:a#step@pos:c[never:{\"n\":1}]", "pos:a#step@pos:b");
    assert_eq!(alone(&rows, "freed", held), Ok(Decision::Allowed));
}

/// That a is not held is due to its stop, although what that takes away comes late.
#[test]
fn an_exclusion_that_bites_is_as_early_as_its_right_side() {
    let rows = [
        "doc:d#start@pos:a",
        "doc:d#beside@pos:a",
        "pos:a#back@pos:c",
        "pos:a#stop@user:ann",
        "pos:a#step@pos:b",
        "pos:b#back@pos:a",
        "pos:b#step@pos:a",
        "pos:c#back@pos:a",
        "pos:c#step@pos:b",
        "pos:a#player@user:ann",
        "pos:b#player@user:ann",
        "pos:c#player@user:ann",
    ];
    let held = ("pos:a#stop@user:ann", "pos:b#step@pos:a");
    assert_eq!(alone(&rows, "loosened", held), Ok(Decision::Allowed));
}

/// The relationships of the witness of a denial.
fn denied(schema: &str, scene: &[&str]) -> Vec<String> {
    let (snapshot, query) = resolved(schema, &rows(scene), ("doc:d", "view", "user:ann"));
    let (decision, found) = witness(&snapshot, &query, limited(50, EDGES_MAX)).unwrap();
    assert_eq!(decision, Decision::Denied);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn who_has_nothing_is_denied_by_that_and_not_by_an_exclusion() {
    let schema = "definition user {}\ndefinition doc {\n relation viewer: user\n relation banned: user\n\
                  permission view = viewer - banned\n}\n";
    assert!(denied(schema, &["doc:d#banned@user:ann"]).is_empty());
}

/// The right side takes nothing away, so what counts is that of the left side, however late that is known.
#[test]
fn an_exclusion_that_does_not_bite_is_no_reason() {
    let schema = "definition user {}\ndefinition doc {\n relation viewer: user\n relation gone: user\n relation banned: user\n\
                  permission deep = (viewer - gone) - banned\n permission view = deep - banned\n}\n";
    let rows = ["doc:d#viewer@user:ann", "doc:d#gone@user:ann"];
    assert_eq!(denied(schema, &rows), ["doc:d#gone@user:ann"]);
}
