//! The rules that no recorded answer shows: several faults at once, hints, limits, differences, kinds of subjects.

use expect_test::{Expect, expect};
use schema::{Schema, SchemaErrorClass, diagnose, diff, format};

fn compile(text: &str) -> Schema {
    Schema::compile(text)
        .map_err(|error| error.render("schema", text))
        .unwrap()
}

fn check_faults(text: &str, expected: Expect) {
    let faults = diagnose(text);
    assert_eq!(faults.first(), Schema::compile(text).err().as_ref());
    let told = faults.iter().map(|fault| fault.render("a.zed", text));
    expected.assert_eq(&told.collect::<Vec<_>>().join("\n"));
}

fn check_hint(text: &str, hint: &str) {
    let error = Schema::compile(text).unwrap_err();
    assert_eq!(error.hint(), Some(hint), "{error}");
}

#[test]
fn several_faults_of_reading_are_told_at_once() {
    check_faults(
        "definition user {}\ndefinition doc {\n\trelation aaa user\n\trelation bbb: user\n\tpermission ccc = bbb +\n}\n\
         definiton org {}\ndefinition team {\n\tpermission = nil\n}\n",
        expect![[r#"
            Expected one of: [TokenTypeColon], found: TokenTypeIdentifier
             --> a.zed:3:15
              |
            3 | 	relation aaa user
              | 	             ^^^^
            Expected right hand expression, found: TokenTypeRightBrace
             --> a.zed:6:1
              |
            6 | }
              | ^
            Unexpected token at root level: TokenTypeIdentifier
             --> a.zed:7:1
              |
            7 | definiton org {}
              | ^^^^^^^^^
            Expected identifier, found token TokenTypeEquals
             --> a.zed:9:13
              |
            9 | 	permission = nil
              | 	           ^"#]],
    );
}

#[test]
fn several_faults_of_names_are_told_at_once() {
    check_faults(
        "definition user {}\ndefinition doc {\n\trelation viewer: usr\n\trelation editor: user\n\tpermission change = editr\n\
         \tpermission view = viewer\n}\n",
        expect![[r#"
            could not lookup definition `usr` for relation `viewer`: object definition `usr` not found
             --> a.zed:3:19
              |
            3 | 	relation viewer: usr
              | 	                 ^^^
            help: did you mean `user`?
            relation/permission `editr` not found under definition `doc`
             --> a.zed:5:22
              |
            5 | 	permission change = editr
              | 	                    ^^^^^
            help: did you mean `editor`?"#]],
    );
}

#[test]
fn a_fault_within_a_caveat_is_shown_where_it_is() {
    check_faults(
        "caveat on_day(day string) {\n\tday == \"mon\" ||\n\tdya == \"tue\"\n}\n",
        expect![[r#"
            invalid expression for caveat `on_day`: ERROR: on_day:3:2: undeclared reference to 'dya' (in container '')
             --> a.zed:3:2
              |
            3 | 	dya == "tue"
              | 	^^^"#]],
    );
}

#[test]
fn what_a_terminal_would_obey_is_not_shown() {
    let text = format!("definition user {{}} \u{1b}[31m{}", "x".repeat(10_000));
    let told = Schema::compile(&text).unwrap_err().render("a.zed", &text);
    assert!(!told.contains('\u{1b}') && told.len() < 1_000, "{told}");
}

#[test]
fn hints_say_what_to_do() {
    check_hint(
        "definition user {\n\tpermission aaa = self\n}",
        "`use self` is missing at the top of the schema",
    );
    check_hint(
        "partial aaa {}",
        "`use partial` is missing at the top of the schema",
    );
    check_hint(
        "import \"a.zed\"",
        "`use import` is missing at the top of the schema",
    );
    check_hint("use expiraton\n", "did you mean `expiration`?");
    check_hint(
        "caveat ccc(aaa int) {\n\taaa == 1\n}\ndefinition user {\n\trelation rrr: user with ccc and expiration\n}",
        "`use expiration` is missing at the top of the schema",
    );
    check_hint(
        "definition user {\n\trelation par: user\n\tpermission aaa = par->par->aaa\n}",
        "name a permission on the object in between, and walk to that",
    );
    check_hint(
        "use partial\ndefinition user {\n\t...viewrs\n}\npartial viewers {\n}",
        "did you mean `viewers`?",
    );
    check_hint("definition user {", "a `}` is missing");
}

#[test]
fn what_expands_without_end_is_refused() {
    let mut text = "use partial\ndefinition user {\n\t...p40\n}\npartial p00 {\n}\n".to_owned();
    for n in 1..=40 {
        text.push_str(&format!(
            "partial p{n:02} {{\n\t...p{0:02}\n\t...p{0:02}\n}}\n",
            n - 1
        ));
    }
    let error = Schema::compile(&text).unwrap_err();
    assert_eq!(error.class(), SchemaErrorClass::Other);
    assert_eq!(
        error.to_string(),
        "with its partials taken in, the schema has more than 4194304 bytes"
    );
}

/// Each of these once took time in the square of its length.
#[test]
fn long_schemas_take_no_longer_than_their_length_asks() {
    let n = 20_000;
    let flags = "use self\n".repeat(n);
    compile(&format!(
        "{flags}definition user {{\n\tpermission aaa = self{}\n}}",
        " + self".repeat(n)
    ));
    let chain: String = (1..n)
        .map(|i| format!("\tpermission p{i:05} = p{:05}\n", i + 1))
        .collect();
    compile(&format!(
        "definition user {{\n{chain}\tpermission p{n:05} = nil\n}}"
    ));
    let sets: String = (1..n)
        .map(|i| format!("\trelation r{i:05}: user#r{:05}\n", i + 1))
        .collect();
    compile(&format!(
        "definition user {{\n{sets}\trelation r{n:05}: user:*\n}}"
    ));
    let partials: String = (1..n)
        .map(|i| format!("partial p{i:05} {{\n\t...p{:05}\n}}\n", i + 1))
        .collect();
    compile(&format!(
        "use partial\ndefinition user {{\n\t...p00001\n}}\n{partials}partial p{n:05} {{\n}}\n"
    ));
    let parameters: Vec<String> = (0..n).map(|i| format!("p{i} int")).collect();
    Schema::compile(&format!(
        "caveat ccc({}) {{\n\ttrue\n}}",
        parameters.join(", ")
    ))
    .unwrap_err();
    let typed: String = (1..n)
        .map(|i| format!("\tpermission q{i:05}: user = r00001\n"))
        .collect();
    let text =
        format!("use typechecking\ndefinition user {{\n{sets}\trelation r{n:05}: user\n{typed}}}");
    let error = Schema::compile(&text).unwrap_err().to_string();
    assert_eq!(
        error,
        "type annotations take more than 10000000 steps to check"
    );
}

/// The tree of an expression is never so high that walking it is a risk, and its text is read again.
#[test]
fn expressions_nest_to_a_limit_in_all() {
    let mut expression = "aaa".to_owned();
    for _ in 0..20 {
        expression = format!("(({expression} - aaa - aaa) & aaa)");
    }
    let text = |expression: &str| {
        format!("definition user {{\n\trelation aaa: user\n\tpermission bbb = {expression}\n}}")
    };
    let schema = compile(&text(&expression));
    assert_eq!(compile(&schema.to_text()).to_text(), schema.to_text());
    for _ in 0..2 {
        expression = format!("({expression} - aaa - aaa)");
    }
    compile(&text(&expression));
    let error = Schema::compile(&text(&format!("{expression} - aaa"))).unwrap_err();
    assert!(
        error.to_string().ends_with("nested deeper than 64 levels"),
        "{error}"
    );
}

#[test]
fn a_set_of_the_same_definition_may_hold_a_wildcard() {
    let schema = compile(
        "definition user {}\ndefinition group {\n\trelation member: user | user:* | group#member\n}",
    );
    assert_eq!(schema.members().len(), 1);
}

#[test]
fn kinds_of_subjects_are_found_through_sets_and_arrows() {
    let schema = compile(
        "use self\ndefinition user {}\ndefinition robot {}\ndefinition group {\n\trelation member: user | group#member\n}\n\
         definition folder {\n\trelation owner: robot\n\tpermission own = owner\n}\ndefinition doc {\n\trelation parent: folder | user\n\
         \trelation viewer: group#member | robot:*\n\tpermission view = (viewer + parent->own) - self\n\tpermission none = nil\n}",
    );
    let check = |member: &str, expected: &[&str]| {
        let doc = schema.definition_ix("doc").unwrap();
        let types = schema.subject_types(schema.member_ix(doc, member).unwrap());
        let mut names: Vec<String> = types
            .into_iter()
            .map(|(definition, set)| {
                let set = set.map(|set| format!("#{}", schema.member(set).name));
                format!(
                    "{}{}",
                    schema.definition(definition).name,
                    set.unwrap_or_default()
                )
            })
            .collect();
        names.sort();
        assert_eq!(names, expected);
    };
    check("viewer", &["group#member", "robot", "user"]);
    check("view", &["doc", "group#member", "robot", "user"]);
    check("parent", &["folder", "user"]);
    check("none", &[]);
}

#[test]
fn every_kind_of_change_is_told() {
    let old = compile(
        "use expiration\n// a\ndefinition user {}\ndefinition gone {}\ncaveat went(aaa int) {\n aaa == 1\n}\n// c\n\
         caveat ccc(aaa int, bbb int) {\n aaa == bbb\n}\ndefinition doc {\n // r\n relation viewer: user | user:* with ccc\n relation lost: user\n\
         relation flips: user\n // p\n permission view = viewer\n permission dropped = viewer\n}\n",
    );
    let new = compile(
        "use expiration\n// b\ndefinition user {}\ndefinition came {}\ncaveat arrived(aaa int) {\n aaa == 1\n}\n// d\n\
         caveat ccc(aaa string, ddd int) {\n aaa == \"x\" && ddd == 1\n}\ndefinition doc {\n // s\n relation viewer: user with expiration | user\n\
         relation won: user\n // flipped\n permission flips = won\n // q\n permission view = viewer + won\n permission grown = viewer\n}\n",
    );
    let told: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    expect![[r#"
        + definition came
        - permission doc#dropped
        - relation doc#flips
        + permission doc#flips
        + permission doc#grown
        - relation doc#lost
        ~ permission doc#view: viewer  =>  viewer + won
        ~ permission doc#view: comment
        + relation doc#viewer: takes user with expiration
        - relation doc#viewer: no longer takes user:* with ccc
        ~ relation doc#viewer: comment
        + relation doc#won
        - definition gone
        ~ definition user: comment
        + caveat arrived
        ~ caveat ccc: comment
        ~ caveat ccc: parameter aaa: int  =>  string
        - caveat ccc: parameter bbb int
        + caveat ccc: parameter ddd int
        ~ caveat ccc: expression
        - caveat went"#]]
    .assert_eq(&told.join("\n"));
    assert_eq!(diff(&old, &old), []);
}

#[test]
fn files_are_put_in_one_form() {
    let text = "use partial; // p\n// lead\n\n\npartial base {\n\n relation aaa:user|user:*//t\n}\n\n\n\ndefinition /* x */ user { // hdr\n/**\n * two\n   lines\n */\n...base\n\n\
                // own\n permission bbb : user|doc= ((aaa+aaa))-(aaa&aaa) // why\n // last\n}\ncaveat ccc(aaa string){ aaa==\"\"\"x\n   y\"\"\" }\ndefinition doc{}\n// end";
    let formatted = format(text).unwrap();
    expect![[r#"
        use partial

        // p
        // lead

        partial base {
        	relation aaa: user | user:* //t
        }

        definition user { // hdr
        	/**
        	 * two
        	lines
        	 */
        	...base /* x */

        	// own
        	permission bbb: user | doc = aaa + aaa - (aaa & aaa) // why
        	// last
        }

        caveat ccc(aaa string) {
        	aaa=="""x
           y"""
        }

        definition doc {}
        // end
    "#]]
    .assert_eq(&formatted);
    assert_eq!(format(&formatted).unwrap(), formatted);
}
