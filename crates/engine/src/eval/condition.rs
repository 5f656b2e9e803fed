//! On what caveats a node depends, as one expression: what was asked, with which values, and what it came to.

use std::collections::{BTreeMap, HashMap};

use model::{CaveatName, CaveatRef, Context, Decision, Value};
use schema::caveat::Program;
use schema::{CaveatIx, Schema};

use super::value::EvalError;

/// A condition as it is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The caveat, if it is one alone.
    pub caveat: Option<CaveatName>,
    /// The expression; those of several caveats are joined by `&&`, `||` and `!`.
    pub expression: String,
    /// The values of its parameters, written ones and those of the question. Where relationships brought different ones
    /// for the same name, they are `name__0`, `name__1` and so on.
    pub context: Context,
    /// What it came to.
    pub result: ConditionResult,
}

/// What a condition came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionResult {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It depends on these values, which the context lacks.
    Missing(Vec<String>),
    /// It could not be evaluated.
    Failed,
}

/// What a part depends on. Never an operation over one operand, a constant, or the same operand twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clause {
    Constant(bool),
    /// The caveat of that number in [`Applied`].
    Caveat(usize),
    All(Vec<Clause>),
    Any(Vec<Clause>),
    Not(Box<Clause>),
    /// Not told, since there is too much of it.
    Elided,
}

/// Caveats that one expression names, each time counted; what is beyond is elided.
const CAVEATS_MAX: usize = 64;
/// Bytes of one expression; a longer one is elided.
const EXPRESSION_BYTES_MAX: usize = 16 << 10;
/// What stands for a part that is elided.
const ELISION: &str = "…";
/// Values within values of a context that is told; deeper ones are left out, since few clients decode them that far down
/// in a message.
const VALUE_LEVELS_MAX: usize = 5;

impl Clause {
    pub(super) fn all(operands: impl IntoIterator<Item = Self>) -> Self {
        Self::join(operands, true, Self::All)
    }

    pub(super) fn any(operands: impl IntoIterator<Item = Self>) -> Self {
        Self::join(operands, false, Self::Any)
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Constant(holds) => Self::Constant(!holds),
            Self::Not(clause) => *clause,
            Self::Elided => Self::Elided,
            Self::Caveat(_) | Self::All(_) | Self::Any(_) => Self::Not(Box::new(self)),
        }
    }

    /// Joins operands, of which `neutral` adds nothing and its opposite decides.
    fn join(
        operands: impl IntoIterator<Item = Self>,
        neutral: bool,
        joined: fn(Vec<Self>) -> Self,
    ) -> Self {
        let mut kept: Vec<Self> = Vec::new();
        let mut caveats = 0;
        let mut is_elided = false;
        for operand in operands {
            match operand {
                Self::Constant(holds) if holds == neutral => {}
                Self::Constant(holds) => return Self::Constant(holds),
                Self::Elided => is_elided = true,
                Self::Caveat(_) | Self::All(_) | Self::Any(_) | Self::Not(_) => {
                    if kept.contains(&operand) {
                        continue;
                    }
                    let more = operand.caveats();
                    if caveats + more <= CAVEATS_MAX {
                        caveats += more;
                        kept.push(operand);
                    } else {
                        is_elided = true;
                    }
                }
            }
        }
        if is_elided {
            kept.push(Self::Elided);
        }
        match (kept.pop(), kept.is_empty()) {
            (None, _) => Self::Constant(neutral),
            (Some(only), true) => only,
            (Some(last), false) => {
                kept.push(last);
                joined(kept)
            }
        }
    }

    fn caveats(&self) -> usize {
        match self {
            Self::Constant(_) | Self::Elided => 0,
            Self::Caveat(_) => 1,
            Self::All(operands) | Self::Any(operands) => operands.iter().map(Self::caveats).sum(),
            Self::Not(clause) => clause.caveats(),
        }
    }
}

