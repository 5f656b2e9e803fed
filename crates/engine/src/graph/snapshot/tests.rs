//! Snapshots against a map of relationships, with many versions alive at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{
    Relationship, RelationshipFilter, RelationshipKey, ResourceIdFilter, Revision, SubjectFilter,
    SubjectId, SubjectRelationFilter, Timestamp,
};
use proptest::prelude::*;
use proptest::sample::Index;
use schema::{DefinitionIx, Schema};

use super::{ApplyError, Change, Snapshot};
use crate::graph::{Loader, RelationshipParts};

const SCHEMA: &str = "
    definition user {}
    definition group { relation boss: user; relation member: user | group#member; }
    definition document {
        relation viewer: user | user:* | group#member | group | group#boss
        relation owner: user
        permission view = viewer + owner
    }
";
/// The same classes and more, in another order.
const SCHEMA_REORDERED: &str = "
    definition folder { relation parent: folder; }
    definition document {
        relation owner: user | group
        relation viewer: group#boss | group | group#member | user:* | user
        permission view = viewer + owner
    }
    definition group { relation boss: user; relation member: group#member | user; }
    definition user {}
";

type Model = BTreeMap<RelationshipKey, Relationship>;

fn schema(text: &str) -> Arc<Schema> {
    Arc::new(Schema::compile(text).unwrap())
}

fn relationship(text: &str) -> Relationship {
    text.parse().unwrap()
}

fn apply(snapshot: &mut Snapshot, model: &mut Model, changes: &[Change]) {
    let revision = snapshot.revision().next();
    *snapshot = snapshot.apply(revision, Timestamp::EPOCH, changes).unwrap();
    assert_eq!(snapshot.revision(), revision);
    for change in changes {
        match change {
            Change::Put(relationship) => model.insert(relationship.key(), relationship.clone()),
            Change::Remove(key) => model.remove(key),
        };
    }
}

fn check(snapshot: &Snapshot, model: &Model) {
    assert_eq!(snapshot.relationship_count(), model.len());
    let found: Vec<Relationship> = snapshot
        .relationships(&RelationshipFilter::default())
        .collect();
    assert_eq!(found, model.values().cloned().collect::<Vec<_>>());
}

fn check_filter(
    snapshot: &Snapshot,
    model: &Model,
    filter: &RelationshipFilter,
    after: Option<&RelationshipKey>,
) {
    let found: Vec<String> = snapshot
        .relationships_after(filter, after)
        .map(|found| found.to_string())
        .collect();
    let expected: Vec<String> = model
        .iter()
        .filter(|(key, _)| after.is_none_or(|after| *key > after))
        .filter(|(_, relationship)| filter.matches(relationship))
        .map(|(_, relationship)| relationship.to_string())
        .collect();
    assert_eq!(found, expected, "{filter:?} after {after:?}");
}

fn check_diff(old: (&Snapshot, &Model), new: (&Snapshot, &Model)) {
    let mut expected: BTreeMap<RelationshipKey, (Option<Relationship>, Option<Relationship>)> =
        BTreeMap::new();
    for (key, before) in old.1 {
        expected.entry(key.clone()).or_default().0 = Some(before.clone());
    }
    for (key, after) in new.1 {
        expected.entry(key.clone()).or_default().1 = Some(after.clone());
    }
    expected.retain(|_, (before, after)| before != after);
    let found: BTreeMap<_, _> = old
        .0
        .diff(new.0)
        .map(|it| {
            (
                it.before.as_ref().or(it.after.as_ref()).unwrap().key(),
                (it.before, it.after),
            )
        })
        .collect();
    assert_eq!(found, expected);
}

fn load(schema: &Arc<Schema>, relationships: &[Relationship]) -> Snapshot {
    let mut loader = Loader::new(Arc::clone(schema));
    for it in relationships {
        loader
            .push(RelationshipParts {
                resource_definition: it.resource.definition.as_str(),
                resource_id: it.resource.id.as_str(),
                relation: it.relation.as_str(),
                subject_definition: it.subject.definition.as_str(),
                subject_id: it.subject.id.as_str(),
                subject_relation: it
                    .subject
                    .relation
                    .as_ref()
                    .map(model::RelationName::as_str),
                caveat: it.caveat.clone(),
                expires_at: it.expires_at,
            })
            .unwrap();
    }
    loader.finish(Revision(9), Timestamp::MAX)
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0u32..8).prop_map(|number| number.to_string()),
        2 => (0u32..8).prop_map(|number| format!("a{number}")),
        1 => (0u32..4).prop_map(|number| format!("0000000{number}-0000-0000-0000-0000000000ff")),
        1 => Just("+".to_owned()),
    ]
}

