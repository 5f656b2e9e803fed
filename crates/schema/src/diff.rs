//! What changes in meaning from one schema to another. The kinds are those that the wire tells.

use std::collections::BTreeMap;
use std::fmt;

use crate::compiled::{
    AllowedSubject, AllowedSubjectName, Caveat, Definition, Member, MemberKind, Schema,
};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SchemaChange {
    /// The definition or caveat that changes.
    pub of: String,
    /// The relation, permission or parameter of it that changes, if it is one.
    pub member: Option<String>,
    /// How it changes.
    pub kind: SchemaChangeKind,
}

/// How something changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named by what it says")]
pub enum SchemaChangeKind {
    DefinitionAdded,
    DefinitionRemoved,
    DefinitionCommentChanged,
    RelationAdded,
    RelationRemoved,
    RelationCommentChanged,
    RelationTypeAdded(AllowedSubjectName),
    RelationTypeRemoved(AllowedSubjectName),
    PermissionAdded,
    PermissionRemoved,
    PermissionCommentChanged,
    PermissionExpressionChanged { from: String, to: String },
    CaveatAdded,
    CaveatRemoved,
    CaveatCommentChanged,
    CaveatExpressionChanged,
    CaveatParameterAdded(String),
    CaveatParameterRemoved(String),
    CaveatParameterTypeChanged { from: String, to: String },
}

use SchemaChangeKind as Kind;

/// What changes from `old` to `new`, in the order of names.
#[must_use]
pub fn diff(old: &Schema, new: &Schema) -> Vec<SchemaChange> {
    let mut changes = Changes {
        old,
        new,
        found: Vec::new(),
    };
    changes.definitions();
    changes.caveats();
    changes.found
}

struct Changes<'a> {
    old: &'a Schema,
    new: &'a Schema,
    found: Vec<SchemaChange>,
}

impl<'a> Changes<'a> {
    fn add(&mut self, of: &str, member: Option<&str>, kind: Kind) {
        self.found.push(SchemaChange {
            of: of.to_owned(),
            member: member.map(str::to_owned),
            kind,
        });
    }

    fn definitions(&mut self) {
        let by_name = |schema: &'a Schema| -> BTreeMap<&'a str, &'a Definition> {
            schema
                .written_definitions()
                .map(|(_, definition)| (definition.name.as_str(), definition))
                .collect()
        };
        for (name, old, new) in pairs(by_name(self.old), by_name(self.new)) {
            match (old, new) {
                (None, None) => {}
                (None, Some(_)) => self.add(name, None, Kind::DefinitionAdded),
                (Some(_), None) => self.add(name, None, Kind::DefinitionRemoved),
                (Some(old), Some(new)) => {
                    if old.comment != new.comment {
                        self.add(name, None, Kind::DefinitionCommentChanged);
                    }
                    self.members(name, old, new);
                }
            }
        }
    }

    fn members(&mut self, definition: &str, old: &Definition, new: &Definition) {
        let by_name =
            |schema: &'a Schema, definition: &Definition| -> BTreeMap<&'a str, &'a Member> {
                let members = definition.members.iter().map(|ix| schema.member(*ix));
                members
                    .map(|member| (member.name.as_str(), member))
                    .collect()
            };
        for (name, old, new) in pairs(by_name(self.old, old), by_name(self.new, new)) {
            let changed = match (
                old.map(|member| &member.kind),
                new.map(|member| &member.kind),
            ) {
                (None, None) => Vec::new(),
                (None, Some(new)) => vec![added(new)],
                (Some(old), None) => vec![removed(old)],
                (Some(MemberKind::Relation(old)), Some(MemberKind::Relation(new))) => {
                    let named = |schema: &Schema, allowed: &[AllowedSubject]| {
                        let named = allowed.iter().map(|allowed| allowed.named(schema));
                        named.collect::<Vec<_>>()
                    };
                    let (old, new) = (named(self.old, old), named(self.new, new));
                    let lost = old
                        .iter()
                        .filter(|ty| !new.contains(ty))
                        .cloned()
                        .map(Kind::RelationTypeRemoved);
                    let gained = new
                        .iter()
                        .filter(|ty| !old.contains(ty))
                        .cloned()
                        .map(Kind::RelationTypeAdded);
                    gained.chain(lost).collect()
                }
                (Some(MemberKind::Permission(old)), Some(MemberKind::Permission(new))) => {
                    let (from, to) = (self.old.expression_text(old), self.new.expression_text(new));
                    let is_same = from == to;
                    Some(Kind::PermissionExpressionChanged { from, to })
                        .filter(|_| !is_same)
                        .into_iter()
                        .collect()
                }
                (Some(old), Some(new)) => vec![removed(old), added(new)],
            };
            for kind in changed {
                self.add(definition, Some(name), kind);
            }
            let (Some(old), Some(new)) = (old, new) else {
                continue;
            };
            let kind = match (&old.kind, &new.kind) {
                (MemberKind::Relation(_), MemberKind::Relation(_)) => Kind::RelationCommentChanged,
                (MemberKind::Permission(_), MemberKind::Permission(_)) => {
                    Kind::PermissionCommentChanged
                }
                // One went and another came, each with what it says.
                (MemberKind::Relation(_), MemberKind::Permission(_))
                | (MemberKind::Permission(_), MemberKind::Relation(_)) => continue,
            };
            if old.comment != new.comment {
                self.add(definition, Some(name), kind);
            }
        }
    }

    fn caveats(&mut self) {
        let by_name = |schema: &'a Schema| -> BTreeMap<&'a str, &'a Caveat> {
            schema
                .caveats()
                .map(|(_, caveat)| (caveat.name.as_str(), caveat))
                .collect()
        };
        for (name, old, new) in pairs(by_name(self.old), by_name(self.new)) {
            match (old, new) {
                (None, None) => {}
                (None, Some(_)) => self.add(name, None, Kind::CaveatAdded),
                (Some(_), None) => self.add(name, None, Kind::CaveatRemoved),
                (Some(old), Some(new)) => {
                    if old.comment != new.comment {
                        self.add(name, None, Kind::CaveatCommentChanged);
                    }
                    self.parameters(name, old, new);
                    if old.program.to_text() != new.program.to_text() {
                        self.add(name, None, Kind::CaveatExpressionChanged);
                    }
                }
            }
        }
    }

    fn parameters(&mut self, caveat: &str, old: &'a Caveat, new: &'a Caveat) {
        let by_name = |caveat: &'a Caveat| -> BTreeMap<&'a str, String> {
            let parameters = caveat.program.parameters().iter();
            parameters
                .map(|parameter| (parameter.name.as_str(), parameter.ty.to_string()))
                .collect()
        };
        for (name, old, new) in pairs(by_name(old), by_name(new)) {
            let kind = match (old, new) {
                (None, None) => continue,
                (None, Some(ty)) => Kind::CaveatParameterAdded(ty),
                (Some(ty), None) => Kind::CaveatParameterRemoved(ty),
                (Some(from), Some(to)) if from != to => {
                    Kind::CaveatParameterTypeChanged { from, to }
                }
                (Some(_), Some(_)) => continue,
            };
            self.add(caveat, Some(name), kind);
        }
    }
}

