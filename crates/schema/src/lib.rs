//! The schema language: text in, a [`Schema`] out.
//!
//! [`Schema::compile`] (or [`diagnose`], for every fault at once) parses ([`lexer`], [`parser`], [`syntax`]), then resolves and checks ([`resolve`]); what the engine
//! reads is in [`compiled`]. [`caveat`] holds the expression language of caveats, [`format`](mod@format) the printers,
//! [`diff`](mod@diff) what a change means; [`Schema::select`], [`Schema::computed_from`] and [`Schema::rests_on`] look into a
//! schema.

pub mod caveat;
pub mod compiled;
pub mod diagnostic;
pub mod diff;
pub mod format;

mod compile;
mod lexer;
mod parser;
mod reach;
mod reflect;
mod resolve;
mod syntax;

pub use compile::{BuiltIn, diagnose, diagnose_with};
pub use compiled::{
    AllowedSubject, AllowedSubjectName, Arrow, Caveat, CaveatIx, Definition, DefinitionIx,
    Expression, Member, MemberIx, MemberKind, Quantifier, Schema, SubjectKind, SubjectKindName,
};
pub use diagnostic::{SchemaError, SchemaErrorClass};
pub use diff::{SchemaChange, SchemaChangeKind, diff};
pub use format::format;
pub use parser::TEXT_BYTES_MAX;
pub use reach::SubjectType;
pub use reflect::{Selected, SelectedDefinition, Selector, SelectorError};
