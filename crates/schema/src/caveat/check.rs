//! From an expression as written to one that runs: every name is resolved, every type checked.
//!
//! SOURCE: the type rules of CEL; places and texts of errors are those that the peer prints (recorded).

mod lower;

use super::REGEXES_MAX;
use super::error::Fault;
use super::functions::{Overload, Run, overloads};
use super::node::{Item, Loop, Node, Pair};
use super::parser::undeclared;
use super::syntax::{Element, Entry, Expr, Kind, Literal, Macro, MacroName};
use super::types::{Inference, Parameter, Type};
use super::value::{Key, TypeName, Value};
use lower::{fold, run_node, wanted};

/// What came out of the check.
pub(super) struct Checked {
    pub(super) node: Node,
    pub(super) ty: Type,
    /// Places for the variables of macros.
    pub(super) locals: usize,
    /// Whether each parameter occurs.
    pub(super) used: Vec<bool>,
}

/// Checks `expr` with these parameters.
pub(super) fn check(expr: &Expr, parameters: &[Parameter]) -> Result<Checked, Fault> {
    let mut checker = Checker {
        parameters,
        used: vec![false; parameters.len()],
        scope: Vec::new(),
        locals: 0,
        regexes: 0,
        inference: Inference::default(),
    };
    let (node, ty) = checker.expr(expr)?;
    let ty = checker.inference.resolve(&ty);
    Ok(Checked {
        node,
        ty,
        locals: checker.locals,
        used: checker.used,
    })
}

struct Checker<'a> {
    parameters: &'a [Parameter],
    used: Vec<bool>,
    /// The variables of the macros around, with their types; the place of each is its slot.
    scope: Vec<(&'a str, Type)>,
    locals: usize,
    /// Literal patterns so far; each keeps memory for as long as the program lives.
    regexes: usize,
    inference: Inference,
}

type Typed = (Node, Type);

impl<'a> Checker<'a> {
    fn expr(&mut self, expr: &'a Expr) -> Result<Typed, Fault> {
        match &expr.kind {
            Kind::Literal(value) => Ok(literal(value)),
            Kind::Ident(name) => self
                .ident(name)
                .ok_or_else(|| Fault::check(expr.at, undeclared(name))),
            Kind::Select {
                operand,
                field,
                is_optional,
            } => self.select(expr, operand, field, *is_optional),
            Kind::Has { operand, field } => {
                let (node, ty) = self.expr(operand)?;
                self.field_type(expr.at, &ty, false)?;
                let key = Key::String(field.as_str().into());
                Ok((
                    Node::Has {
                        operand: Box::new(node),
                        key,
                    },
                    Type::Bool,
                ))
            }
            Kind::Index {
                operand,
                index,
                is_optional,
            } => {
                let name = if *is_optional { "_[?_]" } else { "_[_]" };
                self.operator(expr.at, name, &[operand, index])
            }
            Kind::Call {
                target,
                function,
                arguments,
            } => self.call(expr.at, target.as_deref(), function, arguments),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Not(operand) => self.operator(expr.at, "!_", &[operand]),
            Kind::Negate(operand) => self.operator(expr.at, "-_", &[operand]),
            Kind::Binary {
                operator,
                left,
                right,
            } => self.operator(expr.at, operator.function(), &[left, right]),
            Kind::And(operands) => Ok((
                Node::And(self.bools(expr.at, "_&&_", operands)?),
                Type::Bool,
            )),
            Kind::Or(operands) => {
                Ok((Node::Or(self.bools(expr.at, "_||_", operands)?), Type::Bool))
            }
            Kind::Conditional { condition, yes, no } => {
                self.conditional(expr.at, condition, yes, no)
            }
            Kind::Macro(called) => self.macro_call(expr.at, called),
        }
    }

    /// A variable of a macro, a parameter or a type, the innermost first.
    fn ident(&mut self, name: &str) -> Option<Typed> {
        if let Some(slot) = self
            .scope
            .iter()
            .rposition(|(variable, _)| *variable == name)
        {
            let ty = self.scope.get(slot).map(|(_, ty)| ty.clone())?;
            return Some((Node::Local(slot), ty));
        }
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some(slot) = self
            .parameters
            .iter()
            .position(|parameter| parameter.name == name)
        {
            *self.used.get_mut(slot)? = true;
            let ty = self.parameters.get(slot)?.ty.checked();
            return Some((Node::Parameter(slot), ty));
        }
        let ty = TypeName::named(name)?;
        Some((Node::Constant(Value::Type(ty)), Type::Meta))
    }

