//! The definitions that are built in: who can hold what, on what.

use std::fmt::Write as _;
use std::sync::LazyLock;

use schema::{BuiltIn, Schema, SchemaError};

/// Names that begin so are kept for what is built in.
pub(crate) const PREFIX: &str = "remit/";

/// What a caller does with Remit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Asks whether a subject has a permission.
    Check,
    /// Asks which resources a subject has, or which subjects a resource.
    LookUp,
    /// Reads relationships, and explanations, which show some.
    Read,
    /// Writes and deletes relationships.
    Write,
    /// Creates relationships in bulk.
    Import,
    /// Follows changes.
    Watch,
    /// Reads the schema.
    ReadSchema,
    /// Changes the schema.
    WriteSchema,
    /// Gives to others what it holds itself, and takes it from them.
    Grant,
    /// Locks subjects, and unlocks them.
    Lock,
    /// Asks nodes about themselves.
    Operate,
    /// Asks in the name of another.
    ActFor,
    /// Holds a copy of everything in a process of its own.
    Replicate,
    /// Reads the audit log.
    Audit,
    /// Erases somebody from the audit log.
    Erase,
}

/// What a right is held on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All of Remit: `remit/system:main`.
    System,
    /// The relationships of a definition: `remit/type:document`.
    Definition,
    /// One of its relations or permissions: `remit/type_member:document/viewer`.
    Relation,
    /// One caller: `remit/user:ann`.
    User,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 15] = [
        Self::Check,
        Self::LookUp,
        Self::Read,
        Self::Write,
        Self::Import,
        Self::Watch,
        Self::ReadSchema,
        Self::WriteSchema,
        Self::Grant,
        Self::Lock,
        Self::Operate,
        Self::ActFor,
        Self::Replicate,
        Self::Audit,
        Self::Erase,
    ];

    /// The permission that allows it.
    #[must_use]
    pub fn permission(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::LookUp => "look_up",
            Self::Read => "read",
            Self::Write => "write",
            Self::Import => "import",
            Self::Watch => "watch",
            Self::ReadSchema => "read_schema",
            Self::WriteSchema => "write_schema",
            Self::Grant => "grant",
            Self::Lock => "lock",
            Self::Operate => "operate",
            Self::ActFor => "act_for",
            Self::Replicate => "replicate",
            Self::Audit => "audit",
            Self::Erase => "erase",
        }
    }

    /// The action that a permission allows.
    #[must_use]
    pub fn of_permission(permission: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|action| action.permission() == permission)
    }

    /// The relation by which it is given.
    #[must_use]
    pub fn role(self) -> &'static str {
        match self {
            Self::Check => "checker",
            Self::LookUp => "finder",
            Self::Read => "reader",
            Self::Write => "writer",
            Self::Import => "importer",
            Self::Watch => "watcher",
            Self::ReadSchema => "schema_reader",
            Self::WriteSchema => "schema_writer",
            Self::Grant => "granter",
            Self::Lock => "locker",
            Self::Operate => "operator",
            Self::ActFor => "delegate",
            Self::Replicate => "replicator",
            Self::Audit => "auditor",
            Self::Erase => "eraser",
        }
    }

    /// The action that a relation gives.
    pub(crate) fn of_role(role: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.role() == role)
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Check => "May ask whether a subject has a permission.",
            Self::LookUp => "May ask which resources a subject has, and which subjects a resource.",
            Self::Read => "May read relationships, and explanations, which show some.",
            Self::Write => "May write and delete relationships.",
            Self::Import => "May create relationships in bulk.",
            Self::Watch => "May follow changes.",
            Self::ReadSchema => "May read the schema.",
            Self::WriteSchema => "May change the schema.",
            Self::Grant => {
                "May give what it holds itself to others, for no longer than it has it, and take it from them."
            }
            Self::Lock => "May lock subjects, and unlock them.",
            Self::Operate => "May ask nodes about themselves.",
            Self::ActFor => "May ask in the name of another.",
            Self::Replicate => "May hold a copy of everything, and answer from it.",
            Self::Audit => "May read the audit log.",
            Self::Erase => "May erase somebody from the audit log.",
        }
    }
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::System, Self::Definition, Self::Relation, Self::User];

    /// The definition of its objects.
    #[must_use]
    pub fn definition(self) -> &'static str {
        match self {
            Self::System => "remit/system",
            Self::Definition => "remit/type",
            Self::Relation => "remit/type_member",
            Self::User => "remit/user",
        }
    }

    /// What can be held on it.
    #[must_use]
    pub fn actions(self) -> &'static [Action] {
        match self {
            Self::System => &Action::ALL,
            Self::Definition => &[
                Action::Check,
                Action::LookUp,
                Action::Read,
                Action::Write,
                Action::Import,
                Action::Watch,
                Action::ReadSchema,
                Action::Grant,
            ],
            Self::Relation => &[
                Action::Check,
                Action::LookUp,
                Action::Read,
                Action::Write,
                Action::Grant,
            ],
            Self::User => &[Action::ActFor],
        }
    }

    /// The scope whose objects have that definition.
    pub(crate) fn of_definition(definition: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.definition() == definition)
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::System => "All of Remit; there is one, `remit/system:main`.",
            Self::Definition => "The relationships of a definition, by its name.",
            Self::Relation => {
                "One relation or permission of a definition: `remit/type_member:document/viewer`."
            }
            Self::User => "A person or a program that an identity provider names.",
        }
    }
}

