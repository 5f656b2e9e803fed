//! Properties of random expressions over typed parameters, and the comparison with an independent engine.
//!
//! The other engine (`cel`) has no checker, no missing parameters and no limits, so only outcomes of expressions with
//! every parameter given are compared. Left out where the two differ by design:
//! - comparisons of numbers of several types, which our checker refuses;
//! - times, addresses and `isSubtreeOf`, which the other engine is not built with;
//! - the texts of errors.

use std::collections::{BTreeMap, HashMap};

use model::{Context, Value};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::compile;
use crate::caveat::{Outcome, Program};

const DECLARED: &str =
    "b1 bool, b2 bool, i1 int, i2 int, d1 double, s1 string, s2 string, l1 list<int>, m1 map<int>";
/// Mentions every parameter and is true.
const USED: &str =
    "(b1 || b2 || i1 == i2 || d1 == 0.0 || s1 == s2 || l1 == [] || m1 == {} || true)";

/// A value for each parameter.
#[derive(Debug, Clone)]
struct Given {
    bools: [bool; 2],
    ints: [i8; 2],
    double: i8,
    strings: [String; 2],
    list: Vec<i8>,
    map: BTreeMap<String, i8>,
}

impl Given {
    fn context(&self, is_given: impl Fn(usize) -> bool) -> Context {
        let number = |number: i8| Value::Number(f64::from(number));
        let values = [
            ("b1", Value::Bool(self.bools[0])),
            ("b2", Value::Bool(self.bools[1])),
            ("i1", number(self.ints[0])),
            ("i2", number(self.ints[1])),
            ("d1", Value::Number(f64::from(self.double) / 2.0)),
            ("s1", Value::String(self.strings[0].clone())),
            ("s2", Value::String(self.strings[1].clone())),
            (
                "l1",
                Value::List(self.list.iter().map(|item| number(*item)).collect()),
            ),
            (
                "m1",
                Value::Map(
                    self.map
                        .iter()
                        .map(|(key, item)| (key.clone(), number(*item)))
                        .collect(),
                ),
            ),
        ];
        let given = values
            .into_iter()
            .enumerate()
            .filter(|(ix, _)| is_given(*ix));
        Context::new(
            given
                .map(|(_, (name, value))| (name.to_owned(), value))
                .collect(),
        )
    }

    /// The outcome of the other engine; none is an error.
    fn other_outcome(&self, source: &str) -> Option<bool> {
        let program =
            cel::Program::compile(source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
        let mut context = cel::Context::default();
        let list: Vec<i64> = self.list.iter().map(|item| i64::from(*item)).collect();
        let map: HashMap<String, i64> = self
            .map
            .iter()
            .map(|(key, item)| (key.clone(), i64::from(*item)))
            .collect();
        context.add_variable("b1", self.bools[0]).unwrap();
        context.add_variable("b2", self.bools[1]).unwrap();
        context.add_variable("i1", i64::from(self.ints[0])).unwrap();
        context.add_variable("i2", i64::from(self.ints[1])).unwrap();
        context
            .add_variable("d1", f64::from(self.double) / 2.0)
            .unwrap();
        context.add_variable("s1", self.strings[0].clone()).unwrap();
        context.add_variable("s2", self.strings[1].clone()).unwrap();
        context.add_variable("l1", list).unwrap();
        context.add_variable("m1", map).unwrap();
        match program.execute(&context) {
            Ok(cel::Value::Bool(value)) => Some(value),
            Ok(other) => panic!("{source}: {other:?}"),
            Err(_) => None,
        }
    }
}

fn given() -> impl Strategy<Value = Given> {
    let text = || select(vec!["", "a", "b", "ab", "é"]).prop_map(str::to_owned);
    let int = || -2..3_i8;
    (
        any::<[bool; 2]>(),
        [int(), int()],
        int(),
        [text(), text()],
        prop::collection::vec(int(), 0..3),
        prop::collection::btree_map(select(vec!["a", "b"]).prop_map(str::to_owned), int(), 0..3),
    )
        .prop_map(|(bools, ints, double, strings, list, map)| Given {
            bools,
            ints,
            double,
            strings,
            list,
            map,
        })
}

type Source = BoxedStrategy<String>;

fn words(words: &'static [&'static str]) -> Source {
    select(words).prop_map(str::to_owned).boxed()
}

fn infix(left: Source, operators: &'static [&'static str], right: Source) -> Source {
    (left, select(operators), right)
        .prop_map(|(left, operator, right)| format!("({left} {operator} {right})"))
        .boxed()
}

