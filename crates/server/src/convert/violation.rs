//! What violates a rule and where, in words and as the `buf.validate.Violations` that clients of the API look into.
//!
//! A path is a chain on the stack: a message that violates nothing costs no allocation. What is told is bounded, since
//! it travels in the trailers of the answer, and a request has room for millions of empty items.

use std::fmt;

use prost::Message as _;
use tonic::{Code, Status};

/// Violations told at most: about 10 KiB of trailers, where clients accept 16.
const TOLD_MAX: usize = 16;

/// The way from the message to one of its fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    number: i32,
    name: &'static str,
    kind: FieldKind,
    index: Option<usize>,
}

/// Types of fields, by their numbers in `google.protobuf.FieldDescriptorProto`.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
enum FieldKind {
    Uint64 = 4,
    Int32 = 5,
    Bool = 8,
    String = 9,
    Message = 11,
    Enum = 14,
}

/// A rule that a field breaks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule<'a> {
    /// The field has to be there.
    Required,
    /// The field has to match this pattern.
    Pattern(&'a str),
    /// The field has to have this many bytes.
    BytesMin(usize),
    /// The field may have this many bytes.
    BytesMax(usize),
    /// The field may not be left at zero.
    NotZero,
    /// The field has to be one of the values that its enumeration names.
    Defined,
}

/// Violations found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    told: Vec<Violation>,
    lines: Vec<String>,
    count: usize,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Violations {
    #[prost(message, repeated, tag = "1")]
    pub(super) violations: Vec<Violation>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Violation {
    #[prost(message, optional, tag = "5")]
    pub(super) field: Option<FieldPath>,
    #[prost(message, optional, tag = "6")]
    pub(super) rule: Option<FieldPath>,
    #[prost(string, optional, tag = "2")]
    pub(super) rule_id: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) message: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FieldPath {
    #[prost(message, repeated, tag = "1")]
    pub(super) elements: Vec<FieldPathElement>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FieldPathElement {
    #[prost(int32, optional, tag = "1")]
    pub(super) field_number: Option<i32>,
    #[prost(string, optional, tag = "2")]
    pub(super) field_name: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub(super) field_type: Option<i32>,
    #[prost(uint64, optional, tag = "6")]
    pub(super) index: Option<u64>,
}

impl<'a> Path<'a> {
    /// A message within `parent`, or within the request itself.
    pub(super) fn message(parent: Option<&'a Path<'a>>, number: i32, name: &'static str) -> Self {
        Self::new(parent, number, name, FieldKind::Message)
    }

    /// A string within `parent`, or within the request itself.
    pub(super) fn string(parent: Option<&'a Path<'a>>, number: i32, name: &'static str) -> Self {
        Self::new(parent, number, name, FieldKind::String)
    }

    /// A value of an enumeration within `parent`.
    pub(super) fn enumeration(parent: &'a Path<'a>, number: i32, name: &'static str) -> Self {
        Self::new(Some(parent), number, name, FieldKind::Enum)
    }

    /// One item of a repeated field.
    pub(super) fn at(self, index: usize) -> Self {
        Self {
            index: Some(index),
            ..self
        }
    }

    fn new(parent: Option<&'a Path<'a>>, number: i32, name: &'static str, kind: FieldKind) -> Self {
        Self {
            parent,
            number,
            name,
            kind,
            index: None,
        }
    }

    fn to_wire(self) -> FieldPath {
        let mut elements = Vec::new();
        let mut next = Some(&self);
        while let Some(path) = next {
            elements.push(FieldPathElement {
                index: path.index.and_then(|index| u64::try_from(index).ok()),
                ..element(path.number, path.name, path.kind)
            });
            next = path.parent;
        }
        elements.reverse();
        FieldPath { elements }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As deep as messages nest in their definition, so a handful.
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)?;
        match self.index {
            Some(index) => write!(f, "[{index}]"),
            None => Ok(()),
        }
    }
}

impl Rule<'_> {
    /// The rule by the name and the path that it has in the API's own validation.
    ///
    /// SOURCE: `FieldRules`, `StringRules` and `EnumRules` of the package `buf.validate`.
    fn to_wire(self) -> (&'static str, FieldPath) {
        let string = || element(14, "string", FieldKind::Message);
        let enumeration = || element(16, "enum", FieldKind::Message);
        let (id, elements) = match self {
            Self::Required => ("required", vec![element(25, "required", FieldKind::Bool)]),
            Self::Pattern(_) => (
                "string.pattern",
                vec![string(), element(6, "pattern", FieldKind::String)],
            ),
            Self::BytesMin(_) => (
                "string.min_bytes",
                vec![string(), element(4, "min_bytes", FieldKind::Uint64)],
            ),
            Self::BytesMax(_) => (
                "string.max_bytes",
                vec![string(), element(5, "max_bytes", FieldKind::Uint64)],
            ),
            Self::NotZero => (
                "enum.not_in",
                vec![enumeration(), element(4, "not_in", FieldKind::Int32)],
            ),
            Self::Defined => (
                "enum.defined_only",
                vec![enumeration(), element(2, "defined_only", FieldKind::Bool)],
            ),
        };
        (id, FieldPath { elements })
    }
}

impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("value is required"),
            Self::Pattern(pattern) => write!(f, "does not match regex pattern `{pattern}`"),
            Self::BytesMin(bytes) => write!(f, "must be at least {bytes} bytes"),
            Self::BytesMax(bytes) => write!(f, "must be at most {bytes} bytes"),
            Self::NotZero => f.write_str("must not be in list [0]"),
            Self::Defined => f.write_str("value must be one of the defined enum values"),
        }
    }
}

impl Found {
    /// Notes that the field at `path` breaks `rule`.
    pub(super) fn add(&mut self, path: &Path<'_>, rule: Rule<'_>) {
        self.count = self.count.saturating_add(1);
        if self.told.len() == TOLD_MAX {
            return;
        }
        let (id, rule_path) = rule.to_wire();
        self.lines.push(format!("{path}: {rule}"));
        self.told.push(Violation {
            field: Some(path.to_wire()),
            rule: Some(rule_path),
            rule_id: Some(id.to_owned()),
            message: Some(rule.to_string()),
        });
    }

    /// Refuses the message if anything was found.
    pub(super) fn end(mut self) -> Result<(), Status> {
        let untold = self.count.saturating_sub(self.told.len());
        if untold > 0 {
            self.lines.push(format!("and {untold} more"));
        }
        let message = match self.lines.as_slice() {
            [] => return Ok(()),
            [one] => format!("validation error: {one}"),
            several => format!("validation errors:\n - {}", several.join("\n - ")),
        };
        let violations = Violations {
            violations: self.told,
        };
        let detail = prost_types::Any {
            type_url: "type.googleapis.com/buf.validate.Violations".to_owned(),
            value: violations.encode_to_vec(),
        };
        let code = Code::InvalidArgument;
        let status = tonic_types::pb::Status {
            code: code.into(),
            message: message.clone(),
            details: vec![detail],
        };
        Err(Status::with_details(
            code,
            message,
            status.encode_to_vec().into(),
        ))
    }
}

fn element(number: i32, name: &str, kind: FieldKind) -> FieldPathElement {
    FieldPathElement {
        field_number: Some(number),
        field_name: Some(name.to_owned()),
        field_type: Some(kind as i32),
        index: None,
    }
}