    /// The dotted name that `expr` is, if its first part is no variable.
    fn dotted(&self, expr: &Expr) -> Option<String> {
        let mut parts = Vec::new();
        let mut first = expr;
        while let Kind::Select {
            operand,
            field,
            is_optional: false,
        } = &first.kind
        {
            parts.push(field.as_str());
            first = operand;
        }
        let Kind::Ident(name) = &first.kind else {
            return None;
        };
        let name = name.strip_prefix('.').unwrap_or(name);
        let is_variable = self.scope.iter().any(|(variable, _)| *variable == name)
            || self
                .parameters
                .iter()
                .any(|parameter| parameter.name == name);
        parts.push(name);
        parts.reverse();
        (!is_variable).then(|| parts.join("."))
    }

    fn select(
        &mut self,
        expr: &'a Expr,
        operand: &'a Expr,
        field: &str,
        is_optional: bool,
    ) -> Result<Typed, Fault> {
        if let Some(ty) = self.dotted(expr).and_then(|name| TypeName::named(&name)) {
            return Ok((Node::Constant(Value::Type(ty)), Type::Meta));
        }
        let (node, ty) = self.expr(operand)?;
        let ty = self.field_type(expr.at, &ty, is_optional)?;
        let key = Key::String(field.into());
        Ok((
            fold(Node::Field {
                operand: Box::new(node),
                key,
                is_optional,
            }),
            ty,
        ))
    }

    fn field_type(&mut self, at: usize, operand: &Type, is_optional: bool) -> Result<Type, Fault> {
        let mut operand = self.inference.head(operand);
        let was_optional = matches!(operand, Type::Optional(_));
        if let Type::Optional(inner) = operand {
            operand = self.inference.head(&inner);
        }
        let field = if let Type::Map(_, value) = operand {
            *value
        } else if matches!(operand, Type::Dyn | Type::Open(_)) {
            self.inference.accepts(&operand, &Type::Dyn);
            Type::Dyn
        } else {
            let operand = self.inference.resolve(&operand);
            return Err(Fault::check(
                at,
                format!("type '{operand}' does not support field selection"),
            ));
        };
        let wraps = is_optional || was_optional;
        Ok(if wraps {
            Type::Optional(Box::new(field))
        } else {
            field
        })
    }

    fn bools(
        &mut self,
        at: usize,
        operator: &str,
        operands: &'a [Expr],
    ) -> Result<Vec<Node>, Fault> {
        let mut nodes = Vec::with_capacity(operands.len());
        for operand in operands {
            let (node, ty) = self.expr(operand)?;
            if !self.inference.accepts(&Type::Bool, &ty) {
                let types = if nodes.is_empty() {
                    [ty, Type::Bool]
                } else {
                    [Type::Bool, ty]
                };
                return Err(self.no_overload(at, operator, &types, false));
            }
            nodes.push(node);
        }
        Ok(nodes)
    }

    fn conditional(
        &mut self,
        at: usize,
        condition: &'a Expr,
        yes: &'a Expr,
        no: &'a Expr,
    ) -> Result<Typed, Fault> {
        let (condition, condition_type) = self.expr(condition)?;
        let (yes, yes_type) = self.expr(yes)?;
        let (no, no_type) = self.expr(no)?;
        let is_bool = self.inference.accepts(&Type::Bool, &condition_type);
        match self.inference.join(&yes_type, &no_type).filter(|_| is_bool) {
            Some(ty) => Ok((fold(Node::Conditional(Box::new([condition, yes, no]))), ty)),
            None => Err(self.no_overload(at, "_?_:_", &[condition_type, yes_type, no_type], false)),
        }
    }

    fn list(&mut self, elements: &'a [Element]) -> Result<Typed, Fault> {
        let mut items = Vec::with_capacity(elements.len());
        let mut item_type = None;
        for Element { is_optional, item } in elements {
            let (node, ty) = self.expr(item)?;
            let ty = if *is_optional {
                self.unwrapped(item.at, &ty)?
            } else {
                ty
            };
            item_type = Some(self.joined(item_type, ty));
            items.push(Item {
                is_optional: *is_optional,
                node,
            });
        }
        let item_type = item_type.unwrap_or_else(|| self.inference.open());
        Ok((fold(Node::List(items)), Type::List(Box::new(item_type))))
    }

