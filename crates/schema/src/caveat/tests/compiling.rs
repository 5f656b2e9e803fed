//! What compiles, what does not and why, and how it prints.

use super::{compile, parameters};
use crate::caveat::{CompileError, Program, SOURCE_CHARS_MAX};

fn error(declared: &str, source: &str) -> String {
    compile(declared, source).unwrap_err().to_string()
}

fn printed(declared: &str, source: &str) -> String {
    compile(declared, source)
        .unwrap_or_else(|error| panic!("{source}: {error}"))
        .to_text()
}

#[test]
fn errors_read_as_recorded() {
    let int = "aaa int";
    assert_eq!(
        error(int, " bbb == 1"),
        "ERROR: ccc:1:2: undeclared reference to 'bbb' (in container '')"
    );
    assert_eq!(
        error(int, " foo(aaa)"),
        "ERROR: ccc:1:5: undeclared reference to 'foo' (in container '')"
    );
    assert_eq!(
        error("aaa timestamp", " aaa < now()"),
        "ERROR: ccc:1:11: undeclared reference to 'now' (in container '')"
    );
    assert_eq!(
        error("sss string", " sss.lowerAscii() == \"x\""),
        "ERROR: ccc:1:16: undeclared reference to 'lowerAscii' (in container '')"
    );
    assert_eq!(
        error(int, " aaa == \"x\""),
        "ERROR: ccc:1:6: found no matching overload for '_==_' applied to '(int, string)'"
    );
    assert_eq!(
        error(int, "aaa + 1"),
        "caveat expression must result in a boolean value: found `int`"
    );
    assert_eq!(
        error(int, " aaa =="),
        "ERROR: ccc:1:8: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', \
         'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
    );
    assert_eq!(
        compile("aaa int, bbb int", "aaa == 1"),
        Err(CompileError::UnusedParameter("bbb".to_owned()))
    );
}

#[test]
fn errors_say_where() {
    let found = compile("aaa int", "aaa == 1 &&\n  é && bbb").unwrap_err();
    assert_eq!(
        found.to_string(),
        "ERROR: ccc:2:3: Syntax error: token recognition error at: 'é'"
    );
    assert_eq!(found.offset(), Some(14));
    let found = compile("aaa int", "aaa == 1 &&\n  'é' == bbb").unwrap_err();
    assert_eq!(
        found.to_string(),
        "ERROR: ccc:2:10: undeclared reference to 'bbb' (in container '')"
    );
    assert_eq!(found.offset(), Some(22));
    let moved = compile("aaa int", "bbb").unwrap_err().within(2, 3);
    assert_eq!(
        moved.to_string(),
        "ERROR: ccc:2:3: undeclared reference to 'bbb' (in container '')"
    );
}

