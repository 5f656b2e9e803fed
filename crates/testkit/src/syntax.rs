//! A schema as a small tree, and its text. Cases are made and shrunk as trees, and handed to the parser as text.

use std::collections::BTreeSet;
use std::fmt;

use model::{Relationship, SubjectId};

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SchemaTree {
    pub(crate) caveats: Vec<CaveatTree>,
    pub(crate) definitions: Vec<DefinitionTree>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CaveatTree {
    pub(crate) name: &'static str,
    /// Name and type.
    pub(crate) parameters: &'static [(&'static str, &'static str)],
    pub(crate) expression: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DefinitionTree {
    pub(crate) name: String,
    pub(crate) members: Vec<MemberTree>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberTree {
    pub(crate) name: String,
    pub(crate) kind: MemberKindTree,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemberKindTree {
    Relation(Vec<TypeTree>),
    Permission(ExpressionTree),
}

/// One kind of subject that a relation takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeTree {
    pub(crate) definition: String,
    pub(crate) kind: TypeKindTree,
    pub(crate) caveat: Option<&'static str>,
    pub(crate) expiration: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TypeKindTree {
    Object,
    Wildcard,
    Set(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExpressionTree {
    Nil,
    SelfObject,
    Member(String),
    Arrow {
        relation: String,
        quantifier: ArrowText,
        target: String,
    },
    Union(Vec<ExpressionTree>),
    Intersection(Vec<ExpressionTree>),
    Exclusion(Box<ExpressionTree>, Box<ExpressionTree>),
}

/// How an arrow is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArrowText {
    /// `parent->view`
    Short,
    /// `parent.any(view)`
    Any,
    /// `parent.all(view)`
    All,
}

/// How tightly an expression binds: the union binds tightest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Exclusion,
    Intersection,
    Union,
    Term,
}

impl SchemaTree {
    pub(crate) fn definition(&self, name: &str) -> Option<&DefinitionTree> {
        self.definitions
            .iter()
            .find(|definition| definition.name == name)
    }

    pub(crate) fn member(&self, definition: &str, name: &str) -> Option<&MemberTree> {
        let members = &self.definition(definition)?.members;
        members.iter().find(|member| member.name == name)
    }

    /// Whether a relation takes `row` with just the traits that it carries.
    pub(crate) fn takes(&self, row: &Relationship) -> bool {
        let member = self.member(row.resource.definition.as_str(), row.relation.as_str());
        let Some(MemberKindTree::Relation(types)) = member.map(|member| &member.kind) else {
            return false;
        };
        types.iter().any(|accepted| {
            accepted.definition == row.subject.definition.as_str()
                && accepted.caveat == row.caveat.as_ref().map(|caveat| caveat.name.as_str())
                && accepted.expiration == row.expires_at.is_some()
                && match (&accepted.kind, &row.subject.id, &row.subject.relation) {
                    (TypeKindTree::Object, SubjectId::Object(_), None)
                    | (TypeKindTree::Wildcard, SubjectId::Wildcard, None) => true,
                    (TypeKindTree::Set(set), SubjectId::Object(_), Some(relation)) => {
                        set == relation.as_str()
                    }
                    (
                        TypeKindTree::Object | TypeKindTree::Wildcard | TypeKindTree::Set(_),
                        _,
                        _,
                    ) => false,
                }
        })
    }

    fn uses(&self) -> BTreeSet<&'static str> {
        let mut uses = BTreeSet::new();
        let members = self
            .definitions
            .iter()
            .flat_map(|definition| &definition.members);
        for member in members {
            match &member.kind {
                MemberKindTree::Relation(types) => {
                    if types.iter().any(|accepted| accepted.expiration) {
                        uses.insert("expiration");
                    }
                }
                MemberKindTree::Permission(expression) => {
                    if expression.any(&|part| *part == ExpressionTree::SelfObject) {
                        uses.insert("self");
                    }
                }
            }
        }
        uses
    }
}

impl ExpressionTree {
    /// Whether `is_match` holds for a part of the expression.
    pub(crate) fn any(&self, is_match: &impl Fn(&Self) -> bool) -> bool {
        is_match(self) || self.operands().into_iter().any(|part| part.any(is_match))
    }

    /// The parts directly below.
    pub(crate) fn operands(&self) -> Vec<&Self> {
        match self {
            Self::Nil | Self::SelfObject | Self::Member(_) | Self::Arrow { .. } => Vec::new(),
            Self::Union(operands) | Self::Intersection(operands) => operands.iter().collect(),
            Self::Exclusion(left, right) => vec![left, right],
        }
    }

    fn level(&self) -> Level {
        match self {
            Self::Nil | Self::SelfObject | Self::Member(_) | Self::Arrow { .. } => Level::Term,
            Self::Union(_) => Level::Union,
            Self::Intersection(_) => Level::Intersection,
            Self::Exclusion(..) => Level::Exclusion,
        }
    }

    /// Writes the expression, in parentheses where it binds more loosely than `level`.
    fn write(&self, f: &mut fmt::Formatter<'_>, level: Level) -> fmt::Result {
        if self.level() < level {
            f.write_str("(")?;
            self.write(f, Level::Exclusion)?;
            return f.write_str(")");
        }
        match self {
            Self::Nil => f.write_str("nil"),
            Self::SelfObject => f.write_str("self"),
            Self::Member(name) => f.write_str(name),
            Self::Arrow {
                relation,
                quantifier,
                target,
            } => match quantifier {
                ArrowText::Short => write!(f, "{relation}->{target}"),
                ArrowText::Any => write!(f, "{relation}.any({target})"),
                ArrowText::All => write!(f, "{relation}.all({target})"),
            },
            Self::Union(operands) => write_all(f, operands, " + ", Level::Term),
            Self::Intersection(operands) => write_all(f, operands, " & ", Level::Union),
            Self::Exclusion(left, right) => {
                left.write(f, Level::Exclusion)?;
                f.write_str(" - ")?;
                right.write(f, Level::Intersection)
            }
        }
    }
}

fn write_all(
    f: &mut fmt::Formatter<'_>,
    operands: &[ExpressionTree],
    operator: &str,
    level: Level,
) -> fmt::Result {
    for (ix, operand) in operands.iter().enumerate() {
        if ix > 0 {
            f.write_str(operator)?;
        }
        operand.write(f, level)?;
    }
    Ok(())
}

impl fmt::Display for SchemaTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in self.uses() {
            writeln!(f, "use {name}")?;
        }
        for caveat in &self.caveats {
            write!(f, "caveat {}(", caveat.name)?;
            for (ix, (name, kind)) in caveat.parameters.iter().enumerate() {
                let comma = if ix > 0 { ", " } else { "" };
                write!(f, "{comma}{name} {kind}")?;
            }
            writeln!(f, ") {{\n\t{}\n}}", caveat.expression)?;
        }
        for definition in &self.definitions {
            writeln!(f, "definition {} {{", definition.name)?;
            for member in &definition.members {
                writeln!(f, "\t{member}")?;
            }
            writeln!(f, "}}")?;
        }
        Ok(())
    }
}

impl fmt::Display for MemberTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            MemberKindTree::Relation(types) => {
                write!(f, "relation {}: ", self.name)?;
                for (ix, accepted) in types.iter().enumerate() {
                    let bar = if ix > 0 { " | " } else { "" };
                    write!(f, "{bar}{accepted}")?;
                }
                Ok(())
            }
            MemberKindTree::Permission(expression) => {
                write!(f, "permission {} = ", self.name)?;
                expression.write(f, Level::Exclusion)
            }
        }
    }
}

impl fmt::Display for TypeTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.definition)?;
        match &self.kind {
            TypeKindTree::Object => {}
            TypeKindTree::Wildcard => f.write_str(":*")?,
            TypeKindTree::Set(relation) => write!(f, "#{relation}")?,
        }
        match (self.caveat, self.expiration) {
            (None, false) => Ok(()),
            (None, true) => f.write_str(" with expiration"),
            (Some(caveat), false) => write!(f, " with {caveat}"),
            (Some(caveat), true) => write!(f, " with {caveat} and expiration"),
        }
    }
}
