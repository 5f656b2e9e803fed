//! The tree against a `BTreeMap`, with many versions alive at once.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::leaf::BYTES_MAX;
use super::*;
use model::Timestamp;

type Model = BTreeMap<(u32, u32), Option<i64>>;

fn annotation(expires: Option<i64>) -> Option<Annotation> {
    Annotation::new(
        None,
        expires.map(|micros| Timestamp::from_micros(micros).unwrap()),
    )
}

fn micros(annotation: Option<&Annotation>) -> Option<i64> {
    annotation
        .and_then(Annotation::expires_at)
        .map(Timestamp::as_micros)
}

/// What a batch does with an edge: nothing is a removal, else the edge's expiration.
type Batch = BTreeMap<(u32, u32), Option<Option<i64>>>;

fn apply(tree: &mut EdgeTree, model: &mut Model, batch: &Batch) {
    let changes: Vec<EdgeChange> = batch
        .iter()
        .map(|(&(key, value), what)| EdgeChange {
            key,
            value,
            action: match what {
                Some(expires) => EdgeAction::Insert(annotation(*expires)),
                None => EdgeAction::Remove,
            },
        })
        .collect();
    tree.apply(&changes);
    for (edge, what) in batch {
        match what {
            Some(expires) => model.insert(*edge, *expires),
            None => model.remove(edge),
        };
    }
}

fn check(tree: &EdgeTree, model: &Model) {
    check_shape(tree);
    assert_eq!(tree.len(), model.len());
    let annotated = model.values().filter(|expires| expires.is_some()).count();
    assert_eq!(tree.annotated_count(), annotated);
    let edges: Model = tree.iter().map(|(k, v, a)| ((k, v), micros(a))).collect();
    assert_eq!(&edges, model);
    assert_eq!(tree.iter().count(), model.len());
    let mut groups: BTreeMap<u32, Vec<(u32, Option<i64>)>> = BTreeMap::new();
    for (&(key, value), &expires) in model {
        groups.entry(key).or_default().push((value, expires));
    }
    for (key, group) in groups {
        check_group(tree, key, &group);
        for absent in [key.wrapping_add(1), key.wrapping_sub(1)] {
            let count = model.range((absent, 0)..=(absent, u32::MAX)).count();
            assert_eq!(tree.values(absent).len(), count);
            assert_eq!(tree.contains_key(absent), count > 0);
        }
    }
}

fn check_group(tree: &EdgeTree, key: u32, group: &[(u32, Option<i64>)]) {
    let values = tree.values(key);
    assert_eq!(values.len(), group.len());
    let found: Vec<_> = values
        .clone()
        .map(|(value, a)| (value, micros(a)))
        .collect();
    assert_eq!(found, group);
    for (ix, &(value, expires)) in group.iter().enumerate() {
        let edge = tree.get(key, value).expect("present");
        assert_eq!(micros(edge.annotation()), expires);
        let next = value.wrapping_add(1);
        let has_next = group
            .binary_search_by_key(&next, |(value, _)| *value)
            .is_ok();
        assert_eq!(tree.get(key, next).is_some(), has_next);
        for from in [0, ix / 2, ix.saturating_sub(1)] {
            let mut values = tree.values(key);
            for _ in 0..from {
                values.next();
            }
            values.seek(value);
            assert_eq!(values.len(), group.len() - ix);
            assert_eq!(values.next().map(|(value, _)| value), Some(value));
        }
        if group.len() > 200 && ix > 50 && ix % 97 != 0 {
            continue;
        }
        let mut values = tree.values(key);
        values.seek(value.saturating_add(1));
        let after = group.len() - ix - usize::from(value < u32::MAX);
        assert_eq!(values.len(), after);
    }
}

fn check_shape(tree: &EdgeTree) {
    fn branch(node: &Branch, depth: usize, leaf_depths: &mut Vec<usize>) {
        let len = node.firsts.len();
        assert!((1..=FANOUT).contains(&len));
        assert_eq!(node.counts.len(), len);
        assert!(node.firsts.is_sorted_by(|a, b| a < b));
        match &node.children {
            Children::Leaves(leaves) => {
                assert_eq!(leaves.len(), len);
                for (ix, leaf) in leaves.iter().enumerate() {
                    let edges: Vec<u64> = leaf.view().edges().map(|(edge, _)| edge).collect();
                    assert_eq!((edges[0], edges.len()), (node.firsts[ix], node.counts[ix]));
                    assert!(leaf.packed_bytes() <= BYTES_MAX);
                    leaf_depths.push(depth);
                }
            }
            Children::Branches(branches) => {
                assert_eq!(branches.len(), len);
                for (ix, child) in branches.iter().enumerate() {
                    assert_eq!(child.firsts[0], node.firsts[ix]);
                    assert_eq!(child.edge_count(), node.counts[ix]);
                    branch(child, depth + 1, leaf_depths);
                }
            }
        }
    }
    let Some(root) = &tree.root else { return };
    let mut leaf_depths = Vec::new();
    branch(root, 0, &mut leaf_depths);
    assert!(leaf_depths.iter().all(|depth| *depth == leaf_depths[0]));
}

