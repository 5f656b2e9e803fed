//! What look-ups cost, in edges: which side is walked, what is read whole and what is probed, and where a search ends early.

use super::*;

const DOCS: &str = "caveat asked(n int) {\n n > 5\n}\ndefinition user {}\ndefinition robot {}\n\
                    definition group {\n relation member: user\n}\ndefinition doc {\n\
                    relation viewer: user | user with asked\n relation editor: user | robot\n relation owner: user\n\
                    relation reader: user | user:* | robot:*\n relation team: user | group#member\n relation maker: robot\n\
                    permission any = editor + owner\n permission own = owner + maker\n\
                    permission both = viewer & editor\n permission left = viewer - editor\n permission open = viewer & reader\n\
                    permission each = viewer & editor & owner\n permission staff = viewer & team\n\
                    permission again = any & both\n permission known = own & each\n}\n";

/// `user:ann` as `relation` on so many documents.
fn list(relation: &str, length: usize) -> Vec<String> {
    (0..length)
        .map(|n| format!("doc:d{n}#{relation}@user:ann"))
        .collect()
}

fn cost_of_docs(rows: &[String], member: &str) -> u64 {
    resources((DOCS, rows), ("doc", member, "user:ann"), DEPTH_MAX).1
}

/// Two documents against a list of so many: from three times their number on in whole fours, two probes are cheaper.
#[test]
fn a_long_list_is_probed_where_few_are_left() {
    let certain = list("viewer", 2);
    let conditional = rows(&["doc:d0#viewer@user:ann", "doc:d1#viewer@user:ann[asked]"]);
    for viewers in [certain, conditional] {
        for member in ["both", "left"] {
            for (length, cost) in [(8, 2 + 8), (11, 2 + 11), (12, 2 + 2)] {
                let rows = [viewers.clone(), list("editor", length)].concat();
                assert_eq!(
                    cost_of_docs(&rows, member),
                    cost,
                    "{member} of {length}: {viewers:?}"
                );
            }
        }
    }
}

/// Nothing that another kind of subject has is read, so it makes no list longer.
#[test]
fn a_list_is_as_long_as_what_is_read_of_it() {
    let mut others = vec!["doc:d0#editor@robot:r".to_owned()];
    for n in 0..9 {
        others.push(format!("doc:e{n}#editor@robot:r"));
        others.push(format!("doc:e{n}#reader@robot:*"));
    }
    let edited = [others.clone(), list("viewer", 2), list("editor", 8)].concat();
    assert_eq!(cost_of_docs(&edited, "both"), 2 + 8);
    // Of each object its own relationship and the wildcard's are probed.
    for (for_all, cost) in [(10, 2 + 1 + 10), (11, 2 + 2 * 2)] {
        let mut open = [others.clone(), list("viewer", 2), list("reader", 1)].concat();
        open.extend((0..for_all).map(|n| format!("doc:d{n}#reader@user:*")));
        assert_eq!(cost_of_docs(&open, "open"), cost, "{for_all}");
    }
}

#[test]
fn a_list_that_is_known_is_not_probed() {
    let rows = [list("viewer", 2), list("editor", 12)].concat();
    assert_eq!(cost_of_docs(&rows, "again"), 2 + 12);
}

/// Nobody owns what the subject views, and that is known before the documents that it edits are read.
#[test]
fn a_list_that_is_known_is_met_first() {
    let mut rows = [list("owner", 5), list("editor", 3)].concat();
    rows.extend(["viewer", "editor"].map(|relation| format!("doc:d9#{relation}@user:ann")));
    assert_eq!(cost_of_docs(&rows, "known"), 5 + 1);
}

#[test]
fn nothing_is_read_once_nothing_is_left() {
    let apart = [rows(&["doc:d9#viewer@user:ann"]), list("editor", 2)].concat();
    let each = [apart, list("owner", 3)].concat();
    assert_eq!(cost_of_docs(&each, "each"), 1 + 2);
    assert_eq!(cost_of_docs(&list("editor", 3), "left"), 0);
    assert_eq!(cost_of_docs(&list("viewer", 3), "staff"), 0);
}

/// What leads to sets is worked out before any list is looked at.
#[test]
fn a_relation_with_sets_is_no_list() {
    assert_eq!(cost_of_docs(&list("team", 3), "staff"), 3);
}

const FOLDERS: &str = "caveat asked(n int) {\n n > 5\n}\ndefinition user {}\ndefinition robot {}\ndefinition folder {\n\
                       relation parent: folder | folder with asked\n relation viewer: user | user with asked\n relation gate: user\n\
                       relation banned: user\n permission view = viewer + parent->view\n\
                       permission kept = (viewer + parent->kept) - banned\n permission open = viewer + (gate & parent->open)\n}\n\
                       definition doc {\n relation parent: folder\n relation maker: robot\n relation owner: user\n\
                       permission view = parent->viewer\n permission made = owner + (maker & parent->viewer)\n}\n";

fn folders(rows: &[String], member: &str) -> (Vec<String>, u64) {
    resources((FOLDERS, rows), ("folder", member, "user:ann"), DEPTH_MAX)
}

