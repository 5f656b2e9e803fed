//! The values of operators and functions.

use super::{compile, constant, context, evaluate};
use crate::caveat::{EvaluationError, Outcome};
use model::Context;

#[track_caller]
fn all_hold(sources: &[&str]) {
    for source in sources {
        assert_eq!(constant(source), "true", "{source}");
    }
}

#[track_caller]
fn fails(source: &str, detail: &str) {
    assert_eq!(
        constant(source),
        format!("evaluation error for caveat ccc: {detail}"),
        "{source}"
    );
}

#[test]
fn whole_numbers_overflow_into_errors() {
    all_hold(&[
        "7 / 2 == 3 && -7 / 2 == -3 && 7 % -2 == 1 && -7 % 2 == -1",
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 10 - 4 - 3 == 3",
        "5u - 3u == 2u && 7u / 2u == 3u && 7u % 4u == 3u",
        "-9223372036854775808 < 0 && 18446744073709551615u > 0u",
        "1.0 / 0.0 > 1e300 && 1.5 * 2.0 == 3.0",
    ]);
    fails("9223372036854775807 + 1 > 0", "integer overflow");
    fails("-9223372036854775808 - 1 > 0", "integer overflow");
    fails("-9223372036854775808 / -1 > 0", "integer overflow");
    fails("-9223372036854775808 * -1 > 0", "integer overflow");
    fails("-(-9223372036854775808) > 0", "integer overflow");
    fails("1u - 2u > 0u", "unsigned integer overflow");
    fails(
        "18446744073709551615u + 1u > 0u",
        "unsigned integer overflow",
    );
    fails("1 / 0 == 1", "division by zero");
    fails("1 % 0 == 1", "modulus by zero");
    fails("1u / 0u == 1u", "division by zero");
    let error = evaluate("xx int", "10 / xx == 1", r#"{"xx": 0}"#);
    assert_eq!(error, "evaluation error for caveat ccc: division by zero");
}

#[test]
fn values_of_any_compare_across_numbers() {
    all_hold(&[
        "dyn(1) == dyn(1u) && dyn(1) == 1.0 && dyn(1u) < 1.5 && dyn(2) > 1u",
        "dyn(9007199254740993) != 9007199254740992.0",
        "dyn(-1) < 18446744073709551615u && dyn(18446744073709551615u) < 1.8446744073709552e19",
        "dyn(-1.5) < -1 && dyn(-1) > -1.5",
        "dyn('1') != 1 && dyn(null) != 0 && dyn([]) != {} && dyn([1]) == [1.0]",
        "dyn({'a': 1}) == {'a': 1.0} && dyn({1: 'a'}) == {1u: 'a'}",
        "!(0.0 / 0.0 == 0.0 / 0.0) && 0.0 / 0.0 != 0.0 / 0.0",
        "type(1) == int && type(1u) == uint && type(null) == null_type && type([]) == list && type({}) == map",
        "type(1.0) == double && type('') == string && type(b'') == bytes && type(true) == bool",
        "type(duration('1s')) == google.protobuf.Duration && type(int) == type",
    ]);
    fails("dyn(1) < 'a'", "no such overload");
    fails("dyn('a') + 1 == 2", "no such overload");
    fails("0.0 / 0.0 < 1.0", "NaN values cannot be ordered");
    assert_eq!(
        evaluate("aa any", "aa + 1.5 == 3.0", r#"{"aa": 1.5}"#),
        "true"
    );
}

#[test]
fn text_and_bytes() {
    all_hold(&[
        "'a' + 'b' == 'ab' && b'a' + b'b' == b'ab' && 'a' < 'b' && b'a' < b'ab'",
        "size('héé') == 3 && 'héé'.size() == 3 && size(b'h\\303\\251') == 3 && bytes('é').size() == 2",
        "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo') && !'a'.contains('b')",
        "'hello'.matches('^h.*o$') && matches('abc', 'b') && 'abc'.matches('a' + '.c')",
        "'\\u00e9' == 'é' && '\\303' == 'Ã' && '''a\n'b''' == \"a\\n'b\"",
    ]);
    let found = evaluate("pp string", "'a'.matches(pp)", r#"{"pp": "("}"#);
    assert_eq!(
        found,
        "evaluation error for caveat ccc: error parsing regexp: `(`"
    );
    let huge = "a{1000}{1000}";
    let found = evaluate(
        "pp string",
        "'a'.matches(pp)",
        &format!("{{\"pp\": \"{huge}\"}}"),
    );
    assert!(found.contains("compiles to more than"), "{found}");
    assert!(compile("aa string", &format!("aa.matches('{huge}')")).is_err());
}

#[test]
fn collections() {
    all_hold(&[
        "1 in [1, 2] && !(3 in [1, 2]) && 'a' in {'a': 1} && !('b' in {'a': 1})",
        "[1, 2][1] == 2 && {'a': 1}['a'] == 1 && {'a': 1}.a == 1 && {1: 'x'}[1] == 'x' && {true: 1}[true] == 1",
        "dyn([1, 2])[1.0] == 2 && dyn({1: 2})[1u] == 2 && 1u in dyn({1: 2}) && dyn({1: 2})[1.0] == 2",
        "[1] + [2] == [1, 2] && size([1, 2]) == 2 && {'a': 1}.size() == 1",
        "has({'a': 1}.a) && !has({'a': 1}.b)",
        "[1, 2].all(x, x > 0) && ![1, 2].all(x, x > 1) && [].all(x, false)",
        "[1, 2].exists(x, x > 1) && ![1, 2].exists(x, x > 2) && ![].exists(x, true)",
        "[1, 2].exists_one(x, x > 1) && ![1, 2].exists_one(x, x > 0)",
        "[1, 2].map(x, x * 2) == [2, 4] && [1, 2].map(x, x > 1, x * 2) == [4] && [1, 2].filter(x, x > 1) == [2]",
        "{'a': 1, 'b': 2}.all(k, k < 'c') && {'a': 1}.map(k, k) == ['a']",
        "[1, 2].map(x, [3, 4].map(y, x * y)) == [[3, 4], [6, 8]] && [1].map(x, [2].map(x, x)) == [[2]]",
        "{'a': {'b': 1}}.isSubtreeOf({'a': {'b': 1, 'c': 2}, 'd': 3}) && {}.isSubtreeOf({'a': 1})",
        "!{'a': 1}.isSubtreeOf({'a': 2}) && !{'a': {'b': 1}}.isSubtreeOf({'a': 1}) && !{'a': 1}.isSubtreeOf({})",
    ]);
    fails("[1, 2][2] == 1", "index out of bounds: 2");
    fails("[1, 2][-1] == 1", "index out of bounds: -1");
    fails("{'a': 1}['b'] == 1", "no such key: b");
    fails("{'a': 1, 'a': 2} == {}", "failed with repeated key");
    fails("{[1]: 1} == {}", "unsupported key type: list");
    fails("dyn([1])['x'] == 1", "no such overload");
    assert_eq!(
        evaluate("pp map<int>", "pp.kk == 1", r#"{"pp": {}}"#),
        "evaluation error for caveat ccc: no such key: kk"
    );
}

#[test]
fn conversions() {
    all_hold(&[
        "int('-7') == -7 && int(7u) == 7 && int(1.9) == 1 && int(-1.9) == -1 && int(duration('1us')) == 1000",
        "uint('7') == 7u && uint(7) == 7u && uint(1.9) == 1u",
        "double('1.5') == 1.5 && double(1) == 1.0 && double(2u) == 2.0",
        "string(1) == '1' && string(1u) == '1' && string(true) == 'true' && string(1.5) == '1.5' && string(b'ab') == 'ab'",
        "string(1e6) == '1e+06' && string(100.0) == '100' && string(duration('1h1.5s')) == '3601.5s'",
        "string(timestamp('2024-01-01T01:00:00.5+01:00')) == '2024-01-01T00:00:00.5Z'",
        "bool('true') && !bool('0') && bool(true) && bytes('ab') == b'ab'",
        "int(timestamp('1970-01-01T00:01:00Z')) == 60 && timestamp(60) == timestamp('1970-01-01T00:01:00Z')",
    ]);
    fails("int('x') == 1", "cannot parse \"x\" as int");
    fails("int(1e30) == 1", "integer overflow");
    fails("uint(-1) == 1u", "unsigned integer overflow");
    fails("int(0.0 / 0.0) == 1", "integer overflow");
    fails("bool('yes')", "cannot parse \"yes\" as bool");
    fails(
        "string(b'\\xff') == ''",
        "invalid UTF-8 in bytes, cannot convert to string",
    );
    fails(
        "duration('1d') == duration('1s')",
        "time: unknown unit \"d\" in duration \"1d\"",
    );
    fails(
        "timestamp(253402300800) == timestamp(0)",
        "timestamp overflow",
    );
}

#[test]
fn times() {
    let at = "timestamp('2024-03-10T23:30:15.250Z')";
    for (field, number) in [
        ("getFullYear()", 2024),
        ("getMonth()", 2),
        ("getDate()", 10),
        ("getDayOfMonth()", 9),
        ("getDayOfWeek()", 0),
        ("getDayOfYear()", 69),
        ("getHours()", 23),
        ("getMinutes()", 30),
        ("getSeconds()", 15),
        ("getMilliseconds()", 250),
        ("getHours('UTC')", 23),
        ("getHours('+05:45')", 5),
        ("getMinutes('+05:45')", 15),
        ("getDate('-23:00')", 0),
        ("getDate('02:00')", 11),
        ("getDayOfWeek('+01:00')", 1),
    ] {
        let found = constant(&format!("{at}.{field} == {number}"));
        if field.contains("-23") {
            assert_eq!(
                found,
                "evaluation error for caveat ccc: unknown time zone -23:00"
            );
        } else {
            assert_eq!(found, "true", "{field}");
        }
    }
    all_hold(&[
        "timestamp('2024-01-01T00:00:00Z') + duration('1h') == timestamp('2024-01-01T01:00:00Z')",
        "duration('1h') + timestamp('2024-01-01T00:00:00Z') == timestamp('2024-01-01T01:00:00Z')",
        "timestamp('2024-01-01T00:00:00Z') - duration('1ns') < timestamp('2024-01-01T00:00:00Z')",
        "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')",
        "duration('1h') - duration('90m') == duration('-30m') && duration('90m').getMinutes() == 90",
        "duration('90m').getHours() == 1 && duration('1.5s').getMilliseconds() == 1500",
    ]);
    fails(
        "timestamp('9999-12-31T23:59:59Z') + duration('1s') > timestamp(0)",
        "timestamp overflow",
    );
    fails(
        "timestamp('0001-01-01T00:00:00Z') - duration('1ns') < timestamp(0)",
        "timestamp overflow",
    );
    fails(
        "duration('2562047h') + duration('2562047h') > duration('1s')",
        "duration overflow",
    );
    fails(
        "timestamp(0).getHours('Nowhere/City') == 1",
        "unknown time zone Nowhere/City",
    );
}

#[test]
fn optionals() {
    all_hold(&[
        "{'a': 1}[?'a'].hasValue() && !{'a': 1}[?'b'].hasValue() && {'a': 1}.?a.value() == 1",
        "{'a': 1}[?'b'].orValue(2) == 2 && {'a': 1}.?b.or(optional.of(3)).value() == 3 && [1][?1].orValue(4) == 4",
        "{'a': {'b': 1}}.?a.b.orValue(0) == 1 && {'a': {'b': 1}}.?x.b.orValue(0) == 0 && {'a': [1]}.?a[0].orValue(0) == 1",
        "optional.none() == optional.none() && optional.of(1) == optional.of(1) && optional.of(1) != optional.none()",
        "optional.ofNonZeroValue(0) == optional.none() && optional.ofNonZeroValue('a').hasValue()",
        "[1, ?optional.none(), ?optional.of(2)] == [1, 2] && {?'a': optional.none(), ?'b': optional.of(1)} == {'b': 1}",
        "optional.of(1).optMap(x, x + 1) == optional.of(2) && !optional.none().optMap(x, x).hasValue()",
        "optional.of({'a': 1}).optFlatMap(m, m.?a).value() == 1",
        "has({'a': {'b': 1}}.?a.b) && !has({'a': {}}.?a.b) && !has({'a': {}}.?x.b)",
    ]);
    fails("{'a': 1}.?b.value() == 1", "optional.none() dereference");
}

#[test]
fn addresses() {
    let holds = |address: &str, block: &str| {
        let source = format!("aa.in_cidr('{block}')");
        evaluate(
            "aa ipaddress",
            &source,
            &format!("{{\"aa\": \"{address}\"}}"),
        )
    };
    assert_eq!(holds("10.1.2.3", "10.0.0.0/8"), "true");
    assert_eq!(holds("::ffff:10.1.2.3", "10.0.0.0/8"), "false");
    assert_eq!(holds("fe80::1", "fe80::/10"), "true");
    let found = evaluate(
        "aa ipaddress, bb string",
        "aa.in_cidr(bb)",
        r#"{"aa": "10.0.0.1", "bb": "x"}"#,
    );
    assert_eq!(
        found,
        "evaluation error for caveat ccc: `x` is not a CIDR block such as `10.0.0.0/8`"
    );
}

#[test]
fn steps_are_limited() {
    let list: Vec<String> = (0..200).map(|ix| ix.to_string()).collect();
    let list = format!("[{}]", list.join(","));
    let nested = "aa.all(a, aa.all(b, aa.all(c, aa.all(d, a + b + c + d >= 0.0))))";
    let found = evaluate("aa any", nested, &format!("{{\"aa\": {list}}}"));
    assert_eq!(
        found,
        "evaluation error for caveat ccc: more than 1000000 steps are needed"
    );
    let absorbed = format!("{nested} || true");
    assert_eq!(
        evaluate("aa any", &absorbed, &format!("{{\"aa\": {list}}}")),
        found
    );

    let doubled: String = (0..60)
        .map(|ix| format!(".map(x{ix}, x{ix} + x{ix})"))
        .collect();
    let sources = [
        format!("['aaaaaaaaaaaaaaaa'].map(x, x + aa){doubled}.size() == 1"),
        format!("[[aa]].map(x, x + [aa]){doubled}.size() == 1"),
        {
            let shared: String = (0..60)
                .map(|ix| format!(".map(x{ix}, [x{ix}, x{ix}])"))
                .collect();
            format!("[aa].map(x, x){shared} == [aa].map(x, x){shared}")
        },
    ];
    for source in sources {
        assert_eq!(
            evaluate("aa string", &source, r#"{"aa": "b"}"#),
            found,
            "{source}"
        );
    }
}

#[test]
fn a_whole_tree_fits_the_stack() {
    for (before, after) in [
        ("(", ")"),
        ("[", "][0]"),
        ("{'k': ", "}.k"),
        ("{'k': ", "}[?'k'].value()"),
        ("dyn(", ")"),
        ("[1].map(x, ", ")[0]"),
        ("[1].filter(x, ", " == 1)[0]"),
        ("(true ? ", " : 0)"),
        ("optional.of(", ").optMap(x, x).orValue(0)"),
        ("(0 + ", ")"),
    ] {
        for levels in [20, 30, 40, 60] {
            let source = format!("{}aa{} == 1", before.repeat(levels), after.repeat(levels));
            match compile("aa any", &source) {
                Ok(program) => {
                    let found = program.evaluate(&Context::default(), &context(r#"{"aa": 1}"#));
                    assert!(
                        !matches!(found, Ok(Outcome::Missing(_))),
                        "{source}: {found:?}"
                    );
                }
                Err(error) => assert!(
                    error.to_string().contains("nested deeper"),
                    "{source}: {error}"
                ),
            }
        }
    }
    let chain = format!("aa{} == 0", " - 1".repeat(120));
    assert_eq!(evaluate("aa int", &chain, r#"{"aa": 120}"#), "true");
}

#[test]
fn of_several_errors_the_least_is_well_defined() {
    let error = |caveat: &str, detail: &str| EvaluationError::Evaluation {
        caveat: caveat.to_owned(),
        detail: detail.to_owned(),
    };
    let mut errors = [error("b", "x"), error("a", "y"), error("a", "x")];
    errors.sort();
    assert_eq!(errors, [error("a", "x"), error("a", "y"), error("b", "x")]);
}
