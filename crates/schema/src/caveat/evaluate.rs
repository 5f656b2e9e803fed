//! Evaluation with three outcomes: a value, an error, or unknown because a parameter has no value.
//!
//! `&&`, `||`, `all` and `exists` answer as soon as one operand decides, whatever the others are. Everywhere else an
//! operand without a value leaves the whole without one, and unknown wins over an error: with the missing values
//! there, the error may be all the same, but nobody is told so before.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a value of a type that is not named has no such overload, whatever types there are"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::functions::{binary, field_of, unary};
use super::meter::{Meter, Stop};
use super::node::{Item, Loop, Node, Pair};
use super::syntax::MacroName;
use super::value::{Key, Value};

/// What an evaluation works with.
pub(super) struct Frame<'a> {
    /// A value for each parameter, none where it is missing.
    pub(super) parameters: &'a [Option<Value>],
    /// A place for each variable of a macro.
    pub(super) locals: Vec<Value>,
    pub(super) meter: Meter,
}

type Evaluated = Result<Value, Stop>;

impl Frame<'_> {
    pub(super) fn evaluate(&mut self, node: &Node) -> Evaluated {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Parameter(slot) => match self.parameters.get(*slot) {
                Some(Some(value)) => Ok(value.clone()),
                // PANIC: a slot is less than `PARAMETERS_MAX`, which is the number of bits.
                Some(None) | None => Err(Stop::Unknown(1 << slot)),
            },
            Node::Local(slot) => self
                .locals
                .get(*slot)
                .cloned()
                .ok_or_else(|| Stop::error("no such variable")),
            Node::And(operands) => self.decide(operands, false),
            Node::Or(operands) => self.decide(operands, true),
            Node::Conditional(parts) => self.conditional(parts),
            Node::Unary(function, operand) => {
                let value = self.evaluate(operand)?;
                unary(*function, value, &mut self.meter)
            }
            Node::Binary(function, operands) => {
                let (left, right) = self.both(operands)?;
                binary(*function, &left, &right, &mut self.meter)
            }
            Node::Matches(operand, regex) => match self.evaluate(operand)? {
                Value::String(text) => {
                    self.meter.spend(1 + text.len() as u64 / 16)?;
                    Ok(Value::Bool(regex.is_match(&text)))
                }
                _ => Err(Stop::no_such_overload()),
            },
            Node::InCidr(operand, block) => match self.evaluate(operand)? {
                Value::Ipaddress(address) => Ok(Value::Bool(block.contains(address))),
                _ => Err(Stop::no_such_overload()),
            },
            Node::Field {
                operand,
                key,
                is_optional,
            } => {
                self.meter.step()?;
                field_of(&self.evaluate(operand)?, key, *is_optional)
            }
            Node::Has { operand, key } => self.has(operand, key),
            Node::List(items) => self.list(items),
            Node::Map(pairs) => self.map(pairs),
            Node::OptionalOr(operands) => self.optional_or(operands, false),
            Node::OptionalOrValue(operands) => self.optional_or(operands, true),
            Node::Macro(looped) => self.looped(looped),
        }
    }

    /// `&&` decides for false, `||` for true.
    fn decide(&mut self, operands: &[Node], decisive: bool) -> Evaluated {
        let mut stopped = None;
        for operand in operands {
            self.meter.step()?;
            let evaluated = self.evaluate(operand);
            if is_decided(evaluated, decisive, &mut stopped)? {
                return Ok(Value::Bool(decisive));
            }
        }
        undecided(stopped, decisive)
    }

    fn conditional(&mut self, [condition, yes, no]: &[Node; 3]) -> Evaluated {
        self.meter.step()?;
        let Value::Bool(holds) = self.evaluate(condition)? else {
            return Err(Stop::no_such_overload());
        };
        self.evaluate(if holds { yes } else { no })
    }

    fn both(&mut self, [left, right]: &[Node; 2]) -> Result<(Value, Value), Stop> {
        match (self.evaluate(left), self.evaluate(right)) {
            (Ok(left), Ok(right)) => Ok((left, right)),
            (Err(stop), Ok(_)) | (Ok(_), Err(stop)) => Err(stop),
            (Err(left), Err(right)) => Err(left.and(right)),
        }
    }

    fn has(&mut self, operand: &Node, key: &Key) -> Evaluated {
        self.meter.step()?;
        let mut operand = self.evaluate(operand)?;
        while let Value::Optional(Some(inner)) = operand {
            operand = inner.as_ref().clone();
        }
        match operand {
            Value::Map(entries) => Ok(Value::Bool(entries.contains_key(key))),
            Value::Optional(None) => Ok(Value::Bool(false)),
            _ => Err(Stop::no_such_overload()),
        }
    }

    fn list(&mut self, items: &[Item]) -> Evaluated {
        let mut values = Vec::with_capacity(items.len());
        let mut stopped = None;
        for item in items {
            self.meter.step()?;
            match self.evaluate(&item.node) {
                Ok(value) if item.is_optional => match value {
                    Value::Optional(value) => {
                        values.extend(value.map(|value| value.as_ref().clone()))
                    }
                    _ => note(&mut stopped, Stop::no_such_overload()),
                },
                Ok(value) => values.push(value),
                Err(stop) => note(&mut stopped, stop),
            }
        }
        stopped.map_or_else(|| Ok(Value::List(Arc::new(values))), Err)
    }

    fn map(&mut self, pairs: &[Pair]) -> Evaluated {
        let mut entries = BTreeMap::new();
        let mut stopped = None;
        for pair in pairs {
            self.meter.step()?;
            let key = self.evaluate(&pair.key);
            let value = self.evaluate(&pair.value);
            let (key, value) = match (key, value) {
                (Ok(key), Ok(value)) => (key, value),
                (Err(stop), Ok(_)) | (Ok(_), Err(stop)) => {
                    note(&mut stopped, stop);
                    continue;
                }
                (Err(left), Err(right)) => {
                    note(&mut stopped, left.and(right));
                    continue;
                }
            };
            let key = match (&key, Key::of(&key)) {
                (Value::Double(_), _) | (_, None) => {
                    note(
                        &mut stopped,
                        Stop::error(&format!("unsupported key type: {}", key.type_name().text())),
                    );
                    continue;
                }
                (_, Some(key)) => key,
            };
            let value = match value {
                Value::Optional(None) if pair.is_optional => continue,
                Value::Optional(Some(value)) if pair.is_optional => value.as_ref().clone(),
                _ if pair.is_optional => {
                    note(&mut stopped, Stop::no_such_overload());
                    continue;
                }
                value => value,
            };
            if entries.insert(key, value).is_some() {
                note(&mut stopped, Stop::error("failed with repeated key"));
            }
        }
        stopped.map_or_else(|| Ok(Value::Map(Arc::new(entries))), Err)
    }

    fn optional_or(&mut self, [optional, other]: &[Node; 2], takes_value: bool) -> Evaluated {
        self.meter.step()?;
        match self.evaluate(optional)? {
            Value::Optional(Some(value)) if takes_value => Ok(value.as_ref().clone()),
            Value::Optional(Some(value)) => Ok(Value::Optional(Some(value))),
            Value::Optional(None) => self.evaluate(other),
            _ => Err(Stop::no_such_overload()),
        }
    }

    fn looped(&mut self, looped: &Loop) -> Evaluated {
        self.meter.step()?;
        let range = self.evaluate(&looped.range)?;
        match looped.name {
            MacroName::All => self.quantified(looped, &range, false),
            MacroName::Exists => self.quantified(looped, &range, true),
            MacroName::ExistsOne => {
                let count = self.collected(looped, &range)?.len();
                Ok(Value::Bool(count == 1))
            }
            MacroName::Map | MacroName::Filter => {
                let values = self.collected(looped, &range)?;
                Ok(Value::List(Arc::new(values)))
            }
            MacroName::OptMap | MacroName::OptFlatMap => self.opt_map(looped, range),
        }
    }

    fn quantified(&mut self, looped: &Loop, range: &Value, decisive: bool) -> Evaluated {
        let mut stopped = None;
        let Some(predicate) = &looped.predicate else {
            return undecided(stopped, decisive);
        };
        for item in items(range)? {
            self.meter.step()?;
            self.bind(looped.slot, item);
            let evaluated = self.evaluate(predicate);
            if is_decided(evaluated, decisive, &mut stopped)? {
                return Ok(Value::Bool(decisive));
            }
        }
        undecided(stopped, decisive)
    }

    /// The items that count, transformed.
    fn collected(&mut self, looped: &Loop, range: &Value) -> Result<Vec<Value>, Stop> {
        let mut values = Vec::new();
        let mut stopped = None;
        for item in items(range)? {
            self.meter.step()?;
            self.bind(looped.slot, item.clone());
            let counts = match &looped.predicate {
                Some(predicate) => self.evaluate(predicate),
                None => Ok(Value::Bool(true)),
            };
            let value = match (counts, &looped.transform) {
                (Ok(Value::Bool(false)), _) => continue,
                (Ok(Value::Bool(true)), Some(transform)) => self.evaluate(transform),
                (Ok(Value::Bool(true)), None) => Ok(item),
                (Ok(_), _) => Err(Stop::no_such_overload()),
                (Err(stop), _) => Err(stop),
            };
            match value {
                Ok(value) => values.push(value),
                Err(Stop::TooManySteps) => return Err(Stop::TooManySteps),
                Err(stop) => note(&mut stopped, stop),
            }
        }
        stopped.map_or(Ok(values), Err)
    }

    fn opt_map(&mut self, looped: &Loop, range: Value) -> Evaluated {
        let Value::Optional(optional) = range else {
            return Err(Stop::no_such_overload());
        };
        let (Some(value), Some(transform)) = (optional, &looped.transform) else {
            return Ok(Value::Optional(None));
        };
        self.bind(looped.slot, value.as_ref().clone());
        let value = self.evaluate(transform)?;
        match (looped.name, value) {
            (MacroName::OptFlatMap, Value::Optional(value)) => Ok(Value::Optional(value)),
            (MacroName::OptFlatMap, _) => Err(Stop::no_such_overload()),
            (_, value) => Ok(Value::Optional(Some(Arc::new(value)))),
        }
    }

    fn bind(&mut self, slot: usize, value: Value) {
        if let Some(local) = self.locals.get_mut(slot) {
            *local = value;
        }
    }
}

