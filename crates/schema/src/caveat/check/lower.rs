//! What the checker makes: types from signatures, nodes from calls, constants from constant parts.

use std::sync::Arc;

use super::super::STEPS_FOLD_MAX;
use super::super::cidr::Cidr;
use super::super::error::Fault;
use super::super::evaluate::Frame;
use super::super::functions::{Binary, Run, Signature, Text, compile_regex};
use super::super::meter::Meter;
use super::super::node::Node;
use super::super::types::Type;
use super::super::value::Value;

/// The type that a signature asks for, with these types for `A` and `B`.
pub(super) fn wanted(signature: Signature, [a, b]: &[Type; 2]) -> Type {
    let list = |item: &Type| Type::List(Box::new(item.clone()));
    let map = |key: &Type, value: &Type| Type::Map(Box::new(key.clone()), Box::new(value.clone()));
    let optional = |inner: Type| Type::Optional(Box::new(inner));
    match signature {
        Signature::A => a.clone(),
        Signature::B => b.clone(),
        Signature::Dyn => Type::Dyn,
        Signature::Bool => Type::Bool,
        Signature::Int => Type::Int,
        Signature::Uint => Type::Uint,
        Signature::Double => Type::Double,
        Signature::String => Type::String,
        Signature::Bytes => Type::Bytes,
        Signature::Duration => Type::Duration,
        Signature::Timestamp => Type::Timestamp,
        Signature::Ipaddress => Type::Ipaddress,
        Signature::Type => Type::Meta,
        Signature::ListOfA => list(a),
        Signature::MapOfAToB => map(a, b),
        Signature::MapOfStringToDyn => map(&Type::String, &Type::Dyn),
        Signature::OptionalOfA => optional(a.clone()),
        Signature::OptionalOfB => optional(b.clone()),
        Signature::OptionalListOfA => optional(list(a)),
        Signature::OptionalMapOfAToB => optional(map(a, b)),
    }
}

/// A node that runs `run` on its operands, of which there are as many as the overload has arguments.
pub(super) fn run_node(at: usize, run: Run, operands: Vec<Node>) -> Result<Node, Fault> {
    let mut operands = operands.into_iter();
    let (first, second) = (operands.next(), operands.next());
    match (run, first, second) {
        (Run::Unary(function), Some(operand), None) => Ok(Node::Unary(function, Box::new(operand))),
        (Run::Binary(function), Some(left), Some(right)) => binary_node(at, function, left, right),
        (Run::OptionalOr, Some(left), Some(right)) => Ok(Node::OptionalOr(Box::new([left, right]))),
        (Run::OptionalOrValue, Some(left), Some(right)) => {
            Ok(Node::OptionalOrValue(Box::new([left, right])))
        }
        (Run::OptionalNone, None, None) => Ok(Node::Constant(Value::Optional(None))),
        _ => Err(Fault::check(at, "wrong number of arguments".to_owned())),
    }
}

/// Literal patterns and blocks are read once, here.
fn binary_node(at: usize, function: Binary, left: Node, right: Node) -> Result<Node, Fault> {
    let literal = match right.constant() {
        Some(Value::String(text)) => Some(Arc::clone(text)),
        _ => None,
    };
    match (function, literal) {
        (Binary::Text(Text::Matches), Some(pattern)) => {
            let regex = compile_regex(&pattern).map_err(|detail| Fault::check(at, detail))?;
            Ok(Node::Matches(Box::new(left), regex))
        }
        (Binary::InCidr, Some(text)) => {
            let block: Cidr = text.parse().map_err(|detail| Fault::check(at, detail))?;
            Ok(Node::InCidr(Box::new(left), block))
        }
        (function, _) => Ok(Node::Binary(function, Box::new([left, right]))),
    }
}

/// Computes a node whose operands are all constant; one that fails is left to fail where it is evaluated.
pub(super) fn fold(node: Node) -> Node {
    let is_constant = match &node {
        Node::Unary(_, operand)
        | Node::Matches(operand, _)
        | Node::InCidr(operand, _)
        | Node::Field { operand, .. } => operand.is_constant(),
        Node::Binary(_, operands) => operands.iter().all(Node::is_constant),
        Node::Conditional(parts) => parts.iter().all(Node::is_constant),
        Node::List(items) => items.iter().all(|item| item.node.is_constant()),
        Node::Map(pairs) => pairs
            .iter()
            .all(|pair| pair.key.is_constant() && pair.value.is_constant()),
        Node::Constant(_)
        | Node::Parameter(_)
        | Node::Local(_)
        | Node::And(_)
        | Node::Or(_)
        | Node::Has { .. }
        | Node::OptionalOr(_)
        | Node::OptionalOrValue(_)
        | Node::Macro(_) => false,
    };
    if !is_constant {
        return node;
    }
    let mut frame = Frame {
        parameters: &[],
        locals: Vec::new(),
        meter: Meter::of(STEPS_FOLD_MAX),
    };
    frame.evaluate(&node).map_or(node, Node::Constant)
}
