//! Looking into a schema: parts of it by their names, and which members rest on which.

use std::collections::{HashMap, HashSet};

use crate::compiled::{CaveatIx, DefinitionIx, MemberIx, MemberKind, Schema, SubjectKind};
use crate::reach::{Reference, each_reference};

/// Chooses parts of a schema by the beginnings of their names. An empty text chooses nothing by that name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// Definitions.
    pub definition: String,
    /// Caveats.
    pub caveat: String,
    /// Relations of the chosen definitions.
    pub relation: String,
    /// Permissions of the chosen definitions.
    pub permission: String,
}

/// Why a selector makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each is named by what it says")]
pub enum SelectorError {
    #[error("cannot filter by both definition and caveat name")]
    DefinitionAndCaveat,
    #[error("relation name match requires definition name match")]
    RelationWithoutDefinition,
    #[error("cannot filter by both relation and permission name")]
    RelationAndPermission,
    #[error("permission name match requires definition name match")]
    PermissionWithoutDefinition,
}

/// The chosen parts of a schema, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The definitions.
    pub definitions: Vec<SelectedDefinition>,
    /// The caveats.
    pub caveats: Vec<CaveatIx>,
}

/// A definition with the chosen ones of its members, in the order of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedDefinition {
    /// The definition.
    pub definition: DefinitionIx,
    /// Its relations.
    pub relations: Vec<MemberIx>,
    /// Its permissions.
    pub permissions: Vec<MemberIx>,
}

impl Selector {
    /// Checks that the names go together.
    ///
    /// # Errors
    /// [`SelectorError`], the first one.
    pub fn check(&self) -> Result<(), SelectorError> {
        let [definition, caveat, relation, permission] = [
            !self.definition.is_empty(),
            !self.caveat.is_empty(),
            !self.relation.is_empty(),
            !self.permission.is_empty(),
        ];
        if definition && caveat {
            Err(SelectorError::DefinitionAndCaveat)
        } else if relation && !definition {
            Err(SelectorError::RelationWithoutDefinition)
        } else if relation && permission {
            Err(SelectorError::RelationAndPermission)
        } else if permission && !definition {
            Err(SelectorError::PermissionWithoutDefinition)
        } else {
            Ok(())
        }
    }
}

impl Schema {
    /// The parts of the schema that `selectors` choose; all of it without any.
    ///
    /// A selector of relations narrows the relations of every chosen definition, one of permissions their permissions.
    ///
    /// # Errors
    /// [`SelectorError`] with the place of the first selector that makes no sense.
    pub fn select(&self, selectors: &[Selector]) -> Result<Selected, (usize, SelectorError)> {
        for (place, selector) in selectors.iter().enumerate() {
            selector.check().map_err(|error| (place, error))?;
        }
        let chooses = |of: fn(&Selector) -> &str, name: &str| {
            selectors.is_empty() || selectors.iter().any(|each| begins(name, of(each)))
        };
        let keeps = |of: fn(&Selector) -> &str, definition: &str, name: &str| {
            let mut narrowing = selectors
                .iter()
                .filter(|each| !of(each).is_empty())
                .peekable();
            narrowing.peek().is_none()
                || narrowing
                    .any(|each| begins(name, of(each)) && begins(definition, &each.definition))
        };
        let mut definitions: Vec<SelectedDefinition> = self
            .written_definitions()
            .filter(|(_, definition)| chooses(|each| &each.definition, definition.name.as_str()))
            .map(|(ix, _)| self.whole(ix))
            .collect();
        definitions.sort_unstable_by_key(|selected| &self.definition(selected.definition).name);
        for selected in &mut definitions {
            let definition = self.definition(selected.definition).name.as_str();
            let name = |ix: &MemberIx| self.member(*ix).name.as_str();
            let relations = &mut selected.relations;
            relations.retain(|ix| keeps(|each| &each.relation, definition, name(ix)));
            let permissions = &mut selected.permissions;
            permissions.retain(|ix| keeps(|each| &each.permission, definition, name(ix)));
        }
        let mut caveats: Vec<CaveatIx> = self
            .caveats()
            .filter(|(_, caveat)| chooses(|each| &each.caveat, caveat.name.as_str()))
            .map(|(ix, _)| ix)
            .collect();
        caveats.sort_unstable_by_key(|ix| &self.caveat(*ix).name);
        Ok(Selected {
            definitions,
            caveats,
        })
    }