    fn map(&mut self, entries: &'a [Entry]) -> Result<Typed, Fault> {
        let mut pairs = Vec::with_capacity(entries.len());
        let (mut key_type, mut value_type) = (None, None);
        for Entry {
            is_optional,
            key,
            value,
        } in entries
        {
            let (key, ty) = self.expr(key)?;
            let ty = self.inference.head(&ty);
            // What is no key has no entry at evaluation; see the invariant of `Inference`.
            let is_key = matches!(ty, Type::Bool | Type::Int | Type::Uint | Type::String);
            key_type = Some(self.joined(key_type, if is_key { ty } else { Type::Dyn }));
            let (node, ty) = self.expr(value)?;
            let ty = if *is_optional {
                self.unwrapped(value.at, &ty)?
            } else {
                ty
            };
            value_type = Some(self.joined(value_type, ty));
            pairs.push(Pair {
                is_optional: *is_optional,
                key,
                value: node,
            });
        }
        let key_type = key_type.unwrap_or(Type::Dyn);
        let value_type = value_type.unwrap_or_else(|| self.inference.open());
        Ok((
            fold(Node::Map(pairs)),
            Type::Map(Box::new(key_type), Box::new(value_type)),
        ))
    }

    /// One type for what is in a collection: dyn where the parts do not agree.
    fn joined(&mut self, so_far: Option<Type>, ty: Type) -> Type {
        match so_far {
            Some(so_far) => self.inference.join(&so_far, &ty).unwrap_or(Type::Dyn),
            None => ty,
        }
    }

    fn unwrapped(&mut self, at: usize, ty: &Type) -> Result<Type, Fault> {
        let head = self.inference.head(ty);
        if let Type::Optional(inner) = head {
            return Ok(*inner);
        }
        if matches!(head, Type::Dyn | Type::Open(_)) {
            return Ok(Type::Dyn);
        }
        let found = self.inference.resolve(&head);
        let detail = format!("expected type 'optional_type({found})' but found '{found}'");
        Err(Fault::check(at, detail))
    }

