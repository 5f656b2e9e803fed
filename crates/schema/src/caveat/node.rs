//! An expression ready to run: names are slots, functions are resolved, constant parts are computed.

use regex::Regex;

use super::cidr::Cidr;
use super::functions::{Binary, Unary};
use super::syntax::MacroName;
use super::value::{Key, Value};

/// A node of the tree that is evaluated.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Constant(Value),
    /// The slot of a parameter.
    Parameter(usize),
    /// The slot of a variable of a macro.
    Local(usize),
    And(Vec<Node>),
    Or(Vec<Node>),
    /// Condition, value if true, value if false.
    Conditional(Box<[Node; 3]>),
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<[Node; 2]>),
    /// `matches` with a literal pattern.
    Matches(Box<Node>, Regex),
    /// `in_cidr` with a literal block.
    InCidr(Box<Node>, Cidr),
    Field {
        operand: Box<Node>,
        key: Key,
        is_optional: bool,
    },
    Has {
        operand: Box<Node>,
        key: Key,
    },
    List(Vec<Item>),
    Map(Vec<Pair>),
    /// The first of two optionals that has a value.
    OptionalOr(Box<[Node; 2]>),
    /// The value of an optional, or another.
    OptionalOrValue(Box<[Node; 2]>),
    Macro(Box<Loop>),
}

/// An item of a list.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) is_optional: bool,
    pub(super) node: Node,
}

/// An entry of a map.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) is_optional: bool,
    pub(super) key: Node,
    pub(super) value: Node,
}

/// A macro that binds a variable.
#[derive(Debug, Clone)]
pub(super) struct Loop {
    pub(super) name: MacroName,
    pub(super) range: Node,
    /// The slot of the variable.
    pub(super) slot: usize,
    /// Whether an item counts: the only step of a question, the first of two steps of `map`.
    pub(super) predicate: Option<Node>,
    /// What an item becomes.
    pub(super) transform: Option<Node>,
}

impl Node {
    pub(super) const fn constant(&self) -> Option<&Value> {
        match self {
            Self::Constant(value) => Some(value),
            Self::Parameter(_)
            | Self::Local(_)
            | Self::And(_)
            | Self::Or(_)
            | Self::Conditional(_)
            | Self::Unary(_, _)
            | Self::Binary(_, _)
            | Self::Matches(_, _)
            | Self::InCidr(_, _)
            | Self::Field { .. }
            | Self::Has { .. }
            | Self::List(_)
            | Self::Map(_)
            | Self::OptionalOr(_)
            | Self::OptionalOrValue(_)
            | Self::Macro(_) => None,
        }
    }

    /// Whether all that the node computes with is constant.
    pub(super) fn is_constant(&self) -> bool {
        self.constant().is_some()
    }
}