    /// A definition with all of its members.
    #[must_use]
    pub fn whole(&self, definition: DefinitionIx) -> SelectedDefinition {
        let members = self.definition(definition).members.iter().copied();
        let (relations, permissions) = members.partition(|ix| match self.member(*ix).kind {
            MemberKind::Relation(_) => true,
            MemberKind::Permission(_) => false,
        });
        SelectedDefinition {
            definition,
            relations,
            permissions,
        }
    }

    /// The relations and permissions that can hold a subject because `member` of `definition` holds it, or, without a
    /// member, because they take the objects of `definition` themselves; by name, without the member itself.
    ///
    /// These are the permissions that refer to it, on the same object or at the end of an arrow, the relations that take
    /// it as a set, and what these lead to in turn. The relation that an arrow walks over holds the subjects of none.
    ///
    /// # Cost
    /// O(all expressions and the subjects that the relations below their arrows take).
    #[must_use]
    pub fn computed_from(
        &self,
        definition: DefinitionIx,
        member: Option<MemberIx>,
    ) -> Vec<MemberIx> {
        let users = self.users();
        let mut found = HashSet::new();
        let mut open = vec![match member {
            Some(member) => Source::Member(member),
            None => Source::Objects(definition),
        }];
        while let Some(source) = open.pop() {
            for user in users.get(&source).into_iter().flatten() {
                if found.insert(*user) {
                    open.push(Source::Member(*user));
                }
            }
        }
        found.retain(|found| Some(*found) != member);
        self.by_name(found)
    }

    /// The relations and permissions that `permission` rests on: those that it refers to, the relations that its arrows
    /// walk over and what is asked at their ends, the sets that relations among these take, and what these rest on in
    /// turn; by name, without the permission itself.
    ///
    /// # Cost
    /// O(expressions and subjects that can be reached).
    #[must_use]
    pub fn rests_on(&self, permission: MemberIx) -> Vec<MemberIx> {
        let mut followed = HashSet::from([permission]);
        let mut walked = HashSet::new();
        let mut open = vec![permission];
        while let Some(member) = open.pop() {
            let mut follow = |member| {
                if followed.insert(member) {
                    open.push(member);
                }
            };
            match &self.member(member).kind {
                MemberKind::Relation(allowed) => {
                    for allowed in allowed {
                        match allowed.kind {
                            SubjectKind::Set(set) => follow(set),
                            SubjectKind::Object | SubjectKind::Wildcard => {}
                        }
                    }
                }
                MemberKind::Permission(expression) => {
                    each_reference(self, expression, &mut 0, &mut |reference| {
                        if let Reference::Arrow { over, .. } = reference {
                            walked.insert(over);
                        }
                        follow(reference.target());
                    });
                }
            }
        }
        followed.remove(&permission);
        self.by_name(followed.union(&walked).copied())
    }

    /// For each source of subjects, the members that hold what it holds.
    fn users(&self) -> HashMap<Source, Vec<MemberIx>> {
        let mut users: HashMap<Source, Vec<MemberIx>> = HashMap::new();
        for (ix, member) in self.members() {
            let mut uses = |source| users.entry(source).or_default().push(ix);
            match &member.kind {
                MemberKind::Relation(allowed) => {
                    for allowed in allowed {
                        uses(match allowed.kind {
                            SubjectKind::Set(set) => Source::Member(set),
                            SubjectKind::Object | SubjectKind::Wildcard => {
                                Source::Objects(allowed.definition)
                            }
                        });
                    }
                }
                MemberKind::Permission(expression) => {
                    each_reference(self, expression, &mut 0, &mut |reference| {
                        uses(Source::Member(reference.target()));
                    });
                    if expression.has_self() {
                        uses(Source::Objects(member.definition));
                    }
                }
            }
        }
        users
    }

    fn by_name(&self, members: impl IntoIterator<Item = MemberIx>) -> Vec<MemberIx> {
        let mut members: Vec<MemberIx> = members.into_iter().collect();
        members.sort_unstable_by_key(|ix| {
            let member = self.member(*ix);
            (&self.definition(member.definition).name, &member.name)
        });
        members
    }
}

/// Where the subjects of a member come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Member(MemberIx),
    Objects(DefinitionIx),
}

/// Whether `name` begins with what is looked for, if something is.
fn begins(name: &str, prefix: &str) -> bool {
    !prefix.is_empty() && name.starts_with(prefix)
}
