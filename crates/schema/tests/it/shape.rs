//! What a schema says, with names in place of indices: equal for schemas that say the same.

use std::collections::BTreeMap;

use schema::{Expression, MemberKind, Quantifier, Schema};

/// The comment of a definition and its members, in order: comment, name, and what it is.
type Definition = (String, Vec<(String, String, String)>);
/// The comment of a caveat, its parameters by name, and its expression.
type Caveat = (String, BTreeMap<String, String>, String);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    definitions: BTreeMap<String, Definition>,
    caveats: BTreeMap<String, Caveat>,
}

pub(crate) fn shape(schema: &Schema) -> Shape {
    let definitions = schema.definitions().map(|(_, definition)| {
        let members = definition.members.iter().map(|ix| {
            let member = schema.member(*ix);
            let kind = match &member.kind {
                MemberKind::Relation(allowed) => {
                    let types = allowed.iter().map(|ty| ty.to_text(schema));
                    format!("{:?}", types.collect::<Vec<_>>())
                }
                MemberKind::Permission(tree) => expression(schema, tree),
            };
            (member.comment.clone(), member.name.to_string(), kind)
        });
        let name = definition.name.to_string();
        (name, (definition.comment.clone(), members.collect()))
    });
    let caveats = schema.caveats().map(|(_, caveat)| {
        let parameters = caveat.program.parameters().iter();
        let parameters = parameters.map(|p| (p.name.clone(), p.ty.to_string()));
        let shape = (
            caveat.comment.clone(),
            parameters.collect(),
            caveat.program.to_text(),
        );
        (caveat.name.to_string(), shape)
    });
    Shape {
        definitions: definitions.collect(),
        caveats: caveats.collect(),
    }
}

/// Every operation in brackets, so that nothing depends on how tightly operators bind.
fn expression(schema: &Schema, tree: &Expression) -> String {
    let all = |sign: &str, operands: &[Expression]| {
        let operands = operands.iter().map(|operand| expression(schema, operand));
        format!("({sign} {})", operands.collect::<Vec<_>>().join(" "))
    };
    match tree {
        Expression::Nil => "nil".to_owned(),
        Expression::SelfObject => "<self>".to_owned(),
        Expression::Member(member) => schema.member(*member).name.to_string(),
        Expression::Arrow(arrow) => {
            let way = match (arrow.quantifier, arrow.is_function) {
                (Quantifier::Any, false) => "->",
                (Quantifier::Any, true) => "any",
                (Quantifier::All, _) => "all",
            };
            let left = &schema.member(arrow.relation).name;
            format!("({way} {left} {})", arrow.target)
        }
        Expression::Union(operands) => all("+", operands),
        Expression::Intersection(operands) => all("&", operands),
        Expression::Exclusion(left, right) => {
            format!(
                "(- {} {})",
                expression(schema, left),
                expression(schema, right)
            )
        }
    }
}
