//! The schema language: text in, a [`Schema`] out.
//!
//! [`Schema::compile`] parses, resolves and checks; [`caveat`] holds the expression language of caveats.

pub mod caveat;
pub mod compiled;

pub use compiled::{
    AllowedSubject, Arrow, Caveat, CaveatIx, Definition, DefinitionIx, Expression, Member, MemberIx,
    MemberKind, Quantifier, Schema, SubjectKind,
};
