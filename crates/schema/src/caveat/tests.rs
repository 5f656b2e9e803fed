//! Tests of caveat expressions as a whole: text in, outcome or error out.

mod compiling;
mod computing;
mod converting;
mod evaluating;
mod missing;
mod properties;

use model::Context;

use super::{CompileError, Outcome, Parameter, ParameterType, Program};

/// Parameters from `name type, name type`; generics as in a schema.
fn parameters(declared: &str) -> Vec<Parameter> {
    declared
        .split(',')
        .map(str::trim)
        .filter(|declaration| !declaration.is_empty())
        .map(|declaration| {
            let (name, ty) = declaration.split_once(' ').unwrap();
            Parameter {
                name: name.to_owned(),
                ty: parameter_type(ty),
            }
        })
        .collect()
}

fn parameter_type(text: &str) -> ParameterType {
    match text.split_once('<') {
        Some((name, generic)) => {
            let generic = parameter_type(generic.strip_suffix('>').unwrap());
            ParameterType::parse_parts(name, vec![generic]).unwrap()
        }
        None => ParameterType::parse_parts(text, Vec::new()).unwrap(),
    }
}

fn compile(declared: &str, source: &str) -> Result<Program, CompileError> {
    Program::compile("ccc", source, parameters(declared))
}

fn context(json: &str) -> Context {
    Context::from_json(json).unwrap()
}

/// `true`, `false`, `missing a, b` or the text of the error.
fn evaluate(declared: &str, source: &str, json: &str) -> String {
    let program = compile(declared, source).unwrap_or_else(|error| panic!("{source}: {error}"));
    match program.evaluate(&Context::default(), &context(json)) {
        Ok(Outcome::True) => "true".to_owned(),
        Ok(Outcome::False) => "false".to_owned(),
        Ok(Outcome::Missing(names)) => format!("missing {}", names.join(", ")),
        Err(error) => error.to_string(),
    }
}

/// The outcome of an expression without parameters.
fn constant(source: &str) -> String {
    evaluate("", source, "{}")
}
