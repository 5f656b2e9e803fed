//! Computations: values of a type that is asked for, over names that need not all be used.

use model::{Context, Value as Json};

use super::{context, parameter_type, parameters};
use crate::caveat::{CompileError, Computation, ComputeError, Scope};

const NAMES: &str =
    "headers map<string>, claims map<any>, path string, port int, source ipaddress, n any";
const VALUES: &str = r#"{"headers": {"x-user": "ann"}, "claims": {"sub": "ann", "uid": 1042, "half": 0.5,
    "roles": ["a", "b"]}, "path": "/todos/1", "port": 443, "source": "10.0.0.1"}"#;

fn compile(source: &str, wanted: &str) -> Result<Computation, CompileError> {
    let scope = Scope::new(parameters(NAMES)).unwrap();
    scope.compile("eee", source, &parameter_type(wanted))
}

fn compute(source: &str, wanted: &str) -> Result<Json, ComputeError> {
    let values = context(VALUES);
    let scope = Scope::new(parameters(NAMES)).unwrap();
    let mut bound = scope.bind(|name| values.value(name).cloned()).unwrap();
    compile(source, wanted).unwrap().compute(&mut bound)
}

fn text(source: &str) -> Result<String, ComputeError> {
    let values = context(VALUES);
    let scope = Scope::new(parameters(NAMES)).unwrap();
    let mut bound = scope.bind(|name| values.value(name).cloned()).unwrap();
    compile(source, "any").unwrap().compute_text(&mut bound)
}

#[test]
fn values_of_each_kind_are_computed() {
    let value = |json: &str| {
        let wrapped = Context::from_json(&format!("{{\"v\": {json}}}")).unwrap();
        wrapped.value("v").unwrap().clone()
    };
    for (source, wanted, expected) in [
        ("'user-' + claims.sub", "string", r#""user-ann""#),
        (
            "claims.roles.map(r, 'role:' + r)",
            "list<string>",
            r#"["role:a", "role:b"]"#,
        ),
        (
            "{'at': path, 'ports': [port, 80]}",
            "map<any>",
            r#"{"at": "/todos/1", "ports": [443, 80]}"#,
        ),
        ("port > 400 && claims.sub == 'ann'", "bool", "true"),
        ("port > 400 ? null : null", "any", "null"),
        ("source", "any", r#""10.0.0.1""#),
        ("headers[?'x-team'].orValue('none')", "string", r#""none""#),
    ] {
        assert_eq!(compute(source, wanted), Ok(value(expected)), "{source}");
    }
}

#[test]
fn texts_are_strings_whole_numbers_and_bools() {
    assert_eq!(text("claims.sub").as_deref(), Ok("ann"));
    assert_eq!(text("claims.uid").as_deref(), Ok("1042"));
    assert_eq!(text("port == 443").as_deref(), Ok("true"));
    assert_eq!(
        text("-9007199254740992").as_deref(),
        Ok("-9007199254740992")
    );
    for source in ["claims.half", "claims.roles", "claims", "null"] {
        assert!(
            matches!(text(source), Err(ComputeError::NoText(_))),
            "{source}"
        );
    }
    for source in [
        "9007199254740993",
        "1.0 / 0.0",
        "type(path)",
        "duration('1s')",
        "optional.of(1)",
    ] {
        assert!(
            matches!(text(source), Err(ComputeError::Failed(_))),
            "{source}"
        );
    }
}

#[test]
fn what_is_missing_is_named_and_what_fails_says_why() {
    assert_eq!(
        compute("n", "any"),
        Err(ComputeError::Missing(vec!["n".to_owned()]))
    );
    let failed = compute("claims.email", "any").unwrap_err().to_string();
    assert_eq!(failed, "no such key: email");
    assert_eq!(
        compute("path == '' && n == 1", "bool"),
        Ok(Json::Bool(false))
    );
    let scope = Scope::new(parameters(NAMES)).unwrap();
    let wrong = scope.bind(|name| (name == "port").then_some(Json::Bool(true)));
    assert!(matches!(wrong, Err(ComputeError::Value { name, .. }) if name == "port"));
}

#[test]
fn a_type_that_is_not_asked_for_is_refused() {
    for (source, wanted) in [
        ("port", "string"),
        ("path", "bool"),
        ("[1]", "map<any>"),
        ("claims", "list<any>"),
    ] {
        let error = compile(source, wanted).unwrap_err();
        assert!(
            matches!(error, CompileError::Misfit { .. }),
            "{source}: {error}"
        );
        assert!(error.to_string().contains("must result in"), "{error}");
    }
    let error = compile("nosuch", "any").unwrap_err();
    assert_eq!(
        error.location().map(|at| (at.line, at.column)),
        Some((1, 1))
    );
    assert!(compile("path +", "any").is_err());
}

#[test]
fn what_is_read_of_a_map_is_told() {
    for (source, keys) in [
        ("headers['x-user'] + path", Some(vec!["x-user"])),
        (
            "has(headers.cookie) ? headers[?'x-a'].orValue('') : headers.b",
            Some(vec!["cookie", "x-a", "b"]),
        ),
        ("path", Some(vec![])),
        ("headers[path]", None),
        ("'x-user' in headers", None),
        ("headers.exists(k, k == 'x-user')", None),
        ("[headers].map(h, h['x-user'])", None),
        ("claims.roles.exists(headers, headers == 'a')", None),
        ("size(headers) > 0", None),
        (".headers['x-user']", Some(vec!["x-user"])),
        ("(true ? headers : {'a': 'b'})['a']", None),
    ] {
        assert_eq!(
            compile(source, "any").unwrap().keys_read("headers"),
            keys,
            "{source}"
        );
    }
    let computation = compile("headers.a + path", "string").unwrap();
    assert!(computation.uses("headers") && computation.uses("path"));
    assert!(!computation.uses("claims") && !computation.uses("nosuch"));
}

#[test]
fn one_round_of_computations_shares_its_steps() {
    let scope = Scope::new(parameters("items list<int>")).unwrap();
    let any = parameter_type("any");
    let costly = "items.map(a, items.map(b, a * b)).size()";
    let costly = scope.compile("eee", costly, &any).unwrap();
    let items: Vec<Json> = (0..300).map(|n| Json::Number(f64::from(n))).collect();
    let mut bound = scope.bind(|_| Some(Json::List(items.clone()))).unwrap();
    let mut rounds = 0;
    let stopped = loop {
        match costly.compute(&mut bound) {
            Ok(_) => rounds += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(stopped, ComputeError::TooManySteps);
    assert!((1..20).contains(&rounds), "{rounds}");
    // Nothing more is computed in the round, not even what is cheap.
    let cheap = scope.compile("eee", "size(items) + 1", &any).unwrap();
    assert_eq!(cheap.compute(&mut bound), Err(ComputeError::TooManySteps));
}
