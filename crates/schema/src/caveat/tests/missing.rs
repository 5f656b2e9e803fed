//! Partial evaluation: what is known without every parameter.

use model::Context;

use super::{compile, context, evaluate};
use crate::caveat::Outcome;

/// `t`, `f`, unknown and error under `&&` and `||`, in both orders.
#[test]
fn truth_tables() {
    const TRUE: &str = "tt";
    const FALSE: &str = "ff";
    const UNKNOWN: &str = "uu";
    const ERROR: &str = "1 / zz == 1";
    let error = "evaluation error for caveat ccc: division by zero";
    for (left, right, and, or) in [
        (TRUE, TRUE, "true", "true"),
        (TRUE, FALSE, "false", "true"),
        (FALSE, FALSE, "false", "false"),
        (TRUE, UNKNOWN, "missing uu", "true"),
        (FALSE, UNKNOWN, "false", "missing uu"),
        (UNKNOWN, UNKNOWN, "missing uu", "missing uu"),
        (TRUE, ERROR, error, "true"),
        (FALSE, ERROR, "false", error),
        (UNKNOWN, ERROR, "missing uu", "missing uu"),
        (ERROR, ERROR, error, error),
    ] {
        for (left, right) in [(left, right), (right, left)] {
            let used = "tt || ff || uu || zz == 1 || true";
            for (operator, expected) in [("&&", and), ("||", or)] {
                let source = format!("({left} {operator} {right}) && ({used})");
                let found = evaluate(
                    "tt bool, ff bool, uu bool, zz int",
                    &source,
                    r#"{"tt": true, "ff": false, "zz": 0}"#,
                );
                assert_eq!(found, expected, "{left} {operator} {right}");
            }
        }
    }
}

#[test]
fn what_would_decide_is_named() {
    let declared = "aa int, bb int, cc bool, ll list<int>, mm map<int>";
    let used = "(aa == bb || cc || ll == [] || mm == {} || true)";
    for (source, json, expected) in [
        ("aa == 1", "{}", "missing aa"),
        ("aa == bb", "{}", "missing aa, bb"),
        ("bb + 1 == aa", r#"{"aa": 1}"#, "missing bb"),
        ("aa == 1 && bb == 1", r#"{"aa": 2}"#, "false"),
        ("aa == 1 && bb == 1", r#"{"aa": 1}"#, "missing bb"),
        ("aa == 1 && bb == 1", "{}", "missing aa, bb"),
        ("cc ? aa == 1 : bb == 1", "{}", "missing cc"),
        ("cc ? aa == 1 : bb == 1", r#"{"cc": true}"#, "missing aa"),
        ("!cc", "{}", "missing cc"),
        ("1 / 0 == aa", "{}", "missing aa"),
        ("ll.all(x, x > 0)", "{}", "missing ll"),
        ("ll.exists(x, x == aa)", r#"{"ll": [1, 2]}"#, "missing aa"),
        (
            "ll.exists(x, x == aa || x == 2)",
            r#"{"ll": [1, 2]}"#,
            "true",
        ),
        ("ll.all(x, x == aa)", r#"{"ll": []}"#, "true"),
        ("ll.all(x, x == aa && x == 1)", r#"{"ll": [1, 2]}"#, "false"),
        ("ll.exists_one(x, x == aa)", r#"{"ll": [1]}"#, "missing aa"),
        ("ll.map(x, x + aa) == [2]", r#"{"ll": [1]}"#, "missing aa"),
        ("ll.filter(x, x > aa).size() == 0", r#"{"ll": []}"#, "true"),
        ("[aa, bb].size() == 2", "{}", "missing aa, bb"),
        ("{'a': aa, 'b': bb}.a == 1", r#"{"aa": 1}"#, "missing bb"),
        ("has(mm.x)", "{}", "missing mm"),
        ("mm[?'x'].orValue(aa) == 1", r#"{"mm": {"x": 1}}"#, "true"),
        ("mm[?'x'].orValue(aa) == 1", r#"{"mm": {}}"#, "missing aa"),
        ("mm.x == 1 || cc", r#"{"mm": {}, "cc": true}"#, "true"),
        ("mm.x == 1 || cc", r#"{"mm": {}}"#, "missing cc"),
        ("ll.exists(x, 1 / x == 1)", r#"{"ll": [0, 1]}"#, "true"),
    ] {
        assert_eq!(
            evaluate(declared, &format!("({source}) && {used}"), json),
            expected,
            "{source}"
        );
    }
}

#[test]
fn missing_names_are_sorted() {
    assert_eq!(
        evaluate("zz int, aa int", "zz == aa", "{}"),
        "missing aa, zz"
    );
}

#[test]
fn written_values_win_and_other_names_are_ignored() {
    let program = compile("day string, hour int", "day == 'friday' && hour > 9").unwrap();
    let outcome =
        |written: &str, request: &str| program.evaluate(&context(written), &context(request));
    assert_eq!(
        outcome(r#"{"day": "friday"}"#, r#"{"day": "monday", "hour": 10}"#),
        Ok(Outcome::True)
    );
    assert_eq!(
        outcome(r#"{"day": "monday"}"#, r#"{"day": "friday", "hour": 10}"#),
        Ok(Outcome::False)
    );
    assert_eq!(
        outcome("{}", r#"{"day": "friday", "hour": 10, "other": [{}]}"#),
        Ok(Outcome::True)
    );
    assert_eq!(
        outcome("{}", r#"{"day": "friday"}"#),
        Ok(Outcome::Missing(vec!["hour".to_owned()]))
    );
    let error = outcome(r#"{"hour": 1}"#, r#"{"day": 42}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "type error for parameters for caveat `ccc`: could not convert context parameter `day`: \
         for string: a string value is required, but found float64 `42`"
    );
    assert_eq!(error.caveat(), "ccc");
}

#[test]
fn the_last_of_many_parameters_has_its_bit() {
    let names: Vec<String> = (0..128).map(|ix| format!("p{ix:03}")).collect();
    let declared: Vec<String> = names.iter().map(|name| format!("{name} bool")).collect();
    let program = compile(&declared.join(", "), &names.join(" && ")).unwrap();
    assert_eq!(
        program.evaluate(&Context::default(), &Context::default()),
        Ok(Outcome::Missing(names))
    );
}
