//! What was written: a typed tree with the place of every node.

use std::ops::Range;

use crate::lexer::Comment;

/// A place in the text, in bytes.
pub(crate) type Span = Range<usize>;

/// A schema file.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) items: Vec<Item>,
    /// Every comment, in order.
    pub(crate) comments: Vec<Comment>,
}

impl File {
    /// The comments right before a node that starts at `start`: those that document it.
    pub(crate) fn comments_of(&self, start: usize) -> &[Comment] {
        let from = self
            .comments
            .partition_point(|comment| comment.before < start);
        let to = self
            .comments
            .partition_point(|comment| comment.before <= start);
        self.comments.get(from..to).unwrap_or_default()
    }

    pub(crate) fn uses(&self, flag: &str) -> bool {
        self.items
            .iter()
            .any(|item| matches!(&item.kind, ItemKind::Use(used) if used.text == flag))
    }
}

/// A name and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// What stands at the root of a file.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) span: Span,
    pub(crate) kind: ItemKind,
}

#[derive(Debug)]
pub(crate) enum ItemKind {
    Use(Name),
    /// The path with its quotes.
    Import(String),
    Partial(Block),
    Definition(Block),
    Caveat(CaveatSyntax),
}

/// The name and the members of a definition or a partial.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) name: Name,
    pub(crate) members: Vec<MemberSyntax>,
}

#[derive(Debug, Clone)]
pub(crate) struct MemberSyntax {
    pub(crate) span: Span,
    pub(crate) kind: MemberSyntaxKind,
}

#[derive(Debug, Clone)]
pub(crate) enum MemberSyntaxKind {
    Relation {
        name: Name,
        types: Vec<TypeSyntax>,
    },
    Permission {
        name: Name,
        annotation: Vec<Name>,
        expression: ExpressionSyntax,
    },
    Splat(Name),
}

/// One kind of subject that a relation takes.
#[derive(Debug, Clone)]
pub(crate) struct TypeSyntax {
    /// From the definition to the relation, without traits.
    pub(crate) span: Span,
    pub(crate) definition: Name,
    pub(crate) kind: TypeKind,
    pub(crate) caveat: Option<Name>,
    pub(crate) expiration: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum TypeKind {
    Object,
    Wildcard,
    Set(Name),
}

#[derive(Debug, Clone)]
pub(crate) enum ExpressionSyntax {
    Nil,
    SelfObject,
    Member(Name),
    Arrow {
        left: Name,
        way: ArrowWay,
        right: Name,
    },
    /// At least two operands; an exclusion takes each of the others from the first.
    Operation {
        operator: Operator,
        operands: Vec<ExpressionSyntax>,
    },
}

/// How an arrow is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArrowWay {
    Plain,
    Any,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Union,
    Intersection,
    Exclusion,
}

#[derive(Debug)]
pub(crate) struct CaveatSyntax {
    pub(crate) name: Name,
    pub(crate) parameters: Vec<ParameterSyntax>,
    /// The expression without the space around it.
    pub(crate) expression: Span,
}

#[derive(Debug)]
pub(crate) struct ParameterSyntax {
    pub(crate) name: Name,
    pub(crate) ty: ParameterTypeSyntax,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct ParameterTypeSyntax {
    pub(crate) name: String,
    pub(crate) generics: Vec<ParameterTypeSyntax>,
}