/// The caveats that were met, each once with the same values.
#[derive(Default)]
pub(super) struct Applied<'a> {
    caveats: Vec<AppliedCaveat<'a>>,
    numbers: HashMap<(CaveatIx, String), usize>,
}

struct AppliedCaveat<'a> {
    name: &'a CaveatName,
    program: &'a Program,
    context: Context,
}

impl<'a> Applied<'a> {
    /// The clause of a relationship's caveat; one that the schema lacks never holds.
    pub(super) fn clause(
        &mut self,
        schema: &'a Schema,
        caveat: &'a CaveatRef,
        request: &Context,
    ) -> Clause {
        let Some(ix) = schema.caveat_ix(caveat.name.as_str()) else {
            return Clause::Constant(false);
        };
        let program = &schema.caveat(ix).program;
        let values = program.parameters().iter().filter_map(|parameter| {
            let name = &parameter.name;
            let value = caveat.context.value(name).or_else(|| request.value(name));
            value.map(|value| (name.clone(), value.clone()))
        });
        let context = Context::new(values.collect());
        let next = self.caveats.len();
        let number = *self.numbers.entry((ix, context.to_json())).or_insert(next);
        if number == next {
            self.caveats.push(AppliedCaveat {
                name: &caveat.name,
                program,
                context,
            });
        }
        Clause::Caveat(number)
    }

    /// The condition of a node that came to `decision`; none if it depends on none that is known.
    pub(super) fn condition(
        &self,
        clause: &Clause,
        decision: &Result<Decision, EvalError>,
    ) -> Option<Condition> {
        let is_conditional = matches!(decision, Ok(Decision::Conditional { .. }));
        if matches!(clause, Clause::Constant(_) | Clause::Elided) && !is_conditional {
            return None;
        }
        let mut expression = String::new();
        self.write(clause, &mut expression);
        if expression.len() > EXPRESSION_BYTES_MAX {
            expression = ELISION.to_owned();
        }
        let mut used = Vec::new();
        self.used(clause, &mut used);
        Some(Condition {
            caveat: match clause {
                Clause::Caveat(number) => self.caveats.get(*number).map(|it| it.name.clone()),
                Clause::Constant(_)
                | Clause::All(_)
                | Clause::Any(_)
                | Clause::Not(_)
                | Clause::Elided => None,
            },
            expression,
            context: merged(&used),
            result: match decision {
                Ok(Decision::Allowed) => ConditionResult::True,
                Ok(Decision::Denied) => ConditionResult::False,
                Ok(Decision::Conditional { missing }) => ConditionResult::Missing(missing.clone()),
                Err(_) => ConditionResult::Failed,
            },
        })
    }

    fn write(&self, clause: &Clause, text: &mut String) {
        // What is too long already is not told anyway.
        if text.len() > EXPRESSION_BYTES_MAX {
            return;
        }
        match clause {
            Clause::Constant(holds) => text.push_str(if *holds { "true" } else { "false" }),
            Clause::Elided => text.push_str(ELISION),
            Clause::Caveat(number) => {
                let caveat = self.caveats.get(*number);
                text.push_str(&caveat.map(|it| it.program.to_text()).unwrap_or_default());
            }
            Clause::Not(clause) => {
                text.push('!');
                self.write_operand(clause, text);
            }
            Clause::All(operands) => self.write_joined(operands, " && ", text),
            Clause::Any(operands) => self.write_joined(operands, " || ", text),
        }
    }

    fn write_joined(&self, operands: &[Clause], operator: &str, text: &mut String) {
        for (place, operand) in operands.iter().enumerate() {
            if place > 0 {
                text.push_str(operator);
            }
            self.write_operand(operand, text);
        }
    }

    fn write_operand(&self, operand: &Clause, text: &mut String) {
        text.push('(');
        self.write(operand, text);
        text.push(')');
    }