fn any_relationship() -> impl Strategy<Value = Relationship> {
    let shape = prop_oneof![
        4 => (id(), id()).prop_map(|(r, s)| format!("document:{r}#viewer@user:{s}")),
        1 => id().prop_map(|r| format!("document:{r}#viewer@user:*")),
        2 => (id(), id()).prop_map(|(r, s)| format!("document:{r}#viewer@group:{s}#member")),
        1 => (id(), id()).prop_map(|(r, s)| format!("document:{r}#viewer@group:{s}#boss")),
        1 => (id(), id()).prop_map(|(r, s)| format!("document:{r}#viewer@group:{s}")),
        1 => (id(), id()).prop_map(|(r, s)| format!("document:{r}#owner@user:{s}")),
        2 => (id(), id()).prop_map(|(r, s)| format!("group:{r}#member@user:{s}")),
        1 => (id(), id()).prop_map(|(r, s)| format!("group:{r}#member@group:{s}#member")),
    ];
    let traits = prop_oneof![
        4 => Just(""),
        1 => Just(r#"[at_work:{"zone":"CET"}]"#),
        1 => Just("[at_work][expiration:2030-01-01T00:00:00Z]"),
        1 => Just("[expiration:2031-01-01T00:00:00Z]"),
    ];
    (shape, traits).prop_map(|(shape, traits)| relationship(&format!("{shape}{traits}")))
}

fn change() -> impl Strategy<Value = Change> {
    (any_relationship(), 0..3).prop_map(|(relationship, what)| match what {
        0 => Change::Remove(relationship.key()),
        _ => Change::Put(relationship),
    })
}

/// A filter made of the parts of `like` that `picked` has a bit for.
fn filter_like(like: &Relationship, picked: u8) -> RelationshipFilter {
    let has = |bit: u8| picked & (1 << bit) != 0;
    let id = &like.resource.id;
    let prefix = id.as_str().get(..1).unwrap().parse().unwrap();
    let relation = match &like.subject.relation {
        _ if has(6) => SubjectRelationFilter::Any,
        Some(relation) => SubjectRelationFilter::Relation(relation.clone()),
        None => SubjectRelationFilter::None,
    };
    RelationshipFilter {
        definition: has(0).then(|| like.resource.definition.clone()),
        resource_id: has(1).then(|| match has(2) {
            true => ResourceIdFilter::Exact(id.clone()),
            false => ResourceIdFilter::Prefix(prefix),
        }),
        relation: has(3).then(|| like.relation.clone()),
        subject: has(4).then(|| SubjectFilter {
            definition: like.subject.definition.clone(),
            id: has(5).then(|| like.subject.id.clone()),
            relation,
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_version_is_its_model_for_ever(
        batches in prop::collection::vec(prop::collection::vec(change(), 0..40), 1..8),
        likes in prop::collection::vec((any_relationship(), any::<u8>()), 12),
        after in any_relationship(),
        order in any::<Index>(),
    ) {
        let mut versions = vec![(Snapshot::empty(schema(SCHEMA)), Model::new())];
        for batch in &batches {
            let (mut snapshot, mut model) = versions.last().unwrap().clone();
            apply(&mut snapshot, &mut model, batch);
            versions.push((snapshot, model));
        }
        let (last, last_model) = versions.last().unwrap();
        for (snapshot, model) in &versions {
            check(snapshot, model);
            check_diff((snapshot, model), (last, last_model));
            check_diff((last, last_model), (snapshot, model));
        }
        let reordered =
            last.with_schema(Revision(99), Timestamp::MAX, schema(SCHEMA_REORDERED)).unwrap();
        check(&reordered, last_model);
        check_diff((last, last_model), (&reordered, last_model));
        let mut rows: Vec<Relationship> = last_model.values().cloned().collect();
        if !rows.is_empty() {
            let middle = order.index(rows.len());
            rows.rotate_left(middle);
            rows.push(rows[0].clone());
        }
        let loaded = load(last.schema(), &rows);
        check(&loaded, last_model);
        for (like, picked) in &likes {
            let filter = filter_like(like, *picked);
            for snapshot in [last, &reordered, &loaded] {
                check_filter(snapshot, last_model, &filter, None);
                check_filter(snapshot, last_model, &filter, Some(&after.key()));
            }
        }
    }
}

/// The dead ids are those that no relationship of the model names.
fn check_dead(snapshot: &Snapshot, model: &Model) {
    let mut live = BTreeSet::new();
    for key in model.keys() {
        live.insert((key.resource.definition.clone(), key.resource.id.clone()));
        if let SubjectId::Object(id) = &key.subject.id {
            live.insert((key.subject.definition.clone(), id.clone()));
        }
    }
    for dead in snapshot.dead_ids() {
        let name = &snapshot.schema().definition(dead.definition).name;
        let live = live.iter().filter(|(definition, _)| definition == name);
        assert_eq!(dead.id_count - dead.dead_count, live.count(), "{name}");
        assert_eq!(dead.id_count, snapshot.dictionary(dead.definition).len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_snapshot_without_dead_ids_is_the_same_graph(
        before in prop::collection::vec(prop::collection::vec(change(), 0..40), 1..6),
        after in prop::collection::vec(prop::collection::vec(change(), 0..40), 1..4),
        picked in any::<u8>(),
        is_sorted in any::<bool>(),
        likes in prop::collection::vec((any_relationship(), any::<u8>()), 6),
    ) {
        let (mut old, mut model) = (Snapshot::empty(schema(SCHEMA)), Model::new());
        for batch in &before {
            apply(&mut old, &mut model, batch);
        }
        check_dead(&old, &model);
        let definitions: Vec<DefinitionIx> = old.schema().definitions().map(|(ix, _)| ix).collect();
        if is_sorted {
            definitions.iter().for_each(|ix| drop(old.dictionary(*ix).sorted()));
        }
        let picked: Vec<DefinitionIx> =
            definitions.into_iter().filter(|ix| picked & (1 << ix.0) != 0).collect();
        let mut rebuilt = old.without_dead_ids(&picked);
        prop_assert_eq!((rebuilt.revision(), rebuilt.time()), (old.revision(), old.time()));
        for (dead, dead_before) in rebuilt.dead_ids().iter().zip(old.dead_ids()) {
            if picked.contains(&dead.definition) {
                prop_assert_eq!(dead.dead_count, 0);
            } else {
                prop_assert_eq!(*dead, dead_before);
            }
        }
        let (first, first_model) = (old.clone(), model.clone());
        let mut versions = vec![(rebuilt.clone(), model.clone())];
        for batch in &after {
            apply(&mut old, &mut model.clone(), batch);
            apply(&mut rebuilt, &mut model, batch);
            versions.push((rebuilt.clone(), model.clone()));
            check(&old, &model);
        }
        check(&first, &first_model);
        for (version, model) in &versions {
            check(version, model);
            check_dead(version, model);
            check_diff((version, model), (&rebuilt, &versions.last().unwrap().1));
            for (like, picked) in &likes {
                check_filter(version, model, &filter_like(like, *picked), None);
            }
        }
    }
}

/// Enough that every tree and table has several levels, so that each is written again in several parts.
#[test]
fn a_large_graph_is_rebuilt() {
    const ROWS: usize = 150_000;
    let row = |number: usize| {
        relationship(&format!(
            "document:d{number}#viewer@user:u{}",
            number % 50_000
        ))
    };
    let all: Vec<Relationship> = (0..ROWS).map(row).collect();
    let loaded = load(&schema(SCHEMA), &all);
    let (gone, left): (Vec<_>, Vec<_>) =
        all.into_iter().enumerate().partition(|(ix, _)| ix % 3 > 0);
    let gone: Vec<Change> = gone
        .iter()
        .map(|(_, it)| Change::Remove(it.key()))
        .collect();
    let churned = loaded.apply(Revision(10), Timestamp::MAX, &gone).unwrap();
    let document = churned.schema().definition_ix("document").unwrap();
    let dead = churned.dead_ids();
    let of_documents = dead
        .iter()
        .find(|dead| dead.definition == document)
        .unwrap();
    assert_eq!(
        (of_documents.dead_count, of_documents.id_count),
        (100_000, ROWS)
    );
    let definitions: Vec<DefinitionIx> = dead.iter().map(|dead| dead.definition).collect();
    let rebuilt = churned.without_dead_ids(&definitions);
    let model: Model = left.into_iter().map(|(_, it)| (it.key(), it)).collect();
    check(&rebuilt, &model);
    check_dead(&rebuilt, &model);
    let (before, after) = (churned.resident_bytes(), rebuilt.resident_bytes());
    assert_eq!(after.id_count, 50_000 + 50_000);
    assert!(
        after.ids_bytes < before.ids_bytes * 6 / 10,
        "{before:?} {after:?}"
    );
    assert!(
        after.edges_bytes <= before.edges_bytes,
        "{before:?} {after:?}"
    );
}

#[test]
fn a_listing_pages_through_long_lists() {
    let mut changes = Vec::new();
    for number in 0..3_000u32 {
        changes.push(Change::Put(relationship(&format!(
            "document:big#viewer@user:u{number}"
        ))));
        changes.push(Change::Put(relationship(&format!(
            "document:d{number}#owner@user:one"
        ))));
        changes.push(Change::Put(relationship(&format!(
            "document:d{number}#viewer@user:*"
        ))));
    }
    changes.push(Change::Put(relationship("document:big#viewer@group:g")));
    let (mut snapshot, mut model) = (Snapshot::empty(schema(SCHEMA)), Model::new());
    apply(&mut snapshot, &mut model, &changes);
    check(&snapshot, &model);
    let one = relationship("document:d10#owner@user:one");
    let everybody = relationship("document:d10#viewer@user:*");
    let big = relationship("document:big#viewer@user:u7");
    for (like, picked) in [
        (&one, 0),
        (&one, 0b11_0001),
        (&everybody, 0b11_0000),
        (&big, 0b111),
        (&one, 0b11),
    ] {
        let filter = filter_like(like, picked);
        let (mut after, mut found) = (None, 0);
        loop {
            let page: Vec<_> = snapshot
                .relationships_after(&filter, after.as_ref())
                .take(700)
                .collect();
            found += page.len();
            let Some(last) = page.last() else { break };
            check_filter(&snapshot, &model, &filter, after.as_ref());
            after = Some(last.key());
        }
        assert_eq!(
            found,
            model.values().filter(|it| filter.matches(it)).count()
        );
    }
}

#[test]
fn what_the_schema_does_not_know_is_named() {
    let snapshot = Snapshot::empty(schema(SCHEMA));
    let error = |text: &str| {
        let put = [
            Change::Put(relationship("document:a#owner@user:u")),
            Change::Put(relationship(text)),
        ];
        snapshot
            .apply(Revision(1), Timestamp::EPOCH, &put)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error("folder:a#viewer@user:u"),
        "definition `folder` is not in the schema"
    );
    assert_eq!(
        error("document:a#viewer@folder:u"),
        "definition `folder` is not in the schema"
    );
    assert_eq!(
        error("document:a#reader@user:u"),
        "relation `reader` is not in definition `document`"
    );
    assert_eq!(
        error("document:a#view@user:u"),
        "relation `view` is not in definition `document`"
    );
    let takes_no = |subject: &str| {
        format!("relation `owner` of definition `document` takes no subject `{subject}`")
    };
    assert_eq!(error("document:a#owner@user:*"), takes_no("user:*"));
    assert_eq!(
        error("document:a#owner@group:g#member"),
        takes_no("group#member")
    );
    assert_eq!(
        error("document:a#owner@group:g#other"),
        takes_no("group#other")
    );
}

#[test]
fn a_class_in_use_cannot_go() {
    let (mut snapshot, mut model) = (Snapshot::empty(schema(SCHEMA)), Model::new());
    let all = relationship("document:a#viewer@user:*");
    apply(&mut snapshot, &mut model, &[Change::Put(all.clone())]);
    let smaller = schema("definition user {} definition document { relation viewer: user; }");
    let next = snapshot.with_schema(Revision(2), Timestamp::EPOCH, Arc::clone(&smaller));
    let expected = ApplyError::ClassInUse {
        definition: "document".to_owned(),
        relation: "viewer".to_owned(),
        subject: "user:*".to_owned(),
        edge_count: 1,
    };
    assert_eq!(next.unwrap_err(), expected);
    let before = snapshot.clone();
    apply(&mut snapshot, &mut model, &[Change::Remove(all.key())]);
    let next = snapshot
        .with_schema(Revision(3), Timestamp::EPOCH, smaller)
        .unwrap();
    check(&next, &model);
    let gone: Vec<_> = before.diff(&next).map(|it| (it.before, it.after)).collect();
    assert_eq!(gone, [(Some(all), None)]);
}

#[test]
fn objects_and_subjects_are_found_from_both_ends() {
    let schema = schema(SCHEMA);
    let snapshot = load(
        &schema,
        &[
            relationship("document:a#owner@user:u"),
            relationship("document:b#owner@user:u"),
        ],
    );
    let document = schema.definition_ix("document").unwrap();
    let user = schema.definition_ix("user").unwrap();
    let owner = schema.member_ix(document, "owner").unwrap();
    let [class] = *snapshot.layout().classes_of(owner) else {
        panic!("one class")
    };
    let [a, b] = ["a", "b"].map(|id| snapshot.object_ix(document, id).unwrap());
    let u = snapshot.object_ix(user, "u").unwrap();
    assert_eq!(snapshot.object_ix(user, "a"), None);
    assert_eq!(snapshot.object_id(user, u).unwrap().as_str(), "u");
    let class = snapshot.class(class);
    assert!(class.edge(a, u).is_some());
    assert_eq!(
        class.resources(u).map(|(ix, _)| ix).collect::<Vec<_>>(),
        [a.0, b.0]
    );
    assert_eq!(class.subjects(b).len(), 1);
    assert_eq!(snapshot.resident_bytes().edge_count, 2);
    let all = RelationshipFilter {
        subject: Some(SubjectFilter {
            definition: "user".parse().unwrap(),
            id: Some(SubjectId::Wildcard),
            relation: SubjectRelationFilter::Any,
        }),
        ..RelationshipFilter::default()
    };
    assert_eq!(snapshot.relationships(&all).count(), 0);
}