fn check_diff(old: (&EdgeTree, &Model), new: (&EdgeTree, &Model)) {
    let mut expected = BTreeMap::new();
    for (edge, before) in old.1 {
        let after = new.1.get(edge);
        if after != Some(before) {
            expected.insert(*edge, (Some(*before), after.copied()));
        }
    }
    for (edge, after) in new.1 {
        if !old.1.contains_key(edge) {
            expected.insert(*edge, (None, Some(*after)));
        }
    }
    let found: Vec<_> = old
        .0
        .diff(new.0)
        .map(|diff| {
            let expires = |edge: EdgeRef<'_>| micros(edge.annotation());
            (
                (diff.key, diff.value),
                (diff.before.map(expires), diff.after.map(expires)),
            )
        })
        .collect();
    assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
}

/// Ends of edges that meet, collide and spread over every width.
fn end() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0u32..40,
        2 => 0u32..2_000,
        1 => (0u32..300).prop_map(|x| x * 65_521),
        1 => Just(0),
        1 => Just(u32::MAX),
        1 => (0u32..20).prop_map(|x| u32::MAX - x),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    let what = prop_oneof![
        6 => Just(Some(None)),
        1 => (0i64..5).prop_map(|micros| Some(Some(micros))),
        4 => Just(None),
    ];
    let single = prop::collection::btree_map((end(), end()), what.clone(), 0..4);
    let many = prop::collection::btree_map((end(), end()), what, 100..700);
    // A run of consecutive values, or of keys, put in or taken out at once.
    let run = (end(), end(), 1u32..3_000, any::<bool>(), any::<bool>()).prop_map(
        |(key, start, len, by_key, put)| {
            (0..len)
                .map(|at| start.saturating_add(at))
                .map(|at| if by_key { (at, key) } else { (key, at) })
                .map(|edge| (edge, put.then_some(None)))
                .collect()
        },
    );
    prop_oneof![single, many, run]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_version_is_its_model_for_ever(batches in prop::collection::vec(batch(), 1..12)) {
        let mut versions = vec![(EdgeTree::default(), Model::new())];
        for batch in &batches {
            let (mut tree, mut model) = versions.last().unwrap().clone();
            apply(&mut tree, &mut model, batch);
            versions.push((tree, model));
        }
        for (tree, model) in &versions {
            check(tree, model);
        }
        let (last, last_model) = versions.last().unwrap();
        for (tree, model) in &versions {
            check_diff((tree, model), (last, last_model));
            check_diff((last, last_model), (tree, model));
        }
        let in_place = batches.iter().fold((EdgeTree::default(), Model::new()), |mut all, batch| {
            apply(&mut all.0, &mut all.1, batch);
            all
        });
        check(&in_place.0, last_model);
        check_diff((&in_place.0, last_model), (last, last_model));
    }
}

fn put(edges: impl IntoIterator<Item = (u32, u32)>) -> Batch {
    edges.into_iter().map(|edge| (edge, Some(None))).collect()
}

#[test]
fn deleting_leaves_nothing_behind() {
    let edges: Vec<(u32, u32)> = (0..20_000)
        .map(|ix: u32| (ix / 3, ix.wrapping_mul(2_654_435_761)))
        .collect();
    let (mut tree, mut model) = (EdgeTree::default(), Model::new());
    apply(&mut tree, &mut model, &put(edges.iter().copied()));
    let full = tree.resident_bytes();
    for (count, edge) in edges.iter().enumerate() {
        if count % 50 != 0 {
            apply(&mut tree, &mut model, &Batch::from([(*edge, None)]));
        }
    }
    check(&tree, &model);
    assert!(
        tree.resident_bytes() < full / 20,
        "{} of {full}",
        tree.resident_bytes()
    );
    let rest: Batch = model.keys().map(|edge| (*edge, None)).collect();
    apply(&mut tree, &mut model, &rest);
    check(&tree, &model);
    assert!(tree.root.is_none());
}

#[test]
fn one_edge_at_a_time_stays_packed() {
    let (mut tree, mut model) = (EdgeTree::default(), Model::new());
    for ix in 0..20_000u32 {
        let edge = (ix.wrapping_mul(2_654_435_761) % 20_000, ix);
        apply(&mut tree, &mut model, &put([edge]));
    }
    check(&tree, &model);
    assert!(
        tree.resident_bytes() < 20_000 * 9,
        "{}",
        tree.resident_bytes()
    );
}

#[test]
fn a_change_of_one_edge_copies_one_way_from_the_root() {
    let mut tree = EdgeTree::default();
    let mut model = Model::new();
    apply(
        &mut tree,
        &mut model,
        &put((0..40_000).map(|key| (key, key % 7))),
    );
    assert_eq!(tree.copied_bytes(&EdgeTree::EMPTY), tree.resident_bytes());
    assert_eq!(tree.copied_bytes(&tree.clone()), 0);
    let before = tree.clone();
    apply(&mut tree, &mut model, &put([(20_000, 9)]));
    let copied = tree.copied_bytes(&before);
    // Two branches of up to 1,500 bytes and a leaf of a thousand, or two where it was full.
    assert!((1_000..5_000).contains(&copied), "{copied}");
    assert!(copied * 10 < tree.resident_bytes());
}

#[test]
fn a_difference_skips_what_is_shared() {
    let (mut tree, mut model) = (EdgeTree::default(), Model::new());
    apply(
        &mut tree,
        &mut model,
        &put((0..100_000).map(|ix| (ix, ix / 7))),
    );
    let old = tree.clone();
    apply(
        &mut tree,
        &mut model,
        &Batch::from([((50_000, 1), Some(None))]),
    );
    let mut diff = old.diff(&tree);
    assert_eq!(
        diff.next().map(|diff| (diff.key, diff.value)),
        Some((50_000, 1))
    );
    assert_eq!(diff.next(), None);
    assert_eq!(old.diff(&old).next(), None);
}
