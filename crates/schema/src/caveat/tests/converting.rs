//! The recorded conversions of context values, with the texts of their errors.

use super::{compile, context, evaluate};
use crate::caveat::{ParameterType, TypeError};

/// Type, expression, value of `pp`, outcome or start of the error.
///
/// SOURCE: recorded answers of the peer; its record cuts long errors.
const RECORDED: [(&str, &str, &str, &str); 58] = [
    ("any", "pp == 1", "1", "true"),
    ("any", "pp == 1", r#""1""#, "false"),
    ("any", "pp == 1", "null", "false"),
    ("any", "pp == 1", "[1]", "false"),
    ("bool", "pp", "true", "true"),
    (
        "bool",
        "pp",
        r#""true""#,
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for bool: a bool value is required, but found string `true`",
    ),
    (
        "bool",
        "pp",
        "1",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for bool: a bool value is required, but found float64 `1`",
    ),
    ("string", r#"pp == "x""#, r#""x""#, "true"),
    (
        "string",
        r#"pp == "x""#,
        "1",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for string: a string value is required, but found float64 `1`",
    ),
    (
        "string",
        r#"pp == "x""#,
        "null",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for string: a string value is required, but found <nil> `<nil>`",
    ),
    ("int", "pp == 1", "1", "true"),
    ("int", "pp == 1", r#""1""#, "true"),
    (
        "int",
        "pp == 1",
        "1.5",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for int: a int value is required, but found numeric value `1.5`",
    ),
    (
        "int",
        "pp == 1",
        r#""0x1""#,
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for int: a int64 value is required, but found invalid string value `0x1`",
    ),
    ("int", "pp == 1", r#""1.0""#, "true"),
    ("int", "pp == 1", "-1", "false"),
    ("int", "pp == 1", "1e+300", "false"),
    ("int", "pp == 1", r#""9223372036854775808""#, "false"),
    (
        "int",
        "pp == 1",
        "true",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for int: a int64 value is required, but found bool `true`",
    ),
    ("uint", "pp == 1", "1", "true"),
    ("uint", "pp == 1", r#""1""#, "true"),
    (
        "uint",
        "pp == 1",
        "-1",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for uint: a uint value is required, but found int64 value `-1`",
    ),
    (
        "uint",
        "pp == 1",
        r#""-1""#,
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for uint: a uint value is required, but found int64 value `-1`",
    ),
    (
        "uint",
        "pp == 1",
        "1.5",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for uint: a uint value is required, but found numeric value `1.5`",
    ),
    ("double", "pp == 1.5", "1.5", "true"),
    ("double", "pp == 1.5", r#""1.5""#, "true"),
    ("double", "pp == 1.5", "1", "false"),
    (
        "double",
        "pp == 1.5",
        r#""abc""#,
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for double: a float64 value is required, but found invalid string value `abc`",
    ),
    ("bytes", r#"pp == b"x""#, r#""eA==""#, "true"),
    (
        "bytes",
        r#"pp == b"x""#,
        r#""x!""#,
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for bytes: bytes requires a base64 encoded string: illegal base64 data at input byte 1",
    ),
    (
        "bytes",
        r#"pp == b"x""#,
        "1",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for bytes: bytes requires a base64 unicode string, found: float64 `1`",
    ),
    ("duration", r#"pp == duration("1h")"#, r#""1h""#, "true"),
    ("duration", r#"pp == duration("1h")"#, r#""60m""#, "true"),
    ("duration", r#"pp == duration("1h")"#, r#""3600s""#, "true"),
    (
        "duration",
        r#"pp == duration("1h")"#,
        "3600",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for duration: durations requires a duration string, found: float64",
    ),
    (
        "duration",
        r#"pp == duration("1h")"#,
        r#""1d""#,
        r#"type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for duration: could not parse duration string `1d`: time: unknown unit "d" in duration "1d""#,
    ),
    (
        "timestamp",
        r#"pp == timestamp("2024-01-01T00:00:00Z")"#,
        r#""2024-01-01T00:00:00Z""#,
        "true",
    ),
    (
        "timestamp",
        r#"pp == timestamp("2024-01-01T00:00:00Z")"#,
        r#""2024-01-01T01:00:00+01:00""#,
        "true",
    ),
    (
        "timestamp",
        r#"pp == timestamp("2024-01-01T00:00:00Z")"#,
        r#""2024-01-01""#,
        r#"type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for timestamp: could not parse RFC 3339 formatted timestamp string `2024-01-01`: parsing time "2024-01-01" as "2006-01-02T15:04:05Z07:00": cannot p"#,
    ),
    (
        "timestamp",
        r#"pp == timestamp("2024-01-01T00:00:00Z")"#,
        "1704067200",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for timestamp: timestamps requires a RFC 3339 formatted timestamp string, found: float64 `1.7040672e+09`",
    ),
    ("list<int>", "1 in pp", "[1]", "true"),
    ("list<int>", "1 in pp", r#"["1"]"#, "true"),
    ("list<int>", "1 in pp", "[]", "false"),
    (
        "list<int>",
        "1 in pp",
        r#""x""#,
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for list<int>: list requires a list, found: string",
    ),
    (
        "list<int>",
        "1 in pp",
        "[1.5]",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for list<int>: found an invalid value for item at index 0: for int: a int value is required, but found numeric value `1.5`",
    ),
    ("map<int>", "pp.kk == 1", r#"{"kk": 1}"#, "true"),
    ("map<int>", "pp.kk == 1", r#"{"kk": "1"}"#, "true"),
    (
        "map<int>",
        "pp.kk == 1",
        "{}",
        "evaluation error for caveat ccc: no such key: kk",
    ),
    (
        "map<int>",
        "pp.kk == 1",
        r#"{"kk": "x"}"#,
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for map<int>: found an invalid value for key `kk`: for int: a int64 value is required, but found invalid string value `x`",
    ),
    ("map<any>", "pp.kk == 1", r#"{"kk": 1}"#, "true"),
    ("map<any>", "pp.kk == 1", r#"{"kk": 1.0}"#, "true"),
    ("map<any>", "pp.kk == 1", r#"{"kk": "1"}"#, "false"),
    (
        "ipaddress",
        r#"pp.in_cidr("10.0.0.0/8")"#,
        r#""10.1.2.3""#,
        "true",
    ),
    (
        "ipaddress",
        r#"pp.in_cidr("10.0.0.0/8")"#,
        r#""::ffff:10.1.2.3""#,
        "false",
    ),
    (
        "ipaddress",
        r#"pp.in_cidr("10.0.0.0/8")"#,
        r#""11.0.0.1""#,
        "false",
    ),
    (
        "ipaddress",
        r#"pp.in_cidr("10.0.0.0/8")"#,
        r#""nope""#,
        r#"type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for ipaddress: could not parse ip address string `nope`: ParseAddr("nope"): unable to parse IP"#,
    ),
    (
        "ipaddress",
        r#"pp.in_cidr("10.0.0.0/8")"#,
        "1",
        "type error for parameters for caveat `ccc`: could not convert context parameter `pp`: for ipaddress: ipaddress requires an ipaddress string, found: float64 `1`",
    ),
    (
        "ipaddress",
        r#"pp.in_cidr("10.0.0.0/8")"#,
        r#""fe80::1""#,
        "false",
    ),
];

#[test]
fn values_convert_as_recorded() {
    for (ty, source, json, recorded) in RECORDED {
        let found = evaluate(&format!("pp {ty}"), source, &format!("{{\"pp\": {json}}}"));
        assert!(
            found.starts_with(recorded),
            "{ty} {source} {json}: {found}, recorded {recorded}"
        );
    }
}

#[test]
fn written_values_are_checked() {
    let program = compile("day string", "day == 'friday'").unwrap();
    let error = |json| {
        program
            .check_written(&context(json))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(error(r#"{"bogus": 1}"#), "unknown parameter `bogus`");
    assert_eq!(
        error(r#"{"day": [1]}"#),
        "could not convert context parameter `day`: for string: a string value is required, \
         but found []interface {} `[1]`"
    );
    assert_eq!(
        error(r#"{"day": {"b": [true, null], "a": "x"}}"#),
        "could not convert context parameter `day`: for string: a string value is required, \
         but found map[string]interface {} `map[a:x b:[true <nil>]]`"
    );
    assert_eq!(program.check_written(&context(r#"{"day": "x"}"#)), Ok(()));
    assert_eq!(program.check_written(&context("{}")), Ok(()));
}

#[test]
fn numbers_are_exact_and_held_in_range() {
    for (ty, json, number) in [
        ("int", r#""9007199254740993""#, "9007199254740993"),
        ("int", r#""9007199254740993.000""#, "9007199254740993"),
        ("int", "-1e300", "-9223372036854775808"),
        ("uint", r#""18446744073709551615""#, "9223372036854775807"),
        ("int", r#""1e3""#, "1000"),
        ("int", r#""+7""#, "7"),
    ] {
        let found = evaluate(
            &format!("pp {ty}"),
            &format!("pp == {number}"),
            &format!("{{\"pp\": {json}}}"),
        );
        assert_eq!(found, "true", "{ty} {json}");
    }
    for json in [r#""inf""#, r#""NaN""#, r#""""#, r#""1_0""#, r#"" 1""#] {
        let found = evaluate("pp double", "pp == 1.0", &format!("{{\"pp\": {json}}}"));
        assert!(
            found.contains("found invalid string value"),
            "{json}: {found}"
        );
    }
}

#[test]
fn times_are_read_to_the_nanosecond() {
    for (text, expression) in [
        (
            "2024-02-29T23:59:59.123456789Z",
            "pp.getMilliseconds() == 123 && pp.getDate() == 29",
        ),
        ("0001-01-01T00:00:00Z", "pp.getFullYear() == 1"),
        ("9999-12-31T23:59:59.999999999Z", "pp.getFullYear() == 9999"),
        (
            "2024-01-01T00:00:00-08:30",
            "pp.getHours() == 8 && pp.getMinutes() == 30",
        ),
    ] {
        assert_eq!(
            evaluate(
                "pp timestamp",
                expression,
                &format!("{{\"pp\": \"{text}\"}}")
            ),
            "true",
            "{text}"
        );
    }
    for bad in [
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:00:60Z",
        "2024-01-01t00:00:00Z",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00Zx",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "2024-01-01T00:00:00+1:00",
        "é024-01-01T00:00:00Z",
    ] {
        let found = evaluate(
            "pp timestamp",
            "pp.getFullYear() == 1",
            &format!("{{\"pp\": \"{bad}\"}}"),
        );
        assert!(found.starts_with("type error"), "{bad}: {found}");
    }
}

#[test]
fn spans_are_read_with_their_units() {
    for (text, expression) in [
        ("1h30m", "pp == duration('5400s')"),
        ("-1.5s", "pp == duration('-1500ms')"),
        ("+2us", "pp == duration('2000ns')"),
        ("0", "pp == duration('0s')"),
        (".5s", "pp == duration('500ms')"),
        ("1µs", "pp == duration('1us')"),
        ("-9223372036854775808ns", "pp < duration('0s')"),
    ] {
        assert_eq!(
            evaluate(
                "pp duration",
                expression,
                &format!("{{\"pp\": \"{text}\"}}")
            ),
            "true",
            "{text}"
        );
    }
    for bad in [
        "",
        "1",
        "s",
        "1x",
        "--1s",
        "9223372036854775808ns",
        "1e3s",
        "3000000h",
        ".s",
    ] {
        let found = evaluate(
            "pp duration",
            "pp == duration('1s')",
            &format!("{{\"pp\": \"{bad}\"}}"),
        );
        assert!(
            found.contains("could not parse duration string"),
            "{bad}: {found}"
        );
    }
}

#[test]
fn types_are_parsed_and_printed() {
    let parse = ParameterType::parse_parts;
    let strings = parse("list", vec![ParameterType::String]).unwrap();
    assert_eq!(strings.to_string(), "list<string>");
    assert_eq!(
        parse("map", vec![strings]).unwrap().to_string(),
        "map<list<string>>"
    );
    assert_eq!(
        parse("int", vec![ParameterType::String]),
        Ok(ParameterType::Int)
    );
    let error = |name: &str, generics| parse(name, generics).unwrap_err().to_string();
    assert_eq!(error("nosuch", vec![]), "unknown type `nosuch`");
    assert_eq!(
        error("list", vec![]),
        "type `list` requires 1 generic types; found 0"
    );
    assert_eq!(
        error("map", vec![ParameterType::String, ParameterType::Int]),
        "type `map` requires 1 generic types; found 2"
    );
    let deep = (0..100).try_fold(ParameterType::Any, |item, _| parse("list", vec![item]));
    assert_eq!(deep, Err(TypeError::TooDeep));
}
