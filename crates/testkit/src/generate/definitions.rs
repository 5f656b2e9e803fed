//! Random schemas that compile.

use std::collections::BTreeSet;

use crate::rng::Rng;
use crate::syntax::{
    ArrowText, CaveatTree, DefinitionTree, ExpressionTree, MemberKindTree, MemberTree, SchemaTree,
    TypeKindTree, TypeTree,
};

/// The definition of people, which every schema has.
const USER: &str = "user";
const DEFINITIONS: [&str; 6] = [
    "group",
    "folder",
    "document",
    "acme/team",
    "service",
    "org/unit",
];
const RELATIONS: [&str; 6] = ["viewer", "editor", "owner", "member", "banned", "linked"];
const PARENT: &str = "parent";
const PERMISSIONS: [&str; 5] = ["view", "edit", "manage", "share", "audit"];

/// Few parameters, shared by several caveats. `ratio` fails where the divisor is zero.
const CAVEATS: [CaveatTree; 6] = [
    CaveatTree {
        name: "on_day",
        parameters: &[("day", "string")],
        expression: "day == \"friday\"",
    },
    CaveatTree {
        name: "below",
        parameters: &[("amount", "int"), ("ceiling", "int")],
        expression: "amount <= ceiling",
    },
    CaveatTree {
        name: "switched_on",
        parameters: &[("flag", "bool")],
        expression: "flag",
    },
    CaveatTree {
        name: "flagged_or_day",
        parameters: &[("flag", "bool"), ("day", "string")],
        expression: "flag || day == \"friday\"",
    },
    CaveatTree {
        name: "tagged",
        parameters: &[("tag", "string"), ("tags", "list<string>")],
        expression: "tag in tags",
    },
    CaveatTree {
        name: "ratio",
        parameters: &[("amount", "int"), ("divisor", "int")],
        expression: "amount / divisor > 1",
    },
];

pub(super) fn schema(rng: &mut Rng) -> SchemaTree {
    let caveat_count = rng.between(1, 3);
    let definition_count = rng.between(1, 5);
    let mut tree = SchemaTree {
        caveats: rng.some(&CAVEATS, caveat_count),
        definitions: vec![DefinitionTree {
            name: USER.to_owned(),
            members: if rng.chance(25) {
                members(rng, 1)
            } else {
                Vec::new()
            },
        }],
    };
    for name in rng.some(&DEFINITIONS, definition_count) {
        let members = members(rng, 2);
        tree.definitions.push(DefinitionTree {
            name: name.to_owned(),
            members,
        });
    }
    fill_relations(rng, &mut tree);
    fill_permissions(rng, &mut tree);
    drop_reached_wildcards(&mut tree);
    tree
}

/// The names of the members of one definition; what they are made of follows when all names are known.
fn members(rng: &mut Rng, count_min: usize) -> Vec<MemberTree> {
    let relation_count = rng.between(count_min, 4);
    let permission_count = rng.between(count_min, 4);
    let mut relations = rng.some(&RELATIONS, relation_count);
    if rng.chance(75) {
        relations.push(PARENT);
    }
    let relations = relations
        .into_iter()
        .map(|name| (name, MemberKindTree::Relation(Vec::new())));
    let permissions = rng
        .some(&PERMISSIONS, permission_count)
        .into_iter()
        .map(|name| (name, MemberKindTree::Permission(ExpressionTree::Nil)));
    relations
        .chain(permissions)
        .map(|(name, kind)| MemberTree {
            name: name.to_owned(),
            kind,
        })
        .collect()
}

fn fill_relations(rng: &mut Rng, tree: &mut SchemaTree) {
    let names = tree.clone();
    for definition in &mut tree.definitions {
        for member in &mut definition.members {
            if let MemberKindTree::Relation(types) = &mut member.kind {
                *types = relation_types(rng, &names, &definition.name, member.name == PARENT);
            }
        }
    }
}

