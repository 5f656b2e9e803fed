//! The types of parameters, as they are declared, and the types that the checker reasons with.

use std::fmt;

use super::GENERICS_DEPTH_MAX;
use super::error::TypeError;

/// The type of a parameter, as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ParameterType {
    /// Any JSON value; its type is known only where it is evaluated.
    Any,
    /// `true` or `false`.
    Bool,
    /// Text.
    String,
    /// A whole number of 64 bits.
    Int,
    /// A whole number that is not negative; in expressions it is an int.
    Uint,
    /// A floating-point number of 64 bits.
    Double,
    /// Bytes, base64 in a context.
    Bytes,
    /// A span of time such as `1h30m`.
    Duration,
    /// An instant, RFC 3339 in a context.
    Timestamp,
    /// An IPv4 or IPv6 address.
    Ipaddress,
    /// A list of values of one type.
    List(Box<ParameterType>),
    /// A map from strings to values of one type.
    Map(Box<ParameterType>),
}

impl ParameterType {
    /// The type called `name`, of these generic types. Types that take none drop them.
    ///
    /// # Errors
    /// [`TypeError`] if there is no such type, or if it takes another number of generic types.
    pub fn parse_parts(name: &str, mut generics: Vec<Self>) -> Result<Self, TypeError> {
        let simple = match name {
            "any" => Self::Any,
            "bool" => Self::Bool,
            "string" => Self::String,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "bytes" => Self::Bytes,
            "duration" => Self::Duration,
            "timestamp" => Self::Timestamp,
            "ipaddress" => Self::Ipaddress,
            "list" | "map" => {
                let found = generics.len();
                return match (generics.pop(), found) {
                    (Some(generic), 1) if generic.depth() < GENERICS_DEPTH_MAX => Ok(match name {
                        "list" => Self::List(Box::new(generic)),
                        _ => Self::Map(Box::new(generic)),
                    }),
                    (Some(_), 1) => Err(TypeError::TooDeep),
                    (_, found) => Err(TypeError::Generics {
                        name: name.to_owned(),
                        required: 1,
                        found,
                    }),
                };
            }
            _ => return Err(TypeError::Unknown(name.to_owned())),
        };
        Ok(simple)
    }

    fn depth(&self) -> usize {
        let mut depth = 1;
        let mut inner = self;
        while let Self::List(item) | Self::Map(item) = inner {
            depth += 1;
            inner = item;
        }
        depth
    }

    /// The type that the checker gives to a parameter of this type.
    pub(super) fn checked(&self) -> Type {
        match self {
            Self::Any => Type::Dyn,
            Self::Bool => Type::Bool,
            Self::String => Type::String,
            Self::Int | Self::Uint => Type::Int,
            Self::Double => Type::Double,
            Self::Bytes => Type::Bytes,
            Self::Duration => Type::Duration,
            Self::Timestamp => Type::Timestamp,
            Self::Ipaddress => Type::Ipaddress,
            Self::List(item) => Type::List(Box::new(item.checked())),
            Self::Map(item) => Type::Map(Box::new(Type::String), Box::new(item.checked())),
        }
    }
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Bool => f.write_str("bool"),
            Self::String => f.write_str("string"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::Bytes => f.write_str("bytes"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Ipaddress => f.write_str("ipaddress"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Map(item) => write!(f, "map<{item}>"),
        }
    }
}

/// A parameter of a caveat.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: ParameterType,
}

/// The type of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    /// Known only where it is evaluated.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    Ipaddress,
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Optional(Box<Type>),
    /// The type of a type.
    Meta,
    /// Not known yet, by number: the item of `[]`.
    Open(usize),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn | Self::Open(_) => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Ipaddress => f.write_str("IPAddress"),
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(value) => write!(f, "optional_type({value})"),
            Self::Meta => f.write_str("type"),
        }
    }
}

/// Levels of a type that are looked at; what lies deeper counts as dyn, or as different.
const TYPE_DEPTH_MAX: usize = 200;

/// What is known about the open types.
///
/// INVARIANT: the key of a map is never an open type, so putting in what is known does not double a type's size.
#[derive(Debug, Default)]
pub(super) struct Inference {
    known: Vec<Option<Type>>,
    learned: Vec<usize>,
}

/// A point that [`Inference::forget`] goes back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    known: usize,
    learned: usize,
}

impl Inference {
    /// A type that is not known yet.
    pub(super) fn open(&mut self) -> Type {
        self.known.push(None);
        Type::Open(self.known.len() - 1)
    }

    /// The present point.
    pub(super) const fn mark(&self) -> Mark {
        Mark {
            known: self.known.len(),
            learned: self.learned.len(),
        }
    }

    /// Undoes what was opened and learned since `mark`.
    pub(super) fn forget(&mut self, mark: Mark) {
        for ix in self.learned.drain(mark.learned..) {
            if let Some(known) = self.known.get_mut(ix) {
                *known = None;
            }
        }
        self.known.truncate(mark.known);
    }

