//! What an expression reads of the maps that it names: which keys, or any.

use std::collections::BTreeMap;

use super::syntax::{Expr, Kind, Literal};

/// What is read of each name.
#[derive(Debug, Clone, Default)]
pub(super) struct Reads(BTreeMap<String, Keys>);

#[derive(Debug, Clone, Default)]
struct Keys {
    named: Vec<String>,
    /// Whether the name stands where more than a key that is written out may be read.
    is_open: bool,
}

impl Reads {
    /// What `expr` reads. The variable of a macro counts as what it hides, so that more may be told than is read, never less.
    pub(super) fn of(expr: &Expr) -> Self {
        let mut reads = Self::default();
        reads.walk(expr);
        reads
    }

    /// The keys that are read of `name`; none if any may be.
    pub(super) fn keys_of(&self, name: &str) -> Option<Vec<&str>> {
        match self.0.get(name) {
            None => Some(Vec::new()),
            Some(keys) if keys.is_open => None,
            Some(keys) => Some(keys.named.iter().map(String::as_str).collect()),
        }
    }

    fn walk(&mut self, expr: &Expr) {
        match &expr.kind {
            Kind::Literal(_) => {}
            Kind::Ident(name) => self.keys(name).is_open = true,
            Kind::Select { operand, field, .. } | Kind::Has { operand, field } => {
                self.member(operand, field);
            }
            Kind::Index { operand, index, .. } => {
                if let Kind::Literal(Literal::String(key)) = &index.kind {
                    self.member(operand, key);
                } else {
                    self.walk(operand);
                    self.walk(index);
                }
            }
            Kind::Call {
                target, arguments, ..
            } => {
                target.iter().for_each(|target| self.walk(target));
                self.all(arguments);
            }
            Kind::List(elements) => elements.iter().for_each(|it| self.walk(&it.item)),
            Kind::Map(entries) => {
                for entry in entries {
                    self.walk(&entry.key);
                    self.walk(&entry.value);
                }
            }
            Kind::Not(operand) | Kind::Negate(operand) => self.walk(operand),
            Kind::Binary { left, right, .. } => {
                self.walk(left);
                self.walk(right);
            }
            Kind::And(operands) | Kind::Or(operands) => self.all(operands),
            Kind::Conditional { condition, yes, no } => {
                for part in [condition, yes, no] {
                    self.walk(part);
                }
            }
            Kind::Macro(called) => {
                self.walk(&called.range);
                self.all(&called.steps);
            }
        }
    }

    fn all(&mut self, operands: &[Expr]) {
        operands.iter().for_each(|operand| self.walk(operand));
    }

    fn member(&mut self, operand: &Expr, key: &str) {
        if let Kind::Ident(name) = &operand.kind {
            self.keys(name).named.push(key.to_owned());
        } else {
            self.walk(operand);
        }
    }

    fn keys(&mut self, name: &str) -> &mut Keys {
        let name = name.strip_prefix('.').unwrap_or(name);
        self.0.entry(name.to_owned()).or_default()
    }
}