fn added(kind: &MemberKind) -> Kind {
    match kind {
        MemberKind::Relation(_) => Kind::RelationAdded,
        MemberKind::Permission(_) => Kind::PermissionAdded,
    }
}

fn removed(kind: &MemberKind) -> Kind {
    match kind {
        MemberKind::Relation(_) => Kind::RelationRemoved,
        MemberKind::Permission(_) => Kind::PermissionRemoved,
    }
}

/// Every key of either map with its value in each.
fn pairs<'a, V>(
    old: BTreeMap<&'a str, V>,
    new: BTreeMap<&'a str, V>,
) -> Vec<(&'a str, Option<V>, Option<V>)> {
    let mut joined: BTreeMap<&'a str, (Option<V>, Option<V>)> = BTreeMap::new();
    for (name, value) in old {
        joined.insert(name, (Some(value), None));
    }
    for (name, value) in new {
        joined.entry(name).or_insert((None, None)).1 = Some(value);
    }
    joined
        .into_iter()
        .map(|(name, (old, new))| (name, old, new))
        .collect()
}

impl fmt::Display for SchemaChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = &self.of;
        let member = self.member.as_deref().unwrap_or_default();
        match &self.kind {
            Kind::DefinitionAdded => write!(f, "+ definition {of}"),
            Kind::DefinitionRemoved => write!(f, "- definition {of}"),
            Kind::DefinitionCommentChanged => write!(f, "~ definition {of}: comment"),
            Kind::RelationAdded => write!(f, "+ relation {of}#{member}"),
            Kind::RelationRemoved => write!(f, "- relation {of}#{member}"),
            Kind::RelationCommentChanged => write!(f, "~ relation {of}#{member}: comment"),
            Kind::RelationTypeAdded(ty) => write!(f, "+ relation {of}#{member}: takes {ty}"),
            Kind::RelationTypeRemoved(ty) => {
                write!(f, "- relation {of}#{member}: no longer takes {ty}")
            }
            Kind::PermissionAdded => write!(f, "+ permission {of}#{member}"),
            Kind::PermissionRemoved => write!(f, "- permission {of}#{member}"),
            Kind::PermissionCommentChanged => write!(f, "~ permission {of}#{member}: comment"),
            Kind::PermissionExpressionChanged { from, to } => {
                write!(f, "~ permission {of}#{member}: {from}  =>  {to}")
            }
            Kind::CaveatAdded => write!(f, "+ caveat {of}"),
            Kind::CaveatRemoved => write!(f, "- caveat {of}"),
            Kind::CaveatCommentChanged => write!(f, "~ caveat {of}: comment"),
            Kind::CaveatExpressionChanged => write!(f, "~ caveat {of}: expression"),
            Kind::CaveatParameterAdded(ty) => write!(f, "+ caveat {of}: parameter {member} {ty}"),
            Kind::CaveatParameterRemoved(ty) => write!(f, "- caveat {of}: parameter {member} {ty}"),
            Kind::CaveatParameterTypeChanged { from, to } => {
                write!(f, "~ caveat {of}: parameter {member}: {from}  =>  {to}")
            }
        }
    }
}
