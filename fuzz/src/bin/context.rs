//! No context, as JSON or from the wire, makes the conversion to any type of parameter panic; what is accepted for
//! writing is accepted by the evaluation, and both forms read back what they wrote.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use model::Context;
use prost::Message as _;
use prost_types::Struct;
use schema::caveat::{EvaluationError, Parameter, ParameterType, Program};
use server::convert::{context_from_wire, context_to_wire};

/// A caveat for each type, whose expression looks at the one parameter `p`.
const CAVEATS: [(&str, &str); 15] = [
    ("any", "p == 1 || p == \"a\" || p == [1] || p.a == null"),
    ("bool", "p"),
    ("string", "p.startsWith(\"a\") || p.matches(\"[a-c]+\") || p.size() > 3"),
    ("int", "p + 1 > 2 || p / 2 == 3"),
    ("uint", "p * 2 > 3"),
    ("double", "p - 1.5 < 0.0 || int(p) == 3"),
    ("bytes", "p == b\"ab\" || p.size() > 3"),
    ("duration", "p + p > duration(\"1h\")"),
    ("timestamp", "p + duration(\"1h\") > timestamp(\"2026-01-01T00:00:00Z\")"),
    ("ipaddress", "p.in_cidr(\"10.0.0.0/8\") || p.in_cidr(\"fe80::/10\")"),
    ("list any", "p.exists(x, x == 1) || [1] == p"),
    ("list timestamp", "p.all(x, x < timestamp(\"2026-01-01T00:00:00Z\"))"),
    ("list list ipaddress", "p.exists(x, x.exists(y, y.in_cidr(\"10.0.0.0/8\")))"),
    ("map uint", "\"a\" in p && p.a > 1"),
    ("map list bytes", "p.exists(k, p[k].size() > 1)"),
];

static PROGRAMS: LazyLock<Vec<Program>> = LazyLock::new(|| {
    let compile = |(written, source): &(&str, &str)| {
        let mut ty = None;
        for name in written.rsplit(' ') {
            let generics = ty.into_iter().collect();
            ty = Some(ParameterType::parse_parts(name, generics).expect("a type"));
        }
        let parameter = Parameter {
            name: "p".to_owned(),
            ty: ty.expect("at least one word"),
        };
        Program::compile("fuzzed", source, vec![parameter]).expect("a caveat")
    };
    CAVEATS.iter().map(compile).collect()
});

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        for json in [text, &format!("{{\"p\":{text}}}")] {
            if let Ok(context) = Context::from_json(json) {
                try_out(&context);
            }
        }
    }
    if let Ok(fields) = Struct::decode(data)
        && let Ok(context) = context_from_wire(fields)
    {
        try_out(&context);
    }
});

fn try_out(context: &Context) {
    assert_eq!(Context::from_json(&context.to_json()).as_ref(), Ok(context));
    let wire = context_to_wire(context);
    assert_eq!(context_from_wire(wire).expect("a context is within the limits"), *context);
    let none = Context::default();
    for program in PROGRAMS.iter() {
        let as_written = program.evaluate(context, &none);
        assert_eq!(as_written, program.evaluate(&none, context));
        if program.check_written(context).is_ok() {
            assert!(!matches!(as_written, Err(EvaluationError::Parameter { .. })), "{as_written:?}");
        }
    }
}