/// Eight documents in a folder each: from the folders of the subject, if those are no more than a quarter of that.
#[test]
fn few_objects_are_gone_from_and_many_looked_for() {
    for (viewed, cost) in [(1, 1 + 1), (2, 2 + 2), (3, 3 + 8)] {
        let mut rows: Vec<String> = (0..8)
            .map(|n| format!("doc:d{n}#parent@folder:f{n}"))
            .collect();
        rows.extend((0..viewed).map(|n| format!("folder:f{n}#viewer@user:ann")));
        let found = resources((FOLDERS, &rows), ("doc", "view", "user:ann"), DEPTH_MAX);
        assert_eq!((found.0.len(), found.1), (viewed, cost));
    }
}

#[test]
fn nothing_is_read_beside_what_cannot_hold_the_subject() {
    let rows = rows(&[
        "doc:d#parent@folder:f",
        "doc:d#maker@robot:r",
        "folder:f#viewer@user:ann",
    ]);
    let asked = ("doc", "made", "user:ann");
    assert_eq!(resources((FOLDERS, &rows), asked, DEPTH_MAX).1, 0);
}

/// Each folder is met once, from the one above it, also where an exclusion takes some of them away.
#[test]
fn a_chain_of_unions_is_gone_along() {
    let rows = rows(&[
        "folder:f0#viewer@user:ann",
        "folder:f1#parent@folder:f0",
        "folder:f2#parent@folder:f1",
    ]);
    let all = ["f0", "f1", "f2"].map(str::to_owned).to_vec();
    assert_eq!(folders(&rows, "view"), (all.clone(), 1 + 2));
    // Whether a folder is kept is asked of itself, too.
    assert_eq!(folders(&rows, "kept"), (all, 1 + 2 + 2));
}

/// A folder in eight others, of which the last ones are open: those are looked for in it while they are few.
#[test]
fn the_shorter_list_of_two_is_walked() {
    let scene = |open: std::ops::Range<usize>| {
        let mut rows = rows(&["folder:top#gate@user:ann"]);
        rows.extend((0..8).map(|n| format!("folder:top#parent@folder:p{n}")));
        rows.extend(open.map(|n| format!("folder:p{n}#viewer@user:ann")));
        folders(&rows, "open")
    };
    // The list of the viewer, the way up from each, the gate, and what lies between the two.
    let found = ["p7", "top"].map(str::to_owned).to_vec();
    assert_eq!(scene(7..8), (found, 1 + 1 + 1 + 1));
    let found = ["p6", "p7", "top"].map(str::to_owned).to_vec();
    assert_eq!(scene(6..8), (found, 2 + 2 + 1 + 7));
}

/// The list of the viewer, what lies above the certain one, and what lies above the other.
#[test]
fn what_is_certain_is_not_asked_again_for_a_condition() {
    let rows = rows(&[
        "folder:f#viewer@user:ann[asked]",
        "folder:sure#viewer@user:ann",
        "folder:g#parent@folder:sure",
        "folder:g#parent@folder:f",
        "folder:h#parent@folder:f[asked:{\"n\":1}]",
    ]);
    let found = ["f?", "g", "sure"].map(str::to_owned).to_vec();
    assert_eq!(folders(&rows, "view"), (found, 2 + 1 + 2));
}

/// One level less, and it takes the equations, which have their edges once more.
#[test]
fn within_the_depth_no_equations_are_needed() {
    let rows = rows(&[
        "folder:f0#viewer@user:ann",
        "folder:f1#parent@folder:f0",
        "folder:f2#parent@folder:f1",
    ]);
    let up = |depth_max| resources((FOLDERS, &rows), ("folder", "view", "user:ann"), depth_max).1;
    let down = |depth_max| subjects((FOLDERS, &rows), ("folder:f2", "view", "user"), depth_max).1;
    assert_eq!((up(4), down(4)), (3, 3));
    assert_eq!(up(3), 3 + 3);
    // Somebody and the user are walked to from the folder, and have their equations.
    assert_eq!(down(3), 3 + (2 + 2) + (2 + 3));
}

/// Groups in a circle all have the same subjects: each relationship is looked at once.
#[test]
fn a_circle_of_groups_is_gone_around_once() {
    let schema =
        "definition user {}\ndefinition group {\n relation member: user | group#member\n}\n";
    let rows = rows(&[
        "group:g0#member@group:g1#member",
        "group:g1#member@group:g0#member",
        "group:g1#member@user:ann",
    ]);
    let found = subjects((schema, &rows), ("group:g0", "member", "user"), DEPTH_MAX);
    assert_eq!(found, (vec!["ann".to_owned()], 3));
}

#[test]
fn nothing_is_looked_for_behind_a_relationship_that_does_not_count() {
    let rows = rows(&[
        "folder:f#parent@folder:e[asked:{\"n\":1}]",
        "folder:e#viewer@user:ann",
        "folder:e#parent@folder:d",
    ]);
    let found = subjects((FOLDERS, &rows), ("folder:f", "view", "user"), DEPTH_MAX);
    assert_eq!(found, (Vec::new(), 1));
}