/// Parameters, expression, a part of its error.
const REFUSED: &[(&str, &str, &str)] = &[
    ("aa uint", "aa > 1u", "'_>_' applied to '(int, uint)'"),
    ("aa double", "aa == 1", "'_==_' applied to '(double, int)'"),
    (
        "aa list<string>",
        "1 in aa",
        "'@in' applied to '(int, list(string))'",
    ),
    (
        "aa map<int>",
        "aa.bb == 'x'",
        "'_==_' applied to '(int, string)'",
    ),
    (
        "aa string",
        "aa.startsWith(1)",
        "'startsWith' applied to 'string.(int)'",
    ),
    (
        "aa string",
        "startsWith(aa, 'x')",
        "'startsWith' applied to '(string, string)'",
    ),
    ("aa int", "aa && true", "'_&&_' applied to '(int, bool)'"),
    ("aa int", "!aa", "'!_' applied to '(int)'"),
    (
        "aa string",
        "aa.in_cidr('10.0.0.0/8')",
        "'in_cidr' applied to 'string.(string)'",
    ),
    (
        "aa list<int>",
        "aa.all(x, x)",
        "'_&&_' applied to '(bool, int)'",
    ),
    (
        "aa list<int>",
        "aa.exists(x, x == 'a')",
        "'_==_' applied to '(int, string)'",
    ),
    (
        "aa int",
        "aa.all(x, true)",
        "cannot be range of a comprehension",
    ),
    (
        "aa int",
        "aa.bb == 1",
        "type 'int' does not support field selection",
    ),
    (
        "aa map<string>",
        "aa[?'x'] == 'y'",
        "'_==_' applied to '(optional_type(string), string)'",
    ),
    (
        "aa bool",
        "aa ? 1 : 'x'",
        "'_?_:_' applied to '(bool, int, string)'",
    ),
    (
        "aa map<any>",
        "aa.isSubtreeOf(1)",
        "'isSubtreeOf' applied to 'map(string, dyn).(int)'",
    ),
    (
        "aa any",
        "aa",
        "must result in a boolean value: found `dyn`",
    ),
    ("aa int", "Msg{a: aa} == 1", "undeclared reference to 'Msg'"),
    ("aa int", "has(aa)", "invalid argument to has() macro"),
    (
        "aa list<int>",
        "aa.all(1, true)",
        "argument must be a simple name",
    ),
    ("aa int", "for == aa", "reserved identifier: for"),
    ("aa string", "aa.matches('(')", "error parsing regexp: `(`"),
    (
        "aa ipaddress",
        "aa.in_cidr('10.0.0.0')",
        "`10.0.0.0` is not a CIDR block such as `10.0.0.0/8`",
    ),
    (
        "aa list<int>",
        "aa.map(x, x + 1u).size() > 0",
        "'_+_' applied to '(int, uint)'",
    ),
];

/// Parameters, expression.
const ACCEPTED: &[(&str, &str)] = &[
    (
        "aa any",
        "aa > 1 && aa.bb == 'x' && aa[0] == 1 && 1 in aa && aa.all(x, x)",
    ),
    ("aa list<int>", "aa == [] && [] == aa && aa + [] == [1]"),
    ("aa map<int>", "aa == {} && {'a': 1} == aa"),
    ("aa list<any>", "aa == [1, 'x', true]"),
    (
        "aa timestamp",
        "aa != null && type(aa) == google.protobuf.Timestamp",
    ),
    ("aa int", "[[]].all(x, x == [aa])"),
    ("aa int", "type(aa) == int && type(type(aa)) == type"),
    ("int int", "int == 1"),
    ("aa int", ".aa == 1"),
    ("aa list<map<any>>", "aa[0].x == 1 && has(aa[0].x)"),
    ("aa any", "(aa ? 1 : 2) == 1"),
    (
        "aa map<string>",
        "aa.?x.orValue('') == '' && aa[?'x'].hasValue() && [?aa.?x] == []",
    ),
    ("aa map<int>", "aa[?'x'].optMap(v, v + 1).orValue(0) == 1"),
];

#[test]
fn types_are_checked() {
    for (declared, source, found) in REFUSED {
        let error = error(declared, source);
        assert!(error.contains(found), "{source}: {error}");
    }
    for (declared, source) in ACCEPTED {
        assert!(
            compile(declared, source).is_ok(),
            "{source}: {:?}",
            compile(declared, source)
        );
    }
    let many = vec!["aa.matches('a')"; 65].join(" && ");
    assert!(error("aa string", &many).contains("more than 64 regular expressions"));
}