    fn used<'b>(&'b self, clause: &Clause, found: &mut Vec<&'b Context>) {
        match clause {
            Clause::Constant(_) | Clause::Elided => {}
            Clause::Caveat(number) => {
                found.extend(self.caveats.get(*number).map(|it| &it.context));
            }
            Clause::Not(clause) => self.used(clause, found),
            Clause::All(operands) | Clause::Any(operands) => {
                operands
                    .iter()
                    .for_each(|operand| self.used(operand, found));
            }
        }
    }
}

/// Every value of the contexts, told apart where those of one name differ.
fn merged(contexts: &[&Context]) -> Context {
    let mut by_name: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (name, value) in contexts.iter().flat_map(|context| context.iter()) {
        if levels(value) > VALUE_LEVELS_MAX {
            continue;
        }
        let values = by_name.entry(name).or_default();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let mut all = BTreeMap::new();
    for (name, values) in by_name {
        match values.as_slice() {
            [only] => {
                all.insert(name.to_owned(), (*only).clone());
            }
            several => all.extend(
                several
                    .iter()
                    .enumerate()
                    .map(|(place, value)| (format!("{name}__{place}"), (*value).clone())),
            ),
        }
    }
    Context::new(all)
}

fn levels(value: &Value) -> usize {
    let deepest = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        Value::List(items) => items.iter().map(levels).max(),
        Value::Map(map) => map.values().map(levels).max(),
    };
    1 + deepest.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use schema::Schema;

    use super::*;

    #[test]
    fn an_expression_names_so_many_caveats_and_no_more() {
        let all = |numbers: std::ops::Range<usize>| Clause::all(numbers.map(Clause::Caveat));
        let told = |clause: &Clause| {
            let Clause::All(operands) = clause else {
                panic!("{clause:?}")
            };
            (operands.len(), operands.contains(&Clause::Elided))
        };
        assert_eq!(told(&all(0..64)), (64, false));
        assert_eq!(told(&all(0..65)), (65, true));
        // Those within an operand count one by one.
        let nested = |inner: usize| {
            let within = Clause::any((0..inner).map(Clause::Caveat));
            Clause::all([within, all(100..160), Clause::Caveat(200)])
        };
        assert_eq!(told(&nested(3)), (3, false));
        assert_eq!(told(&nested(4)), (3, true));
        assert_eq!(told(&nested(60)), (3, true));
    }

    #[test]
    fn a_long_expression_is_elided() {
        let expression = |filling: usize| {
            let filling = "a".repeat(filling);
            let text = format!(
                "caveat long(n string) {{\n n == \"{filling}\"\n}}\ndefinition user {{}}\ndefinition doc {{\n \
                 relation viewer: user with long\n}}\n"
            );
            let schema = Schema::compile(&text).unwrap();
            let caveat = CaveatRef {
                name: "long".parse().unwrap(),
                context: Context::default(),
            };
            let mut applied = Applied::default();
            let clause = applied.clause(&schema, &caveat, &Context::default());
            let condition = applied.condition(&clause, &Ok(Decision::Allowed));
            condition.unwrap().expression
        };
        let besides = expression(1).len() - 1;
        let longest = EXPRESSION_BYTES_MAX - besides;
        assert_eq!(expression(longest).len(), EXPRESSION_BYTES_MAX);
        assert_eq!(expression(longest + 1), ELISION);
        assert_eq!(expression(longest + 100), ELISION);
    }

    #[test]
    fn values_too_deep_for_clients_are_left_out() {
        let nested = |levels: usize| {
            let lists = (1..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
            Context::new(BTreeMap::from([("deep".to_owned(), lists)]))
        };
        for levels in 1..=VALUE_LEVELS_MAX {
            assert_eq!(merged(&[&nested(levels)]), nested(levels), "{levels}");
        }
        for levels in VALUE_LEVELS_MAX + 1..10 {
            let told = merged(&[&nested(levels)]);
            assert_eq!(told, Context::default(), "{levels}");
        }
    }
}
