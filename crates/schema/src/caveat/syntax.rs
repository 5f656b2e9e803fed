//! A caveat expression as it was written.
//!
//! Macros are kept as such (not expanded), so that an expression prints as it reads. `&&` and `||` are flat lists of
//! operands: long conditions are wide, not deep.

/// An expression and where it stands, in bytes: at its operator or opening bracket, else at its start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub(super) at: usize,
    /// Levels of operators from here down to the leaves.
    pub(super) height: u16,
    pub(super) kind: Kind,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Literal(Literal),
    Ident(String),
    /// `operand.field`, `operand.?field`.
    Select {
        operand: Box<Expr>,
        field: String,
        is_optional: bool,
    },
    /// `has(operand.field)`.
    Has {
        operand: Box<Expr>,
        field: String,
    },
    /// `operand[index]`, `operand[?index]`.
    Index {
        operand: Box<Expr>,
        index: Box<Expr>,
        is_optional: bool,
    },
    /// `function(arguments)`, `target.function(arguments)`.
    Call {
        target: Option<Box<Expr>>,
        function: String,
        arguments: Vec<Expr>,
    },
    List(Vec<Element>),
    Map(Vec<Entry>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary {
        operator: Operator,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// At least two operands, none of which is an `And`.
    And(Vec<Expr>),
    /// At least two operands, none of which is an `Or`.
    Or(Vec<Expr>),
    Conditional {
        condition: Box<Expr>,
        yes: Box<Expr>,
        no: Box<Expr>,
    },
    Macro(Box<Macro>),
}

/// A value as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
}

/// An item of a list; `?item` is left out if it is an empty optional.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Element {
    pub(super) is_optional: bool,
    pub(super) item: Expr,
}

/// An entry of a map; `?key: value` is left out if the value is an empty optional.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) is_optional: bool,
    pub(super) key: Expr,
    pub(super) value: Expr,
}

/// `range.name(variable, steps)`: one or two steps, each evaluated for every item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Macro {
    pub(super) name: MacroName,
    pub(super) range: Expr,
    pub(super) variable: String,
    pub(super) steps: Vec<Expr>,
}

/// The macros that bind a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MacroName {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    OptMap,
    OptFlatMap,
}

impl MacroName {
    pub(super) const ALL: [Self; 7] = [
        Self::All,
        Self::Exists,
        Self::ExistsOne,
        Self::Map,
        Self::Filter,
        Self::OptMap,
        Self::OptFlatMap,
    ];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Exists => "exists",
            Self::ExistsOne => "exists_one",
            Self::Map => "map",
            Self::Filter => "filter",
            Self::OptMap => "optMap",
            Self::OptFlatMap => "optFlatMap",
        }
    }

    /// Whether the macro takes that many steps; with another number it is a call of a function.
    pub(super) const fn takes(self, steps: usize) -> bool {
        steps == 1 || (steps == 2 && matches!(self, Self::Map))
    }
}

/// An operator between two operands that is neither `&&` nor `||`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    pub(super) const ALL: [Self; 12] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::In,
        Self::Add,
        Self::Subtract,
        Self::Multiply,
        Self::Divide,
        Self::Remainder,
    ];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }

    /// The name of the function behind the operator.
    pub(super) const fn function(self) -> &'static str {
        match self {
            Self::Equal => "_==_",
            Self::NotEqual => "_!=_",
            Self::Less => "_<_",
            Self::LessOrEqual => "_<=_",
            Self::Greater => "_>_",
            Self::GreaterOrEqual => "_>=_",
            Self::In => "@in",
            Self::Add => "_+_",
            Self::Subtract => "_-_",
            Self::Multiply => "_*_",
            Self::Divide => "_/_",
            Self::Remainder => "_%_",
        }
    }

    /// How loosely the operator binds; see [`Kind::looseness`].
    pub(super) const fn looseness(self) -> u8 {
        match self {
            Self::Equal
            | Self::NotEqual
            | Self::Less
            | Self::LessOrEqual
            | Self::Greater
            | Self::GreaterOrEqual
            | Self::In => 5,
            Self::Add | Self::Subtract => 4,
            Self::Multiply | Self::Divide | Self::Remainder => 3,
        }
    }
}

impl Kind {
    /// How loosely the outermost operator binds, from 1 (an index) to 8 (`?:`); 0 where brackets or nothing bind.
    pub(super) const fn looseness(&self) -> u8 {
        match self {
            Self::Conditional { .. } => 8,
            Self::Or(_) => 7,
            Self::And(_) => 6,
            Self::Binary { operator, .. } => operator.looseness(),
            Self::Not(_) | Self::Negate(_) => 2,
            Self::Index { .. } => 1,
            Self::Literal(_)
            | Self::Ident(_)
            | Self::Select { .. }
            | Self::Has { .. }
            | Self::Call { .. }
            | Self::List(_)
            | Self::Map(_)
            | Self::Macro(_) => 0,
        }
    }
}
