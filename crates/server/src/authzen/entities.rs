//! What a request names: a subject, an action, a resource, a context; and how they are questions of Remit.
//!
//! Members that are not known are passed over, `null` is as if it were absent. The properties of an entity are values for the
//! parameters of caveats in two ways: all of them as one map (`subject_properties`, also where there are none), and each that
//! can be the name of a parameter by itself (`subject_role`), whose absence is then told as missing. The members of the
//! context keep their names.

use std::fmt;

use model::json::Object;
use model::{Context, ContextError, DefinitionName, ObjectId, ObjectRef, SubjectId, SubjectRef};
use ops::check::Question;
use serde_json::Value;

/// A request as it was read.
#[derive(Debug)]
pub(super) struct Request(Object);

/// Why a request, or a part of it, cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("`{0}` is missing")]
    Missing(Path),
    #[error("`{path}` has to be {wanted}")]
    WrongType { path: Path, wanted: &'static str },
    #[error("`{0}` is empty")]
    Empty(Path),
    #[error(
        "`{path}` is longer than the {bytes_max} bytes that an id may have, with what is escaped in it"
    )]
    TooLong { path: Path, bytes_max: usize },
    #[error("`{name}` is given both in `context` and by the properties of an entity")]
    GivenTwice { name: String },
    #[error("the properties and the context cannot be used: {0}")]
    Context(#[from] ContextError),
    #[error(
        "`options.evaluations_semantic` has to be one of `execute_all`, `deny_on_first_deny` and `permit_on_first_permit`"
    )]
    Semantic,
    #[error(
        "`page.token` is none that was given out for a page of that limit; ask for the first page again"
    )]
    Token,
    #[error("the properties and the context have more than {bytes_max} bytes together")]
    TooMuch { bytes_max: usize },
    #[error("a request asks {count} questions, at most {count_max} are allowed")]
    TooMany { count: usize, count_max: usize },
}

/// Where something stands in a request, such as `subject.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Path(&'static str, Option<&'static str>);

/// The three entities of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Subject,
    Action,
    Resource,
}

/// An entity, as far as it is given.
#[derive(Debug, Clone, Default, PartialEq)]
struct Entity {
    /// Its type; none for an action.
    kind: Option<String>,
    /// Its id; the name of an action.
    id: Option<String>,
    properties: Option<Object>,
}

/// What one evaluation gives, or what stands for what it does not give.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Entities {
    subject: Option<Entity>,
    action: Option<Entity>,
    resource: Option<Entity>,
    context: Option<Object>,
}

/// An object as it is asked about, if there can be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) kind: String,
    pub(super) id: ObjectId,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Action => "action",
            Self::Resource => "resource",
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::Subject | Self::Resource => "id",
            Self::Action => "name",
        }
    }

    fn path(self, member: &'static str) -> Path {
        Path(self.name(), Some(member))
    }
}

impl Path {
    pub(super) const fn of(name: &'static str) -> Self {
        Self(name, None)
    }

    pub(super) const fn within(name: &'static str, member: &'static str) -> Self {
        Self(name, Some(member))
    }
}

impl Request {
    pub(super) fn new(object: Object) -> Self {
        Self(object)
    }

    /// What the request gives at its top.
    pub(super) fn entities(&self) -> Result<Entities, Invalid> {
        Entities::read(&self.0)
    }

    /// A member, unless it is absent or `null`.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        present(&self.0, name)
    }

    /// A member that is an object.
    pub(super) fn object(&self, name: &'static str) -> Result<Option<&Object>, Invalid> {
        object(&self.0, name, Path(name, None))
    }
}

impl Entities {
    /// Reads what `object` gives.
    pub(super) fn read(object: &Object) -> Result<Self, Invalid> {
        let context = self::object(object, "context", Path("context", None))?;
        Ok(Self {
            subject: Entity::read(object, Role::Subject)?,
            action: Entity::read(object, Role::Action)?,
            resource: Entity::read(object, Role::Resource)?,
            context: context.cloned(),
        })
    }

    /// With `defaults` for what is not given: whole entities, and for one that is given its type and its id alone.
    pub(super) fn over(self, defaults: &Self) -> Self {
        let over = |given: Option<Entity>, default: &Option<Entity>| match (given, default) {
            (None, default) => default.clone(),
            (Some(given), None) => Some(given),
            (Some(given), Some(default)) => Some(Entity {
                kind: given.kind.or_else(|| default.kind.clone()),
                id: given.id.or_else(|| default.id.clone()),
                properties: given.properties,
            }),
        };
        Self {
            subject: over(self.subject, &defaults.subject),
            action: over(self.action, &defaults.action),
            resource: over(self.resource, &defaults.resource),
            context: self.context.or_else(|| defaults.context.clone()),
        }
    }

