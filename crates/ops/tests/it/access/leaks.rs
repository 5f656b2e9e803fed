//! To a caller without any right on a definition it is not to be told from one that is not there.

use std::sync::Arc;

use identity::Caller;
use model::{
    Context, ObjectRef, Precondition, RelationshipFilter, ResourceIdFilter, SubjectFilter,
    SubjectRelationFilter,
};
use ops::check::{self, Question};
use ops::lookup::{self, Resources, Subjects};
use ops::watch::{self, Filter, Request};
use ops::write::{self, Deletion, Write};
use ops::{Consistency, Error, Node, counter, expand, read, schema, trace};

use super::{caller, change, enforced};

const NEWEST: Consistency = Consistency::MinimizeLatency;
const SECRET: &str = "secret";
const ABSENT: &str = "absent";

/// A schema whose `doc` the caller may do everything with, and whose `secret` it may not.
const SCHEMA: &str = "definition user {}\ndefinition robot {}\ncaveat hidden(x int) {\n x == 1\n}\n\
    definition secret {\n relation viewer: user with hidden | robot\n permission view = viewer\n}\n\
    definition doc {\n relation viewer: user\n permission view = viewer\n}";

fn of(definition: &str) -> RelationshipFilter {
    RelationshipFilter {
        definition: Some(definition.parse().unwrap()),
        ..RelationshipFilter::default()
    }
}

fn question(resource: &str, subject: &str) -> Question {
    Question {
        resource: format!("{resource}:a").parse().unwrap(),
        permission: "view".to_owned(),
        subject: format!("{subject}:a").parse().unwrap(),
        context: Context::default(),
    }
}

/// What is told of calls that name a definition.
struct Notes {
    name: &'static str,
    told: Vec<String>,
}

impl Notes {
    fn note<T>(&mut self, what: &str, outcome: Result<T, Error>) {
        let text = outcome.err().map_or("fine".to_owned(), |error| {
            let Error {
                kind,
                reason,
                message,
                metadata,
                ..
            } = error;
            format!("{kind:?} {reason:?} {message} {metadata:?}")
        });
        self.told
            .push(format!("{what}: {}", text.replace(self.name, "NAME")));
    }

    fn object(&self) -> ObjectRef {
        format!("{}:a", self.name).parse().unwrap()
    }
}

/// Of every call that names it, as a resource, as a subject or in a pattern.
async fn told(node: &Arc<Node>, caller: &Caller, name: &'static str) -> Vec<String> {
    let mut notes = Notes {
        name,
        told: Vec::new(),
    };
    of_questions(node, caller, &mut notes).await;
    of_look_ups(node, caller, &mut notes).await;
    of_relationships(node, caller, &mut notes).await;
    of_changes(node, caller, &mut notes).await;
    of_the_rest(node, caller, &mut notes).await;
    notes.told
}

async fn of_questions(node: &Node, caller: &Caller, notes: &mut Notes) {
    let resource = question(notes.name, "user");
    let subject = question("doc", notes.name);
    notes.note("check", check::check(node, caller, NEWEST, &resource).await);
    notes.note(
        "check of it",
        check::check(node, caller, NEWEST, &subject).await,
    );
    let bulk = [resource.clone(), subject.clone()];
    let answered = check::check_bulk(node, caller, NEWEST, &bulk)
        .await
        .unwrap();
    for answer in answered.answer {
        notes.note("bulk", answer);
    }
    let answered = trace::check_bulk(node, caller, NEWEST, &bulk)
        .await
        .unwrap();
    for answer in answered.answer {
        notes.note("traced bulk", answer);
    }
    notes.note(
        "traced",
        trace::check(node, caller, NEWEST, &resource).await,
    );
    notes.note(
        "explain",
        check::explain(node, caller, NEWEST, &resource).await,
    );
    notes.note(
        "explain of it",
        check::explain(node, caller, NEWEST, &subject).await,
    );
    let (object, user) = (notes.object(), "user:a".parse().unwrap());
    let context = Context::default();
    let held = ops::held::held(node, caller, NEWEST, (&object, &user), &context).await;
    notes.note("held", held);
    let expanded = expand::expand(node, caller, NEWEST, &object, "view").await;
    notes.note("expand", expanded);
}

