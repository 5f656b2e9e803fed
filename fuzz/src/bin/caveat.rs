//! No expression makes the caveat compiler panic or run away, and no context its evaluation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Context;
use schema::caveat::{Parameter, ParameterType, Program};

fuzz_target!(|input: (&str, &str)| {
    let parameters = ["any", "int", "string"].map(|name| Parameter {
        name: format!("p{name}"),
        ty: ParameterType::parse_parts(name, Vec::new()).expect("a type"),
    });
    let source = format!("({}) && (pany == 1 || pint == 1 || pstring == \"\")", input.0);
    if let (Ok(program), Ok(context)) = (Program::compile("fuzzed", &source, parameters.into()), Context::from_json(input.1)) {
        let _answer = program.evaluate(&context, &Context::default());
    }
});
