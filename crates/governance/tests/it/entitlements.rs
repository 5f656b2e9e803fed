//! Files of entitlements: what is refused with its place, the canonical form, versions.

use expect_test::{Expect, expect};
use governance::{Entitlement, Entitlements};
use proptest::prelude::*;
use schema::Schema;

use crate::world::{BY_HOLDER, SCHEMA, SELF_SERVICE, TWO_STEPS, access, entitlement, entitlements};

fn read(text: &str) -> Result<Entitlements, String> {
    let schema = Schema::compile(SCHEMA).unwrap();
    Entitlements::read("e.yaml", text, &schema).map_err(|faults| faults.to_string())
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&read(text).err().unwrap_or_else(|| "no fault".to_owned()));
}

#[test]
fn every_fault_of_form_is_told_at_once_with_its_place() {
    let text = "
version: 2
entitlments: []
entitlements:
  - name: two words
    resource: database
    ids: some
    relations: [admin, admin, Admin]
    subjects: [user]
    eligible: [everybody, 'user:*']
    owners: [resource#owner]
    for_others: maybe
    risk: extreme
    reason: 7
    duration: {max: 1 hour}
    steps:
      - {name: a, approvers: [resource#], need: 1.5}
      - {approvers: [], approver: []}
    remind: 12h
  - 17
";
    check(
        text,
        expect![[r#"
        e.yaml:2:10: this program reads files of version 1
        e.yaml:3:1: unknown key `entitlments` of `the file`; did you mean `entitlements`?
        e.yaml:5:11: `name`: `two words` is no name of an entitlement: expected 1 to 64 letters, digits, `_`, `.` or `-`
        e.yaml:7:10: `some` is no `ids`; expected `all`
        e.yaml:8:24: `admin` stands twice in `relations`
        e.yaml:8:31: an entry of `relations`: relation name `Admin` does not match `^[a-z][a-z0-9_]{1,62}[a-z0-9]$`
        e.yaml:10:16: an entry of `eligible`: expected `resource#PERMISSION`, `TYPE:ID#PERMISSION` or `TYPE:ID`: expected `:` in `everybody`, as in `document:readme#viewer@user:ann`
        e.yaml:10:27: an entry of `eligible`: a wildcard is nobody who could be asked; name a group, or a permission
        e.yaml:12:17: expected `true` or `false` for `for_others`, found a text
        e.yaml:13:11: `extreme` is no `risk`; expected `low` or `medium` or `high` or `critical`
        e.yaml:14:13: expected a text for `reason`, found a number
        e.yaml:15:21: `max`: `1 hour` is no length of time such as `30m`, `8h` or `1d12h`
        e.yaml:17:31: an entry of `approvers`: expected `resource#PERMISSION`, `TYPE:ID#PERMISSION` or `TYPE:ID`: relation name `` does not match `^[a-z][a-z0-9_]{1,62}[a-z0-9]$`
        e.yaml:17:49: expected a whole number for `need`, found a number
        e.yaml:18:9: an entry of `steps` has no `name`
        e.yaml:18:25: unknown key `approver` of an entry of `steps`; did you mean `approvers`?
        e.yaml:19:13: expected a list for `remind`, found a text
        e.yaml:20:5: expected a map for an entitlement, found a number"#]],
    );
}

#[test]
fn every_fault_of_sense_is_told_at_once_with_its_place() {
    let text = "
version: 1
entitlements:
  - name: db
    resource: database
    ids: [prod-*, 'a b']
    relations: [admin]
    subjects: [user, group#member]
    eligible: []
    owners: [resource#owner]
    ticket: {pattern: 'OPS-['}
    duration: {default: 9h, max: 8h}
    pending: 1d
    extensions: {automatic: 0, each: 9h}
    steps:
      - {name: a, approvers: ['user:ann', 'user:bob'], need: 3}
      - {name: a, approvers: [resource#approver], need: 0}
    remind: [12h, 6h, 24h]
    escalate: {after: 25h, to: [resource#owner]}
    warn: 9h
    break_glass: {holders: [resource#oncall], max: 10h}
  - name: db
    resource: database
    ids: all
    relations: [admin]
    subjects: [user]
    eligible: [resource#oncall]
    owners: [resource#owner]
    duration: {max: 8h}
    steps: []
";
    check(
        text,
        expect![[r#"
        e.yaml:6:19: an id, or a pattern of ids with `*` for any text, was expected
        e.yaml:8:22: nobody is `group#member` to ask for themselves: set `for_others: true`
        e.yaml:9:15: `eligible` has 0 entries: expected 1 to 16
        e.yaml:11:23: no regular expression: unclosed character class
        e.yaml:12:25: `duration/default` is 9h, longer than the maximum, 8h
        e.yaml:14:29: expected at least 1; leave `extensions` out where each extension is a decision
        e.yaml:14:38: `extensions/each` is 9h, longer than the maximum of a grant, 8h
        e.yaml:16:62: 3 have to approve, and there are only 2 who could
        e.yaml:17:16: there is a step `a` before
        e.yaml:17:57: `need` is 0: expected 1 to 10
        e.yaml:18:13: the times of reminders have to rise
        e.yaml:18:23: a reminder after 1d comes never: the request has expired after 1d
        e.yaml:19:23: an escalation after 1d1h comes never: the request has expired after 1d
        e.yaml:20:11: `warn` is 9h, longer than the maximum of a grant, 8h
        e.yaml:21:52: `break_glass/max` is 10h, longer than the limit, 8h
        e.yaml:21:52: `break_glass/max` is 10h, longer than the maximum of a grant, 8h
        e.yaml:22:5: there is an entitlement `db` in line 4"#]],
    );
}

#[test]
fn every_fault_against_the_schema_is_told_at_once_with_its_place() {
    let text = "
version: 1
entitlements:
  - name: unknown-definition
    resource: databse
    ids: all
    relations: [admin]
    subjects: [user]
    eligible: [resource#oncall]
    owners: [resource#owner]
    duration: {max: 8h}
    steps: []
  - name: unknown-names
    resource: database
    ids: all
    permission: administr
    relations: [admn, administer]
    subjects: [user]
    eligible: [resource#on_call, 'team:payments#members', 'usr:ann']
    owners: [resource#ownr]
    duration: {max: 8h}
    steps:
      - {name: a, approvers: [resource#approver, 'crew:x#lead']}
    escalate: {after: 1h, to: [resource#nobody]}
    break_glass: {holders: [resource#firefighter]}
  - name: wrong-relation
    resource: database
    ids: all
    permission: own
    relations: [admin]
    subjects: [user]
    eligible: [resource#oncall]
    owners: [resource#owner]
    duration: {max: 8h}
    steps: []
  - name: wrong-subjects
    resource: database
    ids: all
    relations: [plain, gated, oncall]
    for_others: true
    subjects: [user, 'group#member', 'group#members', team, person]
    eligible: [resource#oncall]
    owners: [resource#owner]
    duration: {max: 8h}
    steps: []
";
    check(
        text,
        expect![[r#"
        e.yaml:5:15: there is no definition `databse`; did you mean `database`?
        e.yaml:16:17: definition `database` has no relation or permission `administr`; did you mean `administer`?
        e.yaml:17:17: definition `database` has no relation or permission `admn`; did you mean `admin`?
        e.yaml:17:23: `administer` is a permission, which nothing is written to: name it as `permission`, and here the relations that give it
        e.yaml:19:16: definition `database` has no relation or permission `on_call`; did you mean `oncall`?
        e.yaml:19:34: definition `team` has no relation or permission `members`; did you mean `member`?
        e.yaml:19:59: there is no definition `usr`; did you mean `user`?
        e.yaml:20:14: definition `database` has no relation or permission `ownr`; did you mean `own`?
        e.yaml:23:50: there is no definition `crew`
        e.yaml:24:32: definition `database` has no relation or permission `nobody`
        e.yaml:25:29: definition `database` has no relation or permission `firefighter`
        e.yaml:30:17: permission `own` does not rest on relation `admin`
        e.yaml:41:16: relation `gated` takes `user with office_hours and expiration` and no `user with expiration`: grants expire
        e.yaml:41:16: relation `oncall` takes `user` and no `user with expiration`: grants expire
        e.yaml:41:16: relation `plain` takes `user` and no `user with expiration`: grants expire
        e.yaml:41:22: relation `gated` takes no `group#member`
        e.yaml:41:22: relation `oncall` takes no `group#member`
        e.yaml:41:22: relation `plain` takes `group#member` and no `group#member with expiration`: grants expire
        e.yaml:41:38: relation `gated` takes no `group#members`: definition `group` has no relation or permission `members`; did you mean `member`?
        e.yaml:41:38: relation `oncall` takes no `group#members`: definition `group` has no relation or permission `members`; did you mean `member`?
        e.yaml:41:38: relation `plain` takes no `group#members`: definition `group` has no relation or permission `members`; did you mean `member`?
        e.yaml:41:55: relation `gated` takes no `team`
        e.yaml:41:55: relation `oncall` takes no `team`
        e.yaml:41:55: relation `plain` takes no `team`
        e.yaml:41:61: relation `gated` takes no `person`: there is no definition `person`
        e.yaml:41:61: relation `oncall` takes no `person`: there is no definition `person`
        e.yaml:41:61: relation `plain` takes no `person`: there is no definition `person`"#]],
    );
}

#[test]
fn what_is_no_file_of_entitlements_is_told() {
    check(
        "a: [",
        expect!["e.yaml:1:4: unclosed bracket '[' at line 1, column 4"],
    );
    check(
        "version: 1",
        expect!["e.yaml:1:1: `the file` has no `entitlements`"],
    );
    check(
        "version: 1\nentitlements: {}",
        expect!["e.yaml:2:15: expected a list for `entitlements`, found a map"],
    );
    check(
        "[]",
        expect!["e.yaml:1:1: expected a map for `the file`, found a list"],
    );
    let long = format!("version: 1\nentitlements: []\n# {}", "x".repeat(1 << 20));
    check(
        &long,
        expect!["e.yaml:1:1: the file has 1048606 bytes, at most 1048576 are read"],
    );
    let many = format!("version: 1\nentitlements: [{}]", "1, ".repeat(1_001));
    check(
        &many,
        expect!["e.yaml:2:15: there are 1001 entitlements, at most 1000 are read"],
    );
}

#[test]
fn the_canonical_file_has_every_key() {
    let printed = entitlements(TWO_STEPS).to_string();
    expect![[r#"
        version: 1
        entitlements:
          - name: db
            description: ""
            risk: medium
            resource: database
            ids: ["prod-*"]
            permission: administer
            relations: [admin]
            subjects: ["group#member", user]
            eligible: ["resource#oncall", "team:payments#member"]
            for_others: true
            owners: ["resource#owner"]
            reason: required
            ticket: {pattern: "OPS-[0-9]+", need: optional}
            duration: {default: 4h, max: 12h}
            pending: 1d
            ahead: 7d
            activation: {by: clock, window: 2h}
            extensions: {automatic: 2, each: 2h}
            steps:
              - {name: lead, approvers: ["team:payments#lead", "user:zoe"], need: 1}
              - {name: owners, approvers: ["resource#approver", "user:zoe"], need: 2}
            remind: ["12h", "18h"]
            escalate: {after: 20h, to: ["resource#owner", "user:zoe"]}
            warn: 15m
            break_glass: {holders: ["resource#oncall"], max: 1h, review: 3d}
    "#]]
    .assert_eq(&printed);
    assert_eq!(read(&printed).unwrap(), entitlements(TWO_STEPS));
    let printed = entitlements(SELF_SERVICE).to_string();
    expect![[r#"
        version: 1
        entitlements:
          - name: db
            description: ""
            risk: medium
            resource: database
            ids: [prod-1, prod-2]
            relations: [reader]
            subjects: [user]
            eligible: ["resource#oncall"]
            for_others: false
            owners: ["resource#owner"]
            reason: required
            duration: {default: 8h, max: 8h}
            pending: 1d
            activation: {by: clock, window: 1d}
            extensions: {automatic: 1, each: 1h}
            steps: []
            break_glass: {holders: ["resource#oncall"], max: 30m, review: 3d}
    "#]]
    .assert_eq(&printed);
}

#[test]
fn the_version_changes_with_anything_that_is_said() {
    let version = |text: &str| entitlement(text).version().to_string();
    assert_eq!(version(TWO_STEPS), version(TWO_STEPS));
    // Records pin it: another hash of the same is a break.
    expect!["94ebbbe66307e4d04fae6ab040ece88448cdcbafc8688ce5bc304464764cb6ed"]
        .assert_eq(&version(TWO_STEPS));
    let mut versions = vec![version(TWO_STEPS)];
    for (from, to) in [
        ("12h}", "13h}"),
        ("need: 2", "need: 1"),
        ("resource#approver, 'user:zoe'", "resource#approver"),
        ("[prod-*]", "[prod-1]"),
        ("each: 2h", "each: 1h"),
        ("name: db", "name: db\n    description: the databases"),
        ("window: 2h", "window: 3h"),
        ("review: 72h", "review: 71h"),
    ] {
        let changed = TWO_STEPS.replacen(from, to, 1);
        assert_ne!(changed, TWO_STEPS, "{from}");
        versions.push(version(&changed));
    }
    let count = versions.len();
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), count);
    // Another order, and other words for the same, are the same.
    let same = TWO_STEPS
        .replace("[user, group#member]", "['group#member', \"user\"]")
        .replace("max: 12h", "max: 720m");
    assert_eq!(version(&same), version(TWO_STEPS));
}

#[test]
fn entitlements_are_found_by_name_and_cover_what_they_say() {
    let both = format!(
        "{}{}",
        TWO_STEPS,
        SELF_SERVICE.replace("name: db", "name: a-reader")
    );
    let read = entitlements(&both);
    let names: Vec<&str> = read
        .iter()
        .map(|entitlement| entitlement.name.as_str())
        .collect();
    assert_eq!(names, ["a-reader", "db"]);
    let db = read.find(&"db".parse().unwrap()).unwrap();
    assert!(read.find(&"none".parse().unwrap()).is_none());
    for (text, is_covered) in [
        ("database:prod-1#admin", true),
        ("database:prod-1#reader", false),
        ("database:test-1#admin", false),
        ("table:prod-1#admin", false),
    ] {
        let access = access(&[text]).pop_first().unwrap();
        assert_eq!(db.covers(&access).is_ok(), is_covered, "{text}");
    }
    for (text, is_taken) in [
        ("user:ann", true),
        ("user:*", false),
        ("group:ops#member", true),
        ("group:ops", false),
        ("user:ann#member", false),
    ] {
        assert_eq!(db.takes(&text.parse().unwrap()), is_taken, "{text}");
    }
}

/// Files of one entitlement with random parts, most of which are right.
fn files() -> impl Strategy<Value = String> {
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    let texts = "\\PC{0,12}|[\\x00-\\x20]{0,3}|yes|no|null|~|1e3|0x1f|- a|a: b|#x";
    (
        (word(&["all", "[prod-*]", "[all, '*', 'x']"]), word(&["[admin]", "[admin, reader]"]), texts),
        (word(&["1s", "59m", "36h", "5d"]), word(&["5d", "366d"]), word(&["low", "critical"])),
        (any::<bool>(), 0_usize..4, prop::collection::vec((word(&["[resource#approver]", "['user:ann', 'team:x#lead']"]), 1..3_u16), 0..4)),
        (prop::option::of("[A-Z]{1,4}-[0-9]{1,3}"), prop::option::of(word(&["1m", "5h"])), any::<bool>()),
    )
        .prop_map(|((ids, relations, text), (default, max, risk), (is_by_holder, extensions, steps), (ticket, escalate, has_glass))| {
            let quoted = serde_json::to_string(&text).unwrap();
            let steps: Vec<String> =
                steps.iter().enumerate().map(|(ix, (approvers, need))| format!("{{name: s{ix}, approvers: {approvers}, need: {need}}}")).collect();
            let mut file = format!(
                "version: 1\nentitlements:\n  - name: x.1\n    description: {quoted}\n    resource: database\n    ids: {ids}\n    relations: {relations}\n    subjects: [user]\n    eligible: [resource#oncall]\n    owners: ['user:no', resource#owner]\n    risk: {risk}\n    duration: {{default: {default}, max: {max}}}\n    steps: [{}]\n    activation: {{by: {}}}\n",
                steps.join(", "),
                if is_by_holder { "holder" } else { "clock" },
            );
            if let Some(ticket) = ticket {
                file += &format!("    ticket: {{pattern: '{ticket}'}}\n");
            }
            if let Some(after) = escalate {
                file += &format!("    escalate: {{after: {after}, to: [resource#owner]}}\n    remind: [{after}]\n    warn: 1m\n");
            }
            if extensions > 0 {
                file += &format!("    extensions: {{automatic: {extensions}, each: 1s}}\n");
            }
            if has_glass {
                file += "    break_glass: {holders: [resource#oncall], max: 1h}\n";
            }
            file
        })
}

proptest! {
    #[test]
    fn the_canonical_form_is_read_back_as_the_same(file in files()) {
        let read = self::read(&file).map_err(TestCaseError::fail)?;
        let printed = read.to_string();
        let again = self::read(&printed).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&again, &read);
        prop_assert_eq!(again.to_string(), printed);
        let entitlement = read.iter().next().unwrap();
        let kept = Entitlement::from_json(&entitlement.to_json()).unwrap();
        prop_assert_eq!(kept.version(), entitlement.version());
        prop_assert_eq!(&kept, entitlement);
    }

    #[test]
    fn no_text_is_a_panic(text in "\\PC{0,80}|(version: 1\n)?entitlements:\n( {2}- [a-z_]{1,9}: ?[\\[{a-z:#0-9]{0,9}\n){0,4}") {
        let _ = read(&text);
    }
}

#[test]
fn the_fixtures_have_no_fault_in_their_schema_and_some_in_another() {
    let other = Schema::compile("definition user {}").unwrap();
    for text in [TWO_STEPS, BY_HOLDER, SELF_SERVICE] {
        let entitlement = entitlement(text);
        assert_eq!(entitlement.faults_in(&Schema::compile(SCHEMA).unwrap()), []);
        assert!(!entitlement.faults_in(&other).is_empty());
    }
}