async fn of_look_ups(node: &Arc<Node>, caller: &Caller, notes: &mut Notes) {
    let asked = Resources {
        definition: notes.name.parse().unwrap(),
        permission: "view".to_owned(),
        subject: "user:a".parse().unwrap(),
        context: Context::default(),
        limit: 0,
        cursor: None,
    };
    notes.note(
        "resources",
        lookup::resources(node, caller, NEWEST, &asked).await,
    );
    let asked = Subjects {
        resource: "doc:a".parse().unwrap(),
        permission: "view".to_owned(),
        definition: notes.name.parse().unwrap(),
        relation: None,
        context: Context::default(),
        is_without_everybody: false,
        limit: 0,
        cursor: None,
    };
    notes.note(
        "subjects",
        lookup::subjects(node, caller, NEWEST, &asked).await,
    );
}

async fn of_relationships(node: &Node, caller: &Caller, notes: &mut Notes) {
    let name = notes.name;
    notes.note(
        "read",
        read::read(node, caller, NEWEST, of(name), 0, None).await,
    );
    let with_subject = RelationshipFilter {
        subject: Some(SubjectFilter {
            definition: name.parse().unwrap(),
            id: None,
            relation: SubjectRelationFilter::Any,
        }),
        ..of("doc")
    };
    let read = read::read(node, caller, NEWEST, with_subject, 0, None).await;
    notes.note("read of it", read);
    let exported = read::export(node, caller, NEWEST, Some(of(name)), 0, None).await;
    notes.note("export", exported);
    notes.note(
        "register",
        counter::register(node, caller, "mine", of(name)).await,
    );
    let counter = format!("of-{name}");
    notes.note("count", counter::count(node, caller, &counter).await);
    notes.note(
        "unregister",
        counter::unregister(node, caller, &counter).await,
    );
}

async fn of_changes(node: &Node, caller: &Caller, notes: &mut Notes) {
    let name = notes.name;
    let row = format!("+{name}:a#viewer@robot:a");
    notes.note("write", change(node, caller, &[&row]).await);
    let row = format!("+doc:a#viewer@{name}:a");
    notes.note("write of it", change(node, caller, &[&row]).await);
    let guarded = Write {
        preconditions: vec![Precondition::MustNotMatch(of(name))],
        ..Write::default()
    };
    notes.note("precondition", write::write(node, caller, guarded).await);
    let deletion = Deletion {
        filter: of(name),
        preconditions: Vec::new(),
        limit: 0,
        is_partial_allowed: false,
        metadata: None,
    };
    notes.note(
        "delete",
        write::delete(node, caller, deletion.clone()).await,
    );
    // The rights on it, by its name.
    for (scope, id) in [
        ("remit/type", name.to_owned()),
        ("remit/type_member", format!("{name}/viewer")),
    ] {
        let rights = Deletion {
            filter: RelationshipFilter {
                resource_id: Some(ResourceIdFilter::Exact(id.parse().unwrap())),
                ..of(scope)
            },
            ..deletion.clone()
        };
        notes.note("delete rights", write::delete(node, caller, rights).await);
    }
    let gone = write::delete_object(node, caller, &notes.object(), Vec::new(), None).await;
    notes.note("delete object", gone);
    let mut import = ops::bulk::Import::default();
    let row = format!("{name}:a#viewer@robot:a").parse().unwrap();
    import.add(node, [row]).unwrap();
    notes.note("import", import.commit(node, caller).await);
}