    /// The same, unless its values are of more bytes than a request may have. They are copied for each item that takes them.
    pub(super) fn limited(self, bytes_max: usize) -> Result<Self, Invalid> {
        let entities = [&self.subject, &self.action, &self.resource];
        let properties = entities.into_iter().flatten().map(|it| &it.properties);
        let given = properties.chain([&self.context]).flatten();
        let bytes = given.map(|given| Value::Object(given.clone()).to_string().len());
        if bytes.sum::<usize>() > bytes_max {
            return Err(Invalid::TooMuch { bytes_max });
        }
        Ok(self)
    }

    fn entity(&self, role: Role) -> Result<&Entity, Invalid> {
        let entity = match role {
            Role::Subject => &self.subject,
            Role::Action => &self.action,
            Role::Resource => &self.resource,
        };
        entity
            .as_ref()
            .ok_or(Invalid::Missing(Path(role.name(), None)))
    }

    /// The type of an entity.
    pub(super) fn kind(&self, role: Role) -> Result<&str, Invalid> {
        let kind = self.entity(role)?.kind.as_deref();
        kind.ok_or(Invalid::Missing(role.path("type")))
    }

    /// The name of the action.
    pub(super) fn action(&self) -> Result<&str, Invalid> {
        let name = self.entity(Role::Action)?.id.as_deref();
        name.ok_or(Invalid::Missing(Role::Action.path("name")))
    }

    /// An entity with its type and its id.
    pub(super) fn named(&self, role: Role) -> Result<Named, Invalid> {
        let kind = self.kind(role)?;
        let id = self.entity(role)?.id.as_deref();
        let id = id.ok_or(Invalid::Missing(role.path("id")))?;
        let id = ObjectId::of_text(id).map_err(|_| Invalid::TooLong {
            path: role.path("id"),
            bytes_max: ObjectId::BYTES_MAX,
        })?;
        Ok(Named {
            kind: kind.to_owned(),
            id,
        })
    }

    /// The values for the parameters of caveats.
    pub(super) fn context(&self) -> Result<Context, Invalid> {
        let mut values = self.context.clone().unwrap_or_default();
        for (role, entity) in [
            (Role::Subject, &self.subject),
            (Role::Action, &self.action),
            (Role::Resource, &self.resource),
        ] {
            let properties = entity.as_ref().and_then(|entity| entity.properties.clone());
            let properties = properties.unwrap_or_default();
            let mut give = |name: String, value: Value| match values.insert(name.clone(), value) {
                None => Ok(()),
                Some(_) => Err(Invalid::GivenTwice { name }),
            };
            for (name, value) in &properties {
                // What has the name of the map itself is found there alone.
                if is_parameter(name) && name != "properties" {
                    give(format!("{}_{name}", role.name()), value.clone())?;
                }
            }
            let all = format!("{}_properties", role.name());
            give(all, Value::Object(properties))?;
        }
        Ok(Context::from_object(values)?)
    }

    /// The question that an evaluation is; none if it names a type that no definition can have.
    pub(super) fn question(&self) -> Result<Option<Question>, Invalid> {
        let subject = self.named(Role::Subject)?;
        let permission = self.action()?.to_owned();
        let resource = self.named(Role::Resource)?;
        let context = self.context()?;
        let (Some(subject), Some(resource)) = (subject.subject(), resource.object()) else {
            return Ok(None);
        };
        Ok(Some(Question {
            resource,
            permission,
            subject,
            context,
        }))
    }
}

impl Named {
    /// The object; none if its type is no name of a definition.
    pub(super) fn object(&self) -> Option<ObjectRef> {
        Some(ObjectRef {
            definition: DefinitionName::new(&self.kind).ok()?,
            id: self.id.clone(),
        })
    }

    /// The object as a subject.
    pub(super) fn subject(&self) -> Option<SubjectRef> {
        let object = self.object()?;
        Some(SubjectRef {
            definition: object.definition,
            id: SubjectId::Object(object.id),
            relation: None,
        })
    }
}

impl Entity {
    fn read(within: &Object, role: Role) -> Result<Option<Self>, Invalid> {
        let Some(given) = object(within, role.name(), Path(role.name(), None))? else {
            return Ok(None);
        };
        let kind = match role {
            Role::Subject | Role::Resource => text(given, role.path("type"))?,
            Role::Action => None,
        };
        let properties = object(given, "properties", role.path("properties"))?;
        Ok(Some(Self {
            kind,
            id: text(given, role.path(role.id()))?,
            properties: properties.cloned(),
        }))
    }
}