fn relation_types(rng: &mut Rng, names: &SchemaTree, own: &str, is_parent: bool) -> Vec<TypeTree> {
    let mut types: Vec<TypeTree> = Vec::new();
    for _ in 0..rng.between(1, 3) {
        let (definition, kind) = subject_kind(rng, names, own, is_parent);
        let plain = TypeTree {
            definition,
            kind,
            caveat: None,
            expiration: false,
        };
        let traits = TypeTree {
            caveat: rng.chance(60).then(|| rng.pick(&names.caveats).name),
            expiration: rng.chance(25),
            ..plain.clone()
        };
        // The same kind with and without traits, or one of the two.
        let both = rng.chance(40);
        for accepted in both.then_some(plain).into_iter().chain([traits]) {
            if !types.contains(&accepted) {
                types.push(accepted);
            }
        }
    }
    types
}

fn subject_kind(
    rng: &mut Rng,
    names: &SchemaTree,
    own: &str,
    is_parent: bool,
) -> (String, TypeKindTree) {
    let any = rng.pick(&names.definitions).name.clone();
    // Every schema has a definition besides people, so the last one is never theirs.
    let others = names.definitions.get(1..).unwrap_or_default();
    let other = match others.iter().find(|definition| definition.name == own) {
        Some(own) if rng.chance(35) => own,
        _ => rng.pick(others),
    };
    if is_parent {
        return match rng.below(10) {
            0 => set_of(rng, other),
            1 => (any, TypeKindTree::Object),
            _ => (other.name.clone(), TypeKindTree::Object),
        };
    }
    match rng.below(100) {
        0..60 => (USER.to_owned(), TypeKindTree::Object),
        60..70 => (USER.to_owned(), TypeKindTree::Wildcard),
        70..72 => (any, TypeKindTree::Wildcard),
        72..77 => (any, TypeKindTree::Object),
        _ => set_of(rng, other),
    }
}

fn set_of(rng: &mut Rng, definition: &DefinitionTree) -> (String, TypeKindTree) {
    let member = rng.pick(&definition.members).name.clone();
    (definition.name.clone(), TypeKindTree::Set(member))
}

fn fill_permissions(rng: &mut Rng, tree: &mut SchemaTree) {
    let names = tree.clone();
    for definition in &mut tree.definitions {
        let left: Vec<&str> = definition
            .members
            .iter()
            .filter(|member| may_stand_left_of_an_arrow(member))
            .map(|member| member.name.as_str())
            .collect();
        let left: Vec<String> = left.into_iter().map(str::to_owned).collect();
        let mut earlier: Vec<String> = Vec::new();
        for member in &mut definition.members {
            if let MemberKindTree::Permission(expression) = &mut member.kind {
                let depth = rng.between(1, 3);
                let scope = Scope {
                    names: &names,
                    own: &member.name,
                    earlier: &earlier,
                    left: &left,
                };
                *expression = scope.expression(rng, depth);
            }
            earlier.push(member.name.clone());
        }
        // A permission may refer to one that follows it in the text.
        if rng.chance(50) {
            definition.members.reverse();
        }
    }
}

fn may_stand_left_of_an_arrow(member: &MemberTree) -> bool {
    match &member.kind {
        MemberKindTree::Relation(types) => types
            .iter()
            .all(|accepted| accepted.kind != TypeKindTree::Wildcard),
        MemberKindTree::Permission(_) => false,
    }
}

/// What an expression may refer to.
struct Scope<'a> {
    names: &'a SchemaTree,
    /// The name of the permission that is made.
    own: &'a str,
    /// Only members made before: permissions do not refer to each other in a circle.
    earlier: &'a [String],
    left: &'a [String],
}