    fn operator(&mut self, at: usize, name: &str, operands: &[&'a Expr]) -> Result<Typed, Fault> {
        self.resolve(at, name, operands, false)
    }

    fn call(
        &mut self,
        at: usize,
        target: Option<&'a Expr>,
        function: &str,
        arguments: &'a [Expr],
    ) -> Result<Typed, Fault> {
        let mut operands: Vec<&Expr> = arguments.iter().collect();
        let Some(target) = target else {
            return self.resolve(
                at,
                function.strip_prefix('.').unwrap_or(function),
                &operands,
                false,
            );
        };
        // `optional.of(x)`: what looks like a field is a part of the name.
        let dotted = self
            .dotted(target)
            .map(|prefix| format!("{prefix}.{function}"));
        if let Some(name) = dotted.filter(|name| overloads(name).next().is_some()) {
            return self.resolve(at, &name, &operands, false);
        }
        operands.insert(0, target);
        self.resolve(at, function, &operands, true)
    }

    /// Picks the overloads that take the operands.
    fn resolve(
        &mut self,
        at: usize,
        name: &str,
        operands: &[&'a Expr],
        is_member: bool,
    ) -> Result<Typed, Fault> {
        let mut nodes = Vec::with_capacity(operands.len());
        let mut types = Vec::with_capacity(operands.len());
        for operand in operands {
            let (node, ty) = self.expr(operand)?;
            nodes.push(node);
            types.push(ty);
        }
        if overloads(name).next().is_none() {
            return Err(Fault::check(at, undeclared(name)));
        }
        let mut picked: Option<(Run, Type)> = None;
        for overload in overloads(name) {
            if overload.is_member != is_member || overload.arguments.len() != types.len() {
                continue;
            }
            let Some(result) = self.applied(overload, &types) else {
                continue;
            };
            picked = Some(match picked {
                // Which of them runs is known only with the values.
                Some((run, other)) if other != result => (run, Type::Dyn),
                Some(picked) => picked,
                None => (overload.run, result),
            });
        }
        let Some((run, result)) = picked else {
            return Err(self.no_overload(at, name, &types, is_member));
        };
        let node = run_node(at, run, nodes)?;
        self.regexes += usize::from(matches!(node, Node::Matches(_, _)));
        if self.regexes > REGEXES_MAX {
            let detail = format!("more than {REGEXES_MAX} regular expressions");
            return Err(Fault::check(at, detail));
        }
        Ok((fold(node), result))
    }

    /// The type that `overload` yields for operands of these types, if it takes them.
    fn applied(&mut self, overload: &Overload, types: &[Type]) -> Option<Type> {
        let mark = self.inference.mark();
        let generics = [self.inference.open(), self.inference.open()];
        for (signature, ty) in overload.arguments.iter().zip(types) {
            if !self.inference.accepts(&wanted(*signature, &generics), ty) {
                self.inference.forget(mark);
                return None;
            }
        }
        Some(self.inference.resolve(&wanted(overload.result, &generics)))
    }

    fn no_overload(&self, at: usize, name: &str, types: &[Type], is_member: bool) -> Fault {
        let mut texts: Vec<String> = types
            .iter()
            .map(|ty| self.inference.resolve(ty).to_string())
            .collect();
        let target = if is_member && !texts.is_empty() {
            format!("{}.", texts.remove(0))
        } else {
            String::new()
        };
        let types = texts.join(", ");
        Fault::check(
            at,
            format!("found no matching overload for '{name}' applied to '{target}({types})'"),
        )
    }

    fn macro_call(&mut self, at: usize, called: &'a Macro) -> Result<Typed, Fault> {
        let (range, range_type) = self.expr(&called.range)?;
        let item_type = self.item_type(called, &range_type)?;
        let slot = self.scope.len();
        self.scope
            .push((called.variable.as_str(), item_type.clone()));
        self.locals = self.locals.max(self.scope.len());
        let mut steps = Vec::with_capacity(called.steps.len());
        for step in &called.steps {
            steps.push(self.expr(step)?);
        }
        self.scope.pop();
        let last = steps.pop();
        let first = steps.pop();
        let name = called.name;
        let (predicate, transform) = match name {
            MacroName::All | MacroName::Exists | MacroName::ExistsOne | MacroName::Filter => {
                (last, None)
            }
            MacroName::Map | MacroName::OptMap | MacroName::OptFlatMap => (first, last),
        };
        if let Some((_, ty)) = &predicate
            && !self.inference.accepts(&Type::Bool, ty)
        {
            let (operator, types) = match name {
                MacroName::All => ("_&&_", vec![Type::Bool, ty.clone()]),
                MacroName::Exists => ("_||_", vec![Type::Bool, ty.clone()]),
                MacroName::ExistsOne
                | MacroName::Filter
                | MacroName::Map
                | MacroName::OptMap
                | MacroName::OptFlatMap => ("_?_:_", vec![ty.clone(), Type::Dyn, Type::Dyn]),
            };
            return Err(self.no_overload(at, operator, &types, false));
        }
        let (predicate, _) = predicate.unzip();
        let (transform, transform_type) = transform.unzip();
        let made = transform_type.unwrap_or(Type::Dyn);
        let ty = match name {
            MacroName::All | MacroName::Exists | MacroName::ExistsOne => Type::Bool,
            MacroName::Filter => Type::List(Box::new(item_type)),
            MacroName::Map => Type::List(Box::new(made)),
            MacroName::OptMap => Type::Optional(Box::new(made)),
            MacroName::OptFlatMap => Type::Optional(Box::new(self.unwrapped(at, &made)?)),
        };
        Ok((
            Node::Macro(Box::new(Loop {
                name,
                range,
                slot,
                predicate,
                transform,
            })),
            ty,
        ))
    }

    /// The type of the variable of a macro over a range of that type.
    fn item_type(&mut self, called: &Macro, range: &Type) -> Result<Type, Fault> {
        let at = called.range.at;
        let range = self.inference.head(range);
        if matches!(range, Type::Dyn | Type::Open(_)) {
            self.inference.accepts(&range, &Type::Dyn);
            return Ok(Type::Dyn);
        }
        if matches!(called.name, MacroName::OptMap | MacroName::OptFlatMap) {
            let Type::Optional(inner) = range else {
                return Err(self.no_overload(at, "hasValue", &[range], true));
            };
            return Ok(*inner);
        }
        if let Type::List(item) | Type::Map(item, _) = range {
            return Ok(*item);
        }
        let range = self.inference.resolve(&range);
        Err(Fault::check(
            at,
            format!(
                "expression of type '{range}' cannot be range of a comprehension \
                 (must be list, map, or dynamic)"
            ),
        ))
    }
}

fn literal(literal: &Literal) -> Typed {
    let (value, ty) = match literal {
        Literal::Null => (Value::Null, Type::Null),
        Literal::Bool(value) => (Value::Bool(*value), Type::Bool),
        Literal::Int(number) => (Value::Int(*number), Type::Int),
        Literal::Uint(number) => (Value::Uint(*number), Type::Uint),
        Literal::Double(number) => (Value::Double(*number), Type::Double),
        Literal::String(text) => (Value::string(text), Type::String),
        Literal::Bytes(bytes) => (Value::Bytes(bytes.as_slice().into()), Type::Bytes),
    };
    (Node::Constant(value), ty)
}
