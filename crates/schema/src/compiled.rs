//! The meaning of a schema: a dense arena of definitions, members and caveats, which refer to each other by index.
//!
//! INVARIANT: every index in a [`Schema`] is one of that schema; names are unique (definitions and caveats together,
//! members within their definition); the left side of an arrow is a relation without a wildcard; permissions of one
//! definition do not refer to each other in a circle. [`Schema::compile`] is the only maker.

use std::collections::HashMap;
use std::fmt;

use model::{CaveatName, DefinitionName, RelationName};

use crate::caveat::Program;

/// A fast hash: each check looks up three names, and the keys are those of the schema, not of a caller.
pub(crate) type ByName<N, I> = HashMap<N, I, foldhash::fast::RandomState>;

/// A definition of its schema, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DefinitionIx(pub u32);

/// A relation or permission of its schema (of whatever definition), by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberIx(pub u32);

/// A caveat of its schema, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaveatIx(pub u32);

/// A schema that has been parsed, resolved and checked.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    pub(crate) definitions: Vec<Definition>,
    pub(crate) members: Vec<Member>,
    pub(crate) caveats: Vec<Caveat>,
    pub(crate) definition_by_name: ByName<DefinitionName, DefinitionIx>,
    pub(crate) caveat_by_name: ByName<CaveatName, CaveatIx>,
}

/// A kind of object.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its name, with prefixes.
    pub name: DefinitionName,
    /// Its doc comment with the comment markers, or empty.
    pub comment: String,
    /// Whether it is part of every schema rather than of the text: [`BuiltIn`](crate::BuiltIn).
    pub is_built_in: bool,
    /// Its relations and permissions, in the order of the source (those of a partial at the place of its `...`).
    pub members: Vec<MemberIx>,
    pub(crate) member_by_name: ByName<RelationName, MemberIx>,
}

/// A relation or a permission.
#[derive(Debug, Clone)]
pub struct Member {
    /// The definition that it belongs to.
    pub definition: DefinitionIx,
    /// Its name.
    pub name: RelationName,
    /// Its doc comment with the comment markers, or empty.
    pub comment: String,
    /// What it is.
    pub kind: MemberKind,
}

/// What a member is.
#[derive(Debug, Clone)]
pub enum MemberKind {
    /// Relationships are written to it; these are the subjects that it takes, in the order of the source. Never empty.
    Relation(Vec<AllowedSubject>),
    /// Computed from other members.
    Permission(Expression),
}

/// One kind of subject that a relation takes. The traits are those of this kind alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AllowedSubject {
    /// The definition of the subject.
    pub definition: DefinitionIx,
    /// Which subjects of it.
    pub kind: SubjectKind,
    /// The caveat that such a relationship carries; none means that it carries none.
    pub caveat: Option<CaveatIx>,
    /// Whether such a relationship carries an expiration.
    pub expiration: bool,
}

/// Which subjects of a definition a relation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKind {
    /// `user`: objects themselves.
    Object,
    /// `user:*`: all of them at once.
    Wildcard,
    /// `group#member`: the subjects of a relation or permission of the subject's definition.
    Set(MemberIx),
}

/// How a permission is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// `nil`: nobody.
    Nil,
    /// `self`: the object itself is the subject.
    SelfObject,
    /// A relation or permission of the same definition.
    Member(MemberIx),
    /// `parent->view`, `parent.any(view)` or `parent.all(view)`.
    Arrow(Arrow),
    /// `a + b + c`: at least two operands.
    Union(Vec<Expression>),
    /// `a & b & c`: at least two operands.
    Intersection(Vec<Expression>),
    /// `a - b`.
    Exclusion(Box<Expression>, Box<Expression>),
}

/// A walk over a relation to what another object grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrow {
    /// Whether one object on the left suffices.
    pub quantifier: Quantifier,
    /// The relation of this definition whose subjects are walked to: the objects, whatever relation they are written with.
    pub relation: MemberIx,
    /// The relation or permission asked of each; a definition that has none of that name grants nothing.
    pub target: RelationName,
    /// Whether it is written as `.any()` or `.all()` rather than `->`; without meaning.
    pub is_function: bool,
}

/// How many of the objects on the left of an arrow have to grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantifier {
    /// `->` and `.any`: one.
    Any,
    /// `.all`: each, and there is at least one.
    All,
}

/// A named condition.
#[derive(Debug, Clone)]
pub struct Caveat {
    /// Its name, with prefixes.
    pub name: CaveatName,
    /// Its doc comment with the comment markers, or empty.
    pub comment: String,
    /// The expression with its declared parameters, checked and ready to run.
    pub program: Program,
}

impl Member {
    /// Whether it is a relation that takes subjects with that caveat.
    #[must_use]
    pub fn uses_caveat(&self, caveat: CaveatIx) -> bool {
        match &self.kind {
            MemberKind::Relation(allowed) => {
                allowed.iter().any(|subject| subject.caveat == Some(caveat))
            }
            MemberKind::Permission(_) => false,
        }
    }
}