/// Whether an operand decides; one without a value is noted.
fn is_decided(
    evaluated: Evaluated,
    decisive: bool,
    stopped: &mut Option<Stop>,
) -> Result<bool, Stop> {
    match evaluated {
        Ok(Value::Bool(value)) => Ok(value == decisive),
        Ok(_) => {
            note(stopped, Stop::no_such_overload());
            Ok(false)
        }
        Err(Stop::TooManySteps) => Err(Stop::TooManySteps),
        Err(stop) => {
            note(stopped, stop);
            Ok(false)
        }
    }
}

fn undecided(stopped: Option<Stop>, decisive: bool) -> Evaluated {
    stopped.map_or(Ok(Value::Bool(!decisive)), Err)
}

fn note(stopped: &mut Option<Stop>, stop: Stop) {
    *stopped = Some(match stopped.take() {
        Some(earlier) => earlier.and(stop),
        None => stop,
    });
}

/// The items of a list, the keys of a map.
fn items(range: &Value) -> Result<Box<dyn Iterator<Item = Value> + '_>, Stop> {
    if let Value::List(items) = range {
        return Ok(Box::new(items.iter().cloned()));
    }
    let Value::Map(entries) = range else {
        return Err(Stop::no_such_overload());
    };
    Ok(Box::new(entries.keys().map(Key::value)))
}
