//! Makes a failing case small: takes away whatever the failure does not need.

use schema::Schema;

use crate::generate::Case;
use crate::syntax::{ExpressionTree, MemberKindTree, SchemaTree};

/// The smallest case found by taking parts away from `case` for which `still_fails` holds.
///
/// Every case that is tried is a valid one. If `case` itself does not fail, it is returned as it is.
#[must_use]
pub fn shrink(case: Case, mut still_fails: impl FnMut(&Case) -> bool) -> Case {
    let mut smallest = case;
    loop {
        let smaller = smaller_cases(&smallest)
            .into_iter()
            .find(|smaller| is_valid(smaller) && still_fails(smaller));
        match smaller {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

/// Cases with less, the boldest first.
fn smaller_cases(case: &Case) -> Vec<Case> {
    let mut cases = Vec::new();
    for questions in smaller_lists(&case.questions) {
        cases.push(Case {
            questions,
            ..case.clone()
        });
    }
    for relationships in smaller_lists(&case.relationships) {
        cases.push(Case {
            relationships,
            ..case.clone()
        });
    }
    for tree in smaller_trees(&case.tree) {
        cases.push(Case::new(
            tree,
            case.relationships.clone(),
            case.questions.clone(),
            case.depth_max,
        ));
    }
    for (ix, question) in case.questions.iter().enumerate() {
        if !question.context.is_empty() {
            let mut smaller = case.clone();
            if let Some(question) = smaller.questions.get_mut(ix) {
                question.context = model::Context::default();
            }
            cases.push(smaller);
        }
    }
    cases
}

/// `items` without a half, a quarter, .. down to one of them.
fn smaller_lists<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let mut lists = Vec::new();
    let mut size = items.len().div_ceil(2);
    while size > 0 {
        for start in (0..items.len()).step_by(size) {
            let kept = items.iter().enumerate();
            lists.push(
                kept.filter(|(ix, _)| !(start..start + size).contains(ix))
                    .map(|(_, item)| item.clone())
                    .collect(),
            );
        }
        size /= 2;
    }
    lists
}

fn smaller_trees(tree: &SchemaTree) -> Vec<SchemaTree> {
    let mut trees = Vec::new();
    for (ix, definition) in tree.definitions.iter().enumerate() {
        let mut smaller = tree.clone();
        smaller.definitions.remove(ix);
        trees.push(smaller);
        for (member_ix, member) in definition.members.iter().enumerate() {
            let mut smaller = tree.clone();
            if let Some(definition) = smaller.definitions.get_mut(ix) {
                definition.members.remove(member_ix);
            }
            trees.push(smaller);
            for kind in smaller_kinds(&member.kind) {
                let mut smaller = tree.clone();
                let members = smaller.definitions.get_mut(ix);
                let member = members.and_then(|definition| definition.members.get_mut(member_ix));
                if let Some(member) = member {
                    member.kind = kind;
                }
                trees.push(smaller);
            }
        }
    }
    for ix in 0..tree.caveats.len() {
        let mut smaller = tree.clone();
        smaller.caveats.remove(ix);
        trees.push(smaller);
    }
    trees
}

fn smaller_kinds(kind: &MemberKindTree) -> Vec<MemberKindTree> {
    match kind {
        MemberKindTree::Relation(types) => without_one(types)
            .into_iter()
            .filter(|types| !types.is_empty())
            .map(MemberKindTree::Relation)
            .collect(),
        MemberKindTree::Permission(expression) => smaller_expressions(expression)
            .into_iter()
            .map(MemberKindTree::Permission)
            .collect(),
    }
}

/// One operand in the place of the whole, one operand fewer, one operand smaller.
fn smaller_expressions(expression: &ExpressionTree) -> Vec<ExpressionTree> {
    let mut smaller: Vec<ExpressionTree> = expression.operands().into_iter().cloned().collect();
    match expression {
        ExpressionTree::Nil
        | ExpressionTree::SelfObject
        | ExpressionTree::Member(_)
        | ExpressionTree::Arrow { .. } => {}
        ExpressionTree::Union(operands) => {
            smaller.extend(
                smaller_operands(operands)
                    .into_iter()
                    .map(ExpressionTree::Union),
            );
        }
        ExpressionTree::Intersection(operands) => {
            let operands = smaller_operands(operands).into_iter();
            smaller.extend(operands.map(ExpressionTree::Intersection));
        }
        ExpressionTree::Exclusion(left, right) => {
            smaller.extend(
                smaller_expressions(left)
                    .into_iter()
                    .map(|left| ExpressionTree::Exclusion(Box::new(left), right.clone())),
            );
            smaller.extend(
                smaller_expressions(right)
                    .into_iter()
                    .map(|right| ExpressionTree::Exclusion(left.clone(), Box::new(right))),
            );
        }
    }
    smaller
}

fn smaller_operands(operands: &[ExpressionTree]) -> Vec<Vec<ExpressionTree>> {
    let mut lists = if operands.len() > 2 {
        without_one(operands)
    } else {
        Vec::new()
    };
    for (ix, operand) in operands.iter().enumerate() {
        for smaller in smaller_expressions(operand) {
            let mut list = operands.to_vec();
            if let Some(place) = list.get_mut(ix) {
                *place = smaller;
            }
            lists.push(list);
        }
    }
    lists
}

fn without_one<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    (0..items.len())
        .map(|ix| {
            let mut list = items.to_vec();
            list.remove(ix);
            list
        })
        .collect()
}

fn is_valid(case: &Case) -> bool {
    let tree = &case.tree;
    case.relationships.iter().all(|row| {
        tree.takes(row) && {
            let subject = &row.subject;
            tree.definition(subject.definition.as_str()).is_some()
        }
    }) && case.questions.iter().all(|question| {
        let resource = question.resource.definition.as_str();
        let subject = question.subject.definition.as_str();
        tree.member(resource, question.member.as_str()).is_some()
            && match &question.subject.relation {
                None => tree.definition(subject).is_some(),
                Some(relation) => tree.member(subject, relation.as_str()).is_some(),
            }
    }) && Schema::compile(&case.schema_text).is_ok()
}

#[cfg(test)]
mod tests {
    use model::Decision;

    use super::*;
    use crate::generate;
    use crate::oracle;

    #[test]
    fn only_what_the_failure_needs_is_left() {
        let is_conditional = |case: &Case| {
            let schema = Schema::compile(&case.schema_text).unwrap();
            case.questions.iter().any(|question| {
                matches!(
                    oracle::check(&schema, &case.relationships, question, case.depth_max),
                    Ok(Decision::Conditional { .. })
                )
            })
        };
        let case = (0..100).map(generate::case).find(is_conditional).unwrap();
        let small = shrink(case, is_conditional);
        assert_eq!(small.questions.len(), 1, "{small}");
        assert!(small.relationships.len() <= 2, "{small}");
        assert!(is_conditional(&small));
        let types = small.schema_text.matches("relation ").count();
        assert!(types <= 2, "{small}");
    }
}
