//! The dictionary against a `HashMap`, with many versions alive at once.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9/_|=+-]{1,12}",
        "[a-z]{1,3}",
        (0u64..300).prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        (0u32..30).prop_map(|shift| (u64::MAX >> shift).to_string()),
        "0[0-9]{0,5}",
        "1844674407370955161[0-9]{1,3}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f-]{12}",
        "[x-z]{900,1024}",
    ]
}

fn text(dictionary: &Dictionary, number: u32) -> Option<String> {
    Some(dictionary.id(ObjectIx(number))?.to_string())
}

fn check(dictionary: &Dictionary, model: &HashMap<String, u32>) {
    assert_eq!(dictionary.len(), model.len());
    for (id, ix) in model {
        assert_eq!(dictionary.lookup(id), Some(ObjectIx(*ix)), "{id}");
        assert_eq!(text(dictionary, *ix).as_deref(), Some(id.as_str()));
    }
    assert_eq!(dictionary.id(ObjectIx(model.len() as u32)), None);
    assert_eq!(dictionary.id(ObjectIx(u32::MAX)), None);
    let mut expected: Vec<(&String, u32)> = model.iter().map(|(id, ix)| (id, *ix)).collect();
    expected.sort();
    let sorted = dictionary.sorted();
    assert_eq!(
        *sorted,
        *expected.iter().map(|(_, ix)| *ix).collect::<Vec<_>>()
    );
    for (place, (id, _)) in expected.iter().enumerate() {
        assert_eq!(dictionary.lower_bound(&sorted, id), place);
        assert_eq!(
            dictionary.lower_bound(&sorted, &format!("{id}\0")),
            place + 1
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_version_is_its_model_for_ever(
        batches in prop::collection::vec((prop::collection::vec(id(), 0..150), any::<bool>()), 1..8)
    ) {
        let mut versions = vec![(Dictionary::default(), HashMap::new())];
        for (batch, sort_before) in &batches {
            let (dictionary, mut model) = versions.last().unwrap().clone();
            if *sort_before {
                drop(dictionary.sorted());
            }
            let mut writer = dictionary.into_writer();
            for id in batch {
                prop_assert_eq!(writer.lookup(id), model.get(id).copied().map(ObjectIx));
                let next = model.len() as u32;
                let expected = *model.entry(id.clone()).or_insert(next);
                prop_assert_eq!(writer.insert(id), Ok(ObjectIx(expected)));
                prop_assert_eq!(writer.lookup(id), Some(ObjectIx(expected)));
            }
            versions.push((writer.finish(), model));
        }
        let (_, last) = versions.last().unwrap();
        for (dictionary, model) in &versions {
            check(dictionary, model);
            for id in last.keys().filter(|id| !model.contains_key(*id)) {
                prop_assert_eq!(dictionary.lookup(id), None);
            }
        }
    }
}

proptest! {
    #[test]
    fn equal_hashes_are_told_apart(
        hashes in prop::collection::vec(prop_oneof![any::<u32>(), 0u32..8], 0..1_000),
        asked in any::<u32>(),
    ) {
        let mut buckets = Buckets::default();
        let mut halfway = Buckets::default();
        for (ix, hash) in hashes.iter().enumerate() {
            if ix == hashes.len() / 2 {
                halfway = buckets.clone();
            }
            buckets.insert(*hash, ix as u32);
        }
        let (first, _) = hashes.split_at(hashes.len() / 2);
        for (buckets, hashes) in [(&buckets, &hashes[..]), (&halfway, first)] {
            for hash in hashes.iter().chain([&asked]) {
                let of_hash = hashes.iter().enumerate().filter(|(_, other)| *other == hash);
                let expected: Vec<u32> = of_hash.map(|(ix, _)| ix as u32).collect();
                let mut found: Vec<u32> = buckets.get(*hash).collect();
                found.sort_unstable();
                let guess = buckets.guess(*hash);
                prop_assert!(guess.map_or(expected.is_empty(), |guess| expected.contains(&guess)));
                prop_assert_eq!(found, expected);
            }
        }
    }
}

/// Among so many a few have the same half hash.
#[test]
fn numbers_stay_in_place_through_every_level() {
    let mut writer = Dictionary::default().into_writer();
    for number in 0..150_000u32 {
        assert_eq!(writer.insert(&format!("id{number}")), Ok(ObjectIx(number)));
    }
    let dictionary = writer.finish();
    for number in 0..150_000 {
        let id = format!("id{number}");
        assert_eq!(dictionary.lookup(&id), Some(ObjectIx(number)));
        assert_eq!(text(&dictionary, number).as_deref(), Some(id.as_str()));
    }
}

#[test]
fn uuids_and_numbers_are_packed() {
    assert_eq!(
        packed_id::pack("0198c5c4-7b1c-7d33-9c5e-1f0c5a4f8f6b").len(),
        17
    );
    assert_eq!(packed_id::pack("0").len(), 2);
    assert_eq!(packed_id::pack("65535").len(), 3);
    assert_eq!(packed_id::pack("18446744073709551615").len(), 9);
    assert_eq!(packed_id::pack("18446744073709551616").len(), 21);
    assert_eq!(packed_id::pack("007").len(), 4);
}