async fn of_the_rest(node: &Arc<Node>, caller: &Caller, notes: &mut Notes) {
    let name = notes.name;
    let definitions = [name.parse().unwrap()].into_iter().collect();
    for filter in [
        Filter::Definitions(definitions),
        Filter::Relationships(vec![of(name)]),
    ] {
        let request = Request {
            filter,
            ..Request::default()
        };
        notes.note("watch", watch::watch(node, caller, request).await);
    }
    let computable = schema::reflect::computable(node, caller, NEWEST, (name, "viewer"), "").await;
    notes.note("computable", computable);
    let dependent = schema::reflect::dependent(node, caller, NEWEST, (name, "view")).await;
    notes.note("dependent", dependent);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_seen_is_as_if_it_were_not_there() {
    let running = enforced().await;
    let node = &running.node;
    let (root, ann) = (caller("root").await, caller("ann").await);
    schema::write(node, &root, SCHEMA).await.unwrap();
    counter::register(node, &root, "of-secret", of(SECRET))
        .await
        .unwrap();
    let rows = [
        "+secret:a#viewer@robot:a",
        "+doc:a#viewer@user:a",
        "+remit/type:secret#checker@remit/key:bob",
    ];
    change(node, &root, &rows).await.unwrap();
    let grants: Vec<String> = ops::access::Scope::Definition
        .actions()
        .iter()
        .map(|action| format!("+remit/type:doc#{}@remit/key:ann", action.role()))
        .collect();
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    change(node, &root, &grants).await.unwrap();
    let (of_secret, of_absent) = (
        told(node, &ann, SECRET).await,
        told(node, &ann, ABSENT).await,
    );
    for (secret, absent) in of_secret.iter().zip(&of_absent) {
        assert_eq!(secret, absent);
        assert!(!secret.ends_with(": fine"), "{secret}");
    }
    assert_eq!(of_secret.len(), of_absent.len());
    // It is there to whoever may see it, so that the above says something.
    let of_root = told(node, &root, SECRET).await;
    assert!(
        of_root
            .iter()
            .filter(|told| told.ends_with(": fine"))
            .count()
            > 12,
        "{of_root:#?}"
    );
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_shown_as_far_as_it_may_be_read() {
    let running = enforced().await;
    let node = &running.node;
    let (root, ann) = (caller("root").await, caller("ann").await);
    schema::write(node, &root, SCHEMA).await.unwrap();
    let refused = schema::read(node, &ann).await.unwrap_err();
    assert_eq!(
        refused.message,
        "no schema has been defined; please call WriteSchema to start"
    );
    let grant = "+remit/type:doc#schema_reader@remit/key:ann";
    change(node, &root, &[grant]).await.unwrap();
    let read = schema::read(node, &ann).await.unwrap();
    assert_eq!(
        read.text,
        "definition doc {\n\trelation viewer: user\n\tpermission view = viewer\n}"
    );
    let reflected = schema::reflect::reflect(node, &ann, NEWEST, &[])
        .await
        .unwrap();
    let names = reflected.found.definitions.iter();
    let names: Vec<&str> = names
        .map(|found| reflected.schema.definition(found.definition).name.as_str())
        .collect();
    assert_eq!(names, ["doc"]);
    assert!(reflected.found.caveats.is_empty());
    let whole = schema::read(node, &root).await.unwrap();
    assert!(whole.text.contains("caveat hidden") && !whole.text.contains("remit/"));
    running.node.stop();
}

/// Rights are nobody's to see who has none: not by what is deleted, counted or refused.
#[tokio::test(flavor = "multi_thread")]
async fn rights_are_not_told_by_deleting_them() {
    let running = enforced().await;
    let node = &running.node;
    let (root, ann) = (caller("root").await, caller("ann").await);
    let before = change(node, &root, &["+remit/type:secret#checker@remit/key:bob"]);
    let before = before.await.unwrap().revision;
    for definition in ["remit/type", "remit/system", "remit/group", "remit/user"] {
        let deletion = Deletion {
            filter: of(definition),
            preconditions: Vec::new(),
            limit: 1,
            is_partial_allowed: false,
            metadata: None,
        };
        let refused = write::delete(node, &ann, deletion).await.unwrap_err();
        assert_eq!(refused.kind, ops::Kind::Forbidden);
        assert!(!refused.message.contains("secret"), "{}", refused.message);
    }
    assert_eq!(node.snapshot().revision(), before);
    running.node.stop();
}

/// A trace carries the schema as far as the caller may read it.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_tells_no_more_of_the_schema_than_may_be_read() {
    let running = enforced().await;
    let node = &running.node;
    let (root, ann) = (caller("root").await, caller("ann").await);
    schema::write(node, &root, SCHEMA).await.unwrap();
    let grants = [
        "+remit/type:doc#checker@remit/key:ann",
        "+remit/type:doc#reader@remit/key:ann",
    ];
    change(node, &root, &grants).await.unwrap();
    let asked = question("doc", "user");
    let text = async || {
        let traced = trace::check(node, &ann, NEWEST, &asked).await.unwrap();
        traced.answer.schema_text.unwrap()
    };
    assert_eq!(&*text().await, "");
    change(
        node,
        &root,
        &["+remit/type:doc#schema_reader@remit/key:ann"],
    )
    .await
    .unwrap();
    let told = text().await;
    assert!(
        told.contains("definition doc") && !told.contains("secret"),
        "{told}"
    );
    running.node.stop();
}

/// An explanation shows relationships of all that a permission rests on.
#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_takes_the_right_to_read_what_it_shows() {
    let running = enforced().await;
    let node = &running.node;
    let (root, ann) = (caller("root").await, caller("ann").await);
    let schema = "definition user {}\ndefinition folder {\n relation owner: user\n}\n\
        definition doc {\n relation parent: folder\n permission view = parent->owner\n}";
    schema::write(node, &root, schema).await.unwrap();
    let grants = [
        "+remit/type:doc#checker@remit/key:ann",
        "+remit/type:doc#reader@remit/key:ann",
    ];
    change(node, &root, &grants).await.unwrap();
    let asked = question("doc", "user");
    check::check(node, &ann, NEWEST, &asked).await.unwrap();
    for error in [
        check::explain(node, &ann, NEWEST, &asked)
            .await
            .map(drop)
            .unwrap_err(),
        trace::check(node, &ann, NEWEST, &asked)
            .await
            .map(drop)
            .unwrap_err(),
        expand::expand(node, &ann, NEWEST, &asked.resource, "view")
            .await
            .map(drop)
            .unwrap_err(),
    ] {
        assert!(!error.message.contains("folder"), "{}", error.message);
    }
    let grant = "+remit/type:folder#reader@remit/key:ann";
    change(node, &root, &[grant]).await.unwrap();
    check::explain(node, &ann, NEWEST, &asked).await.unwrap();
    trace::check(node, &ann, NEWEST, &asked).await.unwrap();
    expand::expand(node, &ann, NEWEST, &asked.resource, "view")
        .await
        .unwrap();
    // What an old snapshot shows is judged by the schema that it has.
    let old = change(node, &root, &["-remit/type:folder#reader@remit/key:ann"]);
    let old = Consistency::AtExactSnapshot(old.await.unwrap());
    let flat = "definition user {}\ndefinition folder {}\n\
        definition doc {\n relation viewer: user\n permission view = viewer\n}";
    schema::write(node, &root, flat).await.unwrap();
    check::explain(node, &ann, NEWEST, &asked).await.unwrap();
    assert!(check::explain(node, &ann, old, &asked).await.is_err());
    assert!(trace::check(node, &ann, old, &asked).await.is_err());
    let expanded = expand::expand(node, &ann, old, &asked.resource, "view").await;
    assert!(expanded.is_err());
    running.node.stop();
}