#[test]
fn programs_print_as_recorded() {
    assert_eq!(
        printed(
            "a1 any, b1 bool, c1 string, d1 int, e1 uint, f1 double, g1 bytes, h1 duration, i1 timestamp, \
             j1 list<string>, k1 map<int>, l1 ipaddress, m1 list<map<any>>",
            r#" a1 == 1 && b1 && c1 == "x" && d1 > 1 && e1 > 1 && f1 > 1.5 && g1 == b"x" && h1 > duration("1h") && i1 < timestamp("2024-01-01T00:00:00Z") && "x" in j1 && k1.foo == 1 && l1.in_cidr("10.0.0.0/8") && size(m1) > 0"#,
        ),
        "a1 == 1 && b1 && c1 == \"x\" && d1 > 1 && e1 > 1 && f1 > 1.5 && g1 == b\"\\170\" && h1 > duration(\"1h\") &&\n\
         i1 < timestamp(\"2024-01-01T00:00:00Z\") && \"x\" in j1 && k1.foo == 1 && l1.in_cidr(\"10.0.0.0/8\") &&\n\
         size(m1) > 0"
    );
    let names: Vec<String> = (0..21).map(|ix| format!("p{ix:02}")).collect();
    let declared: Vec<String> = names.iter().map(|name| format!("{name} int")).collect();
    let conditions: Vec<String> = names.iter().map(|name| format!("{name} == 1")).collect();
    assert_eq!(
        printed(&declared.join(", "), &conditions.join(" && ")),
        "p00 == 1 && p01 == 1 && p02 == 1 && p03 == 1 && p04 == 1 && p05 == 1 && p06 == 1 &&\n\
         p07 == 1 && p08 == 1 && p09 == 1 && p10 == 1 && p11 == 1 && p12 == 1 && p13 == 1 &&\n\
         p14 == 1 && p15 == 1 && p16 == 1 && p17 == 1 && p18 == 1 && p19 == 1 && p20 == 1"
    );
    assert_eq!(
        printed(
            "aaa list<int>, mmm map<any>, sss string",
            r#"aaa.exists(x, x > 1) && aaa.all(x, x > 0) && aaa.exists_one(x, x == 1) && aaa.map(x, x * 2).size() > 0 && aaa.filter(x, x > 1) == [2] && has(mmm.foo) && sss.matches("^a") && sss.startsWith("a") && sss.contains("b") && mmm.isSubtreeOf({"a": 1})"#,
        ),
        "aaa.exists(x, x > 1) && aaa.all(x, x > 0) && aaa.exists_one(x, x == 1) && aaa.map(x, x * 2).size() > 0 &&\n\
         aaa.filter(x, x > 1) == [2] && has(mmm.foo) && sss.matches(\"^a\") && sss.startsWith(\"a\") &&\n\
         sss.contains(\"b\") && mmm.isSubtreeOf({\"a\": 1})"
    );
}

/// Parameters, expression, its canonical form.
const CANONICAL: &[(&str, &str, &str)] = &[
    (
        "mm map<string>",
        "mm[?'a'].orValue('x') == 'x'",
        r#"mm[?"a"].orValue("x") == "x""#,
    ),
    (
        "mm map<any>",
        "mm == {'a': {'b': 1,},}",
        r#"mm == {"a": {"b": 1}}"#,
    ),
    ("aa int", "aa == 1 &&\n   aa < 2 // c", "aa == 1 && aa < 2"),
    (
        "aa int",
        "((aa + 1) * 2) == (aa + (1 + 2))",
        "(aa + 1) * 2 == aa + (1 + 2)",
    ),
    (
        "aa int",
        "(aa * 2) + 1 == aa - (2 - 1)",
        "aa * 2 + 1 == aa - (2 - 1)",
    ),
    (
        "aa bool, bb bool",
        "aa && (bb || aa) && (aa && bb)",
        "aa && (bb || aa) && aa && bb",
    ),
    ("aa bool, bb bool", "(aa && bb) || bb", "aa && bb || bb"),
    (
        "aa bool",
        "!!aa && !(!aa) && !(aa || aa)",
        "aa && !(!aa) && !(aa || aa)",
    ),
    (
        "aa int",
        "aa > 5 ? aa - 5 > 0 : false",
        "(aa > 5) ? (aa - 5 > 0) : false",
    ),
    (
        "aa int",
        "-aa == -1 && -(aa + 1) == - 2 && -(-1) == 1",
        "-aa == -1 && -(aa + 1) == -2 && -(-1) == 1",
    ),
    (
        "aa double",
        "aa > 1.0 && aa > 1e30 && aa > 1.25e-7",
        "aa > 1.0 && aa > 1e+30 && aa > 1.25e-07",
    ),
    (
        "aa string",
        r#"aa == '"\n\x01\u00e9' && aa == r'\d'"#,
        r#"aa == "\"\n\x01é" && aa == "\\d""#,
    ),
    ("aa int", "(aa + 1 in [1, 2,])", "aa + 1 in [1, 2]"),
    (
        "aa list<int>",
        "(aa + [1]).size() == 1 && (aa + [1])[0] == 1",
        "(aa + [1]).size() == 1 && (aa + [1])[0] == 1",
    ),
    (
        "aa any",
        "dyn(aa).?bb.hasValue() && 0x10 == 16 && 5u == 5u",
        "dyn(aa).?bb.hasValue() && 16 == 16 && 5u == 5u",
    ),
];