fn present<'a>(within: &'a Object, name: &str) -> Option<&'a Value> {
    within.get(name).filter(|value| !value.is_null())
}

fn object<'a>(within: &'a Object, name: &str, path: Path) -> Result<Option<&'a Object>, Invalid> {
    let Some(value) = present(within, name) else {
        return Ok(None);
    };
    let object = value.as_object();
    let wanted = "an object";
    object.map(Some).ok_or(Invalid::WrongType { path, wanted })
}

fn text(within: &Object, path: Path) -> Result<Option<String>, Invalid> {
    let Path(name, member) = path;
    let Some(value) = present(within, member.unwrap_or(name)) else {
        return Ok(None);
    };
    let wanted = "a string";
    let text = value.as_str().ok_or(Invalid::WrongType { path, wanted })?;
    if text.is_empty() {
        return Err(Invalid::Empty(path));
    }
    Ok(Some(text.to_owned()))
}

/// Whether a caveat can have a parameter of that name.
fn is_parameter(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    !name.is_empty() && name.chars().all(is_letter)
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(name, None) => f.write_str(name),
            Self(name, Some(member)) => write!(f, "{name}.{member}"),
        }
    }
}

impl From<Invalid> for tonic::Status {
    fn from(invalid: Invalid) -> Self {
        Self::invalid_argument(invalid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// JSON with the names that matter, at any place.
    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z@*=]{0,5}".prop_map(Value::from),
        ];
        let names = "subject|action|resource|context|properties|type|id|name|role|subject_role|[a-z é]{0,3}";
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(names, inner, 0..6)
                    .prop_map(|members| members.into_iter().collect::<Object>().into()),
            ]
        })
    }

    /// An entity, as it should be or nearly so.
    fn entities() -> impl Strategy<Value = Value> {
        let text =
            |pattern: &'static str| prop_oneof![4 => pattern.prop_map(Value::from), 1 => values()];
        let properties = prop_oneof![3 => Just(json!({})), 1 => values()];
        let members = (text("[a-z]{3,5}"), text("[a-z@*=/ ]{1,5}"), properties);
        members.prop_map(|(kind, id, properties)| {
            json!({ "type": kind, "id": id, "name": id, "properties": properties })
        })
    }

    proptest! {
        /// Whatever is asked, it is a question about just what was named, or none.
        #[test]
        fn questions_are_about_what_was_named(
            subject in entities(), action in entities(), resource in entities(), context in prop_oneof![Just(Value::Null), values()],
        ) {
            let given = json!({ "subject": subject, "action": action, "resource": resource, "context": context });
            let read = Entities::read(given.as_object().unwrap());
            let question = read.and_then(|read| read.question());
            if let Ok(Some(question)) = question {
                let SubjectId::Object(id) = &question.subject.id else { panic!("a wildcard") };
                prop_assert_eq!(&json!(id.to_text()), &subject["id"]);
                prop_assert_eq!(&json!(question.subject.definition.as_str()), &subject["type"]);
                prop_assert_eq!(&json!(question.resource.id.to_text()), &resource["id"]);
                prop_assert_eq!(&json!(question.permission), &action["name"]);
            } else if [&subject, &action, &resource].iter().all(|it| it["id"].is_string() && it["type"].is_string()) {
                let is_plain = context.is_null() && [&subject, &action, &resource].iter().all(|it| it["properties"] == json!({}));
                let is_empty = |it: &&&Value| it["id"] == "" || it["type"] == "";
                prop_assert!(!is_plain || [&subject, &action, &resource].iter().any(|it| is_empty(&it)) || question == Ok(None), "{given}");
            }
        }
    }

    #[test]
    fn properties_are_values_by_themselves_and_together() {
        let given = json!({
            "subject": { "type": "user", "id": "*", "properties": { "role": "admin", "full name": "Ann", "properties": 1 } },
            "action": { "name": "read" },
            "resource": { "type": "doc", "id": "a/b c" },
            "context": { "hour": 9 },
        });
        let read = Entities::read(given.as_object().unwrap()).unwrap();
        let question = read.question().unwrap().unwrap();
        assert_eq!(question.subject.to_string(), "user:=2A");
        assert_eq!(question.resource.to_string(), "doc:a/b=20c");
        assert_eq!(
            question.context.to_json(),
            r#"{"action_properties":{},"hour":9,"resource_properties":{},"subject_properties":{"full name":"Ann","properties":1,"role":"admin"},"subject_role":"admin"}"#
        );
    }
}