    /// `ty` with what is known put in; what is not stays open.
    pub(super) fn resolve(&self, ty: &Type) -> Type {
        self.resolve_to(ty, TYPE_DEPTH_MAX)
    }

    fn resolve_to(&self, ty: &Type, depth: usize) -> Type {
        if depth == 0 {
            return Type::Dyn;
        }
        let head = self.head(ty);
        match head {
            Type::List(item) => Type::List(Box::new(self.resolve_to(&item, depth - 1))),
            Type::Optional(value) => Type::Optional(Box::new(self.resolve_to(&value, depth - 1))),
            Type::Map(key, value) => Type::Map(
                Box::new(self.resolve_to(&key, depth - 1)),
                Box::new(self.resolve_to(&value, depth - 1)),
            ),
            Type::Dyn
            | Type::Null
            | Type::Bool
            | Type::Int
            | Type::Uint
            | Type::Double
            | Type::String
            | Type::Bytes
            | Type::Duration
            | Type::Timestamp
            | Type::Ipaddress
            | Type::Meta
            | Type::Open(_) => head,
        }
    }

    /// Whether a value of type `given` goes where `wanted` is; learns about open types on the way.
    pub(super) fn accepts(&mut self, wanted: &Type, given: &Type) -> bool {
        self.accepts_to(wanted, given, TYPE_DEPTH_MAX)
    }

    fn accepts_to(&mut self, wanted: &Type, given: &Type, depth: usize) -> bool {
        if depth == 0 {
            return false;
        }
        match (self.head(wanted), self.head(given)) {
            (Type::Open(left), Type::Open(right)) if left == right => true,
            (Type::Open(ix), other) | (other, Type::Open(ix)) => self.learn(ix, other),
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::Null, other) | (other, Type::Null) => matches!(
                other,
                Type::Null | Type::Duration | Type::Timestamp | Type::Optional(_) | Type::Ipaddress
            ),
            (Type::List(left), Type::List(right))
            | (Type::Optional(left), Type::Optional(right)) => {
                self.accepts_to(&left, &right, depth - 1)
            }
            (Type::Map(left_key, left), Type::Map(right_key, right)) => {
                self.accepts_to(&left_key, &right_key, depth - 1)
                    && self.accepts_to(&left, &right, depth - 1)
            }
            (left, right) => left == right,
        }
    }

    /// The more general of two types that accept each other.
    pub(super) fn join(&mut self, left: &Type, right: &Type) -> Option<Type> {
        let mark = self.mark();
        if !self.accepts(left, right) {
            self.forget(mark);
            return None;
        }
        let (left, right) = (self.resolve(left), self.resolve(right));
        Some(general(&left, &right))
    }

    /// `ty` with the open types at its outermost level looked up.
    pub(super) fn head(&self, ty: &Type) -> Type {
        let mut head = ty;
        while let Type::Open(ix) = head {
            match self.known.get(*ix) {
                Some(Some(known)) => head = known,
                Some(None) | None => break,
            }
        }
        head.clone()
    }

    fn learn(&mut self, ix: usize, ty: Type) -> bool {
        if self.mentions(&ty, ix, TYPE_DEPTH_MAX) {
            return false;
        }
        if let Some(known) = self.known.get_mut(ix) {
            *known = Some(ty);
            self.learned.push(ix);
        }
        true
    }

    fn mentions(&self, ty: &Type, ix: usize, depth: usize) -> bool {
        if depth == 0 {
            return true;
        }
        match self.head(ty) {
            Type::Open(other) => other == ix,
            Type::List(item) | Type::Optional(item) => self.mentions(&item, ix, depth - 1),
            Type::Map(key, value) => {
                self.mentions(&key, ix, depth - 1) || self.mentions(&value, ix, depth - 1)
            }
            Type::Dyn
            | Type::Null
            | Type::Bool
            | Type::Int
            | Type::Uint
            | Type::Double
            | Type::String
            | Type::Bytes
            | Type::Duration
            | Type::Timestamp
            | Type::Ipaddress
            | Type::Meta => false,
        }
    }
}

/// The more general of two types that accept each other.
fn general(left: &Type, right: &Type) -> Type {
    match (left, right) {
        (Type::Dyn, _) | (_, Type::Dyn) => Type::Dyn,
        (Type::Null, other) | (other, Type::Null) => other.clone(),
        (Type::List(left), Type::List(right)) => Type::List(Box::new(general(left, right))),
        (Type::Optional(left), Type::Optional(right)) => {
            Type::Optional(Box::new(general(left, right)))
        }
        (Type::Map(left_key, left), Type::Map(right_key, right)) => Type::Map(
            Box::new(general(left_key, right_key)),
            Box::new(general(left, right)),
        ),
        (left, _) => left.clone(),
    }
}
