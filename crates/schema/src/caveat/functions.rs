//! The functions of expressions: what kinds there are, and where each is implemented.
//!
//! The checker picks an overload of the catalogue by the declared types; what runs looks at the values, since those of
//! `any` have a type only then.

mod arithmetic;
mod calls;
mod catalogue;
mod conversion;
mod optional;
mod time;

pub(super) use calls::{binary, compile_regex, unary};
pub(super) use catalogue::overloads;
pub(super) use optional::field_of;
pub(super) use time::{duration_from_text, instant_from_text};

/// A function of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Not,
    Negate,
    Size,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Bool,
    Duration,
    Timestamp,
    Dyn,
    Type,
    Time(TimeField),
    OptionalOf,
    OptionalOfNonZero,
    OptionalHasValue,
    OptionalValue,
}

/// A function of two arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Equal,
    NotEqual,
    Order(Order),
    Arithmetic(Arithmetic),
    Text(Text),
    In,
    Index,
    OptionalIndex,
    InCidr,
    IsSubtreeOf,
    Time(TimeField),
}

/// A question about the order of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An operator that makes a value of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A question about two strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Contains,
    StartsWith,
    EndsWith,
    Matches,
}

/// What is read from an instant or a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeField {
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// What a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    Unary(Unary),
    Binary(Binary),
    /// `optional.none()`.
    OptionalNone,
    /// `optional.or(optional)`, whose argument is evaluated only if it counts.
    OptionalOr,
    /// `optional.orValue(value)`, whose argument is evaluated only if it counts.
    OptionalOrValue,
}

/// A type in a signature. `A` and `B` stand for any type, the same at each place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    A,
    B,
    Dyn,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    Ipaddress,
    Type,
    ListOfA,
    MapOfAToB,
    MapOfStringToDyn,
    OptionalOfA,
    OptionalOfB,
    OptionalListOfA,
    OptionalMapOfAToB,
}

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Overload {
    pub(super) name: &'static str,
    /// Whether the first argument stands before the name: `text.size()`.
    pub(super) is_member: bool,
    pub(super) arguments: &'static [Signature],
    pub(super) result: Signature,
    pub(super) run: Run,
}