const EQUALITIES: &[&str] = &["==", "!="];
const ORDERS: &[&str] = &["==", "!=", "<", "<=", ">", ">="];

/// An expression that yields a bool; `x` is an int variable where `in_macro`.
fn bool_source(depth: u32, in_macro: bool) -> Source {
    let leaf = words(&[
        "b1",
        "b2",
        "true",
        "false",
        "has(m1.a)",
        "(i1 in l1)",
        "(s1 in m1)",
    ]);
    if depth == 0 {
        return leaf;
    }
    let bools = || bool_source(depth - 1, in_macro);
    let ints = || int_source(depth - 1, in_macro);
    let texts = || text_source(depth - 1, in_macro);
    prop_oneof![
        1 => leaf,
        3 => infix(bools(), &["&&", "||", "==", "!="], bools()),
        1 => bools().prop_map(|operand| format!("!{operand}")),
        1 => (bools(), bools(), bools()).prop_map(|(c, yes, no)| format!("({c} ? {yes} : {no})")),
        3 => infix(ints(), ORDERS, ints()),
        2 => infix(texts(), ORDERS, texts()),
        1 => infix(double_source(depth - 1), ORDERS, double_source(depth - 1)),
        1 => infix(list_source(depth - 1, in_macro), EQUALITIES, list_source(depth - 1, in_macro)),
        1 => infix(ints(), &["in"], list_source(depth - 1, in_macro)),
        1 => (texts(), select(vec!["contains", "startsWith", "endsWith"]), texts())
            .prop_map(|(text, function, part)| format!("{text}.{function}({part})")),
        1 => (texts(), select(vec!["^a", "b$", "^[ab]*$"]))
            .prop_map(|(text, pattern)| format!("{text}.matches('{pattern}')")),
        2 => (list_source(depth - 1, in_macro), select(vec!["all", "exists", "exists_one"]), bool_source(depth - 1, true))
            .prop_map(|(list, name, step)| format!("{list}.{name}(x, {step})")),
    ]
    .boxed()
}

fn int_source(depth: u32, in_macro: bool) -> Source {
    let leaf = if in_macro {
        words(&[
            "i1",
            "i2",
            "0",
            "1",
            "-1",
            "9223372036854775807",
            "m1.a",
            "m1['b']",
            "l1[0]",
            "x",
            "x",
            "x",
        ])
    } else {
        words(&[
            "i1",
            "i2",
            "0",
            "1",
            "-1",
            "9223372036854775807",
            "m1.a",
            "m1['b']",
            "l1[0]",
        ])
    };
    if depth == 0 {
        return leaf;
    }
    let ints = || int_source(depth - 1, in_macro);
    prop_oneof![
        2 => leaf,
        3 => infix(ints(), &["+", "-", "*", "/", "%"], ints()),
        1 => ints().prop_map(|operand| format!("-({operand})")),
        1 => (bool_source(depth - 1, in_macro), ints(), ints()).prop_map(|(c, yes, no)| format!("({c} ? {yes} : {no})")),
        1 => text_source(depth - 1, in_macro).prop_map(|text| format!("size({text})")),
        1 => list_source(depth - 1, in_macro).prop_map(|list| format!("{list}.size()")),
    ]
    .boxed()
}

fn text_source(depth: u32, in_macro: bool) -> Source {
    let leaf = words(&["s1", "s2", "'a'", "\"\"", "'é\\n'"]);
    if depth == 0 {
        return leaf;
    }
    let texts = || text_source(depth - 1, in_macro);
    prop_oneof![
        2 => leaf,
        2 => infix(texts(), &["+"], texts()),
        1 => int_source(depth - 1, in_macro).prop_map(|number| format!("string({number})")),
        1 => (bool_source(depth - 1, in_macro), texts(), texts()).prop_map(|(c, yes, no)| format!("({c} ? {yes} : {no})")),
    ]
    .boxed()
}

fn double_source(depth: u32) -> Source {
    let leaf = words(&["d1", "0.5", "-1.0", "2.5e3"]);
    if depth == 0 {
        return leaf;
    }
    infix(
        double_source(depth - 1),
        &["+", "-", "*"],
        double_source(depth - 1),
    )
}