/// One kind of subject that a relation takes, with names in place of indices: it outlives its schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AllowedSubjectName {
    /// The definition of the subject.
    pub definition: DefinitionName,
    /// Which subjects of it.
    pub kind: SubjectKindName,
    /// The caveat that such a relationship carries.
    pub caveat: Option<CaveatName>,
    /// Whether such a relationship carries an expiration.
    pub expiration: bool,
}

/// Which subjects of a definition a relation takes, with names in place of indices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectKindName {
    /// `user`: objects themselves.
    Object,
    /// `user:*`: all of them at once.
    Wildcard,
    /// `group#member`: the subjects of a relation or permission of the subject's definition.
    Set(RelationName),
}

impl AllowedSubject {
    /// The kind of subject with names in place of indices.
    #[must_use]
    pub fn named(&self, schema: &Schema) -> AllowedSubjectName {
        AllowedSubjectName {
            definition: schema.definition(self.definition).name.clone(),
            kind: match self.kind {
                SubjectKind::Object => SubjectKindName::Object,
                SubjectKind::Wildcard => SubjectKindName::Wildcard,
                SubjectKind::Set(member) => {
                    SubjectKindName::Set(schema.member(member).name.clone())
                }
            },
            caveat: self.caveat.map(|ix| schema.caveat(ix).name.clone()),
            expiration: self.expiration,
        }
    }

    /// The kind of subject as a schema writes it: `group#member`, `user:* with office_hours and expiration`.
    #[must_use]
    pub fn to_text(&self, schema: &Schema) -> String {
        self.named(schema).to_string()
    }
}

impl fmt::Display for AllowedSubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.definition)?;
        match &self.kind {
            SubjectKindName::Object => {}
            SubjectKindName::Wildcard => f.write_str(":*")?,
            SubjectKindName::Set(member) => write!(f, "#{member}")?,
        }
        match (&self.caveat, self.expiration) {
            (None, false) => Ok(()),
            (None, true) => f.write_str(" with expiration"),
            (Some(caveat), false) => write!(f, " with {caveat}"),
            (Some(caveat), true) => write!(f, " with {caveat} and expiration"),
        }
    }
}

impl Schema {
    /// Every definition with its index, those that are built in first, then in the order of the source.
    pub fn definitions(&self) -> impl ExactSizeIterator<Item = (DefinitionIx, &Definition)> {
        self.definitions
            .iter()
            .enumerate()
            .map(|(ix, definition)| (DefinitionIx(ix as u32), definition))
    }

    /// Every relation and permission with its index.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (MemberIx, &Member)> {
        self.members
            .iter()
            .enumerate()
            .map(|(ix, member)| (MemberIx(ix as u32), member))
    }

    /// Every caveat with its index, in the order of the source.
    pub fn caveats(&self) -> impl ExactSizeIterator<Item = (CaveatIx, &Caveat)> {
        self.caveats
            .iter()
            .enumerate()
            .map(|(ix, caveat)| (CaveatIx(ix as u32), caveat))
    }

    /// Every definition of the text, in its order.
    pub fn written_definitions(&self) -> impl Iterator<Item = (DefinitionIx, &Definition)> {
        self.definitions()
            .filter(|(_, definition)| !definition.is_built_in)
    }

    /// Whether the text defines nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written_definitions().next().is_none() && self.caveats.is_empty()
    }

    /// The definition of that name.
    #[must_use]
    pub fn definition_ix(&self, name: &str) -> Option<DefinitionIx> {
        self.definition_by_name.get(name).copied()
    }

    /// The relation or permission of that name in `definition`.
    #[must_use]
    pub fn member_ix(&self, definition: DefinitionIx, name: &str) -> Option<MemberIx> {
        self.definition(definition)
            .member_by_name
            .get(name)
            .copied()
    }

    /// The caveat of that name.
    #[must_use]
    pub fn caveat_ix(&self, name: &str) -> Option<CaveatIx> {
        self.caveat_by_name.get(name).copied()
    }

    /// The definition at `ix`.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "an index is only made by the schema that it indexes"
    )]
    pub fn definition(&self, ix: DefinitionIx) -> &Definition {
        // PANIC: see the invariant of this module.
        &self.definitions[ix.0 as usize]
    }

    /// The member at `ix`.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "an index is only made by the schema that it indexes"
    )]
    pub fn member(&self, ix: MemberIx) -> &Member {
        // PANIC: see the invariant of this module.
        &self.members[ix.0 as usize]
    }

    /// The caveat at `ix`.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "an index is only made by the schema that it indexes"
    )]
    pub fn caveat(&self, ix: CaveatIx) -> &Caveat {
        // PANIC: see the invariant of this module.
        &self.caveats[ix.0 as usize]
    }
}