/// The one object of [`Scope::System`].
pub(crate) const SYSTEM_ID: &str = "main";
/// The relation of those who may do everything.
pub const ADMINISTRATOR: &str = "administrator";
/// The definition of groups of callers.
pub(crate) const GROUP: &str = "remit/group";
/// The members of a group.
pub(crate) const MEMBER: &str = "member";
/// Those who may change who is a member.
pub(crate) const MANAGER: &str = "manager";

/// Who can hold a right.
const CALLERS: [&str; 4] = [
    "remit/key",
    "remit/workload",
    "remit/user",
    "remit/group#member",
];

/// The text of the definitions that are built in.
#[must_use]
pub fn built_in_text() -> &'static str {
    &TEXT
}

static TEXT: LazyLock<String> = LazyLock::new(text);

fn text() -> String {
    let types = CALLERS.map(|caller| format!("{caller} | {caller} with expiration"));
    let types = types.join(" | ");
    let mut text = "use expiration\n".to_owned();
    for (name, meaning) in [
        ("remit/key", "A preshared key, by its name."),
        (
            "remit/workload",
            "A workload, by its SPIFFE ID without `spiffe://`.",
        ),
        (
            "remit/anonymous",
            "The caller of a server that asks nobody who they are.",
        ),
    ] {
        // Writing to a string does not fail.
        let _ = write!(text, "\n/** {meaning} */\ndefinition {name} {{}}\n");
    }
    let relation =
        |name: &str, meaning: &str| format!("\t/** {meaning} */\n\trelation {name}: {types}\n");
    let _ = write!(
        text,
        "\n/** A group of callers, in which groups can be. */\ndefinition {GROUP} {{\n{}{}}}\n",
        relation(MEMBER, "Has all that the group has."),
        relation(
            MANAGER,
            "May change who is a member, for as much as it holds itself."
        )
    );
    for scope in Scope::ALL {
        let _ = write!(
            text,
            "\n/** {} */\ndefinition {} {{\n",
            scope.meaning(),
            scope.definition()
        );
        let mut all = "";
        if scope == Scope::System {
            text.push_str(&relation(ADMINISTRATOR, "May do everything."));
            all = " + administrator";
        }
        for action in scope.actions() {
            text.push_str(&relation(action.role(), action.meaning()));
        }
        for action in scope.actions() {
            let (permission, role) = (action.permission(), action.role());
            let _ = writeln!(text, "\tpermission {permission} = {role}{all}");
        }
        text.push_str("}\n");
    }
    text
}

#[expect(
    clippy::expect_used,
    reason = "the text is made here, and a test compiles it"
)]
static BUILT_IN: LazyLock<BuiltIn> =
    LazyLock::new(|| BuiltIn::new(PREFIX, &TEXT).expect("the text is a schema"));

/// Compiles a schema with the definitions that are built in.
///
/// # Errors
/// [`SchemaError`] as [`Schema::compile_with`].
pub(crate) fn compile(text: &str) -> Result<Schema, SchemaError> {
    Schema::compile_with(text, &BUILT_IN)
}

/// Every fault of a schema that can be told at once.
pub(crate) fn diagnose(text: &str) -> Vec<SchemaError> {
    schema::diagnose_with(text, &BUILT_IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_in_every_schema_and_in_no_text() {
        let schema = compile("definition doc {\n\trelation owner: remit/user\n}").unwrap();
        for scope in Scope::ALL {
            let definition = schema.definition_ix(scope.definition()).unwrap();
            for action in scope.actions() {
                for name in [action.role(), action.permission()] {
                    assert!(schema.member_ix(definition, name).is_some(), "{name}");
                }
                assert_eq!(Action::of_role(action.role()), Some(*action));
            }
        }
        assert_eq!(
            schema.to_text(),
            "definition doc {\n\trelation owner: remit/user\n}"
        );
        assert!(compile("").unwrap().is_empty());
        // What is compiled without it is not changed by it.
        assert!(Schema::compile(built_in_text()).is_ok());
    }

    #[test]
    fn names_under_the_prefix_are_kept() {
        let refused = compile("definition remit/mine {}").unwrap_err();
        let told = refused.wire_message();
        assert!(
            told.contains("names that begin with `remit/` are kept"),
            "{told}"
        );
        assert!(compile("definition remits {}").is_ok());
        assert_eq!(
            diagnose("definition remit/user {}\ndefinition remit/key {}").len(),
            2
        );
    }
}