impl Scope<'_> {
    fn expression(&self, rng: &mut Rng, depth: usize) -> ExpressionTree {
        if depth == 0 {
            return self.leaf(rng);
        }
        let operands = |rng: &mut Rng| -> Vec<ExpressionTree> {
            (0..if rng.chance(70) { 2 } else { 3 })
                .map(|_| self.operand(rng, depth - 1))
                .collect()
        };
        match rng.below(100) {
            0..38 => ExpressionTree::Union(operands(rng)),
            38..55 => ExpressionTree::Intersection(operands(rng)),
            55..75 => ExpressionTree::Exclusion(
                Box::new(self.operand(rng, depth - 1)),
                Box::new(self.operand(rng, depth - 1)),
            ),
            75..92 => self.arrow(rng),
            _ => self.leaf(rng),
        }
    }

    /// An expression; now and then the permission itself, of the parent.
    fn operand(&self, rng: &mut Rng, depth: usize) -> ExpressionTree {
        if !self.left.iter().any(|name| name == PARENT) || !rng.chance(12) {
            return self.expression(rng, depth);
        }
        ExpressionTree::Arrow {
            relation: PARENT.to_owned(),
            quantifier: *rng.pick(&[ArrowText::Short, ArrowText::Short, ArrowText::All]),
            target: self.own.to_owned(),
        }
    }

    fn leaf(&self, rng: &mut Rng) -> ExpressionTree {
        match rng.below(100) {
            0..3 => ExpressionTree::Nil,
            3..7 => ExpressionTree::SelfObject,
            7..25 => self.arrow(rng),
            _ => ExpressionTree::Member(rng.pick(self.earlier).clone()),
        }
    }

    /// An arrow; a member where no relation may stand to its left.
    fn arrow(&self, rng: &mut Rng) -> ExpressionTree {
        if self.left.is_empty() {
            return ExpressionTree::Member(rng.pick(self.earlier).clone());
        }
        let left = if rng.chance(60) && self.left.iter().any(|name| name == PARENT) {
            PARENT.to_owned()
        } else {
            rng.pick(self.left).clone()
        };
        let others = self.names.definitions.get(1..).unwrap_or_default();
        let members = &rng.pick(others).members;
        // Mostly permissions, which stand behind the relations; not every definition has one of that name.
        let target = match members.len() {
            count if rng.chance(60) => members.get(rng.between(count / 2, count - 1)),
            count => members.get(rng.below(count)),
        };
        ExpressionTree::Arrow {
            relation: left,
            quantifier: *rng.pick(&[
                ArrowText::Short,
                ArrowText::Any,
                ArrowText::All,
                ArrowText::All,
            ]),
            target: target.map_or_else(|| PARENT.to_owned(), |member| member.name.clone()),
        }
    }
}

/// Takes away the subject sets that reach a wildcard, which a schema may not have.
fn drop_reached_wildcards(tree: &mut SchemaTree) {
    let reaching = reaching_wildcards(tree);
    for definition in &mut tree.definitions {
        for member in &mut definition.members {
            let MemberKindTree::Relation(types) = &mut member.kind else {
                continue;
            };
            types.retain(|accepted| match &accepted.kind {
                TypeKindTree::Set(name) => {
                    !reaching.contains(&(accepted.definition.clone(), name.clone()))
                }
                TypeKindTree::Object | TypeKindTree::Wildcard => true,
            });
            if types.is_empty() {
                types.push(TypeTree {
                    definition: USER.to_owned(),
                    kind: TypeKindTree::Object,
                    caveat: None,
                    expiration: false,
                });
            }
        }
    }
}

/// The relations, by definition and name, that take a wildcard, directly or through subject sets.
fn reaching_wildcards(tree: &SchemaTree) -> BTreeSet<(String, String)> {
    let mut reaching = BTreeSet::new();
    loop {
        let count = reaching.len();
        for definition in &tree.definitions {
            for member in &definition.members {
                let reaches = match &member.kind {
                    MemberKindTree::Relation(types) => {
                        types.iter().any(|accepted| match &accepted.kind {
                            TypeKindTree::Object => false,
                            TypeKindTree::Wildcard => true,
                            TypeKindTree::Set(name) => {
                                reaching.contains(&(accepted.definition.clone(), name.clone()))
                            }
                        })
                    }
                    MemberKindTree::Permission(expression) => expression.any(&|part| {
                        matches!(part, ExpressionTree::Member(name)
                                if reaching.contains(&(definition.name.clone(), name.clone())))
                    }),
                };
                if reaches {
                    reaching.insert((definition.name.clone(), member.name.clone()));
                }
            }
        }
        if reaching.len() == count {
            return reaching;
        }
    }
}
