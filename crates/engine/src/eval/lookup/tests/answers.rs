//! What look-ups find in scenes that random cases seldom come to.

use super::*;

/// Also where only what lies above a document tells whether its list matters.
#[test]
fn a_list_holds_the_set_that_it_is_and_no_other() {
    let schema = "definition user {}\ndefinition doc {\n relation parent: doc\n relation viewer: user\n relation base: doc#viewer\n\
                  permission view = base + (viewer & parent->view)\n}\n";
    let rows = rows(&[
        "doc:p#base@doc:x#viewer",
        "doc:x#parent@doc:p",
        "doc:y#parent@doc:p",
    ]);
    let (found, _) = resources((schema, &rows), ("doc", "view", "doc:x#viewer"), DEPTH_MAX);
    assert_eq!(found, ["p", "x"]);
}

/// Those whom a wildcard covers are listed where a relationship of their own counts, on either side.
#[test]
fn who_is_named_beside_a_wildcard_is_listed() {
    let schema = "definition user {}\ndefinition doc {\n relation first: user | user:*\n relation second: user | user:*\n relation third: user\n\
                  permission either = first + second\n permission both = first & second\n permission left = first - third\n permission open = first + third\n}\n";
    let rows = rows(&[
        "doc:d#first@user:*",
        "doc:d#first@user:ann",
        "doc:d#first@user:cat",
        "doc:d#second@user:*",
        "doc:d#second@user:bob",
        "doc:d#second@user:cat",
        "doc:d#third@user:cat",
        "doc:d#third@user:dan",
    ]);
    let named = |member| subjects((schema, &rows), ("doc:d", member, "user"), DEPTH_MAX).0;
    assert_eq!(named("either"), ["ann", "bob", "cat"]);
    assert_eq!(named("both"), ["ann", "bob", "cat"]);
    assert_eq!(named("left"), ["ann"]);
    assert_eq!(named("open"), ["ann", "cat", "dan"]);
}

/// Everybody is known to themselves, and to some whoever asks is: so who asks may be named by no relationship.
#[test]
fn who_is_named_nowhere_is_listed_in_their_place() {
    let schema = "use self\ndefinition user {\n relation friend: user:*\n permission known = self + friend\n}\n";
    let rows = rows(&["user:bob#friend@user:*", "user:kim#friend@user:*"]);
    let known_to = |id: &str| {
        let subject = format!("user:{id}");
        resources((schema, &rows), ("user", "known", &subject), DEPTH_MAX).0
    };
    assert_eq!(known_to("ann"), ["ann", "bob", "kim"]);
    assert_eq!(known_to("eve"), ["bob", "eve", "kim"]);
    assert_eq!(known_to("zoe"), ["bob", "kim", "zoe"]);
    let snapshot = parsed(schema, &rows);
    let eve = "user:eve".parse().unwrap();
    let query = ResourcesQuery::resolve(&snapshot, "user", "known", &eve).unwrap();
    let environment = limited(DEPTH_MAX, EDGES_MAX);
    let found = lookup_resources(&snapshot, &query, environment, &AtomicBool::new(false)).unwrap();
    assert_eq!(pages_fault(&found, &snapshot), None);
}