#[test]
fn brackets_and_literals_are_canonical() {
    for (declared, source, text) in CANONICAL {
        let printed = printed(declared, source);
        assert_eq!(printed, *text);
        assert_eq!(
            compile(declared, &printed).unwrap(),
            compile(declared, source).unwrap()
        );
    }
}

#[test]
fn limits_are_named_errors() {
    let too_long = format!("aa == {}", "1".repeat(SOURCE_CHARS_MAX));
    assert_eq!(
        error("aa int", &too_long),
        "caveat expression has 100006 characters, at most 100000 are allowed"
    );
    for deep in [
        format!("{}aa{} == 1", "(".repeat(40_000), ")".repeat(40_000)),
        format!("{}aa{} == 1", "(".repeat(64), ")".repeat(64)),
        "(".repeat(99_000),
        "[".repeat(99_000),
        "{1:".repeat(30_000),
        "aa ? aa : ".repeat(9_000),
        "f(".repeat(40_000),
        format!("aa{} == 1", " + 1".repeat(20_000)),
        format!("aa{} == 1", ".a".repeat(40_000)),
        format!("aa{} == 1", "[0]".repeat(30_000)),
        format!("{}aa", "aa == ".repeat(16_000)),
        format!("aa{}", ".f()".repeat(20_000)),
        format!("aa{}", ".map(x, x)".repeat(9_000)),
        "aa.map(x, ".repeat(9_000),
    ] {
        let error = compile("aa any", &deep).unwrap_err();
        assert!(matches!(error, CompileError::TooDeep { .. }), "{error}");
    }
    assert!(
        compile(
            "aa int",
            &format!("{}aa{} == 1", "(".repeat(63), ")".repeat(63))
        )
        .is_ok()
    );
    assert!(compile("aa int", &format!("aa{} == 1", " + 1".repeat(120))).is_ok());
    let wide = vec!["aa == 1"; 9_000].join(" && ");
    assert!(compile("aa int", &wide).is_ok());
    assert!(compile("aa bool", &format!("{}aa", "!".repeat(99_000))).is_ok());
    let many: Vec<String> = (0..129).map(|ix| format!("p{ix} int")).collect();
    assert_eq!(
        Program::compile("ccc", "true", parameters(&many.join(", "))),
        Err(CompileError::TooManyParameters { parameters: 129 })
    );
}

#[test]
fn types_that_double_do_not_run_away() {
    let steps: String = (0..30)
        .map(|ix| format!(".map(x{ix}, {{x{ix}: x{ix}}})"))
        .collect();
    assert!(compile("aa int", &format!("[aa]{steps}.size() == 1")).is_ok());
    let lists: String = (0..40)
        .map(|ix| format!(".map(x{ix}, [x{ix}, x{ix}])"))
        .collect();
    assert!(compile("aa int", &format!("[aa]{lists}.size() == 1")).is_ok());
}

#[test]
fn programs_are_equal_by_their_text_and_parameters() {
    let one = compile("aa int", "aa==1").unwrap();
    assert_eq!(one, compile("aa int", "(aa) == 1 // one").unwrap());
    assert_ne!(one, compile("aa uint", "aa == 1").unwrap());
    assert_ne!(one, compile("aa int", "aa == 2").unwrap());
    fn is_shared<T: Send + Sync + Clone>(_: &T) {}
    is_shared(&one);
}