fn list_source(depth: u32, in_macro: bool) -> Source {
    let leaf = words(&["l1", "[1, 2]", "[0]"]);
    if depth == 0 {
        return leaf;
    }
    prop_oneof![
        2 => leaf,
        1 => prop::collection::vec(int_source(depth - 1, in_macro), 1..3).prop_map(|items| format!("[{}]", items.join(", "))),
        1 => infix(list_source(depth - 1, in_macro), &["+"], list_source(depth - 1, in_macro)),
        1 => (list_source(depth - 1, in_macro), int_source(depth - 1, true)).prop_map(|(list, step)| format!("{list}.map(x, {step})")),
        1 => (list_source(depth - 1, in_macro), bool_source(depth - 1, true)).prop_map(|(list, step)| format!("{list}.filter(x, {step})")),
    ]
    .boxed()
}

fn program(source: &str) -> Program {
    compile(DECLARED, &format!("{source} && {USED}"))
        .unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// Runs a property on a stack that is large enough for the other engine.
fn for_all<S>(cases: u32, strategy: fn() -> S, holds: fn(S::Value) -> Result<(), TestCaseError>)
where
    S: Strategy + 'static,
{
    let run = move || {
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&strategy(), holds)
            .map_err(|failure| failure.to_string())
    };
    let thread = std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(run)
        .unwrap();
    if let Err(failure) = thread.join().unwrap() {
        panic!("{failure}");
    }
}

#[test]
fn text_reads_back_as_the_same_program() {
    for_all(
        1_000,
        || (bool_source(3, false), given()),
        |(source, given)| {
            let written = program(&source);
            let read = compile(DECLARED, &written.to_text())
                .map_err(|error| TestCaseError::fail(format!("{written:?}: {error}")))?;
            prop_assert_eq!(&read, &written);
            let context = given.context(|_| true);
            prop_assert_eq!(
                read.evaluate(&Context::default(), &context),
                written.evaluate(&Context::default(), &context)
            );
            Ok(())
        },
    );
}

#[test]
fn outcomes_equal_those_of_another_engine() {
    for_all(
        2_000,
        || (bool_source(3, false), given()),
        |(source, given)| {
            let found =
                match program(&source).evaluate(&Context::default(), &given.context(|_| true)) {
                    Ok(Outcome::True) => Some(true),
                    Ok(Outcome::False) => Some(false),
                    Ok(Outcome::Missing(names)) => {
                        return Err(TestCaseError::fail(format!("missing {names:?}")));
                    }
                    Err(_) => None,
                };
            prop_assert_eq!(found, given.other_outcome(&source), "{}", source);
            Ok(())
        },
    );
}

#[test]
fn what_is_known_early_stays_true() {
    let strategy = || {
        (
            bool_source(3, false),
            any::<u16>(),
            given(),
            prop::collection::vec(given(), 4),
        )
    };
    for_all(2_000, strategy, |(source, mask, given, others)| {
        let program = program(&source);
        let is_given = |ix: usize| mask >> ix & 1 == 1;
        let written = given.context(is_given);
        let early = program.evaluate(&written, &Context::default());
        if let Ok(Outcome::Missing(names)) = &early {
            prop_assert!(!names.is_empty());
            for name in names {
                prop_assert!(written.value(name).is_none(), "{} is given", name);
            }
            return Ok(());
        }
        for other in others {
            let late = program.evaluate(&written, &other.context(|_| true));
            prop_assert_eq!(&late, &early, "{}", source);
        }
        Ok(())
    });
}

const PIECES: &[&str] = &[
    "aa",
    "1",
    "1u",
    "1.5",
    "'x'",
    "b'x'",
    "true",
    "null",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    ":",
    "?",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "<",
    "&&",
    "||",
    " in ",
    "has(",
    ".map(x,",
    ".all(x,",
    "size(",
    "x",
    "optional.of(",
    ".?",
    "[?",
    "duration(",
    "timestamp(",
    "type(",
    "\\",
    "\"",
    "é",
    "9223372036854775808",
    "\n",
    "//",
];

#[test]
fn no_source_panics() {
    let sources =
        || prop::collection::vec(select(PIECES), 0..24).prop_map(|pieces| pieces.concat());
    for_all(5_000, sources, |source| {
        if let Ok(program) = compile("aa any", &source) {
            let context = Context::new(BTreeMap::from([("aa".to_owned(), Value::Bool(true))]));
            let _ = program.evaluate(&Context::default(), &context);
            let read = compile("aa any", &program.to_text());
            prop_assert_eq!(read, Ok(program));
        }
        Ok(())
    });
}
